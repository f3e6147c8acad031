//! The static checks: format, dependencies, lints, documentation and the wasm build.

use crate::args::BuildOptions;
use crate::components;
use crate::docs;
use crate::docs_examples;
use crate::error::{Error, Result};
use crate::process::{run, step, succeeds};
use crate::workspace::{EVERYTHING, cargo, is_ci, under_schedules};

/// The shapes in which others use the crate.
const SHAPES: [&str; 7] = [
    "-p mqtt-wasi",
    "-p mqtt-wasi --no-default-features",
    "-p mqtt-wasi --no-default-features --features json",
    "-p mqtt-wasi --no-default-features --features scram",
    "-p mqtt-wasi --features tls",
    "-p mqtt-wasi --features tokio",
    "-p mqtt-wasi --features json,tls,tokio",
];

/// Runs the static checks until one fails.
pub(crate) fn run_all() -> Result<()> {
    step("checking the format");
    run(&mut cargo("fmt --all --check"))?;
    docs::check()?;
    dependencies()?;
    clippy(&format!("{EVERYTHING} --all-targets"))?;
    for shape in SHAPES {
        clippy(shape)?;
    }
    step("clippy of the tests under schedules");
    run(under_schedules("clippy", "--tests").args(["--", "-Dwarnings"]))?;
    // The fuzz targets are a workspace of their own.
    clippy("--manifest-path fuzz/Cargo.toml")?;
    step("building the documentation");
    run(cargo(&format!("doc --locked --no-deps {EVERYTHING}")).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    docs_examples::check()?;
    components::build(&BuildOptions { deny_warnings: true, ..BuildOptions::default() })
}

fn clippy(selection: &str) -> Result<()> {
    step(&format!("clippy {selection}"));
    run(&mut cargo(&format!("clippy --locked {selection} -- -Dwarnings")))
}

/// What `deny.toml` demands, except the advisories, which have to be fetched.
fn dependencies() -> Result<()> {
    if succeeds(&mut cargo("deny --version")) {
        step("checking the dependencies");
        return run(&mut cargo("deny --workspace --locked check licenses bans sources"));
    }
    let missing = Error::MissingTool { tool: "cargo-deny", remedy: "cargo install cargo-deny --locked" };
    if is_ci() {
        return Err(missing);
    }
    step(&format!("not checking the dependencies: {missing}"));
    Ok(())
}
