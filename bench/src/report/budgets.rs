//! What the design allows, and whether it holds.

use super::beside;
use super::board::{Board, Entry, Kind, Measure};
use super::markdown::{Table, bold, bold_if, code, paragraph};
use super::numbers::{bytes, count, figure};
use crate::gates::Broken;
use crate::job::{Pace, Work};
use crate::results::{EngineResult, LatencyTable, Results};

const PUBLISH: &str = "publish-0-64-pipelined";
pub(super) const COMPONENT: &str = "mqtt-wasi, component in wasmtime";
const COMPONENT_ONE_CALL_EACH: &str = "mqtt-wasi, component, one call each";
/// Which the harness takes where the engine has wide arithmetic.
pub(super) const COMPONENT_WIDE: &str = "mqtt-wasi, component, wide arithmetic";
const COMPONENT_P3: &str = "mqtt-wasi, component for WASI 0.3";

/// How many times the p50 of the blocking client a request of the async client may take.
const MOST_ASYNC: f64 = 1.2;
/// How many times the messages of the fastest peer are to be published at QoS 0.
const LEAST_AHEAD: f64 = 8.0;
/// Wake-ups a second that are taken for those of Keep Alive alone; 0.2.0 had 330.
const MOST_WAKE_UPS: f64 = 1.0;
/// What is done by TLS, and how many times as often as by the component of an earlier revision it is to be done.
const BY_TLS: [(&str, Work, f64); 4] = [
    ("Full handshakes", Work::Connect, 2.0),
    ("Resumed handshakes", Work::Resume, 1.3),
    ("65,536 B out", Work::Publish { qos: 0, size: 65_536, pace: Pace::Pipelined }, 1.5),
    ("65,536 B in", Work::Receive { qos: 0, size: 65_536 }, 1.5),
];

struct Budget {
    what: String,
    allowed: String,
    figure: String,
    holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Holds {
    Yes,
    No,
    NotMeasured,
    /// A row that it is made of broke a gate.
    Invalid(Broken),
}

impl Budget {
    /// With a figure, if there is one, and whether it keeps to the budget.
    fn new(what: impl Into<String>, allowed: impl Into<String>, found: Option<(String, bool)>) -> Self {
        let (figure, holds) = match found {
            Some((figure, true)) => (figure, Holds::Yes),
            Some((figure, false)) => (figure, Holds::No),
            None => ("—".into(), Holds::NotMeasured),
        };
        Self { what: what.into(), allowed: allowed.into(), figure, holds }
    }

