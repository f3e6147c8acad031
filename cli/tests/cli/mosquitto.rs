//! What mosquitto's clients and this one say to each other.

use std::net::SocketAddr;
use std::process::Command;

use host_tests::broker::{Mosquitto, TlsListener};
use host_tests::certificates::{Authority, Certified};
use host_tests::skipped;

use crate::form::{BOTH, Form, READY, Ran, run_fed, words};

/// Text, bytes that are no text, and nothing.
const PAYLOADS: [&[u8]; 4] = ["Grüße, 世界".as_bytes(), b"\x00\xff\xfe\r\n\x1b[2J", b"", b"two\nlines\n"];

/// A broker, if mosquitto and its clients are there.
fn broker() -> Option<Mosquitto> {
    let is_there = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "mosquitto's clients are not installed, and CI must not go without");
        skipped("mosquitto's clients are not installed");
        return None;
    }
    Mosquitto::start()
}

/// One of mosquitto's clients, with MQTT v5.0.
fn theirs(program: &str, broker: SocketAddr, arguments: &[&str], stdin: &[u8]) -> Ran {
    let port = broker.port().to_string();
    run_fed(Command::new(program).args(["-V", "5", "-p", &port]).args(arguments), stdin)
}

#[test]
fn what_mosquitto_publishes_is_printed_unharmed() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    for (number, payload) in PAYLOADS.into_iter().enumerate().filter(|(_, payload)| !payload.is_empty()) {
        let topic = format!("theirs/{number}");
        theirs("mosquitto_pub", broker, &["-t", &topic, "-r", "-q", "1", "-s"], payload).success();
        for form in BOTH {
            let ran = form.run(broker, &format!("sub -t {topic} -C 1 -N")).success();
            assert_eq!(ran.stdout, payload, "{form:?}");
        }
    }
}

#[test]
fn what_is_published_reaches_mosquitto_unharmed() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    for form in BOTH {
        for (number, payload) in PAYLOADS.into_iter().enumerate().filter(|(_, payload)| !payload.is_empty()) {
            for source in ["-s", "-f"] {
                let topic = format!("ours/{form:?}/{number}{source}");
                let file = form.file(&format!("payload-{number}"), payload);
                let mut arguments = vec!["pub", "-t", &topic, "-r", "-q", "2", source];
                arguments.extend((source == "-f").then_some(file.as_str()));
                form.run_fed(broker, &arguments, payload).success();
                let got = theirs("mosquitto_sub", broker, &["-t", &topic, "-C", "1", "-N", "-W", "60"], b"");
                assert_eq!(got.stdout, payload, "{form:?} {source}");
            }
        }
    }
}

#[test]
fn each_line_is_a_message() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    for form in BOTH {
        let id = format!("lines-{form:?}");
        let session = ["-c", "-i", &id, "-q", "1", "-t", &id];
        theirs("mosquitto_sub", broker, &[&session[..], &["-E"]].concat(), b"").success();
        form.run_fed(broker, &["pub", "-t", &id, "-q", "1", "-l"], b"one\r\n\xff\xfe\n\nlast").success();
        let rest = ["-C", "4", "-W", "60", "-F", "%l %x"];
        let got = theirs("mosquitto_sub", broker, &[&session[..], &rest].concat(), b"").success();
        assert_eq!(got.text(), "4 6f6e650d\n2 fffe\n0 \n4 6c617374\n", "{form:?}");
    }
}

#[test]
fn session_keeps_messages_for_the_next_run() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    for form in BOTH {
        let sub = format!("sub -c -i keeper-{form:?} -q 1 -t kept/{form:?}");
        form.run(broker, &format!("{sub} -E")).success();
        theirs("mosquitto_pub", broker, &["-t", &format!("kept/{form:?}"), "-q", "1", "-l"], b"1\n2\n3\n").success();
        let first = form.run(broker, &format!("{sub} -C 1")).success();
        assert_eq!(first.text(), "1\n", "{form:?}");
        // What was not printed was not acknowledged.
        let rest = form.run(broker, &format!("{sub} -C 2")).success();
        assert_eq!(rest.text(), "2\n3\n", "{form:?}");
    }
}

