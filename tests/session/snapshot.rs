//! Sessions that outlive their process (section 4.1).

use mqtt_wasi::SnapshotError;
use mqtt_wasi::codec::{Connect, Packet, QoS, ReasonCode};
use mqtt_wasi::session::{Event, Session, Snapshot};
use mqtt_wasi::{Error, Options};
use proptest::prelude::*;

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// The process ends; another one goes on from the snapshot, and the broker has kept the session or not.
fn resumed(s: Scenario, session_present: bool) -> Scenario {
    let snapshot = s.session.snapshot();
    s.leave_the_rest();
    let mut s = Scenario::new(options().resume(Snapshot::from_bytes(&snapshot).expect("what was just made")));
    s.takes_over(s.session.in_flight());
    assert_eq!(s.session.snapshot(), snapshot, "nothing was lost on the way");
    s.reconnected(session_present);
    s
}

/// The broker acknowledges messages of the earlier process, whose calls nobody knows.
fn expect_published(s: &mut Scenario, messages: usize) {
    let events = s.take_events();
    assert!(events.iter().all(|event| matches!(event, Event::Published { result: Ok(_), .. })), "{events:?}");
    assert_eq!(events.len(), messages);
}

#[test]
fn messages_in_flight_are_sent_again_in_their_order() {
    let mut s = Scenario::connected();
    for (qos, payload) in [(QOS_1, "1"), (QOS_2, "2"), (QOS_2, "3"), (QOS_1, "4")] {
        s.publish(qos, "a", payload);
    }
    s.broker_sends_all(&[puback(1), pubrec(3)]);
    let mut s = resumed(s, true);
    s.expect_one_write(&[pubrel(3), resent(QOS_2, 2, "a", "2"), resent(QOS_1, 4, "a", "4")]);
    s.broker_sends_all(&[pubcomp(3), puback(4), pubrec(2)]);
    s.expect_sent(pubrel(2));
    s.broker_sends(pubcomp(2));
    expect_published(&mut s, 3);
    s.expect_usable();
}

#[test]
fn new_messages_get_identifiers_of_their_own() {
    let mut s = Scenario::connected();
    s.publish(QOS_1, "a", "1");
    s.publish(QOS_2, "a", "2");
    s.broker_sends(puback(1));
    let mut s = resumed(s, true);
    s.expect_sent(resent(QOS_2, 2, "a", "2"));
    let message = s.publish(QOS_1, "a", "3");
    s.expect_sent(publish(QOS_1, 3, "a", "3"));
    s.broker_sends(puback(3));
    s.expect_published(message, ReasonCode::Success);
    s.leave_the_rest();
}

#[test]
fn session_that_the_broker_lost_meanwhile_begins_anew_with_what_was_in_flight() {
    let mut s = Scenario::connected();
    s.publish(QOS_2, "a", "1");
    s.publish(QOS_2, "a", "2");
    s.broker_sends(pubrec(1));
    let mut s = resumed(s, false);
    s.expect_sent(publish(QOS_2, 2, "a", "2"));
    // The first one has arrived.
    expect_published(&mut s, 1);
    s.leave_the_rest();
}

#[test]
fn connect_asks_for_the_session_and_not_for_a_clean_start() {
    let s = Scenario::connected_with(options(), Default::default());
    let snapshot = Snapshot::from_bytes(&s.session.snapshot()).unwrap();
    let mut s = Scenario::new(Options::new().clean_start(true).resume(snapshot));
    s.connect();
    let bytes = s.take_sent().pop().unwrap();
    let Some((Packet::Connect(Connect { client_id, clean_start, .. }), _)) = Packet::decode(&bytes).unwrap() else {
        panic!("CONNECT")
    };
    assert_eq!((client_id, clean_start), ("c", false));
}

#[test]
fn message_at_qos_2_that_was_received_does_not_come_again() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 7, "a", "1"));
    s.expect_message("a", "1");
    s.expect_sent(pubrec(7));
    let mut s = resumed(s, true);
    s.broker_sends(resent(QOS_2, 7, "a", "1"));
    s.expect_no_message();
    s.expect_sent(pubrec(7));
    s.broker_sends(pubrel(7));
    s.expect_sent(pubcomp(7));
}

