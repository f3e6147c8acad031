//! TLS: what handshakes and encryption cost, by cipher suite.

use super::board::{Board, Entry, Measure};
use super::figures::Figures;
use super::jobs::reason;
use super::markdown::{Table, bold, bold_if, item, paragraph};
use super::numbers::{figure, whole};
use crate::job::{Pace, Work};
use crate::target::{BY_TLS, Suite};

/// The size of the messages by which throughput is measured, in bytes.
const LARGE: usize = 65_536;

/// What a suite is judged by: a large message sent and one received.
const JUDGING: [Work; 2] =
    [Work::Publish { qos: 0, size: LARGE, pace: Pace::Pipelined }, Work::Receive { qos: 0, size: LARGE }];

/// A form of the client with its own cryptography, and the order in which that offers the suites of TLS 1.3, as
/// `src/transport/tls/provider.rs` has it.
struct Form {
    place: &'static str,
    contender: &'static str,
    offered: [Suite; 3],
}

const FORMS: [Form; 2] = [
    Form {
        place: "natively",
        contender: "mqtt-wasi, blocking",
        offered: [Suite::Tls13Aes128Gcm, Suite::Tls13Aes256Gcm, Suite::Tls13Chacha20Poly1305],
    },
    Form {
        place: "in WebAssembly",
        contender: "mqtt-wasi, component in wasmtime",
        offered: [Suite::Tls13Chacha20Poly1305, Suite::Tls13Aes128Gcm, Suite::Tls13Aes256Gcm],
    },
];

