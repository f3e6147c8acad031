//! WebSocket beside TCP: what its frames and their masks cost.

use super::board::{Board, Entry, Measure};
use super::figures::Figures;
use super::jobs::reason;
use super::markdown::{Table, bold_if, item, paragraph};
use super::numbers::figure;
use crate::job::Work;
use crate::target::BY_WEBSOCKET;

pub(super) fn text(boards: &[Board<'_>]) -> String {
    let tables: String = BY_WEBSOCKET.iter().map(|&work| section(boards, work)).collect();
    if tables.is_empty() {
        return tables;
    }
    let rule = paragraph(
        "The sink takes WebSocket, and sends each piece of what it has to send in one frame. In brackets is the \
         contender's processor time for each connection or message, in microseconds; *CPU ×* is that over WebSocket by \
         that over TCP. A client masks every byte that it sends. **Bold** is where it is better than the best of ours \
         that is native.",
    );
    rule + &tables
}

/// A job, with a row for each contender that did it both ways.
fn section(boards: &[Board<'_>], work: Work) -> String {
    let find =
        |is_meant: fn(&Board<'_>) -> bool| boards.iter().find(|board| board.work == Some(work) && is_meant(board));
    let (Some(tcp), Some(websocket)) = (find(|board| board.is_against_sink()), find(|board| board.is_over_websocket()))
    else {
        return String::new();
    };
    let mut table = Table::new(&["contender"], &["TCP", "WebSocket", "CPU ×"]);
    for entry in &websocket.entries {
        let over_tcp = tcp.find(entry.name());
        let times = |figures: Option<&Figures>| Some(figures?.cpu.median);
        // They are jobs of their own, whose rounds are no pairs.
        let ratio = times(entry.figures.as_ref()).zip(times(over_tcp.and_then(|entry| entry.figures.as_ref())));
        table.row([
            entry.name().to_owned(),
            over_tcp.map_or_else(|| "—".into(), |entry| cell(tcp, entry)),
            cell(websocket, entry),
            ratio.map_or_else(|| "—".into(), |(over_websocket, over_tcp)| figure(over_websocket / over_tcp)),
        ]);
    }
    let undone: String = websocket.entries.iter().filter_map(reason).map(|why| item(&why)).collect();
    let undone = if undone.is_empty() { undone } else { undone + "\n" };
    format!("### {}, a second\n\n{}{undone}", tcp.title(), table.text())
}

fn cell(board: &Board<'_>, entry: &Entry<'_>) -> String {
    let Some(figures) = &entry.figures else { return "—".into() };
    let broken = board.broken(entry, Measure::Rate).or_else(|| board.broken(entry, Measure::Cpu));
    let broken = broken.map_or(String::new(), |broken| format!(", {broken}"));
    let rate = bold_if(board.is_ahead(entry, Measure::Rate), figure(figures.rate()));
    let microseconds = bold_if(board.is_ahead(entry, Measure::Cpu), figure(figures.cpu.median / 1e3));
    format!("{rate} ({microseconds}{broken})")
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;
    use crate::results::JobResult;
    use crate::target::Target;

    fn over_websocket(name: &str, ours: u64, theirs: u64) -> JobResult {
        let contenders = vec![
            contender("mqtt-wasi, blocking", vec![sample(ours, ours)]),
            contender("rumqttc-v5-next 0.34", vec![sample(theirs, theirs)]),
        ];
        JobResult { against: Target::WebSocket.to_string(), ..job(name, contenders) }
    }

    #[test]
    fn each_way_has_its_column_and_their_ratio_follows() {
        let over_tcp = vec![
            contender("mqtt-wasi, blocking", vec![sample(1_000, 1_000)]),
            contender("rumqttc-v5-next 0.34", vec![sample(2_000, 2_000)]),
        ];
        let results = [job("receive-0-64", over_tcp), over_websocket("receive-0-64", 1_500, 8_000)];
        let boards: Vec<_> = results.iter().map(Board::of).collect();
        let text = text(&boards);
        assert!(text.contains("### Receive at QoS 0, 64 B, a second"), "{text}");
        let rows: Vec<Vec<&str>> =
            text.lines().filter(|line| line.starts_with("| ")).map(|line| line.split(" | ").collect()).collect();
        assert!(rows[2][3].starts_with("1.5"), "{rows:?}");
        assert!(rows[3][3].starts_with('4'), "{rows:?}");
    }

    #[test]
    fn without_a_job_over_websocket_there_is_nothing() {
        let results = [job("receive-0-64", vec![contender("mqtt-wasi, blocking", vec![sample(1, 1)])])];
        assert_eq!(text(&results.iter().map(Board::of).collect::<Vec<_>>()), "");
        assert_eq!(text(&[Board::of(&over_websocket("receive-0-64", 1, 1))]), "", "nor without the same over TCP");
    }
}
