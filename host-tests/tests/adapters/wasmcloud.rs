//! `wasmcloud:messaging`: a program for wasmCloud between the adapters, composed as the documents say. It sends what it has
//! to tell to the topic `told`.

use std::sync::LazyLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use host_tests::broker::{Mosquitto, TlsListener, each_broker, tls_url, url};
use host_tests::certificates::{Authority, Certified};
use host_tests::components::{compose, compose_by, load};
use host_tests::runtime::{Output, Permissions, Runtime};
use host_tests::scripted::{Peer, Scripted};
use mqtt_wasi::codec::{ConnackProperties, Packet, PacketType};
use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode, Reply, Subscription, TlsOptions};
use mqtt_wasi_testing::packets::{disconnect, puback, publish_qos1};

use crate::contract::Contract;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Which `wasmcloud:messaging` it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Version {
    V0_2,
    V0_3,
}

/// What the program is composed of.
fn composed(version: Version) -> Vec<u8> {
    composed_with(if version == Version::V0_2 { "mqtt.wasm" } else { "mqtt-p3.wasm" }, version)
}

fn composed_with(mqtt: &str, version: Version) -> Vec<u8> {
    let (document, suffix) = match version {
        Version::V0_2 => (include_str!("../../../adapters/wasmcloud-messaging/messaging-0.2.wac"), "0-2"),
        Version::V0_3 => (include_str!("../../../adapters/wasmcloud-messaging/messaging-0.3.wac"), "0-3"),
    };
    let composed = compose_by(
        document,
        [
            ("mqtt-wasi:mqtt", load(mqtt).unwrap()),
            ("mqtt-wasi:outgoing", load(&format!("adapters/wasmcloud-outgoing-{suffix}.wasm")).unwrap()),
            ("mqtt-wasi:incoming", load(&format!("adapters/wasmcloud-incoming-{suffix}.wasm")).unwrap()),
            ("example:app", load(&format!("guests/wasmcloud-app-{suffix}.wasm")).unwrap()),
        ],
    );
    composed.unwrap_or_else(|error| panic!("{error:?}"))
}

static V0_2: LazyLock<Runtime> = LazyLock::new(|| Runtime::new(&composed(Version::V0_2)).unwrap());
static V0_3: LazyLock<Runtime> = LazyLock::new(|| Runtime::p3(&composed(Version::V0_3)).unwrap());

impl Version {
    fn run(self, permissions: &Permissions) -> Output {
        self.run_in(if self == Self::V0_2 { &V0_2 } else { &V0_3 }, permissions)
    }

