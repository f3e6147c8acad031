//! What sending and receiving have in common: how to connect, and what a message is.

use alloc::string::String;
use alloc::vec::Vec;

use mqtt_wasi_adapters::messaging::{Settings, reply_to};

use crate::mqtt_wasi::client::mqtt::{ConnectOptions, Message, Payload, Property, Qos};

/// A received message.
pub(crate) struct Received {
    pub(crate) subject: String,
    pub(crate) body: Vec<u8>,
    pub(crate) reply_to: Option<String>,
}

/// What both directions connect with.
pub(crate) fn apply(settings: &Settings, options: &ConnectOptions) {
    if let Some(user_name) = &settings.user_name {
        options.set_user_name(user_name);
    }
    if let Some(password) = &settings.password {
        options.set_password(password.as_bytes());
    }
    if let Some(ca_pem) = &settings.ca_pem {
        options.add_ca(ca_pem.as_bytes());
        options.set_only_own_ca(true);
    }
    options.set_reconnect(true);
}

pub(crate) fn qos_of(settings: &Settings) -> Qos {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(settings.qos)]
}

impl From<Message> for Received {
    fn from(message: Message) -> Self {
        let (mut response_topic, mut correlation_data) = (None, None);
        for property in message.properties.into_iter().flatten() {
            match property {
                Property::ResponseTopic(topic) => response_topic = Some(topic),
                Property::CorrelationData(data) => correlation_data = Some(data),
                _ => {}
            }
        }
        let body = match message.payload {
            Payload::Text(text) => text.into_bytes(),
            Payload::Bytes(bytes) => bytes,
        };
        let reply_to = response_topic.map(|topic| reply_to(&topic, correlation_data.as_deref()));
        Self { subject: message.topic, body, reply_to }
    }
}
