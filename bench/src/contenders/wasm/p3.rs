//! The component for WASI 0.3 and a guest of it. The host lets both run side by side, and what the guest asks of the
//! stage holds up nothing else.

use std::thread::{self, Scope};
use std::time::Instant;

use anyhow::Result;
use tokio::sync::mpsc;
use wasmtime::component::{Accessor, Linker};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use super::{Act, Ended, Guest, Host, MOST_WORDS, attend, engine_with, load_compiled, runtime, unable};
use crate::contenders::Unable;
use crate::stage::Stage;

const COMPOSED: Guest = Guest { name: "bench_p3", mqtt: Some("mqtt-p3.wasm") };

/// By the calls of its interface that take many messages at once.
pub(crate) fn composed(stage: &Stage) -> Result<(), Unable> {
    run(stage, "calls=batch")
}

/// By the calls of its interface that take one message each.
pub(crate) fn composed_single(stage: &Stage) -> Result<(), Unable> {
    run(stage, "calls=single")
}

/// As [`super::prepare`].
pub(super) fn prepare() -> Result<()> {
    COMPOSED.compiled(&engine_with(true)?).map(drop)
}

fn run(stage: &Stage, argument: &str) -> Result<(), Unable> {
    let ended = runtime()
        .and_then(|runtime| thread::scope(|scope| runtime.block_on(perform(stage, scope, argument))))
        .map_err(|error| Unable::Failed(format!("{error:#}")))?;
    ended.tell(stage)
}

async fn perform<'scope, 'env>(
    stage: &'env Stage,
    scope: &'scope Scope<'scope, 'env>,
    argument: &str,
) -> Result<Ended> {
    let engine = engine_with(true)?;
    let component = load_compiled(&engine, &COMPOSED.compiled(&engine)?)?;
    let (calls, mut called) = mpsc::unbounded_channel();
    let mut store = Store::new(&engine, Host::new(stage, argument, MemoryOutputPipe::new(MOST_WORDS), calls));
    store.limiter(|host| &mut host.memory);
    let start = Instant::now();
    let instance = linker(&engine)?.instantiate_async(&mut store, &component).await?;
    let run = instance.get_typed_func::<(), (Result<(), String>,)>(&mut store, "run")?;
    let running = store.run_concurrent(async |host| run.call_concurrent(host, ()).await);
    let (said,) = attend(stage, scope, &mut called, running).await???;
    Ok(Ended::of(said.map_err(|words| unable(&words, "")), store.data(), start))
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    // The guest's standard library asks for 0.2.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    let mut stage = linker.instance("mqtt-wasi:bench/stage-at-once")?;
    stage.func_wrap("connected", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().connected();
        Ok(())
    })?;
    stage.func_wrap_concurrent("send", |host: &Accessor<Host>, (messages,): (u32,)| {
        Box::pin(host.with(|mut access| access.get().ask(Act::Send(messages))))
    })?;
    for (name, act) in [("cut", Act::Cut), ("begin", Act::Begin), ("end", Act::End)] {
        stage.func_wrap_concurrent(name, move |host: &Accessor<Host>, (): ()| {
            Box::pin(host.with(|mut access| access.get().ask(act)))
        })?;
    }
    Ok(linker)
}
