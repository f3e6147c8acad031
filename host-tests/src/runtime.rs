//! Running components in wasmtime, with no permission but the network addresses they are given.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncRead;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, OperatorCost, ResourceLimiter, Store};
use wasmtime_wasi::cli::{AsyncStdinStream, StdinStream};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p3::bindings::Command as CommandP3;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_tls::p2::LinkOptions;
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView, WasiTlsView};

use crate::capture::Capture;
use crate::host_tls::trusting;
use crate::key_value::{self, KeyValue};

/// More handles than any component here has at once. One that leaks them traps.
const MOST_HANDLES: usize = 1_000;

/// A compiled component, ready to be run any number of times.
pub struct Runtime {
    engine: Engine,
    component: Component,
    linker: Linker<Host>,
    /// Whether its instructions take fuel, of which a store then has more than it will ever need.
    is_metered: bool,
}

/// What a component may do.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// The addresses it may connect to.
    pub addresses: Vec<SocketAddr>,
    /// Whether it may connect to any address.
    pub anywhere: bool,
    /// Whether it may look up host names.
    pub name_lookup: bool,
    /// The folder that it may read, as `/`.
    pub folder: Option<PathBuf>,
    /// The folder that it may write, as `.`.
    pub data: Option<PathBuf>,
    /// The authorities that the host trusts in PEM, where it does TLS for the component. Default: it does not.
    pub trusted_ca_pem: Option<String>,
    /// The bucket that it may keep values in. Default: none.
    pub key_value: Option<KeyValue>,
    /// What tells it the time. Default: the system's clock.
    pub clock: Option<Clock>,
    /// The variables of its environment: names and values.
    pub environment: Vec<(String, String)>,
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
    tls: WasiTlsCtx,
    key_value: Option<KeyValue>,
    table: ResourceTable,
    memory_bytes: usize,
    calls: u64,
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: String,
    /// The same, to the byte.
    pub stdout_bytes: Vec<u8>,
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
        Self::p2(component, Config::new().concurrency_support(false))
    }

    /// Compiles a component with wide arithmetic, which wasmtime has on by itself from 49 on.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn wide(component: &[u8]) -> Result<Self> {
        Self::p2(component, Config::new().concurrency_support(false).wasm_wide_arithmetic(true))
    }

    /// Compiles a component whose instructions take as much fuel as these costs say: for a [`Runtime::store`].
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn metered(component: &[u8], costs: OperatorCost) -> Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).consume_fuel(true).operator_cost(costs);
        Ok(Self { is_metered: true, ..Self::p2(component, &config)? })
    }

    /// Without what only asynchronous functions need.
    fn p2(component: &[u8], config: &Config) -> Result<Self> {
        let mut runtime = Self::compile(component, config)?;
        wasmtime_wasi::p2::add_to_linker_sync(&mut runtime.linker)?;
        // A draft, which has to be asked for.
        wasmtime_wasi_tls::p2::add_to_linker(&mut runtime.linker, LinkOptions::default().tls(true))?;
        key_value::add_to_linker(&mut runtime.linker)?;
        Ok(runtime)
    }

    /// The same of one for WASI 0.3, whose functions are asynchronous. It may ask for WASI 0.2, too, as programs in Rust
    /// do by their standard library.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn p3(component: &[u8]) -> Result<Self> {
        let mut runtime = Self::compile(component, &Config::new())?;
        wasmtime_wasi::p2::add_to_linker_async(&mut runtime.linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut runtime.linker)?;
        Ok(runtime)
    }

    fn compile(component: &[u8], config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let component = Component::new(&engine, component).map_err(|error| error.context("compiling the component"))?;
        let linker = Linker::new(&engine);
        Ok(Self { engine, component, linker, is_metered: false })
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
    ///
    /// # Panics
    /// Never: a metered engine takes fuel.
    #[must_use]
    pub fn store(&self, permissions: &Permissions) -> Store<Host> {
        let mut store = Store::new(&self.engine, Host::new(permissions, &mut WasiCtxBuilder::new()));
        if self.is_metered {
            store.set_fuel(u64::MAX).expect("its engine takes fuel");
        }
        store
    }

    /// Runs a command component, one that exports `wasi:cli/run`, to its end.
    ///
    /// # Errors
    /// When it cannot be instantiated. That it fails or traps is told by the [`Output`].
    pub fn run(&self, args: &[&str], permissions: &Permissions) -> Result<Output> {
        self.run_with(args, permissions, tokio::io::empty(), Capture::hidden(), Capture::hidden())
    }

    /// As [`Runtime::run`], with this as standard input.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_fed(
        &self,
        args: &[&str],
        permissions: &Permissions,
        stdin: impl AsyncRead + Send + Sync + 'static,
    ) -> Result<Output> {
        self.run_with(args, permissions, AsyncStdinStream::new(stdin), Capture::hidden(), Capture::hidden())
    }

    /// As [`Runtime::run`], with what it writes to standard error shown to `watch` as it happens.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_watched(
        &self,
        args: &[&str],
        permissions: &Permissions,
        watch: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> Result<Output> {
        self.run_with(args, permissions, tokio::io::empty(), Capture::hidden(), Capture::watched(watch))
    }

    /// As [`Runtime::run`], with the output shown as it happens.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_shown(&self, args: &[&str], permissions: &Permissions) -> Result<Output> {
        self.run_with(args, permissions, tokio::io::empty(), Capture::on_stdout(), Capture::on_stderr())
    }

    /// Runs a command component with the input, the output and the environment of this process; whether it succeeds.
    ///
    /// # Errors
    /// When it cannot be instantiated, or traps.
    pub fn run_as_this(&self, args: &[&str], permissions: &Permissions) -> Result<bool> {
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").args(args).inherit_stdio().inherit_env();
        let mut store = Store::new(&self.engine, Host::new(permissions, &mut builder));
        let command = Command::instantiate(&mut store, &self.component, &self.linker)?;
        match command.wasi_cli_run().call_run(&mut store) {
            Ok(result) => Ok(result.is_ok()),
            Err(error) => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => Ok(exit.0 == 0),
                None => Err(error.into()),
            },
        }
    }

    fn run_with(
        &self,
        args: &[&str],
        permissions: &Permissions,
        stdin: impl StdinStream + 'static,
        stdout: Capture,
        stderr: Capture,
    ) -> Result<Output> {
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").args(args).stdin(stdin).stdout(stdout.clone()).stderr(stderr.clone());
        let mut store = Store::new(&self.engine, Host::new(permissions, &mut builder));
        store.limiter(|host| host);
        store.set_max_component_handles(MOST_HANDLES);
        let command = Command::instantiate(&mut store, &self.component, &self.linker)?;
        let ended = command.wasi_cli_run().call_run(&mut store);
        Ok(Output::of(ended, store.data(), &stdout, &stderr))
    }

    /// As [`Runtime::run`], for a component of [`Runtime::p3`] that exports `wasi:cli/run` of WASI 0.3.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_p3(&self, permissions: &Permissions) -> Result<Output> {
        let (stdout, stderr) = (Capture::hidden(), Capture::hidden());
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").stdout(stdout.clone()).stderr(stderr.clone());
        let mut store = Store::new(&self.engine, Host::new(permissions, &mut builder));
        store.limiter(|host| host);
        store.set_max_component_handles(MOST_HANDLES);
        tokio::runtime::Runtime::new()?.block_on(async {
            let command = CommandP3::instantiate_async(&mut store, &self.component, &self.linker).await?;
            let ended = store.run_concurrent(async |host| command.wasi_cli_run().call_run(host).await).await;
            Ok(Output::of(ended.and_then(|ended| ended), store.data(), &stdout, &stderr))
        })
    }
}

