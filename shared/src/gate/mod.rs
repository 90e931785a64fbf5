//! Room: gate.
