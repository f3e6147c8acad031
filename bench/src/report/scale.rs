//! What one process can carry.

use super::markdown::{Table, bold_if, item, paragraph};
use super::numbers::{figure, mebibytes, whole};
use crate::scale::{Crowd, CrowdSample, Load, LoadEnd, LoadRow, Scale};

/// How ours are named.
const OURS: &str = "mqtt-wasi, ";

pub(super) fn text(scale: &Scale) -> String {
    let rule = paragraph(
        "The peer is another process, whose memory and time do not count. A connection has a Keep Alive of 5 s and no \
         subscription. *Bytes each* is by how much the resident memory of the process grew with each connection, \
         without the kernel's buffers: a second after the last one was connected, and after all were idle for as long \
         as the table says. *Connect, CPU µs* is the processor time of a connection until then, and *idle, CPU µs/s* \
         that of an idle one in a second. *Wake-ups/s* is how often a thread of the process gave up the processor by itself, and *PINGREQ/s* \
         what the peer counted, of all connections together. Blocking clients and instances are attended by one \
         thread, which calls each when its deadline has come. A process that has \
         grown to 2 GiB connects no more. Measured once, by `cargo xtask bench --scale`.",
    );
    let native = crowds("Native clients", &scale.native);
    let component = crowds("Clients in WebAssembly, in one engine", &scale.component);
    rule + &native + &component + &load(&scale.load)
}

/// A quantity of a connection, of which less is better.
type Quantity = fn(&CrowdSample) -> f64;

const QUANTITIES: [Quantity; 5] = [
    |sample| each(sample, sample.connected_bytes),
    |sample| each(sample, sample.idle_bytes),
    |sample| each(sample, sample.connect_cpu_ns) / 1e3,
    |sample| each(sample, sample.idle_cpu_ns) / 1e3 / seconds(sample),
    |sample| sample.idle_wake_ups as f64 / seconds(sample),
];

fn crowds(title: &str, crowds: &[Crowd]) -> String {
    let heads = ["bytes each, connected", "bytes each, idle", "connect, CPU µs", "idle, CPU µs/s", "wake-ups/s"];
    let mut table = Table::new(&["client"], &[&["connections"], &heads[..], &["PINGREQ/s"]].concat());
    let mut notes = Vec::new();
    for crowd in crowds {
        let Some(sample) = &crowd.sample else {
            let why = crowd.failed.as_deref().unwrap_or("not measured");
            notes.push(format!("{}, {} connections: {why}", crowd.contender, whole(crowd.wanted.into())));
            continue;
        };
        if sample.connections < crowd.wanted {
            let [had, wanted] = [sample.connections, crowd.wanted].map(|count| whole(count.into()));
            notes.push(format!(
                "{}: {had} connections instead of {wanted}, for want of memory or files",
                crowd.contender
            ));
        }
        let cells = QUANTITIES.map(|of| bold_if(is_ahead(crowd, crowds, of), figure(of(sample))));
        let first = [crowd.contender.clone(), whole(sample.connections.into())];
        table.row(first.into_iter().chain(cells).chain([figure(sample.pings as f64 / seconds(sample))]));
    }
    let idle = crowds.iter().find_map(|crowd| crowd.sample.as_ref()).map(seconds);
    let idle = idle.map_or_else(String::new, |idle| format!(", idle for {} s", figure(idle)));
    format!("### {title}{idle}\n\n{}{}", table.text(), list(&notes))
}

/// Whether somebody else is better than the best of ours.
fn is_ahead(crowd: &Crowd, crowds: &[Crowd], of: Quantity) -> bool {
    let ours = crowds.iter().filter(|crowd| crowd.contender.starts_with(OURS));
    let best = ours.filter_map(|crowd| crowd.sample.as_ref()).map(of).min_by(f64::total_cmp);
    let is_ours = crowd.contender.starts_with(OURS);
    !is_ours && crowd.sample.as_ref().zip(best).is_some_and(|(sample, best)| of(sample) < best)
}

fn each(sample: &CrowdSample, all: u64) -> f64 {
    all as f64 / f64::from(sample.connections.max(1))
}

