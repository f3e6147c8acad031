//! The client against brokers in the cloud, over TLS with Mozilla's roots: certificates, names and versions as the
//! world has them. That takes accounts, which the environment names: see `.env.example`.
//!
//! Where it names none, these tests say so and are skipped. They are the only ones that may be, in CI too: not everyone
//! who runs the tests has an account, or a way out to the internet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mqtt_wasi::{Client, Options, Publish, QoS, Subscription, TlsOptions};

#[test]
fn hivemq_cloud_sends_a_message_back() {
    let login = (variable("HIVEMQ_ADDR"), variable("HIVEMQ_USER"), variable("HIVEMQ_PASS"));
    if let (Some(address), Some(user_name), Some(password)) = login {
        message_comes_back(&format!("mqtts://{address}"), Options::new().login(user_name, password));
    }
}

#[test]
fn cloudamqp_sends_a_message_back() {
    if let Some(url) = variable("CLOUDAMQP_URL") {
        // The URL has a password in it, so it is not shown.
        assert!(url.starts_with("mqtts://"), "CLOUDAMQP_URL must start with mqtts://");
        message_comes_back(&url, Options::new());
    }
}

fn message_comes_back(url: &str, options: Options) {
    let topic = topic_of_its_own();
    let options = options.keep_alive(30).tls(TlsOptions::new());
    let mut client = Client::connect(url, options).expect("the broker takes the connection");
    client.subscribe(&[Subscription::new(&topic, QoS::AtLeastOnce)]).expect("the broker grants the subscription");

    let message = Publish::new(&topic, "there and back").qos(QoS::AtLeastOnce);
    client.publish(&message).expect("the broker takes the message");

    let received = client.receive_timeout(Duration::from_secs(10)).expect("the connection lasts");
    let received = received.expect("the message comes back within 10 seconds");
    assert_eq!((received.topic.as_str(), received.payload.as_slice()), (topic.as_str(), &b"there and back"[..]));
    assert_eq!(received.qos, QoS::AtLeastOnce);
    client.disconnect().expect("the connection ends in order");
}

/// Others may use the same account at the same time.
fn topic_of_its_own() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is not before 1970");
    format!("mqtt-wasi/test/{}-{}", std::process::id(), time.as_nanos())
}

/// What the environment says, if it says anything: a secret that CI does not have is an empty variable there.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        host_tests::skipped(&format!("{name} is not set, see .env.example"));
    }
    value
}