pub(super) fn text(boards: &[Board<'_>]) -> String {
    let tables: String = BY_TLS.iter().map(|&work| section(boards, work)).collect();
    if tables.is_empty() {
        return tables;
    }
    let rule = paragraph(
        "The sink speaks TLS by ring, with one cipher suite at a time and a certificate whose key is one of ECDSA over \
         P-256. In brackets is the contender's processor time for each handshake or message, in microseconds: what the \
         sink takes is not in it, while the sink may be what keeps the rate before it from being higher. A handshake \
         comes with all else that connecting takes; each of the full ones is that of a new client. This client's own \
         provider is in pure Rust, natively as in WebAssembly; *ring* is the same client with another one. rumqttc \
         comes with aws-lc-rs. *Wide arithmetic* is the component `mqtt-tls-wide.wasm`. **Bold** is where it is better than ours with its own provider.",
    );
    let verdicts: String = FORMS.iter().filter_map(|form| form.verdict(boards)).map(|text| item(&text)).collect();
    let judged = if verdicts.is_empty() { verdicts } else { verdicts + "\n" };
    rule + &judged + &tables
}

/// A job, with a row for each contender and a column for each suite.
fn section(boards: &[Board<'_>], work: Work) -> String {
    let boards: Vec<(Suite, &Board<'_>)> = boards
        .iter()
        .filter(|board| board.work == Some(work))
        .filter_map(|board| board.suite().map(|suite| (suite, board)))
        .collect();
    let suites: Vec<_> = boards.iter().map(|(suite, _)| suite.to_string()).collect();
    let mut table = Table::new(&["contender"], &suites.iter().map(String::as_str).collect::<Vec<_>>());
    for name in names(&boards) {
        let cells = boards.iter().map(|(_, board)| cell(board, name, work));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    let table = table.text();
    if table.is_empty() { table } else { format!("### {}\n\n{table}{}", title(work), undone(&boards)) }
}

fn title(work: Work) -> String {
    let size = whole(work.size() as u64);
    match work {
        Work::Connect => "Full handshakes a second".into(),
        Work::Resume => "Handshakes a second that resume a TLS session".into(),
        Work::Publish { .. } if work.size() == LARGE => format!("MB/s out, in messages of {size} B at QoS 0"),
        Work::Receive { .. } if work.size() == LARGE => format!("MB/s in, in messages of {size} B at QoS 0"),
        Work::Publish { qos, .. } => format!("Messages of {size} B published a second at QoS {qos}"),
        other => format!("{other}: operations a second"),
    }
}

/// The contenders, in the order in which they come first.
fn names<'a>(boards: &[(Suite, &Board<'a>)]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for entry in boards.iter().flat_map(|(_, board)| &board.entries) {
        if !names.contains(&entry.name()) {
            names.push(entry.name());
        }
    }
    names
}

fn cell(board: &Board<'_>, name: &str, work: Work) -> String {
    let Some((entry, figures)) = board.find(name).and_then(|entry| Some((entry, entry.figures.as_ref()?))) else {
        return "—".into();
    };
    let broken = board.broken(entry, Measure::Rate).or_else(|| board.broken(entry, Measure::Cpu));
    let broken = broken.map_or(String::new(), |broken| format!(", {broken}"));
    let rate = bold_if(board.is_ahead(entry, Measure::Rate), rate(work, figures));
    let microseconds = bold_if(board.is_ahead(entry, Measure::Cpu), figure(figures.cpu.median / 1e3));
    format!("{rate} ({microseconds}{broken})")
}

/// A second's operations, or MB where messages are large.
fn rate(work: Work, figures: &Figures) -> String {
    figure(if work.size() == LARGE { work.size() as f64 * figures.rate() / 1e6 } else { figures.rate() })
}

/// Why some did not do the job, each reason once, and where they failed with which suite.
fn undone(boards: &[(Suite, &Board<'_>)]) -> String {
    let mut items = Vec::new();
    for (suite, board) in boards {
        let reasons = board.entries.iter().filter_map(|entry| {
            let is_lacking = entry.result.lacks.is_some();
            reason(entry).map(|why| if is_lacking { why } else { format!("{suite}: {why}") })
        });
        for reason in reasons {
            if !items.contains(&reason) {
                items.push(reason);
            }
        }
    }
    let list: String = items.iter().map(|text| item(text)).collect();
    if list.is_empty() { list } else { list + "\n" }
}

impl Form {
    /// Which suite is the fastest in this form, and whether it is offered first; `None` where that was not measured.
    fn verdict(&self, boards: &[Board<'_>]) -> Option<String> {
        let mut measured = Vec::new();
        for suite in self.offered {
            measured.push((suite, self.cost(boards, suite)?));
        }
        measured.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let list = measured.iter().map(|(suite, cost)| format!("{} ({} µs)", suite.cipher(), figure(*cost / 1e3)));
        let list = list.collect::<Vec<_>>().join(", then ");
        let (fastest, first) = (measured[0].0, self.offered[0]);
        let offer = if fastest == first {
            "which is the one that is offered first".into()
        } else {
            bold(&format!("while {} is offered first", first.cipher()))
        };
        let (place, contender) = (self.place, self.contender);
        Some(format!(
            "Of TLS 1.3, the fastest {place} is {}, {offer}. By the processor time of {contender} for a message of \
             {} B sent and one received: {list}.",
            fastest.cipher(),
            whole(LARGE as u64)
        ))
    }

    /// Nanoseconds of processor time.
    fn cost(&self, boards: &[Board<'_>], suite: Suite) -> Option<f64> {
        let cpu = |work: Work| {
            let board = boards.iter().find(|board| board.work == Some(work) && board.suite() == Some(suite))?;
            let figures = |entry: &Entry<'_>| entry.figures.as_ref().map(|figures| figures.cpu.median);
            board.find(self.contender).and_then(figures)
        };
        JUDGING.into_iter().map(cpu).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job_by_tls, sample};
    use super::*;
    use crate::results::JobResult;

    const SUITES: [(Suite, u64); 3] =
        [(Suite::Tls13Chacha20Poly1305, 30_000), (Suite::Tls13Aes128Gcm, 10_000), (Suite::Tls13Aes256Gcm, 20_000)];

    /// Large messages out and in, which take the client so many nanoseconds with each suite.
    fn large() -> Vec<JobResult> {
        let contenders = |cpu| FORMS.map(|form| contender(form.contender, vec![sample(65_536, cpu)])).into();
        let jobs = JUDGING.into_iter().flat_map(|work| SUITES.map(|(suite, cpu)| (work, suite, cpu)));
        jobs.map(|(work, suite, cpu)| job_by_tls(&work.to_string(), suite, contenders(cpu))).collect()
    }

    fn boards(jobs: &[JobResult]) -> Vec<Board<'_>> {
        jobs.iter().map(Board::of).collect()
    }

    #[test]
    fn large_messages_are_shown_as_megabytes_with_processor_time_in_brackets() {
        let text = text(&boards(&large()));
        for row in [
            "### MB/s out, in messages of 65,536 B at QoS 0",
            "| contender | TLS 1.3, CHACHA20-POLY1305 | TLS 1.3, AES-128-GCM | TLS 1.3, AES-256-GCM |",
            "| mqtt-wasi, blocking | 1,000 (30) | 1,000 (10) | 1,000 (20) |",
        ] {
            assert!(text.contains(row), "{row} is in\n{text}");
        }
    }

    #[test]
    fn suite_that_is_the_fastest_is_held_against_the_one_that_is_offered_first() {
        let jobs = large();
        let [native, wasm] = FORMS.map(|form| form.verdict(&boards(&jobs)).unwrap());
        assert!(native.contains("the fastest natively is AES-128-GCM, which is the one that is offered first."));
        assert!(native.ends_with("AES-128-GCM (20 µs), then AES-256-GCM (40 µs), then CHACHA20-POLY1305 (60 µs)."));
        assert!(wasm.contains("is AES-128-GCM, **while CHACHA20-POLY1305 is offered first**."));
    }

    #[test]
    fn nothing_is_judged_where_a_suite_was_not_measured() {
        let jobs = large();
        assert!(FORMS.iter().all(|form| form.verdict(&boards(&jobs[..5])).is_none()));
    }

    #[test]
    fn peer_is_in_bold_where_it_is_ahead_of_the_provider_that_is_ours() {
        let contenders = vec![
            contender("mqtt-wasi, blocking", vec![sample(100_000, 80_000)]),
            contender("mqtt-wasi, blocking, ring", vec![sample(10_000, 8_000)]),
            contender("rumqttc 0.25", vec![sample(50_000, 90_000)]),
        ];
        let jobs = [job_by_tls("connect", Suite::Tls12Aes128Gcm, contenders)];
        let text = text(&boards(&jobs));
        assert!(text.contains("### Full handshakes a second"));
        assert!(text.contains("| mqtt-wasi, blocking, ring | 100,000 (8) |"));
        assert!(text.contains("| rumqttc 0.25 | **20,000** (90) |"));
    }

    #[test]
    fn reason_is_given_once_and_a_failure_with_its_suite() {
        let contenders = || {
            let mut lacking = contender("lacking", Vec::new());
            lacking.lacks = Some("sessions".into());
            let mut failing = contender("failing", Vec::new());
            failing.failed = Some("stalled".into());
            vec![lacking, failing]
        };
        let jobs =
            [Suite::Tls13Aes128Gcm, Suite::Tls12Aes128Gcm].map(|suite| job_by_tls("resume", suite, contenders()));
        let text = text(&boards(&jobs));
        assert_eq!(text.matches("- lacking lacks: sessions.").count(), 1);
        assert!(text.contains("- TLS 1.2, AES-128-GCM: failing failed: `stalled`."));
        assert!(text.contains("| lacking | — | — |"));
    }

    #[test]
    fn there_is_nothing_to_say_without_tls() {
        assert_eq!(text(&[]), "");
    }
}
