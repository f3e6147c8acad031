//! Topic Aliases change how messages travel, and nothing about what arrives.

use host_tests::broker::{each_broker, url};
use host_tests::subject::{Settings, Subject};
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::{Publish, QoS};

each_subject!(messages_keep_their_topics_while_aliases_change_hands);

each_subject_over_websocket!(messages_keep_their_topics_while_aliases_change_hands);

fn messages_keep_their_topics_while_aliases_change_hands<S: Subject>() {
    each_broker(|broker| {
        let settings = Settings { client_id: "aliases", topic_aliases: Some(3), ..Settings::default() };
        let mut client = S::connect(&url(broker), &settings).unwrap();
        client.subscribe("aliased/#", QoS::ExactlyOnce);
        for number in 0..60_u8 {
            let topic = format!("aliased/by/number/{}", number % 7 * (number % 3));
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(number) % 3];
            client.publish(&Publish::new(&topic, &[number]).qos(qos)).unwrap();
            let message = client.expect_message();
            assert_eq!((message.topic.as_str(), message.payload.as_slice()), (topic.as_str(), &[number][..]));
        }
        client.disconnect().unwrap();
    });
}
