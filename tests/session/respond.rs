//! A responder: which requests it hands out, what it sends back, and when it acknowledges (section 4.10).

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, PublishProperties, QoS, ReasonCode};
use mqtt_wasi::session::Event;
use mqtt_wasi::{CallError, Error, Options, Reply, Request, Responder};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

const SECOND: Duration = Duration::from_secs(1);
const EVER: Duration = Duration::MAX;

/// A client that answers requests.
struct Story {
    s: Scenario,
    responder: Responder,
}

impl Story {
    fn new(responder: Responder) -> Self {
        Self::with(responder, options(), ConnackProperties::default())
    }

    fn with(responder: Responder, options: Options, terms: ConnackProperties<'_>) -> Self {
        // No pings in between.
        Self { s: Scenario::connected_with(options.keep_alive(0), terms), responder }
    }

    fn take(&mut self) -> Option<Request> {
        self.s.call(|session, now| self.responder.take(session, now))
    }

    /// The next request, which says this, is handed out.
    #[track_caller]
    fn expect_request(&mut self, payload: &str) -> Request {
        let request = self.take().unwrap_or_else(|| panic!("{payload} should be handed out"));
        assert_eq!(String::from_utf8_lossy(&request.message().payload), payload);
        request
    }

    /// Nothing is handed out.
    #[track_caller]
    fn expect_no_request(&mut self) {
        assert_eq!(self.take(), None);
    }

    fn reply(&mut self, request: &Request, payload: &str) -> Result<(), CallError> {
        self.s.call(|session, now| self.responder.reply(session, request, &Reply::new(payload), now))
    }

    fn flush(&mut self) {
        self.s.call(|session, now| self.responder.flush(session, now));
    }

    /// The broker acknowledges a reply at QoS 1.
    #[track_caller]
    fn broker_acknowledges(&mut self, packet_id: u16) {
        self.s.broker_sends(puback(packet_id));
        let events = self.s.take_events();
        assert!(matches!(&events[..], [Event::Published { result: Ok(_), .. }]), "{events:?}");
    }

    /// Replies that were sent, requests that came again, and replies that were not sent.
    fn stats(&self) -> (u64, u64, u64) {
        let stats = self.responder.stats();
        (stats.replied, stats.duplicates, stats.expired)
    }
}

fn story() -> Story {
    Story::new(Responder::new())
}

/// A request at QoS 1 with this Correlation Data, for a reply to `r`.
fn asked<'a>(packet_id: u16, correlation: &'a str, payload: &'a str) -> Publish<'a> {
    let properties = PublishProperties {
        response_topic: Some("r"),
        correlation_data: Some(correlation.as_bytes()),
        ..Default::default()
    };
    message(QOS_1, packet_id, "q", payload).properties(properties)
}

/// The same, to be answered within so many seconds.
fn within<'a>(seconds: u32, request: Publish<'a>) -> Publish<'a> {
    request.properties(PublishProperties { message_expiry_interval: Some(seconds), ..request.properties })
}

fn again(request: Publish<'_>) -> Packet<'_> {
    Packet::Publish(Publish { dup: true, ..request })
}

/// The reply at QoS 1 to a request with this Correlation Data.
fn answer<'a>(packet_id: u16, correlation: &'a str, payload: &'a str) -> Packet<'a> {
    let properties = PublishProperties { correlation_data: Some(correlation.as_bytes()), ..Default::default() };
    Packet::Publish(message(QOS_1, packet_id, "r", payload).properties(properties))
}

// ---------------------------------------------------------------------------------------------------------------------
// Replying

#[test]
fn reply_goes_where_the_request_says_and_the_request_is_acknowledged_behind_it() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    assert!(request.wants_reply());
    assert_eq!((request.remaining(mqtt_wasi::Instant::ZERO), t.responder.running()), (None, 1));
    t.s.expect_nothing_sent();
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(1, "1", "21.5"), puback(5)]);
    assert_eq!((t.stats(), t.responder.running()), ((1, 0, 0), 0));
    t.broker_acknowledges(1);
}

