//! The examples do what their first lines say, as components, against every broker.

use host_tests::broker::{each_broker, url};
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
fn guest_gets_every_message_back_intact() {
    let guest = Guest::compose("examples/guest.wasm");
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