#[test]
fn properties_go_both_ways() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    let format = "%t %q %r %p|%C|%D|%E|%F|%P|%R|%l|%x";
    let expected = "props 0 1 hi|text/plain|7|3600|1|unit:°C unit:K|replies|2|6869\n";
    let properties = [
        "-D publish content-type text/plain",
        "-D publish correlation-data 7",
        "-D publish message-expiry-interval 3600",
        "-D publish payload-format-indicator 1",
        "-D publish user-property unit °C",
        "-D publish user-property unit K",
        "-D publish response-topic replies",
    ]
    .join(" ");
    let publish = format!("-t props -r -q 1 -m hi {properties}");
    for form in BOTH {
        form.run(broker, &format!("pub {publish}")).success();
        let got = theirs("mosquitto_sub", broker, &["-t", "props", "-C", "1", "-W", "60", "-F", format], b"");
        assert_eq!(got.text(), expected, "{form:?}");

        theirs("mosquitto_pub", broker, &words(&publish), b"").success();
        let got = form.run_fed(broker, &["sub", "-t", "props", "-C", "1", "-F", format], b"").success();
        assert_eq!(got.text(), expected, "{form:?}");
        let json = form.run(broker, "sub -t props -C 1 --json").success().text();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["properties"]["user-properties"], serde_json::json!([["unit", "°C"], ["unit", "K"]]));
        assert_eq!((&json["payload"], &json["retain"]), (&"hi".into(), &1.into()));
    }
}

#[test]
fn requests_of_mosquitto_are_answered_and_it_answers_ours() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    let answering = Form::Native.start_until(READY, broker, "rr -d --answer --echo -t echo -C 1 -W 60");
    let got = theirs("mosquitto_rr", broker, &words("-t echo -e replies/theirs -m hello -q 1 -W 60"), b"").success();
    assert_eq!(got.text(), "hello\n");
    answering.join().unwrap().success();
}

#[test]
fn tls_is_trusted_by_the_file_that_is_given() {
    let authority = Authority::new();
    let Certified { certificate_pem, key_pem } = authority.server();
    let listener = TlsListener { certificate_pem, key_pem, ..TlsListener::default() };
    let Some(broker) = Mosquitto::start_tls(&listener) else { return };
    for form in BOTH {
        let ca = form.file("ca.pem", authority.pem().as_bytes());
        form.run(broker.address(), &format!("pub -t tls -m {form:?} -r -q 1 --cafile {ca}")).success();
        let got = form.run(broker.address(), &format!("sub -t tls -C 1 --cafile {ca}")).success();
        assert_eq!(got.text(), format!("{form:?}\n"));
        let untrusted = form.run(broker.address(), "info --tls");
        assert_eq!(untrusted.code, if form == Form::Native { 5 } else { 1 });
        assert!(untrusted.stderr.contains("no trusted CA"), "{}", untrusted.stderr);
        form.run(broker.address(), "info --insecure").success();
    }
}

#[test]
fn retained_messages_are_chosen_and_deleted() {
    let Some(broker) = broker() else { return };
    let broker = broker.address();
    theirs("mosquitto_pub", broker, &words("-t keep/a -r -m 1"), b"").success();
    theirs("mosquitto_pub", broker, &words("-t keep/b -r -m 2"), b"").success();
    let got = Form::Native.run(broker, "sub -t keep/# -T keep/b -v -W 4");
    assert_eq!((got.text().as_str(), got.code), ("keep/a 1\n", 27));
    let got = Form::Native.run(broker, "sub -t keep/# -v -C 2 --remove-retained").success();
    assert_eq!(got.text().lines().count(), 2);
    assert_eq!(Form::Native.run(broker, "sub -t keep/# -v -W 0.5").text(), "");
}
