//! Room: ring.
