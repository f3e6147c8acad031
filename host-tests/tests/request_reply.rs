//! Requests and replies: each requester gets the reply to its own request, or is told why there is none, whatever the
//! broker and the responder do.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use host_tests::broker::{Mosquitto, each_broker, url};
use host_tests::subject::{Async, ErrorKind, Native, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::codec::PublishProperties;
use mqtt_wasi::{Error, Message, Publish, QoS, Subscription, TraceContext};

each_subject!(
    many_requests_each_get_their_own_reply,
    responder_that_fails_tells_the_requester_why,
    request_that_nobody_answers_runs_out_of_time,
    request_that_nobody_is_there_for_is_told_by_the_broker,
    trace_context_comes_with_the_request,
    thousand_requests_survive_a_restart_of_the_broker,
);

each_subject_over_websocket!(
    many_requests_each_get_their_own_reply,
    responder_that_fails_tells_the_requester_why,
    request_that_nobody_answers_runs_out_of_time,
    request_that_nobody_is_there_for_is_told_by_the_broker,
    trace_context_comes_with_the_request,
    thousand_requests_survive_a_restart_of_the_broker,
);

/// More than a client has in flight at once.
const MANY: u32 = 3_000;

#[test]
fn served_requests_are_answered_by_the_handler() {
    each_broker(|broker| {
        // The blocking client serves, and the async client asks.
        let mut responder = Native::connect(&url(broker), &Settings::default()).unwrap();
        let subscription = Subscription::new("double/blocking", QoS::AtLeastOnce);
        thread::spawn(move || responder.client.serve(subscription, double));
        let asking = Async::connect(&url(broker), &Settings::default()).unwrap();
        // And the other way round.
        let serving = Async::connect(&url(broker), &Settings::default()).unwrap();
        let client = serving.client.clone();
        serving.runtime.spawn(async move {
            let subscription = Subscription::new("double/async", QoS::AtLeastOnce);
            client.serve(subscription, async |request: &Message| double(request)).await
        });
        for topic in ["double/blocking", "double/async"] {
            let ask = |number: &'static str| {
                let request = Publish::new(topic, number).qos(QoS::AtLeastOnce);
                loop {
                    // Until the responder has subscribed.
                    match asking.runtime.block_on(asking.client.request(&request, SOON)) {
                        Err(Error::NoResponder) => {}
                        reply => break reply,
                    }
                }
            };
            assert_eq!(ask("21").unwrap().payload, b"42", "{topic}");
            assert!(
                matches!(ask("many"), Err(Error::RequestFailed(failure)) if failure.text.contains("invalid digit"))
            );
        }
    });
}

fn many_requests_each_get_their_own_reply<S: Subject>() {
    each_broker(|broker| {
        let mut client = S::connect(&url(broker), &Settings::default()).unwrap();
        let mut responder = Native::connect(&url(broker), &Settings::default()).unwrap();
        responder.subscribe("square", QoS::AtLeastOnce);
        let answering = thread::spawn(move || {
            for _ in 0..MANY {
                assert!(responder.answer_next(SOON, &mut |request| Ok(square(number(request)))).unwrap());
            }
            responder.disconnect().unwrap();
        });
        let payloads: Vec<_> = (0..MANY).map(u32::to_be_bytes).collect();
        let requests: Vec<_> =
            payloads.iter().map(|payload| Publish::new("square", payload).qos(QoS::AtLeastOnce)).collect();
        for (number, reply) in (0..MANY).zip(client.request_all(&requests, 4 * SOON)) {
            assert_eq!(reply.unwrap().payload, square(number));
        }
        let stats = client.stats();
        assert_eq!((stats.pending_requests, stats.late_replies, stats.unmatched_replies), (0, 0, 0));
        answering.join().unwrap();
        client.disconnect().unwrap();
    });
}

