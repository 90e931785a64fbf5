//! Room: link.
