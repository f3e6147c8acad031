//! Rules that a broker breaks, over the network: the broker is told which, the caller gets an error that says which,
//! and nothing traps. The rows are some of the table of `tests/session/violations.rs`, which has them all.

use host_tests::each_subject;
use host_tests::packets::disconnect;
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{ErrorKind, Failure, SOON, Settings, Subject};
use mqtt_wasi::codec::{Ack, Packet, PacketId, PacketType};
use mqtt_wasi::{Publish, QoS, ReasonCode, Subscription};
use table::{State, Violation};

#[path = "../../tests/support/violations.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod table;

each_subject!(
    violation_instead_of_connack_ends_the_attempt,
    violation_ends_the_connection_and_the_client_goes_on,
    violation_with_topic_aliases_ends_the_connection_and_the_client_goes_on,
    violation_while_messages_are_in_flight_ends_the_connection,
    violation_instead_of_unsuback_ends_the_connection,
);

fn violation_instead_of_connack_ends_the_attempt<S: Subject>() {
    let broker = each_row(State::Connecting, |broker, violation| {
        let mut client = broker.accept();
        client.expect_type(PacketType::Connect);
        break_rule(client, violation);
    });
    for violation in rows(State::Connecting) {
        match S::connect(&broker.url(), &Settings::default()) {
            Ok(_) => panic!("{}: the client is connected", violation.name),
            Err(failure) => assert_told(&failure, violation),
        }
    }
    broker.finish();
}

fn violation_ends_the_connection_and_the_client_goes_on<S: Subject>() {
    goes_on_after::<S>(State::Connected, &Settings::default());
}

fn violation_with_topic_aliases_ends_the_connection_and_the_client_goes_on<S: Subject>() {
    goes_on_after::<S>(State::WithTopicAliases, &Settings { topic_aliases: Some(2), ..Settings::default() });
}

fn violation_while_messages_are_in_flight_ends_the_connection<S: Subject>() {
    let broker = each_row(State::InFlight, |broker, violation| {
        let mut client = broker.accept_client();
        for _ in 1..=3 {
            client.expect_type(PacketType::Publish);
        }
        client.expect_type(PacketType::Subscribe);
        let ack = Ack::success(PacketId::new(3).expect("not zero"));
        client.send(&[Packet::Pubrec(ack)]);
        client.expect(Packet::Pubrel(ack));
        break_rule(client, violation);
    });
    for violation in rows(State::InFlight) {
        let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
            client.enqueue(&Publish::new("a", "1").qos(qos)).unwrap();
        }
        let subscriptions = ["a", "b"].map(|filter| Subscription::new(filter, QoS::AtMostOnce));
        let failure = client.subscribe_as(&subscriptions, None).unwrap_err();
        assert_told(&failure, violation);
        assert!(!client.is_connected(), "{}", violation.name);
        assert_eq!(client.in_flight(), 3, "{}: the next connection would send them again", violation.name);
    }
    broker.finish();
}

fn violation_instead_of_unsuback_ends_the_connection<S: Subject>() {
    let broker = each_row(State::Unsubscribing, |broker, violation| {
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Unsubscribe);
        break_rule(client, violation);
    });
    for violation in rows(State::Unsubscribing) {
        let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
        let failure = client.unsubscribe(&["a", "b"]).unwrap_err();
        assert_told(&failure, violation);
        assert!(!client.is_connected(), "{}", violation.name);
    }
    broker.finish();
}

/// No row is marked for a state that no test here gets to.
#[test]
fn every_marked_row_is_tried() {
    let tried = [State::Connecting, State::Connected, State::WithTopicAliases, State::InFlight, State::Unsubscribing];
    for (state, violations) in table::ALL {
        let is_marked = violations.iter().any(|violation| violation.is_over_network);
        assert_eq!(is_marked, tried.contains(state), "{state:?}");
    }
}

/// A client that meets one violation after the other, each over a connection of its own.
fn goes_on_after<S: Subject>(state: State, settings: &Settings) {
    let broker = Scripted::start(move |broker| {
        rows(state).for_each(|violation| break_rule(broker.accept_client(), violation));
        broker.accept_client().serve();
    });
    let mut client = S::connect(&broker.url(), settings).unwrap();
    for violation in rows(state) {
        let failure = client.receive(SOON).unwrap_err();
        assert_told(&failure, violation);
        assert!(!client.is_connected(), "{}", violation.name);
        assert_eq!(client.reconnect(), Ok(false), "{}: the broker was told something else", violation.name);
    }
    assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    broker.finish();
}

/// A broker that plays each row of this state.
fn each_row(state: State, play: fn(&Broker, &Violation)) -> Scripted {
    Scripted::start(move |broker| rows(state).for_each(|violation| play(broker, violation)))
}

/// The rows of this state that are tried over a network.
fn rows(state: State) -> impl Iterator<Item = &'static Violation> {
    let of_state = table::ALL.iter().filter(move |(of, _)| *of == state).flat_map(|(_, violations)| *violations);
    of_state.filter(|violation| violation.is_over_network)
}

/// The broker does what it must not do, and is told so in the client's last packet.
fn break_rule(mut client: Peer, violation: &Violation) {
    client.send_bytes(violation.bytes);
    client.expect(disconnect(violation.reason_code));
    client.expect_end();
}

/// The caller is told what the broker is told.
fn assert_told(failure: &Failure, violation: &Violation) {
    let Violation { section, name, reason_code, .. } = violation;
    let is_violation = [ErrorKind::Malformed, ErrorKind::ProtocolError, ErrorKind::Mqtt3Only].contains(&failure.kind);
    assert!(is_violation, "section {section}, {name}: {failure:?}");
    assert_eq!(failure.reason_code(), Some(*reason_code), "section {section}, {name}: {failure:?}");
}
