//! Who is measured. Each does every job as its own documentation shows, with its default settings except those that its
//! file names. What it cannot do, it reports, and that is shown in place of figures.

mod blocking;
mod endpoint;
mod minimq;
mod mqtt5;
#[cfg(feature = "paho")]
mod paho;
mod rumqttc;
mod runtime;
mod rust_mqtt;
mod seed;
mod seed_blocking;
mod tls;
mod tokio;
mod wasm;

pub(crate) use runtime::current_thread;
pub(crate) use wasm::{prepare, start_times};

use crate::stage::Stage;
use crate::target::Target;

/// Somebody who can be asked to do a job.
pub(crate) struct Contender {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Does the job of the stage. Everything it opened is closed when it returns.
    pub(crate) run: fn(&Stage) -> Result<(), Unable>,
}

impl Contender {
    /// Whether it is this client in one of its forms, as it is now.
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with("mqtt-wasi, ")
    }
}

/// Why a contender did not do a job.
#[derive(Debug)]
pub(crate) enum Unable {
    /// It has no way to do it; what is missing.
    Lacks(&'static str),
    /// It tried, and failed.
    Failed(String),
}

/// The first is what the others are compared with.
const ALL: &[Contender] = &[
    contender("mqtt-wasi, blocking", blocking::run),
    contender("mqtt-wasi, tokio", tokio::run),
    contender("mqtt-wasi, tokio, one call each", tokio::run_single),
    contender("mqtt-wasi, component in wasmtime", wasm::composed),
    contender("mqtt-wasi, component, one call each", wasm::composed_single),
    contender("mqtt-wasi, component, bulk", wasm::composed_bulk),
    contender("mqtt-wasi, component for WASI 0.3", wasm::p3::composed),
    contender("mqtt-wasi, component for WASI 0.3, one call each", wasm::p3::composed_single),
    contender("mqtt-wasi, wasip2 guest", wasm::blocking),
    contender("mqtt-wasi 0.2.0, blocking", seed::blocking),
    contender("mqtt-wasi 0.2.0, tokio", seed::tokio),
    contender("mqtt-wasi 0.2.0, wasip2 guest", wasm::seed),
    contender("rumqttc 0.25", rumqttc::run),
    contender("rumqttc 0.25, Nagle", rumqttc::run_with_nagle),
    contender("rumqttc-v5-next 0.34", rumqttc::next::run),
    contender("rumqttc-v5-next 0.34, Nagle", rumqttc::next::run_with_nagle),
    contender("mqtt5 0.49", mqtt5::run),
    #[cfg(feature = "paho")]
    contender("paho-mqtt 0.14", paho::run),
    contender("mqtt-endpoint-tokio 0.6", endpoint::run),
    contender("rust-mqtt 0.6", rust_mqtt::run),
    contender("minimq 0.13", minimq::run),
];

/// Those that are measured by TLS too, in the same order. rumqttc is among them only where its TLS is built.
const BY_TLS: &[Contender] = &[
    contender("mqtt-wasi, blocking", tls::run),
    contender("mqtt-wasi, blocking, ring", tls::run_with_ring),
    contender("mqtt-wasi, tokio", tokio::run),
    contender("mqtt-wasi, component in wasmtime", wasm::composed),
    contender("mqtt-wasi, component, wide arithmetic", wasm::composed_wide),
    contender("mqtt-wasi, component, TLS of the host", wasm::composed_host_tls),
    #[cfg(feature = "tls-peers")]
    contender("rumqttc 0.25", rumqttc::run),
];

/// Those that are measured over WebSocket too, in the same order.
const BY_WEBSOCKET: &[Contender] = &[
    contender("mqtt-wasi, blocking", blocking::run),
    contender("mqtt-wasi, tokio", tokio::run),
    contender("mqtt-wasi, component in wasmtime", wasm::composed),
    contender("rumqttc-v5-next 0.34", rumqttc::next::run),
];

/// Who does jobs with this peer.
pub(crate) const fn of(target: Target) -> &'static [Contender] {
    match target {
        Target::Sink | Target::Mosquitto(_) => ALL,
        Target::Tls(_) => BY_TLS,
        Target::WebSocket => BY_WEBSOCKET,
    }
}

const fn contender(name: &'static str, run: fn(&Stage) -> Result<(), Unable>) -> Contender {
    Contender { name, run }
}

impl<E: std::fmt::Display> From<E> for Unable {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}
