//! How the cost of an operation grows with something, on the session without a network.
//!
//! A run of a point leaves its session as it was, so that each run does the same. The points of a curve take turns in
//! rounds, so that what slows the machine down meanwhile slows them all down.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use mqtt_wasi::codec::{Packet, SubscribeProperties};
use mqtt_wasi::session::{Event, Session};
use mqtt_wasi::{Options, Publish, PublishProperties, QoS, Subscription};

use crate::jobs::{connected, feed, plain, transmit};
use crate::results::Curve;

/// Bytes of payload where something else grows.
const PAYLOAD: usize = 64;

/// Operations of a run, but where they would move more bytes than `MOST_BYTES`.
const OPERATIONS: usize = 1_000;
const MOST_BYTES: usize = 4 << 20;

/// What waits to be sent is taken when it is more than this many bytes.
const WRITE: usize = 1 << 16;

/// Room for as many messages in flight as there are Packet Identifiers.
const OUTBOUND_LIMIT: usize = 64 << 20;

/// What replies are waited for, which none is late for.
const TIMEOUT: Duration = Duration::from_secs(60);

const SIZES: [usize; 9] = [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const IN_FLIGHT: [usize; 8] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384];
const SUBSCRIPTIONS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const PENDING: [usize; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];
const USER_PROPERTIES: [usize; 6] = [0, 1, 4, 16, 64, 256];

/// One value of what grows.
struct Point {
    x: usize,
    /// How many operations a run does.
    operations: usize,
    /// Does them, and says how long they took.
    run: Box<dyn FnMut() -> Duration>,
}

/// Measures all curves.
pub(crate) fn run(rounds: usize) -> Vec<Curve> {
    let payload = ["bytes of payload", "ns a message"];
    let properties = ["User Properties", "ns a message"];
    vec![
        curve("publish at QoS 0, by size", payload, &SIZES, |x| publishing(x, plain(x)), rounds),
        curve("receive at QoS 0, by size", payload, &SIZES, |x| receiving(x, session(), plain(x)), rounds),
        curve(
            "publish at QoS 1 and PUBACK, with others in flight",
            ["other messages in flight", "ns a message"],
            &IN_FLIGHT,
            acknowledged,
            rounds,
        ),
        curve(
            "receive at QoS 0, with subscriptions made",
            ["subscriptions", "ns a message"],
            &SUBSCRIPTIONS,
            |x| receiving(x, subscribed(x), plain(PAYLOAD)),
            rounds,
        ),
        curve(
            "subscribe, one SUBSCRIBE and SUBACK each",
            ["subscriptions made", "ns a subscription"],
            &SUBSCRIPTIONS,
            subscribing,
            rounds,
        ),
        curve(
            "request and reply, with others pending",
            ["other requests pending", "ns a request"],
            &PENDING,
            requesting,
            rounds,
        ),
        curve(
            "publish at QoS 0, with User Properties",
            properties,
            &USER_PROPERTIES,
            |x| publishing(x, with_user_properties(x)),
            rounds,
        ),
        curve(
            "receive at QoS 0, with User Properties",
            properties,
            &USER_PROPERTIES,
            |x| receiving(x, session(), with_user_properties(x)),
            rounds,
        ),
    ]
}

