//! What a run of the benchmark found: written as JSON, and read again to make the report of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gates::{self, Broken, Circumstances};
use crate::rounds::Rounds;
use crate::scale::Scale;
use crate::stage::Sample;

/// Everything of one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// What the system's calls take on it; `None` where that was not measured.
    #[serde(default)]
    pub(crate) prices: Option<Prices>,
    /// The earlier revision that was measured beside this one, if one was.
    #[serde(default)]
    pub(crate) before: Option<String>,
    /// Whether it was a run with `--quick`, whose figures say little.
    pub(crate) is_quick: bool,
    /// The jobs against the sink, then some against mosquitto, and those by TLS.
    pub(crate) jobs: Vec<JobResult>,
    /// How long requests take, one table a broker.
    pub(crate) latency: Vec<LatencyTable>,
    /// Codecs of several crates side by side.
    pub(crate) codecs: Vec<CodecResult>,
    /// Codec, session and client of this crate without a network.
    pub(crate) engine: Vec<EngineResult>,
    /// How cost grows with something.
    pub(crate) curves: Vec<Curve>,
    /// Instructions a message, by name of the job; empty where there is no valgrind.
    pub(crate) instructions: BTreeMap<String, u64>,
    /// How long it takes until something in WebAssembly runs, in milliseconds, by what that is.
    pub(crate) start_times: Vec<(String, f64)>,
    /// Sizes of artefacts.
    pub(crate) sizes: Vec<Size>,
    /// What one process can carry; earlier results have nothing of it.
    #[serde(default)]
    pub(crate) scale: Option<Scale>,
}

/// Where it ran.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As `2026-11-25`.
    pub(crate) date: String,
    /// The processor's name.
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// In bytes.
    pub(crate) memory: u64,
    /// Kernel and its version.
    pub(crate) system: String,
    /// What `rustc --version` says.
    pub(crate) rustc: String,
    /// What `mosquitto -h` says in its first line; `None` where there is none.
    pub(crate) mosquitto: Option<String>,
    /// How far apart the same calibration lay over the run, as a share: (slowest − fastest) / median. Over 0.25, the
    /// times of the run say little, and the report warns.
    pub(crate) noise: f64,
}

/// What two calls of the system take, in nanoseconds by the clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Prices {
    /// `write` of a byte to a TCP connection over loopback.
    pub(crate) write_ns: f64,
    /// Reading the clock.
    pub(crate) clock_ns: f64,
}

/// One job, and what every contender made of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JobResult {
    /// As `Work` prints itself: `publish-1-64-pipelined`.
    pub(crate) job: String,
    /// As `Target` prints itself: `sink`, `mosquitto`, `sink, TLS 1.3, AES-128-GCM`.
    pub(crate) against: String,
    /// Nanoseconds of the calibration before and behind the rounds; `None` where that was not measured.
    #[serde(default)]
    pub(crate) calibration: Option<[f64; 2]>,
    pub(crate) contenders: Vec<ContenderResult>,
}

/// What one contender made of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContenderResult {
    pub(crate) contender: String,
    /// The earlier revision that it is of; `None` for this one.
    #[serde(default)]
    pub(crate) revision: Option<String>,
    /// A sample for each round, or `None` where that failed; empty when it did not do the job. Those of all contenders
    /// begin with the same round, and who continued for longer has more.
    pub(crate) samples: Vec<Option<Sample>>,
    /// System calls an operation; `None` where there is no strace, and where they were not counted for this job.
    pub(crate) system_calls: Option<f64>,
    /// Why it did not do the job: what it lacks, or how it failed.
    pub(crate) lacks: Option<String>,
    pub(crate) failed: Option<String>,
}

/// What times are compared by.
pub(crate) type Quantity = fn(&Sample) -> u64;

impl JobResult {
    /// Whom the others are compared with.
    pub(crate) fn reference(&self) -> Option<&ContenderResult> {
        self.contenders.first()
    }

    /// Whom the rounds of a row are compared with: the reference, or today's of one that is of an earlier revision.
    pub(crate) fn compared_with(&self, contender: &ContenderResult) -> Option<&ContenderResult> {
        let other = if contender.revision.is_some() { self.successor(contender) } else { self.reference() };
        other.filter(|other| !std::ptr::eq(*other, contender))
    }

