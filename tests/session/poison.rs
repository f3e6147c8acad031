//! Messages that one side cannot stand: the broker closes at one of ours, or the client has to refuse one of the broker's.

use mqtt_wasi::codec::{ConnackProperties, Disconnect, Packet, QoS, ReasonCode};
use mqtt_wasi::frame::FrameError;
use mqtt_wasi::session::{Event, OperationId, Session, Snapshot};
use mqtt_wasi::{CallError, Error, Options};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

// ---------------------------------------------------------------------------------------------------------------------
// Poison out

/// What a broker that closes at messages to `poison` says to these packets, before it closes or not.
fn answers(sent: &[Vec<u8>]) -> (Vec<Packet<'static>>, bool) {
    let mut answers = Vec::new();
    for bytes in sent {
        match Packet::decode(bytes).unwrap().unwrap().0 {
            Packet::Publish(message) if message.topic == "poison" => return (answers, true),
            Packet::Publish(message) => match message.qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => answers.push(puback(message.packet_id.unwrap().get())),
                QoS::ExactlyOnce => answers.push(pubrec(message.packet_id.unwrap().get())),
            },
            Packet::Pubrel(ack) => answers.push(pubcomp(ack.packet_id.get())),
            _ => {}
        }
    }
    (answers, false)
}

/// The broker gets what the client sends, over one connection, until it closes, or there is nothing more. `loses_answers`
/// says whether what it said before it closed is lost. Returns whether it closed.
fn one_connection(s: &mut Scenario, loses_answers: bool) -> bool {
    loop {
        let sent = s.take_sent();
        if sent.is_empty() {
            return false;
        }
        let (answers, closes) = answers(&sent);
        if !(closes && loses_answers) {
            s.broker_sends_all(&answers);
        }
        if closes {
            return true;
        }
    }
}

/// Runs until the broker closes no more; what happened, and how many connections that took.
fn to_the_end(s: &mut Scenario, session_present: bool, loses_answers: bool) -> (Vec<Event>, u32) {
    let mut events = Vec::new();
    for connections in 1..1_000 {
        let closes = one_connection(s, loses_answers);
        events.extend(s.take_events());
        if !closes {
            return (events, connections);
        }
        s.take_sent();
        s.reconnected(session_present);
        events.extend(s.take_events());
    }
    panic!("the client comes past the message");
}

fn given_up(events: &[Event]) -> Vec<(&str, u32)> {
    let given_up = events.iter().filter_map(|event| match event {
        Event::MessageGivenUp { topic, attempts } => Some((topic.as_str(), *attempts)),
        _ => None,
    });
    given_up.collect()
}

/// How each of these messages went.
fn results(events: &[Event], messages: &[Option<OperationId>]) -> Vec<Result<ReasonCode, Error>> {
    let result = |message: &Option<OperationId>| {
        events.iter().find_map(|event| match event {
            Event::Published { id, result } if Some(*id) == *message => {
                Some(result.clone().map(|reason| reason.reason_code))
            }
            _ => None,
        })
    };
    messages.iter().map(|message| result(message).expect("each message has an end")).collect()
}

#[test]
fn message_at_which_the_broker_closes_stops_no_other_for_ever() {
    for qos in [QOS_1, QOS_2] {
        for session_present in [true, false] {
            // Answers to those before it are lost in some networks, since the broker closes behind them.
            for loses_answers in [false, true] {
                let mut s = Scenario::connected();
                let messages: Vec<_> = (0..9)
                    .map(|n| {
                        let topic = if n == 4 { "poison" } else { "a" };
                        s.publish(if n == 4 { qos } else { [QOS_1, QOS_2][n % 2] }, topic, "1")
                    })
                    .collect();
                let (events, _) = to_the_end(&mut s, session_present, loses_answers);
                let [("poison", attempts)] = given_up(&events)[..] else { panic!("{:?}", given_up(&events)) };
                let results = results(&events, &messages);
                for (n, result) in results.iter().enumerate() {
                    let expected = if n == 4 { Err(Error::GivenUp { attempts }) } else { Ok(ReasonCode::Success) };
                    assert_eq!(*result, expected, "message {n}, {qos:?}, {session_present}, {loses_answers}");
                }
                let stats = s.session.stats();
                assert_eq!((stats.in_flight, stats.dropped), (0, 1));
                s.leave_the_rest();
            }
        }
    }
}

