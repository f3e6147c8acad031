//! Messages whose payload is streamed from the broker: to which listener, and what happens behind them.

use std::task::{Poll, Waker};
use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Publish, QoS};
use mqtt_wasi::engine::{Held, ListenerId, Overflow, PayloadId};
use mqtt_wasi::session::Delivery;
use mqtt_wasi::{Error, Event, Message, Options, Reconnect, StreamError};

use crate::packets::{bytes, puback, publish, resent};
use crate::scenario::{Mode, SECOND, Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;

fn payload(len: usize) -> String {
    (0..len).map(|place| char::from(b'a' + (place * 31 % 26) as u8)).collect()
}

fn streaming(options: Options) -> Scenario {
    let options = options.stream_above(1000).maximum_packet_size(268_435_460);
    Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default())
}

fn reconnecting() -> Scenario {
    streaming(options().session_expiry_interval(60).reconnect(Reconnect::default()))
}

impl Scenario {
    /// A listener that streams.
    fn listen_streaming(&mut self) -> ListenerId {
        let listener = self.listen_to_everything(Overflow::default());
        self.engine.stream_payloads(listener);
        listener
    }

    fn take_streamed(
        &mut self,
        listener: ListenerId,
        by_hand: bool,
    ) -> Option<(Message, Option<Delivery>, Option<PayloadId>)> {
        let now = self.now();
        let taken = self.engine.take_streamed(listener, &mut Held::default(), by_hand, None, &mut || now);
        self.wake_and_settle();
        taken
    }

    #[track_caller]
    fn expect_streamed(&mut self, listener: ListenerId, topic: &str, len: usize) -> PayloadId {
        let (message, _, payload) = self.take_streamed(listener, false).expect("a message");
        let payload = payload.expect("it is streamed");
        assert_eq!((message.topic.as_str(), message.payload.len(), payload.total()), (topic, 0, len as u64));
        payload
    }

    /// Takes some of a payload.
    fn take_some(&mut self, payload: PayloadId, most: usize) -> Poll<Result<String, Error>> {
        let (now, mut space) = (self.now(), vec![0; most]);
        let polled = self.engine.poll_payload(payload, &mut space, None, &mut || now);
        self.wake_and_settle();
        polled.map_ok(|len| String::from_utf8(space[..len].to_vec()).unwrap())
    }

    /// Takes all of a payload that comes.
    fn take_all(&mut self, payload: PayloadId) -> String {
        let mut taken = String::new();
        while (taken.len() as u64) < payload.total()
            && let Poll::Ready(Ok(some)) = self.take_some(payload, 10_000)
        {
            taken += &some;
        }
        taken
    }
}

#[test]
fn listener_takes_its_messages_in_order_whatever_their_size() {
    let mut s = streaming(options());
    let listener = s.listen_streaming();
    let large = payload(200_000);
    s.broker_sends_all(&[
        publish(QOS_1, 1, "a", "1"),
        publish(QOS_1, 2, "a", &large),
        publish(QOS_1, 3, "a", "3"),
        publish(QOS_0, 0, "a", &large),
    ]);
    let (message, _, payload) = s.take_streamed(listener, false).expect("a message");
    assert_eq!((message.payload.as_slice(), payload), (&b"1"[..], None));
    s.expect_sent(puback(1));
    let payload = s.expect_streamed(listener, "a", large.len());
    assert!(s.take_streamed(listener, false).is_none(), "the next is behind the payload");
    assert!(s.take_all(payload) == large);
    s.expect_sent(puback(2));
    let (message, ..) = s.take_streamed(listener, false).expect("a message");
    assert_eq!(message.payload, b"3");
    s.expect_sent(puback(3));
    let payload = s.expect_streamed(listener, "a", large.len());
    assert!(s.take_all(payload) == large);
    s.expect_usable();
}

#[test]
fn who_reads_is_woken_when_something_comes() {
    let mut s = streaming(options());
    let listener = s.listen_streaming();
    let large = payload(5000);
    let packet = crate::packets::bytes(&publish(QOS_0, 0, "a", &large));
    let bell = s.wait_for_message(listener);
    s.broker_sends_bytes(&packet[..7]);
    assert_eq!(bell.rings(), 1, "its head is there");
    let payload = s.expect_streamed(listener, "a", large.len());
    let waker = Waker::from(std::sync::Arc::clone(&bell));
    let now = s.now();
    assert!(s.engine.poll_payload(payload, &mut [0; 10], Some(&waker), &mut || now).is_pending());
    assert_eq!(bell.rings(), 1);
    s.broker_sends_bytes(&packet[7..8]);
    assert_eq!(bell.rings(), 2);
    assert_eq!(s.take_some(payload, 10), Poll::Ready(Ok("a".into())));
    assert!(s.engine.poll_payload(payload, &mut [0; 10], Some(&waker), &mut || now).is_pending());
    s.broker_closes();
    assert_eq!(bell.rings(), 3, "nothing more will come");
    assert_eq!(s.take_some(payload, 10), Poll::Ready(Err(Error::Stream(StreamError::PayloadLost))));
    s.expect_closed();
}

