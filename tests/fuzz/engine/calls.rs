//! Calls of any kind, and what they are made of.

use std::sync::{Arc, LazyLock};
use std::task::Waker;
use std::time::Duration;

use mqtt_wasi::codec::{Disconnect, DisconnectProperties, Publish, PublishProperties, QoS, ReasonCode, Subscription};
use mqtt_wasi::engine::{Call, CallId, Requesting};
use mqtt_wasi::{Instant, Reply};

use super::support::{Bell, Running};

/// Topic Filters. What is published below matches most of them.
pub(crate) const FILTERS: [&str; 5] = ["a", "a/b", "a/#", "+/b", "$share/g/a"];

/// Topic Names, the last two of which are not valid.
pub(crate) const TOPICS: [&str; 5] = ["a", "a/b", "c", "", "a/+"];

/// Lengths of payloads: up to more than small limits have room for.
const LENGTHS: [usize; 4] = [3, 0, 60, 700];

static PAYLOAD: [u8; 700] = [b'x'; 700];

/// As many of the messages below are valid, the first of them.
pub(crate) const VALID: usize = 3 * 3 * LENGTHS.len();

/// Messages that calls can borrow: each topic at each QoS, in each length.
pub(crate) static MESSAGES: LazyLock<Vec<Publish<'static>>> = LazyLock::new(|| {
    let mut messages = Vec::new();
    for topic in TOPICS {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for len in LENGTHS {
                messages.push(Publish::new(topic, &PAYLOAD[..len]).qos(qos));
            }
        }
    }
    for alias in [1, 3] {
        let properties = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
        messages.push(Publish::new("a", "aliased").qos(QoS::AtLeastOnce).properties(properties));
    }
    messages
});

/// What to subscribe to.
pub(crate) static SUBSCRIPTIONS: LazyLock<Vec<Subscription<'static>>> =
    LazyLock::new(|| FILTERS.into_iter().map(|filter| Subscription::new(filter, QoS::ExactlyOnce)).collect());

/// How to disconnect; the last one is not for clients to send.
pub(crate) static DISCONNECTS: LazyLock<Vec<Disconnect<'static>>> = LazyLock::new(|| {
    let properties = DisconnectProperties { session_expiry_interval: Some(60), ..DisconnectProperties::default() };
    vec![
        Disconnect::new(ReasonCode::Success),
        Disconnect { reason_code: ReasonCode::DisconnectWithWillMessage, properties },
        Disconnect::new(ReasonCode::ServerBusy),
    ]
});

/// What requests are answered with.
pub(crate) static REPLIES: LazyLock<Vec<Reply>> =
    LazyLock::new(|| vec![Reply::new("yes"), Reply::failed("no"), Reply::new(&PAYLOAD[..])]);

/// What kind of call it is, as far as what holds of it depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It fails when there is no connection, and has a deadline.
    Usual,
    Requesting,
    /// Its deadline goes on with each answer.
    Batch {
        messages: usize,
    },
    Connecting,
    Connected,
    Disconnecting,
    Event,
    Step,
    /// A reply to the request with this number.
    Replying(usize),
}

/// A request whose reply is asked for later.
pub(crate) struct Submitting {
    pub(crate) call: Call<Requesting<'static>>,
    /// Whoever wants the reply.
    pub(crate) owner: Arc<()>,
    pub(crate) deadline: Option<Instant>,
}

/// Somebody who sleeps until it is woken.
pub(crate) struct Sleeper {
    bell: Arc<Bell>,
    pub(crate) waker: Waker,
    /// How many of the rings it has heard.
    heard: usize,
}

impl Sleeper {
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self { waker: Waker::from(Arc::clone(&bell)), bell, heard: 0 }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.bell.rings() > self.heard
    }

    /// Whatever it was woken for is looked at now.
    pub(crate) fn sleep_again(&mut self) {
        self.heard = self.bell.rings();
    }
}

/// A call that was made and is not over.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'static str,
    pub(crate) running: Box<dyn Running + 'a>,
    pub(crate) kind: Kind,
    pub(crate) sleeper: Sleeper,
    pub(crate) was_polled: bool,
    pub(crate) id: Option<CallId>,
    pub(crate) start: Instant,
    /// `None`: it takes what it takes.
    pub(crate) timeout: Option<Duration>,
}