#[test]
fn reply_has_the_qos_of_the_request() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(Publish { qos: QOS_0, packet_id: None, ..asked(5, "0", "at 0") }));
    t.s.broker_sends(Packet::Publish(Publish { qos: QOS_2, ..asked(6, "2", "at 2") }));
    let [zero, two] = ["at 0", "at 2"].map(|payload| t.expect_request(payload));
    let reply = |qos, packet_id, correlation, payload| {
        let properties = PublishProperties { correlation_data: Some(correlation), ..Default::default() };
        Packet::Publish(message(qos, packet_id, "r", payload).properties(properties))
    };
    assert_eq!(t.reply(&zero, "zero"), Ok(()));
    t.s.expect_one_write(&[reply(QOS_0, 0, b"0", "zero")]);
    assert_eq!(t.reply(&two, "two"), Ok(()));
    t.s.expect_one_write(&[reply(QOS_2, 1, b"2", "two"), pubrec(6)]);
    t.s.broker_sends_all(&[pubrel(6), pubrec(1)]);
    t.s.expect_sent_all(&[pubcomp(6), pubrel(1)]);
    t.s.broker_sends(pubcomp(1));
    assert!(matches!(&t.s.take_events()[..], [Event::Published { result: Ok(_), .. }]));
}

#[test]
fn reply_has_the_highest_qos_that_the_broker_takes() {
    for (maximum, packet_id) in [(QOS_0, 0), (QOS_1, 1)] {
        let terms = ConnackProperties { maximum_qos: Some(maximum), ..Default::default() };
        let mut t = Story::with(Responder::new(), options(), terms);
        t.s.broker_sends(Packet::Publish(Publish { qos: QOS_2, ..asked(5, "1", "how warm?") }));
        let request = t.expect_request("how warm?");
        assert_eq!(t.reply(&request, "21.5"), Ok(()));
        let Packet::Publish(answer) = answer(1, "1", "21.5") else { unreachable!() };
        let answer = Publish { qos: maximum, packet_id: mqtt_wasi::codec::PacketId::new(packet_id), ..answer };
        t.s.expect_one_write(&[Packet::Publish(answer), pubrec(5)]);
    }
}

#[test]
fn reply_lives_for_what_is_left_of_the_time_that_the_requester_gave() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(within(10, asked(5, "1", "how warm?"))));
    let request = t.expect_request("how warm?");
    t.s.wait(Duration::from_millis(2500));
    let remaining = t.s.call(|_, now| request.remaining(now));
    assert_eq!(remaining, Some(Duration::from_millis(7500)));
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    let Packet::Publish(answer) = answer(1, "1", "21.5") else { unreachable!() };
    t.s.expect_sent(Packet::Publish(within(8, answer)));
    t.s.expect_sent(puback(5));
}

#[test]
fn reply_carries_what_the_user_put_into_it() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    let reply = Reply::from("21.5").content_type("text/plain").user_property("unit", "celsius");
    t.s.call(|session, now| t.responder.reply(session, &request, &reply, now)).unwrap();
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        content_type: Some("text/plain"),
        correlation_data: Some(b"1"),
        user_properties: (&[("unit", "celsius")]).into(),
        ..Default::default()
    };
    t.s.expect_sent(Packet::Publish(message(QOS_1, 1, "r", "21.5").properties(properties)));
    t.s.expect_sent(puback(5));
}

#[test]
fn failure_is_told_in_a_user_property() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    let failure = Reply::failed("no such sensor");
    t.s.call(|session, now| t.responder.reply(session, &request, &failure, now)).unwrap();
    let properties = PublishProperties {
        correlation_data: Some(b"1"),
        user_properties: (&[("reply-error", "no such sensor")]).into(),
        ..Default::default()
    };
    t.s.expect_sent(Packet::Publish(message(QOS_1, 1, "r", "").properties(properties)));
    t.s.expect_sent(puback(5));
}

#[test]
fn message_that_wants_no_reply_is_handed_out_and_only_acknowledged() {
    let mut t = story();
    let properties = PublishProperties { correlation_data: Some(b"1"), ..Default::default() };
    for packet_id in [5, 6] {
        // The same twice: there is nothing to know it by.
        t.s.broker_sends(Packet::Publish(message(QOS_1, packet_id, "q", "news").properties(properties)));
        let request = t.expect_request("news");
        assert!(!request.wants_reply());
        assert_eq!(t.reply(&request, "thanks"), Ok(()));
        t.s.expect_one_write(&[puback(packet_id)]);
    }
    assert_eq!((t.stats(), t.responder.running()), ((0, 0, 0), 0));
}

