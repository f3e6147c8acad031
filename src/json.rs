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
    /// [`Error::Json`] when it is not what `T` wants; says what and where.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.payload).map_err(|error| Error::Json(error.to_string()))
    }
}

impl Reply {
    /// A value as JSON, marked as such by Content Type and Payload Format Indicator.
    ///
    /// # Errors
    /// [`Error::Json`] when it cannot be written.
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
