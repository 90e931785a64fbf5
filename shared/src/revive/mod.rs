//! Room: revive.
