//! The guests in other languages do what their sources say, as components, against every broker. `cargo xtask
//! languages` builds them.

use std::env;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use host_tests::broker::{Embedded, Mosquitto, each_broker, url};
use host_tests::components::{compose, load};
use host_tests::guest::Guest;
use host_tests::runtime::{Output, Permissions, Runtime};
use host_tests::subject::SOON;
use mqtt_wasi::{Client, Options, QoS, Subscription};

#[test]
fn rust_talks() {
    talks("examples/guest", "rust");
}

#[test]
fn javascript_in_starlingmonkey_talks() {
    talks("languages/javascript-starlingmonkey", "javascript");
}

#[test]
fn javascript_in_quickjs_talks() {
    talks("languages/javascript-quickjs", "javascript");
}

#[test]
fn typescript_talks() {
    talks("languages/typescript", "typescript");
}

#[test]
fn python_talks() {
    talks("languages/python", "python");
}

#[test]
fn c_talks() {
    talks("languages/c", "c");
}

#[test]
fn go_talks() {
    talks("languages/go", "go");
}

#[test]
fn each_guest_publishes_as_often_as_it_is_told() {
    let rates = ["quickjs", "starlingmonkey", "python", "c", "go"].map(|name| format!("languages/rate-{name}"));
    let broker = Embedded::start().unwrap();
    for name in rates.iter().map(String::as_str).chain(["guests/rate"]) {
        let Some(path) = path(name) else { continue };
        let guest = Guest::compose(&path);
        for how in ["one", "batches"] {
            let mut subscriber = Client::connect(&broker.url(), Options::new()).unwrap();
            subscriber.subscribe(&[Subscription::new("mqtt-wasi/guest/rate", QoS::AtMostOnce)]).unwrap();
            guest.run_with(broker.address(), &[how, "2003"]);
            for _ in 0..2_003 {
                let message = subscriber.receive_timeout(SOON).unwrap().expect("a message");
                assert_eq!(message.payload, [b'x'; 64], "{name} {how}");
            }
            assert!(subscriber.receive_timeout(Duration::ZERO).unwrap().is_none(), "{name} {how}");
        }
    }
}

#[test]
fn go_collects_garbage_between_calls_and_not_within() {
    // With the collector on, this ends in a trap before long.
    let Some(path) = path("languages/rate-go") else { return };
    let runtime = Runtime::new(&compose(&load(&path).unwrap(), &load("mqtt.wasm").unwrap()).unwrap()).unwrap();
    let broker = Embedded::start().unwrap();
    let output = runtime.run(&[&broker.url(), "batches", "100000"], &Permissions::to(broker.address())).unwrap();
    assert!(output.success, "{}\n{}", output.stdout, output.stderr);
    assert!(output.memory_bytes < 128 << 20, "{} bytes", output.memory_bytes);
}

#[test]
fn what_a_guest_fails_with_is_printed() {
    let names = ["javascript-quickjs", "javascript-starlingmonkey", "typescript", "python", "c", "go"];
    let names = names.map(|name| format!("languages/{name}"));
    for name in names.iter().map(String::as_str).chain(["examples/guest"]) {
        let Some(path) = path(name) else { continue };
        let output = run(&path, &["mqtt://127.0.0.1:1"], &Permissions::default());
        assert!(!output.success, "{name}");
        assert!(output.stderr.contains("may not use the network"), "{name}: {}", output.stderr);
        // Nothing but the failure: no panic, and no trap.
        assert!(!output.stderr.contains("panic") && !output.stderr.contains("trap"), "{name}: {}", output.stderr);
    }
}

#[test]
fn text_for_bytes_arrives_with_the_layer_for_javascript() {
    for engine in ["quickjs", "starlingmonkey"] {
        let Some(path) = path(&format!("languages/traps-{engine}")) else { continue };
        assert!(connects_with(&path, "layered", |connect| contains(connect, PASSWORD)), "{engine}");
    }
}

#[test]
fn text_for_bytes_is_lost_without_the_layer_for_javascript() {
    // As the README warns. Where this does not hold any more, it can be shorter.
    if let Some(path) = path("languages/traps-quickjs") {
        let output = run(&path, &["mqtt://127.0.0.1:1", "raw"], &Permissions::default());
        assert!(!output.success && output.stderr.contains("expected array"), "{}", output.stderr);
    }
    if let Some(path) = path("languages/traps-starlingmonkey") {
        // A password without a byte, and no error.
        assert!(connects_with(&path, "raw", |connect| connect.ends_with(b"\x0bthermometer\0\0")));
    }
}

