//! The command line of the whole benchmark, and the order in which things are measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use host_tests::broker::Mosquitto;

use crate::before::Before;
use crate::driver::{Driver, Effort};
use crate::results::{Prices, Results, Size};
use crate::{codecs, contenders, driver, elements, gates, growth, latency, machine, prices, report, run_jobs, scale};

const HELP: &str = "\
usage: cargo xtask bench [--quick] [--against REVISION] [--json FILE] [FILTER]
       cargo xtask bench --tls | --websocket [--quick] [--against REVISION] [FILTER]
       cargo xtask bench --latency | --engine | --codecs | --growth | --elements | --scale [--quick]
       cargo xtask bench --report FILE
       cargo xtask bench --counts [--accept]
       cargo xtask bench --instructions [--against REVISION]

Measures this client beside its peers: every job, or those whose names contain FILTER.

  --quick         A short run, to see that everything works. Its figures are rough
  --against REVISION
                  Also build REVISION, measure it in the same rounds, and print how this build compares with it. The
                  earliest that can be is 6f1da06: before it, the benchmark has no TLS
  --json FILE     Write the results to FILE. A full run also writes docs/performance.md
  --tls           Only the jobs with TLS, or those whose names contain FILTER
  --websocket     Only the jobs that are done over WebSocket too, beside TCP, or those whose names contain FILTER
  --latency       Only how long requests take
  --engine        Only codec, session and client without a network
  --codecs        Only the codecs of several crates
  --growth        Only how cost grows with size and number
  --elements      Only what messages cost between two components, for each type that WIT can declare for them
  --scale         Only what one process can carry: idle connections, instances, and the load job in little memory
  --report FILE   Measure nothing: write docs/performance.md from the results in FILE
  --counts        Compare counts with bench/counts.txt, and fail if one is worse; --accept writes them there
  --instructions  Count the instructions of a message with valgrind, beside those of REVISION";

/// What is asked for.
#[derive(Default)]
struct Call {
    is_quick: bool,
    json: Option<PathBuf>,
    part: Option<String>,
    before: Option<Before>,
    filter: String,
}

pub(crate) fn main(args: &[String]) {
    let mut call = Call::default();
    let mut rest = args.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "measure" => return driver::measure_here(&args[1..]),
            scale::PROCESS => return scale::process(&args[1..]),
            "--quick" => call.is_quick = true,
            "--json" => call.json = Some(rest.next().expect("--json needs a file").into()),
            "--against" => {
                let revision = rest.next().expect("--against needs a revision");
                call.before = Some(Before::from_environment(revision));
            }
            "--report" => return make_report(rest.next().expect("--report needs a file").as_ref()),
            "--tls" | "--websocket" | "--latency" | "--engine" | "--codecs" | "--growth" | "--elements" | "--scale" => {
                call.part = Some(argument.clone());
            }
            "--help" => return println!("{HELP}"),
            option if option.starts_with("--") => panic!("there is no option {option}; see --help"),
            filter => call.filter = filter.into(),
        }
    }
    match call.part.as_deref() {
        None => measure_everything(&call),
        Some("--tls") => measure_tls(&call),
        Some("--websocket") => measure_websocket(&call),
        Some("--latency") => drop(latency::run(call.latency())),
        Some("--engine") => drop(run_jobs(&call.filter, call.rounds())),
        Some("--codecs") => report::print_codecs(&codecs::run(call.rounds())),
        Some("--elements") => measure_elements(&call),
        Some("--scale") => measure_scale(&call),
        Some(_) => report::print_curves(&growth::run(call.growth_rounds())),
    }
}

impl Call {
    const fn rounds(&self) -> usize {
        if self.is_quick { 20 } else { 200 }
    }

    const fn growth_rounds(&self) -> usize {
        if self.is_quick { 3 } else { 15 }
    }

    const fn latency(&self) -> latency::Effort {
        if self.is_quick { latency::Effort::QUICK } else { latency::Effort::FULL }
    }

    const fn scale(&self) -> scale::Effort {
        if self.is_quick { scale::Effort::QUICK } else { scale::Effort::FULL }
    }

    const fn effort(&self) -> Effort {
        if self.is_quick { Effort::QUICK } else { Effort::FULL }
    }

    fn driver(&self) -> Driver {
        Driver { filter: self.filter.clone(), effort: self.effort(), before: self.before.clone() }
    }

