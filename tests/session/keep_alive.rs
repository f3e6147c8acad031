//! Keep Alive (section 3.1.2.10), with the PINGREQ and PINGRESP that serve it (sections 3.12 and 3.13).

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Packet, QoS, ReasonCode};
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{Error, Options};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A client with a Keep Alive of 60 seconds: it pings 5 seconds early and waits 30 seconds, then one more.
fn with_keep_alive_of_60() -> Scenario {
    let s = Scenario::connected_with(options().keep_alive(60), Default::default());
    s.expect_deadline_in(secs(55));
    s
}

/// The same, with a ping just sent.
fn with_ping_out() -> Scenario {
    let mut s = with_keep_alive_of_60();
    s.wait(secs(55));
    s.expect_sent(Packet::Pingreq);
    s
}

#[test]
fn quiet_client_pings_before_the_keep_alive_ends() {
    let mut s = with_keep_alive_of_60();
    for _ in 0..3 {
        s.wait(millis(54_999));
        s.expect_nothing_sent();
        s.wait(millis(1));
        s.expect_sent(Packet::Pingreq);
        s.broker_sends(Packet::Pingresp);
    }
}

#[test]
fn ping_is_never_later_than_the_keep_alive_whatever_that_is() {
    for keep_alive in (1..20).chain([60, 3600, u16::MAX]) {
        let mut s = Scenario::connected_with(options().keep_alive(keep_alive), Default::default());
        let early = secs(keep_alive.into()) / 4;
        s.wait(secs(keep_alive.into()) - early.min(secs(5)));
        s.expect_sent(Packet::Pingreq);
        s.broker_sends(Packet::Pingresp);
    }
}

#[test]
fn busy_client_does_not_ping() {
    let mut s = with_keep_alive_of_60();
    for _ in 0..10 {
        s.wait(secs(50));
        s.publish(QOS_0, "a", "1");
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
        s.broker_sends(publish(QOS_0, 0, "b", "2"));
        s.expect_message("b", "2");
    }
}

#[test]
fn client_that_only_receives_pings() {
    let mut s = with_keep_alive_of_60();
    for _ in 0..5 {
        s.wait(secs(10));
        s.broker_sends(publish(QOS_0, 0, "b", "2"));
        s.expect_message("b", "2");
    }
    s.wait(secs(5));
    s.expect_sent(Packet::Pingreq);
}

#[test]
fn client_that_only_sends_pings_and_finds_the_connection_dead() {
    let mut s = with_keep_alive_of_60();
    for _ in 0..5 {
        s.wait(secs(10));
        s.publish(QOS_0, "a", "1");
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
    }
    s.wait(secs(5));
    s.expect_sent(Packet::Pingreq);
    for _ in 0..3 {
        s.wait(secs(10));
        s.publish(QOS_0, "a", "1");
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
    }
    s.wait(secs(1));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
}

#[test]
fn acknowledgements_keep_the_connection_alive_as_messages_do() {
    let mut s = with_keep_alive_of_60();
    for _ in 0..10 {
        s.wait(secs(50));
        s.broker_sends(publish(QoS::AtLeastOnce, 1, "b", "2"));
        s.expect_message("b", "2");
        s.expect_sent(puback(1));
    }
}

#[test]
fn calls_that_move_no_bytes_do_not_put_the_ping_off() {
    let mut s = with_keep_alive_of_60();
    // Each wait ends with a driver's report of nothing sent and nothing received.
    for _ in 0..55 {
        s.wait(secs(1));
    }
    s.expect_sent(Packet::Pingreq);
}

#[test]
fn slow_connack_does_not_put_the_ping_off() {
    let mut s = Scenario::new(options().keep_alive(60));
    s.connect();
    s.expect_connect();
    s.wait(secs(9));
    s.broker_sends(connack(false, Default::default()));
    s.expect_event(Event::Connected { session_present: false });
    s.expect_deadline_in(secs(55 - 9));
    s.wait(secs(55 - 9));
    s.expect_sent(Packet::Pingreq);
}

#[test]
fn server_keep_alive_wins() {
    let terms = |seconds| ConnackProperties { server_keep_alive: Some(seconds), ..Default::default() };
    let keep_alive = |seconds| options().keep_alive(seconds);
    for (asked, given, deadline) in [(60, 20, 15), (20, 60, 55), (0, 20, 15)] {
        Scenario::connected_with(keep_alive(asked), terms(given)).expect_deadline_in(secs(deadline));
    }
    assert_eq!(Scenario::connected_with(keep_alive(60), terms(0)).session.deadline(), None);
}