#[test]
fn message_that_the_user_has_not_got_comes_again() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 7, "a", "1"));
    let mut s = resumed(s, true);
    s.broker_sends(resent(QOS_2, 7, "a", "1"));
    s.expect_message("a", "1");
    s.expect_sent(pubrec(7));
}

#[test]
fn message_that_the_user_has_not_worked_through_comes_again() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 7, "a", "1"));
    assert!(s.receive_unacknowledged().is_some());
    let mut s = resumed(s, true);
    s.broker_sends(resent(QOS_2, 7, "a", "1"));
    s.expect_message("a", "1");
    s.expect_sent(pubrec(7));
}

#[test]
fn message_at_qos_0_that_never_left_is_sent() {
    let mut s = Scenario::connected();
    s.network_stalls();
    s.publish(QOS_0, "a", "1");
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    let mut s = resumed(s, true);
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
}

#[test]
fn subscriptions_are_restored_if_the_broker_lost_them() {
    for session_present in [true, false] {
        let mut s = Scenario::connected();
        s.subscribe(&["a", "b"]);
        s.broker_sends(suback(1, &[ReasonCode::GrantedQos1, ReasonCode::NotAuthorized]));
        let mut s = resumed(s, session_present);
        let sent = s.take_sent();
        assert_eq!(sent.len(), usize::from(!session_present));
        if let Some(bytes) = sent.first() {
            let Some((Packet::Subscribe(again), _)) = Packet::decode(bytes).unwrap() else { panic!("SUBSCRIBE") };
            assert!(again.subscriptions.iter().map(|subscription| subscription.filter).eq(["a"]));
        }
    }
}

