//! The password reaches the broker from wherever it is given, and nobody else.

use host_tests::scripted::Scripted;
use host_tests::{packets::connack, packets::disconnect};
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{ConnackProperties, Packet, PacketType};

use crate::form::{Form, native, run_fed, words};

const PASSWORD: &str = "pässword-7";

#[test]
fn password_comes_from_a_file_the_environment_or_the_command_line() {
    let file = Form::Native.file("password", format!("{PASSWORD}\n").as_bytes());
    let from_file = format!("--password-file {file}");
    let encoded = PASSWORD.replace('ä', "%C3%A4");
    let ways = [(from_file.as_str(), false), ("", true), (&*format!("-P {PASSWORD}"), false)];
    for (options, is_in_environment) in ways {
        told(&format!("-u me {options}"), is_in_environment, None);
    }
    told("", false, Some(&format!("me:{encoded}@")));
}

/// Publishes with this login, which must reach the broker and be in nothing that is printed.
fn told(options: &str, is_in_environment: bool, login: Option<&str>) {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept();
        let connect = client.expect_type(PacketType::Connect);
        let Packet::Connect(connect) = connect.packet() else { unreachable!() };
        assert_eq!((connect.user_name, connect.password), (Some("me"), Some(PASSWORD.as_bytes())));
        client.send(&[connack(ConnackProperties::default())]);
        client.expect_type(PacketType::Publish);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let url = broker.url().replace("mqtt://", &format!("mqtt://{}", login.unwrap_or_default()));
    let line = format!("pub -L {url} -t a -m b -d {options}");
    let mut client = native();
    client.args(words(line.trim_end()));
    if is_in_environment {
        client.env("MQTT_PASSWORD", PASSWORD);
    }
    let ran = run_fed(&mut client, b"");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for word in ["pässword", "p%C3"] {
        assert!(!ran.stderr.contains(word) && !ran.text().contains(word), "{}", ran.stderr);
    }
    assert_eq!(ran.stderr.contains("everybody on this machine"), options.contains("-P "), "{}", ran.stderr);
    broker.finish();
}

#[test]
fn help_shows_no_value_of_the_environment() {
    let mut client = native();
    client.args(["pub", "--help"]).env("MQTT_PASSWORD", PASSWORD);
    assert!(!run_fed(&mut client, b"").success().text().contains("pässword"));
}
