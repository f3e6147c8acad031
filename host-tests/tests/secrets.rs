//! No secret gets into an error, an event or anything that is printed: not a key, not a Password, not a token, not a
//! payload, however broken what it came in is.

use std::fmt::Debug;
use std::time::Duration;

use host_tests::certificates::Authority;
use host_tests::each_subject;
use host_tests::packets::{publish, refusal};
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, Failure, SOON, Settings, Subject, TlsSettings};
use mqtt_wasi::codec::{ConnackProperties, PacketType, PublishProperties};
use mqtt_wasi::{BrokerUrl, Client, Error, Message, Options, Publish, QoS, ReasonCode, TlsOptions, WillMessage};

each_subject!(
    key_in_any_state_stays_out_of_errors,
    login_of_a_broken_url_stays_out_of_errors,
    login_stays_out_of_errors_and_events,
    payload_stays_out_of_errors,
);

/// Where nothing listens.
const NOWHERE: &str = "mqtts://127.0.0.1:1";

/// A Password, a token or a payload, by which nothing else is called.
const SECRET: &str = "hunter2-Tr0ub4dor";

/// Any eight bytes of a secret in a row, in every form that a program prints bytes in.
struct Needles(Vec<String>);

impl Needles {
    fn of(secret: &[u8]) -> Self {
        let join = |bytes: &[u8], between: &str, form: fn(&u8) -> String| {
            bytes.iter().map(form).collect::<Vec<_>>().join(between)
        };
        let forms = |bytes: &[u8]| {
            [
                String::from_utf8_lossy(bytes).into_owned(),
                join(bytes, ", ", |byte| byte.to_string()),
                join(bytes, "", |byte| format!("{byte:02x}")),
                join(bytes, "", |byte| format!("{byte:02X}")),
                join(bytes, " ", |byte| format!("{byte:02x}")),
                join(bytes, ":", |byte| format!("{byte:02X}")),
                join(bytes, ", ", |byte| format!("0x{byte:02x}")),
            ]
        };
        Self(secret.windows(8).flat_map(forms).collect())
    }

    fn assert_not_in(&self, what: &str, text: &str) {
        if let Some(found) = self.0.iter().find(|needle| text.contains(needle.as_str())) {
            panic!("{what}: {found:?} is in {text}");
        }
    }

    /// Neither what is shown to people nor what is shown to programmers has it.
    fn assert_hidden(&self, what: &str, failure: &Failure) {
        self.assert_not_in(what, &failure.message);
        self.assert_not_in(what, &format!("{failure:?}"));
    }
}

/// A private key, in everything that may become of it on the way.
fn broken(key: &str) -> Vec<String> {
    let body = key.lines().nth(1).unwrap();
    let one_line = key.trim_end().replace('\n', "\\n");
    let mut all = vec![
        one_line.clone(),
        one_line.replace("-----BEGIN", "----BEGIN"),
        one_line.replace("KEY-----", "KEY----"),
        one_line.replace("-----END PRIVATE KEY-----", ""),
        one_line.replace("PRIVATE KEY-----", ""),
        key.replace("PRIVATE KEY", "PUBLIC KEY"),
        key.replace("PRIVATE KEY", "CERTIFICATE"),
        key.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        key.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        key.replace("BEGIN PRIVATE KEY", "BEGIN"),
        key.replacen("PRIVATE KEY", body, 1),
        key.replace("PRIVATE KEY", body),
        key.replace('\n', "\t"),
        key.replace('M', "!"),
        key.replace('\n', ": "),
        key.lines().rev().collect::<Vec<_>>().join("\n"),
        key.lines().filter(|line| !line.starts_with('-')).collect(),
        format!("0{key}"),
        format!("password={body}"),
        format!("{key}{key}"),
        body.into(),
    ];
    all.extend((1..12).map(|part| key[..key.len() * part / 12].to_owned()));
    all.extend((1..12).map(|part| key[key.len() * part / 12..].to_owned()));
    all
}