#[test]
fn snapshot_has_nothing_secret_in_it() {
    let options = options().login("user", "password").authentication("METHOD", Some(b"token".to_vec()));
    let snapshot = Session::new(options).snapshot();
    for secret in ["user", "password", "METHOD", "token"] {
        assert!(!snapshot.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

/// A snapshot with something of everything.
fn rich() -> Vec<u8> {
    let mut s = Scenario::connected();
    for (qos, payload) in [(QOS_1, "1"), (QOS_2, "2"), (QOS_2, "3")] {
        s.publish(qos, "a", payload);
    }
    s.subscribe(&["a/+"]);
    s.broker_sends_all(&[pubrec(3), suback(4, &[ReasonCode::GrantedQos1]), publish(QOS_2, 9, "b", "4")]);
    s.expect_message("b", "4");
    s.network_stalls();
    s.publish(QOS_0, "c", "5");
    let snapshot = s.session.snapshot();
    s.leave_the_rest();
    snapshot
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let snapshot = rich();
    assert!(Snapshot::from_bytes(&snapshot).is_ok());
    for len in 0..snapshot.len() {
        assert_eq!(Snapshot::from_bytes(&snapshot[..len]), Err(SnapshotError::Corrupt), "{len} bytes of it");
    }
    for place in (0..snapshot.len()).filter(|&place| place != 4) {
        let mut changed = snapshot.clone();
        changed[place] ^= 0x20;
        assert_eq!(Snapshot::from_bytes(&changed), Err(SnapshotError::Corrupt), "byte {place} changed");
    }
    let mut longer = snapshot.clone();
    longer.push(0);
    assert_eq!(Snapshot::from_bytes(&longer), Err(SnapshotError::Corrupt));
    let mut newer = snapshot;
    newer[4] = 99;
    assert_eq!(Snapshot::from_bytes(&newer), Err(SnapshotError::Version(99)));
}

/// The checksum that a snapshot ends with.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    (!crc).to_be_bytes()
}

proptest! {
    #![proptest_config(crate::support::config())]

    #[test]
    fn what_passes_for_a_snapshot_makes_a_session(changes in proptest::collection::vec((5usize.., any::<u8>()), 1..4)) {
        let mut bytes = rich();
        bytes.truncate(bytes.len() - 4);
        for (place, value) in changes {
            let place = 5 + place % (bytes.len() - 5);
            bytes[place] = value;
        }
        let crc = crc(&bytes);
        bytes.extend(crc);
        if let Ok(snapshot) = Snapshot::from_bytes(&bytes) {
            let mut s = Scenario::new(options().resume(snapshot));
            s.takes_over(s.session.in_flight());
            for session_present in [true, false] {
                s.reconnected(session_present);
                s.take_sent();
                s.take_events();
            }
            s.leave_the_rest();
        }
    }
}

/// The bytes with another checksum, to fit.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 4);
    let crc = crc(&bytes);
    bytes.extend(crc);
    bytes
}

/// A snapshot with `from` in it, and with `to` in its place.
fn changed(snapshot: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = snapshot.windows(from.len()).position(|window| window == from).expect("it is there");
    sealed([&snapshot[..place], to, &snapshot[place + from.len()..]].concat())
}

/// A snapshot of a session with a Client Identifier, a Response Topic, subscriptions and messages whose fields are found.
fn with_fields() -> Vec<u8> {
    let mut s = Scenario::new(Options::new().client_id("ident").response_topic("respond"));
    s.reconnected(false);
    let _ = s.try_request(&mqtt_wasi::Publish::new("q", ""), std::time::Duration::from_secs(1));
    let properties =
        mqtt_wasi::SubscribeProperties { subscription_identifier: Some(0x0FFF_FFFF), ..Default::default() };
    s.try_subscribe(&[mqtt_wasi::Subscription::new("filter/+", QOS_1)], properties).unwrap();
    s.broker_sends(suback(2, &[ReasonCode::GrantedQos1]));
    let properties = mqtt_wasi::PublishProperties {
        payload_format_indicator: Some(true),
        response_topic: Some("answer"),
        content_type: Some("type"),
        ..Default::default()
    };
    s.try_publish(&mqtt_wasi::Publish::new("topic", "payload").qos(QOS_1).properties(properties)).unwrap();
    let snapshot = s.session.snapshot();
    s.leave_the_rest();
    assert!(Snapshot::from_bytes(&snapshot).is_ok());
    snapshot
}

#[test]
fn every_field_of_a_snapshot_is_validated() {
    let snapshot = with_fields();
    for (from, to) in [
        // What CONNECT, SUBSCRIBE and PUBLISH could not carry.
        (&b"ident"[..], &b"id\0nt"[..]),
        (b"ident", b"id\xFFnt"),
        (b"respond", b"resp\0nd"),
        (b"respond", b"resp/#d"),
        (b"respond", b"resp\xFFnd"),
        (b"filter/+", b"filter+/"),
        (b"filter/+", b"filte\0/+"),
        (b"filter/+", b"$share/+"),
        (b"filter/+\x01", b"filter/+\x03"),
        (b"filter/+\x01", b"filter/+\xC1"),
        (b"\x0F\xFF\xFF\xFF", b"\x10\x00\x00\x00"),
        (b"topic", b"to+ic"),
        (b"topic", b"to\0ic"),
        (b"topic", b"to\xFFic"),
        (b"answer", b"answe#"),
        (b"answer", b"answ\0r"),
        (b"type", b"ty\0e"),
        (b"payload", b"payl\xFFad"),
        // QoS 0 and QoS 3, where QoS 1 and 2 are in flight.
        (b"\x32\x23\x00\x05topic", b"\x30\x23\x00\x05topic"),
        (b"\x32\x23\x00\x05topic", b"\x36\x23\x00\x05topic"),
    ] {
        let bytes = changed(&snapshot, from, to);
        assert_eq!(Snapshot::from_bytes(&bytes), Err(SnapshotError::Corrupt), "{:?}", to.escape_ascii().to_string());
    }
}

#[test]
fn client_identifier_of_a_snapshot_is_no_longer_than_a_string() {
    let snapshot = Session::new(Options::new().client_id("ident")).snapshot();
    for (len, is_valid) in [(65_535, true), (65_536, false)] {
        let client_id = [&(len as u32).to_be_bytes()[..], &vec![b'x'; len]].concat();
        let bytes = changed(&snapshot, b"\0\0\0\x05ident", &client_id);
        assert_eq!(Snapshot::from_bytes(&bytes).is_ok(), is_valid, "{len}");
    }
}

#[test]
fn attempts_belong_to_messages() {
    let snapshot = rich();
    // Without the attempts of one of three, the rest is read wrongly, or ends too early.
    let bytes = changed(&snapshot, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(Snapshot::from_bytes(&bytes), Err(SnapshotError::Corrupt));
}
