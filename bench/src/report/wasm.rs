//! What WebAssembly costs: the same jobs by the native client, by components and by whole programs.

use super::board::{Board, Entry, Kind, Measure};
use super::figures::Figures;
use super::markdown::{Table, paragraph};
use super::numbers::{figure, figure_or_dash, mebibytes};
use crate::job::Work;
use crate::rounds::Rounds;

pub(super) fn text(boards: &[Board<'_>], start_times: &[(String, f64)]) -> String {
    let boards: Vec<_> = boards.iter().filter(|board| board.is_against_sink()).collect();
    let names = names(&boards);
    let rates = ratios(&boards, &names, Measure::Rate);
    if rates.is_empty() {
        return starts(&boards, &names, start_times);
    }
    let rule = paragraph(
        "The first column is the native blocking client; in brackets is how many times its time, or its processor \
         time, the others take, by the median of the rounds' ratios. What wasmtime and the host's side of WASI take is part of that.",
    );
    let text = rule + &titled("Operations per second", &rates);
    let text = text + &titled("Processor time of an operation, in nanoseconds", &ratios(&boards, &names, Measure::Cpu));
    let text = text + &titled("Linear memory, as much as it had grown to", &memory(&boards, &names));
    text + &starts(&boards, &names, start_times)
}

fn titled(title: &str, table: &str) -> String {
    if table.is_empty() { String::new() } else { format!("### {title}\n\n{table}") }
}

/// Everybody who runs in wasmtime.
fn names<'a>(boards: &[&Board<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for entry in boards.iter().flat_map(|board| &board.entries) {
        if entry.kind() != Kind::Native && entry.figures.is_some() && !names.contains(&entry.name()) {
            names.push(entry.name());
        }
    }
    names
}

fn table(names: &[&str], before: &[&str]) -> Table {
    let short = names.iter().map(|name| name.strip_prefix("mqtt-wasi, ").unwrap_or(name));
    let right: Vec<_> = before.iter().copied().chain(short).collect();
    Table::new(&["job"], &right)
}

fn ratios(boards: &[&Board<'_>], names: &[&str], measure: Measure) -> String {
    let mut table = table(names, &["native"]);
    let meant = boards.iter().filter(|board| board.work != Some(Work::Idle));
    for board in meant.filter(|board| figures(board, names).iter().any(Option::is_some)) {
        let reference = board.reference().and_then(|native| native.figures.as_ref());
        let native = reference.map_or("—".into(), |figures| measure.show(figures));
        let cell = |name: &&str| -> String {
            let entry = board.find(name);
            let Some((entry, figures)) = entry.and_then(|entry| Some((entry, entry.figures.as_ref()?))) else {
                return "—".into();
            };
            let ratio = figure_or_dash(board.ratio(entry, measure).map(|ratio| ratio.median));
            match board.broken(entry, measure) {
                Some(broken) => format!("{} ({ratio}, {broken})", measure.show(figures)),
                None => format!("{} ({ratio})", measure.show(figures)),
            }
        };
        table.row([board.title(), native].into_iter().chain(names.iter().map(cell)));
    }
    table.text()
}

fn memory(boards: &[&Board<'_>], names: &[&str]) -> String {
    let memory = |figures: Option<&Figures>| figures?.linear_memory;
    let mut table = table(names, &[]);
    for board in boards {
        let cells: Vec<_> = figures(board, names).into_iter().map(memory).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|bytes| bytes.map_or("—".into(), mebibytes));
            table.row(std::iter::once(board.title()).chain(cells));
        }
    }
    table.text()
}

fn starts(boards: &[&Board<'_>], names: &[&str], start_times: &[(String, f64)]) -> String {
    let mut table = Table::new(&["what"], &["ms"]);
    for name in names {
        let starts = boards.iter().filter_map(|board| board.find(name)?.figures.as_ref()?.start);
        if let Some(Rounds { median, .. }) = Rounds::of(starts) {
            table.row([format!("{name}: from the start of an instance until it is connected"), figure(median / 1e6)]);
        }
    }
    for (what, milliseconds) in start_times {
        table.row([what.clone(), figure(*milliseconds)]);
    }
    titled("Start", &table.text())
}

/// Of each of these contenders, in this order.
fn figures<'b>(board: &'b Board<'_>, names: &[&str]) -> Vec<Option<&'b Figures>> {
    let figures = |entry: &'b Entry<'_>| entry.figures.as_ref();
    names.iter().map(|name| board.find(name).and_then(figures)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;

    #[test]
    fn everybody_in_wasmtime_is_beside_the_native_client() {
        let mut guest = sample(150, 300);
        guest.linear_memory = Some(1 << 21);
        guest.start_ns = Some(2_500_000);
        let job = job(
            "receive-0-64",
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 100)]),
                contender("rumqttc 0.25", vec![sample(100, 100)]),
                contender("mqtt-wasi, wasip2 guest", vec![guest]),
            ],
        );
        let text = text(&[Board::of(&job)], &[("wasmtime, empty".into(), 1.27)]);
        for row in [
            "| job | native | wasip2 guest |",
            "| Receive at QoS 0, 64 B | 10,000,000 | 6,700,000 (1.5) |",
            "| Receive at QoS 0, 64 B | 100 | 300 (3) |",
            "| Receive at QoS 0, 64 B | 2 MiB |",
            "| mqtt-wasi, wasip2 guest: from the start of an instance until it is connected | 2.5 |",
            "| wasmtime, empty | 1.3 |",
        ] {
            assert!(text.contains(row), "{row} is in\n{text}");
        }
        assert!(!text.contains("rumqttc"));
    }

    #[test]
    fn there_is_nothing_to_say_without_wasmtime() {
        assert_eq!(text(&[], &[]), "");
    }
}