fn key_in_any_state_stays_out_of_errors<S: Subject>() {
    let authority = Authority::new();
    let client = authority.client("sensor");
    let body: String = client.key_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let needles = Needles::of(body.as_bytes());
    let hidden = |what: &str, url: &str, tls: TlsSettings| {
        let settings = Settings { tls: Some(tls), ..Settings::default() };
        let Err(failure) = S::connect(url, &settings) else { panic!("nothing listens there") };
        needles.assert_hidden(what, &failure);
    };
    for key in broken(&client.key_pem) {
        let good = TlsSettings { ca_pem: authority.pem().into(), ..TlsSettings::default() };
        let chain = client.certificate_pem.clone();
        hidden("as a key", NOWHERE, TlsSettings { client: Some((chain, key.clone())), ..good.clone() });
        hidden("as a certificate", NOWHERE, TlsSettings { client: Some((key.clone(), key.clone())), ..good.clone() });
        hidden("as a CA", NOWHERE, TlsSettings { ca_pem: format!(" {key}"), ..good.clone() });
        hidden("as a name", NOWHERE, TlsSettings { server_name: Some(key.clone()), ..good.clone() });
        hidden("as a fingerprint", NOWHERE, TlsSettings { fingerprint: Some(key.clone()), ..good.clone() });
        hidden("as a URL", &key, good);
    }
}

fn login_of_a_broken_url_stays_out_of_errors<S: Subject>() {
    let needles = Needles::of(SECRET.as_bytes());
    for url in [
        "mqtt://sensor:{}",
        "mqtt://sensor:{}@",
        "mqtt://sensor:{}@127.0.0.1/topic",
        "mqtt://sensor:{}@127.0.0.1:port",
        "mqtt://sensor:{}@127.0.0.1:99999",
        "mqtt://sensor:{}@[::1",
        "mqtt://sensor:{}@a b",
        "mqtt://sensor:{}%zz@127.0.0.1",
        "mqtt://{}%ff@127.0.0.1",
        "mqtt://{}:x@127.0.0.1:1",
        "mqtt://127.0.0.1:{}",
        "mqtt:/sensor:{}@127.0.0.1",
        "http://sensor:{}@127.0.0.1",
        "wss://sensor:{}@127.0.0.1",
        "sensor:{}@127.0.0.1",
        "mqtts://sensor:{}@127.0.0.1:1",
        "mqtt://sensor:{}@127.0.0.1:1",
        "{}",
    ] {
        let url = url.replace("{}", SECRET);
        let Err(failure) = S::connect(&url, &Settings::default()) else { panic!("{url} is connected") };
        needles.assert_hidden(&url, &failure);
        // As one of several brokers, too.
        let settings = Settings { fallbacks: vec![url.clone()], ..Settings::default() };
        let Err(failure) = S::connect("mqtt://127.0.0.1:1", &settings) else { panic!("{url} is connected") };
        needles.assert_hidden(&url, &failure);
    }
}

fn login_stays_out_of_errors_and_events<S: Subject>() {
    let needles = Needles::of(SECRET.as_bytes());
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        for code in [ReasonCode::ServerBusy, ReasonCode::BadUserNameOrPassword] {
            let mut peer = broker.accept();
            peer.expect_type(PacketType::Connect);
            peer.send(&[refusal(code, ConnackProperties::default())]);
        }
    });
    let url = broker.url().replace("mqtt://", &format!("mqtt://sensor:{SECRET}@"));
    let delays = (Duration::from_millis(10), Duration::from_millis(20));
    let mut client = S::connect(&url, &Settings { reconnect: Some(delays), ..Settings::default() }).unwrap();
    let mut events = 0;
    loop {
        match client.next_event(SOON) {
            Ok(Some(event)) => needles.assert_not_in("an event", &format!("{event:?}")),
            Ok(None) => panic!("the client waits on"),
            Err(failure) => break needles.assert_hidden("the end", &failure),
        }
        events += 1;
    }
    assert!(events >= 2, "the loss and an attempt that failed");
    broker.finish();
}

