//! The jobs, a table for what the time went to and one for what was counted.

use super::board::{Board, Entry, Measure};
use super::markdown::{Table, bold, bold_if, code, item, one_line};
use super::numbers::{count, count_or_dash, figure, figure_or_dash, mebibytes, percent};
use crate::job::Work;

/// All of them, with a heading for each family and for each size in it.
pub(super) fn text<'b, 'a: 'b>(boards: impl Iterator<Item = &'b Board<'a>>) -> String {
    let mut text = String::new();
    let mut family = String::new();
    for board in boards {
        if board.family() != family {
            family = board.family();
            text += &format!("### {family}\n\n");
        }
        if let Some(size) = board.size() {
            text += &format!("#### {size}\n\n");
        }
        text += &job(board);
    }
    text
}

fn job(board: &Board<'_>) -> String {
    if board.work == Some(Work::Idle) {
        return idle(board) + &undone(board);
    }
    let counts = counts(board);
    let summary = format!("Counts for each {}", board.unit());
    let folded = format!("<details><summary>{summary}</summary>\n\n{counts}</details>\n\n");
    times(board) + &undone(board) + if counts.is_empty() { "" } else { folded.as_str() }
}

fn times(board: &Board<'_>) -> String {
    let unit = board.unit();
    let (rate, cpu) = (format!("{unit}s/s"), format!("CPU ns/{unit}"));
    let heads = [rate.as_str(), "time ×", "spread", cpu.as_str(), "CPU ×", "spread", "sink's CPU ns"];
    let mut table = Table::new(&["contender"], &heads);
    for entry in board.entries.iter().chain(&board.earlier) {
        let Some(figures) = &entry.figures else {
            table.row(empty(entry, 7));
            continue;
        };
        table.row([
            entry.label(),
            bold_if(board.is_ahead(entry, Measure::Rate), Measure::Rate.show(figures)),
            ratio(board, entry, Measure::Rate),
            spread(board, entry, Measure::Rate),
            bold_if(board.is_ahead(entry, Measure::Cpu), Measure::Cpu.show(figures)),
            ratio(board, entry, Measure::Cpu),
            spread(board, entry, Measure::Cpu),
            if board.is_against_sink() { figure(figures.sink_cpu) } else { "—".into() },
        ]);
    }
    table.text()
}

fn ratio(board: &Board<'_>, entry: &Entry<'_>, measure: Measure) -> String {
    figure_or_dash(board.ratio(entry, measure).map(|ratio| ratio.median))
}

/// Or the gate that the row broke.
fn spread(board: &Board<'_>, entry: &Entry<'_>, measure: Measure) -> String {
    match board.broken(entry, measure) {
        Some(broken) => bold(&broken.to_string()),
        None => board.spread(entry, measure).map_or("—".into(), percent),
    }
}

fn counts(board: &Board<'_>) -> String {
    let heads =
        ["allocations", "bytes allocated", "system calls", "wake-ups", "bytes sent", "bytes received", "peak memory"];
    let mut table = Table::new(&["contender"], &heads);
    for entry in board.entries.iter().chain(&board.earlier) {
        let Some(figures) = &entry.figures else { continue };
        let on_wire = |bytes| if board.is_against_sink() { count(bytes) } else { "—".into() };
        table.row([
            entry.label(),
            count(figures.allocations),
            count(figures.allocated_bytes),
            count_or_dash(entry.result.system_calls),
            count(figures.wake_ups.median),
            on_wire(figures.bytes_out),
            on_wire(figures.bytes_in),
            mebibytes(figures.peak_memory),
        ]);
    }
    table.text()
}

/// All of it for a second, since nothing is done that there could be one of.
fn idle(board: &Board<'_>) -> String {
    let heads = ["CPU µs/s", "CPU ×", "spread", "wake-ups/s", "allocations/s", "bytes sent/s", "peak memory"];
    let mut table = Table::new(&["contender"], &heads);
    for entry in board.entries.iter().chain(&board.earlier) {
        let Some(figures) = &entry.figures else {
            table.row(empty(entry, 7));
            continue;
        };
        // An operation is a millisecond, and a nanosecond of it a microsecond of a second.
        table.row([
            entry.label(),
            bold_if(board.is_ahead(entry, Measure::Cpu), figure(figures.cpu.median)),
            ratio(board, entry, Measure::Cpu),
            spread(board, entry, Measure::Cpu),
            bold_if(board.is_ahead(entry, Measure::WakeUps), Measure::WakeUps.show(figures)),
            count(figures.allocations * 1e3),
            count(figures.bytes_out * 1e3),
            mebibytes(figures.peak_memory),
        ]);
    }
    table.text()
}

/// The row of a contender without figures.
fn empty(entry: &Entry<'_>, columns: usize) -> Vec<String> {
    let result = entry.result;
    let word = match (&result.lacks, &result.failed) {
        (Some(_), _) => "lacks it",
        (None, Some(_)) => "failed",
        (None, None) => "not measured",
    };
    let mut cells = vec![entry.label(), word.into()];
    cells.resize(columns + 1, String::new());
    cells
}

/// Why some did not do the job, or not in all rounds.
fn undone(board: &Board<'_>) -> String {
    let list: String = board.entries.iter().chain(&board.earlier).filter_map(reason).map(|text| item(&text)).collect();
    if list.is_empty() { list } else { list + "\n" }
}

/// Why a contender did not do the job, or not in all rounds, if that is so.
pub(super) fn reason(entry: &Entry<'_>) -> Option<String> {
    let lacks = entry.result.lacks.as_ref().map(|what| format!("{} lacks: {what}.", entry.label()));
    let failed = || {
        let why = one_line(entry.result.failed.as_ref()?);
        let some = if entry.figures.is_some() { ", but not in every round" } else { "" };
        Some(format!("{} failed{some}: {}.", entry.label(), code(&why.replace('`', "'"))))
    };
    lacks.or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, earlier, job, sample};
    use super::*;

    #[test]
    fn row_has_ratios_to_the_first_and_what_is_ahead_in_bold() {
        let job = job(
            "publish-0-64-pipelined",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 80), sample(200, 82)]),
                contender("peer", vec![sample(50, 160), sample(100, 164)]),
                earlier("mqtt-wasi, blocking", vec![sample(200, 120), sample(600, 123)]),
            ],
        );
        let text = times(&Board::of(&job));
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows[..3],
            [
                "| mqtt-wasi, blocking | 6,700,000 | 1 | **invalid: spread 33%** | 81 | 1 | 1% | 50 |",
                "| peer | **13,000,000** | 0.5 | 0% | 160 | 2 | 0% | 50 |",
                "| mqtt-wasi, blocking, at abc1234 | 2,500,000 | 2.5 | **invalid: spread 20%** | 120 | 1.5 | 0% | 50 |",
            ]
        );
    }

    #[test]
    fn who_does_not_do_the_job_is_shown_with_the_reason() {
        let mut lacking = contender("lacking", Vec::new());
        lacking.lacks = Some("QoS 2".into());
        let mut failing = contender("failing", vec![sample(1, 1)]);
        failing.failed = Some("a\nbroken `pipe`".into());
        let job = job("publish-2-64-awaited", vec![lacking, failing]);
        let board = Board::of(&job);
        assert_eq!(times(&board).lines().nth(2), Some("| lacking | lacks it | | | | | | |"));
        let list = "- lacking lacks: QoS 2.\n- failing failed, but not in every round: `a broken 'pipe'`.\n\n";
        assert_eq!(undone(&board), list);
    }
}
