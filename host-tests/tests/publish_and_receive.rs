//! What a client is for: messages reach a broker and come back, intact and in order, whatever the QoS and the size.

use std::time::Duration;

use host_tests::broker::{each_broker, url};
use host_tests::guest::Guest;
use host_tests::subject::{Native, SOON, Settings, Subject};
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::codec::PublishProperties;
use mqtt_wasi::{Message, Publish, QoS, ReasonCode, RetainHandling, Subscription};

each_subject!(
    every_size_comes_back_intact_at_every_qos,
    every_property_comes_back_intact,
    retained_message_waits_for_subscribers,
    each_filter_is_granted_its_qos,
    unsubscribed_messages_stay_away,
    batch_larger_than_the_window_is_acknowledged_and_stays_in_order,
    enqueued_messages_arrive_in_order,
);

each_subject_over_websocket!(
    every_size_comes_back_intact_at_every_qos,
    every_property_comes_back_intact,
    retained_message_waits_for_subscribers,
    each_filter_is_granted_its_qos,
    unsubscribed_messages_stay_away,
    batch_larger_than_the_window_is_acknowledged_and_stays_in_order,
    enqueued_messages_arrive_in_order,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Far more than may be in flight at once.
const MANY: u32 = 10_000;

#[test]
fn guest_gets_everything_back_intact() {
    let guest = Guest::load("publish_and_receive");
    each_broker(|broker| assert_eq!(guest.run(broker), "received 15\n"));
}

#[test]
fn messages_iterate_until_the_connection_ends() {
    each_broker(|broker| {
        let mut subject = connect::<Native>(&url(broker));
        subject.subscribe("iterated", QoS::AtLeastOnce);
        for number in 0..3 {
            subject.publish(&Publish::new("iterated", &[number]).qos(QoS::AtLeastOnce)).unwrap();
        }
        let payloads: Vec<_> = subject.client.messages().take(3).map(|message| message.unwrap().payload).collect();
        assert_eq!(payloads, [[0], [1], [2]]);

        subject.disconnect().unwrap();
        let ended: Vec<_> = subject.client.messages().collect();
        assert!(matches!(ended.as_slice(), [Err(_)]), "{ended:?}");
    });
}

fn every_size_comes_back_intact_at_every_qos<S: Subject>() {
    each_broker(|broker| {
        // A broker may echo a message before it acknowledges it, so there must be room for the largest.
        let settings = Settings { backlog_limit: Some(4 * 1024 * 1024), ..Settings::default() };
        let mut client = S::connect(&url(broker), &settings).unwrap();
        client.subscribe("sizes/#", QoS::ExactlyOnce);
        for size in [0, 1, 127, 128, 16_384, 1024 * 1024] {
            let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            for qos in QOS {
                client.publish(&Publish::new("sizes/a", &payload).qos(qos)).unwrap();
                let received = client.expect_message();
                assert_eq!((received.topic.as_str(), received.qos), ("sizes/a", qos));
                assert!(received.payload == payload, "{size} bytes at {qos:?} came back changed");
            }
        }
        client.disconnect().unwrap();
    });
}

fn every_property_comes_back_intact<S: Subject>() {
    let user_properties = [("unit", "°C"), ("unit", "K"), ("", "")];
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(1_000),
        content_type: Some("text/plain"),
        response_topic: Some("answers/here"),
        correlation_data: Some(b"\0\xFF"),
        user_properties: (&user_properties).into(),
        ..PublishProperties::default()
    };
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        let granted = client.subscribe_as(&[Subscription::new("all/+", QoS::ExactlyOnce)], Some(268_435_455));
        assert_eq!(granted, Ok(vec![Ok(QoS::ExactlyOnce)]));
        client.publish(&Publish::new("all/of/them", "").qos(QoS::AtLeastOnce)).unwrap();
        client.publish(&Publish::new("all/ä", "21").qos(QoS::AtLeastOnce).properties(properties)).unwrap();

        let received = client.expect_message();
        assert_eq!((received.topic.as_str(), received.payload.as_slice()), ("all/ä", &b"21"[..]));
        assert_eq!(received.payload_format_indicator, Some(true));
        assert!(received.message_expiry_interval.is_some_and(|left| (990..=1_000).contains(&left)), "{received:?}");
        assert_eq!(received.content_type.as_deref(), Some("text/plain"));
        assert_eq!(received.response_topic.as_deref(), Some("answers/here"));
        assert_eq!(received.correlation_data.as_deref(), Some(&b"\0\xFF"[..]));
        assert_eq!(received.subscription_identifiers, [268_435_455]);
        assert_eq!(without_the_brokers_own(&received), user_properties);
    });
}