#[test]
fn requests_are_acknowledged_in_their_order_whichever_is_answered_first() {
    let mut t = story();
    t.s.broker_sends_all(&[Packet::Publish(asked(5, "1", "one")), Packet::Publish(asked(6, "2", "two"))]);
    let [one, two] = ["one", "two"].map(|payload| t.expect_request(payload));
    assert_eq!(t.reply(&two, "2"), Ok(()));
    t.s.expect_one_write(&[answer(1, "2", "2")]);
    assert_eq!(t.reply(&one, "1"), Ok(()));
    t.s.expect_one_write(&[answer(2, "1", "1"), puback(5), puback(6)]);
}

#[test]
fn request_whose_time_is_up_is_acknowledged_without_a_reply() {
    let mut t = story();
    t.s.broker_sends_all(&[
        Packet::Publish(within(5, asked(5, "1", "one"))),
        Packet::Publish(within(6, asked(6, "2", "two"))),
    ]);
    let [one, two] = ["one", "two"].map(|payload| t.expect_request(payload));
    t.s.wait(6 * SECOND);
    assert_eq!(t.reply(&one, "1"), Ok(()));
    t.s.expect_one_write(&[puback(5)]);
    assert_eq!((t.stats(), t.responder.running()), ((0, 0, 1), 1));
    assert_eq!(t.reply(&two, "2"), Ok(()));
    let Packet::Publish(answer) = answer(1, "2", "2") else { unreachable!() };
    t.s.expect_sent_all(&[Packet::Publish(within(1, answer)), puback(6)]);
}

#[test]
fn reply_that_can_never_be_sent_leaves_the_request_acknowledged() {
    let terms = ConnackProperties { maximum_packet_size: Some(50), ..Default::default() };
    let mut t = Story::with(Responder::new(), options(), terms);
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    let sent = t.reply(&request, &"x".repeat(50));
    assert!(matches!(sent, Err(CallError::PacketTooLarge { maximum: 50, .. })), "{sent:?}");
    t.s.expect_one_write(&[puback(5)]);
    assert_eq!((t.stats(), t.responder.running()), ((0, 0, 0), 0));
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests that come again

#[test]
fn request_that_comes_again_gets_the_reply_that_it_had() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(1, "1", "21.5"), puback(5)]);
    t.s.broker_sends(Packet::Publish(asked(6, "1", "how warm?")));
    t.expect_no_request();
    t.s.expect_nothing_sent();
    t.flush();
    t.s.expect_one_write(&[answer(2, "1", "21.5"), puback(6)]);
    assert_eq!((t.stats(), t.responder.running()), ((2, 1, 0), 0));
}

#[test]
fn request_that_comes_again_while_it_is_worked_on_is_answered_behind_the_first() {
    let mut t = story();
    t.s.broker_sends_all(&[5, 6, 7].map(|packet_id| Packet::Publish(asked(packet_id, "1", "how warm?"))));
    let request = t.expect_request("how warm?");
    t.expect_no_request();
    t.flush();
    t.s.expect_nothing_sent();
    assert_eq!((t.stats(), t.responder.running()), ((0, 2, 0), 1));
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(1, "1", "21.5"), puback(5), answer(2, "1", "21.5"), puback(6), puback(7)]);
    assert_eq!((t.stats(), t.responder.running()), ((2, 2, 0), 0), "however often it came again, once more is enough");
}

#[test]
fn request_is_another_where_topic_or_correlation_data_are_or_where_there_is_none() {
    let mut t = story();
    let first = asked(1, "1", "first");
    let elsewhere = PublishProperties { response_topic: Some("elsewhere"), ..first.properties };
    let without = PublishProperties { correlation_data: None, ..first.properties };
    t.s.broker_sends_all(&[
        Packet::Publish(first),
        Packet::Publish(asked(2, "2", "another number")),
        Packet::Publish(asked(3, "", "an empty number")),
        Packet::Publish(asked(4, "1", "another place").properties(elsewhere)),
        Packet::Publish(asked(5, "1", "no number").properties(without)),
        Packet::Publish(asked(6, "1", "no number either").properties(without)),
    ]);
    for payload in ["first", "another number", "an empty number", "another place", "no number", "no number either"] {
        let request = t.expect_request(payload);
        assert_eq!(t.reply(&request, "here"), Ok(()));
        assert_eq!(t.s.take_sent().len(), 2);
    }
    assert_eq!((t.stats(), t.responder.running()), ((6, 0, 0), 0));
}

