//! The helper has its own entry point, so the C library's start files must stay out; the linker
//! script checks what came of it. A stub domain has a linker script that places everything.

fn main() {
    // Asked when it runs: a build script outlives a checkout that was moved.
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's folder");
    let is_stub_domain = std::env::var_os("CARGO_CFG_STUBDOM").is_some();
    let script =
        format!("{folder}/../linker/{}", if is_stub_domain { "stubdom.ld" } else { "helper.ld" });
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-nostartfiles");
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
    if is_stub_domain {
        // Segments lie page by page as in memory, and the only note is Xen's.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,max-page-size=4096");
        println!("cargo:rustc-link-arg-bins=-Wl,--build-id=none");
    }
}
