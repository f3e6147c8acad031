//! A caller that is wrong: each mistake has an error of its own that says what it was, nothing is sent, and a
//! connection goes on.

use std::net::SocketAddr;

use host_tests::each_subject;
use host_tests::packets::{disconnect, publish_qos1};
use host_tests::runtime::Permissions;
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, ErrorKind, Failure, Native, Settings, Subject};
use mqtt_wasi::codec::{ConnackProperties, PublishProperties};
use mqtt_wasi::{Publish, QoS, ReasonCode, Subscription};

each_subject!(
    url_without_a_place_is_invalid,
    port_where_nothing_listens_is_closed,
    invalid_options_are_refused_before_connecting,
    invalid_messages_are_refused_unsent,
    invalid_filters_are_refused_unsent,
    messages_over_the_brokers_limits_are_refused_unsent,
    filters_over_the_brokers_limits_are_refused_unsent,
    calls_without_a_connection_say_so,
);

/// Nothing listens there: the port belongs to a service that nobody has run for decades.
const CLOSED_PORT: &str = "127.0.0.1:1";

/// Never exists, says RFC 2606.
const UNKNOWN_HOST: &str = "mqtt://no-such-host.invalid";

fn url_without_a_place_is_invalid<S: Subject>() {
    for (url, hint) in [
        ("", "mqtt://"),
        ("127.0.0.1:1883", "mqtt://"),
        ("http://127.0.0.1", "mqtt://"),
        ("mqtt://", "host"),
        ("mqtt://:1883", "host"),
        ("mqtt://a b", "host"),
        ("mqtt://[::1", "host"),
        ("mqtt://127.0.0.1:0", "port"),
        ("mqtt://127.0.0.1:65536", "port"),
        ("mqtt://127.0.0.1:mqtt", "port"),
        ("mqtt://127.0.0.1/topic", "path"),
        ("mqtt://%zz@127.0.0.1", "user name"),
    ] {
        let failure = refused::<S>(url, &Settings::default());
        assert_eq!(failure.kind, ErrorKind::InvalidUrl, "{url}: {failure:?}");
        assert!(failure.message.contains(hint), "{url}: {}", failure.message);
    }
}

#[test]
fn component_without_tls_names_the_one_that_has_it() {
    let failure = refused::<Component>("mqtts://127.0.0.1", &Settings::default());
    assert_eq!(failure.kind, ErrorKind::TlsNotSupported);
    assert!(failure.message.contains("mqtt-tls.wasm"), "{}", failure.message);
}

fn port_where_nothing_listens_is_closed<S: Subject>() {
    let failure = refused::<S>(&format!("mqtt://{CLOSED_PORT}"), &Settings::default());
    assert_eq!(failure.kind, ErrorKind::PortClosed, "{failure:?}");
}

fn invalid_options_are_refused_before_connecting<S: Subject>() {
    // Were a connection tried first, that would be the failure.
    let url = format!("mqtt://{CLOSED_PORT}");
    let invalid = [
        (Settings { receive_maximum: Some(0), ..Settings::default() }, "Receive Maximum"),
        (Settings { maximum_packet_size: Some(0), ..Settings::default() }, "Maximum Packet Size"),
        (Settings { client_id: "nul\0", ..Settings::default() }, "Client Identifier"),
    ];
    for (settings, hint) in invalid {
        let failure = refused::<S>(&url, &settings);
        assert_eq!(failure.kind, ErrorKind::InvalidArgument, "{settings:?}: {failure:?}");
        assert!(failure.message.contains(hint), "{settings:?}: {}", failure.message);
    }
}

#[test]
fn unknown_host_has_no_address() {
    let lookup = Permissions { name_lookup: true, ..Permissions::to(CLOSED_PORT.parse().unwrap()) };
    let component = Component::connect_permitted(UNKNOWN_HOST, &Settings::default(), &lookup).err().unwrap();
    let native = refused::<Native>(UNKNOWN_HOST, &Settings::default());
    assert_eq!((component.kind, native.kind), (ErrorKind::UnknownHost, ErrorKind::UnknownHost), "{component:?}");
}

#[test]
fn name_lookup_that_the_host_does_not_allow_is_denied() {
    let failure = refused::<Component>("mqtt://localhost", &Settings::default());
    assert_eq!(failure.kind, ErrorKind::AccessDenied, "{failure:?}");
    assert!(failure.message.contains("name look-up"), "{}", failure.message);
}

#[test]
fn address_that_the_host_does_not_allow_is_denied() {
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    let elsewhere: SocketAddr = CLOSED_PORT.parse().unwrap();
    for permissions in [Permissions::default(), Permissions::to(elsewhere)] {
        let failure = Component::connect_permitted(&broker.url(), &Settings::default(), &permissions).err().unwrap();
        assert_eq!(failure.kind, ErrorKind::AccessDenied, "{permissions:?}: {failure:?}");
    }
    // The broker was there all the time, and this is the first that it hears.
    Component::connect(&broker.url(), &Settings::default()).unwrap().disconnect().unwrap();
    broker.finish();
}

fn invalid_messages_are_refused_unsent<S: Subject>() {
    let too_long = "a".repeat(65_536);
    let answered = PublishProperties { response_topic: Some("a/#"), ..PublishProperties::default() };
    let invalid = [
        Publish::new("", ""),
        Publish::new("a/+", ""),
        Publish::new("a/#", ""),
        Publish::new("a\0b", ""),
        Publish::new(&too_long, ""),
        Publish::new("a", "").properties(answered),
    ];
    with_connection(ConnackProperties::default(), |client: &mut S| {
        for message in invalid {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                let failure = client.publish(&message.qos(qos)).unwrap_err();
                assert_eq!(failure.kind, ErrorKind::InvalidArgument, "{message:?}: {failure:?}");
            }
            if message.properties.is_empty() {
                let failure = client.enqueue(&message).unwrap_err();
                assert_eq!(failure.kind, ErrorKind::InvalidArgument, "{message:?}: {failure:?}");
            }
        }
    });
}

