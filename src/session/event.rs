//! What the session tells its user.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{QoS, ReasonCode};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message::Message;

/// Which call an [`Event`] ends. Never used twice by one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u64);

/// Set in the numbers of requests, of whose acknowledgement the user is told nothing.
const REQUEST: u64 = 1 << 63;

impl OperationId {
    /// Higher than those of all that came before, and never used twice.
    pub(crate) const fn number(self) -> u64 {
        self.0 & !REQUEST
    }

    pub(super) const fn of_a_request(self) -> Self {
        Self(self.0 | REQUEST)
    }

    pub(super) const fn is_of_a_request(self) -> bool {
        self.0 & REQUEST != 0
    }
}

/// Something that happened, beside messages, which [`Session::receive`](super::Session::receive) hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The broker took the connection; [`Session::connack`](super::Session::connack) has its terms.
    Connected {
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The broker wants more to authenticate the client: [`Session::answer_challenge`](super::Session::answer_challenge).
    Challenged(Challenge),
    /// The broker has authenticated the client again, as
    /// [`Session::authenticate_again`](super::Session::authenticate_again) asked for.
    Authenticated(Challenge),
    /// A message at QoS 1 or 2 has gone all its way to the broker, or never will.
    Published {
        /// What [`Session::publish`](super::Session::publish) returned.
        id: OperationId,
        /// What the broker said. [`Error::PublishRefused`] when it refused; [`Error::Call`] when it takes no such
        /// message since it was connected to again: a smaller Maximum Packet Size, a lower Maximum QoS, no RETAIN.
        result: Result<Reason, Error>,
    },
    /// The reply to a request came, or will be waited for no longer.
    Replied {
        /// What [`Session::request`](super::Session::request) returned.
        id: OperationId,
        /// The reply. [`Error::Timeout`] when none came in time; [`Error::NoResponder`] when the broker says that nobody
        /// serves such requests; [`Error::RequestFailed`] when the responder says that it failed; and what else may
        /// become of a message.
        result: Result<Box<Message>, Error>,
    },
    /// The broker answered SUBSCRIBE, or never will.
    Subscribed {
        /// What [`Session::subscribe`](super::Session::subscribe) returned.
        id: OperationId,
        /// What the broker said; why the connection ended, when it did first.
        result: Result<SubscribeReason, Error>,
    },
    /// The broker answered UNSUBSCRIBE, or never will.
    Unsubscribed {
        /// What [`Session::unsubscribe`](super::Session::unsubscribe) returned.
        id: OperationId,
        /// What the broker said; why the connection ended, when it did first.
        result: Result<SubscribeReason, Error>,
    },
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
    /// A message at QoS 1 or 2 was sent as often as the options allow, and is not sent again.
    MessageGivenUp {
        /// Its Topic Name.
        topic: String,
        /// How many times it was sent.
        attempts: u32,
    },
    /// The connection is over, but for the DISCONNECT that may still wait to be sent. What failed with it comes next.
    Disconnected(Error),
}

/// What a broker says in AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The Authentication Data, which the Authentication Method gives a meaning.
    pub data: Option<Vec<u8>>,
    /// The Reason String: something in words.
    pub reason_string: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}
