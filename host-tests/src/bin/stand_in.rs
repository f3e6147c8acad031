//! Stands in for `wac` and `wasmtime` on a machine that does not have them, for `cargo xtask newcomer`. It takes the
//! arguments that the README uses, and no others.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use host_tests::components::compose;
use host_tests::runtime::{Permissions, Runtime};

/// Where the broker listens that `cargo xtask newcomer` starts.
const PORT: u16 = 1883;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["wac", "plug", socket, "--plug", plug, "-o", output] => plug_in(socket, plug, output),
        ["wasmtime", "run", args @ ..] => run(args),
        _ => Err(anyhow::anyhow!("stand_in has nothing for these arguments: {}", args.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plug_in(socket: &str, plug: &str, output: &str) -> Result<()> {
    let composed = compose(&read(socket)?, &read(plug)?)?;
    fs::write(output, composed).with_context(|| format!("writing {output}"))
}

/// Runs a component with what `-S` allows, which is the broker at most.
fn run(mut args: &[&str]) -> Result<()> {
    let mut permissions = Permissions::default();
    while let ["-S", option, rest @ ..] = args {
        match *option {
            "inherit-network" => {
                permissions.addresses = vec![(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()];
            }
            "allow-ip-name-lookup" => permissions.name_lookup = true,
            _ => bail!("stand_in does not know `-S {option}`"),
        }
        args = rest;
    }
    let [component, args @ ..] = args else { bail!("no component to run") };
    let output = Runtime::new(&read(component)?)?.run_shown(args, &permissions)?;
    if output.success { Ok(()) } else { bail!("{component} failed") }
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(Path::new(path)).with_context(|| format!("reading {path}"))
}
