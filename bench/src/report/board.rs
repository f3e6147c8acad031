//! A job with all its contenders, and who of them is compared with whom.

use super::figures::Figures;
use super::numbers::{count, figure, whole};
use crate::gates::Broken;
use crate::job::{Pace, Work};
use crate::results::{ContenderResult, JobResult, Quantity};
use crate::rounds::Rounds;
use crate::target::{Suite, Target};

/// A job, and what came of it.
pub(super) struct Board<'a> {
    pub(super) job: &'a JobResult,
    against: Against,
    /// `None` for the job of a version that had others.
    pub(super) work: Option<Work>,
    pub(super) entries: Vec<Entry<'a>>,
    /// Those of an earlier revision, which are compared with today's alone.
    pub(super) earlier: Vec<Entry<'a>>,
}

/// The peer that a job was done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    Sink,
    Tls(Suite),
    WebSocket,
    Broker,
}

/// A contender, and what it came to.
pub(super) struct Entry<'a> {
    pub(super) result: &'a ContenderResult,
    /// `None` when it did not do the job.
    pub(super) figures: Option<Figures>,
}

/// Where a contender runs. Only those of one kind are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Native,
    /// The same with cryptography that it does not have by itself.
    OtherProvider,
    /// A component that others are composed with, in wasmtime.
    Component,
    /// A whole program, in wasmtime.
    Guest,
}

/// What contenders are compared by. Less is better of what each goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Operations a second, by the time of an operation.
    Rate,
    /// Processor time of an operation.
    Cpu,
    /// Wake-ups of a connection that does nothing.
    WakeUps,
}

/// Whether this is this project's own, as contenders, codecs and requesters are named.
pub(super) fn is_ours(name: &str) -> bool {
    let is_client = name.starts_with("Client") || name.starts_with("AsyncClient");
    is_client || name.starts_with("mqtt-wasi") && !name.starts_with("mqtt-wasi 0.2")
}

impl Measure {
    pub(super) const fn rounds(self, figures: &Figures) -> &Rounds {
        match self {
            Self::Rate => &figures.wall,
            Self::Cpu => &figures.cpu,
            Self::WakeUps => &figures.wake_ups,
        }
    }

    pub(super) fn quantity(self) -> Quantity {
        match self {
            Self::Rate => |sample| sample.wall_ns,
            Self::Cpu => |sample| sample.cpu_ns,
            Self::WakeUps => |sample| sample.wake_ups,
        }
    }

    /// How many times that of `other`: the median of the rounds' ratios, or the ratio of medians where there are none.
    pub(super) fn times(self, entry: &Entry<'_>, other: &Entry<'_>) -> f64 {
        let median = |entry: &Entry<'_>| entry.figures.as_ref().map_or(f64::NAN, |figures| self.rounds(figures).median);
        let ratio = entry.result.ratio(other.result, self.quantity());
        ratio.map_or_else(|| median(entry) / median(other), |ratio| ratio.median)
    }

    /// What tables show of it: operations a second, nanoseconds an operation, wake-ups a second.
    pub(super) fn show(self, figures: &Figures) -> String {
        match self {
            Self::Rate => figure(figures.rate()),
            Self::Cpu => figure(figures.cpu.median),
            // An operation is a millisecond.
            Self::WakeUps => count(figures.wake_ups.median * 1e3),
        }
    }
}

impl<'a> Board<'a> {
    pub(super) fn of(job: &'a JobResult) -> Self {
        let entry = |result: &'a ContenderResult| Entry { result, figures: Figures::of(&result.samples) };
        let all = job.contenders.iter().map(entry);
        let (entries, earlier) = all.partition(|entry| entry.result.revision.is_none());
        Self { job, against: Against::of(job), work: job.job.parse().ok(), entries, earlier }
    }

    /// Whether it was done with the sink, over TCP alone.
    pub(super) fn is_against_sink(&self) -> bool {
        self.against == Against::Sink
    }

    /// Whether it was done with the sink, over WebSocket.
    pub(super) fn is_over_websocket(&self) -> bool {
        self.against == Against::WebSocket
    }

    /// Whether it was done with a real broker.
    pub(super) fn is_against_broker(&self) -> bool {
        self.against == Against::Broker
    }

    /// The cipher suite, where it was done by TLS.
    pub(super) const fn suite(&self) -> Option<Suite> {
        match self.against {
            Against::Tls(suite) => Some(suite),
            Against::Sink | Against::WebSocket | Against::Broker => None,
        }
    }

