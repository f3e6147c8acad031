//! What `tracing` is told, and that nothing secret is among it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use mqtt_wasi::codec::{
    Ack, AckProperties, ConnackProperties, Disconnect, DisconnectProperties, Packet, PublishProperties, QoS, ReasonCode,
};
use mqtt_wasi::engine::{Enqueueing, Overflow};
use mqtt_wasi::{Authenticator, Event, Publish, WillMessage};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Metadata, Subscriber};

use crate::packets::{ack, id, puback, publish};
use crate::scenario::{ALL, Mode, SECOND, Scenario, a_message, kept, options};

/// A span or an event, as it was told.
#[derive(Debug, Clone, Default)]
struct Told {
    name: String,
    level: String,
    parent: Option<u64>,
    fields: BTreeMap<String, String>,
    is_over: bool,
}

impl Told {
    #[track_caller]
    fn expect(&self, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            assert_eq!(self.fields.get(*name).map(String::as_str), Some(*value), "{name} of {self:?}");
        }
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().into(), value.into());
    }
}

/// Keeps all that it is told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(Vec<Told>, Vec<Told>)>>);

impl Log {
    /// Begins to listen, on this thread, until the guard is dropped.
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = set_default(log.clone());
        (log, guard)
    }

    /// The spans with this name.
    fn spans(&self, name: &str) -> Vec<Told> {
        self.0.lock().unwrap().0.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// The only one.
    #[track_caller]
    fn span(&self, name: &str) -> Told {
        let spans = self.spans(name);
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.into_iter().next().unwrap()
    }

    /// The events about the connection with this name.
    fn events(&self, name: &str) -> Vec<Told> {
        let is_named = |event: &&Told| event.fields.get("messaging.mqtt.event").is_some_and(|known| known == name);
        self.0.lock().unwrap().1.iter().filter(is_named).cloned().collect()
    }

    /// Everything, as a subscriber could write it.
    fn text(&self) -> String {
        format!("{:?}", *self.0.lock().unwrap())
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mqtt_wasi"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let metadata = attributes.metadata();
        let mut told = Told { name: metadata.name().into(), level: metadata.level().to_string(), ..Told::default() };
        attributes.record(&mut told);
        let mut log = self.0.lock().unwrap();
        log.0.push(told);
        Id::from_u64(log.0.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut self.0.lock().unwrap().0[span.into_u64() as usize - 1]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let parent = event.parent().map(Id::into_u64);
        let mut told = Told { level: event.metadata().level().to_string(), parent, ..Told::default() };
        event.record(&mut told);
        self.0.lock().unwrap().1.push(told);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap().0[span.into_u64() as usize - 1].is_over = true;
        true
    }
}

#[test]
fn a_connection_has_a_span_from_the_attempt_to_its_end() {
    let (log, _guard) = Log::begin();
    let mut s = Scenario::connected(Mode::OneByOne);
    let connection = log.span("connection");
    connection.expect(&[
        ("messaging.system", "mqtt"),
        ("server.address", "a"),
        ("server.port", "1883"),
        ("messaging.client.id", "c"),
        ("messaging.mqtt.session_present", "false"),
    ]);
    assert_eq!((connection.level.as_str(), connection.is_over), ("INFO", false));
    assert_eq!(log.events("connected")[0].parent, Some(2), "the span after that of the call");
    s.broker_sends(Packet::Disconnect(Disconnect::new(ReasonCode::ServerBusy)));
    s.expect_closed();
    let connection = log.span("connection");
    connection.expect(&[
        ("error.type", "disconnected"),
        ("messaging.mqtt.reason_code", "137"),
        ("otel.status_code", "ERROR"),
    ]);
    assert!(connection.is_over);
    log.events("connection-ended")[0].expect(&[("error.type", "disconnected")]);
    let connecting = s.connect();
    s.expect_dial("a:1883");
    s.attempt_fails(crate::scenario::unreachable());
    assert!(s.take(connecting).is_err());
    let failed = &log.spans("connection")[1];
    failed.expect(&[("error.type", "unreachable"), ("messaging.mqtt.attempt", "2")]);
    assert!(failed.is_over);
    log.spans("connect")[1].expect(&[("error.type", "unreachable")]);
}

#[test]
fn each_call_has_a_span_with_what_it_is_about() {
    for mode in ALL {
        let (log, _guard) = Log::begin();
        let mut s = Scenario::connected(mode);
        let message = s.publish(QoS::AtLeastOnce, "sensors/kitchen", "21.5");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "sensors/kitchen", "21.5"));
        assert!(!log.span("publish").is_over);
        s.broker_sends(puback(1));
        s.expect_published(message);
        let span = log.span("publish");
        span.expect(&[
            ("messaging.system", "mqtt"),
            ("messaging.operation.name", "publish"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "sensors/kitchen"),
            ("messaging.message.body.size", "4"),
            ("messaging.client.id", "c"),
            ("messaging.mqtt.qos", "1"),
            ("server.address", "a"),
            ("server.port", "1883"),
            ("otel.kind", "producer"),
        ]);
        assert!(span.is_over && !span.fields.contains_key("error.type"), "{span:?}");
        assert_eq!(span.level, "DEBUG");

        let subscribing = s.subscribe("sensors/#");
        s.broker_grants("sensors/#");
        s.expect_subscribed(subscribing);
        log.span("subscribe").expect(&[("messaging.destination.name", "sensors/#"), ("otel.kind", "client")]);
        let connect = log.span("connect");
        assert!(connect.is_over && !connect.fields.contains_key("error.type"), "{connect:?}");
    }
}

