//! The recipes of `docs/authentication.md` and `docs/tls.md`, against brokers that do what the documentation of Azure Event
//! Grid and of AWS IoT Core says, and against mosquitto.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use host_tests::broker::{Mosquitto, TlsListener};
use host_tests::certificates::{Authority, KeyKind};
use host_tests::packets::{connack, disconnect, puback, publish, publish_qos1, refusal};
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{Component, Settings, Subject};
use host_tests::tls_peer::{Demands, End, Seen, TlsPeer};
use mqtt_wasi::codec::{Auth, AuthProperties, ConnackProperties, Packet, PacketType};
use mqtt_wasi::{Client, Error, ErrorKind, Options, Publish, QoS, ReasonCode, TlsOptions};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion};
use tokio::runtime::Builder;

use ReasonCode::{NotAuthorized, ReAuthenticate, Success};

const AUTHENTICATION: &str = include_str!("../../docs/authentication.md");
const TLS: &str = include_str!("../../docs/tls.md");

#[allow(dead_code, reason = "tests connect elsewhere than `main`")]
mod event_grid {
    include!("recipes/event_grid.rs");

    /// Connects, and handles messages until that fails.
    pub(super) fn run<F>(url: &str, fetch: F, mut handle: impl FnMut(Message)) -> Error
    where
        F: FnMut() -> Result<(String, Duration), String> + Clone + Send + 'static,
    {
        let jwt = OAuth2Jwt::new(fetch);
        let mut client = match Client::connect(url, Options::new().authenticator(jwt.clone())) {
            Ok(client) => client,
            Err(error) => return error,
        };
        loop {
            match receive(&mut client, &jwt) {
                Ok(message) => handle(message),
                Err(error) => return error,
            }
        }
    }
}

#[allow(dead_code, reason = "tests connect elsewhere than `main`")]
mod event_grid_async {
    include!("recipes/event_grid_async.rs");

    /// Connects; returns the client with why its token is not renewed any more, once that is so.
    pub(super) async fn run<F>(url: &str, mut fetch: F) -> Result<(AsyncClient, Box<dyn Error>), Box<dyn Error>>
    where
        F: FnMut() -> Result<(String, Duration), String>,
    {
        let (token, lifetime) = fetch()?;
        let jwt = OAuth2Jwt(Arc::new(Mutex::new(token)));
        let client = AsyncClient::connect(url, Options::new().authenticator(jwt.clone())).await?;
        let renewed = renew(&client, &jwt, lifetime, async || Ok(fetch()?)).await;
        Ok((client, renewed.expect_err("it renews until that fails")))
    }
}

#[allow(dead_code, reason = "tests connect elsewhere than `main`")]
mod aws_iot {
    include!("recipes/aws_iot.rs");

    pub(super) fn device_options(
        certificate: &str,
        key: &str,
        change: impl FnOnce(TlsOptions) -> TlsOptions,
    ) -> Options {
        let tls = device(certificate.as_bytes(), key.as_bytes()).expect("a certificate and its key");
        options(change(tls))
    }
}

#[allow(dead_code, reason = "tests connect elsewhere than `main`")]
mod aws_iot_authorizer {
    include!("recipes/aws_iot_authorizer.rs");

    pub(super) fn login_options(tls: TlsOptions) -> Options {
        options("thermometer-7", "my-authorizer", "secret", tls)
    }
}

#[allow(dead_code, reason = "tests connect elsewhere than `main`")]
mod own_provider {
    include!("recipes/own_provider.rs");

    pub(super) fn options(ca_pem: &str) -> Options {
        Options::new().tls(tls(ca_pem.as_bytes()).expect("a configuration"))
    }
}

#[test]
fn pages_have_the_code_that_is_tested() {
    for recipe in [
        include_str!("recipes/event_grid.rs"),
        include_str!("recipes/event_grid_async.rs"),
        include_str!("recipes/aws_iot.rs"),
        include_str!("recipes/aws_iot_authorizer.rs"),
    ] {
        let block = format!("```rust,no_run\n{recipe}```\n");
        assert!(AUTHENTICATION.contains(&block), "docs/authentication.md does not have this:\n{block}");
    }
    let block = format!("```rust,ignore\n{}```\n", include_str!("recipes/own_provider.rs"));
    assert!(TLS.contains(&block), "docs/tls.md does not have this:\n{block}");
}