fn responder_that_fails_tells_the_requester_why<S: Subject>() {
    each_broker(|broker| {
        let mut responder = S::connect(&url(broker), &Settings::default()).unwrap();
        responder.subscribe("divide", QoS::ExactlyOnce);
        let mut requester = Native::connect(&url(broker), &Settings::default()).unwrap();
        let asking = thread::spawn(move || {
            let request = Publish::new("divide", b"1/0").qos(QoS::AtLeastOnce);
            requester.request_all(&[request], SOON).remove(0).unwrap_err()
        });
        let fail = &mut |request: &Message| Err(format!("{} is too hard", String::from_utf8_lossy(&request.payload)));
        assert!(responder.answer_next(SOON, fail).unwrap());
        let failure = asking.join().unwrap();
        assert_eq!((failure.kind, failure.message.as_str()), (ErrorKind::RequestFailed, "1/0 is too hard"));
        responder.disconnect().unwrap();
    });
}

fn request_that_nobody_answers_runs_out_of_time<S: Subject>() {
    undisturbed(|| {
        each_broker(|broker| {
            let mut client = S::connect(&url(broker), &Settings::default()).unwrap();
            let mut silent = Native::connect(&url(broker), &Settings::default()).unwrap();
            silent.subscribe("ignored", QoS::AtLeastOnce);
            let request = Publish::new("ignored", b"?").qos(QoS::AtLeastOnce);
            let failure = client.request_all(&[request], Duration::from_secs(1)).remove(0).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Timeout);
            assert_eq!(client.stats().pending_requests, 0);

            // The reply that comes all the same is in nobody's way.
            let asked = silent.expect_message();
            assert_eq!(asked.message_expiry_interval, Some(1));
            answer(&mut silent, &asked, b"late");
            take_in_late_replies(&mut client, 1);
            client.disconnect().unwrap();
        });
    });
}

fn request_that_nobody_is_there_for_is_told_by_the_broker<S: Subject>() {
    let Some(broker) = Mosquitto::start() else { return };
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    let request = Publish::new("nowhere", b"?").qos(QoS::AtLeastOnce);
    let failure = client.request_all(&[request], SOON).remove(0).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::NoResponder);
    client.disconnect().unwrap();
}

fn trace_context_comes_with_the_request<S: Subject>() {
    each_broker(|broker| {
        let mut responder = S::connect(&url(broker), &Settings::default()).unwrap();
        responder.subscribe("traced", QoS::AtLeastOnce);
        let mut requester = Native::connect(&url(broker), &Settings::default()).unwrap();
        let context = TraceContext::new_root([7; 24], true).with_entry("vendor", "1").unwrap();
        let sent = context.clone();
        let asking = thread::spawn(move || {
            let request = Publish::new("traced", b"?").qos(QoS::AtLeastOnce);
            requester.client.request_traced(&request, SOON, &sent).unwrap()
        });
        let mut seen = None;
        let note = &mut |request: &Message| {
            seen = request.trace_context();
            Ok(Vec::new())
        };
        assert!(responder.answer_next(SOON, note).unwrap());
        asking.join().unwrap();
        assert_eq!(seen, Some(context));
        responder.disconnect().unwrap();
    });
}

/// What the responder does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    AnsweredTwice,
    AnsweredTooLate,
    NeverAnswered,
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::AnsweredTwice, Fate::AnsweredTooLate, Fate::NeverAnswered];

fn fate(number: u32) -> Fate {
    // Half of them are answered as they should be.
    *FATES.get((number % 8) as usize).unwrap_or(&Fate::Answered)
}

