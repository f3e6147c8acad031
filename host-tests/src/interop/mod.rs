//! What real brokers keep of the promises of this client: each promise against each broker, in every form of the
//! client, and beside that the table of what is known not to hold.
//!
//! A promise that the table says nothing about has to hold. One that it says something about has to fail, and in the
//! way that it says: so the table is true on both sides.

mod cluster;
mod matrix;
mod promises;
mod restarts;
mod server;
mod stage;
mod table;
mod tls;

use std::sync::Mutex;

pub use cluster::Cluster;
pub use matrix::{Cell, Matrix, Tried, Verdict};
pub use promises::{PROMISES, Promise, Way};
pub use restarts::{Restart, Restarts};
pub use server::{Server, available};
pub use stage::{FORMS, Form, Stage};
pub use table::{BROKERS, Broker, Exception, Speaks};
pub use tls::{PEERS, Peer, TlsMatrix, try_tls};

/// Tries every promise at this broker, in every form of the client. `None` where it is not installed, which is said.
///
/// # Panics
/// When it is installed and does not start; when it is not installed and the variable `CI` is set.
#[must_use]
pub fn try_promises(broker: &Broker) -> Option<Vec<Cell>> {
    let server = Server::start(broker.name)?;
    let tried = PROMISES.iter().filter(|promise| promise.speaks == broker.speaks);
    let cell = |promise: &Promise, form| {
        let outcome = match server.url_by(promise.way) {
            Some(url) => promise.try_in(form, &url).map(|()| Tried::Holds),
            None => Ok(Tried::Unset),
        };
        broker.cell(promise.name, form, outcome)
    };
    Some(tried.flat_map(|promise| FORMS.map(|form| cell(promise, form))).collect())
}

/// Restarts this broker this often, in each of the ways, while each form of the client publishes and receives.
///
/// # Panics
/// As [`try_promises`].
#[must_use]
pub fn try_restarts(broker: &Broker, times: u32) -> Option<Vec<Cell>> {
    // Two brokers that start at once take each other's time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let mut cells = Vec::new();
    for (restart, times) in [(Restart::StoppedAtFirst, 1), (Restart::Stopped, times), (Restart::Killed, times)] {
        let mut server = Server::start(broker.name)?;
        let outcomes = Restarts::run(&mut server, restart, times);
        let tried = outcomes.into_iter().map(|(form, outcome)| (form, outcome.map(|()| Tried::Holds)));
        cells.extend(tried.map(|(form, outcome)| broker.cell(restart.name(), form, outcome)));
    }
    Some(cells)
}