    fn run_in(self, runtime: &Runtime, permissions: &Permissions) -> Output {
        let output = if self == Self::V0_2 { runtime.run(&[], permissions) } else { runtime.run_p3(permissions) };
        output.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Runs it with these variables to its end, which comes at once.
    fn fails(self, variables: &[(&str, &str)], permissions: &Permissions) -> String {
        let output = self.run(&Permissions { environment: owned(variables), ..permissions.clone() });
        assert!(!output.success);
        output.stderr
    }
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The program, running: until its broker ends it, or else with the process of the tests, since nothing interrupts a call
/// that blocks.
struct Service {
    thread: JoinHandle<Output>,
}

impl Service {
    fn start(version: Version, url: &str, client_id: &'static str) -> Self {
        let variables = [("MQTT_URL", url), ("MQTT_CLIENT_ID", client_id), ("MQTT_SUBSCRIBE", "app/+, ready")];
        let permissions = Permissions {
            environment: owned(&variables),
            ..Permissions::to(url.strip_prefix("mqtt://").unwrap().parse().unwrap())
        };
        let thread = thread::spawn(move || version.run(&permissions));
        Self { thread }
    }
}

/// The other side.
struct Peerless(Client);

impl Peerless {
    fn connect(url: &str) -> Self {
        let mut client = Client::connect(url, Options::new()).unwrap();
        client.subscribe(&[Subscription::new("told", QoS::AtLeastOnce)]).unwrap();
        Self(client)
    }

    /// Starts the program, and waits until it handles messages.
    fn start(&mut self, version: Version, url: &str, client_id: &'static str) {
        self.wait_for(Service::start(version, url, client_id));
    }

    fn wait_for(&mut self, service: Service) {
        let start = Instant::now();
        loop {
            assert!(!service.thread.is_finished(), "{:?}", service.thread.join());
            assert!(start.elapsed() < PATIENCE, "it does not handle anything");
            self.send("ready", "");
            if self.0.receive_timeout(Duration::from_millis(500)).unwrap().is_some() {
                return;
            }
        }
    }

    fn send(&mut self, topic: &str, text: &str) {
        self.0.publish(&Publish::new(topic, text).qos(QoS::AtLeastOnce)).unwrap();
    }

    /// What the program tells next.
    fn told(&mut self) -> String {
        loop {
            let message = self.0.receive_timeout(PATIENCE).unwrap().expect("it tells something");
            let text = String::from_utf8(message.payload.to_vec()).unwrap();
            // Others that were sent until it was.
            if !text.starts_with("ready") {
                return text;
            }
        }
    }

    fn tells(&mut self, topic: &str, text: &str) -> String {
        self.send(topic, text);
        self.told()
    }
}

fn contract_is_the_published_one(version: Version) {
    let number = match version {
        Version::V0_2 => "0.2",
        Version::V0_3 => "0.3",
    };
    let (outgoing, incoming) = (
        Contract::of(&format!("adapters/wasmcloud-outgoing-{}.wasm", number.replace('.', "-"))),
        Contract::of(&format!("adapters/wasmcloud-incoming-{}.wasm", number.replace('.', "-"))),
    );
    let of = |name: &str| format!("wasmcloud:messaging/{name}@{number}.0");
    let (client, environment, stderr) = match version {
        Version::V0_2 => ("mqtt-wasi:client/mqtt@0.1.0", "wasi:cli/environment", "wasi:cli/stderr"),
        Version::V0_3 => ("mqtt-wasi:client/mqtt@0.3.0", "wasi:cli/environment@0.3.0", "wasi:cli/stderr@0.3.0"),
    };
    // Of WASI 0.2 the toolchain writes the version that it knows.
    let imports = |contract: &Contract| -> Vec<String> {
        let of_wasi_0_2 = |name: &String| name.starts_with("wasi:") && name.contains("@0.2.");
        let short = |name: String| {
            if of_wasi_0_2(&name) { name.split('@').next().unwrap_or_default().to_owned() } else { name }
        };
        contract.imports().into_iter().map(short).collect()
    };
    assert_eq!(imports(&outgoing), [client, environment]);
    assert_eq!(outgoing.exports(), [of("consumer"), of("types")]);
    assert!(matches!(&incoming.exports()[..], [run] if run.starts_with("wasi:cli/run@0.")), "{:?}", incoming.exports());
    let message = "record broker-message { subject: string, body: list<u8>, reply-to: option<string> }";
    let parameters = "subject: string, body: list<u8>, timeout-ms: u32";
    match version {
        Version::V0_2 => {
            let streams = ["wasi:io/error", "wasi:io/poll", "wasi:io/streams"];
            let mut expected = vec![client, environment, stderr];
            expected.extend(streams);
            let messaging = [of("handler"), of("types")];
            expected.extend(messaging.iter().map(String::as_str));
            assert_eq!(imports(&incoming), expected);
            for contract in [&outgoing, &incoming] {
                assert_eq!(contract.signatures(&of("types")), [message]);
            }
            assert_eq!(
                outgoing.signatures(&of("consumer")),
                [
                    "type broker-message = broker-message".to_owned(),
                    format!("request: func({parameters}) -> result<broker-message, string>"),
                    "publish: func(msg: broker-message) -> result<_, string>".to_owned(),
                ]
            );
            assert_eq!(
                incoming.signatures(&of("handler")),
                [
                    "type broker-message = broker-message",
                    "handle-message: func(msg: broker-message) -> result<_, string>",
                ]
            );
        }
        Version::V0_3 => {
            let (handler, types) = (of("handler"), of("types"));
            let expected = [client, environment, stderr, "wasi:cli/types@0.3.0", &handler, &types];
            assert_eq!(incoming.imports(), expected);
            let error = "variant error { subject-invalid, access-denied, timeout, broker-unavailable, \
                         message-too-large, quota-exceeded, other(string) }";
            for contract in [&outgoing, &incoming] {
                assert_eq!(contract.signatures(&of("types")), [message, error]);
            }
            let types = ["type broker-message = broker-message".to_owned(), "type error = error".to_owned()];
            let [request, publish] = [
                format!("request: async func({parameters}) -> result<broker-message, error>"),
                "publish: async func(msg: broker-message) -> result<_, error>".to_owned(),
            ];
            assert_eq!(outgoing.signatures(&of("consumer")), [&types[..], &[request, publish]].concat());
            let handle = "handle-message: async func(msg: broker-message) -> result<_, error>".to_owned();
            assert_eq!(incoming.signatures(&of("handler")), [&types[..], &[handle]].concat());
        }
    }
}

fn message_is_handled_and_another_is_published(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        peer.start(version, &url(broker), "wasmcloud-handle");
        for text in ["first", "second", ""] {
            assert_eq!(peer.tells("app/any", text), format!("app/any {text}"));
        }
    });
}