#[test]
fn message_that_several_listeners_get_comes_as_a_whole() {
    let mut s = streaming(options());
    let (listener, other) = (s.listen_streaming(), s.listen_to_everything(Overflow::default()));
    let large = payload(200_000);
    s.broker_sends_all(&[publish(QOS_1, 7, "a", &large), publish(QOS_1, 8, "a", "8")]);
    for expected in [large.as_str(), "8"] {
        let (message, _, payload) = s.take_streamed(listener, false).expect("a message");
        assert!(message.payload == expected.as_bytes() && payload.is_none());
    }
    let heard = s.heard_by(other);
    assert!(heard == [large.as_str(), "8"]);
    s.take_sent();
}

#[test]
fn messages_that_nobody_streams_come_as_a_whole() {
    let mut s = streaming(options());
    let listener = s.listen_to_everything(Overflow::default());
    let large = payload(200_000);
    s.broker_sends_all(&[publish(QOS_0, 0, "a", &large), publish(QOS_0, 0, "a", "2")]);
    assert!(s.heard_by(listener) == [large.as_str(), "2"]);
    s.expect_usable();
}

#[test]
fn message_comes_again_whose_connection_was_lost() {
    for is_taken in [false, true] {
        let mut s = reconnecting();
        let listener = s.listen_streaming();
        let large = payload(200_000);
        let packet = crate::packets::bytes(&publish(QOS_1, 7, "a", &large));
        s.broker_sends_bytes(&packet[..50_000]);
        let before = is_taken.then(|| s.expect_streamed(listener, "a", large.len()));
        s.broker_closes();
        s.expect_closed();
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        assert!(s.take_streamed(listener, false).is_none());
        s.broker_sends(resent(QOS_1, 7, "a", &large));
        let payload = s.expect_streamed(listener, "a", large.len());
        if let Some(before) = before {
            assert_eq!(s.take_some(before, 10), Poll::Ready(Err(Error::Stream(StreamError::PayloadLost))));
        }
        assert!(s.take_all(payload) == large);
        s.expect_sent(puback(7));
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        s.expect_event(Event::Connected { session_present: true });
        s.expect_usable();
    }
}

#[test]
fn payload_that_is_skipped_makes_room_for_what_is_behind() {
    let mut s = streaming(options());
    let listener = s.listen_streaming();
    let large = payload(2_000_000);
    s.broker_sends_all(&[publish(QOS_1, 7, "a", &large), publish(QOS_1, 8, "a", "8")]);
    let payload = s.expect_streamed(listener, "a", large.len());
    let now = s.now();
    s.engine.skip_payload(payload, &mut || now);
    s.wake_and_settle();
    s.expect_sent(puback(7));
    assert_eq!(s.take_streamed(listener, false).map(|(message, ..)| message.payload), Some(b"8".to_vec()));
    s.expect_sent(puback(8));
    s.expect_usable();
}

#[test]
fn message_is_acknowledged_by_hand() {
    let mut s = streaming(options());
    let listener = s.listen_streaming();
    let large = payload(2000);
    s.broker_sends(publish(QOS_1, 7, "a", &large));
    let (_, delivery, payload) = s.take_streamed(listener, true).expect("a message");
    assert!(s.take_all(payload.expect("it is streamed")) == large);
    s.expect_nothing_sent();
    assert!(s.engine.acknowledge(delivery.expect("a QoS 1 message")));
    s.wake_and_settle();
    s.expect_sent(puback(7));
    s.expect_usable();
}

#[test]
fn message_acknowledged_by_hand_too_early_is_acknowledged_behind_its_payload() {
    for skips in [false, true] {
        let mut s = streaming(options());
        let listener = s.listen_streaming();
        let large = payload(200_000);
        s.broker_sends(publish(QOS_1, 7, "a", &large));
        let (_, delivery, payload) = s.take_streamed(listener, true).expect("a message");
        let (delivery, payload) = (delivery.expect("a QoS 1 message"), payload.expect("it is streamed"));
        assert!(s.engine.acknowledge(delivery));
        assert!(!s.engine.acknowledge(delivery), "it was done before");
        s.wake_and_settle();
        s.expect_nothing_sent();
        if skips {
            let now = s.now();
            s.engine.skip_payload(payload, &mut || now);
            s.wake_and_settle();
        } else {
            assert!(s.take_all(payload) == large);
        }
        s.expect_sent(puback(7));
        s.expect_usable();
    }
}

