//! Runs a program in wasmtime, for `cargo xtask run`. Those of `examples/showcase` may connect to the brokers in their
//! arguments, the command-line client anywhere. All may write into the current folder, and nothing else.

use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;

use anyhow::{Context, Result};
use host_tests::components::{load, showcase};
use host_tests::runtime::{Permissions, Runtime};
use mqtt_wasi::BrokerUrl;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        // It has told why.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<bool> {
    let (program, args) = args.split_first().context("the name of the program is missing")?;
    let data = Some(std::env::current_dir()?);
    let (component, permissions) = match program.as_str() {
        "mqtt" => (load("mqtt-cli.wasm")?, Permissions { anywhere: true, name_lookup: true, ..Permissions::default() }),
        _ => (showcase(program)?, permissions(args)?),
    };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Runtime::new(&component)?.run_as_this(&args, &Permissions { data, ..permissions })
}

/// What the arguments need. Without a URL, the broker of this machine, which is what the programs choose then.
fn permissions(args: &[String]) -> Result<Permissions> {
    let mut permissions = Permissions::default();
    let urls: Vec<&str> = args.iter().map(String::as_str).filter(|arg| arg.contains("://")).collect();
    for url in if urls.is_empty() { vec!["mqtt://localhost"] } else { urls } {
        let url: BrokerUrl = url.parse()?;
        let place = (url.host.as_str(), url.port);
        permissions.addresses.extend(place.to_socket_addrs().with_context(|| format!("looking up {}", url.host))?);
        permissions.name_lookup |= url.host.parse::<IpAddr>().is_err();
    }
    Ok(permissions)
}
