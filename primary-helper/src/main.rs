//! Nothing is wired together yet.
fn main() {}
