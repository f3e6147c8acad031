//! Hundreds of clients at a cluster that loses a node, work that instances share, and the memory of idle connections:
//! `cargo xtask scale`.

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use host_tests::interop::{Cluster, FORMS, Server};
use host_tests::scale::{Failover, idle_connections, share_work};

/// What has clusters, and whether a cluster keeps every acknowledged message when a node is killed.
const CLUSTERS: [(&str, bool); 3] = [("rabbitmq-4.3", true), ("ejabberd-26.07", false), ("rmqtt", false)];

/// The broker of what needs no cluster.
const SINGLE: &str = "mosquitto-2.1";

const CLIENTS: usize = 300;
const IDLE: usize = 300;
const WORKERS: usize = 20;
const JOBS: usize = 4_000;

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything came that has to.
fn run(arguments: Vec<String>) -> Result<bool> {
    let mut clients = CLIENTS;
    let mut names = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--clients" {
            clients = arguments.next().context("--clients needs a number")?.parse().context("--clients")?;
        } else if CLUSTERS.iter().any(|(name, _)| *name == argument) {
            names.push(argument);
        } else {
            bail!("there is no cluster of {argument}; there are {}", CLUSTERS.map(|(name, _)| name).join(", "));
        }
    }
    let mut is_good = share()?;
    measure_idle()?;
    for (name, keeps) in CLUSTERS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            is_good &= fail_over(name, keeps, clients)?;
        }
    }
    Ok(is_good)
}

fn fail_over(name: &'static str, keeps: bool, clients: usize) -> Result<bool> {
    println!("{name}: three nodes, {clients} clients, one node is killed");
    let mut cluster = Cluster::start(name).with_context(|| format!("{name} is not installed"))?;
    let failover = Failover::run(&mut cluster, clients);
    print!("{}", failover.report());
    if keeps && !failover.is_good() {
        println!("{name} is known to keep every client and every acknowledged message, and did not");
    }
    Ok(!keeps || failover.is_good())
}

fn share() -> Result<bool> {
    let server = Server::start(SINGLE).context("it is not installed")?;
    let shares = share_work(&server.url(), WORKERS, JOBS)?;
    println!(
        "{SINGLE}: {JOBS} messages to a shared subscription of {WORKERS} instances: {} came, {} to {} each",
        shares.total(),
        shares.0.iter().min().unwrap_or(&0),
        shares.0.iter().max().unwrap_or(&0),
    );
    Ok(shares.total() == JOBS && shares.0.iter().all(|share| *share > 0))
}

fn measure_idle() -> Result<()> {
    let server = Server::start(SINGLE).context("it is not installed")?;
    for form in FORMS {
        let idle = idle_connections(form, &server.url(), IDLE)?;
        println!("{}: {} bytes for each of {} idle connections", form.name(), idle.bytes, idle.connections);
    }
    Ok(())
}