    /// Today's, of one that is of an earlier revision.
    fn successor(&self, contender: &ContenderResult) -> Option<&ContenderResult> {
        let mut ours = self.contenders.iter();
        ours.find(|other| other.revision.is_none() && other.contender == contender.contender)
    }

    /// The rounds that a row is judged by: those of its ratio to whom it is compared with, and its own where it is
    /// compared with nobody.
    pub(crate) fn judged(&self, contender: &ContenderResult, quantity: Quantity) -> Option<Rounds> {
        let ratio = self.compared_with(contender).and_then(|other| contender.ratio(other, quantity));
        ratio.or_else(|| contender.rounds(quantity))
    }

    /// The gate that a row broke in this quantity, if it did.
    pub(crate) fn broken(&self, contender: &ContenderResult, quantity: Quantity) -> Option<Broken> {
        gates::judge(&self.judged(contender, quantity)?, self.circumstances(contender))
    }

    /// How many times the quantity of one row another has, round by round, and the gate that this broke, if it did.
    pub(crate) fn beside(
        &self,
        row: &ContenderResult,
        other: &ContenderResult,
        quantity: Quantity,
    ) -> Option<(Rounds, Option<Broken>)> {
        let ratio = row.ratio(other, quantity)?;
        let judge = |row| gates::judge(&ratio, self.circumstances(row));
        Some((ratio, judge(row).or_else(|| judge(other))))
    }

    fn circumstances(&self, contender: &ContenderResult) -> Circumstances {
        let samples = &contender.samples;
        let drift = self.calibration.map_or(0.0, gates::drift);
        Circumstances { done: samples.iter().flatten().count(), of: samples.len(), drift }
    }
}

impl ContenderResult {
    /// Of an operation, round by round.
    pub(crate) fn each(&self, quantity: Quantity) -> Vec<Option<f64>> {
        let each = |sample: &Sample| quantity(sample) as f64 / f64::from(sample.operations.max(1));
        self.samples.iter().map(|sample| sample.as_ref().map(each)).collect()
    }

    pub(crate) fn rounds(&self, quantity: Quantity) -> Option<Rounds> {
        Rounds::of(self.each(quantity).into_iter().flatten())
    }

    /// How many times that of `other`, in each round that both did.
    pub(crate) fn ratio(&self, other: &Self, quantity: Quantity) -> Option<Rounds> {
        Rounds::paired(&self.each(quantity), &other.each(quantity))
    }

    /// Its name, with the revision that it is of.
    pub(crate) fn label(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{}, at {revision}", self.contender),
            None => self.contender.clone(),
        }
    }
}

/// Requests and replies over one broker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LatencyTable {
    /// `embedded` or `mosquitto`.
    pub(crate) broker: String,
    pub(crate) rows: Vec<LatencyRow>,
}

/// How long requests took until their replies were there, in microseconds: medians over the rounds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LatencyRow {
    pub(crate) name: String,
    pub(crate) in_flight: usize,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    /// How far apart the rounds' p50 lie, as a share of their median.
    pub(crate) spread: f64,
}

/// What one codec took for one packet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CodecResult {
    /// The crate.
    pub(crate) codec: String,
    /// `encode PUBLISH, 64 B` or the like.
    pub(crate) job: String,
    /// Nanoseconds an operation, median over the rounds.
    pub(crate) ns: f64,
    /// How far apart the middle half of the rounds lies, as a share of the median.
    pub(crate) spread: f64,
    /// An operation.
    pub(crate) allocations: f64,
}

/// One job of `jobs.rs`: as a row of the table that `cargo xtask bench` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EngineResult {
    pub(crate) job: String,
    pub(crate) ns: f64,
    pub(crate) spread: f64,
    /// What the design allows, in nanoseconds.
    pub(crate) budget: Option<f64>,
    pub(crate) allocations: f64,
    pub(crate) writes: f64,
}

/// How cost grows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// What is done, for example `publish at QoS 1 with others in flight`.
    pub(crate) name: String,
    /// What grows, for example `messages in flight`.
    pub(crate) x: String,
    /// What that costs, for example `ns an operation`.
    pub(crate) y: String,
    /// From the smallest x on.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The size of an artefact.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Below the folder of components: `mqtt.wasm`, `guests/bench_seed.wasm`.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) bytes: u64,
    /// What the design allows, in bytes.
    pub(crate) budget: Option<u64>,
}