/// The component's interface has no way to say these.
#[test]
fn properties_that_are_not_for_the_caller_are_refused_unsent() {
    let text = PublishProperties { payload_format_indicator: Some(true), ..PublishProperties::default() };
    let identified = PublishProperties { subscription_identifiers: (&[1]).into(), ..PublishProperties::default() };
    for invalid in [Publish::new("a", b"\xFF").properties(text), Publish::new("a", "").properties(identified)] {
        with_connection(ConnackProperties::default(), |client: &mut Native| {
            assert_eq!(client.publish(&invalid).unwrap_err().kind, ErrorKind::InvalidArgument, "{invalid:?}");
            assert_eq!(client.enqueue(&invalid).unwrap_err().kind, ErrorKind::InvalidArgument, "{invalid:?}");
        });
    }
}

fn invalid_filters_are_refused_unsent<S: Subject>() {
    with_connection(ConnackProperties::default(), |client: &mut S| {
        for filter in ["", "a/#/b", "a+", "a#", "nul\0", "$share/name", "$share//a"] {
            let valid = Subscription::new("valid", QoS::AtMostOnce);
            let subscribed = client.subscribe_as(&[valid, Subscription::new(filter, QoS::AtMostOnce)], None);
            assert_eq!(subscribed.unwrap_err().kind, ErrorKind::InvalidArgument, "{filter}");
            assert_eq!(client.unsubscribe(&[filter]).unwrap_err().kind, ErrorKind::InvalidArgument, "{filter}");
        }
        assert_eq!(client.subscribe_as(&[], None).unwrap_err().kind, ErrorKind::InvalidArgument, "no filters");
        assert_eq!(client.unsubscribe(&[]).unwrap_err().kind, ErrorKind::InvalidArgument, "no filters");
        for identifier in [0, 268_435_456] {
            let subscribed = client.subscribe_as(&[Subscription::new("a", QoS::AtMostOnce)], Some(identifier));
            assert_eq!(subscribed.unwrap_err().kind, ErrorKind::InvalidArgument, "{identifier}");
        }
        let shared = Subscription { no_local: true, ..Subscription::new("$share/name/a", QoS::AtMostOnce) };
        assert_eq!(client.subscribe_as(&[shared], None).unwrap_err().kind, ErrorKind::InvalidArgument, "no local");
    });
}

fn messages_over_the_brokers_limits_are_refused_unsent<S: Subject>() {
    let terms = ConnackProperties {
        maximum_packet_size: Some(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        ..ConnackProperties::default()
    };
    let too_large = [0; 100];
    with_connection(terms, |client: &mut S| {
        for (message, kind, hint) in [
            (Publish::new("a", &too_large), ErrorKind::PacketTooLarge, "100"),
            (Publish::new("a", "").qos(QoS::ExactlyOnce), ErrorKind::QosNotSupported, "QoS 1"),
            (Publish::new("a", "").retain(true), ErrorKind::RetainNotSupported, "retained"),
        ] {
            let failure = client.publish(&message).unwrap_err();
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.message.contains(hint), "{}", failure.message);
        }
    });
}

fn filters_over_the_brokers_limits_are_refused_unsent<S: Subject>() {
    let terms = ConnackProperties {
        wildcard_subscription_available: Some(false),
        shared_subscription_available: Some(false),
        subscription_identifier_available: Some(false),
        ..ConnackProperties::default()
    };
    with_connection(terms, |client: &mut S| {
        for (filter, identifier, kind) in [
            ("a/+", None, ErrorKind::WildcardSubscriptionsNotSupported),
            ("$share/name/a", None, ErrorKind::SharedSubscriptionsNotSupported),
            ("a", Some(1), ErrorKind::SubscriptionIdentifiersNotSupported),
        ] {
            let subscribed = client.subscribe_as(&[Subscription::new(filter, QoS::AtMostOnce)], identifier);
            assert_eq!(subscribed.unwrap_err().kind, kind, "{filter}");
        }
    });
}

fn calls_without_a_connection_say_so<S: Subject>() {
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    client.disconnect().unwrap();
    broker.finish();

    let not_connected = |result: Result<(), Failure>| assert_eq!(result.unwrap_err().kind, ErrorKind::NotConnected);
    let message = Publish::new("a", "");
    not_connected(client.publish(&message).map(drop));
    not_connected(client.publish_batch(&[message]).remove(0).map(drop));
    not_connected(client.enqueue(&message));
    not_connected(client.subscribe_as(&[Subscription::new("a", QoS::AtMostOnce)], None).map(drop));
    not_connected(client.unsubscribe(&["a"]).map(drop));
    not_connected(client.receive(std::time::Duration::ZERO).map(drop));
    assert_eq!(client.disconnect(), Ok(()), "there is nothing left to do");
}

/// Why there is no connection to be had.
fn refused<S: Subject>(url: &str, settings: &Settings) -> Failure {
    match S::connect(url, settings) {
        Ok(_) => panic!("connected to {url}"),
        Err(failure) => failure,
    }
}

/// Runs `mistakes` over a connection on these terms, of which the broker must hear nothing, and which must go on.
fn with_connection<S: Subject>(terms: ConnackProperties<'static>, mistakes: impl FnOnce(&mut S)) {
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client_with(terms);
        client.expect(publish_qos1(1, "afterwards", b""));
        client.send(&[host_tests::packets::puback(1)]);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    mistakes(&mut client);
    assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    broker.finish();
}
