//! What is ahead of an earlier revision, and what is behind it.

use super::board::{Board, Entry, Measure};
use super::budgets::{COMPONENT, COMPONENT_WIDE};
use super::markdown::{Table, bold, paragraph};
use super::numbers::{figure, percent};
use crate::gates::Broken;
use crate::rounds::Rounds;

const MEASURES: [Measure; 2] = [Measure::Rate, Measure::Cpu];

/// How one figure of this revision compares with the earlier one's.
struct Compared {
    /// How many times the earlier figure: of what is done in a second, more is better, of processor time, less.
    times: f64,
    spread: f64,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Ahead,
    Behind,
    /// It is no further from 1 than its rounds lie apart.
    Within,
    Invalid(Broken),
}

/// Nothing where no earlier revision was measured.
pub(super) fn text(boards: &[Board<'_>]) -> String {
    let heads = ["rate ×", "spread", "rate", "CPU ×", "spread", "CPU"];
    let mut table = Table::new(&["job", "contender"], &heads);
    let mut verdicts = Vec::new();
    for board in boards {
        for (now, then) in pairs(board) {
            let compared = MEASURES.map(|measure| Compared::of(board, now, then, measure));
            verdicts.extend(compared.iter().flatten().map(|compared| compared.verdict));
            let cells = compared.iter().flat_map(cells);
            table.row([board.title(), who(now, then)].into_iter().chain(cells));
        }
    }
    let table = table.text();
    if table.is_empty() {
        return table;
    }
    let earlier = boards.iter().flat_map(|board| &board.earlier).find_map(|entry| entry.result.revision.as_ref());
    let revision = earlier.map_or("the earlier revision", String::as_str);
    let count = |is_meant: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| is_meant(verdict)).count();
    let rule = paragraph(&format!(
        "The contenders of this client as they are, beside what they were at {revision}: built from that revision, by \
         its own benchmark with its own sink, and measured in the same rounds. *Rate ×* is how many times as much is \
         done in a second, *CPU ×* how many times the processor time that takes: medians of the rounds' ratios. A \
         figure is ahead or behind where its ratio is further from 1 than the middle half of the rounds is wide."
    ));
    let sum = paragraph(&format!(
        "Of {} figures, {} are ahead, {} behind, {} within their spread, and {} invalid.",
        verdicts.len(),
        count(|verdict| *verdict == Verdict::Ahead),
        count(|verdict| *verdict == Verdict::Behind),
        count(|verdict| *verdict == Verdict::Within),
        count(|verdict| matches!(verdict, Verdict::Invalid(_))),
    ));
    rule + &sum + &table
}

