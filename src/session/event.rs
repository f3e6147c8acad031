//! Events of the session.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{QoS, ReasonCode};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message::Message;

/// Which call an [`Event`] ends. A session uses each number once.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::session::{Event, OperationId, Session};
/// use mqtt_wasi::Options;
///
/// let mut session = Session::new(Options::new());
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// session.poll_event();
/// let sent: Option<OperationId> = session.publish(&Publish::new("a", "1").qos(QoS::AtLeastOnce))?;
/// network.exchange(&mut session);
/// assert!(matches!(session.poll_event(), Some(Event::Published { id, .. }) if Some(id) == sent));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u64);

/// Set in the numbers of requests, whose acknowledgements are not events.
const REQUEST: u64 = 1 << 63;

impl OperationId {
    /// Higher than all numbers before it, and used once.
    pub(crate) const fn number(self) -> u64 {
        self.0 & !REQUEST
    }

    /// The call with this number, if it is none of a request.
    pub(super) const fn from_number(number: u64) -> Self {
        Self(number & !REQUEST)
    }

    pub(super) const fn of_a_request(self) -> Self {
        Self(self.0 | REQUEST)
    }

    pub(super) const fn is_of_a_request(self) -> bool {
        self.0 & REQUEST != 0
    }
}

/// Something that happened, except messages, which [`Session::receive`](super::Session::receive) returns.
///
#[doc = memory_example!()]
/// use mqtt_wasi::session::{Event, Session};
/// use mqtt_wasi::Options;
///
/// let mut session = Session::new(Options::new());
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
/// # network.cut();
/// # network.exchange(&mut session);
/// // The connection is lost.
/// assert!(matches!(session.poll_event(), Some(Event::Disconnected(_))));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The broker accepted the connection. [`Session::connack`](super::Session::connack) has its terms.
    Connected {
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The broker sent a challenge to authenticate the client. Answer it with
    /// [`Session::answer_challenge`](super::Session::answer_challenge).
    Challenged(Challenge),
    /// The broker has authenticated the client again, after
    /// [`Session::authenticate_again`](super::Session::authenticate_again).
    Authenticated(Challenge),
    /// The broker has acknowledged a message at QoS 1 or 2, or never will.
    Published {
        /// What [`Session::publish`](super::Session::publish) returned.
        id: OperationId,
        /// The broker's answer. [`Error::PublishRefused`] if it refused. [`Error::GivenUp`] if the message was sent as
        /// often as the options allow, [`Error::SessionLost`] if they say to discard it. [`Error::Call`] if the broker
        /// of a new connection does not accept the message: its Maximum Packet Size is smaller, its Maximum QoS is
        /// lower, or it does not support retained messages.
        result: Result<Reason, Error>,
    },
    /// The reply to a request came, or the session no longer waits for it.
    Replied {
        /// What [`Session::request`](super::Session::request) returned.
        id: OperationId,
        /// The reply. [`Error::Timeout`] if none came in time. [`Error::NoResponder`] if the broker reports that no
        /// client has subscribed to the topic. [`Error::RequestFailed`] if the responder reports a failure. Otherwise
        /// as for [`Event::Published`].
        result: Result<Box<Message>, Error>,
    },
    /// The broker answered SUBSCRIBE, or never will.
    Subscribed {
        /// What [`Session::subscribe`](super::Session::subscribe) returned.
        id: OperationId,
        /// The broker's answer, or why the connection ended before it came.
        result: Result<SubscribeReason, Error>,
    },
    /// The broker answered UNSUBSCRIBE, or never will.
    Unsubscribed {
        /// What [`Session::unsubscribe`](super::Session::unsubscribe) returned.
        id: OperationId,
        /// The broker's answer, or why the connection ended before it came.
        result: Result<SubscribeReason, Error>,
    },
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
        /// Why it could not be restored. `None` if the options say not to.
        reason_code: Option<ReasonCode>,
    },
    /// A message at QoS 0 was dropped. It was not sent before the last connection ended, and the broker of the new
    /// connection does not accept it, for this reason.
    MessageDropped(CallError),
    /// A message was not acknowledged at QoS 1 or 2, or not sent to its end at QoS 0, and is not sent again. As many
    /// connections ended at it as the options allow, or the broker of the new connection does not accept it,
    /// for example because it is too large. It may have arrived. [`Event::Published`] tells why, except at QoS 0.
    MessageGivenUp {
        /// Its Topic Name. Empty if the broker has the message, and did not answer PUBREL.
        topic: String,
        /// How many times it was sent.
        attempts: u32,
    },
    /// The broker sent a message again that the client has to refuse, or one that was skipped. If many in a row are
    /// refused for the same reason, there is an event for the second, the fourth, the eighth and so on, and for the
    /// first that is skipped: otherwise [`Event::Disconnected`] tells of the first.
    MessageRefused {
        /// Its Topic Name, if that could be read.
        topic: Option<String>,
        /// What is wrong with it, and where.
        error: Error,
        /// How many in a row were refused for this reason.
        times: u32,
        /// Whether it was skipped, as the options say. Otherwise the connection is over.
        is_skipped: bool,
    },
    /// The connection is over, except for a DISCONNECT that may still wait to be sent. Events for everything that
    /// failed with it follow.
    Disconnected(Error),
}

/// A broker's AUTH.
///
#[doc = memory_example!()]
/// use mqtt_wasi::session::{Challenge, Event, Session};
/// use mqtt_wasi::Options;
///
/// let mut session = Session::new(Options::new().authentication("CHALLENGE", None));
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// let Some(Event::Challenged(Challenge { data, .. })) = session.poll_event() else { panic!() };
/// assert_eq!(data.as_deref(), Some(&b"who are you?"[..]));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The Authentication Data. Its meaning depends on the Authentication Method.
    pub data: Option<Vec<u8>>,
    /// The Reason String: the broker's explanation.
    pub reason_string: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}
