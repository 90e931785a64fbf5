//! The helper has its own entry point, so the C library's start files must stay out; the linker
//! script checks what came of it.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../linker/helper.ld");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-nostartfiles");
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
}
