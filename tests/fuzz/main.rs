//! Replays the corpora of the fuzz targets: what each target promises of any bytes holds for those that are kept.
//!
//! The properties are in this folder, and the targets in `fuzz/` are made of the same files, so this needs neither a
//! nightly compiler nor libFuzzer.

mod codec;
mod engine;
mod frame;
mod session;
#[cfg(feature = "tls")]
mod tls;

use std::fs;
use std::path::Path;

use session::Tally;

/// The inputs that are kept for a target, each with its file's name, in the order of the names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file that can be read"))
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} has no inputs", folder.display());
    inputs
}

/// Says which input it was when a property does not hold.
struct Replaying<'a>(&'a str);

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0);
        }
    }
}

fn replay(target: &str, property: impl Fn(&[u8])) {
    for (name, input) in corpus(target) {
        let _replaying = Replaying(&name);
        property(&input);
    }
}

#[test]
fn codec_keeps_its_promises_over_the_corpus() {
    replay("codec", codec::check);
}

#[test]
fn frame_keeps_its_promises_over_the_corpus() {
    replay("frame", frame::check);
}

#[cfg(feature = "tls")]
#[test]
fn tls_keeps_its_promises_over_the_corpus() {
    replay("tls", tls::check);
}

#[test]
fn session_keeps_its_promises_over_the_corpus() {
    replay("session", |input| {
        session::check(input);
    });
}

#[test]
fn engine_keeps_its_promises_over_the_corpus() {
    replay("engine", |input| {
        engine::check(input);
    });
}

/// The same as over an input, with a generator instead, and for far longer. `WALK_SEED` walks one of them, `WALK_MOVES` so
/// far, and `WALK_ALOUD` tells what happens.
#[test]
fn engine_keeps_its_promises_over_walks_with_fixed_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|number: String| number.parse().ok());
    let moves = number("WALK_MOVES").unwrap_or(3000);
    let seeds = number("WALK_SEED").map_or(0..200, |seed: usize| seed..seed + 1);
    let mut total = engine::Tally::default();
    for seed in seeds.clone() {
        let name = format!("the seed {seed}");
        let _replaying = Replaying(&name);
        total += engine::walk(seed as u64, moves);
    }
    // A walk that stands still promises nothing.
    let is_enough = |number: usize, each: usize| number >= seeds.len() * each || seeds.len() == 1 || moves < 3000;
    assert!(is_enough(total.connected, 20) && is_enough(total.dialed, 20), "{total:?}");
    assert!(is_enough(total.done, 100) && is_enough(total.failed, 100), "{total:?}");
    assert!(is_enough(total.taken, 50) && is_enough(total.requests, 20), "{total:?}");
}

/// An input is found again by the fuzzer only from one that comes close. When the meaning of the bytes changes, the
/// scripts have to be written anew, and this says so.
#[test]
fn scripts_of_the_session_do_what_their_names_say() {
    let inputs = corpus("session");
    let tally_of = |name: &str| {
        let (_, input) = inputs.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}"));
        let _replaying = Replaying(name);
        session::check(input)
    };
    let once = Tally { connected: 1, ..Tally::default() };
    let twice = Tally { connected: 2, disconnected: 1, ..Tally::default() };
    let failed = Tally { disconnected: 1, ..once };
    for (name, expected) in [
        ("connect_refused", Tally { disconnected: 1, ..Tally::default() }),
        ("publish_qos_0", once),
        ("publish_qos_1", Tally { published: 1, ..once }),
        ("publish_qos_2", Tally { published: 1, ..once }),
        ("publish_refused", Tally { refused: 2, ..once }),
        ("publish_aliased", Tally { published: 1, ..once }),
        ("receive_each_qos", Tally { received: 3, ..once }),
        ("receive_aliased", Tally { received: 2, ..once }),
        ("duplicate_at_qos_2", Tally { received: 2, ..once }),
        ("acknowledge_out_of_order", Tally { received: 2, ..once }),
        ("unacknowledged_comes_again", Tally { received: 2, ..twice }),
        ("subscribe_and_unsubscribe", Tally { answered: 2, ..once }),
        ("subscription_restored", Tally { answered: 1, ..twice }),
        ("resend_with_session", Tally { published: 2, resent: 1, ..twice }),
        ("resend_without_session", Tally { published: 2, ..twice }),
        ("given_up_over_smaller_terms", Tally { refused: 1, ..twice }),
        ("request_answered_at_each_qos", Tally { replied: 3, ..once }),
        ("request_answered_after_reconnect", Tally { replied: 1, resent: 1, ..twice }),
        ("request_times_out", Tally { unreplied: 1, ..once }),
        ("request_cancelled", once),
        ("request_not_answered_by_foreign_reply", once),
        ("authenticate_and_again", Tally { challenged: 2, authenticated: 1, ..once }),
        ("keep_alive_times_out", failed),
        ("connect_times_out", Tally { disconnected: 1, ..Tally::default() }),
        ("malformed_bytes", failed),
        ("receive_maximum_exceeded", failed),
        ("disconnected_by_broker", failed),
    ] {
        assert_eq!(tally_of(name), expected, "{name}");
    }
}