/// The client knows its reply by the Correlation Data, which goes through the program with the subject for the reply.
fn request_of_a_client_is_answered(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        peer.start(version, &url(broker), "wasmcloud-answer");
        let shout = |text| Publish::new("app/shout", text).qos(QoS::AtLeastOnce);
        let replies = peer.0.request_all([shout("one"), shout("two")], PATIENCE);
        let texts: Vec<_> =
            replies.into_iter().map(|reply| String::from_utf8(reply.unwrap().payload.to_vec()).unwrap()).collect();
        assert_eq!(texts, ["ONE", "TWO"]);
    });
}

fn request_is_answered_by_a_client(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        let mut responder = Client::connect(&url(broker), Options::new()).unwrap();
        responder.subscribe(&[Subscription::new("answers", QoS::AtLeastOnce)]).unwrap();
        peer.start(version, &url(broker), "wasmcloud-ask");
        peer.send("app/ask", "answers 60000");
        let request = responder.next_request(PATIENCE).unwrap().expect("a request");
        assert_eq!(request.message().payload.to_vec(), b"question");
        responder.reply(&request, &Reply::new("answer")).unwrap();
        assert_eq!(peer.told(), "None answer");
    });
}

fn request_that_nobody_answers_fails(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        let mut silent = Client::connect(&url(broker), Options::new()).unwrap();
        silent.subscribe(&[Subscription::new("silence", QoS::AtLeastOnce)]).unwrap();
        peer.start(version, &url(broker), "wasmcloud-silence");
        let outcome = peer.tells("app/ask", "silence 500");
        match version {
            Version::V0_2 => assert!(outcome.starts_with("timeout: "), "{outcome}"),
            Version::V0_3 => assert_eq!(outcome, "Error::Timeout"),
        }
    });
}

fn wrong_subject_is_refused(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        peer.start(version, &url(broker), "wasmcloud-subject");
        for subject in ["a/+", "a/#", "a#=?", "a+#=YQ", "told a/+", "told a#", "told a#=?"] {
            let outcome = peer.tells("app/publish", subject);
            match version {
                Version::V0_2 => assert!(outcome.contains("Topic"), "{subject}: {outcome}"),
                Version::V0_3 => assert_eq!(outcome, "Error::SubjectInvalid", "{subject}"),
            }
        }
        let outcome = peer.tells("app/ask", "a#=YQ 1000");
        match version {
            Version::V0_2 => assert!(outcome.contains("Topic"), "{outcome}"),
            Version::V0_3 => assert_eq!(outcome, "Error::SubjectInvalid"),
        }
        // The connection is as before.
        assert_eq!(peer.tells("app/publish", "elsewhere/"), "done");
    });
}

/// Who asks by the program gets the reply, and who is asked gets what the reply has to have.
fn subject_for_a_reply_is_response_topic_and_correlation_data(version: Version) {
    each_broker(|broker| {
        let mut peer = Peerless::connect(&url(broker));
        let mut other = Client::connect(&url(broker), Options::new()).unwrap();
        other.subscribe(&[Subscription::new("asked", QoS::AtLeastOnce)]).unwrap();
        peer.start(version, &url(broker), "wasmcloud-reply-to");
        for (reply_to, topic, data) in
            [("back/here", "back/here", None), ("back/here#=AP8", "back/here", Some(&b"\0\xff"[..]))]
        {
            assert_eq!(peer.tells("app/publish", &format!("asked {reply_to}")), "done");
            let message = other.receive_timeout(PATIENCE).unwrap().expect("a message");
            assert_eq!(message.response_topic.as_deref(), Some(topic));
            assert_eq!(message.correlation_data.as_deref(), data);
        }
    });
}

