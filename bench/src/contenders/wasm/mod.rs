//! Contenders in WebAssembly: the guests of `bench/guests` in wasmtime, with its settings as they are, and with wide
//! arithmetic. A guest runs on a tokio runtime of one thread, which has its sockets too. It may connect to the address
//! of the stage and to nothing else.
//!
//! WASI 0.2 has no option for Nagle's algorithm, and wasmtime leaves it on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use std::{env, fs, future, process};

use anyhow::{Context, Result, anyhow};
use host_tests::components::{compose, load};
use host_tests::host_tls;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, ProfilingStrategy, ResourceLimiter, Store, StoreContextMut};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_tls::p2::LinkOptions;
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView, WasiTlsView};

pub(super) mod p3;

use super::Unable;
use crate::job::{Job, Work};
use crate::stage::Stage;
use crate::target::Target;

/// Names the folder where components are, so that nobody builds them.
const FOLDER_VARIABLE: &str = "MQTT_WASI_COMPONENTS";

/// Tells a guest whom to trust, and that it is to speak TLS, by that it is there.
const CA_VARIABLE: &str = "MQTT_WASI_BENCH_CA";

/// Tells a guest that it is to speak WebSocket, by that it is there.
const WEBSOCKET_VARIABLE: &str = "MQTT_WASI_BENCH_WEBSOCKET";

/// Tells a guest that the host does TLS, and whom it trusts.
const TLS_BY_HOST: &str = "tls=host";

/// How long a guest may take from one call of the stage to the next.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many bytes of a guest's last words are kept.
const MOST_WORDS: usize = 64 * 1024;

/// How often a start is timed; odd, for there to be a median.
const STARTS: usize = 5;

/// The component, by the calls of its interface that take many messages at once.
pub(crate) fn composed(stage: &Stage) -> Result<(), Unable> {
    let guest = match (stage.ca().is_some(), stage.is_websocket()) {
        (true, _) => COMPOSED_TLS,
        (false, true) => COMPOSED_WEBSOCKET,
        (false, false) => COMPOSED,
    };
    run(stage, guest, "calls=batch")
}

/// The component with TLS by wide arithmetic, by the same calls.
pub(crate) fn composed_wide(stage: &Stage) -> Result<(), Unable> {
    run(stage, COMPOSED_TLS_WIDE, "calls=batch")
}

/// The component that leaves TLS to its host, by the same calls. The host has rustls and ring.
pub(crate) fn composed_host_tls(stage: &Stage) -> Result<(), Unable> {
    run(stage, COMPOSED_HOST_TLS, TLS_BY_HOST)
}

/// The component, by the calls of its interface that take one message each.
pub(crate) fn composed_single(stage: &Stage) -> Result<(), Unable> {
    run(stage, COMPOSED, "calls=single")
}

/// The component, by the calls of its bulk interface.
pub(crate) fn composed_bulk(stage: &Stage) -> Result<(), Unable> {
    run(stage, COMPOSED, "calls=bulk")
}

/// The blocking client, built into a guest.
pub(crate) fn blocking(stage: &Stage) -> Result<(), Unable> {
    run(stage, BLOCKING, "")
}

/// The blocking client as it was published before, built into a guest.
pub(crate) fn seed(stage: &Stage) -> Result<(), Unable> {
    run(stage, SEED, "")
}

/// Builds and compiles the guests, so that no process that measures does so. Returns the variable that those processes
/// need in their environment for that, and its value.
pub(crate) fn prepare() -> Result<(&'static str, PathBuf)> {
    let engine = engine()?;
    for guest in [COMPOSED, COMPOSED_TLS, COMPOSED_TLS_WIDE, COMPOSED_HOST_TLS, COMPOSED_WEBSOCKET, BLOCKING, SEED] {
        guest.compiled(&engine)?;
    }
    p3::prepare()?;
    let folder = env::var_os(FOLDER_VARIABLE).map_or_else(|| target().join("components"), PathBuf::from);
    Ok((FOLDER_VARIABLE, folder))
}

/// How long the steps of a start take for the component and a guest of it, in milliseconds: medians of five.
///
/// # Panics
/// When one fails.
pub(crate) fn start_times() -> Vec<(String, f64)> {
    time_starts().unwrap_or_else(|error| panic!("{error:#}"))
}

