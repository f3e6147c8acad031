//! `mqtt rr` on both ends, and `mqtt info` and `mqtt bench`, against the broker that is always there.

use host_tests::broker::Embedded;

use crate::form::{BOTH, Form, READY};

#[test]
fn program_answers_requests() {
    let broker = Embedded::start().unwrap();
    let line = "rr -d --answer -t up -C 2 -W 60 -- tr a-z A-Z";
    let answering = Form::Native.start_until(READY, broker.address(), line);
    for form in BOTH {
        let reply = form.run(broker.address(), "rr -t up -m hello -W 30").success();
        assert_eq!(reply.text(), "HELLO\n", "{form:?}");
    }
    answering.join().unwrap().success();
}

#[test]
fn failure_of_a_program_is_told_to_the_requester() {
    let broker = Embedded::start().unwrap();
    let line = "rr -d --answer -t no -C 1 -W 60 -- ls /no/such/file";
    let answering = Form::Native.start_until(READY, broker.address(), line);
    let ran = Form::Native.run(broker.address(), "rr -t no -m x -W 30");
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("/no/such/file"), "{}", ran.stderr);
    answering.join().unwrap().success();
}

#[test]
fn component_answers_requests() {
    let broker = Embedded::start().unwrap();
    let line = "rr -d --answer --echo -t echo -C 1 -W 60";
    let answering = Form::Component.start_until(READY, broker.address(), line);
    let reply = Form::Native.run(broker.address(), "rr -t echo -m hi -W 30").success();
    assert_eq!(reply.text(), "hi\n");
    answering.join().unwrap().success();
    let refused = Form::Component.run(broker.address(), "rr --answer -t x -- ls");
    assert!(refused.stderr.contains("cannot run programs"), "{}", refused.stderr);
}

#[test]
fn broker_is_described_with_what_it_changes() {
    let broker = Embedded::start().unwrap();
    for form in BOTH {
        let lines = form.run(broker.address(), "info --probe").success().text();
        for expected in
            ["Maximum QoS", "Receive Maximum", "Shared subscriptions", "it adds the User Property x-mqtt-client-id"]
        {
            assert!(lines.contains(expected), "{expected}: {lines}");
        }
        let json = form.run(broker.address(), "info --json").success().text();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["maximum-qos"], &json["session-present"]), (&2.into(), &false.into()));
    }
}

#[test]
fn messages_are_measured_at_each_qos() {
    let broker = Embedded::start().unwrap();
    for form in BOTH {
        for qos in 0..=2 {
            let line = format!("bench -q {qos} -n 200 -s 100 -r 5000 --json");
            let json = form.run(broker.address(), &line).success().text();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!((&json["publish"]["messages"], &json["receive"]["messages"]), (&200.into(), &200.into()));
            assert!(json["receive"]["delay_us"]["p50"].as_u64().is_some_and(|micros| micros < 10_000_000), "{json}");
            assert_eq!(json["publish"]["delay_us"].is_null(), qos == 0, "{json}");
        }
    }
    let text = Form::Native.run(broker.address(), "bench publish -q 1 -n 50").success().text();
    assert!(text.contains("from publish to acknowledgement:") && text.contains("|#"), "{text}");
}