/// How long they were idle.
fn seconds(sample: &CrowdSample) -> f64 {
    sample.idle_wall_ns as f64 / 1e9
}

fn load(load: &Load) -> String {
    let Load { messages, size, limit, cgroup, rows } = load;
    let (messages, limit) = (f64::from(*messages), mebibytes(*limit as f64));
    let what = format!("{} messages of {size} B, published at QoS 1 and received again at QoS 1", figure(messages));
    let body = match cgroup {
        Err(why) => paragraph(&format!("Not measured: {why}.")),
        Ok(version) => {
            let rule = paragraph(&format!(
                "{what}, by a process that may have {limit} of memory and no swap: its own, its program's, and what \
                 the kernel has on its behalf, as cgroups of version {version} count it. The program has no more than \
                 the clients of this table. The sink is outside."
            ));
            let mut table = Table::new(&["client", "ended"], &["messages/s", "most memory"]);
            for LoadRow { contender, end, peak } in rows {
                let (ended, rate) = match end {
                    LoadEnd::Finished { wall_ns } => ("with all messages", figure(messages * 1e9 / *wall_ns as f64)),
                    LoadEnd::Killed => ("killed, for want of memory", "—".into()),
                    LoadEnd::Failed(why) => (why.as_str(), "—".into()),
                };
                let peak = peak.map_or_else(|| "—".into(), |peak| mebibytes(peak as f64));
                table.row([contender.clone(), ended.into(), rate, peak]);
            }
            rule + &table.text()
        }
    };
    format!("### The load job in {limit}\n\n{body}")
}

/// With an empty line behind it; nothing without entries.
fn list(entries: &[String]) -> String {
    let text: String = entries.iter().map(|entry| item(entry)).collect();
    if text.is_empty() { text } else { text + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(contender: &str, connections: u32, bytes: u64) -> Crowd {
        let sample = CrowdSample {
            connections,
            connected_bytes: bytes * u64::from(connections),
            idle_bytes: bytes * u64::from(connections),
            connect_wall_ns: 1_000_000_000,
            connect_cpu_ns: 50_000 * u64::from(connections),
            idle_wall_ns: 10_000_000_000,
            idle_cpu_ns: 20_000 * u64::from(connections),
            idle_wake_ups: 1_000,
            pings: 2 * u64::from(connections),
        };
        Crowd { contender: contender.into(), wanted: 10_000, sample: Some(sample), failed: None }
    }

    fn scale() -> Scale {
        let failed =
            Crowd { contender: "another".into(), wanted: 10_000, sample: None, failed: Some("stalled".into()) };
        let row = |contender: &str, end| LoadRow { contender: contender.into(), end, peak: Some(5 << 20) };
        let rows = vec![
            row("mqtt-wasi, blocking", LoadEnd::Finished { wall_ns: 2_000_000_000 }),
            row("another", LoadEnd::Killed),
        ];
        Scale {
            native: vec![crowd("mqtt-wasi, blocking", 10_000, 6_000), crowd("lean", 900, 5_000), failed],
            component: Vec::new(),
            load: Load { messages: 1_000_000, size: 64, limit: 10 << 20, cgroup: Ok(2), rows },
        }
    }

    #[test]
    fn figures_are_of_a_connection_and_who_is_better_is_bold() {
        let text = text(&scale());
        assert!(text.contains("| mqtt-wasi, blocking | 10,000 | 6,000 | 6,000 | 50 | 2 | 100 | 2,000 |"), "{text}");
        assert!(text.contains("| lean | 900 | **5,000** | **5,000** | 50 | 2 | 100 | 180 |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let text = text(&scale());
        assert!(text.contains("- lean: 900 connections instead of 10,000, for want of memory or files\n"), "{text}");
        assert!(text.contains("- another, 10,000 connections: stalled\n"), "{text}");
        assert!(text.contains("| mqtt-wasi, blocking | with all messages | 500,000 | 5 MiB |"), "{text}");
        assert!(text.contains("| another | killed, for want of memory | — | 5 MiB |"), "{text}");
        let without = Load { cgroup: Err("no cgroups".into()), rows: Vec::new(), ..scale().load };
        assert!(load(&without).contains("Not measured: no cgroups."));
    }
}