/// How many figures are behind; `None` where no earlier revision was measured.
pub(super) fn count_behind(boards: &[Board<'_>]) -> Option<usize> {
    let pairs = boards.iter().flat_map(|board| pairs(board).into_iter().map(move |pair| (board, pair)));
    let compared = pairs.flat_map(|(board, (now, then))| {
        MEASURES.into_iter().filter_map(move |measure| Compared::of(board, now, then, measure))
    });
    let verdicts: Vec<_> = compared.map(|compared| compared.verdict).collect();
    (!verdicts.is_empty()).then(|| verdicts.iter().filter(|verdict| **verdict == Verdict::Behind).count())
}

/// Today's and the earlier one of each contender. The component with wide arithmetic is beside the earlier one without.
fn pairs<'b, 'a>(board: &'b Board<'a>) -> Vec<(&'b Entry<'a>, &'b Entry<'a>)> {
    let mut pairs = Vec::new();
    for then in &board.earlier {
        pairs.extend(board.find(then.name()).map(|now| (now, then)));
        let has_wide = board.earlier.iter().any(|entry| entry.name() == COMPONENT_WIDE);
        if then.name() == COMPONENT && !has_wide {
            pairs.extend(board.find(COMPONENT_WIDE).map(|now| (now, then)));
        }
    }
    pairs
}

fn who(now: &Entry<'_>, then: &Entry<'_>) -> String {
    let form = |entry: &Entry<'_>| entry.name().trim_start_matches("mqtt-wasi, ").to_owned();
    if now.name() == then.name() { form(now) } else { format!("{}, beside {}", form(now), form(then)) }
}

/// A contender that failed has a row of dashes.
fn cells(compared: &Option<Compared>) -> [String; 3] {
    let Some(Compared { times, spread, verdict }) = compared else { return ["—"; 3].map(Into::into) };
    let word = match verdict {
        Verdict::Ahead => "ahead".into(),
        Verdict::Behind => bold("behind"),
        Verdict::Within => "within".into(),
        Verdict::Invalid(broken) => broken.to_string(),
    };
    [figure(*times), percent(*spread), word]
}

impl Compared {
    fn of(board: &Board<'_>, now: &Entry<'_>, then: &Entry<'_>, measure: Measure) -> Option<Self> {
        // An operation takes the longer, the fewer of them are done in a second.
        let (one, other) = if measure == Measure::Rate { (then, now) } else { (now, then) };
        let (ratio, broken) = board.job.beside(one.result, other.result, measure.quantity())?;
        let is_better = (ratio.median > 1.0) == (measure == Measure::Rate);
        let verdict = broken.map_or_else(|| Verdict::of(&ratio, is_better), Verdict::Invalid);
        Some(Self { times: ratio.median, spread: ratio.spread(), verdict })
    }
}

impl Verdict {
    fn of(ratio: &Rounds, is_better: bool) -> Self {
        match (ratio.is_sure(), is_better) {
            (true, true) => Self::Ahead,
            (true, false) => Self::Behind,
            (false, _) => Self::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, earlier, job, sample};
    use super::*;
    use crate::stage::Sample;

    const NATIVE: &str = "mqtt-wasi, blocking";

    fn rounds(times: [(u64, u64); 3]) -> Vec<Sample> {
        times.map(|(wall, cpu)| sample(wall, cpu)).into()
    }

    fn rows(now: [(u64, u64); 3], then: [(u64, u64); 3]) -> Vec<String> {
        let job = job("connect", vec![contender(NATIVE, rounds(now)), earlier(NATIVE, rounds(then))]);
        let text = text(&[Board::of(&job)]);
        text.lines().filter(|line| line.starts_with("| Connect")).map(Into::into).collect()
    }

    #[test]
    fn figure_is_ahead_or_behind_by_the_ratio_of_each_round() {
        let now = [(100, 150), (200, 300), (300, 450)];
        let then = [(200, 100), (400, 200), (600, 300)];
        assert_eq!(rows(now, then), ["| Connect and disconnect | blocking | 2 | 0% | ahead | 1.5 | 0% | **behind** |"]);
    }

    #[test]
    fn ratio_that_is_nearer_to_one_than_its_rounds_are_apart_is_within_them() {
        let now = [(100, 100), (100, 100), (100, 100)];
        let then = [(100, 60), (104, 100), (110, 150)];
        assert_eq!(
            rows(now, then),
            ["| Connect and disconnect | blocking | 1 | 5% | within | 1 | 50% | invalid: spread 50% |"]
        );
    }

    #[test]
    fn wide_arithmetic_is_beside_the_earlier_component_without_it() {
        let times = [(1, 1), (1, 1), (1, 1)];
        let job = job(
            "connect",
            vec![
                contender(COMPONENT, rounds(times)),
                contender(COMPONENT_WIDE, rounds(times)),
                earlier(COMPONENT, rounds([(2, 2), (2, 2), (2, 2)])),
            ],
        );
        let boards = [Board::of(&job)];
        let text = text(&boards);
        assert!(text.contains("Of 4 figures, 4 are ahead, 0 behind"), "{text}");
        assert!(text.contains("component, wide arithmetic, beside component in wasmtime"), "{text}");
        assert_eq!(count_behind(&boards), Some(0));
    }

    #[test]
    fn there_is_nothing_to_say_without_an_earlier_revision() {
        let job = job("connect", vec![contender(NATIVE, rounds([(1, 1), (1, 1), (1, 1)]))]);
        let boards = [Board::of(&job)];
        assert_eq!((text(&boards), count_behind(&boards)), (String::new(), None));
    }
}