/// A broker may round off what is left of a second.
#[test]
fn request_is_answered_for_a_second_more_than_its_interval_says() {
    for seconds in [0, 5] {
        let mut t = story();
        t.s.broker_sends(Packet::Publish(within(seconds, asked(5, "1", "how warm?"))));
        let request = t.expect_request("how warm?");
        assert_eq!(t.s.call(|_, now| request.remaining(now)), Some(seconds * SECOND));
        t.s.wait(seconds * SECOND + SECOND / 2);
        assert_eq!(t.s.call(|_, now| request.remaining(now)), Some(Duration::ZERO));
        assert_eq!(t.reply(&request, "21.5"), Ok(()));
        let Packet::Publish(answer) = answer(1, "1", "21.5") else { unreachable!() };
        t.s.expect_one_write(&[Packet::Publish(within(1, answer)), puback(5)]);
        assert_eq!(t.stats(), (1, 0, 0));
    }
}

#[test]
fn expired_request_that_comes_again_is_known() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(within(5, asked(5, "1", "how warm?"))));
    let request = t.expect_request("how warm?");
    t.s.wait(6 * SECOND);
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_sent(puback(5));
    // The requester tries once more, and waits for this one.
    t.s.broker_sends(Packet::Publish(within(5, asked(6, "1", "how warm?"))));
    t.expect_no_request();
    t.flush();
    let Packet::Publish(answer) = answer(1, "1", "21.5") else { unreachable!() };
    t.s.expect_one_write(&[Packet::Publish(within(5, answer)), puback(6)]);
}

#[test]
fn request_that_was_given_up_comes_again_and_is_handed_out_again() {
    let mut t = story();
    let asked = asked(5, "1", "how warm?");
    t.s.broker_sends(Packet::Publish(asked));
    let request = t.expect_request("how warm?");
    t.responder.give_up(&request);
    assert_eq!(t.responder.running(), 0);
    t.s.reconnected(true);
    t.s.broker_sends(again(asked));
    let request = t.expect_request("how warm?");
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(1, "1", "21.5"), puback(5)]);
    assert_eq!(t.stats(), (1, 0, 0));
}

// ---------------------------------------------------------------------------------------------------------------------
// How long replies are kept

/// Answers requests with these numbers, one after the other.
fn answered(t: &mut Story, replies: &[(&str, &str)]) {
    for (packet_id, (correlation, payload)) in (100..).zip(replies) {
        t.s.broker_sends(Packet::Publish(asked(packet_id, correlation, "q")));
        let request = t.expect_request("q");
        assert_eq!(t.reply(&request, payload), Ok(()));
        t.s.take_sent();
    }
}

/// The request with this number comes again; whether its reply was kept, else it is handed out to be worked on.
fn is_kept(t: &mut Story, correlation: &str) -> bool {
    let replied = t.responder.stats().replied;
    t.s.broker_sends(Packet::Publish(asked(200, correlation, "q")));
    let request = t.take();
    t.flush();
    if let Some(request) = &request {
        assert_eq!(t.reply(request, "new"), Ok(()));
    }
    t.s.take_sent();
    assert_eq!(t.responder.stats().replied, replied + 1);
    request.is_none()
}

#[test]
fn only_so_many_replies_are_kept() {
    let mut t = Story::new(Responder::new().keep(2, usize::MAX, EVER));
    answered(&mut t, &[("1", "one"), ("2", "two"), ("3", "three")]);
    assert!(is_kept(&mut t, "2"));
    assert!(is_kept(&mut t, "3"));
    assert!(!is_kept(&mut t, "1"));
}

#[test]
fn only_so_many_bytes_of_replies_are_kept() {
    let mut t = Story::new(Responder::new().keep(usize::MAX, 7, EVER));
    answered(&mut t, &[("1", "1234"), ("2", "123"), ("3", "1234")]);
    assert!(is_kept(&mut t, "2"));
    assert!(is_kept(&mut t, "3"));
    assert!(!is_kept(&mut t, "1"));
    // One that is too large alone is not kept, and leaves nothing behind that counts.
    answered(&mut t, &[("4", "12345678")]);
    assert!(!is_kept(&mut t, "4"));
    answered(&mut t, &[("5", "1234")]);
    assert!(is_kept(&mut t, "5"));
}

