//! The examples do what their first lines say, as components, against every broker.

use std::fs;
use std::path::Path;

use host_tests::broker::{Mosquitto, TlsListener, each_broker, tls_url, url};
use host_tests::certificates::{Authority, Certified};
use host_tests::components::load;
use host_tests::guest::{Guest, Summary};
use host_tests::runtime::{Permissions, Runtime};

#[test]
fn pubsub_receives_its_readings_back() {
    let pubsub = Runtime::new(&load("examples/pubsub.wasm").unwrap()).unwrap();
    each_broker(|broker| {
        let output = pubsub.run(&[&url(broker)], &Permissions::to(broker)).unwrap();
        assert!(output.success, "{}\n{}", output.stdout, output.stderr);
        for sensor in ["kitchen", "cellar", "attic"] {
            let reading = format!("mqtt-wasi/example/readings/{sensor}: {sensor} is at ");
            assert!(output.stdout.contains(&reading), "{reading}: {}", output.stdout);
        }
    });
}

#[test]
fn small_receives_its_readings_back() {
    let small = Runtime::new(&load("examples/small.wasm").unwrap()).unwrap();
    each_broker(|broker| {
        let output = small.run(&[&url(broker)], &Permissions::to(broker)).unwrap();
        assert!(output.success, "{}\n{}", output.stdout, output.stderr);
        assert!(output.stdout.starts_with(&format!("connected to {} as ", url(broker))), "{}", output.stdout);
        for (sensor, reading) in [("kitchen", 21_500), ("cellar", 12_250), ("attic", 30_000)] {
            let line = format!("mqtt-wasi/example/small/{sensor}: {reading} m°C\n");
            assert!(output.stdout.contains(&line), "{line}: {}", output.stdout);
        }
    });
}

#[test]
fn small_tells_why_it_failed() {
    let small = Runtime::new(&load("examples/small.wasm").unwrap()).unwrap();
    let output = small.run(&["mqtt://127.0.0.1:1"], &Permissions::default()).unwrap();
    assert!(!output.success);
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn request_reply_asks_and_answers() {
    let request_reply = Runtime::new(&load("examples/request_reply.wasm").unwrap()).unwrap();
    each_broker(|broker| {
        let output = request_reply.run(&[&url(broker)], &Permissions::to(broker)).unwrap();
        assert!(output.success, "{}\n{}", output.stdout, output.stderr);
        let expected =
            ["3 squared is 9", "4 squared is 16", "five squared: invalid digit found in string", "6 squared is 36"];
        assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
    });
}

#[test]
fn tls_pubsub_receives_its_words_back() {
    let authority = Authority::new();
    let Certified { certificate_pem, key_pem } = authority.server();
    let listener = TlsListener { certificate_pem, key_pem, ..TlsListener::default() };
    let Some(broker) = Mosquitto::start_tls(&listener) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls_pubsub");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let tls_pubsub = Runtime::new(&load("examples/tls_pubsub.wasm").unwrap()).unwrap();
    let permissions = Permissions { folder: Some(folder), ..Permissions::to(broker.address()) };
    let output = tls_pubsub.run(&[&tls_url(broker.address()), "/ca.pem"], &permissions).unwrap();
    assert!(output.success, "{}\n{}", output.stdout, output.stderr);
    for word in ["sealed", "signed", "delivered"] {
        let line = format!("mqtt-wasi/example/tls/{word}: {word}");
        assert!(output.stdout.contains(&line), "{line}: {}", output.stdout);
    }
}

#[test]
fn demo_gets_every_message_back_intact() {
    let guest = Guest::load("demo_guest");
    each_broker(|broker| {
        let output = guest.run(broker);
        let summary = Summary::of(&output).expect("a summary in its last line");
        assert_eq!(summary.intact, 20);
        assert!(!summary.median_round_trip.is_zero(), "{output}");
    });
}

#[test]
fn example_without_permission_is_told_so() {
    let pubsub = Runtime::new(&load("examples/pubsub.wasm").unwrap()).unwrap();
    let output = pubsub.run(&["mqtt://127.0.0.1:1"], &Permissions::default()).unwrap();
    assert!(!output.success);
    assert!(output.stderr.contains("may not use the network"), "{}", output.stderr);
}
