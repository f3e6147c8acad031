//! Exit codes, and what is told about failures.

use std::io::Read as _;
use std::process::Stdio;
use std::sync::mpsc::channel;

use host_tests::broker::Embedded;
use host_tests::nowhere;
use host_tests::packets::{disconnect, publish, refusal, suback};
use host_tests::scripted::Scripted;
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{ConnackProperties, PacketType};

use crate::form::{BOTH, Form, native, run_fed, words};

#[test]
fn closed_port_is_told() {
    let address = nowhere();
    for form in BOTH {
        let ran = form.run(address, "pub -t a -m b");
        assert_eq!(ran.code, if form == Form::Native { 3 } else { 1 });
        assert!(ran.stderr.starts_with("error: nothing listens"), "{}", ran.stderr);
        let quiet = form.run(address, "pub -t a -m b --quiet");
        assert_eq!((quiet.stderr.as_str(), quiet.code), ("", ran.code));
    }
}

#[test]
fn wrong_command_line_is_2() {
    let broker = Embedded::start().unwrap();
    for line in ["pub -t a/# -m b", "sub -t a#", "pub -t a -m b -D publish nothing x", "sub -t a -F %k", "rr -t a"] {
        let ran = Form::Native.run(broker.address(), line);
        assert_eq!(ran.code, 2, "{line}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{line}: {}", ran.stderr);
    }
    assert_eq!(run_fed(&mut native(), b"").code, 2, "without a command");
}

#[test]
fn refusal_of_the_broker_is_4() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept();
        client.expect_type(PacketType::Connect);
        client.send(&[refusal(ReasonCode::BadUserNameOrPassword, ConnackProperties::default())]);
        client.expect_end();
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Subscribe);
        client.send(&[suback(1, &[ReasonCode::NotAuthorized])]);
        client.expect_type(PacketType::Disconnect);
        client.expect_end();
    });
    for line in ["pub -t a -m b", "sub -t a"] {
        let ran = Form::Native.run(broker.address(), line);
        assert_eq!(ran.code, 4, "{line}: {}", ran.stderr);
    }
    broker.finish();
}

#[test]
fn another_protocol_is_6_and_time_is_27() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept();
        client.expect_type(PacketType::Connect);
        client.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        client.stay_silent();
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Subscribe);
        client.send(&[suback(1, &[ReasonCode::Success])]);
        client.expect_type(PacketType::Disconnect);
        client.expect_end();
    });
    assert_eq!(Form::Native.run(broker.address(), "info").code, 6);
    assert_eq!(Form::Native.run(broker.address(), "sub -t a -W 2").code, 27);
    broker.finish();
}

/// `mqtt sub … | head -1`
#[test]
fn reader_that_has_gone_ends_the_client_cleanly() {
    let (gone, is_gone) = channel();
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Subscribe);
        client.send(&[suback(1, &[ReasonCode::Success]), publish("t", b"one")]);
        is_gone.recv().unwrap();
        client.send(&[publish("t", b"two")]);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        client.expect_end();
    });
    let line = format!("sub -L {} -t t", broker.url());
    let mut child = native().args(words(&line)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\n");
    drop(stdout);
    gone.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    broker.finish();
}
