//! The types of an interface as those of the crate, and back. Both packages of `wit/` have the same words for them, so
//! this is part of the module of either.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mqtt_wasi::codec::{PublishProperties, UserProperties};
use mqtt_wasi::{BrokerUrl, Message, Publish, QoS, ReasonCode, RetainHandling, Stats, Subscription, WillMessage};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::super::{Failure, Happening, Settings, TlsSettings};
use super::{done, wit};
use crate::runtime::{Host, Permissions};

/// Options with these settings.
pub(super) fn options(store: &mut Store<Host>, mqtt: &wit::Guest, settings: &Settings) -> ResourceAny {
    let guest = mqtt.connect_options();
    let options = untrapped(done(guest.call_constructor(&mut *store)));
    untrapped(done(guest.call_set_client_id(&mut *store, options, settings.client_id)));
    if let Some(seconds) = settings.keep_alive {
        untrapped(done(guest.call_set_keep_alive_seconds(&mut *store, options, seconds)));
    }
    if let Some(seconds) = settings.session_expiry_interval {
        untrapped(done(guest.call_set_session_expiry_interval_seconds(&mut *store, options, seconds)));
    }
    if let Some(messages) = settings.receive_maximum {
        untrapped(done(guest.call_set_receive_maximum(&mut *store, options, messages)));
    }
    if let Some(bytes) = settings.maximum_packet_size {
        untrapped(done(guest.call_set_maximum_packet_size(&mut *store, options, bytes)));
    }
    if let Some(aliases) = settings.topic_aliases {
        untrapped(done(guest.call_set_topic_alias_maximum(&mut *store, options, aliases)));
        untrapped(done(guest.call_set_outbound_topic_aliases(&mut *store, options, aliases)));
    }
    if settings.acknowledge_by_hand {
        untrapped(done(guest.call_set_acknowledge_by_hand(&mut *store, options, true)));
    }
    if settings.discards_messages {
        untrapped(done(guest.call_set_restore_messages(&mut *store, options, false)));
    }
    if let Some(clean_start) = settings.clean_start {
        untrapped(done(guest.call_set_clean_start(&mut *store, options, clean_start)));
    }
    if let Some((first, longest)) = settings.reconnect {
        untrapped(done(guest.call_set_reconnect(&mut *store, options, true)));
        untrapped(done(guest.call_set_reconnect_delays_ms(&mut *store, options, millis(first), millis(longest))));
    }
    if let Some(proxy) = &settings.proxy {
        untrapped(done(guest.call_set_proxy(&mut *store, options, proxy)));
    }
    for (name, value) in &settings.websocket_headers {
        untrapped(done(guest.call_add_websocket_header(&mut *store, options, name, value)));
    }
    for url in &settings.fallbacks {
        untrapped(done(guest.call_add_fallback(&mut *store, options, url)));
    }
    if let Some(snapshot) = &settings.snapshot {
        untrapped(done(guest.call_set_snapshot(&mut *store, options, snapshot)));
    }
    if let Some(tls) = &settings.tls {
        set_tls(store, &guest, options, tls);
    }
    let [connect, response] = settings.timeouts();
    untrapped(done(guest.call_set_connect_timeout_ms(&mut *store, options, millis(connect))));
    untrapped(done(guest.call_set_response_timeout_ms(&mut *store, options, millis(response))));
    if let Some(messages) = settings.in_flight_limit {
        untrapped(done(guest.call_set_in_flight_limit(&mut *store, options, messages)));
    }
    if let Some(bytes) = settings.backlog_limit {
        untrapped(done(guest.call_set_backlog_limit(&mut *store, options, bytes)));
    }
    if let Some(attempts) = settings.attempts_per_message {
        untrapped(done(guest.call_set_attempts_per_message(&mut *store, options, attempts)));
    }
    if settings.skip_refused_messages {
        untrapped(done(guest.call_set_skip_refused_messages(&mut *store, options, true)));
    }
    if let Some(timeout) = settings.first_connect {
        untrapped(done(guest.call_set_first_connect_ms(&mut *store, options, millis(timeout))));
    }
    if let Some(will) = &settings.will {
        let delay = will.will_delay_interval;
        untrapped(done(guest.call_set_will(&mut *store, options, Some(&will.into()), delay)));
    }
    if let Some((user_name, password)) = settings.login {
        untrapped(done(guest.call_set_user_name(&mut *store, options, user_name)));
        untrapped(done(guest.call_set_password(&mut *store, options, password.as_bytes())));
    }
    if let Some((name, value)) = settings.user_property {
        untrapped(done(guest.call_add_user_property(&mut *store, options, name, value)));
    }
    if let Some(request) = settings.request_information {
        untrapped(done(guest.call_set_request_response_information(&mut *store, options, request)));
        untrapped(done(guest.call_set_request_problem_information(&mut *store, options, request)));
    }
    options
}

