//! The stage of a job, which is in the host: to guests what `bench/src/stage.rs` is to native contenders.

use std::cell::Cell;
use std::net::SocketAddr;

use crate::arguments::Arguments;
use crate::job::Job;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "guest" });
}

use bindings::mqtt_wasi::bench::stage as host;

/// The host's stage, and what the command line says about the job.
pub(crate) struct Stage {
    arguments: Arguments,
    is_connected: Cell<bool>,
}

impl Stage {
    /// As [`Arguments::read`].
    ///
    /// # Panics
    /// As that.
    pub(crate) fn from_arguments() -> Self {
        Self { arguments: Arguments::read(), is_connected: Cell::new(false) }
    }

    /// Where the guest is to connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.arguments.address()
    }

    /// The same as a URL, which says whether by TLS or over WebSocket.
    pub(crate) fn url(&self) -> String {
        self.arguments.url()
    }

    /// Whom the guest is to trust, in PEM; `None` without TLS.
    pub(crate) fn ca(&self) -> Option<&str> {
        self.arguments.ca()
    }

    pub(crate) const fn job(&self) -> Job {
        self.arguments.job()
    }

    /// The guest is connected. The host hears of the first time only.
    pub(crate) fn connected(&self) {
        if !self.is_connected.replace(true) {
            host::connected();
        }
    }

    /// Has the sink send so many more messages.
    pub(crate) fn send(&self, messages: u32) {
        host::send(messages);
    }

    /// Has the sink cut the connection once no more messages come, and acknowledge everything from then on.
    pub(crate) fn cut(&self) {
        host::cut();
    }

    /// What comes before does not count; what follows does.
    pub(crate) fn begin(&self) {
        host::begin();
    }

    /// What was to be measured is done.
    pub(crate) fn end(&self) {
        host::end();
    }
}
