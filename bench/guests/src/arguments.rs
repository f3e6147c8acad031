//! What the command line says about the job. All guests share this file.

use std::env;
use std::net::SocketAddr;

use crate::job::Job;

/// Whom to trust, in PEM, where the guest is to speak TLS; it is not there else.
const CA_VARIABLE: &str = "MQTT_WASI_BENCH_CA";

/// It is there where the guest is to speak WebSocket.
const WEBSOCKET_VARIABLE: &str = "MQTT_WASI_BENCH_WEBSOCKET";

/// Says that the host does TLS, and whom it trusts.
const TLS_BY_HOST: &str = "tls=host";

/// What a guest is to do, and with whom.
pub(crate) struct Arguments {
    address: SocketAddr,
    ca: Option<String>,
    job: Job,
}

impl Arguments {
    /// ADDRESS WORK OPERATIONS WARM_UP, and behind them what is a guest's own.
    ///
    /// # Panics
    /// When they are not there, or not that.
    pub(crate) fn read() -> Self {
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
        Self { address, ca: env::var(CA_VARIABLE).ok(), job }
    }

    /// Where the guest is to connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, which says whether by TLS or over WebSocket.
    pub(crate) fn url(&self) -> String {
        let by_host = env::args().any(|argument| argument == TLS_BY_HOST);
        let scheme = match (self.ca.is_some() || by_host, env::var_os(WEBSOCKET_VARIABLE).is_some()) {
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
}