fn payload_stays_out_of_errors<S: Subject>() {
    let needles = Needles::of(SECRET.as_bytes());
    let broker = Scripted::start(|broker| broker.accept_client().stay_silent());
    let settings = Settings { maximum_packet_size: Some(100), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    let not_utf8 = [SECRET.as_bytes(), &[0xFF]].concat();
    let is_text = PublishProperties { payload_format_indicator: Some(true), ..PublishProperties::default() };
    let has_alias = PublishProperties { topic_alias: Some(9), ..PublishProperties::default() };
    let topic = format!("topic/#/{}", "x".repeat(10));
    for message in [
        Publish { properties: is_text, ..Publish::new("topic", &not_utf8) },
        Publish::new(&topic, SECRET),
        Publish::new("", SECRET).qos(QoS::AtLeastOnce),
        Publish { properties: has_alias, ..Publish::new("topic", SECRET) },
    ] {
        if let Err(failure) = client.publish(&message) {
            needles.assert_hidden("a message", &failure);
        }
    }
    drop(client);
    broker.finish();
}

#[test]
fn what_holds_secrets_shows_none() {
    let needles = Needles::of(SECRET.as_bytes());
    let authority = Authority::new();
    let client = authority.client("sensor");
    let key_needles = Needles::of(client.key_pem.lines().nth(1).unwrap().as_bytes());
    let tls =
        TlsOptions::new().ca(authority.pem()).unwrap().client_certificate(&client.certificate_pem, &client.key_pem);
    let tls = tls.unwrap();
    let url: BrokerUrl = format!("mqtt://sensor:{SECRET}@localhost").parse().unwrap();
    let options = Options::new()
        .login("sensor", SECRET)
        .authentication("token", Some(SECRET.into()))
        .fallback(format!("mqtt://sensor:{SECRET}@localhost"))
        .tls(tls.clone());
    let shown: [(&str, &dyn Debug); 3] = [("options for TLS", &tls), ("a URL", &url), ("options", &options)];
    for (what, shown) in shown {
        for text in [format!("{shown:?}"), format!("{shown:#?}")] {
            needles.assert_not_in(what, &text);
            key_needles.assert_not_in(what, &text);
        }
    }
    let connector = mqtt_wasi::transport::TcpConnector::with_tls(Some(tls)).unwrap();
    key_needles.assert_not_in("a connector", &format!("{connector:?}"));
    let too_long = WillMessage::new("status", vec![SECRET.as_bytes(); 5_000].concat());
    let error = Client::connect("mqtt://127.0.0.1:1", options.will(too_long)).unwrap_err();
    needles.assert_not_in("an error", &format!("{error} {error:?}"));
}

#[test]
fn payload_that_is_not_json_stays_out_of_errors() {
    let needles = Needles::of(SECRET.as_bytes());
    for payload in [
        SECRET.to_owned(),
        format!("\"{SECRET}\""),
        format!("{{\"{SECRET}\": 1}}"),
        format!("[\"{SECRET}\""),
        format!("{{\"value\": \"{SECRET}\"}}"),
        format!("\"{SECRET}\\q\""),
    ] {
        let broker = Scripted::start({
            let payload = payload.clone();
            move |broker| {
                let mut peer = broker.accept_client();
                peer.send(&[publish("topic", payload.as_bytes())]);
                peer.stay_silent();
            }
        });
        let mut client = Client::connect(&broker.url(), Options::new()).unwrap();
        let error: Error = client.receive().unwrap().json::<std::collections::BTreeMap<u8, u8>>().unwrap_err();
        needles.assert_not_in(&payload, &format!("{error} {error:?}"));
        drop(client);
        broker.finish();
    }
}

#[test]
fn reply_of_a_request_that_failed_stays_out_of_the_error() {
    let needles = Needles::of(SECRET.as_bytes());
    let mut reply = Message::default();
    reply.payload = SECRET.into();
    reply.correlation_data = Some(SECRET.into());
    let error = Error::RequestFailed(Box::new(mqtt_wasi::Failure { text: "no such sensor".into(), reply }));
    needles.assert_not_in("an error", &format!("{error} {error:?}"));
    assert!(format!("{error:?}").contains("no such sensor"));
}

#[test]
fn token_stays_out_of_the_components_failures() {
    let needles = Needles::of(SECRET.as_bytes());
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[refusal(ReasonCode::NotAuthorized, ConnackProperties::default())]);
    });
    let mut client =
        Component::start(&broker.url(), &Settings::default(), "token", SECRET.as_bytes()).expect("a first step");
    let failure = client.next_step().unwrap_err();
    needles.assert_hidden("a token", &failure);
    broker.finish();
}
