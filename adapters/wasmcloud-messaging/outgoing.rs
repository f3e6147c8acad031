//! Sending, over one client that is made with the first message. What waits is in `calls`.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use async_lock::Mutex;
use mqtt_wasi_adapters::messaging::{Settings, topic_and_correlation};

use crate::calls;
use crate::common::{Received, apply, qos_of};
use crate::mqtt_wasi::client::mqtt::{
    Client, ConnectOptions, Failure, FailureKind, Payload, Property, Publication, Qos,
};

/// Why nothing was sent.
pub(crate) enum Fault {
    /// What is wrong with the environment.
    Settings(String),
    /// What is wrong with the subject.
    Subject(&'static str),
    Failure(Failure),
}

struct Connection {
    client: Client,
    qos: Qos,
}

/// Several calls at once wait here until one has connected.
static CONNECTION: Mutex<Option<Arc<Connection>>> = Mutex::new(None);

pub(crate) async fn publish(subject: &str, body: Vec<u8>, reply_to: Option<&str>) -> Result<(), Fault> {
    let (topic, correlation) = topic_and_correlation(subject).ok_or(WRONG_SUBJECT)?;
    let mut properties: Vec<_> = correlation.map(Property::CorrelationData).into_iter().collect();
    if let Some(reply_to) = reply_to {
        let (response_topic, asked_with) = topic_and_correlation(reply_to).ok_or(WRONG_REPLY_TO)?;
        if asked_with.is_some() {
            // It is who the reply is for. A message that is a reply itself has one already.
            properties.clear();
        }
        properties.push(Property::ResponseTopic(response_topic.into()));
        properties.extend(asked_with.map(Property::CorrelationData));
    }
    let connection = connection().await?;
    let qos = connection.qos;
    let message = Publication { topic: topic.into(), payload: Payload::Bytes(body), qos, retain: false, properties };
    let published = calls::publish(&connection.client, message).await;
    connection.check(published.map(drop)).await
}

pub(crate) async fn request(subject: String, body: Vec<u8>, timeout_ms: u32) -> Result<Received, Fault> {
    if !matches!(topic_and_correlation(&subject), Some((_, None))) {
        return Err(WRONG_SUBJECT);
    }
    let connection = connection().await?;
    let replied = calls::request(&connection.client, subject, Payload::Bytes(body), connection.qos, timeout_ms).await;
    connection.check(replied).await.map(Received::from)
}

const WRONG_SUBJECT: Fault = Fault::Subject("the subject is no Topic Name: leave out #=");
const WRONG_REPLY_TO: Fault = Fault::Subject("the subject for the reply is no Topic Name: leave out #=");

/// The one that is there, or a new one.
async fn connection() -> Result<Arc<Connection>, Fault> {
    let mut slot = CONNECTION.lock().await;
    if let Some(connection) = &*slot {
        return Ok(connection.clone());
    }
    let settings = Settings::read(calls::environment()).map_err(Fault::Settings)?;
    let options = ConnectOptions::new();
    apply(&settings, &options);
    let qos = qos_of(&settings);
    let client = calls::connect(settings.url, &options).await.map_err(Fault::Failure)?;
    let connection = Arc::new(Connection { client, qos });
    *slot = Some(connection.clone());
    Ok(connection)
}

impl Connection {
    /// Leaves a client that will not connect again, so that the next call makes another.
    async fn check<T>(self: Arc<Self>, outcome: Result<T, Failure>) -> Result<T, Fault> {
        if let Err(failure) = &outcome
            && matches!(
                failure.kind,
                FailureKind::ConnectionOver | FailureKind::NotTrusted | FailureKind::ProtocolBroken
            )
        {
            let mut slot = CONNECTION.lock().await;
            if slot.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &self)) {
                *slot = None;
            }
        }
        outcome.map_err(Fault::Failure)
    }
}

impl Fault {
    /// For people: the name of the failure, and its text.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Settings(text) => text,
            Self::Subject(text) => text.to_string(),
            Self::Failure(Failure { name, message, .. }) => [&name, ": ", &*message].concat(),
        }
    }
}
