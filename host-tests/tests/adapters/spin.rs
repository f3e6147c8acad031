//! `spin:mqtt/mqtt@3.0.0`: a program for Spin on the adapter, composed as `spin.wac` says.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::Duration;

use host_tests::broker::{Embedded, Mosquitto, TlsListener, each_broker, tls_url, url};
use host_tests::certificates::{Authority, Certified};
use host_tests::components::{compose_by, load};
use host_tests::runtime::{Permissions, Runtime};
use host_tests::scripted::Scripted;
use mqtt_wasi::codec::{Ack, ConnackProperties, Connect, Packet, PacketType, Publish};
use mqtt_wasi::{Client, Options, QoS, ReasonCode, Subscription};
use mqtt_wasi_testing::packets::{connack, puback, refusal};
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::contract::Contract;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static APP: LazyLock<Runtime> = LazyLock::new(|| composed_with("mqtt-p3.wasm"));

/// The program on the adapter, on this component.
fn composed_with(mqtt: &str) -> Runtime {
    let composed = compose_by(
        include_str!("../../../adapters/spin-mqtt/spin.wac"),
        [
            ("mqtt-wasi:mqtt", load(mqtt).unwrap()),
            ("mqtt-wasi:spin-mqtt", load("adapters/spin-mqtt.wasm").unwrap()),
            ("example:app", load("guests/spin-app.wasm").unwrap()),
        ],
    );
    Runtime::p3(&composed.unwrap_or_else(|error| panic!("{error:?}"))).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Calls a function of the program.
fn call<P, R>(name: &str, permissions: &Permissions, parameters: P) -> R
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: Send + Sync + 'static,
    (R,): ComponentNamedList + Lift,
{
    call_in(&APP, name, permissions, parameters)
}

fn call_in<P, R>(app: &Runtime, name: &str, permissions: &Permissions, parameters: P) -> R
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: Send + Sync + 'static,
    (R,): ComponentNamedList + Lift,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let called = runtime.block_on(async {
        let mut store = app.store(permissions);
        let instance = app.linker().instantiate_async(&mut store, app.component()).await?;
        let function = instance.get_typed_func::<P, (R,)>(&mut store, name)?;
        store.run_concurrent(async |host| function.call_concurrent(host, parameters).await).await?
    });
    called.unwrap_or_else(|trap| panic!("{name} trapped: {trap:?}")).0
}

/// What came of publishing to each of the topics at each QoS.
fn publish(address: &str, permissions: &Permissions, topics: &[&str]) -> Result<Vec<String>, String> {
    publish_as(address, ("", ""), 60, permissions, topics)
}

fn publish_as(
    address: &str,
    login: (&str, &str),
    keep_alive: u64,
    permissions: &Permissions,
    topics: &[&str],
) -> Result<Vec<String>, String> {
    let topics: Vec<_> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let (user_name, password) = (login.0.to_owned(), login.1.to_owned());
    call("publish", permissions, (address.to_owned(), user_name, password, keep_alive, topics))
}

/// Publishes as many messages at the same time at QoS 1.
fn at_once(broker: &Scripted, messages: u32) -> Result<(), String> {
    call("at-once", &Permissions::to(broker.address()), (broker.url(), "spin/at-once".to_owned(), messages))
}

#[test]
fn interface_is_the_published_one() {
    let contract = Contract::of("adapters/spin-mqtt.wasm");
    assert_eq!(contract.imports(), ["mqtt-wasi:client/mqtt@0.3.0"]);
    assert_eq!(contract.exports(), ["spin:mqtt/mqtt@3.0.0"]);
    let open = "[static]connection.open: async func(address: string, username: string, password: string, \
                keep-alive-interval-in-secs: u64) -> result<connection, error>";
    let publish = "[method]connection.publish: async func(self: borrow<connection>, topic: string, payload: payload, \
                   qos: qos) -> result<_, error>";
    assert_eq!(
        contract.signatures("spin:mqtt/mqtt@3.0.0"),
        [
            "variant error { invalid-address, too-many-connections, connection-failed(string), other(string) }",
            "enum qos { at-most-once, at-least-once, exactly-once }",
            "type payload = list<u8>",
            "resource connection",
            open,
            publish,
        ]
    );
}

