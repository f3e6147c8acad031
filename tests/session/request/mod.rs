//! Requests and the replies to them (section 4.10).

mod ending;
#[cfg(feature = "json")]
mod envelope;
mod many;
mod reconnecting;
mod replies;
mod response_topic;
mod resuming;
mod sending;

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, QoS, ReasonCode};
use mqtt_wasi::session::OperationId;
use mqtt_wasi::{CallError, Options};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

const GRANTED: ReasonCode = ReasonCode::GrantedQos1;
const WOULD_BLOCK: Result<OperationId, CallError> = Err(CallError::WouldBlock);

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client with these options whose broker sends it replies.
fn asking_with(options: Options, terms: ConnackProperties<'_>) -> Scenario {
    let mut s = Scenario::connected_with(options, terms);
    assert_eq!(s.try_request(&Publish::new("q", "{}"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(1, "replies/c");
    s.broker_sends(suback(1, &[GRANTED]));
    s
}

fn asking() -> Scenario {
    asking_with(options(), ConnackProperties::default())
}

/// A request at QoS 0, and its Correlation Data.
#[track_caller]
fn ask(s: &mut Scenario, payload: &str) -> (OperationId, Vec<u8>) {
    let asked = s.request(QOS_0, "q", payload, TIMEOUT);
    (asked, s.expect_request(request(QOS_0, 0, "q", payload, 10)))
}

/// A request at QoS 1 or 2 that the broker has not acknowledged, and its Correlation Data.
#[track_caller]
fn ask_at(s: &mut Scenario, qos: QoS, packet_id: u16, payload: &str) -> (OperationId, Vec<u8>) {
    let asked = s.request(qos, "q", payload, TIMEOUT);
    (asked, s.expect_request(request(qos, packet_id, "q", payload, 10)))
}

fn replied<'a>(qos: QoS, packet_id: u16, correlation: &'a [u8], payload: &'a str) -> Packet<'a> {
    Packet::Publish(reply(qos, packet_id, correlation, payload))
}

fn replied_again<'a>(qos: QoS, packet_id: u16, correlation: &'a [u8], payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { dup: true, ..reply(qos, packet_id, correlation, payload) })
}

/// Replies that were dropped: late ones, and those to nothing.
fn dropped(s: &Scenario) -> (u64, u64) {
    (s.session.stats().late_replies, s.session.stats().unmatched_replies)
}
