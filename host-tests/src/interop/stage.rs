//! Where a promise is tried: a broker, names that nobody else uses, and calls that fail instead of panicking, since a
//! panic is a fault of the client.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use mqtt_wasi::{Message, Publish, QoS, ReasonCode, Subscription};

use crate::subject::{Failure, Settings, Subject};

/// How long what must come may take.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// How long nothing has to come, to be taken for nothing.
pub(super) const A_WHILE: Duration = Duration::from_millis(400);

/// A form of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The blocking client.
    Blocking,
    /// The async client.
    Async,
    /// `mqtt.wasm` in wasmtime.
    Component,
}

/// All forms.
pub const FORMS: [Form; 3] = [Form::Blocking, Form::Async, Form::Component];

/// A broker, and names that no other promise and no other form uses.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The URL of the broker.
    pub url: String,
    prefix: String,
}

impl Form {
    /// Its name in a matrix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Async => "async",
            Self::Component => "component",
        }
    }
}

impl Stage {
    /// A new one.
    #[must_use]
    pub fn new(url: &str, promise: &str, form: Form) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { url: url.to_owned(), prefix: format!("{promise}-{}-{}-{count}", form.name(), std::process::id()) }
    }

    /// A topic that nobody else uses.
    pub(super) fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    /// A Client Identifier that nobody else uses.
    pub(super) fn client_id(&self, role: &str) -> &'static str {
        // Settings are made for tests, which know theirs when they are written.
        Box::leak(format!("{}-{role}", self.prefix).into_boxed_str())
    }

    /// A client with a clean session and a name of its own.
    pub(super) fn connect<S: Subject>(&self, role: &str) -> Result<S> {
        self.connect_with(role, Settings::default())
    }

    /// The same with these settings.
    pub(super) fn connect_with<S: Subject>(&self, role: &str, settings: Settings) -> Result<S> {
        let settings = Settings { client_id: self.client_id(role), ..settings };
        said(S::connect(&self.url, &settings)).context("connecting")
    }
}

/// Settings of a client whose session outlives its connection.
pub(super) fn with_a_session() -> Settings {
    Settings { session_expiry_interval: Some(600), ..Settings::default() }
}

/// A failure as an error.
pub(super) fn said<T>(result: Result<T, Failure>) -> Result<T> {
    result.map_err(|failure| anyhow!("{:?}: {}", failure.kind, failure.message))
}

/// Subscribes to one filter, which must be granted at this QoS.
pub(super) fn subscribe<S: Subject>(client: &mut S, filter: &str, qos: QoS) -> Result<()> {
    subscribe_as(client, Subscription::new(filter, qos), None)
}

/// The same with all options.
pub(super) fn subscribe_as<S: Subject>(client: &mut S, what: Subscription<'_>, identifier: Option<u32>) -> Result<()> {
    let granted = said(client.subscribe_as(&[what], identifier)).context("subscribing")?;
    ensure!(granted == [Ok(what.maximum_qos)], "the subscription is granted {granted:?} for {:?}", what.maximum_qos);
    Ok(())
}

/// Publishes a message, which the broker must take.
pub(super) fn publish<S: Subject>(client: &mut S, message: &Publish<'_>) -> Result<()> {
    let code = said(client.publish(message)).context("publishing")?;
    ensure!(
        matches!(code, ReasonCode::Success | ReasonCode::NoMatchingSubscribers),
        "the broker answers PUBLISH with {code:?}"
    );
    Ok(())
}

/// The next message, which must come soon.
pub(super) fn receive<S: Subject>(client: &mut S) -> Result<Message> {
    said(client.receive(SOON)).context("receiving")?.context("no message comes")
}

/// Fails if there is a message.
pub(super) fn receive_nothing<S: Subject>(client: &mut S) -> Result<()> {
    match said(client.receive(A_WHILE)).context("receiving")? {
        None => Ok(()),
        Some(message) => Err(anyhow!("a message comes that should not: {}", message.topic)),
    }
}

/// Waits until it is so.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + SOON;
    while !is_so()? {
        ensure!(Instant::now() < end, "{what}: not within {SOON:?}");
    }
    Ok(())
}