#[test]
fn messages_arrive_at_each_qos() {
    each_broker(|broker| {
        let mut client = Client::connect(&url(broker), Options::new()).unwrap();
        client.subscribe(&[Subscription::new("spin/+", QoS::ExactlyOnce)]).unwrap();
        let address = format!("{}?client_id=spin-each", url(broker));
        let outcomes = publish(&address, &Permissions::to(broker), &["spin/each"]);
        assert_eq!(outcomes.unwrap(), ["published"; 3]);
        for (qos, payload) in [
            (QoS::AtMostOnce, "Qos::AtMostOnce"),
            (QoS::AtLeastOnce, "Qos::AtLeastOnce"),
            (QoS::ExactlyOnce, "Qos::ExactlyOnce"),
        ] {
            let message = client.receive_timeout(PATIENCE).unwrap().expect("a message");
            let received =
                (message.topic.as_str(), message.qos, String::from_utf8_lossy(&message.payload).into_owned());
            assert_eq!(received, ("spin/each", qos, payload.into()));
            assert!(!message.retain, "{message:?}");
        }
        client.disconnect().unwrap();
    });
}

#[test]
fn login_client_identifier_and_keep_alive_are_those_of_the_program() {
    let broker = Scripted::start(|broker| {
        for (client_id, login, keep_alive) in [
            ("a b/é", Some(("me", "secret")), 30),
            ("", None, u16::MAX),
            ("", Some(("url", "p@ss")), 0),
            ("", Some(("me", "secret")), 1),
        ] {
            let mut peer = broker.accept();
            let received = peer.expect_type(PacketType::Connect);
            let Packet::Connect(connect) = received.packet() else { panic!("CONNECT") };
            let Connect { user_name, password, .. } = connect;
            assert_eq!((connect.client_id, connect.clean_start, connect.keep_alive), (client_id, true, keep_alive));
            assert_eq!(user_name.zip(password), login.map(|(name, password)| (name, password.as_bytes())));
            let assigned_client_identifier = client_id.is_empty().then_some("assigned");
            peer.send(&[connack(ConnackProperties { assigned_client_identifier, ..ConnackProperties::default() })]);
            peer.expect_end();
        }
    });
    let address = broker.address();
    let of = |url: String, login, keep_alive| {
        assert_eq!(publish_as(&url, login, keep_alive, &Permissions::to(address), &[]), Ok(vec![]), "{url}");
    };
    of(format!("mqtt://{address}?client_id=a+b%2F%C3%A9"), ("me", "secret"), 30);
    of(format!("mqtt://{address}"), ("", ""), 100_000);
    of(format!("mqtt://url:p%40ss@{address}/"), ("", ""), 0);
    of(format!("mqtt://url:p%40ss@{address}?client_id="), ("me", "secret"), 1);
    broker.finish();
}

#[test]
fn addresses_that_are_none_are_refused() {
    let refusal_of = |address| publish(address, &Permissions::default(), &[]).unwrap_err();
    for address in
        ["", "localhost", "http://localhost", "mqtt://", "mqtt://a:0", "mqtt://a/b", "mqtt://a?client_id=1#b"]
    {
        assert_eq!(refusal_of(address), "Error::InvalidAddress", "{address}");
    }
    let unknown = refusal_of("mqtt://a?client_id=1&clean_session=hidden");
    assert!(unknown.starts_with("Error::Other") && unknown.contains("clean_session"), "{unknown}");
    assert!(!unknown.contains("hidden"), "{unknown}");
}