fn curve(name: &str, [x, y]: [&str; 2], values: &[usize], point: impl Fn(usize) -> Point, rounds: usize) -> Curve {
    let mut points: Vec<_> = values.iter().map(|&value| point(value)).collect();
    // The first run finds buffers to be grown.
    for point in &mut points {
        (point.run)();
    }
    let mut times = vec![Vec::new(); points.len()];
    for _ in 0..rounds.max(1) {
        for (point, times) in points.iter_mut().zip(&mut times) {
            times.push((point.run)().as_secs_f64() * 1e9 / point.operations as f64);
        }
    }
    let points = points.iter().zip(times).map(|(point, times)| (point.x as f64, median(times))).collect();
    Curve { name: name.into(), x: x.into(), y: y.into(), points }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(mut run: impl FnMut() + 'static) -> Box<dyn FnMut() -> Duration> {
    Box::new(move || {
        let start = Instant::now();
        run();
        start.elapsed()
    })
}

fn session() -> Session {
    connected(Options::new())
}

/// How many of a message a run moves.
fn operations(message: &Publish<'_>) -> usize {
    let len = message.encoded_len().expect("a valid message");
    (MOST_BYTES / len).clamp(2, OPERATIONS)
}

/// Publishes a message over and over; what is to be sent is taken in large pieces.
fn publishing(x: usize, message: Publish<'static>) -> Point {
    let mut session = session();
    let operations = operations(&message);
    let run = move || {
        for _ in 0..operations {
            session.publish(black_box(&message)).expect("there is room");
            if session.transmit().len() > WRITE {
                transmit(&mut session);
            }
        }
        transmit(&mut session);
    };
    Point { x, operations, run: timed(run) }
}

/// Receives a message over and over.
fn receiving(x: usize, mut session: Session, message: Publish<'static>) -> Point {
    let operations = operations(&message);
    let mut bytes = Vec::new();
    for _ in 0..operations {
        message.encode(&mut bytes).expect("a valid message");
    }
    let run = move || {
        let mut received = 0;
        feed(&mut session, &bytes, |session| {
            while let Some(message) = session.receive() {
                black_box(message);
                received += 1;
            }
        });
        assert_eq!(received, operations);
    };
    Point { x, operations, run: timed(run) }
}

/// Publishes a message at QoS 1, and acknowledges the one that is in flight longest.
fn acknowledged(others: usize) -> Point {
    let limit = u16::try_from(others + 1).expect("there are that many Packet Identifiers");
    let mut session = connected(Options::new().in_flight_limit(limit).outbound_limit(OUTBOUND_LIMIT));
    let message = plain(PAYLOAD).qos(QoS::AtLeastOnce);
    let mut in_flight: VecDeque<_> = (0..others).map(|_| publish(&mut session, &message)).collect();
    let run = move || {
        for _ in 0..OPERATIONS {
            in_flight.push_back(publish(&mut session, &message));
            let [high, low] = in_flight.pop_front().expect("one was put in");
            feed(&mut session, &[0x40, 2, high, low], |session| {
                while let Some(event) = session.poll_event() {
                    assert!(matches!(event, Event::Published { .. }));
                }
            });
        }
    };
    Point { x: others, operations: OPERATIONS, run: timed(run) }
}

/// Sends a message of less than 128 bytes at QoS 1, and returns its Packet Identifier as it is on the wire.
fn publish(session: &mut Session, message: &Publish<'_>) -> [u8; 2] {
    session.publish(black_box(message)).expect("there is room");
    // Behind a fixed header of two bytes, and the Topic Name with its length.
    let place = 4 + message.topic.len();
    let id = [session.transmit()[place], session.transmit()[place + 1]];
    transmit(session);
    id
}

fn filters(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("bench/{number}/+")).collect()
}

fn subscribed(count: usize) -> Session {
    let mut session = session();
    for filter in filters(count) {
        subscribe(&mut session, &filter);
    }
    session
}

/// Makes as many subscriptions, one after the other, on sessions that have none.
fn subscribing(count: usize) -> Point {
    let filters = filters(count);
    // A few take less time than a clock is good for.
    let sessions = (200 / count).max(1);
    let run = move || {
        let mut sessions: Vec<_> = (0..sessions).map(|_| session()).collect();
        let start = Instant::now();
        for session in &mut sessions {
            for filter in &filters {
                subscribe(session, filter);
            }
        }
        start.elapsed()
    };
    Point { x: count, operations: count * sessions, run: Box::new(run) }
}

fn subscribe(session: &mut Session, filter: &str) {
    let subscription = Subscription::new(filter, QoS::AtLeastOnce);
    session.subscribe(&[subscription], SubscribeProperties::default()).expect("there is room");
    grant(session);
}

