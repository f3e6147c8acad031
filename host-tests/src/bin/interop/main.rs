//! Tries every promise at every broker, or at those that are named, and prints a matrix: `cargo xtask interop`.
//!
//! What came of a broker is kept in `target/interop`, so that the page has the brokers that were tried before, too.
//! With `--tls`, TLS servers are tried instead.

mod page;
mod tls;

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use host_tests::interop::{BROKERS, Broker, Cell, Matrix, Server, available, try_promises, try_restarts};

/// How often each broker is stopped, and how often it is killed.
const RESTARTS: u32 = 20;

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

/// Whether everything is as the table says.
fn run(mut arguments: Vec<String>) -> Result<bool> {
    if take(&mut arguments, "--tls") {
        return tls::run(&arguments);
    }
    let restarts = if take(&mut arguments, "--no-restarts") { 0 } else { RESTARTS };
    let mut matrix = Matrix::default();
    for broker in selected(&arguments)? {
        available(broker.name).map_err(anyhow::Error::msg)?;
        eprintln!("interop: {}", broker.title);
        let mut cells = try_promises(broker).context("it was there a moment ago")?;
        if restarts > 0 && broker.is_restarted() {
            cells.extend(try_restarts(broker, restarts).context("it was there a moment ago")?);
        }
        cells.iter().filter_map(Cell::problem).for_each(|problem| eprintln!("interop: {problem}"));
        if restarts > 0 {
            page::keep(broker.name, Server::version(broker.name), &cells)?;
        }
        matrix.cells.extend(cells);
    }
    print!("{}", matrix.lines());
    let problems = matrix.problems();
    println!("{} promises tried, {} not as the table says", matrix.cells.len(), problems.len());
    problems.iter().for_each(|problem| println!("  {problem}"));
    if restarts > 0 {
        write_page()?;
    }
    Ok(problems.is_empty())
}

fn take(arguments: &mut Vec<String>, option: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != option);
    arguments.len() < before
}

fn selected(names: &[String]) -> Result<Vec<&'static Broker>> {
    for name in names {
        let names: Vec<_> = BROKERS.iter().map(|broker| broker.name).collect();
        ensure!(names.contains(&name.as_str()), "there is no broker {name}; there are {}", names.join(", "));
    }
    Ok(BROKERS.iter().filter(|broker| names.is_empty() || names.iter().any(|name| name == broker.name)).collect())
}

/// Writes the matrix of all that is kept to docs/brokers.md.
fn write_page() -> Result<()> {
    let mut matrix = Matrix::default();
    let mut versions = Vec::new();
    for broker in BROKERS {
        let Some((version, lines)) = page::kept_of(broker.name) else { continue };
        versions.push((broker.name, version));
        matrix.cells.extend(lines.iter().filter_map(|line| Cell::from_line(broker, line)));
    }
    let version = |name: &str| versions.iter().find(|(known, _)| *known == name).map(|(_, version)| version.clone());
    page::write("brokers.md", &matrix.markdown(|name| version(name).unwrap_or_default()))
}
