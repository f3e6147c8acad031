//! Requests that come twice, and replies that cannot be sent.

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, PublishProperties, QoS};
use mqtt_wasi::engine::{ListenerId, Overflow, ResponderId};
use mqtt_wasi::{CallError, Event, Options, Request, Responder};

use crate::memory;
use crate::packets::{message, puback};
use crate::scenario::{ALL, Mode, SECOND, Scenario, options};

/// A client that replies to what comes.
struct Replier {
    s: Scenario,
    responder: ResponderId,
    listener: Option<ListenerId>,
}

impl Replier {
    fn new(mode: Mode, terms: ConnackProperties<'_>) -> Self {
        Self::with(mode, options(), terms)
    }

    fn with(mode: Mode, options: Options, terms: ConnackProperties<'_>) -> Self {
        let mut s = Scenario::connected_with(mode, options, terms);
        let responder = s.engine.open_responder(Responder::new());
        let listener = (mode == Mode::Listeners).then(|| s.listen_to_everything(Overflow::default()));
        Self { s, responder, listener }
    }

    /// The next request to work on.
    fn next(&mut self) -> Option<Request> {
        let Some(listener) = self.listener else { return self.s.next_request(self.responder) };
        while let Some((message, delivery)) = self.s.take_message(listener) {
            let now = self.s.now();
            let request = self.s.engine.accept(self.responder, message, delivery, now);
            self.s.settle();
            if request.is_some() {
                return request;
            }
        }
        None
    }

    /// The client sent this reply to the request with these Correlation Data.
    #[track_caller]
    fn expect_reply(&mut self, qos: QoS, packet_id: u16, correlation: &str, payload: &str) {
        self.s.expect_sent(Packet::Publish(reply(qos, packet_id, correlation, payload)));
    }
}

fn reply<'a>(qos: QoS, packet_id: u16, correlation: &'a str, payload: &'a str) -> Publish<'a> {
    let correlation_data = Some(correlation.as_bytes());
    let properties = PublishProperties { correlation_data, ..PublishProperties::default() };
    message(qos, packet_id, "r", payload).properties(properties)
}

fn request(qos: QoS, packet_id: u16, correlation: &str) -> Packet<'_> {
    let properties = PublishProperties {
        response_topic: Some("r"),
        correlation_data: Some(correlation.as_bytes()),
        ..PublishProperties::default()
    };
    Packet::Publish(message(qos, packet_id, "q", "request").properties(properties))
}

#[test]
fn request_is_acknowledged_behind_its_reply() {
    for mode in ALL {
        let mut r = Replier::new(mode, ConnackProperties::default());
        r.s.broker_sends(request(QoS::AtLeastOnce, 7, "x"));
        let request = r.next().expect("a request");
        r.s.expect_nothing_sent();
        let replying = r.s.reply(r.responder, &request, "reply");
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_sent(puback(7));
        r.s.expect_done(replying);
        r.s.broker_sends(puback(1));
        r.s.expect_usable();
    }
}

#[test]
fn finished_request_that_comes_again_is_answered_once_there_is_quota() {
    for mode in ALL {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut r = Replier::new(mode, terms);
        r.s.broker_sends(request(QoS::AtLeastOnce, 7, "x"));
        let first = r.next().expect("a request");
        let replying = r.s.reply(r.responder, &first, "reply");
        r.s.expect_done(replying);
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_sent(puback(7));
        r.s.broker_sends(request(QoS::AtLeastOnce, 8, "x"));
        assert_eq!(r.next(), None, "it was worked on before");
        r.s.expect_nothing_sent();
        r.s.broker_sends(puback(1));
        r.expect_reply(QoS::AtLeastOnce, 2, "x", "reply");
        r.s.expect_sent(puback(8));
        r.s.broker_sends(puback(2));
        r.s.expect_usable();
        let stats = r.s.engine.responder_stats(r.responder);
        assert_eq!((stats.replied, stats.duplicates, stats.failed), (2, 1, 0));
    }
}

#[test]
fn reply_waits_for_quota() {
    for mode in ALL {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut r = Replier::new(mode, terms);
        r.s.broker_sends_all(&[request(QoS::AtLeastOnce, 7, "x"), request(QoS::AtLeastOnce, 8, "y")]);
        let requests = [r.next().expect("a request"), r.next().expect("another request")];
        let replying = requests.map(|request| r.s.reply(r.responder, &request, "reply"));
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_sent(puback(7));
        r.s.expect_done(replying[0]);
        r.s.expect_pending(replying[1]);
        r.s.broker_sends(puback(1));
        r.expect_reply(QoS::AtLeastOnce, 2, "y", "reply");
        r.s.expect_sent(puback(8));
        r.s.expect_done(replying[1]);
        r.s.broker_sends(puback(2));
        r.s.expect_usable();
    }
}