    /// What it is compared by.
    pub(super) const fn measures(&self) -> &'static [Measure] {
        match self.work {
            Some(Work::Idle) => &[Measure::Cpu, Measure::WakeUps],
            _ => &[Measure::Rate, Measure::Cpu],
        }
    }

    /// The contender that ratios refer to.
    pub(super) fn reference(&self) -> Option<&Entry<'a>> {
        self.entries.first().filter(|entry| entry.figures.is_some())
    }

    /// How many times the reference's time, or what it goes by, round by round.
    pub(super) fn ratio(&self, entry: &Entry<'_>, measure: Measure) -> Option<Rounds> {
        entry.result.ratio(self.reference()?.result, measure.quantity())
    }

    /// How many times what `other` goes by, round by round, and the gate that this broke. Counts have none.
    pub(super) fn compared(
        &self,
        entry: &Entry<'_>,
        other: &Entry<'_>,
        measure: Measure,
    ) -> (Option<Rounds>, Option<Broken>) {
        match self.job.beside(entry.result, other.result, measure.quantity()) {
            Some((ratio, _)) if measure == Measure::WakeUps => (Some(ratio), None),
            Some((ratio, broken)) => (Some(ratio), broken),
            None => (None, None),
        }
    }

    /// How far apart the rounds lie that a row is judged by.
    pub(super) fn spread(&self, entry: &Entry<'_>, measure: Measure) -> Option<f64> {
        Some(self.job.judged(entry.result, measure.quantity())?.spread())
    }

    /// The gate that a row broke. Counts have none.
    pub(super) fn broken(&self, entry: &Entry<'_>, measure: Measure) -> Option<Broken> {
        match measure {
            Measure::Rate | Measure::Cpu => self.job.broken(entry.result, measure.quantity()),
            Measure::WakeUps => None,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.name() == name)
    }

    /// The best of those that did the job.
    pub(super) fn best(
        &self,
        measure: Measure,
        is_meant: impl Fn(&Entry<'_>) -> bool,
    ) -> Option<(&Entry<'a>, &Figures)> {
        let done = self.entries.iter().filter(|entry| is_meant(entry));
        let done = done.filter_map(|entry| Some((entry, entry.figures.as_ref()?)));
        let time = |figures: &Figures| measure.rounds(figures).median;
        done.min_by(|(_, one), (_, other)| time(one).total_cmp(&time(other)))
    }

    /// The best of ours of this kind.
    pub(super) fn best_of_ours(&self, kind: Kind, measure: Measure) -> Option<(&Entry<'a>, &Figures)> {
        self.best(measure, |entry| entry.is_ours() && entry.kind() == kind)
    }

    /// The best of others of this kind.
    pub(super) fn best_peer(&self, kind: Kind, measure: Measure) -> Option<(&Entry<'a>, &Figures)> {
        self.best(measure, |entry| !entry.is_ours() && entry.kind() == kind)
    }

    /// Whether somebody else is ahead of all of ours of its kind.
    pub(super) fn is_ahead(&self, entry: &Entry<'_>, measure: Measure) -> bool {
        let is_peer = entry.figures.is_some() && !entry.is_ours();
        let ours = self.best_of_ours(entry.kind(), measure).filter(|_| is_peer);
        ours.is_some_and(|(ours, _)| measure.times(entry, ours) < 1.0)
    }

    /// The heading of this job and of those that differ from it in the size of the messages alone.
    pub(super) fn family(&self) -> String {
        match self.work {
            Some(Work::Publish { qos: 0, pace: Pace::Awaited, .. }) => {
                "Publish at QoS 0, a call for each message".into()
            }
            Some(Work::Publish { qos: 0, .. }) => "Publish at QoS 0, as many at once as the client takes".into(),
            Some(Work::Publish { qos, pace: Pace::Awaited, .. }) => {
                format!("Publish at QoS {qos}, each acknowledged before the next")
            }
            Some(Work::Publish { qos, .. }) => format!("Publish at QoS {qos}, pipelined"),
            Some(Work::Receive { qos, .. }) => format!("Receive at QoS {qos}"),
            Some(Work::Mixed { .. }) => "Publish and receive at the same time at QoS 1".into(),
            Some(Work::Connect) => "Connect and disconnect".into(),
            Some(Work::Reconnect) => "Reconnect with messages in flight".into(),
            Some(Work::Resume) => "Disconnect, and connect again with the TLS session".into(),
            Some(Work::Subscribe) => "Subscribe".into(),
            Some(Work::Idle) => "Stay connected and do nothing".into(),
            None => self.job.job.clone(),
        }
    }

    /// What tells it from the others of its family.
    pub(super) fn size(&self) -> Option<String> {
        let size = self.work.map(Work::size).filter(|size| *size > 0)?;
        Some(format!("{} B", whole(size as u64)))
    }

    /// The job as lists name it.
    pub(super) fn title(&self) -> String {
        let size = self.size().map_or(String::new(), |size| format!(", {size}"));
        let against = if self.is_against_sink() { String::new() } else { format!(", {}", self.job.against) };
        self.family() + &size + &against
    }

    /// What there is one of in an operation.
    pub(super) const fn unit(&self) -> &'static str {
        match self.work {
            Some(Work::Publish { .. } | Work::Receive { .. } | Work::Mixed { .. } | Work::Reconnect) => "message",
            Some(Work::Connect | Work::Resume) => "connection",
            Some(Work::Subscribe) => "subscription",
            Some(Work::Idle) => "millisecond",
            None => "operation",
        }
    }
}