#[test]
fn message_is_given_up_by_default_after_a_hundred_connections() {
    let mut s = Scenario::connected();
    s.publish(QOS_1, "poison", "1");
    let (events, connections) = to_the_end(&mut s, true, false);
    assert_eq!((given_up(&events), connections), (vec![("poison", 100)], 101));
    s.leave_the_rest();
}

#[test]
fn message_at_qos_0_that_the_broker_never_reads_to_its_end_stops_no_other_for_ever() {
    let mut s = Scenario::connected_with(options().attempts_per_message(3), ConnackProperties::default());
    s.network_stalls();
    s.publish(QOS_0, "poison", &"x".repeat(1_000));
    s.publish(QOS_0, "behind", "1");
    for attempt in 1..=3 {
        s.network_takes(100);
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        if attempt == 3 {
            s.expect_event(Event::MessageGivenUp { topic: "poison".into(), attempts: 3 });
        }
        s.connect();
        s.expect_connect();
        s.network_stalls();
        s.broker_sends(connack(true, ConnackProperties::default()));
        s.expect_event(Event::Connected { session_present: true });
    }
    s.network_flows();
    s.expect_sent(publish(QOS_0, 0, "behind", "1"));
    assert_eq!(s.session.stats().dropped, 1);
    s.expect_usable();
}

#[test]
fn bound_may_be_lifted() {
    let mut s = Scenario::connected_with(options().attempts_per_message(u32::MAX), ConnackProperties::default());
    s.publish(QOS_1, "a", "1");
    for _ in 0..1_000 {
        s.take_sent();
        s.reconnected(true);
        assert_eq!(s.take_events(), []);
    }
    s.leave_the_rest();
}

#[test]
fn attempts_count_over_processes() {
    for qos in [QOS_1, QOS_2] {
        let bounded = || options().attempts_per_message(10);
        let mut s = Scenario::connected_with(bounded(), ConnackProperties::default());
        s.publish(qos, "poison", "1");
        s.publish(QOS_1, "behind", "2");
        for process in 1..=10 {
            s.take_sent();
            s.connection_is_lost();
            s.take_events();
            let snapshot = s.session.snapshot();
            s.leave_the_rest();
            s = Scenario::new(bounded().resume(Snapshot::from_bytes(&snapshot).unwrap()));
            s.takes_over(s.session.in_flight());
            assert_eq!(s.session.snapshot(), snapshot, "nothing was lost on the way");
            s.reconnected(true);
            let events = s.take_events();
            let expected = if process == 10 { vec![("poison", 10)] } else { vec![] };
            assert_eq!(given_up(&events), expected, "process {process}");
        }
        let sent = s.take_sent();
        assert_eq!(sent, [bytes(&resent(QOS_1, 2, "behind", "2"))]);
        s.leave_the_rest();
    }
}

#[test]
fn release_at_which_the_broker_closes_stops_nothing_for_ever() {
    let mut s = Scenario::connected_with(options().attempts_per_message(4), ConnackProperties::default());
    s.publish(QOS_2, "a", "1");
    s.publish(QOS_1, "behind", "2");
    s.take_sent();
    s.broker_sends(pubrec(1));
    for attempt in 1..=4 {
        let sent = s.take_sent();
        assert_eq!(sent[0], bytes(&pubrel(1)), "attempt {attempt}");
        s.reconnected(true);
    }
    let events = s.take_events();
    assert_eq!(given_up(&events), [("", 1)], "what the broker has of it is not known any more");
    s.expect_sent(resent(QOS_1, 2, "behind", "2"));
    s.leave_the_rest();
}

#[test]
fn messages_do_not_count_that_the_broker_has_nothing_of() {
    let mut s = Scenario::connected_with(options().attempts_per_message(1), ConnackProperties::default());
    s.network_stalls();
    s.publish(QOS_1, "a", "1");
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.network_flows();
    s.reconnected(true);
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    s.expect_no_event();
}

