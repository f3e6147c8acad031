//! The engine's types as the interface's, and back.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Publish, PublishProperties, QoS, RetainHandling, Subscription, UserProperty};
use crate::engine::Event;
use crate::error::{CallError, Error, Reason, TlsFailure, TransportErrorKind};
use crate::message::{self, Message};
use crate::session::{ConnectionInfo, Delivery, Stats, WillMessage};
use crate::trace::TraceError;
use crate::url::UrlError;
use crate::wit::exports::mqtt_wasi::client::mqtt as wit;

impl From<QoS> for wit::Qos {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
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

impl From<wit::RetainHandling> for RetainHandling {
    fn from(handling: wit::RetainHandling) -> Self {
        match handling {
            wit::RetainHandling::Send => Self::Send,
            wit::RetainHandling::SendIfNew => Self::SendIfNew,
            wit::RetainHandling::DoNotSend => Self::DoNotSend,
        }
    }
}

impl<'a> From<&'a wit::Subscription> for Subscription<'a> {
    fn from(subscription: &'a wit::Subscription) -> Self {
        Self {
            filter: &subscription.filter,
            maximum_qos: subscription.maximum_qos.into(),
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            retain_handling: subscription.retain_handling.into(),
        }
    }
}

impl wit::Publication {
    /// Its User Properties as the engine wants them, for [`wit::Publication::lend`].
    // One copy for all exports that take a message.
    #[inline(never)]
    pub(super) fn user_properties(&self) -> Vec<UserProperty<'_>> {
        match &self.properties {
            Some(properties) => message::borrowed(&properties.user_properties),
            None => Vec::new(),
        }
    }

    /// The message as the engine wants it.
    #[inline(never)]
    pub(super) fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> Publish<'a> {
        Publish {
            qos: self.qos.into(),
            retain: self.retain,
            properties: PublishProperties {
                topic_alias: self.topic_alias,
                ..match &self.properties {
                    Some(properties) => properties.lend(user_properties),
                    None => PublishProperties::default(),
                }
            },
            ..Publish::new(&self.topic, &self.payload)
        }
    }
}

impl wit::MessageProperties {
    #[inline(never)]
    pub(super) fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> PublishProperties<'a> {
        PublishProperties {
            payload_format_indicator: self.payload_is_utf8.then_some(true),
            message_expiry_interval: self.message_expiry_interval_seconds,
            topic_alias: None,
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: user_properties.into(),
            subscription_identifiers: self.subscription_identifiers.as_slice().into(),
            content_type: self.content_type.as_deref(),
        }
    }
}

impl wit::Message {
    pub(super) fn new(publish: &Publish<'_>, delivery: Option<Delivery>) -> Self {
        Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_owned(),
            qos: publish.qos.into(),
            retain: publish.retain,
            duplicate: publish.dup,
            delivery: delivery.map(Delivery::number),
            properties: (!publish.properties.is_empty()).then(|| (&publish.properties).into()),
        }
    }
}

impl From<Message> for wit::Message {
    fn from(message: Message) -> Self {
        let properties = wit::MessageProperties {
            payload_is_utf8: message.payload_format_indicator == Some(true),
            message_expiry_interval_seconds: message.message_expiry_interval,
            content_type: message.content_type,
            response_topic: message.response_topic,
            correlation_data: message.correlation_data,
            user_properties: message.user_properties,
            subscription_identifiers: message.subscription_identifiers,
        };
        Self {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos.into(),
            retain: message.retain,
            duplicate: message.dup,
            delivery: None,
            properties: Some(properties),
        }
    }
}

impl From<&PublishProperties<'_>> for wit::MessageProperties {
    fn from(properties: &PublishProperties<'_>) -> Self {
        Self {
            payload_is_utf8: properties.payload_format_indicator == Some(true),
            message_expiry_interval_seconds: properties.message_expiry_interval,
            content_type: properties.content_type.map(ToOwned::to_owned),
            response_topic: properties.response_topic.map(ToOwned::to_owned),
            correlation_data: properties.correlation_data.map(ToOwned::to_owned),
            user_properties: message::owned(&properties.user_properties),
            subscription_identifiers: properties.subscription_identifiers.iter().collect(),
        }
    }
}

