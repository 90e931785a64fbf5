//! Room: commit.
