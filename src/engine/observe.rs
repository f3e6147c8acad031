//! What the crate `tracing` is told, with the feature of that name: a span for each connection and for each call, and
//! an event for each message that is received and for what happens to the connection. Without the feature all of it is
//! empty.
//!
//! Names of fields are OpenTelemetry's (semantic conventions for messaging, and for MQTT). No field has anything in it
//! that may be secret: no payload, password, token, User Property or Reason String. Errors are told by their stable
//! names.

#[cfg(feature = "tracing")]
pub(super) use on::{Connection, Described, Kind, Span};

#[cfg(not(feature = "tracing"))]
pub(super) use off::{Connection, Span};

/// Whether anyone listens to the calls.
#[cfg(feature = "tracing")]
pub(super) fn has_listeners() -> bool {
    // One comparison of a static. What filters by more than the level is asked for each span.
    tracing::level_filters::LevelFilter::current() >= tracing::level_filters::LevelFilter::DEBUG
}

#[cfg(not(feature = "tracing"))]
pub(super) const fn has_listeners() -> bool {
    false
}

#[cfg(feature = "tracing")]
mod on {
    use tracing::field::Empty;
    use tracing::{Level, debug_span, event, info_span};

    use super::has_listeners;
    use crate::codec::{Publish, QoS, Subscription};
    use crate::engine::Engine;
    use crate::engine::event::Event;
    use crate::engine::operation::Submit;
    use crate::error::Error;
    use crate::url::BrokerUrl;

    /// What filters know it by: `RUST_LOG=mqtt_wasi=debug`.
    const TARGET: &str = "mqtt_wasi";