    /// Nothing is proven where one of the rows is invalid.
    fn unless(mut self, broken: Option<Broken>) -> Self {
        if let Some(broken) = broken.filter(|_| self.holds != Holds::NotMeasured) {
            self.holds = Holds::Invalid(broken);
        }
        self
    }
}

pub(super) fn text(results: &Results, boards: &[Board<'_>]) -> String {
    let mut budgets: Vec<Budget> = results.engine.iter().filter_map(of_engine).collect();
    budgets.push(allocations(&results.engine));
    budgets.extend(results.latency.iter().map(of_requests));
    budgets.extend(boards.iter().filter(|board| board.is_against_sink()).flat_map(of_idle));
    let publish = find(boards, PUBLISH);
    budgets.push(of_component(publish, COMPONENT_ONE_CALL_EACH, "one call each", 1e6));
    budgets.push(of_component(publish, COMPONENT, "batched", 4e6));
    budgets.push(ahead_of_fastest("Publish at QoS 0, 64 B, batched, native", publish, LEAST_AHEAD));
    budgets.extend([PUBLISH, "receive-0-64"].map(|job| component_ahead_of_rumqttc(find(boards, job), job)));
    budgets.extend([PUBLISH, "receive-0-64"].map(|job| wasi_0_3_ahead_of_0_2(find(boards, job), job)));
    budgets.extend((0..=2).map(|qos| receive(boards, qos)));
    if let Some(revision) = &results.before {
        budgets.extend(BY_TLS.map(|(what, work, least)| tls_beside(boards, revision, what, work, least)));
        budgets.push(nothing_behind(boards, revision));
    }
    budgets.extend(results.sizes.iter().filter_map(|size| {
        let budget = size.budget?;
        let found = Some((bytes(size.bytes), size.bytes <= budget));
        Some(Budget::new(code(&size.name), format!("≤ {}", bytes(budget)), found))
    }));
    summary(&budgets) + &table(&budgets)
}

fn summary(budgets: &[Budget]) -> String {
    let count = |holds| budgets.iter().filter(|budget| budget.holds == holds).count();
    let (kept, broken) = (count(Holds::Yes), count(Holds::No));
    let invalid = budgets.len() - kept - broken - count(Holds::NotMeasured);
    let measured = kept + broken + invalid;
    let invalid =
        if invalid > 0 { format!(" Of {invalid}, a row broke a gate, which proves nothing.") } else { String::new() };
    paragraph(&format!(
        "What the design allows. {kept} of {measured} hold; those that do not are in bold.{invalid} Peers are all other \
         native clients, 0.2.0 of this one among them. What is so many times something else is the median of the \
         rounds' ratios."
    ))
}

fn table(budgets: &[Budget]) -> String {
    let mut table = Table::new(&["what"], &["budget", "figure", "holds"]);
    for Budget { what, allowed, figure, holds } in budgets {
        let is_broken = *holds == Holds::No;
        let holds = match holds {
            Holds::Yes => "yes".into(),
            Holds::No => bold("no"),
            Holds::NotMeasured => "not measured".into(),
            Holds::Invalid(broken) => broken.to_string(),
        };
        table.row([bold_if(is_broken, what.clone()), allowed.clone(), bold_if(is_broken, figure.clone()), holds]);
    }
    table.text()
}

fn find<'b, 'a>(boards: &'b [Board<'a>], job: &str) -> Option<&'b Board<'a>> {
    boards.iter().find(|board| board.is_against_sink() && board.job.job == job)
}

fn of_engine(result: &EngineResult) -> Option<Budget> {
    let budget = result.budget?;
    let found = Some((format!("{} ns", figure(result.ns)), result.ns <= budget));
    Some(Budget::new(format!("Time of `{}`, native", result.job), format!("≤ {} ns", count(budget)), found))
}

/// Of the session, by the job that has most of them.
fn allocations(engine: &[EngineResult]) -> Budget {
    let receive = engine.iter().filter(|result| result.job.starts_with("session: receive"));
    let worst = receive.max_by(|one, other| one.allocations.total_cmp(&other.allocations));
    let found = worst.map(|result| {
        let most = if result.allocations > 0.0 { format!(" (`{}`)", result.job) } else { String::new() };
        (count(result.allocations) + &most, result.allocations == 0.0)
    });
    Budget::new("Allocations for a received message, session", "0", found)
}

/// The slower kind of runtime counts.
fn of_requests(table: &LatencyTable) -> Budget {
    let in_turn = || table.rows.iter().filter(|row| row.in_flight == 1);
    let blocking = in_turn().find(|row| row.name == "Client");
    let tasks = in_turn().filter(|row| row.name.starts_with("AsyncClient"));
    let slowest = tasks.max_by(|one, other| one.p50.total_cmp(&other.p50));
    let found = blocking.zip(slowest).map(|(blocking, slowest)| {
        let ratio = slowest.p50 / blocking.p50;
        (format!("{}x ({})", figure(ratio), slowest.name), ratio <= MOST_ASYNC)
    });
    let what = format!("p50 of a request of the async client, {}", table.broker);
    Budget::new(what, format!("≤ {MOST_ASYNC}x the blocking client's"), found)
}

/// All of ours. The job ends with a wake-up of its own, which is left out.
fn of_idle(board: &Board<'_>) -> Vec<Budget> {
    if board.work != Some(Work::Idle) {
        return Vec::new();
    }
    let budget = |entry: &Entry<'_>| {
        let found = entry.figures.as_ref().map(|figures| {
            let seconds = figures.operations / 1e3;
            let own = (figures.wake_ups.median * figures.operations - 1.0).max(0.0);
            (format!("{}/s", count(own / seconds)), own / seconds <= MOST_WAKE_UPS)
        });
        let allowed = format!("Keep Alive's: ≤ {MOST_WAKE_UPS}/s");
        Budget::new(format!("Wake-ups of an idle connection, {}", entry.name()), allowed, found)
    };
    board.entries.iter().filter(|entry| entry.is_ours()).map(budget).collect()
}

fn of_component(publish: Option<&Board<'_>>, contender: &str, how: &str, least: f64) -> Budget {
    let done = publish.and_then(|board| Some((board, board.find(contender)?)));
    let found = done.and_then(|(_, entry)| {
        let figures = entry.figures.as_ref()?;
        Some((per_second(figures.rate()), figures.rate() >= least))
    });
    let what = format!("Publish at QoS 0, 64 B, component in wasmtime, {how}");
    let broken = done.and_then(|(board, entry)| board.broken(entry, Measure::Rate));
    Budget::new(what, format!("≥ {}", per_second(least)), found).unless(broken)
}

