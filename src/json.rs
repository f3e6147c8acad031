//! Typed payloads: values as JSON, through serde.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::PublishProperties;
use crate::error::Error;
use crate::message::Message;
use crate::respond::Reply;

const CONTENT_TYPE: &str = "application/json";

/// What serde writes between what it found and what it should have found.
const EXPECTED: &str = ", expected ";

impl Message {
    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not JSON, or not the JSON of a `T`. The text tells what was expected and where.
    ///
    /// ```
    /// use mqtt_wasi::{Message, Publish};
    ///
    /// let message = Message::from(Publish::new("sensors/kitchen", r#"{"celsius": 21.5}"#));
    /// let reading: std::collections::HashMap<String, f64> = message.json()?;
    /// assert_eq!(reading["celsius"], 21.5);
    /// assert!(message.json::<f64>().is_err());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| Error::Json(format!("the payload is not the JSON that its type needs: {}", why(&error))))
    }
}

impl Reply {
    /// A reply with a value as JSON, with the Content Type `application/json` and the Payload Format Indicator for
    /// UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Json`] if it cannot be written as JSON.
    ///
    /// ```
    /// use mqtt_wasi::Reply;
    ///
    /// let reply = Reply::json(&[1, 2, 3])?;
    /// assert_ne!(reply, Reply::new("[1,2,3]"), "which has no Content Type");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Self, Error> {
        let payload = to_json(value)?;
        Ok(Self { payload, is_text: true, content_type: Some(CONTENT_TYPE.into()), ..Self::default() })
    }
}

/// What says that a payload is JSON.
pub(crate) fn json_properties<'a>() -> PublishProperties<'a> {
    PublishProperties {
        payload_format_indicator: Some(true),
        content_type: Some(CONTENT_TYPE),
        ..PublishProperties::default()
    }
}

/// A value as JSON.
pub(crate) fn to_json(value: &(impl serde::Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::Json(format!("the value cannot be written as JSON: {}", why(&error))))
}

/// Why JSON and a type do not fit, without anything of the payload, which must not be in logs.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() || text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text;
    }
    // Not `rsplit_once`, whose search for a text is 800 bytes of a program.
    let expected = text.as_bytes().windows(EXPECTED.len()).rposition(|window| window == EXPECTED.as_bytes());
    match expected.and_then(|at| text.get(at + EXPECTED.len()..)) {
        Some(expected) => format!("expected {expected}"),
        None if error.line() > 0 => format!("a wrong value at line {} column {}", error.line(), error.column()),
        None => "its type refused".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
    }

    fn read<'a, T: serde::Deserialize<'a> + core::fmt::Debug>(message: &'a Message, payload: &str) -> String {
        assert_eq!(message.payload, payload.as_bytes());
        message.json::<T>().unwrap_err().to_string()
    }

    #[test]
    fn failure_tells_what_was_expected_and_nothing_of_the_payload() {
        let prefix = "the payload is not the JSON that its type needs: ";
        for (payload, expected) in [
            (r#"{"a": "secret, expected secret"}"#, "expected u8 at line 1 column 31"),
            (r#"{"a": 4242}"#, "expected u8 at line 1 column 10"),
            (r#"{"a" 1}"#, "expected `:` at line 1 column 6"),
        ] {
            let message = Message { payload: payload.into(), ..Message::default() };
            let text = read::<alloc::collections::BTreeMap<String, u8>>(&message, payload);
            assert_eq!(text.strip_prefix(prefix), Some(expected));
        }
        let message = Message { payload: br#""secret""#.into(), ..Message::default() };
        let text = read::<Color>(&message, r#""secret""#);
        assert_eq!(text.strip_prefix(prefix), Some("expected `red` at line 1 column 8"));
        let text = read::<core::net::IpAddr>(&message, r#""secret""#);
        assert_eq!(text.strip_prefix(prefix), Some("a wrong value at line 1 column 8"));
    }

    #[test]
    fn value_without_json_is_refused() {
        let keys = alloc::collections::BTreeMap::from([((1, 2), 3)]);
        let text = to_json(&keys).unwrap_err().to_string();
        assert_eq!(text, "the value cannot be written as JSON: key must be a string");
    }
}