/// Answers a SUBSCRIBE of less than 128 bytes, with one Topic Filter.
fn grant(session: &mut Session) {
    // Behind a fixed header of two bytes.
    let [high, low] = [session.transmit()[2], session.transmit()[3]];
    transmit(session);
    feed(session, &[0x90, 4, high, low, 0, 1], |session| {
        while let Some(event) = session.poll_event() {
            assert!(matches!(event, Event::Subscribed { result: Ok(_), .. }));
        }
    });
}

/// Sends a request, and answers the one that has waited longest.
fn requesting(others: usize) -> Point {
    let mut requester = Requester::new(others + 1);
    let mut pending: VecDeque<_> = (0..others).map(|_| requester.ask()).collect();
    let run = move || {
        for _ in 0..OPERATIONS {
            pending.push_back(requester.ask());
            let oldest = pending.pop_front().expect("one was put in");
            requester.answer(oldest);
        }
    };
    Point { x: others, operations: OPERATIONS, run: timed(run) }
}

/// Correlation Data of a request.
type Correlation = [u8; 20];

/// A session that sends requests, and the other end of it.
struct Requester {
    session: Session,
    request: Publish<'static>,
    /// A reply, which only needs the Correlation Data of its request.
    reply: Vec<u8>,
    /// Where the Correlation Data is in a request and in a reply.
    places: [usize; 2],
    nonce: u64,
}

impl Requester {
    /// With at most so many requests pending.
    fn new(limit: usize) -> Self {
        let mut session = connected(Options::new().client_id("bench").pending_request_limit(limit));
        let request = plain(PAYLOAD);
        // The first one makes the session subscribe to its Response Topic, and goes no further.
        session.request(&request, TIMEOUT, 0, mqtt_wasi::Instant::ZERO).expect_err("no replies come yet");
        grant(&mut session);
        session.request(&request, TIMEOUT, 0, mqtt_wasi::Instant::ZERO).expect("replies come now");
        let sent = session.transmit().to_vec();
        transmit(&mut session);
        let (reply, places) = reply_to(&sent);
        feed(&mut session, &reply, |session| while session.poll_event().is_some() {});
        Self { session, request, reply, places, nonce: 0 }
    }

    fn ask(&mut self) -> Correlation {
        self.nonce += 1;
        self.session
            .request(black_box(&self.request), TIMEOUT, self.nonce, mqtt_wasi::Instant::ZERO)
            .expect("there is room");
        let [place, _] = self.places;
        let correlation = self.session.transmit()[place..].first_chunk().copied().expect("all of them are as long");
        transmit(&mut self.session);
        correlation
    }

    fn answer(&mut self, correlation: Correlation) {
        let [_, place] = self.places;
        self.reply[place..][..correlation.len()].copy_from_slice(&correlation);
        let mut replies = 0;
        feed(&mut self.session, &self.reply, |session| {
            while let Some(event) = session.poll_event() {
                assert!(matches!(black_box(event), Event::Replied { result: Ok(_), .. }));
                replies += 1;
            }
        });
        assert_eq!(replies, 1);
    }
}

/// The reply to a request, and where both have its Correlation Data.
fn reply_to(request: &[u8]) -> (Vec<u8>, [usize; 2]) {
    let Ok(Some((Packet::Publish(asked), _))) = Packet::decode(request) else { panic!("a request is a PUBLISH") };
    let (Some(topic), Some(correlation)) = (asked.properties.response_topic, asked.properties.correlation_data) else {
        panic!("a request says where its reply goes");
    };
    assert_eq!(correlation.len(), size_of::<Correlation>());
    let properties = PublishProperties { correlation_data: Some(correlation), ..PublishProperties::default() };
    let mut reply = Vec::new();
    Publish::new(topic, asked.payload).properties(properties).encode(&mut reply).expect("a valid message");
    let places = [request, reply.as_slice()].map(|bytes| {
        let mut windows = bytes.windows(correlation.len());
        windows.position(|window| window == correlation).expect("it is in there")
    });
    (reply, places)
}

fn with_user_properties(count: usize) -> Publish<'static> {
    const TRACE: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let user_properties: &'static [_] = vec![TRACE; count].leak();
    let properties = PublishProperties { user_properties: user_properties.into(), ..PublishProperties::default() };
    plain(PAYLOAD).properties(properties)
}
