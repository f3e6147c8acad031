//! Running tests: all of them, whatever fails on the way, and a summary of what passed, failed and was skipped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use crate::args::BuildOptions;
use crate::components;
use crate::error::{Error, Result};
use crate::process::{step, tee};
use crate::workspace::{EVERYTHING, cargo, target, under_schedules};

/// The variable that proptest reads its seed from, and what it is unless someone sets it: a property that holds today
/// holds tomorrow, until code changes. `cargo xtask properties` looks for what this seed does not find.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";
const SEED: u64 = 20_260_101;

/// How many cases of each property `cargo xtask properties` tries, unless it is told.
const MANY_CASES: usize = 10_000;

/// The variable with the file that tests write into why they are skipped.
const SKIPPED_VARIABLE: &str = "MQTT_WASI_SKIPPED";

/// Where properties are.
const PROPERTIES: &str = "--lib --test session --test codec_round_trip --test codec_arbitrary";

/// Runs every test, or those that these arguments of `cargo test` select.
pub(crate) fn run_all(extra: &[String]) -> Result<()> {
    let mut tests = Tests::new(&env::var(SEED_VARIABLE).unwrap_or_else(|_| SEED.to_string()));
    tests.note("building the components", components::build(&BuildOptions::default()));
    // What the caller picks out of the workspace need not be in the engine alone.
    if extra.is_empty() {
        tests.run(
            "testing the engine alone, without std",
            &mut cargo("test --no-fail-fast --locked -p mqtt-wasi --no-default-features"),
        );
        let name = "testing the async client under schedules chosen at random";
        tests.run(name, &mut under_schedules("test", "--no-fail-fast"));
    }
    let name = "testing the workspace (the first time, its wasm host takes minutes to build)";
    let mut workspace = cargo(&format!("test --locked {EVERYTHING}"));
    if !extra.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--no-fail-fast") {
        workspace.arg("--no-fail-fast");
    }
    tests.run(name, workspace.args(extra).env(components::FOLDER_VARIABLE, components::folder()));
    tests.finish()
}

/// Tries many cases of each property, with a seed that no run had before.
pub(crate) fn properties(cases: Option<usize>) -> Result<()> {
    let seed = env::var(SEED_VARIABLE).unwrap_or_else(|_| {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (time.as_nanos() as u64).to_string()
    });
    let mut tests = Tests::new(&seed);
    let cases = cases.unwrap_or(MANY_CASES);
    let features = "mqtt-wasi/bulk,mqtt-wasi/json,mqtt-wasi/proxy,mqtt-wasi/scram,mqtt-wasi/socket-options,mqtt-wasi/tls,mqtt-wasi/tokio,\
                    mqtt-wasi/ws";
    let mut command =
        cargo(&format!("test --release --no-fail-fast --locked -p mqtt-wasi --features {features} {PROPERTIES}"));
    let name =
        format!("trying {cases} cases of each property; one that fails is kept in a file `*.proptest-regressions`");
    tests.run(&name, command.env("PROPTEST_CASES", cases.to_string()));
    tests.finish()
}

/// What tests have come to so far.
struct Tests {
    seed: String,
    /// Where tests write why they are skipped.
    skipped: PathBuf,
    tally: Tally,
    /// What went wrong besides tests that failed.
    problems: Vec<String>,
}

impl Tests {
    fn new(seed: &str) -> Self {
        step(&format!("properties are tried with the seed {seed}: {SEED_VARIABLE}={seed} tries the same cases again"));
        let skipped = target().join("skipped-tests.txt");
        // There may be none.
        let _ = fs::remove_file(&skipped);
        Self { seed: seed.into(), skipped, tally: Tally::default(), problems: Vec::new() }
    }

    /// Runs a command of `cargo test`, and continues after it, however it ends.
    fn run(&mut self, name: &str, command: &mut Command) {
        step(name);
        command.env(SEED_VARIABLE, &self.seed).env(SKIPPED_VARIABLE, &self.skipped);
        let failed_before = self.tally.failed.len();
        let ended = tee(command, |line| self.tally.read(line));
        // Failed tests are told of by their names.
        if self.tally.failed.len() == failed_before {
            self.note(name, ended);
        }
    }

    fn note(&mut self, name: &str, ended: Result<()>) {
        if let Err(error) = ended {
            eprintln!("error: {error}");
            self.problems.push(format!("{name}: {error}"));
        }
    }

    fn finish(mut self) -> Result<()> {
        let written = fs::read_to_string(&self.skipped).unwrap_or_default();
        self.tally.skipped.extend(written.lines().map(String::from));
        eprintln!("\n{}", self.tally.summary(&self.problems));
        eprintln!("properties had the seed {}", self.seed);
        let failed = self.tally.failed.len() + self.problems.len();
        if failed == 0 { Ok(()) } else { Err(Error::Tests { failed }) }
    }
}

/// What the output of tests says.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    /// Names with reasons, each once.
    skipped: BTreeSet<String>,
}

impl Tally {
    /// Reads a line of what libtest prints.
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let passed =
                counts.split([' ', ';']).zip(counts.split([' ', ';']).skip(1)).find(|(_, word)| *word == "passed");
            self.passed += passed.and_then(|(count, _)| count.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some((name, result)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            if result == "FAILED" {
                self.failed.push(name.into());
            } else if let Some(reason) = result.strip_prefix("ignored") {
                let reason = reason.strip_prefix(", ").unwrap_or("ignored, without a reason");
                self.skipped.insert(format!("{name}: {reason}"));
            }
        }
    }

    fn summary(&self, problems: &[String]) -> String {
        let Self { passed, failed, skipped } = self;
        let mut summary = format!("{passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
        let lists = [
            ("failed", failed.iter().collect::<Vec<_>>()),
            ("skipped", skipped.iter().collect()),
            ("not run to its end", problems.iter().collect()),
        ];
        for (what, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            write!(summary, "\n{what}:").expect("a string takes everything");
            for entry in list {
                write!(summary, "\n  {entry}").expect("a string takes everything");
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_summed_up() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test reconnect::works ... ok",
            "test reconnect::fails ... FAILED",
            "test broker::large ... ignored, takes an hour",
            "test src/lib.rs - Client (line 7) ... ok",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.23s",
        ] {
            tally.read(line);
        }
        tally.skipped.insert("mosquitto::retains: mosquitto is not installed".into());
        assert_eq!(
            tally.summary(&["building the components: no toolchain".into()]),
            "42 passed, 1 failed, 2 skipped\nfailed:\n  reconnect::fails\nskipped:\n  broker::large: takes an hour\n  \
             mosquitto::retains: mosquitto is not installed\nnot run to its end:\n  building the components: no toolchain"
        );
    }
}