#[test]
fn reply_that_is_too_large_is_an_error_and_the_next_one_works() {
    for mode in ALL {
        let terms = ConnackProperties { maximum_packet_size: Some(64), ..ConnackProperties::default() };
        let mut r = Replier::new(mode, terms);
        r.s.broker_sends_all(&[request(QoS::AtLeastOnce, 7, "x"), request(QoS::AtLeastOnce, 8, "y")]);
        let first = r.next().expect("a request");
        let large = "x".repeat(100);
        let size = crate::packets::bytes(&Packet::Publish(reply(QoS::AtLeastOnce, 1, "x", &large))).len();
        let error = CallError::PacketTooLarge { size, maximum: 64 };
        let replying = r.s.reply(r.responder, &first, &large);
        r.s.expect_failed(replying, error);
        r.s.expect_sent(puback(7));
        r.s.expect_event(Event::ReplyDropped { response_topic: "r".into(), error });
        r.s.expect_no_event();
        let second = r.next().expect("another request");
        let replying = r.s.reply(r.responder, &second, "reply");
        r.expect_reply(QoS::AtLeastOnce, 1, "y", "reply");
        r.s.expect_sent(puback(8));
        r.s.expect_done(replying);
        let stats = r.s.engine.responder_stats(r.responder);
        assert_eq!((stats.replied, stats.failed), (1, 1));
    }
}

#[test]
fn request_that_came_again_is_acknowledged_though_its_reply_is_too_large() {
    for mode in ALL {
        let terms = ConnackProperties { maximum_packet_size: Some(64), ..ConnackProperties::default() };
        let mut r = Replier::new(mode, terms);
        r.s.broker_sends_all(&[request(QoS::AtLeastOnce, 7, "x"), request(QoS::AtLeastOnce, 8, "x")]);
        let running = r.next().expect("a request");
        assert_eq!(r.next(), None);
        let replying = r.s.reply(r.responder, &running, &"x".repeat(100));
        assert!(r.s.take(replying).is_err());
        r.s.expect_sent_all(&[puback(7), puback(8)]);
        r.s.expect_usable();
        assert_eq!(r.s.engine.responder_stats(r.responder).replied, 0);
    }
}

#[test]
fn reply_waits_for_the_next_connection() {
    for mode in ALL {
        let options = options().clean_start(false).session_expiry_interval(3600).reconnect(Default::default());
        let mut r = Replier::with(mode, options, ConnackProperties::default());
        r.s.broker_sends(request(QoS::AtLeastOnce, 7, "x"));
        let running = r.next().expect("a request");
        r.s.broker_closes();
        r.s.expect_closed();
        let replying = r.s.reply(r.responder, &running, "reply");
        r.s.expect_pending(replying);
        r.s.wait(SECOND);
        r.s.expect_dial("a:1883");
        r.s.attempt_succeeds();
        r.s.broker_takes_connection(true, ConnackProperties::default());
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_done(replying);
        // The broker has no acknowledgement, and so the request comes again.
        r.s.expect_nothing_sent();
        r.s.broker_sends(request(QoS::AtLeastOnce, 7, "x"));
        assert_eq!(r.next(), None);
        r.expect_reply(QoS::AtLeastOnce, 2, "x", "reply");
        r.s.expect_sent(puback(7));
        r.s.broker_sends_all(&[puback(1), puback(2)]);
        r.s.expect_usable();
    }
}