#[test]
fn replies_are_kept_only_so_long() {
    let mut t = Story::new(Responder::new().keep(usize::MAX, usize::MAX, 60 * SECOND));
    answered(&mut t, &[("1", "one")]);
    t.s.wait(60 * SECOND - Duration::from_millis(1));
    assert!(is_kept(&mut t, "1"));
    t.s.wait(Duration::from_millis(1));
    assert!(!is_kept(&mut t, "1"));
}

#[test]
fn request_is_worked_on_each_time_where_no_reply_is_kept() {
    let mut t = Story::new(Responder::new().keep(0, usize::MAX, EVER));
    for _ in 0..2 {
        answered(&mut t, &[("1", "one")]);
    }
    assert_eq!((t.stats(), t.responder.running()), ((2, 0, 0), 0));
}

/// The broker acknowledges all that the client sends, and the user answers all that it has got and gets. Returns which
/// messages of the broker were acknowledged.
fn come_to_rest(t: &mut Story, mut to_answer: Vec<Request>) -> Vec<u16> {
    let mut acknowledged = Vec::new();
    for _ in 0..10 {
        for bytes in t.s.take_sent() {
            match Packet::decode(&bytes).unwrap().unwrap().0 {
                Packet::Publish(reply) => t.broker_acknowledges(reply.packet_id.expect("at QoS 1").get()),
                Packet::Puback(ack) => acknowledged.push(ack.packet_id.get()),
                other => panic!("nothing else is sent: {other:?}"),
            }
        }
        t.flush();
        to_answer.extend(t.take());
        to_answer.retain(|request| t.reply(request, "new").is_err());
    }
    assert_eq!(to_answer, []);
    acknowledged
}

#[test]
fn request_that_came_again_is_acknowledged_though_no_reply_is_kept() {
    let mut t = Story::new(Responder::new().keep(0, usize::MAX, EVER));
    t.s.broker_sends_all(&[5, 6].map(|packet_id| Packet::Publish(asked(packet_id, "1", "how warm?"))));
    let request = t.expect_request("how warm?");
    t.expect_no_request();
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.broker_sends(Packet::Publish(asked(7, "2", "how cold?")));
    assert_eq!(come_to_rest(&mut t, Vec::new()), [5, 6, 7], "what is not acknowledged holds up all that comes after");
}

#[test]
fn request_that_came_again_is_acknowledged_though_its_reply_is_too_old_when_there_is_room() {
    let responder = Responder::new().keep(usize::MAX, usize::MAX, 60 * SECOND);
    let mut t = Story::with(responder, options().in_flight_limit(1), ConnackProperties::default());
    answered(&mut t, &[("1", "one")]);
    // The window is full with the reply, for which the request that comes again has to wait.
    t.s.broker_sends(Packet::Publish(asked(6, "1", "q")));
    t.expect_no_request();
    t.flush();
    t.s.expect_nothing_sent();
    t.s.wait(60 * SECOND);
    t.s.broker_sends(Packet::Publish(asked(7, "2", "another")));
    let another = t.expect_request("another");
    t.broker_acknowledges(1);
    assert_eq!(come_to_rest(&mut t, vec![another]), [6, 7], "what is not acknowledged holds up all that comes after");
}

// ---------------------------------------------------------------------------------------------------------------------
// No room, and no connection

#[test]
fn reply_that_has_no_room_is_tried_again_and_the_request_acknowledged_then() {
    let mut t = Story::with(Responder::new(), options().in_flight_limit(1), ConnackProperties::default());
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    let news = t.s.publish(QOS_1, "news", "!");
    t.s.expect_sent(publish(QOS_1, 1, "news", "!"));
    for _ in 0..2 {
        assert_eq!(t.reply(&request, "21.5"), Err(CallError::WouldBlock));
        t.s.expect_nothing_sent();
        assert_eq!((t.stats(), t.responder.running()), ((0, 0, 0), 1));
    }
    t.s.broker_sends(puback(1));
    t.s.expect_published(news, ReasonCode::Success);
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(2, "1", "21.5"), puback(5)]);
    assert_eq!((t.stats(), t.responder.running()), ((1, 0, 0), 0));
}