impl From<wit::Will> for WillMessage {
    fn from(wit::Will { message, delay_interval_seconds }: wit::Will) -> Self {
        let mut will = Self {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos.into(),
            retain: message.retain,
            will_delay_interval: (delay_interval_seconds > 0).then_some(delay_interval_seconds),
            ..Self::default()
        };
        if let Some(properties) = message.properties {
            will.payload_format_indicator = properties.payload_is_utf8.then_some(true);
            will.message_expiry_interval = properties.message_expiry_interval_seconds;
            will.content_type = properties.content_type;
            will.response_topic = properties.response_topic;
            will.correlation_data = properties.correlation_data;
            will.user_properties = properties.user_properties;
        }
        will
    }
}

impl From<ConnectionInfo> for wit::ConnectionInfo {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            client_id: info.client_id,
            session_present: info.session_present,
            session_expiry_interval_seconds: info.session_expiry_interval,
            receive_maximum: info.receive_maximum,
            maximum_qos: info.maximum_qos.into(),
            retain_available: info.retain_available,
            maximum_packet_size: info.maximum_packet_size,
            topic_alias_maximum: info.topic_alias_maximum,
            wildcard_subscription_available: info.wildcard_subscription_available,
            subscription_identifier_available: info.subscription_identifier_available,
            shared_subscription_available: info.shared_subscription_available,
            server_keep_alive_seconds: info.server_keep_alive,
            response_information: info.response_information,
            server_reference: info.server_reference,
            reason_string: info.reason_string,
            user_properties: info.user_properties,
        }
    }
}

impl From<Event> for wit::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Disconnected(error) => Self::Disconnected(error.into()),
            Event::Connected { session_present } => Self::Reconnected(session_present),
            Event::SubscriptionRestored { filter, .. } => Self::SubscriptionRestored(filter),
            Event::SubscriptionLost { filter, .. } => Self::SubscriptionLost(filter),
            Event::MessageDropped(_) => Self::MessageDropped,
            Event::ReplyDropped { response_topic, .. } => Self::ReplyDropped(response_topic),
        }
    }
}

impl From<Stats> for wit::Stats {
    fn from(stats: Stats) -> Self {
        Self {
            packets_sent: stats.packets_sent,
            packets_received: stats.packets_received,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            in_flight: stats.in_flight as u32,
            retransmitted: stats.retransmitted,
            reconnects: stats.reconnects,
            ping_round_trip_us: stats.ping_round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            refused: stats.refused,
            dropped: stats.dropped,
            pending_requests: stats.pending_requests as u32,
            late_replies: stats.late_replies,
            unmatched_replies: stats.unmatched_replies,
        }
    }
}

/// What an error of the interface is of.
#[derive(Debug)]
pub(super) enum ExportedError {
    Client(Error),
    Trace(TraceError),
}

impl From<Error> for wit::Error {
    #[inline(never)]
    fn from(error: Error) -> Self {
        Self::new(ExportedError::Client(error))
    }
}

impl From<TraceError> for wit::Error {
    fn from(error: TraceError) -> Self {
        Self::new(ExportedError::Trace(error))
    }
}

impl wit::GuestError for ExportedError {
    fn kind(&self) -> wit::ErrorKind {
        match self {
            Self::Client(error) => kind(error),
            Self::Trace(_) => wit::ErrorKind::InvalidArgument,
        }
    }

    fn reason(&self) -> Option<wit::Reason> {
        match self {
            Self::Client(
                Error::ConnectionRefused(reason) | Error::Disconnected(reason) | Error::PublishRefused(reason),
            ) => Some((**reason).clone().into()),
            Self::Client(error) => error.reason_code().map(|code| Reason::from(code).into()),
            Self::Trace(_) => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Client(Error::RequestFailed(failure)) => failure.text.clone(),
            Self::Client(error) => error.to_string(),
            Self::Trace(error) => error.to_string(),
        }
    }
}

