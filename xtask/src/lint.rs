//! The static checks: format, dependencies, lints, documentation and the wasm build.

use std::collections::HashMap;

use crate::args::BuildOptions;
use crate::components;
use crate::docs;
use crate::docs_examples;
use crate::error::{Error, Result};
use crate::process::{read, run, step, succeeds};
use crate::workspace::{EVERYTHING, cargo, is_ci, under_schedules};

/// The shapes in which others use the crate.
const SHAPES: [&str; 18] = [
    "-p mqtt-wasi",
    "-p mqtt-wasi --no-default-features",
    "-p mqtt-wasi --no-default-features --features json",
    "-p mqtt-wasi --no-default-features --features scram",
    "-p mqtt-wasi --no-default-features --features wasi",
    "-p mqtt-wasi --features tls",
    "-p mqtt-wasi --features ring",
    "-p mqtt-wasi --features tokio",
    "-p mqtt-wasi --features tracing",
    "-p mqtt-wasi --no-default-features --features tracing",
    "-p mqtt-wasi --features json,tls,tokio",
    "-p mqtt-wasi --features proxy",
    "-p mqtt-wasi --features store",
    "-p mqtt-wasi --features store,tokio",
    "-p mqtt-wasi --no-default-features --features stream",
    "-p mqtt-wasi --features stream,tokio",
    "-p mqtt-wasi --features ws",
    "-p mqtt-wasi --no-default-features --features proxy,ws",
];

/// Runs the static checks until one fails.
pub(crate) fn run_all() -> Result<()> {
    step("checking the format");
    run(&mut cargo("fmt --all --check"))?;
    distinct_programs()?;
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

/// Two programs of one name overwrite each other in `target`: which of them a command runs then depends on what was
/// built last.
fn distinct_programs() -> Result<()> {
    step("checking that no two programs have one name");
    let metadata = read(&mut cargo("metadata --format-version 1 --no-deps --locked"))?;
    match twice_named(&metadata) {
        Some(problem) => Err(Error::Programs(problem)),
        None => Ok(()),
    }
}

/// The first name that two programs or two examples of the workspace share, in words.
fn twice_named(metadata: &str) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).ok()?;
    let mut owners = HashMap::new();
    for package in metadata["packages"].as_array()? {
        for target in package["targets"].as_array()? {
            for kind in target["kind"].as_array()?.iter().filter(|&kind| kind == "bin" || kind == "example") {
                if let Some(other) = owners.insert((kind, &target["name"]), &package["name"]) {
                    let (name, package) = (&target["name"], &package["name"]);
                    return Some(format!("{kind} {name} is in {other} and in {package}"));
                }
            }
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::twice_named;

    fn workspace(second: &str) -> String {
        format!(
            r#"{{"packages": [
                {{"name": "one", "targets": [{{"kind": ["lib"], "name": "one"}}, {{"kind": ["bin"], "name": "demo"}}]}},
                {{"name": "two", "targets": [{{"kind": ["lib"], "name": "one"}}, {second}]}}
            ]}}"#
        )
    }

    #[test]
    fn a_name_is_given_once() {
        assert_eq!(twice_named(&workspace(r#"{"kind": ["bin"], "name": "other"}"#)), None);
        assert_eq!(twice_named(&workspace(r#"{"kind": ["example"], "name": "demo"}"#)), None, "in a folder of its own");
        let problem = twice_named(&workspace(r#"{"kind": ["bin"], "name": "demo"}"#));
        assert_eq!(problem.as_deref(), Some(r#""bin" "demo" is in "one" and in "two""#));
    }
}