/// Leave to connect to the address of the URL, if it is one, and to wherever else the settings name.
pub(super) fn leave(url: &str, settings: &Settings) -> Permissions {
    let urls = std::iter::once(url).chain(settings.fallbacks.iter().map(String::as_str));
    let addresses = urls.filter_map(|url| {
        let url: BrokerUrl = url.parse().ok()?;
        Some(SocketAddr::new(url.host.parse::<IpAddr>().ok()?, url.port))
    });
    Permissions { addresses: addresses.chain(settings.leave.iter().copied()).collect(), ..Permissions::default() }
}

pub(super) fn untrapped<R>(result: wasmtime::Result<R>) -> R {
    result.unwrap_or_else(|trap| panic!("the component trapped: {trap:?}"))
}

pub(super) fn millis(timeout: Duration) -> u32 {
    timeout.as_millis().try_into().expect("a timeout of some seconds")
}

/// The Reason Code with this number, which the component has.
pub(super) fn reason_code(number: u8) -> ReasonCode {
    ReasonCode::from_u8(number).expect("a Reason Code of MQTT")
}

impl From<wit::Qos> for QoS {
    fn from(qos: wit::Qos) -> Self {
        match qos {
            wit::Qos::AtMostOnce => Self::AtMostOnce,
            wit::Qos::AtLeastOnce => Self::AtLeastOnce,
            wit::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<QoS> for wit::Qos {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<&Subscription<'_>> for wit::Subscription {
    fn from(subscription: &Subscription<'_>) -> Self {
        let mut options = wit::SubscriptionOptions::empty();
        for (option, is_set) in [
            (wit::SubscriptionOptions::NO_LOCAL, subscription.no_local),
            (wit::SubscriptionOptions::RETAIN_AS_PUBLISHED, subscription.retain_as_published),
            (wit::SubscriptionOptions::RETAINED_IF_NEW, subscription.retain_handling == RetainHandling::SendIfNew),
            (wit::SubscriptionOptions::NO_RETAINED, subscription.retain_handling == RetainHandling::DoNotSend),
        ] {
            if is_set {
                options |= option;
            }
        }
        Self { filter: subscription.filter.to_owned(), maximum_qos: subscription.maximum_qos.into(), options }
    }
}

impl From<&Publish<'_>> for wit::Publication {
    fn from(publish: &Publish<'_>) -> Self {
        use wit::Property;
        let said = &publish.properties;
        let text = str::to_owned;
        let single = [
            said.message_expiry_interval.map(Property::MessageExpiryIntervalSeconds),
            said.content_type.map(text).map(Property::ContentType),
            said.response_topic.map(text).map(Property::ResponseTopic),
            said.correlation_data.map(<[u8]>::to_vec).map(Property::CorrelationData),
            said.topic_alias.map(Property::TopicAlias),
        ];
        let pairs = owned(&said.user_properties).into_iter().map(Property::UserProperty);
        let properties: Vec<_> = single.into_iter().flatten().chain(pairs).collect();
        let payload = publish.payload.to_vec();
        let payload = match String::from_utf8(payload) {
            Ok(text) if said.payload_format_indicator == Some(true) => wit::Payload::Text(text),
            Ok(text) => wit::Payload::Bytes(text.into_bytes()),
            Err(error) => wit::Payload::Bytes(error.into_bytes()),
        };
        Self { topic: publish.topic.to_owned(), payload, qos: publish.qos.into(), retain: publish.retain, properties }
    }
}

impl From<&WillMessage> for wit::Publication {
    fn from(will: &WillMessage) -> Self {
        let properties = PublishProperties {
            payload_format_indicator: will.payload_format_indicator,
            message_expiry_interval: will.message_expiry_interval,
            content_type: will.content_type.as_deref(),
            response_topic: will.response_topic.as_deref(),
            correlation_data: will.correlation_data.as_deref(),
            ..PublishProperties::default()
        };
        let publish = Publish::new(&will.topic, &will.payload).qos(will.qos).retain(will.retain);
        let mut publication = Self::from(&publish.properties(properties));
        publication.properties.extend(will.user_properties.iter().cloned().map(wit::Property::UserProperty));
        publication
    }
}

impl From<wit::Message> for Message {
    fn from(received: wit::Message) -> Self {
        let mut message = Self::default();
        message.topic = received.topic;
        message.qos = received.qos.into();
        message.retain = received.retain;
        message.dup = received.duplicate;
        message.subscription_identifiers = received.subscription_identifiers.unwrap_or_default();
        match received.payload {
            wit::Payload::Text(text) => {
                message.payload = text.into_bytes();
                message.payload_format_indicator = Some(true);
            }
            wit::Payload::Bytes(bytes) => message.payload = bytes,
        }
        for property in received.properties.unwrap_or_default() {
            match property {
                wit::Property::MessageExpiryIntervalSeconds(seconds) => message.message_expiry_interval = Some(seconds),
                wit::Property::ContentType(content_type) => message.content_type = Some(content_type),
                wit::Property::ResponseTopic(topic) => message.response_topic = Some(topic),
                wit::Property::CorrelationData(data) => message.correlation_data = Some(data),
                wit::Property::TopicAlias(alias) => panic!("an alias, {alias}, on a received message"),
                wit::Property::UserProperty(pair) => message.user_properties.push(pair),
            }
        }
        message
    }
}

pub(super) fn owned(user_properties: &UserProperties<'_>) -> Vec<(String, String)> {
    user_properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn set_tls(
    store: &mut Store<Host>,
    guest: &wit::GuestConnectOptions<'_>,
    options: ResourceAny,
    settings: &TlsSettings,
) {
    let TlsSettings { ca_pem, fingerprint, client, server_name } = settings;
    if !ca_pem.is_empty() {
        untrapped(done(guest.call_add_ca(&mut *store, options, ca_pem.as_bytes())));
    }
    if let Some(fingerprint) = fingerprint {
        untrapped(done(guest.call_add_fingerprint(&mut *store, options, fingerprint)));
    }
    untrapped(done(guest.call_set_only_own_ca(&mut *store, options, true)));
    if let Some((chain, key)) = client {
        let (chain, key) = (chain.as_bytes(), key.as_bytes());
        untrapped(done(guest.call_set_client_certificate(&mut *store, options, chain, key)));
    }
    if let Some(name) = server_name {
        untrapped(done(guest.call_set_server_name(&mut *store, options, name)));
    }
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        let class = match failure.kind {
            wit::FailureKind::WrongCall => mqtt_wasi::ErrorKind::WrongCall,
            wit::FailureKind::TryLater => mqtt_wasi::ErrorKind::TryLater,
            wit::FailureKind::TimedOut => mqtt_wasi::ErrorKind::TimedOut,
            wit::FailureKind::Refused => mqtt_wasi::ErrorKind::Refused,
            wit::FailureKind::ConnectionOver => mqtt_wasi::ErrorKind::ConnectionOver,
            wit::FailureKind::NotTrusted => mqtt_wasi::ErrorKind::NotTrusted,
            wit::FailureKind::ProtocolBroken => mqtt_wasi::ErrorKind::ProtocolBroken,
        };
        let named = Self::named(&failure.name, failure.code, failure.message);
        assert_eq!(class, named.class, "{}", failure.name);
        named
    }
}

/// What happened, as this event tells it.
pub(super) fn happening(event: wit::Event) -> Happening {
    let topic = || event.subject.clone().expect("a topic or filter");
    match (event.kind, event.name.as_str()) {
        (wit::EventKind::Disconnected, "repeatedly-closed") => Happening::RepeatedlyClosed,
        (wit::EventKind::Disconnected, name) => {
            let cause = event.cause.as_deref().expect("a cause");
            let words = event.message.split_once(": ").map_or(event.message.as_str(), |(_, words)| words);
            let failure = Failure::named(cause, event.code, words.to_owned());
            match name {
                "disconnected" => Happening::Disconnected(failure),
                "attempt-failed" => Happening::AttemptFailed(failure),
                _ => panic!("the interface does not list {event:?}"),
            }
        }
        (wit::EventKind::Connected, "session-resumed") => Happening::Reconnected { session_present: true },
        (wit::EventKind::Connected, "session-new") => Happening::Reconnected { session_present: false },
        (wit::EventKind::Subscription, "subscription-restored") => Happening::SubscriptionRestored(topic()),
        (wit::EventKind::Subscription, "subscription-lost") => Happening::SubscriptionLost(topic()),
        (wit::EventKind::Message, "message-dropped") => Happening::MessageDropped,
        (wit::EventKind::Message, "message-given-up") => Happening::MessageGivenUp(topic()),
        (wit::EventKind::Message, "message-refused") => Happening::MessageRefused(event.subject, false),
        (wit::EventKind::Message, "message-skipped") => Happening::MessageRefused(event.subject, true),
        (wit::EventKind::Message, "reply-dropped") => Happening::ReplyDropped(topic()),
        _ => panic!("the interface does not list {event:?}"),
    }
}

/// Counters by their names.
pub(super) fn stats(counted: Vec<(String, u64)>) -> Stats {
    let mut counted: HashMap<_, _> = counted.into_iter().collect();
    let ping_round_trip = counted.remove("ping-round-trip-us").map(Duration::from_micros);
    let mut count = |name: &str| counted.remove(name).unwrap_or_else(|| panic!("no counter {name}"));
    let mut stats = Stats::default();
    stats.packets_sent = count("packets-sent");
    stats.packets_received = count("packets-received");
    stats.bytes_sent = count("bytes-sent");
    stats.bytes_received = count("bytes-received");
    stats.in_flight = count("in-flight") as usize;
    stats.retransmitted = count("retransmitted");
    stats.reconnects = count("reconnects");
    stats.ping_round_trip = ping_round_trip;
    stats.refused = count("refused");
    stats.dropped = count("dropped");
    stats.skipped = count("skipped");
    stats.failed_attempts = count("failed-attempts");
    stats.pending_requests = count("pending-requests") as usize;
    stats.late_replies = count("late-replies");
    stats.unmatched_replies = count("unmatched-replies");
    assert!(counted.is_empty(), "the interface does not list {counted:?}");
    stats
}