// Azure Event Grid: OAUTH2-JWT.

const METHOD: &str = "OAUTH2-JWT";

/// Long enough for the whole test.
const LONG: Duration = Duration::from_secs(600);

/// Half of it passes within the test; the rest is for a busy machine.
const SHORT: Duration = Duration::from_secs(8);

/// Longer than it takes to receive the first message, most often.
const A_WHILE: Duration = Duration::from_secs(1);

#[test]
fn event_grid_gets_a_new_token_before_the_last_one_expires() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_with_token(broker, "token 1");
        peer.send(&[publish("before", b"")]);
        peer.expect(auth(ReAuthenticate, Some("token 2")));
        peer.send(&[auth(Success, None), publish("between", b"")]);
        peer.expect(auth(ReAuthenticate, Some("token 3")));
        peer.send(&[publish_qos1(1, "after", b""), auth(Success, None)]);
        // With the refusal behind it, the token would not have been renewed.
        peer.expect(puback(1));
        end_by_refusal(peer);
    });
    let mut topics = Vec::new();
    let end = event_grid::run(&broker.url(), tokens(&[SHORT, SHORT, LONG]), |message| topics.push(message.topic));
    assert_eq!(end, Error::Disconnected(Box::new(NotAuthorized.into())));
    assert_eq!(topics, ["before", "between", "after"]);
    broker.finish();
}

#[test]
fn event_grid_refuses_a_token() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, "token 1");
        peer.send(&[refusal(NotAuthorized, ConnackProperties::default())]);
        peer.expect_end();

        let mut peer = accept_with_token(broker, "token 1");
        peer.expect(auth(ReAuthenticate, Some("token 2")));
        end_by_refusal(peer);
    });
    let refused = event_grid::run(&broker.url(), tokens(&[LONG]), |_| {});
    assert_eq!(refused, Error::ConnectionRefused(Box::new(NotAuthorized.into())));
    let refused = event_grid::run(&broker.url(), tokens(&[SHORT, LONG]), |_| {});
    assert_eq!(refused, Error::Disconnected(Box::new(NotAuthorized.into())));
    broker.finish();
}

#[test]
fn event_grid_ends_the_connection_when_the_token_expires_and_takes_another_one() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_with_token(broker, "token 1");
        peer.send(&[publish("slow", b"")]);
        thread::sleep(A_WHILE);
        end_by_refusal(peer);
        end_by_refusal(accept_with_token(broker, "token 2"));
    });
    // The client does not renew the token while its program does something else.
    let end = event_grid::run(&broker.url(), tokens(&[SHORT, LONG]), |_| thread::sleep(SHORT + A_WHILE));
    assert_eq!(end, Error::Disconnected(Box::new(NotAuthorized.into())), "the second token has not expired");
    broker.finish();
}

#[test]
fn event_grid_gets_new_tokens_of_an_async_client() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_with_token(broker, "token 1");
        peer.expect(auth(ReAuthenticate, Some("token 2")));
        peer.send(&[auth(Success, None), publish("between", b"")]);
        peer.expect(auth(ReAuthenticate, Some("token 3")));
        end_by_refusal(peer);
    });
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, end) = event_grid_async::run(&broker.url(), tokens(&[SHORT, SHORT, LONG])).await.unwrap();
        let refused = Error::Disconnected(Box::new(NotAuthorized.into()));
        assert_eq!(end.downcast_ref(), Some(&refused));
        let mut messages = client.messages();
        assert_eq!(messages.receive().await.map(|message| message.topic).as_deref(), Ok("between"));
        assert_eq!(messages.receive().await, Err(refused));
    });
    broker.finish();
}