fn per_second(rate: f64) -> String {
    format!("{} messages/s", figure(rate))
}

/// How many times as often as somebody else something is done.
struct Ahead {
    times: f64,
    than: String,
    broken: Option<Broken>,
}

impl Ahead {
    fn of(board: &Board<'_>, ours: &Entry<'_>, theirs: &Entry<'_>) -> Self {
        let (_, broken) = board.compared(theirs, ours, Measure::Rate);
        Self { times: Measure::Rate.times(theirs, ours), than: theirs.name().into(), broken }
    }

    /// Than the fastest native peer.
    fn of_fastest(board: &Board<'_>) -> Option<Self> {
        let (ours, _) = board.best_of_ours(Kind::Native, Measure::Rate)?;
        let (peer, _) = board.best_peer(Kind::Native, Measure::Rate)?;
        Some(Self::of(board, ours, peer))
    }
}

fn ahead_of_fastest(what: &str, board: Option<&Board<'_>>, least: f64) -> Budget {
    let ahead = board.and_then(Ahead::of_fastest);
    let found =
        ahead.as_ref().map(|Ahead { times, than, .. }| (format!("{}x ({than})", figure(*times)), *times >= least));
    let budget = Budget::new(what, format!("≥ {}x the fastest peer", figure(least)), found);
    budget.unless(ahead.and_then(|ahead| ahead.broken))
}

fn component_ahead_of_rumqttc(board: Option<&Board<'_>>, job: &str) -> Budget {
    let ahead = board.and_then(|board| {
        let (component, _) = board.best_of_ours(Kind::Component, Measure::Rate)?;
        let (native, _) = board.best(Measure::Rate, |entry| entry.name().starts_with("rumqttc"))?;
        Some(Ahead::of(board, component, native))
    });
    let found = ahead.as_ref().map(|ahead| (format!("{}x", figure(ahead.times)), ahead.times > 1.0));
    let budget = Budget::new(format!("`{job}`, component in wasmtime"), "> 1x native rumqttc", found);
    budget.unless(ahead.and_then(|ahead| ahead.broken))
}

/// The component for WASI 0.3, by its calls that take many messages, beside the other one by a call for each.
fn wasi_0_3_ahead_of_0_2(board: Option<&Board<'_>>, job: &str) -> Budget {
    let ahead = board.and_then(|board| {
        let done = |name| board.find(name).filter(|entry| entry.figures.is_some());
        Some(Ahead::of(board, done(COMPONENT_P3)?, done(COMPONENT_ONE_CALL_EACH)?))
    });
    let found = ahead.as_ref().map(|ahead| (format!("{}x", figure(ahead.times)), ahead.times >= 1.0));
    let what = format!("`{job}`, component for WASI 0.3");
    let budget = Budget::new(what, "≥ 1x the component for WASI 0.2, one call each", found);
    budget.unless(ahead.and_then(|ahead| ahead.broken))
}

