//! What it costs to bring messages from one component to another, by the type that WIT declares for them: a caller and
//! a callee of `bench/guests`, composed, in wasmtime with its settings as they are. The host only asks the caller to
//! time its calls.
//!
//! The points take turns in rounds, so that what slows the machine down meanwhile slows them all down.

use anyhow::Result;
use host_tests::components::{compose, load};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use bindings::ElementsTimed;
pub(crate) use bindings::exports::mqtt_wasi::bench::timing::Step;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({ path: "guests/wit", world: "elements-timed" });
}

/// Bytes of the only message of a call.
const SIZES: [u32; 6] = [16, 64, 1 << 10, 4 << 10, 64 << 10, 1 << 20];

/// Messages of a call that brings several, and bytes of each.
const SEVERAL: u32 = 64;
const SIZES_OF_SEVERAL: [u32; 3] = [16, 64, 1 << 10];

/// About how long a measurement takes, in nanoseconds, and how many calls it has at least.
const TIME: u64 = 2_000_000;
const FEWEST: u32 = 10;

/// As many calls tell how many take as long as that.
const PILOT: u32 = 20;

/// What was measured.
pub(crate) struct Elements {
    /// The version.
    pub(crate) wasmtime: &'static str,
    /// What a call takes that brings nothing, in nanoseconds.
    pub(crate) nothing: f64,
    pub(crate) groups: Vec<Group>,
}

/// Forms that bring the same.
pub(crate) struct Group {
    /// In each call.
    pub(crate) messages: u32,
    pub(crate) have_topics: bool,
    /// Bytes of each message.
    pub(crate) sizes: &'static [u32],
    pub(crate) forms: Vec<Form>,
}

/// A way to say messages in WIT.
pub(crate) struct Form {
    pub(crate) name: String,
    /// How long each step takes with messages of each size, in nanoseconds: medians of the rounds.
    times: Vec<[f64; Step::ALL.len()]>,
}

impl Step {
    pub(crate) const ALL: [Self; 6] = [Self::Argument, Self::Result, Self::Make, Self::Unpack, Self::There, Self::Back];
}

impl Form {
    /// Nanoseconds for messages of the size that has this place among all.
    pub(crate) fn time(&self, step: Step, size: usize) -> f64 {
        self.times[size][step as usize]
    }
}

/// Measures every step with every form.
///
/// # Panics
/// When a component is not there, or does not do what it is to do.
pub(crate) fn run(rounds: usize) -> Elements {
    measure(rounds).unwrap_or_else(|error| panic!("{error:#}"))
}

fn measure(rounds: usize) -> Result<Elements> {
    let mut caller = Caller::start()?;
    let mut groups = caller.groups()?;
    let mut nothing = Point::new(|calls| caller.time_nothing(calls))?;
    let mut points = Vec::new();
    for (form, messages, size, step) in all(&groups) {
        points.push(Point::new(|calls| caller.time(form, step, messages, size, calls))?);
    }
    for _ in 0..rounds {
        nothing.measure(|calls| caller.time_nothing(calls))?;
        for (point, (form, messages, size, step)) in points.iter_mut().zip(all(&groups)) {
            point.measure(|calls| caller.time(form, step, messages, size, calls))?;
        }
    }
    let mut medians = points.into_iter().map(Point::median);
    for Group { sizes, forms, .. } in &mut groups {
        for form in forms {
            form.times = sizes.iter().map(|_| Step::ALL.map(|_| medians.next().expect("a point for each"))).collect();
        }
    }
    Ok(Elements { wasmtime: wasmtime_version(), nothing: nothing.median(), groups })
}

/// What it was built with, since wasmtime itself does not say.
fn wasmtime_version() -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let version = lock.split_once("name = \"wasmtime\"\nversion = \"").and_then(|(_, behind)| behind.split_once('"'));
    version.map_or("?", |(version, _)| version)
}

/// What is measured: a form, how many messages of which size, and a step.
fn all(groups: &[Group]) -> impl Iterator<Item = (&str, u32, u32, Step)> {
    groups.iter().flat_map(|group| {
        group.forms.iter().flat_map(|form| {
            let steps = |&size| Step::ALL.map(|step| (form.name.as_str(), group.messages, size, step));
            group.sizes.iter().flat_map(steps)
        })
    })
}

/// Something that is measured in every round.
struct Point {
    /// In each round.
    calls: u32,
    /// Nanoseconds a call.
    times: Vec<f64>,
}

impl Point {
    /// With as many calls as take long enough for a clock.
    fn new(time: impl FnOnce(u32) -> Result<u64>) -> Result<Self> {
        let calls = u64::from(PILOT) * TIME / time(PILOT)?.max(1);
        Ok(Self { calls: calls.clamp(FEWEST.into(), u32::MAX.into()) as u32, times: Vec::new() })
    }

    fn measure(&mut self, time: impl FnOnce(u32) -> Result<u64>) -> Result<()> {
        self.times.push(time(self.calls)? as f64 / f64::from(self.calls));
        Ok(())
    }

    fn median(mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

/// The composed component, which has the clock.
struct Caller {
    store: Store<Host>,
    instance: ElementsTimed,
}

impl Caller {
    fn start() -> Result<Self> {
        let [caller, callee] = ["guests/bench_elements_caller.wasm", "guests/bench_elements_callee.wasm"].map(load);
        let engine = Engine::default();
        let component = Component::new(&engine, compose(&caller?, &callee?)?)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        let wasi = WasiCtx::builder().inherit_stderr().build();
        let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
        let instance = ElementsTimed::instantiate(&mut store, &component, &linker)?;
        Ok(Self { store, instance })
    }

    /// Without times.
    fn groups(&mut self) -> Result<Vec<Group>> {
        let timing = self.instance.mqtt_wasi_bench_timing();
        let one = timing.call_of_one(&mut self.store)?;
        let several = timing.call_of_several(&mut self.store)?;
        let with_topics = timing.call_with_topics(&mut self.store)?;
        let group = |names: Vec<String>, messages, have_topics, sizes| {
            let forms = names.into_iter().map(|name| Form { name, times: Vec::new() }).collect();
            Group { messages, have_topics, sizes, forms }
        };
        Ok(vec![
            group(one, 1, false, &SIZES),
            group(several, SEVERAL, false, &SIZES_OF_SEVERAL),
            group(with_topics, SEVERAL, true, &SIZES_OF_SEVERAL),
        ])
    }

    fn time(&mut self, form: &str, step: Step, messages: u32, size: u32, calls: u32) -> Result<u64> {
        let timing = self.instance.mqtt_wasi_bench_timing();
        Ok(timing.call_time(&mut self.store, form, step, messages, size, calls)?)
    }

    fn time_nothing(&mut self, calls: u32) -> Result<u64> {
        Ok(self.instance.mqtt_wasi_bench_timing().call_time_nothing(&mut self.store, calls)?)
    }
}

/// What a program asks its host for.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