#[test]
fn server_keep_alive_of_one_connection_is_not_that_of_the_next() {
    let terms = ConnackProperties { server_keep_alive: Some(20), ..Default::default() };
    let mut s = Scenario::connected_with(options().keep_alive(60), terms);
    s.expect_deadline_in(secs(15));
    s.reconnected(true);
    s.expect_deadline_in(secs(55));
}

#[test]
fn without_keep_alive_there_is_nothing_to_wait_for() {
    let mut s = Scenario::connected_with(options().keep_alive(0), Default::default());
    assert_eq!(s.session.deadline(), None);
    s.wait(secs(1_000_000));
    s.expect_usable();
}

#[test]
fn timers_end_with_the_connection() {
    let mut s = with_ping_out();
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.wait(secs(1000));
    s.expect_no_event();
    s.reconnected(true);
    s.expect_deadline_in(secs(55));
}

#[test]
fn ping_that_is_not_answered_ends_the_connection() {
    let mut s = with_ping_out();
    s.wait(millis(30_999));
    s.expect_status(Status::Connected);
    s.wait(millis(1));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
    s.expect_status(Status::Closing);
    s.connection_is_lost();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn late_answer_is_an_answer() {
    let mut s = with_ping_out();
    s.wait(millis(30_999));
    s.broker_sends(Packet::Pingresp);
    // 55 seconds after PINGREQ, which the broker counts from.
    s.expect_deadline_in(millis(55_000 - 30_999));
}

#[test]
fn anything_that_arrives_gives_the_answer_all_its_time_again() {
    let mut s = with_ping_out();
    for _ in 0..3 {
        s.wait(millis(30_500));
        s.broker_sends(publish(QOS_0, 0, "a", "1"));
        s.expect_message("a", "1");
    }
    assert_eq!(s.take_sent().len(), 1, "another PINGREQ");
    s.wait(millis(30_999));
    s.expect_status(Status::Connected);
    s.wait(millis(1));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn messages_that_come_in_do_not_hide_for_ever_that_nothing_gets_out() {
    let mut s = with_ping_out();
    for _ in 0..11 {
        s.wait(secs(20));
        s.broker_sends(publish(QOS_0, 0, "a", "1"));
        s.expect_message("a", "1");
    }
    s.expect_status(Status::Connected);
    s.take_sent();
    s.wait(secs(12));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn answer_that_nobody_asked_for_changes_nothing() {
    let mut s = with_keep_alive_of_60();
    s.broker_sends_all(&[Packet::Pingresp; 3]);
    s.expect_deadline_in(secs(55));
}

#[test]
fn answer_behind_a_packet_that_takes_its_time_is_waited_for() {
    let mut s = with_ping_out();
    let message = bytes(&publish(QOS_0, 0, "a", &"x".repeat(1000)));
    for piece in message.chunks(100) {
        s.wait(secs(20));
        s.broker_sends_bytes(piece);
    }
    s.broker_sends(Packet::Pingresp);
    s.expect_message("a", &"x".repeat(1000));
    s.expect_sent_all(&[Packet::Pingreq; 4]);
    s.expect_status(Status::Connected);
}

#[test]
fn ping_goes_on_while_an_answer_is_late() {
    // A broker that takes 1.9 seconds for an answer still closes after 1.5 seconds of silence.
    let mut s = Scenario::connected_with(options().keep_alive(1), Default::default());
    s.wait(millis(750));
    s.expect_sent(Packet::Pingreq);
    s.wait(millis(750));
    s.expect_sent(Packet::Pingreq);
    s.wait(millis(400));
    s.broker_sends(Packet::Pingresp);
    s.wait(millis(350));
    s.expect_sent(Packet::Pingreq);
}

#[test]
fn pings_that_are_never_answered_end_the_connection_however_many_they_are() {
    for keep_alive in 1..10 {
        let mut s = Scenario::connected_with(options().keep_alive(keep_alive), Default::default());
        s.wait(secs(u64::from(keep_alive) * 2 + 2));
        s.expect_disconnected(Error::KeepAliveTimeout);
        s.take_sent();
    }
}

#[test]
fn caller_that_was_away_is_not_cut_off_with_the_answer_unread() {
    let mut s = with_ping_out();
    s.caller_leaves();
    s.broker_sends(Packet::Pingresp);
    s.wait(secs(40));
    s.caller_returns();
    s.expect_status(Status::Connected);
    s.expect_nothing_sent();
    s.expect_deadline_in(secs(15));
}

#[test]
fn caller_that_was_away_with_no_answer_to_read_finds_out_soon() {
    let mut s = with_ping_out();
    s.caller_leaves();
    s.wait(secs(1000));
    s.caller_returns();
    s.expect_sent(Packet::Pingreq);
    s.wait(secs(1));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
}

#[test]
fn caller_that_was_away_pings_first_of_all() {
    let mut s = with_keep_alive_of_60();
    s.caller_leaves();
    s.wait(secs(1000));
    s.caller_returns();
    s.expect_sent(Packet::Pingreq);
    s.broker_sends(Packet::Pingresp);
    s.expect_deadline_in(secs(55));
}

/// A client that reads nothing, with so much to receive.
fn paused(options: Options) -> Scenario {
    let mut s = Scenario::connected_with(options.backlog_limit(1), Default::default());
    s.broker_sends(publish(QOS_0, 0, "a", "1"));
    assert!(!s.is_reading());
    s
}

#[test]
fn answer_that_is_not_read_is_not_missed() {
    let mut s = paused(options().keep_alive(60));
    s.wait(secs(55));
    s.expect_sent(Packet::Pingreq);
    s.broker_sends(Packet::Pingresp);
    s.wait(secs(550));
    s.expect_status(Status::Connected);
    s.expect_sent_all(&[Packet::Pingreq; 10]);
    s.expect_message("a", "1");
    s.expect_usable();
}

#[test]
fn connection_that_died_while_nothing_was_read_is_found_dead_then() {
    let mut s = paused(options().keep_alive(60));
    s.wait(secs(1000));
    s.expect_status(Status::Connected);
    s.take_sent();
    s.expect_message("a", "1");
    s.wait(secs(87));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn ping_that_waits_behind_bytes_that_move_is_not_given_up() {
    let mut s = with_keep_alive_of_60();
    s.network_stalls();
    s.publish(QOS_0, "a", &"x".repeat(1000));
    s.wait(secs(55));
    for _ in 0..20 {
        s.wait(secs(29));
        s.network_takes(40);
    }
    s.network_flows();
    s.expect_sent_all(&[publish(QOS_0, 0, "a", &"x".repeat(1000)), Packet::Pingreq]);
    s.wait(secs(29));
    s.broker_sends(Packet::Pingresp);
    s.expect_deadline_in(secs(55 - 29));
}

#[test]
fn ping_that_waits_behind_bytes_that_do_not_move_is_given_up() {
    let mut s = with_keep_alive_of_60();
    s.network_stalls();
    s.publish(QOS_0, "a", "1");
    s.wait(secs(55 + 31));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.network_flows();
    s.expect_one_write(&[publish(QOS_0, 0, "a", "1"), Packet::Pingreq, disconnect(ReasonCode::UnspecifiedError)]);
}

#[test]
fn one_ping_waits_at_most() {
    let mut s = paused(options().keep_alive(60));
    s.network_stalls();
    s.wait(secs(100_000));
    assert_eq!(s.waiting_to_be_sent(), bytes(&Packet::Pingreq).len());
    s.network_flows();
    s.expect_sent(Packet::Pingreq);
    s.expect_message("a", "1");
}

/// A slow link: 6 MB take 55 seconds.
const SECONDS: usize = 55;
const BYTES_PER_SECOND: usize = 110_000;

/// A client with a Keep Alive of 10 seconds, over such a link: it pings after 7.5 seconds, and waits 5 and one more.
fn over_a_slow_link() -> Scenario {
    Scenario::connected_with(options().keep_alive(10), Default::default())
}

/// What the broker sends takes its time. The client pings meanwhile, and the answer is behind it.
fn comes_over_the_slow_link(s: &mut Scenario, bytes: &[u8], a_second: usize) {
    for piece in bytes.chunks(a_second) {
        s.wait(secs(1));
        s.broker_sends_bytes(piece);
    }
    s.expect_status(Status::Connected);
    s.broker_sends(Packet::Pingresp);
    let pings = s.take_sent();
    assert!(!pings.is_empty() && pings.iter().all(|sent| *sent == bytes_of_a_ping()), "pings alone");
}

fn bytes_of_a_ping() -> Vec<u8> {
    bytes(&Packet::Pingreq)
}

#[test]
fn message_that_takes_longer_than_the_keep_alive_arrives() {
    for qos in [QOS_0, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut s = over_a_slow_link();
        let payload = "x".repeat(SECONDS * BYTES_PER_SECOND);
        let packet_id = u16::from(qos != QOS_0);
        comes_over_the_slow_link(&mut s, &bytes(&publish(qos, packet_id, "a", &payload)), BYTES_PER_SECOND);
        s.expect_message("a", &payload);
        assert_eq!(s.take_sent().len(), usize::from(packet_id));
        s.expect_status(Status::Connected);
    }
}

#[test]
fn message_that_hardly_moves_arrives_all_the_same() {
    let mut s = over_a_slow_link();
    let message = bytes(&publish(QOS_0, 0, "a", &"x".repeat(300)));
    for piece in message.chunks(10) {
        s.wait(secs(4));
        s.broker_sends_bytes(piece);
    }
    s.broker_sends(Packet::Pingresp);
    s.expect_message("a", &"x".repeat(300));
    s.expect_status(Status::Connected);
    s.take_sent();
}

#[test]
fn messages_that_come_without_a_pause_are_waited_for_as_one_is() {
    let mut s = over_a_slow_link().receiving_at_once();
    let message = bytes(&publish(QOS_0, 0, "a", &"x".repeat(1000)));
    comes_over_the_slow_link(&mut s, &message.repeat(SECONDS * 100), BYTES_PER_SECOND);
    let mut messages = 0;
    while s.receive().is_some() {
        messages += 1;
    }
    assert_eq!(messages, SECONDS * 100);
}

#[test]
fn broker_that_says_much_and_answers_no_ping_is_given_up() {
    let mut s = over_a_slow_link().receiving_at_once();
    let message = bytes(&publish(QOS_0, 0, "a", &"x".repeat(100_000)));
    for _ in 0..200 {
        s.wait(secs(1));
        s.broker_sends_bytes(&message);
        while s.receive().is_some() {}
    }
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn message_that_stops_on_the_way_is_not_waited_for() {
    let mut s = over_a_slow_link();
    let message = bytes(&publish(QOS_0, 0, "a", &"x".repeat(1000)));
    for piece in message[..500].chunks(20) {
        s.wait(secs(3));
        s.broker_sends_bytes(piece);
    }
    s.wait(millis(5_999));
    s.expect_status(Status::Connected);
    s.wait(millis(1));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn answer_waits_until_the_broker_has_read_what_the_system_took() {
    for qos in [QOS_0, QoS::AtLeastOnce] {
        let mut s = over_a_slow_link();
        let payload = "x".repeat(SECONDS * BYTES_PER_SECOND);
        s.publish(qos, "a", &payload);
        // The system takes it at once, and PINGREQ behind it; the broker reads both as they come.
        s.expect_sent(publish(qos, u16::from(qos != QOS_0), "a", &payload));
        s.wait(secs(SECONDS as u64));
        s.expect_status(Status::Connected);
        assert!(s.take_sent().iter().all(|sent| *sent == bytes_of_a_ping()));
        s.broker_sends(Packet::Pingresp);
        if qos != QOS_0 {
            s.broker_sends(puback(1));
            assert_eq!(s.take_events().len(), 1);
        }
        // From here on nothing is in between, and a dead link is found as soon as ever.
        s.wait(millis(7_500));
        s.expect_sent(Packet::Pingreq);
        s.wait(secs(6));
        s.expect_disconnected(Error::KeepAliveTimeout);
        s.take_sent();
    }
}

#[test]
fn link_that_dies_with_much_in_it_is_found_dead() {
    let mut s = over_a_slow_link();
    s.publish(QOS_0, "a", &"x".repeat(6_000_000));
    s.wait(secs(300));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();

    // So much that most of it must have got through, which tells how fast the link is.
    let mut s = over_a_slow_link();
    for _ in 0..100 {
        s.publish(QOS_0, "a", &"x".repeat(1_000_000));
        s.wait(millis(100));
    }
    s.wait(secs(20));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn what_the_broker_has_answered_is_not_waited_for() {
    let mut s = over_a_slow_link();
    for _ in 0..20 {
        let message = s.publish(QoS::AtLeastOnce, "a", &"x".repeat(300_000));
        let sent = s.take_sent().pop().expect("PUBLISH");
        let Some((Packet::Publish(sent), _)) = Packet::decode(&sent).unwrap() else { panic!("PUBLISH") };
        s.broker_sends(puback(sent.packet_id.expect("QoS 1").get()));
        s.expect_published(message, ReasonCode::Success);
    }
    s.wait(millis(7_500));
    s.expect_sent(Packet::Pingreq);
    s.wait(secs(6));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.take_sent();
}

#[test]
fn ping_among_bytes_that_move_is_not_given_up() {
    let mut s = over_a_slow_link();
    s.wait(millis(7_500));
    s.expect_sent(Packet::Pingreq);
    // More is to be sent than the system takes, so that it takes as much as gets through.
    s.network_stalls();
    s.publish(QOS_0, "a", &"x".repeat(2_000));
    s.network_takes(1);
    for _ in 0..30 {
        s.wait(secs(4));
        s.network_takes(40);
    }
    s.expect_status(Status::Connected);
    s.broker_sends(Packet::Pingresp);
    s.network_flows();
    s.take_sent();
    s.expect_status(Status::Connected);
}