#[test]
fn failure_to_connect_is_told_with_its_reason() {
    let failed = |address: &str, permissions: &Permissions, why: &str| {
        let error = publish(address, permissions, &[]).unwrap_err();
        assert!(error.starts_with("Error::ConnectionFailed") && error.contains(why), "{address}: {error}");
    };
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    failed(&url(closed), &Permissions::to(closed), "refused");
    // The host of the component does not let it.
    failed(&url(closed), &Permissions::to(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))), "not");
    failed("mqtts://127.0.0.1", &Permissions::default(), "mqtt-p3-tls.wasm");
    failed("ws://127.0.0.1", &Permissions::default(), "WebSocket");
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[refusal(ReasonCode::BadUserNameOrPassword, ConnackProperties::default())]);
        peer.expect_end();
    });
    let error = publish_as(&broker.url(), ("me", "secret"), 60, &Permissions::to(broker.address()), &[]).unwrap_err();
    assert!(error.starts_with("Error::ConnectionFailed") && error.contains("Bad User Name"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    broker.finish();
}

#[test]
fn certificate_that_no_authority_has_signed_is_not_trusted() {
    let Certified { certificate_pem, key_pem } = Authority::new().server();
    let listener = TlsListener { certificate_pem, key_pem, ..TlsListener::default() };
    let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
    let (address, permissions) = (tls_url(mosquitto.address()), Permissions::to(mosquitto.address()));
    let parameters = (address, String::new(), String::new(), 60_u64, Vec::<String>::new());
    let app = composed_with("mqtt-p3-tls.wasm");
    let outcome: Result<Vec<String>, String> = call_in(&app, "publish", &permissions, parameters);
    let error = outcome.unwrap_err();
    assert!(error.starts_with("Error::ConnectionFailed") && error.contains("authorit"), "{error}");
}

#[test]
fn wrong_topic_is_refused_and_the_connection_stays() {
    each_broker(|broker| {
        let outcomes = publish(&url(broker), &Permissions::to(broker), &["spin/+", "", "spin/right"]).unwrap();
        for outcome in &outcomes[..6] {
            assert!(outcome.starts_with("Error::Other") && outcome.contains("Topic Name"), "{outcome}");
        }
        assert_eq!(outcomes[6..], ["published"; 3]);
    });
}

#[test]
fn message_that_the_broker_refuses_is_an_error_with_its_reason() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() else { panic!("QoS 1") };
        let reason_code = ReasonCode::NotAuthorized;
        peer.send(&[Packet::Puback(Ack { reason_code, ..Ack::success(packet_id) })]);
        peer.expect_end();
    });
    let refused = at_once(&broker, 1).unwrap_err();
    assert!(refused.starts_with("Error::Other") && refused.contains("Not authorized"), "{refused}");
    broker.finish();
}

#[test]
fn publishes_are_under_way_at_the_same_time() {
    const MESSAGES: u32 = 100;
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let (mut answers, mut numbers) = (Vec::new(), BTreeSet::new());
        // None is answered before all are there.
        for _ in 0..MESSAGES {
            let received = peer.expect_type(PacketType::Publish);
            let Packet::Publish(publish) = received.packet() else { panic!("PUBLISH") };
            numbers.insert(String::from_utf8_lossy(publish.payload).into_owned());
            answers.push(puback(publish.packet_id.expect("QoS 1").get()));
        }
        assert_eq!(numbers, (0..MESSAGES).map(|number| number.to_string()).collect());
        peer.send(&answers);
        peer.expect_end();
    });
    assert_eq!(at_once(&broker, MESSAGES), Ok(()));
    broker.finish();
}

#[test]
fn message_survives_a_lost_connection() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Publish);
        peer.reset();
        let mut peer = broker.accept_client();
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(publish) = received.packet() else { panic!("PUBLISH") };
        peer.send(&[puback(publish.packet_id.expect("QoS 1").get())]);
        peer.expect_end();
    });
    assert_eq!(at_once(&broker, 1), Ok(()));
    broker.finish();
}

#[test]
fn connections_are_bounded_and_dropped_ones_make_room() {
    let broker = Embedded::start().unwrap();
    let outcome: (u32, String) = call("exhaust", &Permissions::to(broker.address()), (broker.url(),));
    assert_eq!(outcome, (256, "Error::TooManyConnections".into()));
}
