//! The helper has its own entry point, so the C library's start files must stay out; the linker
//! script checks what came of it.

fn main() {
    // Asked when it runs: a build script outlives a checkout that was moved.
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's folder");
    let script = format!("{folder}/../linker/helper.ld");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-nostartfiles");
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
}