#[cfg(feature = "json")]
#[test]
fn reply_to_a_topic_that_is_none_is_an_error_and_the_next_one_works() {
    for mode in ALL {
        let mut r = Replier::with(mode, options().json_envelope(true), ConnackProperties::default());
        // What a payload says is not checked before.
        r.s.broker_sends(Packet::Publish(message(QoS::AtLeastOnce, 7, "q", r##"{"replyTo":"#"}"##)));
        r.s.broker_sends(request(QoS::AtLeastOnce, 8, "y"));
        let first = r.next().expect("a request");
        let replying = r.s.reply(r.responder, &first, "1");
        let Err(mqtt_wasi::Error::Call(error @ CallError::Invalid(_))) = r.s.take(replying) else {
            panic!("no such topic")
        };
        r.s.expect_sent(puback(7));
        r.s.expect_event(Event::ReplyDropped { response_topic: "".into(), error });
        let second = r.next().expect("another request");
        let replying = r.s.reply(r.responder, &second, "1");
        r.expect_reply(QoS::AtLeastOnce, 1, "y", r#"{"correlationId":"y","result":1}"#);
        r.s.expect_sent(puback(8));
        r.s.expect_done(replying);
        let stats = r.s.engine.responder_stats(r.responder);
        assert_eq!((stats.replied, stats.failed), (1, 1));
    }
}

#[test]
fn running_request_that_comes_ever_again_takes_no_memory() {
    for mode in ALL {
        let mut r = Replier::new(mode, ConnackProperties::default());
        r.s.broker_sends(request(QoS::AtMostOnce, 0, "x"));
        let running = r.next().expect("a request");
        let (kept, mut live) = (r.s.engine.kept(), 0);
        for round in 0..10_000 {
            if round == 10 {
                live = memory::live();
            }
            r.s.broker_sends(request(QoS::AtMostOnce, 0, "x"));
            assert_eq!(r.next(), None);
        }
        assert_eq!(r.s.engine.kept(), kept);
        assert!(memory::live() - live < 4096, "{} bytes more", memory::live() - live);
        r.s.expect_nothing_sent();
        let replying = r.s.reply(r.responder, &running, "reply");
        r.s.expect_done(replying);
        r.expect_reply(QoS::AtMostOnce, 0, "x", "reply");
        r.expect_reply(QoS::AtMostOnce, 0, "x", "reply");
        r.s.expect_usable();
        let stats = r.s.engine.responder_stats(r.responder);
        assert_eq!((stats.replied, stats.duplicates), (2, 10_000));
    }
}

#[test]
fn running_request_that_comes_ever_again_is_acknowledged_each_time() {
    for mode in ALL {
        let mut r = Replier::new(mode, ConnackProperties::default());
        r.s.broker_sends(request(QoS::AtLeastOnce, 1, "x"));
        let running = r.next().expect("a request");
        for packet_id in 2..=10_001 {
            r.s.broker_sends(request(QoS::AtLeastOnce, packet_id, "x"));
            assert_eq!(r.next(), None);
        }
        r.s.expect_nothing_sent();
        let replying = r.s.reply(r.responder, &running, "reply");
        r.s.expect_done(replying);
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_sent(puback(1));
        r.expect_reply(QoS::AtLeastOnce, 2, "x", "reply");
        for packet_id in 2..=10_001 {
            r.s.expect_sent(puback(packet_id));
        }
        r.s.broker_sends_all(&[puback(1), puback(2)]);
        r.s.expect_usable();
    }
}

#[test]
fn request_that_is_given_up_is_worked_on_when_it_comes_again() {
    for mode in ALL {
        let mut r = Replier::new(mode, ConnackProperties::default());
        r.s.broker_sends(request(QoS::AtMostOnce, 0, "x"));
        let given_up = r.next().expect("a request");
        r.s.engine.give_up(r.responder, &given_up);
        r.s.broker_sends(request(QoS::AtMostOnce, 0, "x"));
        let again = r.next().expect("the same request");
        let replying = r.s.reply(r.responder, &again, "reply");
        r.s.expect_done(replying);
        r.expect_reply(QoS::AtMostOnce, 0, "x", "reply");
    }
}

#[test]
fn request_can_still_be_answered_after_a_reply_that_is_too_large() {
    for mode in ALL {
        let terms = ConnackProperties { maximum_packet_size: Some(64), ..ConnackProperties::default() };
        let mut r = Replier::new(mode, terms);
        r.s.broker_sends(request(QoS::AtLeastOnce, 7, "x"));
        let running = r.next().expect("a request");
        for _ in 0..2 {
            let replying = r.s.reply(r.responder, &running, &"x".repeat(100));
            assert!(r.s.take(replying).is_err());
        }
        r.s.expect_sent(puback(7));
        let replying = r.s.reply(r.responder, &running, "reply");
        r.expect_reply(QoS::AtLeastOnce, 1, "x", "reply");
        r.s.expect_done(replying);
        r.s.broker_sends(puback(1));
        r.s.expect_usable();
        assert_eq!(r.s.engine.responder_stats(r.responder).replied, 1);
    }
}
