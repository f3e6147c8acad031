//! The stage of a job, which is in the host: to guests what `bench/src/stage.rs` is to native contenders.

use std::cell::Cell;
use std::env;
use std::net::SocketAddr;

use crate::job::Job;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "guest" });
}

use bindings::mqtt_wasi::bench::stage as host;

/// Whom to trust, in PEM, where the guest is to speak TLS; it is not there else.
const CA_VARIABLE: &str = "MQTT_WASI_BENCH_CA";

/// It is there where the guest is to speak WebSocket.
const WEBSOCKET_VARIABLE: &str = "MQTT_WASI_BENCH_WEBSOCKET";

/// The host's stage, and what the command line says about the job.
pub(crate) struct Stage {
    address: SocketAddr,
    ca: Option<String>,
    job: Job,
    is_connected: Cell<bool>,
}

impl Stage {
    /// With the arguments ADDRESS WORK OPERATIONS WARM_UP, and behind them what is a guest's own.
    ///
    /// # Panics
    /// When they are not there, or not that.
    pub(crate) fn from_arguments() -> Self {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let [address, work, operations, warm_up, ..] = arguments.as_slice() else {
            panic!("arguments: ADDRESS WORK OPERATIONS WARM_UP")
        };
        let job = Job {
            work: work.parse().expect("the host names jobs as they print themselves"),
            operations: operations.parse().expect("the host passes a number"),
            warm_up: warm_up.parse().expect("the host passes a number"),
        };
        let address = address.parse().expect("the host passes a socket address");
        Self { address, ca: env::var(CA_VARIABLE).ok(), job, is_connected: Cell::new(false) }
    }

    /// Where the guest is to connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, which says whether by TLS or over WebSocket.
    pub(crate) fn url(&self) -> String {
        let scheme = match (self.ca.is_some(), env::var_os(WEBSOCKET_VARIABLE).is_some()) {
            (true, _) => "mqtts",
            (false, true) => "ws",
            (false, false) => "mqtt",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Whom the guest is to trust, in PEM; `None` without TLS.
    pub(crate) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    pub(crate) const fn job(&self) -> Job {
        self.job
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