/// The broker has it until the handler takes it.
fn message_that_the_handler_did_not_take_comes_again(version: Version) {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let mut peer = Peerless::connect(&mosquitto.url());
    peer.start(version, &mosquitto.url(), "wasmcloud-retry");
    peer.send("app/fail", "retried");
    assert_eq!(peer.told(), "app/fail retried");
    assert_eq!(peer.tells("app/next", ""), "app/next ");
}

/// The program has it where the broker has it no more.
fn message_outlives_the_session(version: Version) {
    let broker = Scripted::start(|broker| {
        let mut receiving = broker.accept_client();
        receiving.grant();
        receiving.send(&[publish_qos1(1, "app/fail", b"kept"), publish_qos1(2, "app/next", b"")]);
        // Neither is acknowledged.
        receiving.expect_disconnect();
        let mut receiving = broker.accept_client();
        receiving.grant();
        let mut sending = broker.accept_client();
        for text in ["app/fail kept", "app/next "] {
            assert_eq!(take(&mut sending), text);
        }
        receiving.send(&[disconnect(ReasonCode::SessionTakenOver)]);
        receiving.expect_end();
    });
    let output = Service::start(version, &broker.url(), "wasmcloud-lost").thread.join().unwrap();
    assert!(output.stderr.contains("Session taken over"), "{}", output.stderr);
    broker.finish();
}

/// Takes a message to `told`, and acknowledges it.
fn take(peer: &mut Peer) -> String {
    let received = peer.expect_type(PacketType::Publish);
    let Packet::Publish(publish) = received.packet() else { panic!("PUBLISH") };
    assert_eq!(publish.topic, "told");
    let text = String::from_utf8_lossy(publish.payload).into_owned();
    peer.send(&[puback(publish.packet_id.expect("QoS 1").get())]);
    text
}

fn messages_of_while_it_was_away_are_handled(version: Version) {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let mut peer = Peerless::connect(&mosquitto.url());
    // The instance before.
    let options = Options::new().client_id("wasmcloud-away").clean_start(false).session_expiry_interval(3_600);
    let mut before = Client::connect(&mosquitto.url(), options).unwrap();
    before.subscribe(&[Subscription::new("app/+", QoS::AtLeastOnce)]).unwrap();
    before.disconnect().unwrap();
    peer.send("app/away", "kept");
    Service::start(version, &mosquitto.url(), "wasmcloud-away");
    assert_eq!(peer.told(), "app/away kept");
}

fn lost_connection_is_made_again(version: Version) {
    let Some(mut mosquitto) = Mosquitto::start_persistent() else { return };
    let mut peer = Peerless::connect(&mosquitto.url());
    peer.start(version, &mosquitto.url(), "wasmcloud-restart");
    mosquitto.stop();
    mosquitto.start_again();
    let mut peer = Peerless::connect(&mosquitto.url());
    assert_eq!(peer.tells("app/again", ""), "app/again ");
}

fn what_is_wrong_with_the_environment_is_told(version: Version) {
    let none = Permissions::default();
    let fails = |variables: &[(&str, &str)]| version.fails(variables, &none);
    assert!(fails(&[]).contains("set MQTT_URL"));
    assert!(fails(&[("MQTT_URL", "mqtt://a")]).contains("set MQTT_SUBSCRIBE"));
    assert!(fails(&[("MQTT_URL", "mqtt://a"), ("MQTT_QOS", "7")]).contains("MQTT_QOS is not"));
    let variables = [("MQTT_URL", "a:p@ss"), ("MQTT_SUBSCRIBE", "a"), ("MQTT_PASSWORD", "secret")];
    let error = fails(&variables);
    assert!(error.contains("invalid-url") && !error.contains("secret"), "{error}");
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        let received = peer.expect_type(PacketType::Connect);
        let Packet::Connect(connect) = received.packet() else { panic!("CONNECT") };
        assert_eq!((connect.user_name, connect.password), (Some("me"), Some(&b"secret"[..])));
        assert!(!connect.clean_start);
        assert_eq!(connect.properties.session_expiry_interval, Some(60));
        let refusal = mqtt_wasi_testing::packets::refusal(ReasonCode::NotAuthorized, ConnackProperties::default());
        peer.send(&[refusal]);
        peer.expect_end();
    });
    let url = broker.url();
    let variables = [
        ("MQTT_URL", url.as_str()),
        ("MQTT_SUBSCRIBE", "a"),
        ("MQTT_USER_NAME", "me"),
        ("MQTT_PASSWORD", "secret"),
        ("MQTT_CLIENT_ID", "wasmcloud"),
        ("MQTT_SESSION_EXPIRY_SECONDS", "60"),
    ];
    let error = version.fails(&variables, &Permissions::to(broker.address()));
    assert!(error.contains("connection-refused: ") && error.contains("Not authorized"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    broker.finish();
}

fn refused_subscription_is_told(version: Version) {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let received = peer.expect_type(PacketType::Subscribe);
        let Packet::Subscribe(subscribe) = received.packet() else { panic!("SUBSCRIBE") };
        let codes = [ReasonCode::GRANTED_QOS_0, ReasonCode::NotAuthorized];
        peer.send(&[mqtt_wasi_testing::packets::suback(subscribe.packet_id.get(), &codes)]);
        peer.stay_silent();
    });
    let (url, permissions) = (broker.url(), Permissions::to(broker.address()));
    let error = version.fails(&[("MQTT_URL", &url), ("MQTT_SUBSCRIBE", "mine,yours/#")], &permissions);
    assert!(error.contains("yours/#") && error.contains("Not authorized"), "{error}");
    broker.finish();
}