    /// What kind of call it is.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::engine) enum Kind {
        Publish,
        Request,
        Reply,
        Subscribe,
        Unsubscribe,
        Flush,
        Authenticate,
        Connect,
        Disconnect,
    }

    /// What a call is about, as far as a log may say it.
    #[derive(Debug)]
    pub struct Described<'a> {
        kind: Kind,
        destination: Option<&'a str>,
        body_size: Option<usize>,
        qos: Option<QoS>,
        count: Option<usize>,
    }

    impl<'a> Described<'a> {
        pub(in crate::engine) const fn new(kind: Kind) -> Self {
            Self { kind, destination: None, body_size: None, qos: None, count: None }
        }

        pub(in crate::engine) const fn message(kind: Kind, message: &Publish<'a>) -> Self {
            let (destination, body_size, qos) = (Some(message.topic), Some(message.payload.len()), Some(message.qos));
            Self { destination, body_size, qos, ..Self::new(kind) }
        }

        /// The same with a payload that is longer by so many bytes.
        #[cfg(feature = "stream")]
        pub(in crate::engine) fn with_more(self, len: usize) -> Self {
            Self { body_size: self.body_size.map(|size| size.saturating_add(len)), ..self }
        }

        /// A batch, if its length is known.
        pub(in crate::engine) const fn batch(count: Option<usize>) -> Self {
            Self { count, ..Self::new(Kind::Publish) }
        }

        pub(in crate::engine) const fn to(kind: Kind, destination: &'a str) -> Self {
            Self { destination: Some(destination), ..Self::new(kind) }
        }

        pub(in crate::engine) const fn subscription(subscription: &Subscription<'a>) -> Self {
            let qos = Some(subscription.maximum_qos);
            Self { destination: Some(subscription.filter), qos, ..Self::new(Kind::Subscribe) }
        }

        pub(in crate::engine) const fn subscriptions(subscriptions: &[Subscription<'a>]) -> Self {
            match subscriptions {
                [one] => Self::subscription(one),
                several => Self { count: Some(several.len()), ..Self::new(Kind::Subscribe) },
            }
        }

        pub(in crate::engine) const fn filters(filters: &[&'a str]) -> Self {
            match filters {
                [one] => Self::to(Kind::Unsubscribe, one),
                several => Self { count: Some(several.len()), ..Self::new(Kind::Unsubscribe) },
            }
        }
    }

    /// The span of a call, from its first poll to its end. It ends with a call that is dropped, too.
    #[derive(Debug, Default)]
    pub(in crate::engine) struct Span(Option<tracing::Span>);

    impl Span {
        pub(in crate::engine) const fn new() -> Self {
            Self(None)
        }

        /// The call is polled for the first time.
        #[inline]
        pub(in crate::engine) fn begin(&mut self, engine: &Engine, operation: &dyn Submit) {
            if self.0.is_none() && has_listeners() {
                self.0 = Some(engine.span_of(operation));
            }
        }

        /// The call is over.
        #[inline]
        pub(in crate::engine) fn over<T>(&mut self, result: &Result<T, Error>, failure: fn(&T) -> Option<&Error>) {
            if self.0.is_some() {
                self.end(result.as_ref().map_or_else(Some, failure));
            }
        }

        #[cold]
        fn end(&mut self, failure: Option<&Error>) {
            if let (Some(span), Some(error)) = (self.0.take(), failure) {
                fail(&span, error);
            }
        }
    }

    fn fail(span: &tracing::Span, error: &Error) {
        span.record("error.type", error.name());
        span.record("otel.status_code", "ERROR");
        if let Some(code) = error.reason_code() {
            span.record("messaging.mqtt.reason_code", code as u8);
        }
    }

    /// The span of a connection: from the attempt to make it to its end.
    #[derive(Debug)]
    pub(in crate::engine) struct Connection(tracing::Span);

    impl Connection {
        pub(in crate::engine) const fn none() -> Self {
            Self(tracing::Span::none())
        }

        /// An attempt to connect begins.
        pub(in crate::engine) fn begin(&mut self, url: Option<&BrokerUrl>, attempt: u64) {
            // Nobody's call: it outlives the one that asked for it.
            self.0 = info_span!(
                target: TARGET,
                parent: None,
                "connection",
                "otel.kind" = "client",
                "otel.status_code" = Empty,
                "messaging.system" = "mqtt",
                "messaging.client.id" = Empty,
                "messaging.mqtt.attempt" = attempt,
                "messaging.mqtt.session_present" = Empty,
                "messaging.mqtt.reason_code" = Empty,
                "server.address" = url.map(|url| url.host.as_str()),
                "server.port" = url.map(|url| url.port),
                "error.type" = Empty,
            );
        }

        /// It is made.
        pub(in crate::engine) fn made(&self, client_id: &str, session_present: bool) {
            if self.0.is_disabled() {
                return;
            }
            self.0.record("messaging.client.id", client_id);
            self.0.record("messaging.mqtt.session_present", session_present);
            event!(
                target: TARGET,
                parent: &self.0,
                Level::INFO,
                { "messaging.mqtt.event" = "connected", "messaging.mqtt.session_present" = session_present },
                "connected"
            );
        }

        /// It has failed, or was lost.
        pub(in crate::engine) fn failed(&mut self, error: &Error) {
            fail(&self.0, error);
            event!(
                target: TARGET,
                parent: &self.0,
                Level::WARN,
                {
                    "messaging.mqtt.event" = "connection-ended",
                    "messaging.mqtt.reason_code" = error.reason_code().map(|code| code as u8),
                    "error.type" = error.name(),
                },
                "the connection has ended, or was not made"
            );
            self.end();
        }

        /// Nobody wants it any more.
        pub(in crate::engine) fn end(&mut self) {
            self.0 = tracing::Span::none();
        }

        /// Something happened to what depends on it.
        pub(in crate::engine) fn note(&self, event: &Event) {
            let (name, topic, cause, code) = (event.name(), event.topic(), event.cause(), event.code());
            match event {
                // The span tells of these.
                Event::Connected { .. } | Event::Disconnected(_) | Event::AttemptFailed { .. } => {}
                Event::SubscriptionRestored { .. } => event!(
                    target: TARGET,
                    parent: &self.0,
                    Level::INFO,
                    {
                        "messaging.mqtt.event" = name,
                        "messaging.destination.name" = topic,
                        "messaging.mqtt.reason_code" = code,
                    },
                    "{name}"
                ),
                _ => event!(
                    target: TARGET,
                    parent: &self.0,
                    Level::WARN,
                    {
                        "messaging.mqtt.event" = name,
                        "messaging.destination.name" = topic,
                        "messaging.mqtt.reason_code" = code,
                        "error.type" = cause,
                    },
                    "{name}"
                ),
            }
        }

        /// A message has come, for its user or a listener.
        #[inline]
        pub(in crate::engine) fn received(&self, message: &Publish<'_>) {
            if has_listeners() {
                self.tell_received(message);
            }
        }

        #[cold]
        fn tell_received(&self, message: &Publish<'_>) {
            event!(
                target: TARGET,
                parent: &self.0,
                Level::DEBUG,
                {
                    "messaging.system" = "mqtt",
                    "messaging.operation.name" = "receive",
                    "messaging.operation.type" = "receive",
                    "messaging.destination.name" = message.topic,
                    "messaging.message.body.size" = message.payload.len(),
                    "messaging.mqtt.qos" = message.qos as u8,
                },
                "received"
            );
        }
    }

    macro_rules! call {
        ($name:literal, $operation_type:expr, $kind:literal, $engine:expr, $described:expr) => {{
            let url = $engine.url();
            debug_span!(
                target: TARGET,
                $name,
                "otel.kind" = $kind,
                "otel.status_code" = Empty,
                "messaging.system" = "mqtt",
                "messaging.operation.name" = $name,
                "messaging.operation.type" = $operation_type,
                "messaging.destination.name" = $described.destination,
                "messaging.message.body.size" = $described.body_size,
                "messaging.batch.message_count" = $described.count,
                "messaging.client.id" = Some($engine.session.client_id()).filter(|id| !id.is_empty()),
                "messaging.mqtt.qos" = $described.qos.map(|qos| qos as u8),
                "messaging.mqtt.reason_code" = Empty,
                "server.address" = url.map(|url| url.host.as_str()),
                "server.port" = url.map(|url| url.port),
                "error.type" = Empty,
            )
        }};
    }

    impl Engine {
        fn url(&self) -> Option<&BrokerUrl> {
            self.brokers.as_ref().map(crate::engine::brokers::Brokers::url)
        }

        #[cold]
        fn span_of(&self, operation: &dyn Submit) -> tracing::Span {
            const SEND: Option<&str> = Some("send");
            const NONE: Option<&str> = None;
            // What waits for something to happen is no call to the broker.
            let Some(described) = operation.describe() else { return tracing::Span::none() };
            match described.kind {
                Kind::Publish => call!("publish", SEND, "producer", self, described),
                Kind::Request => call!("request", SEND, "producer", self, described),
                Kind::Reply => call!("reply", SEND, "producer", self, described),
                Kind::Subscribe => call!("subscribe", NONE, "client", self, described),
                Kind::Unsubscribe => call!("unsubscribe", NONE, "client", self, described),
                Kind::Flush => call!("flush", NONE, "client", self, described),
                Kind::Authenticate => call!("authenticate", NONE, "client", self, described),
                Kind::Connect => call!("connect", NONE, "client", self, described),
                Kind::Disconnect => call!("disconnect", NONE, "client", self, described),
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::codec::Publish;
    use crate::engine::Engine;
    use crate::engine::event::Event;
    use crate::engine::operation::Submit;
    use crate::error::Error;
    use crate::url::BrokerUrl;

    #[derive(Debug, Default)]
    pub(in crate::engine) struct Span;

    impl Span {
        pub(in crate::engine) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(in crate::engine) fn begin(&mut self, _: &Engine, _: &dyn Submit) {}

        #[inline]
        pub(in crate::engine) fn over<T>(&mut self, _: &Result<T, Error>, _: fn(&T) -> Option<&Error>) {}
    }

    #[derive(Debug)]
    pub(in crate::engine) struct Connection;

    impl Connection {
        pub(in crate::engine) const fn none() -> Self {
            Self
        }

        #[inline]
        pub(in crate::engine) fn begin(&mut self, _: Option<&BrokerUrl>, _: u64) {}

        #[inline]
        pub(in crate::engine) fn made(&self, _: &str, _: bool) {}

        #[inline]
        pub(in crate::engine) fn failed(&mut self, _: &Error) {}

        #[inline]
        pub(in crate::engine) fn end(&mut self) {}

        #[inline]
        pub(in crate::engine) fn note(&self, _: &Event) {}

        #[inline]
        pub(in crate::engine) fn received(&self, _: &Publish<'_>) {}
    }
}
