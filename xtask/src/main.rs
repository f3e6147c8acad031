//! The project's own commands: `cargo xtask --help` lists them.
#![forbid(unsafe_code)]

mod abi;
mod args;
mod binaryen;
mod components;
mod counts;
mod debian;
mod docs;
mod docs_examples;
mod error;
mod hosts;
mod instructions;
mod interop;
mod languages;
mod lint;
mod newcomer;
mod npm;
mod package;
mod process;
mod release;
mod scale;
mod shrink;
mod sizes;
mod testing;
mod toolchain;
mod workspace;

use std::env;
use std::process::{Command, ExitCode};

use args::{BuildOptions, SimulateOptions, Task};
use error::Result;
use process::{run, step, succeeds};
use toolchain::Toolchain;
use workspace::{EVERYTHING, build_host_program, cargo, under_schedules};

fn main() -> ExitCode {
    match Task::parse(env::args().skip(1)).and_then(execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(task: Task) -> Result<()> {
    match task {
        Task::Help => println!("{}", args::HELP),
        Task::Toolchain => println!("{}", Toolchain::find_or_fetch()?),
        Task::Build(options) => components::build(&options)?,
        Task::Languages(names) => languages::build(&names)?,
        Task::Hosts(names) => hosts::build(&names)?,
        Task::Test(extra) => testing::run_all(&extra)?,
        Task::Properties(cases) => testing::properties(cases)?,
        Task::Schedules(number) => schedules(number.unwrap_or(20_000))?,
        Task::StoreKill(number) => store_kill(number.unwrap_or(1000))?,
        Task::Simulate(options) => simulate(&options)?,
        Task::Demo(extra) => demo(&extra)?,
        Task::Run { program, arguments } => run_in_wasmtime(&program, &arguments)?,
        Task::Bench(extra) => bench(&extra)?,
        Task::Counts { accepts } => counts::compare(accepts)?,
        Task::Instructions(revision) => instructions::count(revision.as_deref())?,
        Task::Interop(arguments) => interop::run_brokers(&arguments)?,
        Task::Newcomer => newcomer::follow()?,
        Task::Scale(arguments) => scale::measure(&arguments)?,
        Task::Sizes => sizes::print()?,
        Task::Soak => soak()?,
        Task::Release => release::make()?,
        Task::Lint { docs_only: false } => lint::run_all()?,
        Task::Lint { docs_only: true } => docs::check()?,
    }
    Ok(())
}

/// Many more schedules than the tests go through.
fn schedules(number: usize) -> Result<()> {
    step(&format!("running each test of tests/schedules under {number} schedules of each kind"));
    run(under_schedules("test", "--release").env("SCHEDULES", number.to_string()))
}

/// Many more kills than the test makes.
fn store_kill(number: usize) -> Result<()> {
    step(&format!("killing a client with a store {number} times under load"));
    let mut kills = cargo("test --locked -p mqtt-wasi --features store,tokio --test store killed -- --nocapture");
    // What is skipped proves nothing, so a broker that is missing is a failure here.
    run(kills.env("MQTT_WASI_KILLS", number.to_string()).env("CI", "true"))
}

/// Many more seeds than the test goes through, with every assertion.
fn simulate(&SimulateOptions { seeds, from, is_loud }: &SimulateOptions) -> Result<()> {
    step(&format!("simulating an hour of {seeds} seeds from {from} on"));
    let mut simulation = cargo("test --locked --release -p mqtt-wasi --test simulation -- --nocapture");
    simulation.env("SIMULATE_SEEDS", seeds.to_string()).env("SIMULATE_FROM", from.to_string());
    if is_loud {
        simulation.env("SIMULATE_ALOUD", "1");
    }
    // Another build than that of the components and the benchmarks.
    simulation.env("CARGO_TARGET_DIR", workspace::target().join("simulate"));
    run(simulation
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"))
}

fn demo(extra: &[String]) -> Result<()> {
    components::build(&BuildOptions::default())?;
    step("building the demo (the first time, its wasm host takes minutes)");
    let target = workspace::target();
    run(build_host_program("demo").env("CARGO_TARGET_DIR", &target))?;
    let demo = target.join(format!("debug/demo{}", env::consts::EXE_SUFFIX));
    run(Command::new(demo).args(extra).env(components::FOLDER_VARIABLE, components::folder()))
}

/// Runs a program in wasmtime, which is built in.
fn run_in_wasmtime(program: &str, arguments: &[String]) -> Result<()> {
    let only = match program {
        "mqtt" => vec!["mqtt-cli".into()],
        _ => vec!["mqtt".into(), format!("showcase/{program}")],
    };
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    step("building the wasm host (the first time, it takes minutes)");
    let target = workspace::target();
    run(build_host_program("in_wasmtime").arg("--quiet").env("CARGO_TARGET_DIR", &target))?;
    let host = target.join(format!("debug/in_wasmtime{}", env::consts::EXE_SUFFIX));
    run(Command::new(host).arg(program).args(arguments).env(components::FOLDER_VARIABLE, components::folder()))
}

fn soak() -> Result<()> {
    let only = vec!["mqtt".into()];
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    step("building the wasm host (the first time, that takes minutes)");
    let soak = format!("run --locked --quiet --release {EVERYTHING} --bin soak");
    run(cargo(&soak).env(components::FOLDER_VARIABLE, components::folder()))
}

fn bench(extra: &[String]) -> Result<()> {
    // The client in C is built with cmake.
    let features = if succeeds(Command::new("cmake").arg("--version")) {
        "tls-peers,paho"
    } else {
        step("comparing without paho-mqtt: cmake is not installed");
        "tls-peers"
    };
    step("building the benchmark (the first time, its wasm host and its peers take minutes)");
    run(&mut cargo(&format!(
        "build --locked --quiet --release -p bench --features {features} --bin bench --bin load"
    )))?;
    let mut bench = Command::new(workspace::target().join(format!("release/bench{}", env::consts::EXE_SUFFIX)));
    // What needs two components, and what needs neither components nor instructions.
    const ELEMENTS: [&str; 2] = ["guests/bench_elements_caller", "guests/bench_elements_callee"];
    const ALONE: [&str; 6] = ["--help", "--report", "--latency", "--engine", "--codecs", "--growth"];
    let has = |options: &[&str]| extra.iter().any(|argument| options.contains(&argument.as_str()));
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
    run(bench.args(extra))
}
