//! What each implementation of TLS keeps of the promises of this client: versions, HelloRetryRequest, resumption,
//! records, client certificates. Each is tried in every form, through a server in front of a broker, and read off the
//! wire.

mod peer;
mod promises;
mod table;
mod wire;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use promises::{About, PROMISES};
pub use table::{PEERS, Peer};

use super::Server;
use super::matrix::{Cell, Matrix, notes};
use super::stage::FORMS;

/// The broker behind all of them.
const BACKEND: &str = "mosquitto-2.0";

/// What came of each promise at each server.
#[derive(Debug, Default)]
pub struct TlsMatrix(pub Matrix);

/// Tries every promise at this server, in every form of the client.
///
/// # Errors
/// When it, or the broker behind it, is not installed.
pub fn try_tls(peer: &'static Peer) -> Result<Vec<Cell>> {
    peer::available(peer.name)?;
    let broker = Server::start(BACKEND).with_context(|| format!("{BACKEND} is not installed"))?;
    let cell = |promise: &promises::Promise, form| {
        let outcome = promise.try_in(form, peer, broker.address());
        Cell::of(peer.name, peer.exceptions, promise.name, form, outcome)
    };
    Ok(PROMISES.iter().flat_map(|promise| FORMS.map(|form| cell(promise, form))).collect())
}

impl Peer {
    /// The version of the implementation.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn version(&self) -> Result<String> {
        peer::version(self.name)
    }

    /// What a line of a file says of this server, if the table still says the same.
    #[must_use]
    pub fn cell(&self, line: &str) -> Option<Cell> {
        Cell::among(self.name, self.exceptions, PROMISES.iter().map(|promise| promise.name), line)
    }
}

impl TlsMatrix {
    /// As tables of Markdown: a row for each server that was tried, a column for each promise.
    #[must_use]
    pub fn markdown(&self, version: impl Fn(&str) -> String) -> String {
        let mut reasons = Vec::new();
        let connections = self.table(About::Connections, Some(&version), &mut reasons);
        let keys = self.table(About::ServerKeys, None, &mut reasons);
        let clients = self.table(About::Clients, None, &mut reasons);
        format!(
            "{connections}\nThe key of the server's certificate, over TLS 1.2 and 1.3:\n\n{keys}\n\
             Client certificates, over both, by their key:\n\n{clients}{}",
            notes(&reasons)
        )
    }

    fn table(&self, about: About, version: Option<&dyn Fn(&str) -> String>, reasons: &mut Vec<&'static str>) -> String {
        let promises: Vec<_> = PROMISES.iter().filter(|promise| promise.about == about).collect();
        let heads = version.map(|_| "version").into_iter().chain(promises.iter().map(|promise| promise.says));
        let heads: Vec<_> = heads.collect();
        let mut table = format!("| server | {} |\n", heads.join(" | "));
        let _ = writeln!(table, "| ---{} |", " | ---".repeat(heads.len()));
        for peer in PEERS.iter().filter(|peer| self.0.has(peer.name)) {
            let _ = write!(table, "| {} |", peer.title);
            if let Some(version) = version {
                let _ = write!(table, " {} |", version(peer.name));
            }
            for promise in &promises {
                let _ = write!(table, " {} |", self.0.mark(peer.name, promise.name, reasons));
            }
            table.push('\n');
        }
        table
    }
}