fn time_starts() -> Result<Vec<(String, f64)>> {
    let engine = engine()?;
    let component = Guest::join(&COMPOSED.parts()?)?;
    let file = COMPOSED.compiled(&engine)?;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..STARTS {
        let stage = Stage::new(Job { work: Work::Connect, operations: 1, warm_up: 0 }, Target::Sink);
        let (compiling, _) = timed(|| Ok(Component::new(&engine, &component)?))?;
        let (loading, loaded) = timed(|| load_compiled(&engine, &file))?;
        let program = Program::new(&loaded)?;
        let instantiating = program.time_instantiation(&stage)?;
        let ended = program.run(&stage, "")?;
        ended.outcome.map_err(|why| anyhow!("{why:?}"))?;
        let connecting = ended.start.context("it said that it was connected")?;
        for (times, time) in times.iter_mut().zip([compiling, loading, instantiating, connecting]) {
            times.push(time);
        }
    }
    let names = ["compile", "load what was compiled", "instantiate", "instantiate and connect"];
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[STARTS / 2].as_secs_f64() * 1e3
    };
    Ok(names.into_iter().map(Into::into).zip(times.map(median)).collect())
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let made = run()?;
    Ok((start.elapsed(), made))
}

fn run(stage: &Stage, guest: Guest, argument: &str) -> Result<(), Unable> {
    let ended = Program::load(guest)
        .and_then(|program| program.run(stage, argument))
        .map_err(|error| Unable::Failed(format!("{error:#}")))?;
    ended.tell(stage)
}

/// A program of `bench/guests`.
#[derive(Clone, Copy)]
struct Guest {
    name: &'static str,
    /// The component that it is composed with, if it is with one.
    mqtt: Option<&'static str>,
}

const COMPOSED: Guest = Guest { name: "bench_composed", mqtt: Some("mqtt.wasm") };
const COMPOSED_TLS: Guest = Guest { name: "bench_composed", mqtt: Some("mqtt-tls.wasm") };
const COMPOSED_TLS_WIDE: Guest = Guest { name: "bench_composed", mqtt: Some("mqtt-tls-wide.wasm") };
const COMPOSED_HOST_TLS: Guest = Guest { name: "bench_composed", mqtt: Some("mqtt-host-tls.wasm") };
const COMPOSED_WEBSOCKET: Guest = Guest { name: "bench_composed", mqtt: Some("mqtt-ws.wasm") };
const BLOCKING: Guest = Guest { name: "bench_blocking", mqtt: None };
const SEED: Guest = Guest { name: "bench_seed", mqtt: None };

impl Guest {
    /// The component of its own, and the other one if there is one.
    fn parts(self) -> Result<Vec<Vec<u8>>> {
        let mut parts = vec![load(&format!("guests/{}.wasm", self.name))?];
        parts.extend(self.mqtt.map(load).transpose()?);
        Ok(parts)
    }

    /// Makes one component of the parts.
    fn join(parts: &[Vec<u8>]) -> Result<Vec<u8>> {
        match parts {
            [guest, mqtt] => compose(guest, mqtt),
            parts => Ok(parts.concat()),
        }
    }

    /// The file that it is compiled to, which is made if it is not there.
    fn compiled(self, engine: &Engine) -> Result<PathBuf> {
        let parts = self.parts()?;
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        // Another wasmtime or other settings make another file.
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let folder = target().join("bench-cache");
        let file = folder.join(format!("{}-{:016x}.cwasm", self.name, hasher.finish()));
        if !file.exists() {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            let partial = file.with_extension(process::id().to_string());
            fs::write(&partial, engine.precompile_component(&Self::join(&parts)?)?)
                .and_then(|()| fs::rename(&partial, &file))
                .with_context(|| file.display().to_string())?;
        }
        Ok(file)
    }
}

/// The workspace's folder for what is built.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target")
}

fn engine() -> Result<Engine> {
    // Nothing here calls asynchronously but what is for WASI 0.3. The host of the tests, in the same build, can.
    engine_with(false)
}