#[test]
fn releases_do_not_count_that_the_broker_has_nothing_of() {
    let mut s = Scenario::connected_with(options().attempts_per_message(1), ConnackProperties::default());
    s.publish(QOS_2, "a", "1");
    s.take_sent();
    s.network_stalls();
    s.broker_sends(pubrec(1));
    for _ in 0..5 {
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.network_flows();
        s.connect();
        s.expect_connect();
        s.network_stalls();
        s.broker_sends(connack(true, ConnackProperties::default()));
        s.expect_event(Event::Connected { session_present: true });
    }
    s.network_flows();
    s.expect_sent(pubrel(1));
    s.expect_no_event();
}

#[test]
fn connections_do_not_count_that_end_for_another_reason() {
    let mut s = Scenario::connected_with(options().attempts_per_message(1), ConnackProperties::default());
    s.publish(QOS_1, "a", "1");
    s.take_sent();
    for reason_code in [ReasonCode::ServerShuttingDown, ReasonCode::SessionTakenOver, ReasonCode::UseAnotherServer] {
        s.broker_sends(disconnect(reason_code));
        assert_eq!(s.take_events().len(), 1);
        s.connection_is_lost();
        s.reconnected(true);
        s.expect_sent(resent(QOS_1, 1, "a", "1"));
    }
    // The user.
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.take_sent();
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    // A message of the broker's that is none.
    s.broker_sends_bytes(b"\x30\x04\x00\x01\xFF\x00");
    s.take_events();
    s.take_sent();
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    // And one that may be about the message.
    s.broker_sends(disconnect(ReasonCode::PacketTooLarge));
    s.take_events();
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_event(Event::MessageGivenUp { topic: "a".into(), attempts: 6 });
    s.leave_the_rest();
}

#[test]
fn messages_are_one_by_one_once_half_of_the_attempts_are_made() {
    let mut s = Scenario::connected_with(options().attempts_per_message(4), ConnackProperties::default());
    for payload in ["1", "2", "3"] {
        s.publish(QOS_1, "a", payload);
    }
    for _ in 0..2 {
        s.take_sent();
        s.reconnected(true);
    }
    assert_eq!(s.take_sent().len(), 3, "at once");
    s.reconnected(true);
    for n in 1..=3 {
        s.expect_sent(resent(QOS_1, n, "a", &n.to_string()));
        s.expect_nothing_sent();
        if n < 3 {
            assert_eq!(s.try_publish(&mqtt_wasi::Publish::new("b", "").qos(QOS_1)), Err(CallError::WouldBlock));
        }
        s.broker_sends(puback(n));
    }
    assert_eq!(s.take_events().len(), 3);
    s.expect_usable();
}

// ---------------------------------------------------------------------------------------------------------------------
// What is in flight

#[test]
fn what_is_in_flight_can_be_listed_and_given_up() {
    let mut s = Scenario::connected();
    let messages = [QOS_1, QOS_2, QOS_2].map(|qos| s.publish(qos, "a", "1"));
    s.broker_sends(pubrec(3));
    s.take_sent();
    let list = s.session.messages_in_flight();
    let told: Vec<_> = list.iter().map(|listed| (listed.message.topic.as_str(), listed.message.qos)).collect();
    assert_eq!(told, [("", QOS_0), ("a", QOS_1), ("a", QOS_2)], "the first has arrived");
    assert!(list.iter().all(|listed| listed.attempts == 1));
    for (listed, message) in list.iter().zip([messages[2], messages[0], messages[1]]) {
        assert!(s.give_up(listed.id));
        s.expect_event(Event::Published { id: message.unwrap(), result: Err(Error::GivenUp { attempts: 1 }) });
        assert!(!s.give_up(listed.id), "only once");
    }
    assert_eq!(s.session.in_flight(), 0);
    // What the broker says to them is no news, and no mistake.
    s.broker_sends_all(&[puback(1), pubrec(2), pubcomp(3)]);
    s.expect_sent(Packet::Pubrel(ack(2, ReasonCode::PacketIdentifierNotFound)));
    s.broker_sends(Packet::Pubcomp(ack(2, ReasonCode::PacketIdentifierNotFound)));
    s.expect_no_event();
    s.expect_usable();
}

