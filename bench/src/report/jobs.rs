//! The jobs, a table for what the time went to and one for what was counted.

use super::board::{Board, Entry, Measure};
use super::figures::Figures;
use super::markdown::{Table, bold_if, code, item, one_line};
use super::numbers::{figure, figure_or_dash, mebibytes, percent};
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
    let mut table =
        Table::new(&["contender"], &[rate.as_str(), "spread", "time ×", cpu.as_str(), "CPU ×", "sink's CPU ns"]);
    let reference = board.reference();
    for entry in &board.entries {
        let Some(figures) = &entry.figures else {
            table.row(empty(entry, 6));
            continue;
        };
        let ratio = |value: fn(&Figures) -> f64| figure_or_dash(reference.map(|ours| value(figures) / value(ours)));
        table.row([
            entry.name().into(),
            bold_if(board.is_ahead(entry, Measure::Rate), Measure::Rate.show(figures)),
            percent(figures.wall.spread()),
            ratio(|figures| figures.wall.median),
            bold_if(board.is_ahead(entry, Measure::Cpu), Measure::Cpu.show(figures)),
            ratio(|figures| figures.cpu.median),
            if board.is_against_sink() { figure(figures.sink_cpu) } else { "—".into() },
        ]);
    }
    table.text()
}

fn counts(board: &Board<'_>) -> String {
    let heads =
        ["allocations", "bytes allocated", "system calls", "wake-ups", "bytes sent", "bytes received", "peak memory"];
    let mut table = Table::new(&["contender"], &heads);
    for entry in &board.entries {
        let Some(figures) = &entry.figures else { continue };
        let on_wire = |bytes| if board.is_against_sink() { figure(bytes) } else { "—".into() };
        table.row([
            entry.name().into(),
            figure(figures.allocations),
            figure(figures.allocated_bytes),
            figure_or_dash(entry.result.system_calls),
            figure(figures.wake_ups.median),
            on_wire(figures.bytes_out),
            on_wire(figures.bytes_in),
            mebibytes(figures.peak_memory),
        ]);
    }
    table.text()
}

/// All of it for a second, since nothing is done that there could be one of.
fn idle(board: &Board<'_>) -> String {
    let heads = ["CPU µs/s", "CPU ×", "wake-ups/s", "allocations/s", "bytes sent/s", "peak memory"];
    let mut table = Table::new(&["contender"], &heads);
    let reference = board.reference();
    for entry in &board.entries {
        let Some(figures) = &entry.figures else {
            table.row(empty(entry, 6));
            continue;
        };
        // An operation is a millisecond, and a nanosecond of it a microsecond of a second.
        table.row([
            entry.name().into(),
            bold_if(board.is_ahead(entry, Measure::Cpu), figure(figures.cpu.median)),
            figure_or_dash(reference.map(|ours| figures.cpu.median / ours.cpu.median)),
            bold_if(board.is_ahead(entry, Measure::WakeUps), Measure::WakeUps.show(figures)),
            figure(figures.allocations * 1e3),
            figure(figures.bytes_out * 1e3),
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
    let mut cells = vec![entry.name().into(), word.into()];
    cells.resize(columns + 1, String::new());
    cells
}

/// Why some did not do the job, or not in all rounds.
fn undone(board: &Board<'_>) -> String {
    let list: String = board.entries.iter().filter_map(reason).map(|text| item(&text)).collect();
    if list.is_empty() { list } else { list + "\n" }
}

/// Why a contender did not do the job, or not in all rounds, if that is so.
pub(super) fn reason(entry: &Entry<'_>) -> Option<String> {
    let lacks = entry.result.lacks.as_ref().map(|what| format!("{} lacks: {what}.", entry.name()));
    let failed = || {
        let why = one_line(entry.result.failed.as_ref()?);
        let some = if entry.figures.is_some() { ", but not in every round" } else { "" };
        Some(format!("{} failed{some}: {}.", entry.name(), code(&why.replace('`', "'"))))
    };
    lacks.or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;

    #[test]
    fn row_has_ratios_to_the_first_and_what_is_ahead_in_bold() {
        let job = job(
            "publish-0-64-pipelined",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 80)]),
                contender("peer", vec![sample(50, 160), sample(50, 160)]),
            ],
        );
        let text = times(&Board::of(&job));
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(rows[0], "| mqtt-wasi, blocking | 10,000,000 | 0% | 1 | 80 | 1 | 50 |");
        assert_eq!(rows[1], "| peer | **20,000,000** | 0% | 0.5 | 160 | 2 | 50 |");
    }

    #[test]
    fn who_does_not_do_the_job_is_shown_with_the_reason() {
        let mut lacking = contender("lacking", Vec::new());
        lacking.lacks = Some("QoS 2".into());
        let mut failing = contender("failing", vec![sample(1, 1)]);
        failing.failed = Some("a\nbroken `pipe`".into());
        let job = job("publish-2-64-awaited", vec![lacking, failing]);
        let board = Board::of(&job);
        assert_eq!(times(&board).lines().nth(2), Some("| lacking | lacks it | | | | | |"));
        let list = "- lacking lacks: QoS 2.\n- failing failed, but not in every round: `a broken 'pipe'`.\n\n";
        assert_eq!(undone(&board), list);
    }
}