impl Output {
    fn of(ended: wasmtime::Result<Result<(), ()>>, host: &Host, stdout: &Capture, stderr: &Capture) -> Self {
        let (success, trap) = match ended {
            Ok(result) => (result.is_ok(), String::new()),
            Err(error) => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => (exit.0 == 0, String::new()),
                None => (false, format!("{error:?}")),
            },
        };
        Self {
            stdout: stdout.text(),
            stdout_bytes: stdout.bytes(),
            stderr: stderr.text() + &trap,
            success,
            memory_bytes: host.memory_bytes,
        }
    }
}

impl Host {
    /// How often it was called: for functions and for handles that were dropped.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// The size of the component's linear memories together.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// How many handles it has given out that were not dropped.
    #[must_use]
    pub fn handles(&mut self) -> usize {
        self.table.iter_mut().count()
    }

    /// The bucket that it may use.
    pub(crate) fn key_value(&self) -> Option<KeyValue> {
        self.key_value.clone()
    }

    /// What its handles stand for.
    pub(crate) const fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn new(permissions: &Permissions, builder: &mut WasiCtxBuilder) -> Self {
        let (allowed, anywhere) = (permissions.addresses.clone(), permissions.anywhere);
        if let Some(folder) = &permissions.folder {
            let opened = builder.preopened_dir(folder, "/", FsPerms::ReadOnly);
            let _ = opened.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        if let Some(data) = &permissions.data {
            let opened = builder.preopened_dir(data, ".", FsPerms::ReadWrite);
            let _ = opened.unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        }
        builder.envs(&permissions.environment);
        if let Some(clock) = &permissions.clock {
            builder.monotonic_clock(clock.clone());
        }
        builder
            .allow_tcp(anywhere || !allowed.is_empty())
            .allow_udp(false)
            .allow_ip_name_lookup(permissions.name_lookup);
        builder.socket_addr_check(move |address, reason| {
            let is_allowed = match reason {
                SocketAddrUse::TcpConnect => anywhere || allowed.contains(&address),
                // What a socket is bound to before it connects: no port that a test would have chosen.
                SocketAddrUse::TcpBind => address.port() == 0,
                _ => false,
            };
            Box::pin(async move { is_allowed })
        });
        let tls = permissions.trusted_ca_pem.as_deref().map(|ca_pem| trusting(ca_pem, true));
        let tls = tls.unwrap_or_else(|| WasiTlsCtxBuilder::new().build());
        let (key_value, table) = (permissions.key_value.clone(), ResourceTable::new());
        Self { wasi: builder.build(), tls, key_value, table, memory_bytes: 0, calls: 0 }
    }
}

impl WasiView for Host {
    /// wasmtime comes for this once in each call of a component.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.calls += 1;
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiTlsView for Host {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        self.calls += 1;
        WasiTlsCtxView { ctx: &mut self.tls, table: &mut self.table }
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