#[test]
fn large_message_that_nobody_listens_for_is_skipped_as_it_comes() {
    let mut s = streaming(options());
    let (_, listening) = s.listen("b", Overflow::default());
    s.broker_grants("b");
    s.expect_subscribed(listening);
    let large = payload(4_000_000);
    let sent = bytes(&publish(QOS_1, 7, "a", &large));
    let before = crate::memory::live();
    let (first, rest) = sent.split_at(3_000_000);
    first.chunks(65_536).for_each(|piece| s.broker_sends_bytes(piece));
    assert!(crate::memory::live() - before < 1_000_000, "{} bytes more", crate::memory::live() - before);
    s.broker_sends_bytes(rest);
    s.expect_sent(puback(7));
    assert_eq!(s.engine.unheard(), 1);
    s.expect_usable();
}

#[test]
fn listener_that_closes_leaves_the_message_to_nobody() {
    let mut s = streaming(options());
    let listener = s.listen_streaming();
    let large = payload(2_000_000);
    s.broker_sends(publish(QOS_1, 7, "a", &large));
    s.close_listener(listener);
    s.expect_sent(puback(7));
    s.expect_usable();
}

#[test]
fn call_whose_answer_is_behind_a_payload_fails_while_nobody_takes_that() {
    let mut s = streaming(options().response_timeout(Duration::from_secs(1000)));
    let listener = s.listen_streaming();
    let large = payload(1_000_000);
    let message = s.publish(QOS_1, "p", "1");
    s.expect_sent(publish(QOS_1, 1, "p", "1"));
    s.broker_sends_all(&[publish(QOS_0, 0, "a", &large), puback(1)]);
    let payload = s.expect_streamed(listener, "a", large.len());
    s.wait(2 * SECOND);
    s.expect_failed(message, Error::AnswerBehindMessages);
    assert!(s.take_all(payload) == large);
    s.expect_usable();
}

#[test]
fn connection_lives_while_nobody_takes_a_payload() {
    let mut s = streaming(options().keep_alive(60));
    let listener = s.listen_streaming();
    let large = payload(1_000_000);
    s.broker_sends(publish(QOS_0, 0, "a", &large));
    let payload = s.expect_streamed(listener, "a", large.len());
    s.wait(Duration::from_secs(3600));
    assert!(s.engine.is_connected());
    assert!(s.take_sent().len() >= 59, "pings");
    assert!(s.take_all(payload) == large);
}

#[test]
fn messages_taken_one_by_one_are_streamed_too() {
    let options = options().stream_above(1000);
    let mut s = Scenario::connected_with(Mode::OneByOne, options, ConnackProperties::default());
    let large = payload(5000);
    s.broker_sends(publish(QOS_1, 7, "a", &large));
    let topic = s.engine.receive().map(|Publish { topic, .. }| topic.to_owned());
    assert_eq!(topic.as_deref(), Some("a"));
    let came = s.engine.payload().len();
    assert!(s.engine.payload() == large.as_bytes() && s.engine.payload_left() == Some(5000));
    let now = s.now();
    s.engine.payload_taken(came, now);
    s.wake_and_settle();
    s.expect_sent(puback(7));
    s.expect_usable();
}

#[test]
fn call_waits_behind_a_payload_that_somebody_takes_slowly() {
    for most in [1000, 20_000, 40_000, 64 * 1024] {
        let mut s = streaming(options().response_timeout(Duration::from_secs(1000)));
        let listener = s.listen_streaming();
        let large = payload(3_000_000);
        let message = s.publish(QOS_1, "p", "1");
        s.expect_sent(publish(QOS_1, 1, "p", "1"));
        s.broker_sends_all(&[publish(QOS_0, 0, "a", &large), puback(1)]);
        let payload = s.expect_streamed(listener, "a", large.len());
        for _ in 0..10 {
            s.wait(SECOND / 2);
            assert!(matches!(s.take_some(payload, most), Poll::Ready(Ok(_))));
            s.expect_pending(message);
        }
        s.wait(2 * SECOND);
        s.expect_failed(message, Error::AnswerBehindMessages);
    }
}

#[test]
fn more_than_any_packet_has_is_refused() {
    let s = streaming(options());
    for len in [300_000_000, u64::from(u32::MAX), u64::MAX] {
        assert!(s.engine.check_streamed(&Publish::new("a", "beginning"), len).is_err());
    }
}
