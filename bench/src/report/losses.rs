//! Where somebody else is better.

use super::board::{Board, Entry, Kind, Measure, is_ours};
use super::markdown::{Table, paragraph};
use super::numbers::figure;
use crate::gates::Broken;
use crate::results::{CodecResult, LatencyRow, LatencyTable, Results};

/// Something that somebody else does better than the best of ours of the same kind.
#[derive(Debug)]
struct Loss {
    what: String,
    who: String,
    /// What the figures are of.
    measure: String,
    theirs: String,
    /// `None` where ours does not do it at all.
    ours: Option<String>,
    /// How many times better.
    factor: f64,
    sure: Sure,
}

/// Whether a loss is one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sure {
    Yes,
    /// The rounds lie so far apart that it may be chance.
    Maybe,
    /// Their ratio broke a gate.
    No(Broken),
}

impl Sure {
    const fn unless(may_be_chance: bool) -> Self {
        if may_be_chance { Self::Maybe } else { Self::Yes }
    }

    fn in_words(self) -> String {
        match self {
            Self::Yes => "yes".into(),
            Self::Maybe => "maybe".into(),
            Self::No(broken) => broken.to_string(),
        }
    }
}

pub(super) fn text(results: &Results, boards: &[Board<'_>]) -> String {
    let mut losses = in_jobs(boards);
    losses.extend(results.latency.iter().flat_map(in_requests));
    losses.extend(in_codecs(&results.codecs));
    losses.sort_by(|one, other| other.factor.total_cmp(&one.factor));
    let rule = paragraph(
        "Every job in which somebody else takes less processor time than the best of ours of the same kind, or gets \
         more done in a second: native clients beside the native ones, the guest of 0.2.0 beside the guest. Idle \
         connections are compared by processor time and wake-ups, requests by their p50, codecs by their time. By TLS \
         each has its own cryptography: ours with ring does not count. *Times* is the median of the rounds' ratios. \
         *Maybe* is where that is no further from 1 than the middle half of them is wide; of requests and codecs, where \
         the rounds of both overlap. What is invalid has broken a gate, and proves nothing.",
    );
    let mut table = Table::new(&["what", "who is better", "figure"], &["theirs", "ours", "times", "for sure"]);
    for Loss { what, who, measure, theirs, ours, factor, sure } in &losses {
        let ours = ours.clone().unwrap_or_else(|| "does not do it".into());
        let cells =
            [what.clone(), who.clone(), measure.clone(), theirs.clone(), ours, figure(*factor), sure.in_words()];
        table.row(cells);
    }
    let nothing = if losses.is_empty() { paragraph("In this run: nothing.") } else { String::new() };
    rule + &table.text() + &nothing
}

fn in_jobs(boards: &[Board<'_>]) -> Vec<Loss> {
    let mut losses = Vec::new();
    for board in boards {
        for entry in board.entries.iter().filter(|entry| !entry.is_ours()) {
            if lacks_ours(board, entry) {
                losses.extend(undone(board, entry));
            } else {
                losses.extend(board.measures().iter().filter_map(|&measure| behind(board, entry, measure)));
            }
        }
    }
    losses
}

/// Whether there are some of ours of this kind, and none of them did the job.
fn lacks_ours(board: &Board<'_>, peer: &Entry<'_>) -> bool {
    let has_one = board.entries.iter().any(|entry| entry.is_ours() && entry.kind() == peer.kind());
    has_one && board.best_of_ours(peer.kind(), Measure::Rate).is_none()
}

fn undone(board: &Board<'_>, peer: &Entry<'_>) -> Option<Loss> {
    Some(Loss {
        what: board.title(),
        who: peer.name().into(),
        measure: measure_name(board, Measure::Cpu),
        theirs: Measure::Cpu.show(peer.figures.as_ref()?),
        ours: None,
        factor: f64::INFINITY,
        sure: Sure::Yes,
    })
}

fn behind(board: &Board<'_>, peer: &Entry<'_>, measure: Measure) -> Option<Loss> {
    if !board.is_ahead(peer, measure) {
        return None;
    }
    let theirs = peer.figures.as_ref()?;
    let (best, ours) = board.best_of_ours(peer.kind(), measure)?;
    let (ratio, broken) = board.compared(best, peer, measure);
    let may_be_chance = ratio.is_some_and(|ratio| !ratio.is_sure());
    Some(Loss {
        what: board.title(),
        who: peer.name().into(),
        measure: measure_name(board, measure),
        theirs: measure.show(theirs),
        ours: Some(with_name(measure.show(ours), best, peer.kind())),
        factor: measure.times(best, peer),
        sure: broken.map_or(Sure::unless(may_be_chance), Sure::No),
    })
}

/// Which of ours it is, where there are several.
fn with_name(figure: String, best: &Entry<'_>, kind: Kind) -> String {
    match best.name().split_once(", ") {
        Some((_, form)) if kind == Kind::Native => format!("{figure} ({form})"),
        _ => figure,
    }
}

fn measure_name(board: &Board<'_>, measure: Measure) -> String {
    match measure {
        Measure::Rate => format!("{}s/s", board.unit()),
        Measure::Cpu => format!("CPU ns/{}", board.unit()),
        Measure::WakeUps => "wake-ups/s".into(),
    }
}

fn in_requests(table: &LatencyTable) -> Vec<Loss> {
    let p50 = |row: &LatencyRow| Around { median: row.p50, spread: row.spread };
    let others = table.rows.iter().filter(|row| !is_ours(&row.name));
    let loss = |row: &LatencyRow| {
        let ours = table.rows.iter().filter(|own| is_ours(&own.name) && own.in_flight == row.in_flight);
        let best = ours.min_by(|one, other| one.p50.total_cmp(&other.p50))?;
        let what = format!("Request until reply, {} in flight, {}", row.in_flight, table.broker);
        slower(what, row.name.clone(), "p50 µs", &p50(row), &p50(best))
    };
    others.filter_map(loss).collect()
}

fn in_codecs(codecs: &[CodecResult]) -> Vec<Loss> {
    let time = |result: &CodecResult| Around { median: result.ns, spread: result.spread };
    let others = codecs.iter().filter(|result| !is_ours(&result.codec));
    let loss = |result: &CodecResult| {
        let ours = codecs.iter().find(|own| is_ours(&own.codec) && own.job == result.job)?;
        slower(format!("Codec: {}", result.job), result.codec.clone(), "ns", &time(result), &time(ours))
    };
    others.filter_map(loss).collect()
}

fn slower(what: String, who: String, measure: &str, theirs: &Around, ours: &Around) -> Option<Loss> {
    (theirs.median < ours.median).then(|| Loss {
        what,
        who,
        measure: measure.into(),
        theirs: figure(theirs.median),
        ours: Some(figure(ours.median)),
        factor: ours.median / theirs.median,
        sure: Sure::unless(theirs.end(0.5) >= ours.end(-0.5)),
    })
}

/// Rounds that lie so far apart, as a share of their median.
struct Around {
    median: f64,
    spread: f64,
}

impl Around {
    /// So much of the spread away from the median.
    fn end(&self, share: f64) -> f64 {
        self.median * (1.0 + share * self.spread)
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;
    use crate::results::JobResult;
    use crate::stage::Sample;

    /// Who is better in which figure.
    fn losses(job: &JobResult) -> Vec<(String, String)> {
        in_jobs(&[Board::of(job)]).into_iter().map(|loss| (loss.who, loss.measure)).collect()
    }

    fn lost(who: &str, measure: &str) -> (String, String) {
        (who.into(), measure.into())
    }

    #[test]
    fn peer_with_less_processor_time_or_more_messages_is_a_loss() {
        let job = job(
            "publish-0-64-pipelined",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 90)]),
                contender("thrifty", vec![sample(200, 80)]),
                contender("fast", vec![sample(50, 120)]),
                contender("slow", vec![sample(300, 300)]),
                contender("equal", vec![sample(100, 90)]),
            ],
        );
        assert_eq!(losses(&job), [lost("thrifty", "CPU ns/message"), lost("fast", "messages/s")]);
    }

    #[test]
    fn best_of_ours_counts_for_each_figure() {
        let job = job(
            "receive-0-64",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 90)]),
                contender("mqtt-wasi, tokio", vec![sample(60, 120)]),
                contender("peer", vec![sample(80, 100)]),
            ],
        );
        assert!(losses(&job).is_empty());
    }

    #[test]
    fn guest_is_compared_with_the_guest_alone() {
        let job = job(
            "receive-0-64",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(50, 50)]),
                contender("mqtt-wasi, component in wasmtime", vec![sample(70, 70)]),
                contender("mqtt-wasi, wasip2 guest", vec![sample(100, 100)]),
                contender("mqtt-wasi 0.2.0, wasip2 guest", vec![sample(80, 200)]),
                contender("rumqttc 0.25", vec![sample(90, 90)]),
            ],
        );
        assert_eq!(losses(&job), [lost("mqtt-wasi 0.2.0, wasip2 guest", "messages/s")]);
    }

    fn sure(ours: Vec<Sample>, theirs: Vec<Sample>) -> Sure {
        let job = job("receive-0-64", vec![contender("mqtt-wasi, blocking", ours), contender("peer", theirs)]);
        in_jobs(&[Board::of(&job)])[0].sure
    }

    #[test]
    fn ratio_that_is_nearer_to_one_than_its_rounds_are_apart_is_no_proof() {
        let ours = || vec![sample(100, 10), sample(100, 10), sample(100, 10)];
        let peer = |fastest| vec![sample(fastest, 20), sample(95, 20), sample(96, 20)];
        assert_eq!(sure(ours(), peer(84)), Sure::Maybe);
        assert_eq!(sure(ours(), peer(94)), Sure::Yes);
        assert_eq!(sure(ours()[..1].to_vec(), vec![sample(50, 20)]), Sure::Maybe, "nor is a single round");
    }

    #[test]
    fn machine_that_slows_down_for_both_leaves_a_proof() {
        let ours = vec![sample(100, 10), sample(101, 10), sample(100, 10), sample(200, 10)];
        let theirs = vec![sample(80, 20), sample(81, 20), sample(80, 20), sample(160, 20)];
        assert_eq!(sure(ours, theirs), Sure::Yes);
    }

    #[test]
    fn row_that_broke_a_gate_proves_nothing() {
        let ours = vec![sample(100, 10), sample(100, 10), sample(100, 10)];
        let theirs = vec![sample(30, 20), sample(50, 20), sample(60, 20)];
        assert_eq!(sure(ours, theirs).in_words(), "invalid: spread 42%");
    }

    #[test]
    fn job_that_only_a_peer_does_is_a_loss() {
        let job = job(
            "reconnect",
            vec![contender("mqtt-wasi, blocking", Vec::new()), contender("peer", vec![sample(100, 100)])],
        );
        let losses = in_jobs(&[Board::of(&job)]);
        assert_eq!(losses.len(), 1);
        assert_eq!((losses[0].who.as_str(), losses[0].ours.as_ref()), ("peer", None));
    }

    #[test]
    fn peer_that_does_not_do_the_job_is_none() {
        let job = job(
            "reconnect",
            vec![contender("mqtt-wasi, blocking", vec![sample(100, 100)]), contender("peer", Vec::new())],
        );
        assert!(losses(&job).is_empty());
    }

    #[test]
    fn idle_connections_are_compared_by_wake_ups_and_not_by_time() {
        let mut ours = sample(1_000_000, 10);
        ours.wake_ups = 5;
        let job = job(
            "idle",
            vec![contender("mqtt-wasi, blocking", vec![ours]), contender("peer", vec![sample(999_999, 10)])],
        );
        assert_eq!(losses(&job), [lost("peer", "wake-ups/s")]);
    }

    #[test]
    fn codecs_and_requests_are_compared_too() {
        let codec = |codec: &str, ns| CodecResult {
            codec: codec.into(),
            job: "encode PUBLISH, 64 B".into(),
            ns,
            spread: 0.02,
            allocations: 0.0,
        };
        let row = |name: &str, in_flight, p50| LatencyRow {
            name: name.into(),
            in_flight,
            p50,
            p90: p50,
            p99: p50,
            spread: 0.5,
        };
        let table = LatencyTable {
            broker: "mosquitto".into(),
            rows: vec![
                row("Client", 1, 70.0),
                row("AsyncClient, current_thread", 1, 60.0),
                row("rumqttc by hand", 1, 59.0),
            ],
        };
        let codecs = [codec("mqtt-wasi", 68.0), codec("swift", 60.0), codec("mqtt-wasi 0.2.0", 70.0)];
        let found = |losses: Vec<Loss>| losses.into_iter().map(|loss| (loss.who, loss.sure)).collect::<Vec<_>>();
        assert_eq!(found(in_codecs(&codecs)), [("swift".into(), Sure::Yes)]);
        assert_eq!(found(in_requests(&table)), [("rumqttc by hand".into(), Sure::Maybe)]);
    }
}
