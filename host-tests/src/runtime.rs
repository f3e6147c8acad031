//! Running components in wasmtime, with no permission but the network addresses they are given.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::capture::Capture;

/// More handles than any component here has at once. One that leaks them traps.
const MOST_HANDLES: usize = 1_000;

/// A compiled component, ready to be run any number of times.
pub struct Runtime {
    engine: Engine,
    component: Component,
    linker: Linker<Host>,
}

/// What a component may do.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// The addresses it may connect to.
    pub addresses: Vec<SocketAddr>,
    /// Whether it may look up host names.
    pub name_lookup: bool,
    /// The folder that it may read, as `/`.
    pub folder: Option<PathBuf>,
    /// What tells it the time. Default: the system's clock.
    pub clock: Option<Clock>,
}

/// A monotonic clock that is not: it can be set back. It counts how often it is read.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<ClockState>);

#[derive(Debug)]
struct ClockState {
    start: Instant,
    /// In nanoseconds.
    set_back: AtomicU64,
    readings: AtomicU64,
}

impl Default for ClockState {
    fn default() -> Self {
        Self { start: Instant::now(), set_back: AtomicU64::new(0), readings: AtomicU64::new(0) }
    }
}

impl Clock {
    /// Sets it back.
    pub fn set_back(&self, by: Duration) {
        self.0.set_back.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }

    /// How often it was read.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.0.readings.load(Ordering::Relaxed)
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        /// When it starts: it can be set back by as much.
        const DAY: u64 = 86_400_000_000_000;
        self.0.readings.fetch_add(1, Ordering::Relaxed);
        DAY + self.0.start.elapsed().as_nanos() as u64 - self.0.set_back.load(Ordering::Relaxed)
    }
}

/// The host's side of a running component.
pub struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    memory_bytes: usize,
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error, and why it trapped if it did.
    pub stderr: String,
    /// Whether it ended by itself, with success.
    pub success: bool,
    /// The size of all its linear memories together, at its end.
    pub memory_bytes: usize,
}

impl Permissions {
    /// Leave to connect to this address.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self { addresses: vec![address], ..Self::default() }
    }
}

impl Runtime {
    /// Compiles a component.
    ///
    /// # Errors
    /// When the bytes are no valid component.
    pub fn new(component: &[u8]) -> Result<Self> {
        let engine = Engine::new(&Config::new())?;
        let component = Component::new(&engine, component).map_err(|error| error.context("compiling the component"))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        Ok(Self { engine, component, linker })
    }

    /// The component, to instantiate by other means.
    #[must_use]
    pub const fn component(&self) -> &Component {
        &self.component
    }

    /// The WASI interfaces of the host.
    #[must_use]
    pub const fn linker(&self) -> &Linker<Host> {
        &self.linker
    }

    /// The names of what the component imports: all that it can ask of its host.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        self.component.component_type().imports(&self.engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// A store with these permissions, whose output nobody sees.
    #[must_use]
    pub fn store(&self, permissions: &Permissions) -> Store<Host> {
        Store::new(&self.engine, Host::new(permissions, &mut WasiCtxBuilder::new()))
    }

    /// Runs a command component, one that exports `wasi:cli/run`, to its end.
    ///
    /// # Errors
    /// When it cannot be instantiated. That it fails or traps is told by the [`Output`].
    pub fn run(&self, args: &[&str], permissions: &Permissions) -> Result<Output> {
        self.run_with(args, permissions, Capture::hidden(), Capture::hidden())
    }

    /// As [`Runtime::run`], with the output shown as it happens.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_shown(&self, args: &[&str], permissions: &Permissions) -> Result<Output> {
        self.run_with(args, permissions, Capture::on_stdout(), Capture::on_stderr())
    }

    fn run_with(&self, args: &[&str], permissions: &Permissions, stdout: Capture, stderr: Capture) -> Result<Output> {
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").args(args).stdout(stdout.clone()).stderr(stderr.clone());
        let mut store = Store::new(&self.engine, Host::new(permissions, &mut builder));
        store.limiter(|host| host);
        store.set_max_component_handles(MOST_HANDLES);
        let command = Command::instantiate(&mut store, &self.component, &self.linker)?;
        let ended = command.wasi_cli_run().call_run(&mut store);
        let (success, trap) = match ended {
            Ok(result) => (result.is_ok(), String::new()),
            Err(error) => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => (exit.0 == 0, String::new()),
                None => (false, format!("{error:?}")),
            },
        };
        let memory_bytes = store.data().memory_bytes;
        Ok(Output { stdout: stdout.text(), stderr: stderr.text() + &trap, success, memory_bytes })
    }
}

impl Host {
    fn new(permissions: &Permissions, builder: &mut WasiCtxBuilder) -> Self {
        let allowed = permissions.addresses.clone();
        if let Some(folder) = &permissions.folder {
            let opened = builder.preopened_dir(folder, "/", FsPerms::ReadOnly);
            let _ = opened.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        if let Some(clock) = &permissions.clock {
            builder.monotonic_clock(clock.clone());
        }
        builder.allow_tcp(!allowed.is_empty()).allow_udp(false).allow_ip_name_lookup(permissions.name_lookup);
        builder.socket_addr_check(move |address, reason| {
            let is_allowed = match reason {
                SocketAddrUse::TcpConnect => allowed.contains(&address),
                // What a socket is bound to before it connects: no port that a test would have chosen.
                SocketAddrUse::TcpBind => address.port() == 0,
                _ => false,
            };
            Box::pin(async move { is_allowed })
        });
        Self { wasi: builder.build(), table: ResourceTable::new(), memory_bytes: 0 }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Limits nothing, and counts.
impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let can_grow = maximum.is_none_or(|maximum| desired <= maximum);
        if can_grow {
            self.memory_bytes += desired - current;
        }
        Ok(can_grow)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}
