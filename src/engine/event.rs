//! Events: what happens to the connection, and to everything that depends on it.

use alloc::string::String;
use core::fmt;

use crate::codec::{QoS, ReasonCode};
use crate::error::{CallError, Error};
use crate::fifo::Fifo;

/// How many events wait to be taken at most. Then the oldest is dropped.
const MOST_EVENTS: usize = 1024;

/// Something that happened to the connection, or to something that depends on it.
///
/// ```
/// use mqtt_wasi::Event;
///
/// let event = Event::Connected { session_present: true };
/// assert_eq!(event.to_string(), "connected again, and the session continues");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The client is connected again. There is no event for the first connection.
    Connected {
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The connection is over, for this reason.
    Disconnected(Error),
    /// The broker had lost the session, and this subscription with it. It has granted the subscription again.
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
        /// Why it could not be restored. `None` if the [options](crate::Options::restore_subscriptions) say not to.
        reason_code: Option<ReasonCode>,
    },
    /// A message at QoS 0 was dropped. It was not sent before the last connection ended, and the broker of the new
    /// connection does not accept it, for this reason.
    MessageDropped(CallError),
    /// A message was not acknowledged at QoS 1 or 2, or not sent to its end at QoS 0, and is not sent again. As many
    /// connections ended at it as [the options](crate::Options::attempts_per_message) allow, or the broker of the new
    /// connection does not accept it, for example because it is too large. It may have arrived. A call that waits for
    /// it fails, and tells why.
    MessageGivenUp {
        /// Its Topic Name. Empty if the broker has the message, and only the end of its delivery at QoS 2 is missing.
        topic: String,
        /// How many times it was sent.
        attempts: u32,
    },
    /// The broker sent a message again that the client has to refuse, because it is not valid MQTT or larger than the
    /// Maximum Packet Size, or one that was skipped. If many in a row are refused for the same reason, there is an
    /// event for the second, the fourth, the eighth and so on, and for the first that is skipped: otherwise
    /// [`Event::Disconnected`] tells of the first.
    MessageRefused {
        /// Its Topic Name, if that could be read.
        topic: Option<String>,
        /// What is wrong with it, and where.
        error: Error,
        /// How many in a row were refused for this reason.
        times: u32,
        /// Whether it was skipped, as [the options](crate::Options::skip_refused_messages) say. Otherwise the
        /// connection is over.
        is_skipped: bool,
    },
    /// An attempt to connect failed, and another will follow. Of those that fail for the same reason, since the last
    /// connection, there is an event for the first, the second, the fourth, the eighth and so on.
    AttemptFailed {
        /// How many attempts in a row have failed.
        failures: u32,
        /// Why this one failed.
        error: Error,
    },
    /// The broker accepts connections and closes them soon, again and again, without a DISCONNECT that tells why. Most
    /// often another client uses this Client Identifier, and both throw each other out. There is an event for the
    /// fourth such connection in a row, the eighth and so on. From then on each delay is at least half of the [longest
    /// delay](crate::Reconnect::longest_delay). A connection that lasts that long ends the count.
    RepeatedlyClosed {
        /// How many connections in a row.
        times: u32,
    },
    /// A reply was dropped, since its Response Topic is not a valid Topic Name or the broker does not accept the reply,
    /// for example because it is too large. The request is acknowledged, and can still be answered otherwise.
    ReplyDropped {
        /// The Response Topic of the request.
        response_topic: String,
        /// Why it cannot be sent.
        error: CallError,
    },
}

impl Event {
    /// What it is, exactly: a stable name, for logs and for programs that distinguish events.
    ///
    /// ```
    /// use mqtt_wasi::Event;
    ///
    /// assert_eq!(Event::Connected { session_present: false }.name(), "session-new");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connected { session_present: true } => "session-resumed",
            Self::Connected { session_present: false } => "session-new",
            Self::Disconnected(_) => "disconnected",
            Self::AttemptFailed { .. } => "attempt-failed",
            Self::RepeatedlyClosed { .. } => "repeatedly-closed",
            Self::SubscriptionRestored { .. } => "subscription-restored",
            Self::SubscriptionLost { .. } => "subscription-lost",
            Self::MessageDropped(_) => "message-dropped",
            Self::MessageGivenUp { .. } => "message-given-up",
            Self::MessageRefused { is_skipped: false, .. } => "message-refused",
            Self::MessageRefused { is_skipped: true, .. } => "message-skipped",
            Self::ReplyDropped { .. } => "reply-dropped",
        }
    }
}

