//! Every rule that a broker can break: it is told which, the user is told which, and nothing else is sent (section
//! 4.13).

#[path = "../support/violations.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod table;

use std::panic::catch_unwind;
use std::time::Duration;

use mqtt_wasi::codec::{Connack, ConnackProperties, Packet, Publish, QoS, ReasonCode};
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{CallError, Error, Options};

use crate::packets::*;
use crate::scenario::{Scenario, options};
use table::{State, Violation};

/// AUTH that says Continue authentication, with the method of the table.
const CHALLENGE: &[u8] = b"\xF0\x06\x18\x04\x15\0\x01m";

/// Packets that are answered, or would end the connection, wherever it is open.
const MORE: &[u8] = b"\x62\x02\0\x09\x32\x06\0\x01a\0\x09\0\0\0";

#[test]
fn every_violation_is_told_to_the_broker_and_the_user() {
    every_row(|state, violation| is_told(reach(state, false), violation));
}

#[test]
fn every_violation_is_told_to_a_user_who_receives_at_once() {
    every_row(|state, violation| is_told(reach(state, true), violation));
}

/// Checks each row, and fails with the names of all that do not hold.
fn every_row(check: fn(State, &Violation)) {
    let mut failed = Vec::new();
    for &(state, violations) in table::ALL {
        for violation in violations {
            if let Err(panic) = catch_unwind(|| check(state, violation)) {
                let why = panic.downcast_ref::<String>().map_or("see above", String::as_str);
                let Violation { section, name, bytes, .. } = violation;
                failed.push(format!("{state:?}, section {section}, {name} {bytes:02X?}: {why}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} rows do not hold:\n{}", failed.len(), failed.join("\n"));
}

/// The broker does what it must not do.
fn is_told(mut s: Scenario, violation: &Violation) {
    s.broker_sends_bytes(violation.bytes);
    let reason_code = violation.reason_code;
    assert_eq!(s.take_sent(), [bytes(&disconnect(reason_code))], "the broker is told, once and nothing else");
    let events = s.take_events();
    let mut ends = events.iter().filter_map(|event| match event {
        Event::Disconnected(error) => Some(error),
        _ => None,
    });
    match (ends.next(), ends.next()) {
        (Some(error @ (Error::Malformed(_) | Error::Protocol(_) | Error::Mqtt3Only)), None) => {
            assert_eq!(error.reason_code(), Some(reason_code), "{error}");
        }
        other => panic!("the user should be told of a violation, once, not of {other:?}"),
    }
    s.expect_status(Status::Closing);

    // A broker that goes on all the same is not heard, and time does nothing.
    s.broker_sends_bytes(MORE);
    s.wait(Duration::from_secs(100_000));
    assert_eq!(s.try_publish(&Publish::new("a", "1")), Err(CallError::NotConnected));
    s.expect_nothing_sent();
    s.expect_no_event();
    s.expect_status(Status::Closing);
    s.connection_is_lost();
    s.expect_no_event();
    s.expect_status(Status::Disconnected);
    // Messages that came before may wait.
    s.leave_the_rest();
}

/// A client in this state, of which nothing is left to tell.
fn reach(state: State, receives_at_once: bool) -> Scenario {
    let s = Scenario::new(options_in(state));
    let mut s = if receives_at_once { s.receiving_at_once() } else { s };
    match state {
        State::Connecting | State::Authenticating | State::AuthenticatingWithoutProblemInformation => {
            s.connect();
            s.expect_connect();
        }
        State::Challenged => {
            s.connect();
            s.expect_connect();
            s.broker_sends_bytes(CHALLENGE);
            assert_eq!(s.take_events().len(), 1);
        }
        State::Connected | State::WithSmallPackets | State::WithTopicAliases => s.reconnected(false),
        State::Authenticated => s.reconnected_with(false, authenticated()),
        State::AuthenticatingAgain => {
            s.reconnected_with(false, authenticated());
            s.authenticate_again(b"again").unwrap();
            assert_eq!(s.take_sent().len(), 1);
        }
        State::AtReceiveMaximum => {
            s.reconnected(false);
            s.broker_sends(publish(QoS::ExactlyOnce, 1, "a", "1"));
            if receives_at_once {
                s.expect_message("a", "1");
                s.expect_sent(pubrec(1));
            }
        }
        State::InFlight | State::WithoutProblemInformation => {
            s.reconnected(false);
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
                s.publish(qos, "a", "1");
            }
            s.subscribe(&["a", "b"]);
            s.broker_sends(pubrec(3));
            assert_eq!(s.take_sent().len(), 5);
            if state == State::WithoutProblemInformation {
                s.unsubscribe(&["a", "b"]);
                assert_eq!(s.take_sent().len(), 1);
            }
        }
        State::Unsubscribing => {
            s.reconnected(false);
            s.unsubscribe(&["a", "b"]);
            assert_eq!(s.take_sent().len(), 1);
        }
    }
    s
}

fn options_in(state: State) -> Options {
    let options = options();
    match state {
        State::Connecting | State::Connected | State::InFlight | State::Unsubscribing => options,
        State::Authenticating | State::Challenged | State::Authenticated | State::AuthenticatingAgain => {
            options.authentication("m", None)
        }
        State::AuthenticatingWithoutProblemInformation => {
            options.authentication("m", None).request_problem_information(false)
        }
        State::WithSmallPackets => options.maximum_packet_size(100),
        State::WithTopicAliases => options.topic_alias_maximum(2),
        State::AtReceiveMaximum => options.receive_maximum(1),
        State::WithoutProblemInformation => options.request_problem_information(false),
    }
}

/// What CONNACK says to a client that authenticated.
fn authenticated() -> ConnackProperties<'static> {
    ConnackProperties { authentication_method: Some("m"), ..Default::default() }
}

#[test]
fn pubrel_before_pubrec_is_a_protocol_error() {
    // It is out of order (section 4.3.3): PUBREC waits until the user has the message.
    let mut s = Scenario::connected();
    s.broker_sends(publish(QoS::ExactlyOnce, 1, "a", "1"));
    let violation = Violation {
        section: "4.3.3",
        name: "PUBREL before PUBREC",
        bytes: b"\x62\x02\0\x01",
        reason_code: ReasonCode::ProtocolError,
        is_over_network: false,
    };
    is_told(s, &violation);
}

#[test]
fn broker_that_has_ended_the_connection_is_told_nothing() {
    // Nor is what it sends behind its last packet looked at.
    let refusal = Packet::Connack(Connack { reason_code: ReasonCode::NotAuthorized, ..Default::default() });
    for garbage in [&b"\0\0"[..], b"\x30\x04\0\x01#\0", b"\x20\x03\0\0\0", b"\xE0\x01\x04"] {
        for (state, last) in [(State::Connecting, refusal), (State::InFlight, disconnect(ReasonCode::ServerBusy))] {
            let mut s = reach(state, false);
            s.broker_sends_bytes(&[&bytes(&last), garbage].concat());
            s.expect_nothing_sent();
            let ends = s.take_events().into_iter().filter(|event| matches!(event, Event::Disconnected(_))).count();
            assert_eq!(ends, 1, "{last:?}");
            s.expect_status(Status::Disconnected);
        }
    }
}

/// Something that ends no connection.
struct Tolerated {
    state: State,
    section: &'static str,
    name: &'static str,
    /// What the broker sends.
    bytes: &'static [u8],
    /// What the client answers.
    answer: &'static [u8],
}

const fn tolerated(
    state: State,
    section: &'static str,
    name: &'static str,
    bytes: &'static [u8],
    answer: &'static [u8],
) -> Tolerated {
    Tolerated { state, section, name, bytes, answer }
}

/// What brokers must not or need not do, without a word in the specification that a client ends the connection for it.
const TOLERATED: &[Tolerated] = &[
    tolerated(State::Connected, "3.13", "PINGRESP without PINGREQ", b"\xD0\0", b""),
    tolerated(State::Connected, "4.3.3", "PUBREC for nothing in flight", b"\x50\x02\0\x07", b"\x62\x03\0\x07\x92"),
    tolerated(
        State::Connected,
        "4.3.3",
        "PUBREL for a message that never came",
        b"\x62\x02\0\x07",
        b"\x70\x03\0\x07\x92",
    ),
    tolerated(State::Connected, "3.4", "PUBACK for nothing in flight", b"\x40\x02\0\x07", b""),
    tolerated(State::Connected, "3.4", "PUBACK that refuses what is not in flight", b"\x40\x03\0\x07\x87", b""),
    tolerated(State::Connected, "3.5", "PUBREC that refuses what is not in flight", b"\x50\x03\0\x07\x80", b""),
    tolerated(State::Connected, "4.3.3", "PUBCOMP for nothing in flight", b"\x70\x02\0\x07", b""),
    tolerated(State::Connected, "3.9", "SUBACK for nothing in flight", b"\x90\x04\0\x07\0\0", b""),
    tolerated(State::Connected, "3.9", "SUBACK that refuses what nobody asked", b"\x90\x05\0\x07\0\x87\x80", b""),
    tolerated(State::Connected, "3.11", "UNSUBACK for nothing in flight", b"\xB0\x04\0\x07\0\0", b""),
    tolerated(State::InFlight, "4.3.2", "a second PUBACK for a message", b"\x40\x02\0\x01\x40\x02\0\x01", b""),
    tolerated(
        State::InFlight,
        "4.3.3",
        "a second PUBREC that refuses a message",
        b"\x50\x03\0\x02\x80\x50\x03\0\x02\x80",
        b"",
    ),
    tolerated(State::InFlight, "4.3.3", "a second PUBCOMP for a message", b"\x70\x02\0\x03\x70\x02\0\x03", b""),
    tolerated(State::InFlight, "3.9", "a second SUBACK", b"\x90\x05\0\x04\0\0\0\x90\x05\0\x04\0\0\0", b""),
    tolerated(State::Connected, "3.3.1.1", "DUP on a message that never came", b"\x3A\x06\0\x01a\0\x01\0", b""),
    tolerated(
        State::Connected,
        "2.2.1",
        "two messages at QoS 1 with one Packet Identifier",
        b"\x32\x06\0\x01a\0\x01\0\x32\x06\0\x01b\0\x01\0",
        b"",
    ),
    // Brokers refuse with failures that are for other packets. The message has failed all the same.
    tolerated(State::InFlight, "3.4.2.1", "a failure in PUBACK that is for other packets", b"\x40\x03\0\x01\x95", b""),
    tolerated(State::InFlight, "3.5.2.1", "a failure in PUBREC that is for other packets", b"\x50\x03\0\x02\x81", b""),
    tolerated(
        State::InFlight,
        "3.6.2.1",
        "a failure in PUBREL that is for other packets",
        b"\x62\x03\0\x07\x80",
        b"\x70\x03\0\x07\x92",
    ),
    tolerated(State::InFlight, "3.7.2.1", "a failure in PUBCOMP that is for other packets", b"\x70\x03\0\x03\x80", b""),
    tolerated(
        State::Connecting,
        "3.1.2.11.6",
        "Response Information that was not requested",
        b"\x20\x07\0\0\x04\x1A\0\x01x",
        b"",
    ),
    tolerated(
        State::Connecting,
        "3.2.2.3.7",
        "an Assigned Client Identifier for a client that has one",
        b"\x20\x07\0\0\x04\x12\0\x01x",
        b"",
    ),
    tolerated(
        State::Connecting,
        "3.2.2.3.16",
        "a Server Reference beside Success",
        b"\x20\x07\0\0\x04\x1C\0\x01x",
        b"",
    ),
    tolerated(
        State::Connecting,
        "3.2.2.3.18",
        "Authentication Data without an Authentication Method",
        b"\x20\x07\0\0\x04\x16\0\x01x",
        b"",
    ),
];

#[test]
fn what_names_no_error_does_not_end_the_connection() {
    for Tolerated { state, section, name, bytes, answer } in TOLERATED {
        let mut s = reach(*state, false);
        s.broker_sends_bytes(bytes);
        assert_eq!(s.take_sent().concat(), *answer, "section {section}, {name}");
        let events = s.take_events();
        let is_over = events.iter().any(|event| matches!(event, Event::Disconnected(_)));
        assert!(!is_over, "section {section}, {name}: {events:?}");
        s.expect_status(Status::Connected);
        s.leave_the_rest();
    }
}
