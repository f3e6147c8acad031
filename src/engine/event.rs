//! What happens to the connection, and to what depends on it.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use crate::codec::{QoS, ReasonCode};
use crate::error::{CallError, Error};

/// As many events wait to be asked for at the most; then the oldest goes.
const MOST_EVENTS: usize = 1024;

/// Something that happened to the connection, or to what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection again. Not told of the first one.
    Connected {
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The connection is over, and why.
    Disconnected(Error),
    /// The broker had lost the session, and this subscription with it; it has granted it again, at this QoS.
    SubscriptionRestored {
        /// The Topic Filter.
        filter: String,
        /// The granted QoS.
        qos: QoS,
    },
    /// The broker has lost the session, and this subscription with it.
    SubscriptionLost {
        /// The Topic Filter.
        filter: String,
        /// Why it could not be restored; `None` when the options say not to.
        reason_code: Option<ReasonCode>,
    },
    /// A message at QoS 0 that the last connection ended before was not sent over this one either, since the broker takes
    /// no such message any more.
    MessageDropped(CallError),
    /// A message at QoS 1 or 2 was sent as often as [the options](crate::Options::attempts_per_message) allow, and was not
    /// acknowledged. It is not sent again.
    MessageGivenUp {
        /// Its Topic Name.
        topic: String,
        /// How many times it was sent.
        attempts: u32,
    },
    /// An attempt to connect again has failed, and there will be another. Of many in a row that fail alike, the first, the
    /// second, the fourth, the eighth and so on are told.
    AttemptFailed {
        /// How many attempts in a row have failed.
        failures: u32,
        /// Why this one did.
        error: Error,
    },
    /// A reply cannot be sent, to this Response Topic: that is none, or the reply is larger than the broker takes. The
    /// request is acknowledged all the same.
    ReplyDropped {
        /// The Response Topic, as the request has it.
        response_topic: String,
        /// Why.
        error: CallError,
    },
}

impl Event {
    /// What it is, exactly: a name that stays the same, for logs and for programs that tell events apart.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connected { session_present: true } => "session-resumed",
            Self::Connected { session_present: false } => "session-new",
            Self::Disconnected(_) => "disconnected",
            Self::AttemptFailed { .. } => "attempt-failed",
            Self::SubscriptionRestored { .. } => "subscription-restored",
            Self::SubscriptionLost { .. } => "subscription-lost",
            Self::MessageDropped(_) => "message-dropped",
            Self::MessageGivenUp { .. } => "message-given-up",
            Self::ReplyDropped { .. } => "reply-dropped",
        }
    }
}

impl Event {
    /// The Topic Name or Topic Filter that it is about.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::SubscriptionRestored { filter, .. } | Self::SubscriptionLost { filter, .. } => Some(filter),
            Self::MessageGivenUp { topic, .. } => Some(topic),
            Self::ReplyDropped { response_topic, .. } => Some(response_topic),
            _ => None,
        }
    }

    /// The Reason Code or granted QoS, as MQTT's number.
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::Disconnected(error) | Self::AttemptFailed { error, .. } => error.reason_code().map(|code| code as u8),
            Self::SubscriptionRestored { qos, .. } => Some(*qos as u8),
            Self::SubscriptionLost { reason_code, .. } => reason_code.map(|code| code as u8),
            _ => None,
        }
    }

    /// Why, as [`Error::name`] has it.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Disconnected(error) | Self::AttemptFailed { error, .. } => Some(error.name()),
            Self::MessageDropped(error) | Self::ReplyDropped { error, .. } => Some(error.kind_and_name().1),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { session_present: true } => f.write_str("connected again, and the session continues"),
            Self::Connected { session_present: false } => {
                f.write_str("connected again, and the broker no longer had the session")
            }
            Self::Disconnected(error) => write!(f, "disconnected: {error}"),
            Self::AttemptFailed { failures, error } => {
                write!(f, "attempt {failures} to connect again failed: {error}")
            }
            Self::SubscriptionRestored { filter, qos } => {
                write!(f, "subscribed to {filter} again, at QoS {}", *qos as u8)
            }
            Self::SubscriptionLost { filter, reason_code: Some(reason_code) } => {
                write!(f, "lost the subscription to {filter}: {reason_code}")
            }
            Self::SubscriptionLost { filter, reason_code: None } => {
                write!(f, "lost the subscription to {filter}, and was not to subscribe again")
            }
            Self::MessageDropped(error) => write!(f, "a QoS 0 message was not sent: {error}"),
            Self::MessageGivenUp { topic, attempts } => {
                write!(f, "a message to {topic} was sent {attempts} times and not acknowledged: it is given up")
            }
            Self::ReplyDropped { response_topic, error } => {
                write!(f, "a reply to {response_topic} cannot be sent: {error}")
            }
        }
    }
}

/// Events that nobody has asked for yet.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    pub(super) fn push(&mut self, event: Event) {
        if self.0.len() == MOST_EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
