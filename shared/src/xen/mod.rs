//! Room: xen.