#[test]
fn a_call_that_fails_tells_why_and_one_that_is_dropped_ends() {
    let (log, _guard) = Log::begin();
    let mut s = Scenario::connected(Mode::Listeners);
    let refused = s.publish(QoS::AtLeastOnce, "a", "1");
    s.take_sent();
    s.broker_sends(Packet::Puback(ack(1, ReasonCode::NotAuthorized)));
    assert!(s.take(refused).is_err());
    log.span("publish").expect(&[("error.type", "publish-refused"), ("messaging.mqtt.reason_code", "135")]);
    let batch = s.publish_all(&[a_message(QoS::AtLeastOnce, "a", "1"), a_message(QoS::AtLeastOnce, "a", "2")]);
    s.take_sent();
    s.broker_sends_all(&[puback(2), Packet::Puback(ack(3, ReasonCode::QuotaExceeded))]);
    assert!(s.take(batch).is_ok());
    let batch = &log.spans("publish")[1];
    batch.expect(&[("messaging.batch.message_count", "2"), ("error.type", "publish-refused")]);
    let given_up = s.publish(QoS::AtLeastOnce, "a", "3");
    s.take_sent();
    s.cancel(given_up);
    assert!(log.spans("publish")[2].is_over, "{:?}", log.spans("publish"));
}

#[test]
fn messages_that_come_are_told_of_once() {
    for mode in ALL {
        let (log, _guard) = Log::begin();
        let mut s = Scenario::connected(mode);
        let listener = (mode == Mode::Listeners).then(|| s.listen_to_everything(Overflow::default()));
        s.broker_sends(publish(QoS::AtMostOnce, 0, "sensors/kitchen", "21.5"));
        match listener {
            Some(listener) => assert_eq!(s.heard_by(listener), ["21.5"]),
            None => assert_eq!(s.receive().as_deref(), Some("21.5")),
        }
        let events: Vec<_> = log.0.lock().unwrap().1.clone();
        let received: Vec<_> =
            events.iter().filter(|event| event.fields.contains_key("messaging.operation.type")).collect();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].expect(&[
            ("messaging.operation.type", "receive"),
            ("messaging.destination.name", "sensors/kitchen"),
            ("messaging.message.body.size", "4"),
        ]);
        assert_eq!(received[0].parent, Some(2), "the connection, after the call that made it");
    }
}

/// A User Property.
static SECRET: [(&str, &str); 1] = [("secret name", "secret value")];

/// Says what nobody else may hear.
#[derive(Clone)]
struct Confidant;

