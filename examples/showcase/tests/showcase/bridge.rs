//! The bridge forwards both ways, as messages are, and loses none when a broker is down.

use std::net::SocketAddr;

use host_tests::broker::{Mosquitto, url};
use mqtt_wasi::{Client, Message, Options, Publish, PublishProperties, QoS};

use crate::form::{BOTH, Form, Program, Running};
use crate::observer::{Observer, text};

/// Starts it, and waits until it works: a retained message is there when it subscribes. The native one ends with what
/// is returned. The component continues on a thread of the test, and its brokers are gone.
fn start(
    form: Form,
    filters: &[&str],
    near: &mut Observer,
    far: &mut Observer,
    brokers: [SocketAddr; 2],
) -> Option<Running> {
    let topic = filters[0].replace('#', "first");
    near.publish(&Publish::new(&topic, "first").qos(QoS::AtLeastOnce).retain(true));
    let program = Program::of_readme("bridge", &brokers).with_filters(filters);
    let running = match form {
        Form::Native => Some(program.start_until(" comes back")),
        Form::Component => {
            program.start(form);
            None
        }
    };
    far.wait_for("the first message", |message| message.topic == topic);
    running
}

fn is<'a>(topic: &'a str, payload: &'a str) -> impl FnMut(&Message) -> bool + 'a {
    move |message| message.topic == topic && text(message) == payload
}

#[test]
fn messages_go_both_ways_as_they_are() {
    for form in BOTH {
        let (Some(near_broker), Some(far_broker)) = (Mosquitto::start(), Mosquitto::start()) else { return };
        let brokers = [near_broker.address(), far_broker.address()];
        let mut near = Observer::start(brokers[0], "#");
        let mut far = Observer::start(brokers[1], "#");
        let _bridge = start(form, &["out/#", "back/#"], &mut near, &mut far, brokers);
        let properties = PublishProperties {
            payload_format_indicator: Some(true),
            content_type: Some("text/plain"),
            response_topic: Some("answers"),
            correlation_data: Some(b"\x00\x07"),
            user_properties: (&[("origin", "near"), ("origin", "twice")][..]).into(),
            ..PublishProperties::default()
        };
        near.publish(&Publish::new("out/1", "there").qos(QoS::AtLeastOnce).properties(properties));
        let message = far.wait_for("what goes out", is("out/1", "there"));
        assert_eq!((message.qos, message.payload_format_indicator), (QoS::AtLeastOnce, Some(true)));
        assert_eq!(
            (message.content_type.as_deref(), message.response_topic.as_deref()),
            (Some("text/plain"), Some("answers"))
        );
        assert_eq!(message.correlation_data.as_deref(), Some(&b"\x00\x07"[..]));
        let pairs: Vec<_> = message.user_properties.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(pairs, [("origin", "near"), ("origin", "twice")], "{form:?}");

        far.publish(&Publish::new("back/1", "and back").qos(QoS::AtLeastOnce));
        near.wait_for("what comes back", is("back/1", "and back"));
        far.publish(&Publish::new("out/2", "not for the other side").qos(QoS::AtLeastOnce));
        assert!(near.rest().iter().all(|message| message.topic != "out/2"));
        // It was forwarded as retained, so it is there for later subscribers of the far broker.
        let mut late = Client::connect(&url(brokers[1]), Options::new()).unwrap();
        late.subscribe(&[mqtt_wasi::Subscription::new("out/first", QoS::AtLeastOnce)]).unwrap();
        assert!(late.receive_timeout(std::time::Duration::from_secs(30)).unwrap().is_some_and(|first| first.retain));
    }
}

#[test]
fn filters_that_match_the_same_make_no_loop() {
    for form in BOTH {
        let (Some(near_broker), Some(far_broker)) = (Mosquitto::start(), Mosquitto::start()) else { return };
        let brokers = [near_broker.address(), far_broker.address()];
        let (mut near, mut far) = (Observer::start(brokers[0], "#"), Observer::start(brokers[1], "#"));
        let _bridge = start(form, &["both/#", "both/#"], &mut near, &mut far, brokers);
        near.rest();
        near.publish(&Publish::new("both/1", "once").qos(QoS::AtLeastOnce));
        for observer in [&mut near, &mut far] {
            let seen = observer.all_with("the message", is("both/1", "once"));
            assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), ["once"], "{form:?}");
        }
    }
}

#[test]
fn broker_that_is_down_gets_its_messages_later() {
    for form in BOTH {
        let Some(near_broker) = Mosquitto::start() else { return };
        let Some(mut far_broker) = Mosquitto::start_persistent() else { return };
        let brokers = [near_broker.address(), far_broker.address()];
        let (mut near, mut far) = (Observer::start(brokers[0], "none"), Observer::start(brokers[1], "#"));
        let _bridge = start(form, &["out/#", "back/#"], &mut near, &mut far, brokers);
        far_broker.stop();
        for number in 1..=5 {
            near.publish(&Publish::new("out/late", &number.to_string()).qos(QoS::AtLeastOnce));
        }
        far_broker.start_again();
        let mut missing: Vec<_> = (1..=5).map(|number| number.to_string()).collect();
        far.wait_for("all five", |message| {
            missing.retain(|number| message.topic != "out/late" || *number != text(message));
            missing.is_empty()
        });
    }
}
