//! Proxies: HTTP by CONNECT and SOCKS 5, with a login and without, below TCP, TLS and WebSocket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use host_tests::broker::{Mosquitto, TlsListener, tls_url, url, websocket_url};
use host_tests::certificates::Authority;
use host_tests::each_subject;
use host_tests::proxies::ProxyServer;
use host_tests::subject::{ErrorKind, Failure, Settings, Subject, TlsSettings};
use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode};

each_subject!(
    each_proxy_connects_with_and_without_a_login,
    wrong_login_is_told,
    broker_that_is_not_there_is_told,
    tls_lies_over_the_proxy,
    websocket_lies_over_the_proxy,
    proxy_that_is_not_there_is_named,
    proxy_that_speaks_something_else_is_told,
    url_that_is_none_of_a_proxy_is_refused;
    not for component_p3
);

const LOGIN: (&str, &str) = ("user", "pass-word");

/// Starts a proxy: its scheme, and how.
type Start = fn(Option<(&str, &str)>) -> Option<ProxyServer>;
const PROXIES: [(&str, Start); 2] = [("http", ProxyServer::http), ("socks5", ProxyServer::socks)];

fn each_proxy_connects_with_and_without_a_login<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    for (scheme, start) in PROXIES {
        for login in [None, Some(LOGIN)] {
            println!("{scheme}, {login:?}");
            let Some(proxy) = start(login) else { return };
            let settings = through(scheme, login, proxy.address());
            assert_works(S::connect(&url(mosquitto.address()), &settings).unwrap());
        }
    }
    // The proxy looks the name up.
    let Some(proxy) = ProxyServer::socks(None) else { return };
    let settings = through("socks5h", None, proxy.address());
    assert_works(S::connect(&format!("mqtt://localhost:{}", mosquitto.address().port()), &settings).unwrap());
}

fn wrong_login_is_told<S: Subject>() {
    for (scheme, start) in PROXIES {
        let Some(proxy) = start(Some(LOGIN)) else { return };
        for login in [None, Some(("user", "wrong-one"))] {
            let failure = failure(S::connect("mqtt://127.0.0.1:1", &through(scheme, login, proxy.address())));
            assert_eq!(failure.kind, ErrorKind::ProxyNotAuthorized, "{scheme}: {}", failure.message);
            assert!(failure.message.contains(&format!("{scheme}://{}", proxy.address())), "{}", failure.message);
            assert!(!failure.message.contains("wrong-one"), "{}", failure.message);
        }
    }
}

fn broker_that_is_not_there_is_told<S: Subject>() {
    for (scheme, start) in PROXIES {
        let Some(proxy) = start(None) else { return };
        let failure = failure(S::connect("mqtt://127.0.0.1:1", &through(scheme, None, proxy.address())));
        assert_eq!(failure.kind, ErrorKind::ProxyRefused, "{scheme}: {}", failure.message);
        assert!(failure.message.contains("HTTP 5") || failure.message.contains("SOCKS reply 5"), "{}", failure.message);
    }
}

fn tls_lies_over_the_proxy<S: Subject>() {
    let authority = Authority::new();
    let server = authority.server();
    let (certificate_pem, key_pem) = (server.certificate_pem, server.key_pem);
    let listener = TlsListener { certificate_pem, key_pem, ..TlsListener::default() };
    let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
    for (scheme, start) in PROXIES {
        let Some(proxy) = start(Some(LOGIN)) else { return };
        let tls = TlsSettings { ca_pem: authority.pem().into(), ..TlsSettings::default() };
        let settings = Settings { tls: Some(tls), ..through(scheme, Some(LOGIN), proxy.address()) };
        assert_works(S::connect(&tls_url(mosquitto.address()), &settings).unwrap());
    }
}

fn websocket_lies_over_the_proxy<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start_websocket() else { return };
    for (scheme, start) in PROXIES {
        let Some(proxy) = start(None) else { return };
        let settings = through(scheme, None, proxy.address());
        assert_works(S::connect(&websocket_url(mosquitto.address()), &settings).unwrap());
    }
}

fn proxy_that_is_not_there_is_named<S: Subject>() {
    for (scheme, _) in PROXIES {
        let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let failure = failure(S::connect("mqtt://127.0.0.1:2", &through(scheme, Some(LOGIN), nobody)));
        assert_eq!(failure.kind, ErrorKind::PortClosed);
        let name = format!("at the proxy {scheme}://127.0.0.1:1");
        assert!(failure.message.contains(&name) && !failure.message.contains(LOGIN.1), "{}", failure.message);
    }
}

fn proxy_that_speaks_something_else_is_told<S: Subject>() {
    for (scheme, _) in PROXIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 1000]);
            client.write_all(b"220 mail.example ESMTP\r\n").unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        });
        let failure = failure(S::connect("mqtt://127.0.0.1:2", &through(scheme, None, address)));
        assert_eq!(failure.kind, ErrorKind::ProxyInvalidAnswer, "{}", failure.message);
        peer.join().unwrap();
    }
}

fn url_that_is_none_of_a_proxy_is_refused<S: Subject>() {
    for proxy in ["https://localhost", "localhost:3128", "socks4://localhost"] {
        let settings = Settings { proxy: Some(proxy.into()), ..Settings::default() };
        let failure = failure(S::connect("mqtt://127.0.0.1:1", &settings));
        assert_eq!(failure.kind, ErrorKind::InvalidProxy, "{proxy}: {}", failure.message);
    }
}

/// The environment belongs to the whole process, so there is one test of it, in a process of its own.
#[test]
fn environment_names_the_proxy_if_that_is_asked_for() {
    const INSIDE: &str = "MQTT_WASI_PROXY_TEST";
    if std::env::var_os(INSIDE).is_some() {
        let connect = |url: &str, options: Options| Client::connect(url, options).unwrap_err().to_string();
        let proxied = connect("mqtt://127.0.0.1:2", Options::new().proxy_from_environment());
        assert!(proxied.contains("at the proxy http://127.0.0.1:1"), "{proxied}");
        assert!(!proxied.contains("hidden"), "{proxied}");
        let direct = connect("mqtt://127.0.0.2:2", Options::new().proxy_from_environment());
        assert!(!direct.contains("proxy"), "{direct}");
        let unasked = connect("mqtt://127.0.0.1:2", Options::new());
        assert!(!unasked.contains("proxy"), "{unasked}");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "environment_names_the_proxy_if_that_is_asked_for"])
        .env(INSIDE, "1")
        .env("HTTPS_PROXY", "http://user:hidden@127.0.0.1:1")
        .env("ALL_PROXY", "socks5://127.0.0.1:9")
        .env("NO_PROXY", "localhost,127.0.0.2/32")
        .env_remove("https_proxy")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn through(scheme: &str, login: Option<(&str, &str)>, address: SocketAddr) -> Settings {
    let login = login.map_or_else(String::new, |(name, password)| format!("{name}:{password}@"));
    Settings { proxy: Some(format!("{scheme}://{login}{address}")), leave: vec![address], ..Settings::default() }
}

fn assert_works<S: Subject>(mut client: S) {
    client.subscribe("t", QoS::AtLeastOnce);
    let payload = vec![7; 100_000];
    let message = Publish::new("t", &payload).qos(QoS::AtLeastOnce);
    assert_eq!(client.publish(&message), Ok(ReasonCode::Success));
    assert!(client.expect_message().payload == payload);
    client.disconnect().unwrap();
}

fn failure<S: Subject>(connected: Result<S, Failure>) -> Failure {
    connected.err().expect("a failure")
}
