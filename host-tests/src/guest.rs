//! Guests: programs that import the `mqtt` interface, composed with the component that exports it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::broker;
use crate::components::{compose, compose_as_wasm_tools, load};
use crate::runtime::{Permissions, Runtime};

/// A guest of `host-tests/guests`, composed with `mqtt.wasm`.
pub struct Guest {
    name: String,
    runtime: Runtime,
}

/// What the guest of the demo says in its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many messages came back as they were sent.
    pub intact: u32,
    /// How long a message was on its way to the broker and back; half of them were faster.
    pub median_round_trip: Duration,
}

impl Summary {
    /// Finds it at the end of the guest's output.
    #[must_use]
    pub fn of(output: &str) -> Option<Self> {
        let (intact, micros) =
            output.lines().last()?.strip_prefix("guest: intact=")?.split_once(" median-round-trip-us=")?;
        Some(Self { intact: intact.parse().ok()?, median_round_trip: Duration::from_micros(micros.parse().ok()?) })
    }
}

impl Guest {
    /// Loads, composes and compiles the guest with this name.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn load(name: &str) -> Self {
        Self::compose(&format!("guests/{name}.wasm"))
    }

    /// As [`Guest::load`], by the path below the folder of components.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn compose(path: &str) -> Self {
        Self::compose_by(path, compose)
    }

    /// As [`Guest::compose`], as `wasm-tools compose` does it, in this folder.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn compose_as_wasm_tools(path: &str, folder: &Path) -> Self {
        Self::compose_by(path, |guest, mqtt| compose_as_wasm_tools(guest, mqtt, folder))
    }

    fn compose_by(path: &str, compose: impl FnOnce(&[u8], &[u8]) -> anyhow::Result<Vec<u8>>) -> Self {
        let runtime = load(path)
            .and_then(|guest| compose(&guest, &load("mqtt.wasm")?))
            .and_then(|composed| Runtime::new(&composed))
            .unwrap_or_else(|error| panic!("{path}: {error:?}"));
        Self { name: path.to_owned(), runtime }
    }

    /// Runs it to its end, with leave to connect to this broker; returns what it wrote to standard output.
    ///
    /// # Panics
    /// When it fails or traps, with everything that it wrote.
    pub fn run(&self, broker: SocketAddr) -> String {
        self.run_with(broker, &[])
    }

    /// As [`Guest::run`], with more arguments than the URL.
    ///
    /// # Panics
    /// As [`Guest::run`].
    pub fn run_with(&self, broker: SocketAddr, more: &[&str]) -> String {
        let url = broker::url(broker);
        let args: Vec<_> = [url.as_str()].iter().chain(more).copied().collect();
        let output = self.runtime.run(&args, &Permissions::to(broker)).expect("it can be instantiated");
        assert!(output.success, "{} failed\n{}\n{}", self.name, output.stdout, output.stderr);
        output.stdout
    }
}
