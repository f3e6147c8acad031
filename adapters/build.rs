//! How the adapters are linked: without what brings `wasi:cli` along, and with a small stack.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("wasi") {
        println!("cargo::rustc-link-arg-examples=--wasi-adapter=none");
        println!("cargo::rustc-link-arg-examples=-zstack-size=131072");
    }
}