    /// Says what rows are held to, and what calls of the system take, before anything is measured.
    fn declare(&self) -> Option<Prices> {
        println!("{}\n{}", gates::declared(), self.effort().declared());
        let prices = prices::measure().inspect_err(|error| eprintln!("warning: no prices: {error}")).ok()?;
        println!("{}", report::prices(&prices));
        Some(prices)
    }
}

fn measure_scale(call: &Call) {
    let calibration = machine::Calibration::start();
    let scale = scale::run(call.scale());
    let machine = machine::describe(false, calibration);
    report::print_scale(&scale, &machine);
    if machine.is_noisy() {
        eprintln!("warning: {}", machine.warning());
    }
}

fn measure_tls(call: &Call) {
    call.declare();
    let jobs = call.driver().run_tls();
    report::print_beside(&jobs);
}

fn measure_websocket(call: &Call) {
    call.declare();
    let calibration = machine::Calibration::start();
    let jobs = call.driver().run_websocket();
    let machine = machine::describe(false, calibration);
    report::print_websocket(&jobs, &machine);
    report::print_beside(&jobs);
    if machine.is_noisy() {
        eprintln!("warning: {}", machine.warning());
    }
}

fn measure_elements(call: &Call) {
    let calibration = machine::Calibration::start();
    let elements = elements::run(call.growth_rounds());
    let machine = machine::describe(false, calibration);
    report::print_elements(&elements, &machine);
    if machine.is_noisy() {
        eprintln!("warning: {}", machine.warning());
    }
}

fn measure_everything(call: &Call) {
    let prices = call.declare();
    let calibration = machine::Calibration::start();
    let mosquitto = Mosquitto::start();
    let is_whole = call.filter.is_empty();
    let jobs = call.driver().run(mosquitto.as_ref().map(Mosquitto::address));
    report::print_beside(&jobs);
    let engine = run_jobs(&call.filter, call.rounds());
    let mut results = Results {
        machine: machine::describe(mosquitto.is_some(), calibration),
        prices,
        before: call.before.as_ref().map(|before| before.revision.clone()),
        is_quick: call.is_quick,
        jobs,
        latency: Vec::new(),
        codecs: Vec::new(),
        engine,
        curves: Vec::new(),
        instructions: instructions(),
        start_times: Vec::new(),
        sizes: sizes(),
        scale: None,
    };
    if is_whole {
        results.latency = latency::run(call.latency());
        results.codecs = codecs::run(call.rounds());
        report::print_codecs(&results.codecs);
        results.curves = growth::run(call.growth_rounds());
        report::print_curves(&results.curves);
        results.start_times = contenders::start_times();
        results.scale = Some(scale::run(call.scale()));
    }
    if results.machine.is_noisy() {
        eprintln!("warning: {}", results.machine.warning());
    }
    if let Some(file) = &call.json {
        let text = serde_json::to_string_pretty(&results).expect("results are numbers and text");
        fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if is_whole && !call.is_quick {
            make_report(file);
        }
    }
}

fn make_report(file: &Path) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let results = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
    report::write(&results, &folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    eprintln!("wrote {} from {}", folder.join("performance.md").display(), file.display());
}

/// What `cargo xtask bench` counted before, if there is valgrind.
fn instructions() -> BTreeMap<String, u64> {
    let Some(file) = env::var_os("MQTT_WASI_INSTRUCTIONS") else { return BTreeMap::new() };
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let (count, name) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The components, and what is aimed at for each.
fn sizes() -> Vec<Size> {
    const KNOWN: [(&str, Option<u64>); 10] = [
        ("mqtt.wasm", Some(285_000)),
        ("mqtt-tls.wasm", Some(960_000)),
        ("mqtt-tls-wide.wasm", Some(960_000)),
        ("examples/pubsub.wasm", Some(220_000)),
        ("examples/request_reply.wasm", Some(320_000)),
        ("examples/tls_pubsub.wasm", Some(967_000)),
        ("examples/small.wasm", Some(180_000)),
        ("guests/bench_composed.wasm", None),
        ("guests/bench_blocking.wasm", None),
        ("guests/bench_seed.wasm", None),
    ];
    let size = |&(name, budget): &(&str, _)| {
        let bytes = host_tests::components::load(name).unwrap_or_else(|error| panic!("{error:#}")).len() as u64;
        Size { name: name.into(), bytes, budget }
    };
    KNOWN.iter().map(size).collect()
}