fn engine_with(concurrency_support: bool) -> Result<Engine> {
    let mut config = Config::new();
    // On by itself from wasmtime 49 on.
    config.wasm_wide_arithmetic(true);
    config.concurrency_support(concurrency_support);
    // For `perf record`, which is told the names of the guests' functions by that.
    if env::var_os("MQTT_WASI_PERF").is_some() {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    Ok(Engine::new(&config)?)
}

/// Maps a file that [`Guest::compiled`] made.
#[allow(unsafe_code, reason = "what was compiled is trusted, which wasmtime leaves to its host")]
fn load_compiled(engine: &Engine, file: &Path) -> Result<Component> {
    // SAFETY: the file has what `Engine::precompile_component` returned, and all of that, since it got its name when it
    // was written. Its folder is for this alone, and nobody changes a file in there.
    let component = unsafe { Component::deserialize_file(engine, file) };
    Ok(component?)
}

/// A compiled guest whose imports are there, to be run any number of times.
struct Program {
    engine: Engine,
    command: CommandPre<Host>,
}

/// How an instance ended.
struct Ended {
    outcome: Result<(), Unable>,
    /// From its start until it was connected, if it ever was.
    start: Option<Duration>,
    /// What its memories had grown to, in bytes.
    linear_memory: u64,
}

impl Ended {
    /// What started then.
    fn of(outcome: Result<(), Unable>, host: &Host, start: Instant) -> Self {
        let start = host.connected.map(|connected| connected - start);
        Self { outcome, start, linear_memory: host.memory.bytes }
    }

    /// Tells the stage what else there is to measure.
    fn tell(self, stage: &Stage) -> Result<(), Unable> {
        stage.set_linear_memory(self.linear_memory);
        if let Some(start) = self.start {
            stage.set_start(start);
        }
        self.outcome
    }
}

/// Has the stage do what a guest calls for, until that has ended.
async fn attend<'scope, 'env, R>(
    stage: &'env Stage,
    scope: &'scope Scope<'scope, 'env>,
    called: &mut mpsc::UnboundedReceiver<Call>,
    running: impl Future<Output = R>,
) -> Result<R> {
    enum Step<R> {
        Called(Call),
        Ended(R),
    }
    let mut running = pin!(running);
    loop {
        let step = async {
            tokio::select! {
                biased;
                ended = &mut running => Step::Ended(ended),
                Some(call) = called.recv() => Step::Called(call),
            }
        };
        match tokio::time::timeout(PATIENCE, step).await.map_err(|_| anyhow!("stalled"))? {
            Step::Called(call) => call.serve(stage, scope).await,
            Step::Ended(ended) => return Ok(ended),
        }
    }
}

impl Program {
    fn load(guest: Guest) -> Result<Self> {
        let engine = engine()?;
        let file = guest.compiled(&engine)?;
        Self::new(&load_compiled(&engine, &file)?)
    }

    fn new(component: &Component) -> Result<Self> {
        let engine = component.engine().clone();
        let command = CommandPre::new(linker(&engine)?.instantiate_pre(component)?)?;
        Ok(Self { engine, command })
    }

    /// Runs an instance to its end.
    fn run(&self, stage: &Stage, argument: &str) -> Result<Ended> {
        let runtime = runtime()?;
        thread::scope(|scope| runtime.block_on(self.perform(stage, scope, argument)))
    }

    async fn perform<'scope, 'env>(
        &self,
        stage: &'env Stage,
        scope: &'scope Scope<'scope, 'env>,
        argument: &str,
    ) -> Result<Ended> {
        let stderr = MemoryOutputPipe::new(MOST_WORDS);
        let (calls, mut called) = mpsc::unbounded_channel();
        let mut store = self.store(Host::new(stage, argument, stderr.clone(), calls));
        let start = Instant::now();
        let command = self.command.instantiate_async(&mut store).await?;
        let ended = attend(stage, scope, &mut called, command.wasi_cli_run().call_run(&mut store)).await?;
        Ok(Ended::of(outcome(ended, &stderr.contents()), store.data(), start))
    }

    /// How long it takes to make an instance.
    fn time_instantiation(&self, stage: &Stage) -> Result<Duration> {
        let runtime = runtime()?;
        let (calls, _called) = mpsc::unbounded_channel();
        let mut store = self.store(Host::new(stage, "", MemoryOutputPipe::new(MOST_WORDS), calls));
        let start = Instant::now();
        runtime.block_on(self.command.instantiate_async(&mut store))?;
        Ok(start.elapsed())
    }

    fn store(&self, host: Host) -> Store<Host> {
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.memory);
        store
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// What a guest made of its job, by how it ended and what it wrote to standard error.
fn outcome(ended: wasmtime::Result<Result<(), ()>>, stderr: &[u8]) -> Result<(), Unable> {
    let trap = match ended {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(())) => String::new(),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(0)) => return Ok(()),
            Some(_) => String::new(),
            None => format!(" ({})", error.root_cause()),
        },
    };
    let words = String::from_utf8_lossy(stderr);
    Err(unable(words.trim(), &trap))
}

/// What a guest says of itself.
fn unable(words: &str, trap: &str) -> Unable {
    match words.strip_prefix("lacks: ") {
        // As long as the process, which ends soon.
        Some(what) => Unable::Lacks(what.to_owned().leak()),
        None => Unable::Failed(format!("{}{trap}", words.strip_prefix("failed: ").unwrap_or(words))),
    }
}

/// The host's side of an instance.
struct Host {
    wasi: WasiCtx,
    tls: WasiTlsCtx,
    table: ResourceTable,
    memory: LinearMemory,
    /// To who has the stage, which cannot be in here since it is only lent.
    calls: mpsc::UnboundedSender<Call>,
    connected: Option<Instant>,
}

