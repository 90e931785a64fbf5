//! Placeholder until the rooms are wired together.
fn main() {}
