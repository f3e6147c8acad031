//! Where the workspace is, and the cargo that works in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Selects every package, with every feature that is not for components only and needs no compiler for C.
pub(crate) const EVERYTHING: &str =
    "--workspace --features mqtt-wasi/json,mqtt-wasi/scram,mqtt-wasi/tls,mqtt-wasi/tokio,bench/peers";

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

/// Whether this is an automatic run, where nothing may be left out.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some()
}