fn thousand_requests_survive_a_restart_of_the_broker<S: Subject>() {
    undisturbed(|| {
        const THOUSAND: u32 = 1_000;
        let Some(mut broker) = Mosquitto::start_persistent() else { return };
        let settings = |client_id| Settings {
            client_id,
            session_expiry_interval: Some(60),
            clean_start: Some(false),
            reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
            ..Settings::default()
        };
        let mut client = S::connect(&broker.url(), &settings("requester")).unwrap();
        let mut responder = Native::connect(&broker.url(), &settings("responder")).unwrap();
        responder.subscribe("asked", QoS::AtLeastOnce);

        let (time_is_up, is_too_late) = mpsc::channel();
        let responding = thread::spawn(move || {
            let mut asked = BTreeSet::new();
            let mut requests = Vec::new();
            while requests.len() < THOUSAND as usize {
                let request = responder.expect_message();
                if asked.insert(number(&request)) {
                    requests.push(request);
                }
            }
            broker.stop();
            broker.start_again();
            shuffle(&mut requests);
            let mut late = Vec::new();
            for request in requests {
                let reply = square(number(&request));
                match fate(number(&request)) {
                    Fate::Answered => answer(&mut responder, &request, &reply),
                    Fate::AnsweredTwice => (0..2).for_each(|_| answer(&mut responder, &request, &reply)),
                    Fate::AnsweredTooLate => late.push(request),
                    Fate::NeverAnswered => {}
                }
            }
            is_too_late.recv().unwrap();
            for request in &late {
                answer(&mut responder, request, b"late");
            }
            responder.disconnect().unwrap();
            broker
        });

        let payloads: Vec<_> = (0..THOUSAND).map(u32::to_be_bytes).collect();
        let requests: Vec<_> =
            payloads.iter().map(|payload| Publish::new("asked", payload).qos(QoS::AtLeastOnce)).collect();
        for (number, reply) in (0..THOUSAND).zip(client.request_all(&requests, Duration::from_secs(12))) {
            match fate(number) {
                Fate::Answered | Fate::AnsweredTwice => assert_eq!(reply.unwrap().payload, square(number), "{number}"),
                Fate::AnsweredTooLate | Fate::NeverAnswered => {
                    assert_eq!(reply.unwrap_err().kind, ErrorKind::Timeout, "{number}");
                }
            }
        }
        time_is_up.send(()).unwrap();
        let broker = responding.join().unwrap();

        let dropped =
            (0..THOUSAND).filter(|&number| matches!(fate(number), Fate::AnsweredTwice | Fate::AnsweredTooLate));
        take_in_late_replies(&mut client, dropped.count() as u64);
        let stats = client.stats();
        assert_eq!((stats.pending_requests, stats.in_flight, stats.unmatched_replies), (0, 0, 0));
        assert_eq!(stats.reconnects, 1);
        client.disconnect().unwrap();
        drop(broker);
    });
}

/// Lets the client see replies that come too late, at least so many: the user sees none of them.
fn take_in_late_replies<S: Subject>(client: &mut S, replies: u64) {
    let until = Instant::now() + SOON;
    while client.stats().late_replies < replies {
        assert!(Instant::now() < until, "{:?}", client.stats());
        assert_eq!(client.receive(Duration::from_millis(20)), Ok(None));
    }
}

/// Sends a reply as any MQTT client would.
fn answer(responder: &mut Native, request: &Message, payload: &[u8]) {
    let topic = request.response_topic.as_deref().expect("a Response Topic");
    let properties =
        PublishProperties { correlation_data: request.correlation_data.as_deref(), ..PublishProperties::default() };
    responder.publish(&Publish::new(topic, payload).qos(QoS::AtLeastOnce).properties(properties)).unwrap();
}

fn number(request: &Message) -> u32 {
    u32::from_be_bytes(request.payload.as_slice().try_into().expect("a number"))
}

fn square(number: u32) -> Vec<u8> {
    (u64::from(number) * u64::from(number)).to_be_bytes().into()
}

fn double(request: &Message) -> Result<String, std::num::ParseIntError> {
    String::from_utf8_lossy(&request.payload).parse().map(|number: u32| (2 * number).to_string())
}

/// The same order each time, and no order at all.
fn shuffle<T>(items: &mut [T]) {
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    for place in (1..items.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(place, (random >> 33) as usize % (place + 1));
    }
}
