//! What happens to the connection, and to what depends on it.

use alloc::collections::VecDeque;
use alloc::string::String;

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
    /// A reply cannot be sent, to this Response Topic: that is none, or the reply is larger than the broker takes. The
    /// request is acknowledged all the same.
    ReplyDropped {
        /// The Response Topic, as the request has it.
        response_topic: String,
        /// Why.
        error: CallError,
    },
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
