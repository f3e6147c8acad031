//! Response Topic and Correlation Data in a JSON payload, for peers that read them there: see
//! [`Options::json_envelope`](crate::Options::json_envelope).
//!
//! ```text
//! request   {"correlationId": "…", "replyTo": "replies.client", …}      and what the request says itself
//! reply     {"correlationId": "…", "result": …}
//! ```

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::codec::Publish;
use crate::error::RequestError;
use crate::rabbitmq;

const CORRELATION: &str = "correlationId";
const REPLY_TO: &str = "replyTo";
const RESULT: &str = "result";

/// The payload of a request, with where its reply goes.
pub(crate) fn wrap_request(payload: &[u8], topic: &str, correlation: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut members = read(payload).ok_or(RequestError::NotJson)?;
    members.insert(CORRELATION.into(), text(correlation).into());
    members.insert(REPLY_TO.into(), rabbitmq::routing_key(topic).into());
    Ok(Value::Object(members).to_string().into_bytes())
}

/// The Response Topic and Correlation Data in the payload of a request, if it has them.
pub(crate) fn reply_address(payload: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
    let members = read(payload)?;
    let topic = rabbitmq::topic(members.get(REPLY_TO)?.as_str()?);
    Some((topic, correlation(&members)))
}

/// The payload of a reply, with what it answers; `None` if it is not JSON.
pub(crate) fn wrap_reply(payload: &[u8], correlation: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut members = Map::new();
    if let Some(correlation) = correlation {
        members.insert(CORRELATION.into(), text(correlation).into());
    }
    members.insert(RESULT.into(), serde_json::from_slice(payload).ok()?);
    Some(Value::Object(members).to_string().into_bytes())
}

/// The Correlation Data of a reply, and what is in its envelope. Where there is none, the payload is what it is.
pub(crate) fn unwrap_reply(reply: &Publish<'_>) -> (Option<Vec<u8>>, Vec<u8>) {
    let said = reply.properties.correlation_data.map(ToOwned::to_owned);
    let Some(members) = read(reply.payload) else { return (said, reply.payload.to_owned()) };
    let payload =
        members.get(RESULT).map_or_else(|| reply.payload.to_owned(), |result| result.to_string().into_bytes());
    (said.or_else(|| correlation(&members)), payload)
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
