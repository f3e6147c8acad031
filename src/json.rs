//! Typed payloads: values as JSON, through serde.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::codec::PublishProperties;
use crate::error::Error;
use crate::message::Message;
use crate::respond::Reply;

const CONTENT_TYPE: &str = "application/json";

impl Message {
    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when it is not the JSON that `T` wants. The text tells what is wrong, and where.
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
        serde_json::from_slice(&self.payload).map_err(|error| Error::Json(error.to_string()))
    }
}

impl Reply {
    /// A reply with a value as JSON, with the Content Type `application/json` and the Payload Format Indicator for
    /// UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Json`] when the value cannot be written as JSON.
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
    serde_json::to_vec(value).map_err(|error| Error::Json(error.to_string()))
}
