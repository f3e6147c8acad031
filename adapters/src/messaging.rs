//! What the adapters of `wasmcloud:messaging` read and write as text: their settings, and subjects for replies.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// How long the broker keeps messages for a Client Identifier while the component is away, in seconds: an hour.
const SESSION_EXPIRY_SECONDS: u32 = 3600;

/// What stands between a Response Topic and the Correlation Data: no Topic Name may have a `#`, and no Topic Filter may go on
/// behind it `[MQTT-4.7.1-1]`.
const BEHIND_TOPIC: &str = "#=";

/// What the environment says. A variable that is empty counts as none.
#[derive(Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Settings {
    /// `MQTT_URL`: where the broker is.
    pub url: String,
    /// `MQTT_USER_NAME`.
    pub user_name: Option<String>,
    /// `MQTT_PASSWORD`.
    pub password: Option<String>,
    /// `MQTT_CA_PEM`: the only authorities to trust.
    pub ca_pem: Option<String>,
    /// `MQTT_QOS`: what messages are sent and received with, 0 to 2. Default: 1.
    pub qos: u8,
    /// `MQTT_CLIENT_ID`: whose session it is that messages are received in.
    pub client_id: Option<String>,
    /// `MQTT_SESSION_EXPIRY_SECONDS`. Default: an hour.
    pub session_expiry_seconds: u32,
    /// `MQTT_SUBSCRIBE`: Topic Filters with commas between them.
    pub filters: Vec<String>,
}

impl Settings {
    /// Reads the variables of an environment.
    ///
    /// # Errors
    /// In words, without values: when there is no URL, or a number is none.
    pub fn read(variables: Vec<(String, String)>) -> Result<Self, String> {
        let mut settings = Self { qos: 1, session_expiry_seconds: SESSION_EXPIRY_SECONDS, ..Self::default() };
        for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "MQTT_URL" => settings.url = value,
                "MQTT_USER_NAME" => settings.user_name = Some(value),
                "MQTT_PASSWORD" => settings.password = Some(value),
                "MQTT_CA_PEM" => settings.ca_pem = Some(value),
                "MQTT_CLIENT_ID" => settings.client_id = Some(value),
                "MQTT_QOS" => {
                    let qos = value.parse().ok().filter(|qos| *qos <= 2);
                    settings.qos = qos.ok_or("MQTT_QOS is not 0, 1 or 2: correct it")?;
                }
                "MQTT_SESSION_EXPIRY_SECONDS" => {
                    let seconds = value.parse().ok();
                    settings.session_expiry_seconds =
                        seconds.ok_or("MQTT_SESSION_EXPIRY_SECONDS is no number from 0 to 4294967295: correct it")?;
                }
                "MQTT_SUBSCRIBE" => {
                    let filters = value.split(',').map(str::trim).filter(|filter| !filter.is_empty());
                    settings.filters = filters.map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        if settings.url.is_empty() {
            return Err("there is no broker: set MQTT_URL, for example to mqtt://localhost:1883".into());
        }
        Ok(settings)
    }
}

/// The subject for a reply to a message with this Response Topic and Correlation Data.
#[must_use]
pub fn reply_to(response_topic: &str, correlation_data: Option<&[u8]>) -> String {
    let mut subject = response_topic.to_owned();
    if let Some(data) = correlation_data {
        subject.push_str(BEHIND_TOPIC);
        BASE64_URL_SAFE_NO_PAD.encode_string(data, &mut subject);
    }
    subject
}

/// The Topic Name of a subject, and the Correlation Data if it is one of [`reply_to`]. None if that cannot be read. Whether
/// the rest is a Topic Name is left to the client.
#[must_use]
pub fn topic_and_correlation(subject: &str) -> Option<(&str, Option<Vec<u8>>)> {
    match subject.split_once(BEHIND_TOPIC) {
        None => Some((subject, None)),
        Some((topic, data)) => Some((topic, Some(BASE64_URL_SAFE_NO_PAD.decode(data).ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn variables_are_settings() {
        let settings = read(&[
            ("PATH", "/bin"),
            ("MQTT_URL", "mqtt://a"),
            ("MQTT_USER_NAME", "me"),
            ("MQTT_PASSWORD", "secret"),
            ("MQTT_CA_PEM", "pem"),
            ("MQTT_CLIENT_ID", "id"),
            ("MQTT_QOS", "2"),
            ("MQTT_SESSION_EXPIRY_SECONDS", "7"),
            ("MQTT_SUBSCRIBE", "a/+, $share/g/b/#,,"),
        ]);
        let expected = Settings {
            url: "mqtt://a".into(),
            user_name: Some("me".into()),
            password: Some("secret".into()),
            ca_pem: Some("pem".into()),
            qos: 2,
            client_id: Some("id".into()),
            session_expiry_seconds: 7,
            filters: vec!["a/+".into(), "$share/g/b/#".into()],
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn empty_variables_are_none() {
        let variables = [("MQTT_URL", "mqtt://a"), ("MQTT_USER_NAME", ""), ("MQTT_QOS", ""), ("MQTT_SUBSCRIBE", "")];
        let expected = Settings { url: "mqtt://a".into(), qos: 1, session_expiry_seconds: 3600, ..Settings::default() };
        assert_eq!(read(&variables), Ok(expected));
    }

    #[test]
    fn wrong_variables_are_named_without_their_values() {
        for (name, value) in [("MQTT_QOS", "3"), ("MQTT_QOS", "one"), ("MQTT_SESSION_EXPIRY_SECONDS", "-1")] {
            let error = read(&[("MQTT_URL", "mqtt://a"), (name, value)]).unwrap_err();
            assert!(error.starts_with(name) && !error.contains(value), "{error}");
        }
        assert!(read(&[("MQTT_URL", "")]).unwrap_err().contains("MQTT_URL"));
    }

    #[test]
    fn correlation_data_survives_the_way_through_a_subject() {
        for data in [None, Some(&b""[..]), Some(b"\0\xff#/+"), Some(b"text")] {
            let subject = reply_to("replies/a", data);
            assert_eq!(topic_and_correlation(&subject), Some(("replies/a", data.map(<[u8]>::to_vec))), "{subject}");
        }
        assert_eq!(reply_to("replies/a", None), "replies/a");
    }

    #[test]
    fn filter_is_left_to_the_client_to_refuse() {
        assert_eq!(topic_and_correlation("a/#"), Some(("a/#", None)));
        assert_eq!(topic_and_correlation("a#=?"), None);
    }
}
