//! The primary's main loop: protects one domain until its operator has enough or the domain ends.

pub mod schedule;
