//! How long a request takes until its reply is there: this client's and others', over brokers on this machine.
//!
//! ```text
//!   requester ──► broker ──► responder, a blocking client in a thread of its own
//!             ◄──        ◄──
//! ```
//!
//! All of them have the same responder and the same payload, and take turns in rounds, each time over a connection of
//! its own, so that what slows the machine down meanwhile slows them all down.

mod requesters;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use host_tests::broker::{Embedded, Mosquitto, url};
use mqtt_wasi::{AsyncClient, Client, Options, QoS, Subscription};
use requesters::{Rumqttc, Seed, blocking, on_one_thread, on_two_threads};

use crate::results::{LatencyRow, LatencyTable};

const TOPIC: &str = "bench/echo";
const PAYLOAD: &[u8; 64] = &[b'x'; 64];

/// How long a requester waits for a reply: far longer than any takes.
const PATIENCE: Duration = Duration::from_secs(10);

const PERCENTILES: [usize; 3] = [50, 90, 99];

/// The first is what the others are compared with.
const CASES: [Case; 13] = [
    case("Client", blocking, QoS::AtMostOnce, 1),
    case("AsyncClient, current_thread", on_one_thread::<AsyncClient>, QoS::AtMostOnce, 1),
    case("AsyncClient, multi_thread(2)", on_two_threads::<AsyncClient>, QoS::AtMostOnce, 1),
    case("rumqttc by hand, current_thread", on_one_thread::<Rumqttc>, QoS::AtMostOnce, 1),
    case("rumqttc by hand, multi_thread(2)", on_two_threads::<Rumqttc>, QoS::AtMostOnce, 1),
    case("mqtt-wasi 0.2.0, current_thread", on_one_thread::<Seed>, QoS::AtMostOnce, 1),
    case("Client, QoS 1", blocking, QoS::AtLeastOnce, 1),
    case("Client, 10 in flight", blocking, QoS::AtMostOnce, 10),
    case("Client, 100 in flight", blocking, QoS::AtMostOnce, 100),
    case("AsyncClient, current_thread, 10 in flight", on_one_thread::<AsyncClient>, QoS::AtMostOnce, 10),
    case("AsyncClient, current_thread, 100 in flight", on_one_thread::<AsyncClient>, QoS::AtMostOnce, 100),
    case("AsyncClient, multi_thread(2), 10 in flight", on_two_threads::<AsyncClient>, QoS::AtMostOnce, 10),
    case("AsyncClient, multi_thread(2), 100 in flight", on_two_threads::<AsyncClient>, QoS::AtMostOnce, 100),
];

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    /// Requests of each case in each round, behind a tenth as many that do not count.
    requests: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self { rounds: 3, requests: 2_000 };
    pub(crate) const QUICK: Self = Self { rounds: 1, requests: 200 };
}

/// Connects, asks, and returns how long each request took.
type Measure = fn(SocketAddr, Load) -> Vec<Duration>;

/// Something to measure.
struct Case {
    name: &'static str,
    measure: Measure,
    qos: QoS,
    in_flight: usize,
}

/// What a requester is to do.
#[derive(Clone, Copy)]
struct Load {
    /// That of the requests, and so of the replies.
    qos: QoS,
    /// How many requests wait for their replies at the same time.
    in_flight: usize,
    /// Requests that come first and do not count.
    warm_up: usize,
    requests: usize,
}

/// Measures every case against each broker there is, and prints a table for each.
pub(crate) fn run(effort: Effort) -> Vec<LatencyTable> {
    let embedded = Embedded::start().expect("the embedded broker starts");
    let mut tables = vec![against("the embedded broker", embedded.address(), effort)];
    if let Some(mosquitto) = Mosquitto::start() {
        tables.push(against("mosquitto", mosquitto.address(), effort));
    }
    tables
}

fn against(name: &str, broker: SocketAddr, effort: Effort) -> LatencyTable {
    respond(broker);
    println!("\nrequest until reply, 64 B, over {name}");
    println!("{:<44} {:>9} {:>9} {:>9} {:>7} {:>7}", "", "p50 µs", "p90 µs", "p99 µs", "spread", "ratio");
    let mut rounds = CASES.map(|_| Vec::new());
    for _ in 0..effort.rounds {
        for (case, rounds) in CASES.iter().zip(&mut rounds) {
            rounds.push(percentiles((case.measure)(broker, case.load(effort))));
        }
    }
    let rows: Vec<_> = CASES.iter().zip(&rounds).map(|(case, rounds)| row(case, rounds)).collect();
    for LatencyRow { name, p50, p90, p99, spread, .. } in &rows {
        let (percent, ratio) = (spread * 100.0, p50 / rows[0].p50);
        println!("{name:<44} {p50:>9.1} {p90:>9.1} {p99:>9.1} {percent:>6.1}% {ratio:>7.2}");
    }
    LatencyTable { broker: name.into(), rows }
}

/// Echoes every request, over a connection of its own, until the broker ends.
fn respond(broker: SocketAddr) {
    let mut client = Client::connect(&url(broker), Options::new()).expect("the broker takes the responder");
    let subscription = Subscription::new(TOPIC, QoS::AtLeastOnce);
    // Before the first request comes, and not as soon as the thread gets to it.
    client.subscribe(&[subscription]).expect("the broker sends it requests");
    thread::spawn(move || client.serve(subscription, |request| Ok::<_, Infallible>(request.payload.clone())));
}

/// In microseconds.
fn percentiles(mut latencies: Vec<Duration>) -> [f64; 3] {
    latencies.sort_unstable();
    PERCENTILES.map(|percent| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6)
}

/// The medians of the rounds, and how far apart the rounds' p50 lie.
fn row(case: &Case, rounds: &[[f64; 3]]) -> LatencyRow {
    let [p50, p90, p99] = [0, 1, 2].map(|place| median(rounds, place));
    let sorted = sorted(rounds, 0);
    let spread = (sorted[sorted.len() - 1] - sorted[0]) / p50;
    LatencyRow { name: case.name.into(), in_flight: case.in_flight, p50, p90, p99, spread }
}

fn median(rounds: &[[f64; 3]], place: usize) -> f64 {
    sorted(rounds, place)[rounds.len() / 2]
}

fn sorted(rounds: &[[f64; 3]], place: usize) -> Vec<f64> {
    let mut values: Vec<f64> = rounds.iter().map(|percentiles| percentiles[place]).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

const fn case(name: &'static str, measure: Measure, qos: QoS, in_flight: usize) -> Case {
    Case { name, measure, qos, in_flight }
}

impl Case {
    const fn load(&self, effort: Effort) -> Load {
        let Self { qos, in_flight, .. } = *self;
        Load { qos, in_flight, warm_up: effort.requests / 10, requests: effort.requests }
    }
}