/// By the cipher suite with which it is least ahead of the component of an earlier revision.
fn tls_beside(boards: &[Board<'_>], revision: &str, what: &str, work: Work, least: f64) -> Budget {
    let by_tls = boards.iter().filter(|board| board.work == Some(work) && board.suite().is_some());
    let ratios = by_tls.filter_map(|board| {
        let done = |name| board.find(name).filter(|entry| entry.figures.is_some());
        let now = done(COMPONENT_WIDE).or_else(|| done(COMPONENT))?;
        let then = board.earlier.iter().find(|entry| entry.name() == COMPONENT)?;
        let (ratio, broken) = board.job.beside(then.result, now.result, Measure::Rate.quantity())?;
        Some((ratio.median, broken, board.suite()?))
    });
    let worst = ratios.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let found = worst.map(|(ratio, _, suite)| (format!("{}x with {suite}", figure(ratio)), ratio >= least));
    let what = format!("{what} a second, component with TLS");
    let allowed = format!("≥ {}x that of {revision}, with every suite", figure(least));
    Budget::new(what, allowed, found).unless(worst.and_then(|(_, broken, _)| broken))
}

fn nothing_behind(boards: &[Board<'_>], revision: &str) -> Budget {
    let behind = beside::count_behind(boards);
    let found = behind.map(|behind| (behind.to_string(), behind == 0));
    Budget::new(format!("Figures that are behind {revision} by more than their spread"), "0", found)
}

/// By the size at which it is least ahead.
fn receive(boards: &[Board<'_>], qos: u8) -> Budget {
    let sizes = boards.iter().filter(|board| {
        let is_meant = matches!(board.work, Some(Work::Receive { qos: own, .. }) if own == qos);
        is_meant && board.is_against_sink()
    });
    let ratios = sizes.filter_map(|board| Some((Ahead::of_fastest(board)?, board)));
    let worst = ratios.min_by(|(one, _), (other, _)| one.times.total_cmp(&other.times));
    let found = worst.as_ref().map(|(Ahead { times, than, .. }, board)| {
        let size = board.size().unwrap_or_default();
        (format!("{}x at {size} ({than})", figure(*times)), *times >= 1.0)
    });
    let budget = Budget::new(format!("Receive at QoS {qos}, native, at every size"), "≥ 1x the fastest peer", found);
    budget.unless(worst.and_then(|(ahead, _)| ahead.broken))
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, earlier, job, job_by_tls, sample};
    use super::*;
    use crate::target::Suite;

    fn budget_of(found: &Budget) -> (&str, Holds) {
        (&found.figure, found.holds)
    }

    #[test]
    fn budget_holds_up_to_what_it_allows() {
        let result = |ns| EngineResult {
            job: "session: receive QoS 0, 64 B".into(),
            ns,
            spread: 0.0,
            budget: Some(60.0),
            allocations: 0.0,
            writes: 0.0,
        };
        assert_eq!(budget_of(&of_engine(&result(60.0)).unwrap()), ("60 ns", Holds::Yes));
        assert_eq!(budget_of(&of_engine(&result(60.6)).unwrap()), ("61 ns", Holds::No));
    }

    #[test]
    fn budget_that_was_not_measured_neither_holds_nor_breaks() {
        assert_eq!(budget_of(&allocations(&[])), ("—", Holds::NotMeasured));
        assert_eq!(budget_of(&of_component(None, COMPONENT, "batched", 4e6)), ("—", Holds::NotMeasured));
    }

    #[test]
    fn size_at_which_a_peer_is_nearest_decides() {
        let ours = || contender("mqtt-wasi, blocking", vec![sample(100, 100)]);
        let peer = |wall| contender("peer", vec![sample(wall, 100)]);
        let jobs = [
            job("receive-0-64", vec![ours(), peer(300)]),
            job("receive-0-1024", vec![ours(), peer(80)]),
            job("receive-1-64", vec![ours(), peer(10)]),
        ];
        let boards: Vec<_> = jobs.iter().map(Board::of).collect();
        assert_eq!(budget_of(&receive(&boards, 0)), ("0.8x at 1,024 B (peer)", Holds::No));
    }

    #[test]
    fn budget_of_a_row_that_broke_a_gate_is_neither_kept_nor_broken() {
        let ours = contender(COMPONENT, vec![sample(100, 1), sample(200, 1), sample(300, 1)]);
        let job = job(PUBLISH, vec![ours]);
        let budget = of_component(Some(&Board::of(&job)), COMPONENT, "batched", 4e6);
        assert!(matches!(budget_of(&budget), ("5,000,000 messages/s", Holds::Invalid(_))));
        assert!(table(&[budget]).contains("| invalid: spread 50% |"));
    }

    #[test]
    fn component_with_tls_is_held_against_that_of_an_earlier_revision_with_the_worst_suite() {
        let rounds = |wall: u64| vec![sample(wall, 1), sample(2 * wall, 1), sample(wall, 1)];
        let board = |suite, now, then| {
            let rows = vec![
                contender(COMPONENT, rounds(900)),
                contender(COMPONENT_WIDE, rounds(now)),
                earlier(COMPONENT, rounds(then)),
            ];
            job_by_tls("connect", suite, rows)
        };
        let jobs = [board(Suite::Tls13Aes128Gcm, 100, 210), board(Suite::Tls12Aes128Gcm, 100, 190)];
        let boards: Vec<_> = jobs.iter().map(Board::of).collect();
        let budget = tls_beside(&boards, "abc1234", "Full handshakes", Work::Connect, 2.0);
        assert_eq!(budget_of(&budget), ("1.9x with TLS 1.2, AES-128-GCM", Holds::No));
        let budget = tls_beside(&boards, "abc1234", "Resumed handshakes", Work::Resume, 1.3);
        assert_eq!(budget_of(&budget), ("—", Holds::NotMeasured));
    }

    #[test]
    fn wake_up_that_ends_the_job_is_left_out() {
        let mut idle = sample(1_000_000, 0);
        idle.wake_ups = 1;
        let job = job("idle", vec![contender("mqtt-wasi, blocking", vec![idle])]);
        assert_eq!(budget_of(&of_idle(&Board::of(&job))[0]), ("0/s", Holds::Yes));
    }
}
