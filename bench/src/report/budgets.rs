//! What the design allows, and whether it holds.

use super::board::{Board, Entry, Kind, Measure};
use super::markdown::{Table, bold, bold_if, code, paragraph};
use super::numbers::{bytes, figure};
use crate::job::Work;
use crate::results::{EngineResult, LatencyTable, Results};

const PUBLISH: &str = "publish-0-64-pipelined";
const COMPONENT: &str = "mqtt-wasi, component in wasmtime";
const COMPONENT_ONE_CALL_EACH: &str = "mqtt-wasi, component, one call each";
const COMPONENT_P3: &str = "mqtt-wasi, component for WASI 0.3";

/// How many times the p50 of the blocking client a request of the async client may take.
const MOST_ASYNC: f64 = 1.2;
/// How many times the messages of the fastest peer are to be published at QoS 0.
const LEAST_AHEAD: f64 = 8.0;
/// Wake-ups a second that are taken for those of Keep Alive alone; 0.2.0 had 330.
const MOST_WAKE_UPS: f64 = 1.0;

struct Budget {
    what: String,
    allowed: String,
    figure: String,
    /// `None` when it was not measured.
    holds: Option<bool>,
}

impl Budget {
    /// With a figure, if there is one, and whether it keeps to the budget.
    fn new(what: impl Into<String>, allowed: impl Into<String>, found: Option<(String, bool)>) -> Self {
        let (figure, holds) = found.map_or(("—".into(), None), |(figure, holds)| (figure, Some(holds)));
        Self { what: what.into(), allowed: allowed.into(), figure, holds }
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
    budgets.extend(results.sizes.iter().filter_map(|size| {
        let budget = size.budget?;
        let found = Some((bytes(size.bytes), size.bytes <= budget));
        Some(Budget::new(code(&size.name), format!("≤ {}", bytes(budget)), found))
    }));
    summary(&budgets) + &table(&budgets)
}

fn summary(budgets: &[Budget]) -> String {
    let count = |holds| budgets.iter().filter(|budget| budget.holds == holds).count();
    let (kept, measured) = (count(Some(true)), budgets.len() - count(None));
    paragraph(&format!(
        "What the design allows. {kept} of {measured} hold; those that do not are in bold. Peers are all other native \
         clients, 0.2.0 of this one among them."
    ))
}

fn table(budgets: &[Budget]) -> String {
    let mut table = Table::new(&["what"], &["budget", "figure", "holds"]);
    for Budget { what, allowed, figure, holds } in budgets {
        let is_broken = *holds == Some(false);
        let holds = match holds {
            Some(true) => "yes".into(),
            Some(false) => bold("no"),
            None => "not measured".into(),
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
    Some(Budget::new(format!("Time of `{}`, native", result.job), format!("≤ {} ns", figure(budget)), found))
}

/// Of the session, by the job that has most of them.
fn allocations(engine: &[EngineResult]) -> Budget {
    let receive = engine.iter().filter(|result| result.job.starts_with("session: receive"));
    let worst = receive.max_by(|one, other| one.allocations.total_cmp(&other.allocations));
    let found = worst.map(|result| {
        let most = if result.allocations > 0.0 { format!(" (`{}`)", result.job) } else { String::new() };
        (figure(result.allocations) + &most, result.allocations == 0.0)
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
            (format!("{}/s", figure(own / seconds)), own / seconds <= MOST_WAKE_UPS)
        });
        let allowed = format!("Keep Alive's: ≤ {MOST_WAKE_UPS}/s");
        Budget::new(format!("Wake-ups of an idle connection, {}", entry.name()), allowed, found)
    };
    board.entries.iter().filter(|entry| entry.is_ours()).map(budget).collect()
}

fn of_component(publish: Option<&Board<'_>>, contender: &str, how: &str, least: f64) -> Budget {
    let figures = publish.and_then(|board| board.find(contender)?.figures.as_ref());
    let found = figures.map(|figures| (per_second(figures.rate()), figures.rate() >= least));
    let what = format!("Publish at QoS 0, 64 B, component in wasmtime, {how}");
    Budget::new(what, format!("≥ {}", per_second(least)), found)
}

fn per_second(rate: f64) -> String {
    format!("{} messages/s", figure(rate))
}

/// How many times the messages a second of the fastest native peer, whose name comes with it.
fn ahead(board: &Board<'_>) -> Option<(f64, String)> {
    let (_, ours) = board.best_of_ours(Kind::Native, Measure::Rate)?;
    let (peer, theirs) = board.best_peer(Kind::Native, Measure::Rate)?;
    Some((ours.rate() / theirs.rate(), peer.name().into()))
}

fn ahead_of_fastest(what: &str, board: Option<&Board<'_>>, least: f64) -> Budget {
    let found = board.and_then(ahead).map(|(ratio, peer)| (format!("{}x ({peer})", figure(ratio)), ratio >= least));
    Budget::new(what, format!("≥ {}x the fastest peer", figure(least)), found)
}

fn component_ahead_of_rumqttc(board: Option<&Board<'_>>, job: &str) -> Budget {
    let found = board.and_then(|board| {
        let (_, component) = board.best_of_ours(Kind::Component, Measure::Rate)?;
        let (_, native) = board.best(Measure::Rate, |entry| entry.name().starts_with("rumqttc"))?;
        let ratio = component.rate() / native.rate();
        Some((format!("{}x", figure(ratio)), ratio > 1.0))
    });
    Budget::new(format!("`{job}`, component in wasmtime"), "> 1x native rumqttc", found)
}

/// The component for WASI 0.3, by its calls that take many messages, beside the other one by a call for each.
fn wasi_0_3_ahead_of_0_2(board: Option<&Board<'_>>, job: &str) -> Budget {
    let figures = |name| board.and_then(|board| board.find(name)?.figures.as_ref());
    let found = figures(COMPONENT_P3).zip(figures(COMPONENT_ONE_CALL_EACH)).map(|(p3, p2)| {
        let ratio = p3.rate() / p2.rate();
        (format!("{}x", figure(ratio)), ratio >= 1.0)
    });
    Budget::new(format!("`{job}`, component for WASI 0.3"), "≥ 1x the component for WASI 0.2, one call each", found)
}

/// By the size at which it is least ahead.
fn receive(boards: &[Board<'_>], qos: u8) -> Budget {
    let sizes = boards.iter().filter(|board| {
        let is_meant = matches!(board.work, Some(Work::Receive { qos: own, .. }) if own == qos);
        is_meant && board.is_against_sink()
    });
    let ratios = sizes.filter_map(|board| ahead(board).map(|(ratio, peer)| (ratio, peer, board)));
    let worst = ratios.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let found = worst.map(|(ratio, peer, board)| {
        let size = board.size().unwrap_or_default();
        (format!("{}x at {size} ({peer})", figure(ratio)), ratio >= 1.0)
    });
    Budget::new(format!("Receive at QoS {qos}, native, at every size"), "≥ 1x the fastest peer", found)
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;

    fn budget_of(found: &Budget) -> (&str, Option<bool>) {
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
        assert_eq!(budget_of(&of_engine(&result(60.0)).unwrap()), ("60 ns", Some(true)));
        assert_eq!(budget_of(&of_engine(&result(60.1)).unwrap()), ("60.1 ns", Some(false)));
    }

    #[test]
    fn budget_that_was_not_measured_neither_holds_nor_breaks() {
        assert_eq!(budget_of(&allocations(&[])), ("—", None));
        assert_eq!(budget_of(&of_component(None, COMPONENT, "batched", 4e6)), ("—", None));
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
        assert_eq!(budget_of(&receive(&boards, 0)), ("0.8x at 1,024 B (peer)", Some(false)));
    }

    #[test]
    fn wake_up_that_ends_the_job_is_left_out() {
        let mut idle = sample(1_000_000, 0);
        idle.wake_ups = 1;
        let job = job("idle", vec![contender("mqtt-wasi, blocking", vec![idle])]);
        assert_eq!(budget_of(&of_idle(&Board::of(&job))[0]), ("0/s", Some(true)));
    }
}