#[test]
fn text_for_bytes_arrives_with_the_layer_for_python() {
    let Some(path) = path("languages/traps-python") else { return };
    assert!(connects_with(&path, "layered", |connect| contains(connect, PASSWORD)));
    // As the README warns.
    let output = run(&path, &["mqtt://127.0.0.1:1", "raw-password"], &Permissions::default());
    assert!(!output.success && output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn without_the_layers_a_failure_has_no_words() {
    // As the READMEs warn. Where this does not hold any more, they can be shorter.
    for (name, how) in [("traps-starlingmonkey", "raw"), ("traps-python", "raw")] {
        let Some(path) = path(&format!("languages/{name}")) else { continue };
        let output = run(&path, &["mqtt://127.0.0.1:1", how], &Permissions::default());
        assert!(!output.success, "{name}");
        assert!(!output.stderr.contains("may not use the network"), "{name}: {}", output.stderr);
    }
}

#[test]
fn javascript_packs_messages() {
    packs("languages/packed-starlingmonkey", ["at-most-once", "at-least-once", "exactly-once"], "JavaScript");
}

#[test]
fn c_packs_messages() {
    packs("languages/packed-c", ["0", "1", "2"], "C");
}

#[test]
fn go_packs_messages() {
    packs("languages/packed-go", ["0", "1", "2"], "Go");
}

#[test]
fn starlingmonkey_needs_bounded_memory_however_long_it_runs() {
    // Its collector lets about 90 MB pile up, which takes more calls than the first of the two runs makes.
    needs_no_more_memory("languages/stress-starlingmonkey", 96 << 20);
}

#[test]
fn quickjs_needs_no_more_memory_the_longer_it_runs() {
    // Less than one allocation for each of the calls that the second run makes more.
    needs_no_more_memory("languages/stress-quickjs", 256 << 10);
}

/// What the programs that show traps log in with.
const PASSWORD: &str = "geheim für alle";

/// The guest receives its message with a property, is refused, and answers a request, composed either way.
fn talks(name: &str, language: &str) {
    let Some(path) = path(name) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace('/', "-"));
    let received = format!("mqtt-wasi/guest/{language}/kitchen: 21.5 C");
    for guest in [Guest::compose(&path), Guest::compose_as_wasm_tools(&path, &folder)] {
        each_broker(|broker| {
            let output = guest.run(broker);
            let (refusals, others): (Vec<_>, Vec<_>) =
                output.lines().partition(|line| line.contains(" publish-refused "));
            assert_eq!(others, [received.as_str(), "21.5 C are 70.7 F"], "{output}");
            // Not every broker refuses what is published below $SYS.
            for refusal in refusals {
                assert!(refusal.to_lowercase().starts_with("refused publish-refused "), "{refusal}");
                assert!(refusal.contains("135") && refusal.contains("Not authorized"), "{refusal}");
            }
        });
        if let Some(mosquitto) = Mosquitto::start() {
            assert!(guest.run(mosquitto.address()).contains(" publish-refused "), "mosquitto refuses");
        }
    }
}

/// Whether the guest, which is given this word, sends a CONNECT for which something holds.
fn connects_with(path: &str, how: &str, holds: impl FnOnce(&[u8]) -> bool) -> bool {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let broker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connect = vec![0; 1_000];
        let len = stream.read(&mut connect).unwrap();
        connect.truncate(len);
        connect
    });
    run(path, &[&url(address), how], &Permissions::to(address));
    holds(&broker.join().unwrap())
}

fn contains(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

fn run(path: &str, args: &[&str], permissions: &Permissions) -> Output {
    let composed = compose(&load(path).unwrap(), &load("mqtt.wasm").unwrap()).unwrap();
    Runtime::new(&composed).unwrap().run(args, permissions).unwrap()
}

/// The guest receives the messages that it packed, in lists, and acknowledges them by hand.
fn packs(name: &str, qos: [&str; 3], language: &str) {
    let Some(path) = path(name) else { return };
    let guest = Guest::compose(&path);
    each_broker(|broker| {
        let output = guest.run(broker);
        let [at_most_once, at_least_once, exactly_once] = qos;
        // Topic Name, QoS, length of the payload and its first byte, and whether it was acknowledged.
        let expected = [
            &format!("mqtt-wasi/guest/packed {exactly_once} 1000 0 true"),
            &format!("mqtt-wasi/guest/packed/bytes {at_most_once} 3 0 false"),
            &format!("mqtt-wasi/guest/packed/text {at_least_once} 5 104 true"),
            &format!("user-property: language={language}"),
        ];
        // What is published at one QoS may overtake what is at another.
        let mut lines = lines(&output);
        lines.sort_unstable();
        assert_eq!(lines, expected, "{output}");
    });
}

/// The lines of an output, without the User Property that the embedded broker adds to each message.
fn lines(output: &str) -> Vec<&str> {
    output.lines().filter(|line| !line.starts_with("user-property: x-mqtt-client-id=")).collect()
}

/// The guest calls in vain, and asks and answers, thousands of times; `MQTT_WASI_STRESS` says how many times instead.
/// The longer run needs no more memory than the other, but for so many bytes. Handles are bounded wherever a component
/// runs.
fn needs_no_more_memory(name: &str, slack: usize) {
    let Some(path) = path(name) else { return };
    let composed = compose(&load(&path).unwrap(), &load("mqtt.wasm").unwrap()).unwrap();
    let runtime = Runtime::new(&composed).unwrap();
    let broker = Embedded::start().unwrap();
    let many = env::var("MQTT_WASI_STRESS").map_or(20_000, |times| times.parse().expect("a number"));
    let few = stress(&runtime, broker.address(), 5_000).memory_bytes;
    let many = stress(&runtime, broker.address(), many).memory_bytes;
    assert!(many <= few + slack, "{few} bytes became {many}");
}

fn stress(runtime: &Runtime, broker: SocketAddr, times: u64) -> Output {
    let began = Instant::now();
    let output = runtime.run(&[&url(broker), &times.to_string()], &Permissions::to(broker)).unwrap();
    println!("{times} times: {} bytes of memory, {:?}", output.memory_bytes, began.elapsed());
    assert!(output.success, "{}\n{}", output.stdout, output.stderr);
    assert_eq!(output.stdout, format!("failed: {times}\nsum: {}\n", times * (times - 1)));
    output
}

/// Where the guest is below the folder of components. None, with the reason printed, where it was not built.
fn path(name: &str) -> Option<String> {
    load("mqtt.wasm").unwrap();
    let path = format!("{name}.wasm");
    let Err(error) = load(&path) else { return Some(path) };
    // Go's tools are not to be had for every machine.
    let may_be_missing = env::var_os("CI").is_none() || name.ends_with("go");
    assert!(may_be_missing, "`cargo xtask languages` has to be run before: {error:#}");
    host_tests::skipped(&format!("`cargo xtask languages` was not run: {error:#}"));
    None
}