impl Host {
    fn new(stage: &Stage, argument: &str, stderr: MemoryOutputPipe, calls: mpsc::UnboundedSender<Call>) -> Self {
        let Job { work, operations, warm_up } = stage.job();
        let broker = stage.address();
        let mut wasi = WasiCtx::builder();
        wasi.arg("guest").arg(broker.to_string()).arg(work.to_string());
        wasi.arg(operations.to_string()).arg(warm_up.to_string()).arg(argument);
        if let Some(ca) = stage.ca().filter(|_| argument != TLS_BY_HOST) {
            wasi.env(CA_VARIABLE, ca);
        }
        // A client is another one for each connection, unless they are the same client's.
        let resumes = work == Work::Resume;
        let tls = stage.ca().map(|ca| host_tls::trusting(ca, resumes));
        if stage.is_websocket() {
            wasi.env(WEBSOCKET_VARIABLE, "yes");
        }
        wasi.stderr(stderr).allow_tcp(true).allow_udp(false).socket_addr_check(move |address, reason| {
            let is_allowed = match reason {
                SocketAddrUse::TcpConnect => address == broker,
                // What a socket is bound to before it connects.
                SocketAddrUse::TcpBind => address.port() == 0,
                _ => false,
            };
            Box::pin(future::ready(is_allowed))
        });
        Self {
            wasi: wasi.build(),
            tls: tls.unwrap_or_else(|| WasiTlsCtxBuilder::new().build()),
            table: ResourceTable::new(),
            memory: LinearMemory::default(),
            calls,
            connected: None,
        }
    }

    /// Has somebody else do this with the stage, and waits for it.
    fn ask(&self, act: Act) -> impl Future<Output = wasmtime::Result<()>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        // If nobody takes it, nobody answers.
        let _ = self.calls.send(Call { act, done });
        async move { answer.await.map_err(wasmtime::Error::from) }
    }

    /// The guest is connected.
    fn connected(&mut self) {
        self.connected.get_or_insert_with(Instant::now);
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiTlsView for Host {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        WasiTlsCtxView { ctx: &mut self.tls, table: &mut self.table }
    }
}

/// What a guest can ask for.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // A draft, which has to be asked for.
    wasmtime_wasi_tls::p2::add_to_linker(&mut linker, LinkOptions::default().tls(true))?;
    let mut stage = linker.instance("mqtt-wasi:bench/stage")?;
    stage.func_wrap("connected", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().connected();
        Ok(())
    })?;
    stage.func_wrap_async("send", |store: StoreContextMut<'_, Host>, (messages,): (u32,)| {
        Box::new(store.data().ask(Act::Send(messages)))
    })?;
    for (name, act) in [("cut", Act::Cut), ("begin", Act::Begin), ("end", Act::End)] {
        stage.func_wrap_async(name, move |store: StoreContextMut<'_, Host>, (): ()| Box::new(store.data().ask(act)))?;
    }
    Ok(linker)
}

/// A call of the stage, which the guest waits for.
struct Call {
    act: Act,
    done: oneshot::Sender<()>,
}

/// What a guest can do with the stage.
#[derive(Clone, Copy)]
enum Act {
    Send(u32),
    Cut,
    Begin,
    End,
}

impl Call {
    async fn serve<'scope, 'env>(self, stage: &'env Stage, scope: &'scope Scope<'scope, 'env>) {
        let Job { work, operations, warm_up } = stage.job();
        let publishes = matches!(work, Work::Publish { .. });
        match self.act {
            Act::Send(messages) => stage.send(messages),
            Act::Cut => cut(stage, scope).await,
            Act::Begin => {
                // What the guest has sent may still be the host's to write, by this very thread.
                if publishes {
                    stage.arrived(warm_up).await;
                }
                stage.begin();
            }
            Act::End => {
                if publishes {
                    stage.arrived(warm_up + operations).await;
                }
                stage.end();
            }
        }
        // A guest that does not wait any more has ended, which is told by how.
        let _ = self.done.send(());
    }
}

/// Cuts the connection from another thread: this one may have to write what the guest has sent meanwhile.
async fn cut<'scope, 'env>(stage: &'env Stage, scope: &'scope Scope<'scope, 'env>) {
    let (done, is_cut) = oneshot::channel();
    scope.spawn(move || {
        stage.cut();
        // It is waited for, or nobody is there any more.
        let _ = done.send(());
    });
    // Without an answer that thread has panicked, and the scope will too.
    let _ = is_cut.await;
}

/// How large the linear memories of an instance are, which grow and never shrink.
#[derive(Default)]
struct LinearMemory {
    /// The sum of all.
    bytes: u64,
}

impl ResourceLimiter for LinearMemory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.bytes += (desired - current) as u64;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}
