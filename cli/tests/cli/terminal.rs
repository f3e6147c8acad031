//! The client in a terminal, which `script` provides.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use host_tests::broker::Embedded;
use host_tests::packets::{disconnect, suback};
use host_tests::scripted::Scripted;
use host_tests::skipped;
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::PacketType;

use crate::form::{Form, Ran, finish};

const CTRL_C: &[u8] = b"\x03";

/// Starts the client with a terminal for its input and output. The terminal's keys come from standard input.
fn in_terminal(line: &str) -> Option<Child> {
    let command = format!("exec '{}' {line}", env!("CARGO_BIN_EXE_mqtt"));
    let child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    if child.is_err() {
        assert!(std::env::var_os("CI").is_none(), "script is not installed, and CI must not go without");
        skipped("script, which makes a terminal, is not installed");
    }
    child.ok()
}

/// Presses Ctrl-C once the broker says that it is time.
fn interrupted(options: &str) -> Option<Ran> {
    let (subscribed, is_subscribed) = channel();
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Subscribe);
        client.send(&[suback(1, &[ReasonCode::Success])]);
        subscribed.send(()).unwrap();
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        client.expect_end();
    });
    let Some(mut child) = in_terminal(&format!("sub -L {} -t t {options}", broker.url())) else {
        // What the script waits for.
        drop(std::net::TcpStream::connect(broker.address()));
        return None;
    };
    is_subscribed.recv().unwrap();
    // The client may not have read the answer yet; it leaves in order all the same.
    child.stdin.as_mut().unwrap().write_all(CTRL_C).unwrap();
    let ran = finish(child, b"");
    broker.finish();
    Some(ran)
}

#[test]
fn ctrl_c_ends_a_subscription_with_disconnect() {
    let Some(ran) = interrupted("") else { return };
    assert_eq!(ran.code, 0, "{}", ran.text());
}

#[test]
fn ctrl_c_before_all_messages_is_told_to_scripts() {
    let Some(ran) = interrupted("-C 5") else { return };
    assert_eq!(ran.code, 130, "{}", ran.text());
}

#[test]
fn progress_is_shown_in_a_terminal_and_nowhere_else() {
    let broker = Embedded::start().unwrap();
    let line = format!("bench -h 127.0.0.1 -p {} -q 1 -n 600 -r 1000", broker.address().port());
    let Some(child) = in_terminal(&line) else { return };
    let text = finish(child, b"").success().text();
    assert!(text.contains("\r[") && text.contains("of 600, "), "{text:?}");
    // The last of it is wiped out before the summary.
    let (_, summary) = text.rsplit_once("\r\x1b[K").expect("progress that ends");
    assert!(summary.contains("600 messages of 64 bytes at QoS 1") && summary.contains("below"), "{summary}");

    let piped = Form::Native.run(broker.address(), "bench -q 1 -n 50").success();
    assert!(!piped.text().contains('\r') && piped.stderr.is_empty(), "{}", piped.stderr);
}

#[test]
fn ctrl_c_ends_a_measurement_with_what_was_measured() {
    let broker = Embedded::start().unwrap();
    let line = format!("bench -h 127.0.0.1 -p {} -q 1 -n 100000 -r 100", broker.address().port());
    let Some(mut child) = in_terminal(&line) else { return };
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    // Until it shows that something was measured.
    while !String::from_utf8_lossy(&seen)
        .split(" %  ")
        .skip(1)
        .any(|done| done.contains(' ') && !done.starts_with("0 "))
    {
        let mut bytes = [0; 4096];
        let len = stdout.read(&mut bytes).unwrap();
        assert_ne!(len, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend(&bytes[..len]);
    }
    child.stdin.as_mut().unwrap().write_all(CTRL_C).unwrap();
    stdout.read_to_end(&mut seen).unwrap();
    assert_eq!(finish(child, b"").code, 130);
    let text = String::from_utf8_lossy(&seen);
    assert!(text.contains("published  "), "{text}");
}
