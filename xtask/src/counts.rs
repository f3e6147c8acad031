//! Counts that no busy machine can blur, held to those that are committed: allocations, writes, instructions, sizes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::args::BuildOptions;
use crate::error::{At, Error, Result};
use crate::process::{read, step};
use crate::workspace::{self, cargo};
use crate::{components, instructions};

/// What a count is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    /// `allocations` and `writes` an operation, `instructions` a message, `bytes`.
    unit: String,
    name: String,
}

type Counts = BTreeMap<What, f64>;

/// Sizes that are held to what they were.
const ARTEFACTS: [&str; 7] = [
    "mqtt.wasm",
    "mqtt-tls.wasm",
    "examples/pubsub.wasm",
    "examples/request_reply.wasm",
    "examples/tls_pubsub.wasm",
    "examples/guest.wasm",
    "examples/small.wasm",
];

/// Counts anew, and fails where one got worse than what is committed; or commits to what it is now.
pub(crate) fn compare(accepts: bool) -> Result<()> {
    let file = workspace::root().join("bench/counts.txt");
    let now = count()?;
    if accepts {
        return fs::write(&file, to_text(&now)).at(&file);
    }
    let before = from_text(&fs::read_to_string(&file).at(&file)?);
    let worse = print_comparison(&before, &now);
    if worse > 0 {
        return Err(Error::Worse { counts: worse });
    }
    Ok(())
}

fn count() -> Result<Counts> {
    components::build(&BuildOptions { quiet: true, ..BuildOptions::default() })?;
    step("counting allocations and writes");
    let mut counts = from_text(&read(&mut cargo("run --locked --quiet --release -p bench --bin bench -- --counts"))?);
    for artefact in ARTEFACTS {
        let path: PathBuf = components::folder().join(artefact);
        let bytes = fs::metadata(&path).at(Path::new(&path))?.len();
        counts.insert(What { unit: "bytes".into(), name: artefact.into() }, bytes as f64);
    }
    for (name, instructions) in instructions::now()? {
        counts.insert(What { unit: "instructions".into(), name }, instructions as f64);
    }
    Ok(counts)
}

/// Prints what changed, and all that got worse; how many that are.
fn print_comparison(before: &Counts, now: &Counts) -> usize {
    let mut worse = 0;
    for (what, &value) in now {
        let Some(&old) = before.get(what) else {
            println!("new      {value:>12} {what}");
            continue;
        };
        if is_worse(what, old, value) {
            worse += 1;
            println!("WORSE    {value:>12} {what}, {old} before");
        } else if value != old {
            println!("{} {value:>12} {what}, {old} before", if value < old { "better  " } else { "similar " });
        }
    }
    for what in before.keys().filter(|what| !now.contains_key(what)) {
        worse += 1;
        println!("MISSING  {what}");
    }
    println!("{} counts, {worse} of them worse", now.len());
    worse
}

/// Compilers differ a little in instructions and bytes; nothing else may grow at all.
fn is_worse(what: &What, before: f64, now: f64) -> bool {
    let tolerance = match what.unit.as_str() {
        "instructions" => before * 0.03,
        "bytes" => before * 0.01,
        _ => 0.0005,
    };
    now > before + tolerance
}

fn to_text(counts: &Counts) -> String {
    counts.iter().map(|(What { unit, name }, value)| format!("{value}\t{unit}\t{name}\n")).collect()
}

fn from_text(text: &str) -> Counts {
    let line = |line: &str| {
        let mut parts = line.splitn(3, '\t').map(String::from);
        let value = parts.next()?.parse().ok()?;
        Some((What { unit: parts.next()?, name: parts.next()? }, value))
    };
    text.lines().filter_map(line).collect()
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.unit, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(unit: &str) -> What {
        What { unit: unit.into(), name: "job".into() }
    }

    #[test]
    fn text_keeps_counts() {
        let counts = Counts::from([(what("allocations"), 0.25), (what("bytes"), 331_534.0)]);
        assert_eq!(from_text(&to_text(&counts)), counts);
    }

    #[test]
    fn only_what_compilers_decide_has_room() {
        assert!(!is_worse(&what("instructions"), 700.0, 720.0));
        assert!(is_worse(&what("instructions"), 700.0, 722.0));
        assert!(!is_worse(&what("bytes"), 100_000.0, 100_999.0));
        assert!(is_worse(&what("bytes"), 100_000.0, 101_001.0));
        assert!(!is_worse(&what("allocations"), 0.002, 0.002));
        assert!(is_worse(&what("allocations"), 0.0, 0.001));
        assert!(!is_worse(&what("writes"), 1.0, 0.5));
    }

    #[test]
    fn what_is_no_longer_counted_is_worse() {
        let before = Counts::from([(what("bytes"), 1.0), (what("writes"), 1.0)]);
        let now = Counts::from([(what("bytes"), 1.0)]);
        assert_eq!(print_comparison(&before, &now), 1);
    }
}
