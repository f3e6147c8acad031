//! Tries every promise at every TLS server, or at those that are named: `cargo xtask interop --tls`.

use anyhow::{Result, ensure};
use host_tests::interop::{Cell, PEERS, Peer, TlsMatrix, try_tls};

use crate::page;

/// Whether everything is as the table says.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    let mut tried = TlsMatrix::default();
    for peer in selected(names)? {
        eprintln!("interop: {}", peer.title);
        let cells = try_tls(peer)?;
        cells.iter().filter_map(Cell::problem).for_each(|problem| eprintln!("interop: {problem}"));
        page::keep(&kept(peer.name), peer.version()?, &cells)?;
        tried.0.cells.extend(cells);
    }
    print!("{}", tried.0.lines());
    let problems = tried.0.problems();
    println!("{} promises tried, {} not as the table says", tried.0.cells.len(), problems.len());
    problems.iter().for_each(|problem| println!("  {problem}"));
    write_page()?;
    Ok(problems.is_empty())
}

fn selected(names: &[String]) -> Result<Vec<&'static Peer>> {
    for name in names {
        let names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
        ensure!(names.contains(&name.as_str()), "there is no TLS server {name}; there are {}", names.join(", "));
    }
    Ok(PEERS.iter().filter(|peer| names.is_empty() || names.iter().any(|name| name == peer.name)).collect())
}

/// What a server is kept as, apart from brokers.
fn kept(name: &str) -> String {
    format!("tls-{name}")
}

/// Writes the matrix of all that is kept to docs/security.md.
fn write_page() -> Result<()> {
    let mut matrix = TlsMatrix::default();
    let mut versions = Vec::new();
    for peer in PEERS {
        let Some((version, lines)) = page::kept_of(&kept(peer.name)) else { continue };
        versions.push((peer.name, version));
        matrix.0.cells.extend(lines.iter().filter_map(|line| peer.cell(line)));
    }
    let version = |name: &str| versions.iter().find(|(known, _)| *known == name).map(|(_, version)| version.clone());
    page::write("security.md", &matrix.markdown(|name| version(name).unwrap_or_default()))
}