#[test]
fn event_grid_refuses_a_token_of_an_async_client() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, "token 1");
        peer.send(&[refusal(NotAuthorized, ConnackProperties::default())]);
        peer.expect_end();
    });
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let refused = runtime.block_on(event_grid_async::run(&broker.url(), tokens(&[LONG]))).unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&Error::ConnectionRefused(Box::new(NotAuthorized.into()))));
    broker.finish();
}

#[test]
fn event_grid_gets_new_tokens_of_a_component() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_with_token(broker, "token 1");
        peer.expect(auth(ReAuthenticate, Some("token 2")));
        peer.send(&[auth(Success, None)]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"token 1").unwrap();
    assert_eq!(client.next_step(), Ok((true, None)));
    client.authenticate_again(b"token 2").unwrap();
    assert_eq!(client.next_step(), Ok((true, None)));
    client.disconnect().unwrap();
    broker.finish();
}

/// Tokens with these lifetimes, one after the other.
fn tokens(lifetimes: &[Duration]) -> impl FnMut() -> Result<(String, Duration), String> + Clone + Send + 'static {
    let mut tokens = (1..).zip(lifetimes.to_vec());
    move || {
        let (number, lifetime) = tokens.next().ok_or("no more tokens")?;
        Ok((format!("token {number}"), lifetime))
    }
}

fn expect_connect(peer: &mut Peer, token: &str) {
    let received = peer.expect_type(PacketType::Connect);
    let Packet::Connect(connect) = received.packet() else { unreachable!() };
    let (method, data) = (connect.properties.authentication_method, connect.properties.authentication_data);
    assert_eq!((method, data), (Some(METHOD), Some(token.as_bytes())));
}

fn accept_with_token(broker: &Broker, token: &str) -> Peer {
    let mut peer = broker.accept();
    expect_connect(&mut peer, token);
    peer.send(&[connack(ConnackProperties { authentication_method: Some(METHOD), ..ConnackProperties::default() })]);
    peer
}

fn auth(reason_code: ReasonCode, token: Option<&str>) -> Packet<'_> {
    let properties = AuthProperties {
        authentication_method: Some(METHOD),
        authentication_data: token.map(str::as_bytes),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason_code, properties })
}

fn end_by_refusal(mut peer: Peer) {
    peer.send(&[disconnect(NotAuthorized)]);
    peer.expect_end();
}

// AWS IoT Core: by ALPN at port 443.

const DEVICE: &str = "x-amzn-mqtt-ca";
const AUTHORIZER: &str = "mqtt";

#[test]
fn aws_iot_takes_a_device_by_its_certificate() {
    for version in ALL_VERSIONS {
        let (servers, devices) = (Authority::new(), Authority::new());
        let device = devices.client("thermometer-7");
        let options = aws_iot::device_options(&device.certificate_pem, &device.key_pem, |tls| trust(tls, &servers));
        let demands = Demands { alpn: DEVICE, client_ca_pem: Some(devices.pem()) };
        let seen = visit(&servers, version, &demands, options).expect("a connection");
        assert_eq!(seen.server_name.as_deref(), Some("localhost"));
        let Some((Packet::Connect(connect), _)) = Packet::decode(&seen.inside).unwrap() else { panic!("CONNECT") };
        assert_eq!((connect.client_id, connect.user_name), ("thermometer-7", None));
    }
}

#[test]
fn aws_iot_takes_a_login_for_a_custom_authorizer() {
    for version in ALL_VERSIONS {
        let servers = Authority::new();
        let options = aws_iot_authorizer::login_options(trust(TlsOptions::new(), &servers));
        let demands = Demands { alpn: AUTHORIZER, client_ca_pem: None };
        let seen = visit(&servers, version, &demands, options).expect("a connection");
        assert_eq!(seen.server_name.as_deref(), Some("localhost"));
        let Some((Packet::Connect(connect), _)) = Packet::decode(&seen.inside).unwrap() else { panic!("CONNECT") };
        assert_eq!(connect.user_name, Some("thermometer-7?x-amz-customauthorizer-name=my-authorizer"));
        assert_eq!(connect.password, Some(&b"secret"[..]));
    }
}