fn retained_message_waits_for_subscribers<S: Subject>() {
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        let kept = Publish::new("kept", "last word").qos(QoS::AtLeastOnce).retain(true);
        client.publish(&kept).unwrap();
        client.subscribe("kept", QoS::AtLeastOnce);
        let received = client.expect_message();
        assert_eq!((received.payload.as_slice(), received.retain), (&b"last word"[..], true));

        let mut other = connect::<S>(&url(broker));
        let unwanted = Subscription {
            retain_handling: RetainHandling::DoNotSend,
            retain_as_published: true,
            ..Subscription::new("kept", QoS::AtLeastOnce)
        };
        other.subscribe_as(&[unwanted], None).unwrap();
        client.publish(&Publish { payload: b"newer", ..kept }).unwrap();
        let received = other.expect_message();
        assert_eq!((received.payload.as_slice(), received.retain), (&b"newer"[..], true), "and none before it");
    });
}

fn each_filter_is_granted_its_qos<S: Subject>() {
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        let subscriptions = QOS.map(|qos| Subscription::new(["zero/+", "one/#", "+/two"][qos as usize], qos));
        assert_eq!(client.subscribe_as(&subscriptions, None), Ok(QOS.map(Ok).into()));
        for (topic, qos) in ["zero/a", "one/a/b", "a/two"].into_iter().zip(QOS) {
            client.publish(&Publish::new(topic, "").qos(QoS::ExactlyOnce)).unwrap();
            let received = client.expect_message();
            assert_eq!((received.topic.as_str(), received.qos), (topic, qos), "the lower of both");
        }
    });
}

fn unsubscribed_messages_stay_away<S: Subject>() {
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        client.subscribe("wanted", QoS::AtLeastOnce);
        client.subscribe("unwanted", QoS::AtLeastOnce);
        let codes = client.unsubscribe(&["unwanted", "unknown"]);
        assert_eq!(codes, Ok(vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted]));
        for topic in ["unwanted", "wanted"] {
            client.publish(&Publish::new(topic, "").qos(QoS::AtLeastOnce)).unwrap();
        }
        assert_eq!(client.expect_message().topic, "wanted");
        assert_eq!(client.receive(Duration::ZERO), Ok(None));
    });
}

fn batch_larger_than_the_window_is_acknowledged_and_stays_in_order<S: Subject>() {
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        client.subscribe("batch", QoS::AtLeastOnce);
        let payloads: Vec<_> = (0..MANY).map(u32::to_be_bytes).collect();
        let messages: Vec<_> =
            payloads.iter().map(|payload| Publish::new("batch", payload).qos(QoS::AtLeastOnce)).collect();

        let results = client.publish_batch(&messages);
        assert_eq!(results, vec![Ok(ReasonCode::Success); MANY as usize]);
        assert_eq!(client.in_flight(), 0);
        assert_eq!(receive_numbers(&mut client), Vec::from_iter(0..MANY));
    });
}

fn enqueued_messages_arrive_in_order<S: Subject>() {
    each_broker(|broker| {
        let mut client = connect::<S>(&url(broker));
        client.subscribe("enqueued", QoS::AtMostOnce);
        for number in 0..MANY {
            client.enqueue(&Publish::new("enqueued", &number.to_be_bytes())).unwrap();
        }
        client.flush().unwrap();
        assert_eq!(receive_numbers(&mut client), Vec::from_iter(0..MANY));
    });
}

fn connect<S: Subject>(url: &str) -> S {
    S::connect(url, &Settings::default()).unwrap()
}

/// The numbers of [`MANY`] messages, as they came.
fn receive_numbers<S: Subject>(client: &mut S) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < MANY as usize {
        let messages = client.receive_batch(256, SOON).unwrap();
        assert!((1..=256).contains(&messages.len()), "{} messages after {}", messages.len(), numbers.len());
        numbers.extend(messages.iter().map(|message| u32::from_be_bytes(message.payload[..].try_into().unwrap())));
    }
    numbers
}

/// The embedded broker says with each message who published it.
fn without_the_brokers_own(message: &Message) -> Vec<(&str, &str)> {
    let all = message.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, _)| *name != "x-mqtt-client-id").collect()
}
