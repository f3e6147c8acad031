//! Running components in wasmtime, with no permission but the network addresses they are given.

use std::net::SocketAddr;

use anyhow::Result;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// More output than this ends a command.
const MOST_OUTPUT: usize = 1024 * 1024;

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
}

/// The host's side of a running component.
pub struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
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
}

impl Permissions {
    /// Leave to connect to this address.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self { addresses: vec![address], name_lookup: false }
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
        let (stdout, stderr) = (MemoryOutputPipe::new(MOST_OUTPUT), MemoryOutputPipe::new(MOST_OUTPUT));
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").args(args).stdout(stdout.clone()).stderr(stderr.clone());
        let ended = self.run_with(&mut builder, permissions)?;
        let text = |pipe: MemoryOutputPipe| String::from_utf8_lossy(&pipe.contents()).into_owned();
        let (stdout, mut stderr) = (text(stdout), text(stderr));
        let success = match ended {
            Ok(success) => success,
            Err(trap) => {
                stderr.push_str(&format!("{trap:?}"));
                false
            }
        };
        Ok(Output { stdout, stderr, success })
    }

    /// As [`Runtime::run`], with the output shown as it happens; whether it succeeded.
    ///
    /// # Errors
    /// When it cannot be instantiated, or traps.
    pub fn run_inherit(&self, args: &[&str], permissions: &Permissions) -> Result<bool> {
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").args(args).inherit_stdout().inherit_stderr();
        self.run_with(&mut builder, permissions)?
    }

    fn run_with(&self, builder: &mut WasiCtxBuilder, permissions: &Permissions) -> Result<Result<bool>> {
        let mut store = Store::new(&self.engine, Host::new(permissions, builder));
        let command = Command::instantiate(&mut store, &self.component, &self.linker)?;
        Ok(match command.wasi_cli_run().call_run(&mut store) {
            Ok(result) => Ok(result.is_ok()),
            Err(error) => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => Ok(exit.0 == 0),
                None => Err(error.into()),
            },
        })
    }
}

impl Host {
    fn new(permissions: &Permissions, builder: &mut WasiCtxBuilder) -> Self {
        let allowed = permissions.addresses.clone();
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
        Self { wasi: builder.build(), table: ResourceTable::new() }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