#[test]
fn aws_iot_refuses_what_does_not_fit() {
    for version in ALL_VERSIONS {
        let (servers, devices) = (Authority::new(), Authority::new());
        let device = devices.client("thermometer-7");
        let demands = Demands { alpn: DEVICE, client_ca_pem: Some(devices.pem()) };
        // Without a protocol the handshake ends well, and then the broker ends the connection without a word.
        for (protocols, kind) in [(&["mqtt"][..], ErrorKind::NotTrusted), (&[], ErrorKind::ConnectionOver)] {
            let change = |tls| trust(tls, &servers).alpn(protocols.iter().copied());
            let options = aws_iot::device_options(&device.certificate_pem, &device.key_pem, change);
            let refused = visit(&servers, version, &demands, options).unwrap_err();
            assert_eq!(refused.kind(), kind, "{version:?} {protocols:?}: {refused}");
        }
        let without_certificate = Options::new().tls(trust(TlsOptions::new(), &servers).alpn([DEVICE]));
        let refused = visit(&servers, version, &demands, without_certificate).unwrap_err();
        assert_eq!(refused.name(), "tls-client-certificate-required", "{version:?}: {refused}");
    }
}

fn trust(tls: TlsOptions, authority: &Authority) -> TlsOptions {
    tls.ca(authority.pem()).expect("a certificate").only_own_ca()
}

/// Connects to a peer with these demands, and disconnects.
fn visit(
    servers: &Authority,
    version: &'static SupportedProtocolVersion,
    demands: &Demands<'_>,
    options: Options,
) -> Result<Seen, Error> {
    let peer = TlsPeer::demanding(&servers.server(), version, demands);
    let url = format!("mqtts://localhost:{}", peer.address().port());
    let visited = Client::connect(&url, options).and_then(|mut client| client.disconnect());
    let seen = peer.finish();
    visited.map(|()| seen)
}

// TLS.

#[test]
fn another_provider_of_the_programs_own_takes_the_place_of_ours() {
    let authority = Authority::new();
    let peer = TlsPeer::ending(&authority.server(), &rustls::version::TLS13, End::CloseNotify);
    drop(Client::connect(&peer.url(), own_provider::options(authority.pem())).expect("a connection"));
    assert!(peer.finish().has_mqtt());
}

#[test]
fn certificates_of_the_page_are_good_for_mosquitto_and_a_client() {
    let Some(folder) = make_certificates() else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file that the commands make");
    let listener = TlsListener {
        certificate_pem: read("broker.pem"),
        key_pem: read("broker.key"),
        client_ca_pem: Some(read("ca.pem")),
        ..TlsListener::default()
    };
    if let Some(mosquitto) = Mosquitto::start_tls(&listener) {
        let tls = TlsOptions::new().ca(read("ca.pem")).expect("a certificate").only_own_ca();
        let tls = tls.client_certificate(read("client.pem"), read("client.key")).expect("a certificate and its key");
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("mqtts://{host}:{}", mosquitto.address().port());
            let mut client = Client::connect(&url, Options::new().tls(tls.clone())).expect("a connection");
            assert!(client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).is_ok());
            client.disconnect().unwrap();
        }
    }
    fs::remove_dir_all(folder).expect("the folder is still there");
}

/// Runs the commands of the page for mosquitto in a new folder. Where openssl is not installed, says so and returns none.
fn make_certificates() -> Option<PathBuf> {
    if !KeyKind::available().any(|kind| kind == KeyKind::Rsa) {
        return None;
    }
    let (_, section) = TLS.split_once("\n## mosquitto\n").expect("a section for mosquitto");
    let (_, block) = section.split_once("```sh\n").expect("commands");
    let (commands, _) = block.split_once("```").expect("their end");
    let folder = std::env::temp_dir().join(format!("recipes-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for certificates");
    let output = Command::new("sh").args(["-ec", commands]).current_dir(&folder).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}
