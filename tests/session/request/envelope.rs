//! Requests and replies in a JSON envelope.

use mqtt_wasi::CallError;
use mqtt_wasi::codec::{ConnackProperties, Packet, Publish};
use mqtt_wasi::session::OperationId;

use super::{QOS_0, QOS_1, TIMEOUT, ask, asking, asking_with, dropped};
use crate::packets::*;
use crate::scenario::{Scenario, options};

fn enveloping() -> Scenario {
    asking_with(options().json_envelope(true), ConnackProperties::default())
}

/// A request in its envelope, and its Correlation Data.
fn ask_in_envelope(s: &mut Scenario) -> (OperationId, String) {
    let asked = s.request(QOS_0, "q", "{}", TIMEOUT);
    let bytes = s.take_sent().pop().expect("a request");
    let Some((Packet::Publish(request), _)) = Packet::decode(&bytes).unwrap() else { panic!("PUBLISH") };
    let correlation = request.properties.correlation_data.expect("Correlation Data");
    (asked, String::from_utf8(correlation.to_owned()).expect("text"))
}

#[test]
fn request_says_in_its_payload_where_its_reply_goes() {
    let mut s = enveloping();
    s.request(QOS_1, "q", r#"{"x":[1,"2"],"a":{"correlationId":null}}"#, TIMEOUT);
    let bytes = s.take_sent().pop().expect("a request");
    let Some((Packet::Publish(request), _)) = Packet::decode(&bytes).unwrap() else { panic!("PUBLISH") };
    let correlation = std::str::from_utf8(request.properties.correlation_data.unwrap()).unwrap();
    let payload = std::str::from_utf8(request.payload).unwrap();
    assert_eq!(
        payload,
        format!(
            r#"{{"a":{{"correlationId":null}},"correlationId":"{correlation}","replyTo":"replies.c","x":[1,"2"]}}"#
        )
    );
    assert_eq!(request.properties.response_topic, Some("replies/c"));
}

#[test]
fn request_that_is_no_json_object_is_not_sent() {
    let mut s = enveloping();
    for payload in ["", "text", "[1]", "1", "{", r#"{"a":1} {}"#] {
        let asked = s.try_request(&Publish::new("q", payload), TIMEOUT);
        assert_eq!(asked, Err(CallError::NotJson), "{payload}");
    }
    ask_in_envelope(&mut s);
}

#[test]
fn reply_is_found_by_what_its_payload_says() {
    let mut s = enveloping();
    for result in [r#"{"ok":true}"#, "21.5", r#""text""#, "null"] {
        let (asked, correlation) = ask_in_envelope(&mut s);
        let payload = format!(r#"{{ "result" : {result}, "correlationId" : "{correlation}" }}"#);
        s.broker_sends(publish(QOS_0, 0, "replies/c", &payload));
        s.expect_replied(asked, result);
    }
}

#[test]
fn reply_without_an_envelope_is_what_it_is() {
    let mut s = enveloping();
    for payload in ["21.5", "no JSON", r#"{"ok":true}"#] {
        let (asked, correlation) = ask_in_envelope(&mut s);
        s.broker_sends(Packet::Publish(reply(QOS_0, 0, correlation.as_bytes(), payload)));
        s.expect_replied(asked, payload);
    }
}

#[test]
fn envelope_that_answers_nothing_is_dropped() {
    let mut s = enveloping();
    let (_, correlation) = ask_in_envelope(&mut s);
    let payloads = ["no JSON", "{}", r#"{"correlationId":1,"result":1}"#, r#"{"correlationId":"1","result":1}"#];
    for (count, payload) in (1..).zip(payloads) {
        s.broker_sends(publish(QOS_0, 0, "replies/c", payload));
        assert_eq!(dropped(&s), (0, count), "{payload}");
    }
    // What the property says comes before what the payload says.
    let payload = format!(r#"{{"correlationId":"{correlation}","result":1}}"#);
    s.broker_sends(Packet::Publish(reply(QOS_0, 0, b"another", &payload)));
    assert_eq!(dropped(&s), (0, 5));
    s.expect_no_event();
}

#[test]
fn payload_is_left_alone_without_the_option() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "no JSON");
    let correlation_text = std::str::from_utf8(&correlation).unwrap();
    let payload = format!(r#"{{"correlationId":"{correlation_text}","result":1}}"#);
    s.broker_sends(publish(QOS_0, 0, "replies/c", &payload));
    assert_eq!(dropped(&s), (0, 1));
    s.broker_sends(Packet::Publish(reply(QOS_0, 0, &correlation, &payload)));
    s.expect_replied(asked, &payload);
}