#[test]
fn requests_that_came_again_are_answered_as_far_as_there_is_room() {
    let mut t = Story::with(Responder::new(), options().in_flight_limit(1), ConnackProperties::default());
    t.s.broker_sends_all(&[5, 6, 7].map(|packet_id| Packet::Publish(asked(packet_id, "1", "how warm?"))));
    let request = t.expect_request("how warm?");
    t.expect_no_request();
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_sent_all(&[answer(1, "1", "21.5"), puback(5)]);
    t.flush();
    t.s.expect_nothing_sent();
    t.broker_acknowledges(1);
    t.flush();
    t.s.expect_sent_all(&[answer(2, "1", "21.5"), puback(6), puback(7)]);
    assert_eq!(t.stats(), (2, 2, 0));
}

#[test]
fn reply_that_had_no_connection_is_sent_when_the_request_comes_again() {
    let mut t = story();
    let asked = asked(5, "1", "how warm?");
    t.s.broker_sends(Packet::Publish(asked));
    let request = t.expect_request("how warm?");
    t.s.connection_is_lost();
    t.s.expect_disconnected(Error::ConnectionClosed);
    assert_eq!(t.reply(&request, "21.5"), Err(CallError::NotConnected));
    assert_eq!((t.stats(), t.responder.running()), ((0, 0, 0), 0));
    t.s.reconnected(true);
    t.flush();
    t.s.expect_nothing_sent();
    t.s.broker_sends(again(asked));
    t.expect_no_request();
    t.flush();
    t.s.expect_one_write(&[answer(1, "1", "21.5"), puback(5)]);
    assert_eq!(t.stats(), (1, 1, 0));
}

#[test]
fn reply_that_had_no_connection_can_be_tried_again() {
    let mut t = story();
    t.s.broker_sends(Packet::Publish(asked(5, "1", "how warm?")));
    let request = t.expect_request("how warm?");
    t.s.connection_is_lost();
    t.s.expect_disconnected(Error::ConnectionClosed);
    assert_eq!(t.reply(&request, "21.5"), Err(CallError::NotConnected));
    // The broker has lost the session, and the request will not come again.
    t.s.reconnected(false);
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.expect_one_write(&[answer(1, "1", "21.5")]);
    assert_eq!((t.stats(), t.responder.running()), ((1, 0, 0), 0));
}

#[test]
fn request_that_comes_again_over_a_new_connection_is_acknowledged_there() {
    let mut t = story();
    let asked = asked(5, "1", "how warm?");
    t.s.broker_sends(Packet::Publish(asked));
    let request = t.expect_request("how warm?");
    t.s.reconnected(true);
    t.s.broker_sends(again(asked));
    t.expect_no_request();
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    let sent = t.s.take_sent();
    assert_eq!(sent.last(), Some(&bytes(&puback(5))));
    assert_eq!(sent.first(), Some(&bytes(&answer(1, "1", "21.5"))));
    assert_eq!(t.responder.running(), 0);
}

#[test]
fn reply_that_the_broker_may_not_have_got_is_sent_again_and_not_made_again() {
    let mut t = story();
    let asked = asked(5, "1", "how warm?");
    t.s.broker_sends(Packet::Publish(asked));
    let request = t.expect_request("how warm?");
    t.s.network_stalls();
    assert_eq!(t.reply(&request, "21.5"), Ok(()));
    t.s.reconnected(true);
    // The session sends it, and as the acknowledgement was lost, the broker asks again.
    let Packet::Publish(first) = answer(1, "1", "21.5") else { unreachable!() };
    t.s.expect_sent(Packet::Publish(Publish { dup: true, ..first }));
    t.s.broker_sends(again(asked));
    t.expect_no_request();
    t.flush();
    t.s.expect_one_write(&[answer(2, "1", "21.5"), puback(5)]);
}

// ---------------------------------------------------------------------------------------------------------------------
// In a JSON envelope

#[cfg(feature = "json")]
mod envelope {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn enveloping() -> Story {
        Story::with(Responder::new(), options().json_envelope(true), ConnackProperties::default())
    }