/// With TLS in the place of the client without it, and an authority of the user's own.
fn own_authority_is_trusted(version: Version) {
    let authority = Authority::new();
    let Certified { certificate_pem, key_pem } = authority.server();
    let listener = TlsListener { certificate_pem, key_pem, ..TlsListener::default() };
    let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
    let url = tls_url(mosquitto.address());
    let tls = TlsOptions::new().ca(authority.pem()).unwrap();
    let mut peer = Peerless(Client::connect(&url, Options::new().tls(tls)).unwrap());
    peer.0.subscribe(&[Subscription::new("told", QoS::AtLeastOnce)]).unwrap();
    let runtime = match version {
        Version::V0_2 => Runtime::new(&composed_with("mqtt-tls.wasm", version)),
        Version::V0_3 => Runtime::p3(&composed_with("mqtt-p3-tls.wasm", version)),
    };
    let runtime = runtime.unwrap();
    let variables = [("MQTT_URL", &*url), ("MQTT_SUBSCRIBE", "app/+, ready"), ("MQTT_CA_PEM", authority.pem())];
    let permissions = Permissions { environment: owned(&variables), ..Permissions::to(mosquitto.address()) };
    peer.wait_for(Service { thread: thread::spawn(move || version.run_in(&runtime, &permissions)) });
    assert_eq!(peer.tells("app/any", "safely"), "app/any safely");
}

/// A program that only sends needs no document.
fn program_that_only_sends_is_plugged_together(version: Version) {
    let (mqtt, suffix) = match version {
        Version::V0_2 => ("mqtt.wasm", "0-2"),
        Version::V0_3 => ("mqtt-p3.wasm", "0-3"),
    };
    let program = load(&format!("guests/wasmcloud-app-{suffix}.wasm")).unwrap();
    let sending = compose(&program, &load(&format!("adapters/wasmcloud-outgoing-{suffix}.wasm")).unwrap()).unwrap();
    let whole = compose(&sending, &load(mqtt).unwrap()).unwrap();
    let runtime = match version {
        Version::V0_2 => Runtime::new(&whole),
        Version::V0_3 => Runtime::p3(&whole),
    };
    let imports = runtime.unwrap().imports();
    assert!(imports.iter().all(|import| import.starts_with("wasi:")), "{imports:?}");
}

/// Each promise, of each version.
macro_rules! each_version {
    ($($promise:ident,)*) => {
        mod v0_2 {
            $(#[test]
            fn $promise() {
                super::$promise(super::Version::V0_2);
            })*
        }

        mod v0_3 {
            $(#[test]
            fn $promise() {
                super::$promise(super::Version::V0_3);
            })*
        }
    };
}

each_version! {
    contract_is_the_published_one,
    message_is_handled_and_another_is_published,
    request_of_a_client_is_answered,
    request_is_answered_by_a_client,
    request_that_nobody_answers_fails,
    wrong_subject_is_refused,
    subject_for_a_reply_is_response_topic_and_correlation_data,
    message_that_the_handler_did_not_take_comes_again,
    message_outlives_the_session,
    messages_of_while_it_was_away_are_handled,
    lost_connection_is_made_again,
    what_is_wrong_with_the_environment_is_told,
    refused_subscription_is_told,
    program_that_only_sends_is_plugged_together,
    own_authority_is_trusted,
}
