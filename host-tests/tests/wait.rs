//! Waiting from inside a guest, with the interface's own `wait` and with pollables, and what may be dropped when.

use std::thread;
use std::time::Duration;

use host_tests::broker::each_broker;
use host_tests::guest::Guest;
use host_tests::packets::{disconnect, publish};
use host_tests::scripted::Scripted;
use host_tests::timing::undisturbed;
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::Packet;

/// What the guests that count on it have.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

#[test]
fn wait_tells_which_clients_have_a_message() {
    let guest = Guest::load("wait_for_several");
    each_broker(|broker| assert_eq!(guest.run(broker), "waited\n"));
}

#[test]
fn wait_keeps_every_connection_alive() {
    undisturbed(|| {
        let guest = Guest::load("wait_keeps_alive");
        let broker = Scripted::start(|broker| {
            let clients = [broker.accept_client(), broker.accept_client()];
            let counting = clients.map(|client| thread::spawn(|| client.answer_pings(KEEP_ALIVE)));
            for pings in counting.map(|thread| thread.join().expect("pings and a normal DISCONNECT")) {
                assert!((2..=4).contains(&pings), "{pings} pings in 2.5 seconds");
            }
        });
        guest.run(broker.address());
        broker.finish();
    });
}

#[test]
fn pollables_wake_for_messages_and_deadlines_and_seldom_else() {
    undisturbed(|| {
        let guest = Guest::load("wait_on_readiness");
        let broker = Scripted::start(|broker| {
            let mut client = broker.accept_client();
            for _ in 0..2 {
                client.expect(Packet::Pingreq);
                client.send(&[Packet::Pingresp]);
            }
            client.send(&[publish("at/last", b"")]);
            client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        });
        let wake_ups: u32 = guest.run(broker.address()).trim().parse().unwrap();
        broker.finish();
        // One for each deadline; for answers and message, where they take longer than the call that asks; some to spare.
        assert!((2..=8).contains(&wake_ups), "{wake_ups} wake-ups");
    });
}

#[test]
fn pollables_may_be_held_longer_than_their_connection() {
    let guest = Guest::load("pollable_outlives_connection");
    each_broker(|broker| assert_eq!(guest.run(broker), "no trap\n"));
}

#[test]
fn dropping_a_client_cuts_its_connection() {
    let guest = Guest::load("drop_without_disconnect");
    each_broker(|broker| assert_eq!(guest.run(broker), "published\n"));
}
