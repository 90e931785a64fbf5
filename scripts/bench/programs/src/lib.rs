//! What the benchmarks' programs share: a synthetic guest, its pauses' figures, page traces.
//!
//! These programs use std and are not shipped. They measure what Pollux is compared with, and
//! record what it is fed; Pollux itself is measured by `primary-helper rehearse`.

#![deny(unsafe_code)]

pub mod baseline;
pub mod durations;
pub mod guest;
pub mod migration_stream;
pub mod options;
pub mod random;
pub mod trace;
