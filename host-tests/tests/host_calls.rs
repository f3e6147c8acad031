//! How often the component calls its host for what it is asked: to look at the clock, to wait, to move bytes, and to
//! give handles back.

use std::time::Duration;

use host_tests::packets::{disconnect, puback};
use host_tests::scripted::{Peer, Scripted};
use host_tests::subject::{Component, Settings, Subject};
use mqtt_wasi::codec::Packet;
use mqtt_wasi::{Publish, QoS, ReasonCode};

/// So often each call is made.
const TIMES: usize = 41;

/// The room of a write is asked for, and the bytes are written; beside that there is one look at the clock.
#[test]
fn message_at_qos_0_takes_three_calls_of_the_host() {
    let message = Publish::new("sensors/kitchen", b"21.5");
    let calls = calls_of(|client| assert_eq!(client.publish(&message), Ok(ReasonCode::Success)));
    assert_eq!(calls, 3);
}

/// The same, and then the client waits, looks at the clock, and reads.
#[test]
fn message_at_qos_1_takes_six_calls_of_the_host() {
    let message = Publish::new("sensors/kitchen", b"21.5").qos(QoS::AtLeastOnce);
    let calls = calls_of(|client| assert_eq!(client.publish(&message), Ok(ReasonCode::Success)));
    assert_eq!(calls, 6);
}

/// The time, and what has come.
#[test]
fn look_for_a_message_takes_two_calls_of_the_host() {
    let calls = calls_of(|client| assert_eq!(client.receive(Duration::ZERO), Ok(None)));
    assert_eq!(calls, 2);
}

/// The time and what has come, before and after; between them a timer is made, waited for and given back.
#[test]
fn wait_for_a_message_that_does_not_come_takes_seven_calls_of_the_host() {
    let mut counts = counts_of(|client| assert_eq!(client.receive(Duration::from_millis(20)), Ok(None)));
    // Most of them: where the time is over before the client waits, there are fewer.
    counts.sort_unstable();
    assert_eq!(counts[TIMES / 2], 7, "{counts:?}");
}

/// How many calls of the host such a call takes. The least counts: a broker or a host that is slow may have a call wait
/// once more.
fn calls_of(call: impl Fn(&mut Component)) -> u64 {
    counts_of(call).into_iter().min().expect("some calls")
}

/// How many calls of the host each of several such calls takes.
fn counts_of(call: impl Fn(&mut Component)) -> Vec<u64> {
    let broker = Scripted::start(|broker| acknowledge(broker.accept_client()));
    // As by default. With more time than the Keep Alive has, a wait takes a timer of its own.
    let settings = Settings { response_timeout: Some(Duration::from_secs(30)), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let counts: Vec<u64> = (0..TIMES)
        .map(|_| {
            let before = client.host_calls();
            call(&mut client);
            client.host_calls() - before
        })
        .collect();
    client.disconnect().unwrap();
    broker.finish();
    println!("{counts:?}");
    counts
}

/// Acknowledges what has to be, until the client disconnects.
fn acknowledge(mut peer: Peer) {
    loop {
        let received = peer.next_packet().expect("DISCONNECT before the connection's end");
        match received.packet() {
            Packet::Publish(message) => message.packet_id.into_iter().for_each(|id| peer.send(&[puback(id.get())])),
            other => {
                assert_eq!(other, disconnect(ReasonCode::NORMAL_DISCONNECTION));
                return peer.expect_end();
            }
        }
    }
}
