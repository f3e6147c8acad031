//! Building the benchmark and what it takes, and running it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::args::BuildOptions;
use crate::error::{At, Error, Result};
use crate::process::{run, step, succeeds};
use crate::workspace::{self, cargo};
use crate::{components, instructions, revision};

/// What needs two components.
const ELEMENTS: [&str; 2] = ["guests/bench_elements_caller", "guests/bench_elements_callee"];

/// What needs neither components nor instructions.
const ALONE: [&str; 6] = ["--help", "--report", "--latency", "--engine", "--codecs", "--growth"];

/// The first revision whose benchmark has the jobs with TLS.
const EARLIEST: &str = "6f1da06";

/// With the arguments of the benchmark.
pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let has = |options: &[&str]| arguments.iter().any(|argument| options.contains(&argument.as_str()));
    let against = against(arguments)?;
    if against.is_some() && (has(&ALONE) || has(&["--elements", "--scale"])) {
        return Err(Error::Usage("--against is for the jobs alone".into()));
    }
    let earlier = against.map(check_out).transpose()?;
    // The client in C is built with cmake.
    let features = if succeeds(Command::new("cmake").arg("--version")) {
        "tls-peers,paho"
    } else {
        step("comparing without paho-mqtt: cmake is not installed");
        "tls-peers"
    };
    step("building the benchmark (the first time, its wasm host and its peers take minutes)");
    run(&mut cargo(&format!("{} --bin load", build(features))))?;
    let mut bench = Command::new(workspace::target().join(program()));
    if has(&["--elements", "--scale"]) {
        let only = if has(&["--scale"]) { vec!["mqtt".into()] } else { ELEMENTS.map(String::from).into() };
        components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
        bench.env(components::FOLDER_VARIABLE, components::folder());
    } else if !has(&ALONE) {
        components::build(&BuildOptions { quiet: true, ..BuildOptions::default() })?;
        bench.env(components::FOLDER_VARIABLE, components::folder());
        if let Some(file) = instructions::file()? {
            bench.env("MQTT_WASI_INSTRUCTIONS", file);
        }
    }
    if let (Some(revision), Some(source)) = (against, &earlier) {
        let target = build_earlier(revision, source)?;
        bench.env("MQTT_WASI_BENCH_BEFORE", target.join(program()));
        bench.env("MQTT_WASI_BENCH_BEFORE_COMPONENTS", target.join("components"));
    }
    run(bench.args(arguments))
}

/// The revision that is to be measured too.
fn against(arguments: &[String]) -> Result<Option<&str>> {
    let Some(place) = arguments.iter().position(|argument| argument == "--against") else { return Ok(None) };
    match arguments.get(place + 1).filter(|revision| !revision.starts_with('-')) {
        Some(revision) => Ok(Some(revision)),
        None => Err(Error::Usage("--against needs a revision".into())),
    }
}

/// The source of a revision that can be measured.
fn check_out(name: &str) -> Result<PathBuf> {
    let source = revision::check_out(name)?;
    if !has_tls(&source)? {
        let problem = format!("the benchmark of {name} has no TLS: {EARLIEST} is the earliest that can be measured");
        return Err(Error::Usage(problem));
    }
    Ok(source)
}

/// Builds a revision's benchmark and components, by its own commands, and returns the folder where they are.
fn build_earlier(name: &str, source: &Path) -> Result<PathBuf> {
    let target = source.join("target");
    let here = |mut cargo: Command| {
        cargo.current_dir(source).env("CARGO_TARGET_DIR", &target).env_remove(components::FOLDER_VARIABLE);
        cargo
    };
    step(&format!("building the benchmark of {name} (the first time, it takes as long as this one)"));
    run(&mut here(cargo(&build("peers"))))?;
    step(&format!("building the components of {name}"));
    run(&mut here(cargo("run --locked --quiet --package xtask -- build --quiet")))?;
    Ok(target)
}

fn has_tls(source: &Path) -> Result<bool> {
    let manifest = source.join("bench/Cargo.toml");
    Ok(fs::read_to_string(&manifest).at(&manifest)?.contains("tls-peers"))
}

fn build(features: &str) -> String {
    format!("build --locked --quiet --release -p bench --features {features} --bin bench")
}

/// Where it is, below the folder of what is built.
fn program() -> String {
    format!("release/bench{}", env::consts::EXE_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against_in(line: &str) -> Result<Option<String>> {
        let arguments: Vec<_> = line.split_whitespace().map(String::from).collect();
        against(&arguments).map(|revision| revision.map(Into::into))
    }

    #[test]
    fn revision_is_behind_its_option() {
        assert_eq!(against_in("--tls --against 6f1da06 connect").unwrap().as_deref(), Some("6f1da06"));
        assert_eq!(against_in("--quick connect").unwrap(), None);
        assert!(matches!(against_in("--against"), Err(Error::Usage(_))));
        assert!(matches!(against_in("--against --tls"), Err(Error::Usage(_))));
    }
}