impl Against {
    fn of(job: &JobResult) -> Self {
        match job.against.parse() {
            Ok(Target::Sink) => Self::Sink,
            Ok(Target::Tls(suite)) => Self::Tls(suite),
            Ok(Target::WebSocket) => Self::WebSocket,
            Ok(Target::Mosquitto(_)) | Err(_) => Self::Broker,
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn name(&self) -> &'a str {
        &self.result.contender
    }

    /// With the revision, where that is not this one.
    pub(super) fn label(&self) -> String {
        self.result.label()
    }

    pub(super) fn is_ours(&self) -> bool {
        is_ours(self.name())
    }

    pub(super) fn kind(&self) -> Kind {
        if self.name().contains("guest") {
            Kind::Guest
        } else if self.name().contains("component") {
            Kind::Component
        } else if self.name().ends_with(", ring") {
            Kind::OtherProvider
        } else {
            Kind::Native
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::stage::Sample;

    /// A round of a thousand operations, by what one of them takes in nanoseconds.
    pub(crate) fn sample(wall_ns: u64, cpu_ns: u64) -> Sample {
        const OPERATIONS: u32 = 1_000;
        let all = |each: u64| each * u64::from(OPERATIONS);
        Sample {
            operations: OPERATIONS,
            wall_ns: all(wall_ns),
            cpu_ns: all(cpu_ns),
            sink_cpu_ns: all(50),
            allocations: all(2),
            allocated_bytes: all(100),
            wake_ups: 0,
            bytes_out: all(96),
            bytes_in: all(4),
            peak_memory: 1 << 23,
            linear_memory: None,
            start_ns: None,
        }
    }

    pub(crate) fn contender(name: &str, samples: Vec<Sample>) -> ContenderResult {
        ContenderResult {
            contender: name.into(),
            revision: None,
            samples: samples.into_iter().map(Some).collect(),
            system_calls: None,
            lacks: None,
            failed: None,
        }
    }

    /// As it was at `abc1234`.
    pub(crate) fn earlier(name: &str, samples: Vec<Sample>) -> ContenderResult {
        ContenderResult { revision: Some("abc1234".into()), ..contender(name, samples) }
    }

    pub(crate) fn job(job: &str, contenders: Vec<ContenderResult>) -> JobResult {
        JobResult { job: job.into(), against: Target::Sink.to_string(), calibration: None, contenders }
    }

    pub(crate) fn job_by_tls(job: &str, suite: Suite, contenders: Vec<ContenderResult>) -> JobResult {
        JobResult { job: job.into(), against: Target::Tls(suite).to_string(), calibration: None, contenders }
    }

    #[test]
    fn own_names_are_told_from_those_of_others() {
        let ours =
            ["mqtt-wasi, blocking", "mqtt-wasi, wasip2 guest", "mqtt-wasi", "Client", "AsyncClient, current_thread"];
        let others = ["mqtt-wasi 0.2.0, blocking", "mqtt-wasi 0.2.0, wasip2 guest", "rumqttc 0.25", "mqtt5 0.49"];
        assert!(ours.iter().all(|name| is_ours(name)));
        assert!(!others.iter().any(|name| is_ours(name)));
    }

    #[test]
    fn jobs_by_tls_are_neither_those_of_the_sink_nor_those_of_a_broker() {
        let job = job_by_tls("connect", Suite::Tls13Aes128Gcm, Vec::new());
        let board = Board::of(&job);
        assert_eq!(board.suite(), Some(Suite::Tls13Aes128Gcm));
        assert!(!board.is_against_sink() && !board.is_against_broker());
        assert_eq!(board.title(), "Connect and disconnect, sink, TLS 1.3, AES-128-GCM");
    }

    #[test]
    fn client_with_cryptography_that_it_does_not_have_by_itself_is_of_a_kind_of_its_own() {
        let job = job("connect", vec![contender("mqtt-wasi, blocking, ring", vec![sample(1, 1)])]);
        let board = Board::of(&job);
        assert_eq!(board.entries[0].kind(), Kind::OtherProvider);
        assert!(board.best_of_ours(Kind::Native, Measure::Rate).is_none());
    }

    #[test]
    fn title_says_which_of_the_family_it_is() {
        let titles = ["publish-1-65536-pipelined", "receive-0-64", "connect", "dance"].map(|name| {
            let job = job(name, Vec::new());
            Board::of(&job).title()
        });
        let expected =
            ["Publish at QoS 1, pipelined, 65,536 B", "Receive at QoS 0, 64 B", "Connect and disconnect", "dance"];
        assert_eq!(titles, expected);
    }
}
