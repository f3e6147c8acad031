//! What is a table and no more: requests, codecs, this crate without a network, instructions, sizes.

use std::collections::BTreeMap;

use super::board::is_ours;
use super::markdown::{Table, bold_if, code, paragraph};
use super::numbers::{count, figure, figure_or_dash, percent, whole};
use crate::results::{CodecResult, EngineResult, LatencyTable, Size};

pub(super) fn latency(tables: &[LatencyTable]) -> String {
    let mut text = String::new();
    for LatencyTable { broker, rows } in tables {
        let mut table = Table::new(&["requester"], &["in flight", "p50 µs", "p90 µs", "p99 µs", "spread", "p50 ×"]);
        for row in rows {
            let first = rows.iter().find(|other| other.in_flight == row.in_flight);
            table.row([
                row.name.clone(),
                whole(row.in_flight as u64),
                figure(row.p50),
                figure(row.p90),
                figure(row.p99),
                percent(row.spread),
                figure_or_dash(first.map(|first| row.p50 / first.p50)),
            ]);
        }
        text += &format!("### Over {broker}\n\n{}", table.text());
    }
    if text.is_empty() {
        return text;
    }
    paragraph(
        "How long a request takes until its reply is there, the same responder for all, contenders in turns: medians \
         of the rounds, in microseconds. The spread is that of the rounds' p50. The last column is how many times the \
         p50 of the first row with as many requests in flight.",
    ) + &text
}

pub(super) fn codecs(codecs: &[CodecResult]) -> String {
    let mut table = Table::new(&["packet", "codec"], &["ns", "time ×", "spread", "allocations"]);
    for result in in_jobs(codecs) {
        let ours = codecs.iter().find(|own| is_ours(&own.codec) && own.job == result.job);
        let is_ahead = !is_ours(&result.codec) && ours.is_some_and(|ours| result.ns < ours.ns);
        table.row([
            result.job.clone(),
            result.codec.clone(),
            bold_if(is_ahead, figure(result.ns)),
            figure_or_dash(ours.map(|ours| result.ns / ours.ns)),
            percent(result.spread),
            count(result.allocations),
        ]);
    }
    table.text()
}

/// All codecs of a packet one behind the other, in the order in which packets come first.
fn in_jobs(codecs: &[CodecResult]) -> Vec<&CodecResult> {
    let mut jobs: Vec<&str> = Vec::new();
    for result in codecs {
        if !jobs.contains(&result.job.as_str()) {
            jobs.push(&result.job);
        }
    }
    jobs.iter().flat_map(|job| codecs.iter().filter(move |result| result.job == **job)).collect()
}

pub(super) fn engine(results: &[EngineResult]) -> String {
    let mut table = Table::new(&["job"], &["ns", "goal", "spread", "allocations", "writes"]);
    for result in results {
        let is_over = result.budget.is_some_and(|budget| result.ns > budget);
        table.row([
            result.job.clone(),
            bold_if(is_over, figure(result.ns)),
            result.budget.map_or(String::new(), count),
            percent(result.spread),
            count(result.allocations),
            count(result.writes),
        ]);
    }
    let table = table.text();
    if table.is_empty() {
        return table;
    }
    paragraph(
        "Codec, session and blocking client without a network, an operation each: medians of many rounds, and how far \
         apart the middle half of them lies. What is over its goal is in bold. Writes are calls of the transport.",
    ) + &table
}

pub(super) fn instructions(counts: &BTreeMap<String, u64>) -> String {
    let mut table = Table::new(&["job"], &["instructions"]);
    for (job, count) in counts {
        table.row([job.clone(), whole(*count)]);
    }
    let table = table.text();
    if table.is_empty() {
        return table;
    }
    paragraph("Of the session for a message of 64 B, counted by valgrind. A busy machine does not change them.")
        + &table
}

pub(super) fn sizes(sizes: &[Size]) -> String {
    let mut table = Table::new(&["file"], &["bytes", "goal", "share of it"]);
    for Size { name, bytes, budget } in sizes {
        let is_over = budget.is_some_and(|budget| *bytes > budget);
        table.row([
            code(name),
            bold_if(is_over, whole(*bytes)),
            budget.map_or(String::new(), whole),
            budget.map_or(String::new(), |budget| percent(*bytes as f64 / budget as f64)),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(codec: &str, job: &str, ns: f64) -> CodecResult {
        CodecResult { codec: codec.into(), job: job.into(), ns, spread: 0.05, allocations: 0.0 }
    }

    #[test]
    fn codecs_of_a_packet_are_together_and_who_is_faster_is_in_bold() {
        let text = codecs(&[
            codec("mqtt-wasi", "encode", 60.0),
            codec("mqtt-wasi", "decode", 100.0),
            codec("other", "encode", 30.0),
            codec("other", "decode", 200.0),
        ]);
        let rows: Vec<_> = text.lines().skip(2).take(4).collect();
        assert_eq!(
            rows,
            [
                "| encode | mqtt-wasi | 60 | 1 | 5% | 0 |",
                "| encode | other | **30** | 0.5 | 5% | 0 |",
                "| decode | mqtt-wasi | 100 | 1 | 5% | 0 |",
                "| decode | other | 200 | 2 | 5% | 0 |",
            ]
        );
    }

    #[test]
    fn size_over_its_goal_is_in_bold() {
        let size = |bytes, budget| Size { name: "mqtt.wasm".into(), bytes, budget };
        let text = sizes(&[size(88_000, Some(80_000)), size(80_000, Some(80_000)), size(1, None)]);
        let rows: Vec<_> = text.lines().skip(2).take(3).collect();
        assert_eq!(
            rows,
            [
                "| `mqtt.wasm` | **88,000** | 80,000 | 110% |",
                "| `mqtt.wasm` | 80,000 | 80,000 | 100% |",
                "| `mqtt.wasm` | 1 | | |",
            ]
        );
    }
}