    #[test]
    fn request_is_answered_to_where_its_payload_says() {
        let mut t = enveloping();
        let payload = r#"{"replyTo":"amq.replies.r","correlationId":"7","question":"how warm?"}"#;
        t.s.broker_sends(publish(QOS_1, 5, "q", payload));
        let request = t.expect_request(payload);
        assert!(request.wants_reply());
        assert_eq!(t.reply(&request, "21.5"), Ok(()));
        let properties = PublishProperties { correlation_data: Some(b"7"), ..Default::default() };
        let answer = message(QOS_1, 1, "amq/replies/r", r#"{"correlationId":"7","result":21.5}"#);
        t.s.expect_one_write(&[Packet::Publish(answer.properties(properties)), puback(5)]);
        // And it is known by that.
        t.s.broker_sends(publish(QOS_1, 6, "q", payload));
        t.expect_no_request();
        t.flush();
        assert_eq!((t.s.take_sent().len(), t.stats()), (2, (2, 1, 0)));
    }

    #[test]
    fn what_properties_say_comes_before_what_the_payload_says() {
        let mut t = enveloping();
        t.s.broker_sends(Packet::Publish(asked(5, "1", r#"{"replyTo":"elsewhere","correlationId":"2"}"#)));
        let request = t.take().expect("a request");
        assert_eq!(t.reply(&request, r#"{"ok": true}"#), Ok(()));
        t.s.expect_sent(answer(1, "1", r#"{"correlationId":"1","result":{"ok":true}}"#));
        t.s.expect_sent(puback(5));
    }

    #[test]
    fn payload_without_an_address_wants_no_reply() {
        let mut t = enveloping();
        for payload in ["no JSON", "{}", r#"{"replyTo":1}"#, r#"{"correlationId":"1"}"#] {
            t.s.broker_sends(publish(QOS_0, 0, "q", payload));
            assert!(!t.expect_request(payload).wants_reply(), "{payload}");
        }
    }

    #[test]
    fn address_in_the_payload_says_nothing_without_the_option() {
        let mut t = story();
        let payload = r#"{"replyTo":"r","correlationId":"1"}"#;
        t.s.broker_sends(publish(QOS_0, 0, "q", payload));
        assert!(!t.expect_request(payload).wants_reply());
    }

    #[test]
    fn reply_that_is_no_json_leaves_the_request_acknowledged() {
        let mut t = enveloping();
        t.s.broker_sends(Packet::Publish(asked(5, "1", "{}")));
        let request = t.expect_request("{}");
        assert_eq!(t.reply(&request, "no JSON"), Err(CallError::NotJson));
        t.s.expect_one_write(&[puback(5)]);
        assert_eq!((t.stats(), t.responder.running()), ((0, 0, 0), 0));
    }

    #[test]
    fn failure_in_an_envelope_is_told_in_a_user_property() {
        let mut t = enveloping();
        t.s.broker_sends(Packet::Publish(asked(5, "1", "{}")));
        let request = t.expect_request("{}");
        let failure = Reply::failed("no such sensor");
        t.s.call(|session, now| t.responder.reply(session, &request, &failure, now)).unwrap();
        let bytes = t.s.take_sent().remove(0);
        let Some((Packet::Publish(reply), _)) = Packet::decode(&bytes).unwrap() else { panic!("PUBLISH") };
        assert!(reply.properties.user_properties.iter().eq([("reply-error", "no such sensor")]));
        assert_eq!(reply.properties.correlation_data, Some(&b"1"[..]));
    }

    /// The payload of the only PUBLISH among these packets.
    fn payload_of(sent: &[Vec<u8>]) -> String {
        let payloads: Vec<_> = sent
            .iter()
            .filter_map(|bytes| match Packet::decode(bytes).unwrap().unwrap().0 {
                Packet::Publish(publish) => Some(String::from_utf8(publish.payload.to_owned()).unwrap()),
                _ => None,
            })
            .collect();
        assert_eq!(payloads.len(), 1);
        payloads.into_iter().next().unwrap()
    }

    #[test]
    fn request_and_reply_find_their_ways_though_every_property_is_lost() {
        let mut requester = Scenario::connected_with(options().json_envelope(true), ConnackProperties::default());
        let question = Publish::new("q", r#"{"question":"how warm?"}"#).qos(QOS_1);
        assert_eq!(requester.try_request(&question, TIMEOUT), Err(CallError::WouldBlock));
        requester.take_sent();
        requester.broker_sends(suback(1, &[ReasonCode::GrantedQos1]));
        let asked = requester.try_request(&question, TIMEOUT).unwrap();
        let mut t = enveloping();
        t.s.broker_sends(publish(QOS_1, 5, "q", &payload_of(&requester.take_sent())));
        let request = t.take().expect("a request");
        assert_eq!(t.reply(&request, r#"{"celsius":21.5}"#), Ok(()));
        requester.broker_sends(publish(QOS_0, 0, "replies/c", &payload_of(&t.s.take_sent())));
        requester.expect_replied(asked, r#"{"celsius":21.5}"#);
    }
}
