//! Response Topic and Correlation Data in a JSON payload, for peers that read them there: see
//! [`Options::json_envelope`](crate::Options::json_envelope).
//!
//! ```text
//! request   {"correlationId": "…", "replyTo": "replies.client", …}      and what the request says itself
//! reply     {"correlationId": "…", "result": …}      or, from a responder that failed, "error": "…" instead
//! ```

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::error::{CallError, ERROR_PROPERTY};
use crate::message::Message;
use crate::rabbitmq;
use crate::session::Envelope;

const CORRELATION: &str = "correlationId";
const REPLY_TO: &str = "replyTo";
const RESULT: &str = "result";
const ERROR: &str = "error";

/// JSON objects with these members.
pub(crate) static JSON: Envelope = Envelope { wrap_request, unwrap_reply, reply_address, wrap_reply };

/// The payload of a request, with where its reply goes.
fn wrap_request(payload: &[u8], topic: &str, correlation: &[u8]) -> Result<Vec<u8>, CallError> {
    let mut members = read(payload).ok_or(CallError::NotJson)?;
    members.insert(CORRELATION.into(), text(correlation).into());
    members.insert(REPLY_TO.into(), rabbitmq::routing_key(topic).into());
    Ok(Value::Object(members).to_string().into_bytes())
}

/// The Response Topic and Correlation Data in the payload of a request, if it has them.
fn reply_address(payload: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
    let members = read(payload)?;
    let topic = rabbitmq::topic(members.get(REPLY_TO)?.as_str()?);
    Some((topic, correlation(&members)))
}

/// The payload of a reply, or of an error, with what it answers; `None` if it is not JSON.
fn wrap_reply(payload: &[u8], error: Option<&str>, correlation: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut members = Map::new();
    if let Some(correlation) = correlation {
        members.insert(CORRELATION.into(), text(correlation).into());
    }
    match error {
        Some(error) => members.insert(ERROR.into(), error.into()),
        None => members.insert(RESULT.into(), serde_json::from_slice(payload).ok()?),
    };
    Some(Value::Object(members).to_string().into_bytes())
}

/// A reply as it would be without an envelope, and its Correlation Data. Where there is no envelope, it is what it is.
fn unwrap_reply(mut reply: Message) -> (Option<Vec<u8>>, Message) {
    let said = reply.correlation_data.clone();
    let Some(members) = read(&reply.payload) else { return (said, reply) };
    if let Some(error) = members.get(ERROR).and_then(Value::as_str).filter(|_| !members.contains_key(RESULT)) {
        reply.user_properties.push((ERROR_PROPERTY.to_owned(), error.to_owned()));
    }
    if let Some(result) = members.get(RESULT) {
        reply.payload = result.to_string().into_bytes();
    }
    (said.or_else(|| correlation(&members)), reply)
}

fn read(payload: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(payload).ok()
}

fn correlation(members: &Map<String, Value>) -> Option<Vec<u8>> {
    Some(members.get(CORRELATION)?.as_str()?.as_bytes().to_owned())
}

fn text(correlation: &[u8]) -> String {
    String::from_utf8_lossy(correlation).into_owned()
}
