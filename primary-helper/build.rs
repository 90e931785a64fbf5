//! The helper has its own entry point, so the C library's start files must stay out.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-nostartfiles");
}