fn kind(error: &Error) -> wit::ErrorKind {
    use wit::ErrorKind as Kind;
    match error {
        Error::Malformed(_) => Kind::Malformed,
        Error::Protocol(_) => Kind::ProtocolError,
        Error::ConnectionRefused(_) => Kind::ConnectionRefused,
        Error::Disconnected(_) => Kind::Disconnected,
        Error::PublishRefused(_) | Error::SubscribeRefused(_) => Kind::PublishRefused,
        Error::Snapshot(_) => Kind::InvalidSnapshot,
        Error::Url(UrlError::TlsNotSupported) => Kind::TlsNotSupported,
        Error::Url(_) => Kind::InvalidUrl,
        Error::ConnectTimeout => Kind::ConnectTimeout,
        Error::KeepAliveTimeout => Kind::KeepAliveTimeout,
        // The latter only where there is a task that could be gone.
        Error::ConnectionClosed | Error::Stopped => Kind::ConnectionClosed,
        // Only an authenticator's, and the component has none.
        Error::Authentication(_) => Kind::ConnectionRefused,
        Error::Timeout => Kind::Timeout,
        Error::NoResponder => Kind::NoResponder,
        Error::RequestFailed(_) => Kind::RequestFailed,
        Error::AnswerBehindMessages => Kind::AnswerBehindMessages,
        #[cfg(feature = "json")]
        Error::Json(_) => Kind::InvalidArgument,
        Error::Call(error) => match error {
            CallError::WouldBlock => Kind::WouldBlock,
            CallError::NotConnected => Kind::NotConnected,
            CallError::ReceiveFirst => Kind::ReceiveFirst,
            CallError::RepliesRefused(_) => Kind::RepliesRefused,
            CallError::NothingToAuthenticate => Kind::NothingToAuthenticate,
            CallError::PacketTooLarge { .. } => Kind::PacketTooLarge,
            CallError::QosNotSupported { .. } => Kind::QosNotSupported,
            CallError::RetainNotSupported => Kind::RetainNotSupported,
            CallError::WildcardSubscriptionsNotSupported => Kind::WildcardSubscriptionsNotSupported,
            CallError::SharedSubscriptionsNotSupported => Kind::SharedSubscriptionsNotSupported,
            CallError::SubscriptionIdentifiersNotSupported => Kind::SubscriptionIdentifiersNotSupported,
            CallError::Invalid(_)
            | CallError::InvalidOptions(_)
            | CallError::PropertyNotAllowed(_)
            | CallError::TopicAliasInvalid { .. }
            | CallError::UnknownTopicAlias(_)
            | CallError::PayloadNotUtf8 => Kind::InvalidArgument,
            #[cfg(feature = "json")]
            CallError::NotJson => Kind::InvalidArgument,
        },
        Error::Transport(error) => match error.kind {
            TransportErrorKind::UnknownHost => Kind::UnknownHost,
            TransportErrorKind::ConnectionRefused => Kind::PortClosed,
            TransportErrorKind::Unreachable => Kind::Unreachable,
            TransportErrorKind::ConnectTimeout => Kind::NetworkTimeout,
            TransportErrorKind::ConnectionReset => Kind::ConnectionReset,
            TransportErrorKind::AccessDenied => Kind::AccessDenied,
            TransportErrorKind::Tls(failure) => tls_kind(failure),
            TransportErrorKind::Other => Kind::NetworkFailed,
        },
    }
}

const fn tls_kind(failure: TlsFailure) -> wit::ErrorKind {
    use wit::ErrorKind as Kind;
    match failure {
        TlsFailure::UnknownIssuer => Kind::TlsUnknownIssuer,
        TlsFailure::WrongName => Kind::TlsWrongName,
        TlsFailure::Expired => Kind::TlsExpired,
        TlsFailure::NotYetValid => Kind::TlsNotYetValid,
        TlsFailure::BadCertificate => Kind::TlsBadCertificate,
        TlsFailure::ClientCertificateRequired => Kind::TlsClientCertificateRequired,
        TlsFailure::NothingInCommon => Kind::TlsNothingInCommon,
        TlsFailure::NotTls => Kind::TlsNotTls,
        TlsFailure::Expected => Kind::TlsExpected,
        TlsFailure::Cut => Kind::TlsCut,
        TlsFailure::Truncated => Kind::TlsTruncated,
        TlsFailure::Configuration => Kind::TlsConfiguration,
        TlsFailure::Other => Kind::TlsFailed,
    }
}

impl From<Reason> for wit::Reason {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.reason_code as u8,
            text: reason.reason_string,
            server_reference: reason.server_reference,
            user_properties: reason.user_properties,
        }
    }
}
