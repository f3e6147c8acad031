//! Hundreds of clients at clusters that lose a node: what `docs/scale.md` has its figures from.

use std::env;
use std::process::Command;

use crate::args::BuildOptions;
use crate::components;
use crate::error::Result;
use crate::process::{run, step};
use crate::workspace::{build_host_program, root, target};

/// What has clusters, and the single broker for what needs none.
const CLUSTERS: [&str; 3] = ["rabbitmq-4.3", "ejabberd-26.07", "rmqtt"];
const SINGLE: &str = "mosquitto-2.1";

/// Fetches the brokers that are named, or all, and runs the measurement.
pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let named = |name: &&str| arguments.iter().any(|argument| argument == name);
    let are_named = CLUSTERS.iter().any(&named);
    let wanted = CLUSTERS.into_iter().filter(|name| !are_named || named(name)).chain([SINGLE]);
    let only = vec!["mqtt".into()];
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    step("fetching the brokers (the first time, that takes minutes)");
    run(Command::new(root().join("host-tests/brokers/broker")).arg("install").args(wanted))?;
    step("building what measures (the first time, its wasm host takes minutes)");
    run(&mut build_host_program("scale"))?;
    let program = target().join(format!("debug/scale{}", env::consts::EXE_SUFFIX));
    run(Command::new(program).args(arguments).env(components::FOLDER_VARIABLE, components::folder()))
}