#[test]
fn message_that_was_given_up_counts_until_it_is_answered() {
    for (qos, answer) in [(QOS_1, puback(1)), (QOS_2, Packet::Pubrec(ack(1, ReasonCode::QuotaExceeded)))] {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut s = Scenario::connected_with(options(), terms);
        s.publish(qos, "a", "1");
        s.take_sent();
        let id = s.session.messages_in_flight()[0].id;
        assert!(s.give_up(id));
        s.take_events();
        let another = mqtt_wasi::Publish::new("a", "2").qos(QOS_1);
        assert_eq!(s.try_publish(&another), Err(CallError::WouldBlock), "the broker takes one at a time");
        s.broker_sends(answer);
        s.expect_no_event();
        assert!(s.try_publish(&another).is_ok());
        s.leave_the_rest();
    }
}

#[test]
fn message_that_was_given_up_is_not_sent_again() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.publish(qos, "a", "1");
        s.publish(qos, "a", "2");
        s.take_sent();
        let id = s.session.messages_in_flight()[0].id;
        s.connection_is_lost();
        assert!(s.give_up(id));
        s.take_events();
        s.reconnected(true);
        s.expect_sent(resent(qos, 2, "a", "2"));
        s.leave_the_rest();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Poison in

/// A PUBLISH with these flags and this body.
fn raw(qos: u8, body: &[u8]) -> Vec<u8> {
    [&[0x30 | qos << 1, u8::try_from(body.len()).unwrap()], body].concat()
}

/// Bodies of messages that have to be refused, with the Packet Identifier 7 where they have one.
fn bodies(qos: u8) -> Vec<Vec<u8>> {
    let with = |topic: &[u8], rest: &[u8]| {
        let id: &[u8] = if qos > 0 { &[0, 7] } else { &[] };
        [&[0, u8::try_from(topic.len()).unwrap()], topic, id, rest].concat()
    };
    vec![
        with(b"\xFF", b"\x00"),
        with(b"a\0", b"\x00"),
        with(b"a/#", b"\x00"),
        with(b"", b"\x00"),
        // An unknown property, one twice, one for another packet, one that is not well-formed, one behind the end.
        with(b"a", b"\x02\x7F\x00"),
        with(b"a", b"\x04\x01\x00\x01\x00"),
        with(b"a", b"\x02\x24\x01"),
        with(b"a", b"\x04\x03\x00\x01\xFF"),
        with(b"a", b"\x7F\x00"),
        // A Topic Alias that was not allowed.
        with(b"a", b"\x03\x23\x00\x05"),
    ]
}

fn skipping() -> Options {
    options().skip_refused_messages(true)
}

fn refusal(qos: u8, packet_id: u16) -> Packet<'static> {
    let ack = ack(packet_id, ReasonCode::PayloadFormatInvalid);
    if qos == 1 { Packet::Puback(ack) } else { Packet::Pubrec(ack) }
}

#[track_caller]
fn expect_skipped(s: &mut Scenario) -> (Option<String>, Error) {
    match s.take_events().pop() {
        Some(Event::MessageRefused { topic, error, is_skipped: true, .. }) => (topic, error),
        other => panic!("a message should be skipped, not {other:?}"),
    }
}

#[test]
fn messages_that_have_to_be_refused_are_skipped_if_the_options_say_so() {
    for qos in 0..=2 {
        for body in bodies(qos) {
            let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
            s.observer.broker_is_hostile = true;
            s.broker_sends_bytes(&raw(qos, &body));
            expect_skipped(&mut s);
            if qos > 0 {
                s.expect_sent(refusal(qos, 7));
            }
            assert_eq!(s.session.stats().skipped, 1, "{body:X?}");
            s.broker_sends(publish(QOS_1, 7, "b", "2"));
            s.expect_message("b", "2");
            s.expect_sent(puback(7));
            s.expect_usable();
        }
    }
}

#[test]
fn messages_that_have_to_be_refused_end_the_connection_by_default() {
    for qos in 0..=2 {
        for body in bodies(qos) {
            let mut s = Scenario::connected();
            s.broker_sends_bytes(&raw(qos, &body));
            s.expect_no_message();
            let events = s.take_events();
            assert!(matches!(events[..], [Event::Disconnected(_)]), "{body:X?}: {events:?}");
            s.leave_the_rest();
        }
    }
}

