//! Every broker and every TLS server that the tests know: fetched, started, and tried with every form of the client.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::args::BuildOptions;
use crate::components;
use crate::error::Result;
use crate::process::{read, run, step};
use crate::workspace::{build_host_program, root, target};

/// The one that is part of the tests.
const EMBEDDED: &str = "mqtt5";

/// The option that has TLS servers tried instead of brokers, and the broker behind them.
const TLS: &str = "--tls";
const BACKEND: &str = "mosquitto-2.0";

/// Fetches the brokers that are named, or all, and tries them.
pub(crate) fn run_brokers(arguments: &[String]) -> Result<()> {
    let (script, needed): (_, &[&str]) = if arguments.iter().any(|argument| argument == TLS) {
        run(Command::new(script("broker")).args(["install", BACKEND]))?;
        (script("tls-peer"), &["mqtt-tls", "mqtt-wss"])
    } else {
        (script("broker"), &["mqtt", "mqtt-ws"])
    };
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let all = read(Command::new(&script).arg("list"))?;
    let wanted = all.lines().filter(|name| named.is_empty() || named.iter().any(|wanted| wanted == name));
    let only = needed.iter().map(|&name| name.into()).collect();
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    step("fetching what is tried (the first time, that takes a quarter of an hour)");
    run(Command::new(&script).arg("install").args(wanted.filter(|name| *name != EMBEDDED)))?;
    step("building what tries it (the first time, its wasm host takes minutes)");
    run(&mut build_host_program("interop"))?;
    let program = target().join(format!("debug/interop{}", env::consts::EXE_SUFFIX));
    run(Command::new(program).args(arguments).env(components::FOLDER_VARIABLE, components::folder()))
}

fn script(name: &str) -> PathBuf {
    root().join("host-tests/brokers").join(name)
}