impl Authenticator for Confidant {
    fn method(&self) -> &str {
        "METHOD"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(b"secret token".to_vec()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("secret reason".into())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn nothing_that_may_be_secret_is_told() {
    for mode in ALL {
        let (log, _guard) = Log::begin();
        let options = options()
            .login("secret user", "secret password")
            .user_property("secret name", "secret value")
            .will(WillMessage::new("status", "secret will"))
            .authenticator(Confidant)
            .reconnect(Default::default());
        let terms = ConnackProperties {
            authentication_method: Some("METHOD"),
            authentication_data: Some(b"secret data"),
            reason_string: Some("secret reason"),
            user_properties: (&SECRET).into(),
            ..ConnackProperties::default()
        };
        let mut s = Scenario::of(mode, Some("mqtt://secret:secret@a"), options);
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms);
        s.expect_connected(connecting, false);
        let listener = (mode == Mode::Listeners).then(|| s.listen_to_everything(Overflow::default()));

        // What is published, and refused.
        let properties = PublishProperties {
            user_properties: (&SECRET).into(),
            content_type: Some("secret type"),
            correlation_data: Some(b"secret correlation"),
            ..PublishProperties::default()
        };
        let message = Publish::new("a", "secret payload").qos(QoS::AtLeastOnce).properties(properties);
        let refused = s.publish_this(message);
        let enqueued = s.ask(Enqueueing(Box::leak(Box::new(message))));
        s.expect_done(enqueued);
        let refusal = AckProperties { reason_string: Some("secret reason"), user_properties: (&SECRET).into() };
        let refusal = Ack { reason_code: ReasonCode::NotAuthorized, properties: refusal, ..Ack::success(id(1)) };
        s.broker_sends(Packet::Puback(refusal));
        assert!(s.take(refused).is_err());

        // What comes.
        s.broker_sends(Packet::Publish(Publish { packet_id: Some(id(9)), ..message }));
        match listener {
            Some(listener) => assert_eq!(s.heard_by(listener), ["secret payload"]),
            None => assert_eq!(s.receive().as_deref(), Some("secret payload")),
        }

        // How it ends, and how the next attempts fail.
        let farewell = DisconnectProperties {
            reason_string: Some("secret reason"),
            user_properties: (&SECRET).into(),
            ..DisconnectProperties::default()
        };
        s.broker_sends(Packet::Disconnect(Disconnect { reason_code: ReasonCode::ServerBusy, properties: farewell }));
        s.wait(2 * SECOND);
        let error =
            mqtt_wasi::TransportError { kind: mqtt_wasi::TransportErrorKind::Other, message: "secret words".into() };
        s.attempt_fails(error.into());
        while let Some(event) = s.engine.take_event(s.now()) {
            // Whoever asks is told what the broker has said.
            assert!(!matches!(event, Event::ReplyDropped { .. }));
        }
        s.leave_the_rest();

        let text = log.text();
        assert!(!log.spans("publish").is_empty() && !log.events("connection-ended").is_empty(), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let bytes = format!("{:?}", b"secret");
        assert!(!text.contains(&bytes[1..bytes.len() - 1]), "{text}");
    }
}

#[test]
fn nobody_who_listens_to_warnings_alone_pays_for_more() {
    struct Warnings(Log);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::WARN && self.0.enabled(metadata)
        }

        fn new_span(&self, attributes: &Attributes<'_>) -> Id {
            self.0.new_span(attributes)
        }

        fn record(&self, span: &Id, values: &Record<'_>) {
            self.0.record(span, values);
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            self.0.event(event);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    let log = Log::default();
    let _guard = set_default(Warnings(log.clone()));
    let mut s = Scenario::connected(Mode::OneByOne);
    let message = s.publish(QoS::AtMostOnce, kept::<str>("a"), "1");
    s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "1"));
    s.expect_published(message);
    s.broker_closes();
    s.expect_closed();
    assert_eq!(log.0.lock().unwrap().0.len(), 0, "no spans");
    log.events("connection-ended")[0].expect(&[("error.type", "connection-closed")]);
}
