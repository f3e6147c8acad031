//! The guests in other languages do what their sources say, as components, against every broker. `cargo xtask
//! languages` builds them.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use host_tests::broker::{Embedded, each_broker, url};
use host_tests::components::{compose, load};
use host_tests::guest::Guest;
use host_tests::runtime::{Output, Permissions, Runtime};

#[test]
fn javascript_in_starlingmonkey_talks() {
    talks("javascript-starlingmonkey", "javascript", "JavaScript");
}

#[test]
fn javascript_in_quickjs_talks() {
    talks("javascript-quickjs", "javascript", "JavaScript");
}

#[test]
fn python_talks() {
    talks("python", "python", "Python");
}

#[test]
fn c_talks() {
    talks("c", "c", "C");
}

#[test]
fn go_talks() {
    talks("go", "go", "Go");
}

#[test]
fn javascript_packs_messages() {
    packs("packed-starlingmonkey", ["at-most-once", "at-least-once", "exactly-once"], "JavaScript");
}

#[test]
fn c_packs_messages() {
    packs("packed-c", ["0", "1", "2"], "C");
}

#[test]
fn go_packs_messages() {
    packs("packed-go", ["0", "1", "2"], "Go");
}

#[test]
fn starlingmonkey_needs_bounded_memory_however_long_it_runs() {
    // Its collector lets about 90 MB pile up, which takes more calls than the first of the two runs makes.
    needs_no_more_memory("stress-starlingmonkey", 96 << 20);
}

#[test]
fn quickjs_needs_no_more_memory_the_longer_it_runs() {
    // Less than one allocation for each of the calls that the second run makes more.
    needs_no_more_memory("stress-quickjs", 256 << 10);
}

/// The guest receives a message with its properties, a failure, and a reply, composed either way.
fn talks(name: &str, topic: &str, language: &str) {
    let Some(path) = path(name) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for guest in [Guest::compose(&path), Guest::compose_as_wasm_tools(&path, &folder)] {
        each_broker(|broker| {
            let output = guest.run(broker);
            let refused = "refused: wrong-call invalid-argument: ";
            let expected = [
                &format!("received mqtt-wasi/guest/{topic}: hello"),
                "content-type: text/plain",
                &format!("user-property: language={language}"),
                refused,
                "reply: 4",
            ];
            let mut lines = lines(&output);
            for line in lines.iter_mut().filter(|line| line.starts_with(refused)) {
                *line = refused;
            }
            assert_eq!(lines, expected, "{output}");
        });
    }
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
    let path = format!("languages/{name}.wasm");
    let Err(error) = load(&path) else { return Some(path) };
    // Go's tools are not to be had for every machine.
    let may_be_missing = env::var_os("CI").is_none() || name.ends_with("go");
    assert!(may_be_missing, "`cargo xtask languages` has to be run before: {error:#}");
    host_tests::skipped(&format!("`cargo xtask languages` was not run: {error:#}"));
    None
}