#[test]
fn messages_are_not_skipped_that_cannot_be_acknowledged() {
    for bytes in [
        // QoS 3, no Packet Identifier, a Packet Identifier of 0, a Topic Name that reaches too far.
        &b"\x36\x06\x00\x01a\x00\x07\x00"[..],
        b"\x32\x03\x00\x01a",
        b"\x32\x06\x00\x01a\x00\x00\x00",
        b"\x34\x06\x00\x09a\x00\x07\x00",
    ] {
        let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
        s.broker_sends_bytes(bytes);
        s.expect_no_message();
        let events = s.take_events();
        assert!(matches!(events[..], [Event::Disconnected(_)]), "{bytes:X?}: {events:?}");
        s.leave_the_rest();
    }
}

#[test]
fn other_packets_are_never_skipped() {
    // PUBACK with a Reason Code that there is not, a packet of type 0, and PUBREL with the wrong flags.
    for bytes in [&b"\x40\x03\x00\x01\x01"[..], b"\x00\x00", b"\x60\x02\x00\x07"] {
        let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
        s.broker_sends_bytes(bytes);
        let events = s.take_events();
        assert!(matches!(events[..], [Event::Disconnected(_)]), "{bytes:X?}: {events:?}");
        s.leave_the_rest();
    }
}

#[test]
fn what_is_wrong_with_a_message_is_told_with_its_place() {
    let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
    s.observer.broker_is_hostile = true;
    s.broker_sends_bytes(&raw(0, b"\x00\x03a/b\x04\x03\x00\x01\xFF"));
    let (topic, error) = expect_skipped(&mut s);
    assert_eq!(topic.as_deref(), Some("a/b"));
    let text = error.to_string();
    for part in ["PUBLISH", "Content Type", "byte 10", "UTF-8"] {
        assert!(text.contains(part), "{text}");
    }
    s.expect_usable();
}

#[test]
fn refusals_keep_the_order_of_acknowledgements() {
    let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
    s.observer.broker_is_hostile = true;
    let poison = raw(1, b"\x00\x02a\0\x00\x07\x00");
    let packets = [bytes(&publish(QOS_1, 6, "b", "1")), poison, bytes(&publish(QOS_1, 8, "b", "2"))];
    s.broker_sends_bytes(&packets.concat());
    expect_skipped(&mut s);
    s.expect_nothing_sent();
    s.expect_message("b", "1");
    s.expect_sent_all(&[puback(6), refusal(1, 7)]);
    s.expect_message("b", "2");
    s.expect_sent(puback(8));

    // The same where they are acknowledged by hand.
    s.broker_sends_bytes(&packets.concat());
    let deliveries = [1, 2].map(|_| s.receive_unacknowledged().unwrap().1.unwrap());
    s.expect_nothing_sent();
    assert!(s.acknowledge(deliveries[1]));
    s.expect_nothing_sent();
    assert!(s.acknowledge(deliveries[0]));
    s.expect_sent_all(&[puback(6), refusal(1, 7), puback(8)]);
    s.take_events();
    s.expect_usable();
}

#[test]
fn refused_messages_count_against_the_receive_maximum_until_they_are_refused() {
    let options = skipping().receive_maximum(2);
    let mut s = Scenario::connected_with(options, ConnackProperties::default());
    s.observer.broker_is_hostile = true;
    for _ in 0..10 {
        for qos in [1, 2] {
            s.broker_sends_bytes(&raw(qos, b"\x00\x02a\0\x00\x07\x00"));
            s.expect_sent(refusal(qos, 7));
        }
    }
    s.take_events();
    s.expect_usable();
}

#[test]
fn message_over_the_maximum_packet_size_is_skipped_with_little_memory() {
    for (qos, len, piece) in
        [(0, 5_000_000, 1 << 20), (1, 5_000_000, 1 << 20), (2, 70_000, 1_000), (1, 200, 1), (2, 150, 1 << 20)]
    {
        let options = skipping().maximum_packet_size(100);
        let mut s = Scenario::connected_with(options, ConnackProperties::default());
        s.observer.broker_is_hostile = true;
        s.network_delivers_pieces_of(piece);
        let payload = "x".repeat(len);
        s.broker_sends(publish([QOS_0, QOS_1, QOS_2][qos], if qos == 0 { 0 } else { 7 }, "large", &payload));
        let (topic, error) = expect_skipped(&mut s);
        assert_eq!(topic.as_deref(), Some("large"));
        assert!(matches!(error, Error::Malformed(FrameError::PacketTooLarge { maximum: 100, .. })), "{error:?}");
        if qos > 0 {
            s.expect_sent(refusal(u8::try_from(qos).unwrap(), 7));
        }
        s.broker_sends(publish(QOS_1, 7, "b", "2"));
        s.expect_message("b", "2");
        s.expect_sent(puback(7));
        s.expect_usable();
    }
}

