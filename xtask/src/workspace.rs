//! Where the workspace is, and the cargo that works in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Selects every package, with every feature that is not for components only and needs no compiler for C.
pub(crate) const EVERYTHING: &str = "--workspace --features mqtt-wasi/bulk,mqtt-wasi/json,mqtt-wasi/proxy,\
                                     mqtt-wasi/scram,mqtt-wasi/socket-options,mqtt-wasi/store,mqtt-wasi/stream,\
                                     mqtt-wasi/tls,mqtt-wasi/tokio,mqtt-wasi/tracing,mqtt-wasi/ws,bench/peers";

/// A cargo command that builds a program of the host tests. Without an example, cargo would leave out what only tests
/// depend on, some features with it, and build the wasm host once more for the tests.
pub(crate) fn build_host_program(program: &str) -> Command {
    cargo(&format!("build --locked {EVERYTHING} --bin {program} --example pubsub"))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// A cargo command in the workspace; no argument in `line` has a space in it.
pub(crate) fn cargo(line: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(line.split(' ')).current_dir(root());
    cargo
}

/// A cargo command for the tests in which a tool chooses the order of all steps: they are another build of the crate.
pub(crate) fn under_schedules(command: &str, option: &str) -> Command {
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = cargo(&format!("{command} --locked {option} -p mqtt-wasi --lib --features tokio"));
    cargo.env("RUSTFLAGS", format!("{flags} --cfg shuttle")).env("CARGO_TARGET_DIR", target().join("schedules"));
    if command == "test" {
        cargo.arg("schedules");
    }
    cargo
}

/// Whether this is an automatic run, where nothing may be left out.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some()
}