impl Event {
    /// The Topic Name or Topic Filter that it is about.
    ///
    /// ```
    /// use mqtt_wasi::Event;
    ///
    /// let event = Event::SubscriptionLost { filter: "sensors/+".into(), reason_code: None };
    /// assert_eq!(event.topic(), Some("sensors/+"));
    /// ```
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::SubscriptionRestored { filter, .. } | Self::SubscriptionLost { filter, .. } => Some(filter),
            Self::MessageGivenUp { topic, .. } => Some(topic),
            Self::MessageRefused { topic, .. } => topic.as_deref(),
            Self::ReplyDropped { response_topic, .. } => Some(response_topic),
            _ => None,
        }
    }

    /// The Reason Code or granted QoS, as MQTT's number.
    ///
    /// ```
    /// use mqtt_wasi::{Event, QoS};
    ///
    /// let event = Event::SubscriptionRestored { filter: "sensors/+".into(), qos: QoS::AtLeastOnce };
    /// assert_eq!(event.code(), Some(1));
    /// ```
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::Disconnected(error) | Self::AttemptFailed { error, .. } | Self::MessageRefused { error, .. } => {
                error.reason_code().map(|code| code as u8)
            }
            Self::SubscriptionRestored { qos, .. } => Some(*qos as u8),
            Self::SubscriptionLost { reason_code, .. } => reason_code.map(|code| code as u8),
            _ => None,
        }
    }

    /// Why it happened: the [name](Error::name) of an error.
    ///
    /// ```
    /// use mqtt_wasi::{Error, Event};
    ///
    /// assert_eq!(Event::Disconnected(Error::KeepAliveTimeout).cause(), Some("keep-alive-timeout"));
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Disconnected(error) | Self::AttemptFailed { error, .. } | Self::MessageRefused { error, .. } => {
                Some(error.name())
            }
            Self::MessageDropped(error) | Self::ReplyDropped { error, .. } => Some(error.kind_and_name().1),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    // Otherwise all of what is around it becomes part of each branch.
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { session_present: true } => f.write_str("connected again, and the session continues"),
            Self::Connected { session_present: false } => {
                f.write_str("connected again with a new session: the broker no longer had the old one")
            }
            Self::Disconnected(error) => write!(f, "disconnected: {error}"),
            Self::AttemptFailed { failures, error } => {
                write!(f, "attempt {failures} to connect failed: {error}")
            }
            Self::RepeatedlyClosed { times } => write!(
                f,
                "the broker closed {times} connections in a row soon after it had accepted them, and gave no reason: \
                 another client may use this Client Identifier"
            ),
            Self::SubscriptionRestored { filter, qos } => {
                write!(f, "subscribed to {filter} again, at QoS {}", *qos as u8)
            }
            Self::SubscriptionLost { filter, reason_code: Some(reason_code) } => {
                write!(f, "lost the subscription to {filter}, and could not restore it: {reason_code}")
            }
            Self::SubscriptionLost { filter, reason_code: None } => {
                write!(f, "lost the subscription to {filter}, and the options say not to restore it")
            }
            Self::MessageDropped(error) => write!(f, "dropped a QoS 0 message: {error}"),
            Self::MessageGivenUp { topic, attempts } => {
                write!(f, "gave up a message to {topic}, sent {attempts} times and not acknowledged")
            }
            Self::MessageRefused { topic, error, times, is_skipped } => {
                let topic = topic.as_deref().unwrap_or("an unknown topic");
                let done = if *is_skipped { "skipped" } else { "refused" };
                write!(f, "{done} a message from the broker, to {topic}: {error}")?;
                if *times > 1 { write!(f, " ({times} times in a row)") } else { Ok(()) }
            }
            Self::ReplyDropped { response_topic, error } => {
                write!(f, "dropped a reply to {response_topic}: {error}")
            }
        }
    }
}

/// Events that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Events(Fifo<Event>);

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