#[test]
fn message_over_the_maximum_packet_size_is_skipped_behind_messages_that_wait() {
    let mut s = Scenario::connected_with(skipping().maximum_packet_size(100), ConnackProperties::default());
    s.observer.broker_is_hostile = true;
    let large = "x".repeat(100_000);
    let packets = [publish(QOS_1, 6, "b", "1"), publish(QOS_1, 7, "large", &large), publish(QOS_1, 8, "b", "2")];
    s.broker_sends_all(&packets);
    s.broker_sends_all(&[publish(QOS_0, 0, "b", "3"), publish(QOS_0, 0, "large", &large), publish(QOS_0, 0, "b", "4")]);
    s.expect_nothing_sent();
    for payload in ["1", "2", "3", "4"] {
        s.expect_message("b", payload);
    }
    s.expect_sent_all(&[puback(6), refusal(1, 7), puback(8)]);
    s.take_events();
    assert_eq!(s.session.stats().skipped, 2);
    s.expect_usable();
}

#[test]
fn message_over_the_maximum_packet_size_whose_head_is_none_is_not_waited_for() {
    let mut s = Scenario::connected_with(skipping().maximum_packet_size(10), ConnackProperties::default());
    // Its Topic Name is longer than the packet.
    s.broker_sends_bytes(&[&b"\x32\x20\xFF\xFF"[..], &[b'x'; 30]].concat());
    let events = s.take_events();
    assert!(matches!(events[..], [Event::Disconnected(_)]), "{events:?}");
    s.leave_the_rest();
}

#[test]
fn skipped_message_is_forgotten_with_its_connection() {
    let mut s = Scenario::connected_with(skipping().maximum_packet_size(100), ConnackProperties::default());
    s.observer.broker_is_hostile = true;
    // The connection is lost in the middle of it.
    s.broker_sends_bytes(&bytes(&publish(QOS_1, 7, "large", &"x".repeat(1_000)))[..500]);
    s.expect_sent(refusal(1, 7));
    s.take_events();
    s.reconnected(true);
    s.broker_sends(publish(QOS_1, 8, "b", "2"));
    s.expect_message("b", "2");
    s.expect_sent(puback(8));
    s.expect_usable();
}

#[test]
fn many_messages_that_are_skipped_make_few_events() {
    let mut s = Scenario::connected_with(skipping(), ConnackProperties::default());
    let mut many = Vec::new();
    for n in 0..10_000u32 {
        // Each is wrong in another way than the one before.
        many.extend(raw(0, if n % 2 == 0 { b"\x00\x02a\0\x00" } else { b"\x00\x01\xFF\x00" }));
    }
    s.observer.broker_is_hostile = true;
    s.broker_sends_bytes(&many);
    assert!(s.take_events().len() < 100);
    assert_eq!(s.session.stats().skipped, 10_000);
    s.expect_usable();
}

#[test]
fn message_that_is_refused_over_connection_after_connection_is_told_of() {
    let mut s = Scenario::connected();
    let mut told = Vec::new();
    for _ in 0..8 {
        s.broker_sends_bytes(&raw(1, b"\x00\x01a\x00\x07\x02\x7F\x00"));
        s.expect_no_message();
        told.extend(s.take_events().into_iter().filter_map(|event| match event {
            Event::MessageRefused { topic, times, is_skipped: false, .. } => Some((topic.unwrap(), times)),
            _ => None,
        }));
        s.take_sent();
        s.connection_is_lost();
        s.reconnected(true);
    }
    assert_eq!(told, [("a".to_owned(), 2), ("a".to_owned(), 4), ("a".to_owned(), 8)]);
    s.leave_the_rest();
}

/// Session without a story.
#[test]
fn nothing_is_in_flight_before_there_is_a_connection() {
    let mut session = Session::new(options());
    assert!(session.messages_in_flight().is_empty());
    assert!(!session.give_up_message(1));
}
