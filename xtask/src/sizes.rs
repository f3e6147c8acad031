//! What a program pays for each thing that it calls, in bytes of WebAssembly.

use crate::components::{self, Size};
use crate::error::Result;

/// A program, how it is built, what it does, and the one that does all but that.
struct Program {
    name: &'static str,
    command: &'static str,
    does: &'static str,
    without: Option<&'static str>,
}

impl Program {
    const fn new(name: &'static str, command: &'static str, does: &'static str, without: &'static str) -> Self {
        Self { name, command, does, without: Some(without) }
    }
}

const PLAIN: &str = "build -p sizes";

const PROGRAMS: [Program; 14] = [
    Program { name: "nothing", command: PLAIN, does: "std, and a line printed", without: None },
    Program::new("connect", PLAIN, "connects", "nothing"),
    Program::new("publish", PLAIN, "connects and publishes", "connect"),
    Program::new("receive", PLAIN, "connects, subscribes and receives", "connect"),
    Program::new("both_ways", PLAIN, "all of these", "connect"),
    Program::new("reconnect", PLAIN, "publishes, reconnects, prints events", "publish"),
    Program::new("snapshot", PLAIN, "publishes, takes and resumes snapshots", "publish"),
    Program::new("request", PLAIN, "connects and sends a request", "connect"),
    Program::new("serve", PLAIN, "connects and answers requests", "connect"),
    Program::new("json", "build -p sizes --features json", "connects and publishes JSON", "publish"),
    Program::new("tls", "build -p sizes --features tls", "connects with TLS and publishes", "publish"),
    Program::new("async_publish", "build -p sizes --features tokio", "publishes on tokio", "publish"),
    Program::new("async_request", "build -p sizes --features tokio", "sends a request on tokio", "async_publish"),
    // Its receiver is the next array.
    Program::new("seed_pubsub", "build -p sizes --features seed-json", "0.2.0: publishes and receives JSON", "nothing"),
];

/// The other programs with 0.2.0.
const SEED: [(&str, &str); 2] = [
    ("seed_request_reply", "build -p sizes --features seed-tokio"),
    ("seed_tls_pubsub", "build -p sizes --features seed-tls"),
];

/// What is compared with 0.2.0, which has no component.
const PEERS: [(&str, Option<&str>); 13] = [
    ("mqtt", None),
    ("mqtt-tls", None),
    ("mqtt-tls-wide", None),
    ("mqtt-host-tls", None),
    ("mqtt-ws", None),
    ("mqtt-wss", None),
    ("mqtt-p3", None),
    ("mqtt-p3-tls", None),
    ("examples/pubsub", Some("sizes/seed_pubsub")),
    ("examples/request_reply", Some("sizes/seed_request_reply")),
    ("examples/tls_pubsub", Some("sizes/seed_tls_pubsub")),
    ("examples/guest", None),
    ("examples/small", None),
];

/// Builds everything, and prints the tables of `docs/size.md`.
pub(crate) fn print() -> Result<()> {
    let mut programs: Vec<_> = PROGRAMS.iter().map(|program| (program.name, program.command)).collect();
    programs.extend(SEED);
    let sizes = components::measure(&programs)?;
    let size = |name: &str| -> Option<&Size> { sizes.iter().find(|size| size.name == name) };

    println!("| file | bytes | without `wasm-opt` and short names | 0.2.0 | 0.2.0, without |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (name, seed) in PEERS {
        let Some(ours) = size(name) else { continue };
        let seed = seed.and_then(size).map(|seed| (grouped(seed.installed), grouped(seed.built)));
        let (installed, built) = seed.unwrap_or_else(|| ("–".into(), "–".into()));
        println!("| `{name}.wasm` | {} | {} | {installed} | {built} |", grouped(ours.installed), grouped(ours.built));
    }

    println!("\n| program | bytes | more than | bytes more |");
    println!("| --- | ---: | --- | ---: |");
    for Program { name, does, without, .. } in PROGRAMS {
        let Some(here) = size(&format!("sizes/{name}")) else { continue };
        let (before, more) = match without.and_then(|without| size(&format!("sizes/{without}"))) {
            Some(before) => {
                (before.name.trim_start_matches("sizes/"), grouped(here.installed.saturating_sub(before.installed)))
            }
            None => ("", String::new()),
        };
        println!("| `{name}`: {does} | {} | {before} | {more} |", grouped(here.installed));
    }
    Ok(())
}

/// A number with a comma between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 320_129, 1_234_567].map(grouped), ["0", "999", "1,000", "320,129", "1,234,567"]);
    }

    #[test]
    fn programs_are_compared_with_programs_that_are_built() {
        for Program { without, .. } in PROGRAMS {
            assert!(without.is_none_or(|without| PROGRAMS.iter().any(|program| program.name == without)));
        }
    }
}
