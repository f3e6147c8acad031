//! What is tested: the client, as a native crate and as a component, behind one trait, so that one test body holds for
//! both.

mod asynchronous;
mod component;
mod component_p3;
mod failure;
mod native;
mod over_websocket;

use std::net::SocketAddr;
use std::time::Duration;

pub use asynchronous::Async;
pub use component::{Beside, Component, ComponentOf, WideComponent};
pub use component_p3::ComponentP3;
pub use failure::{ErrorKind, Failure};
use mqtt_wasi::{Message, Publish, QoS, ReasonCode, Stats, Subscription, WillMessage};
pub use native::Native;
pub use over_websocket::OverWebSocket;

/// Makes each of these generic functions a test of each [`Subject`].
///
/// ```text
/// host_tests::each_subject!(a_promise_that_is_kept);
///
/// fn a_promise_that_is_kept<S: Subject>() { … }
/// ```
#[macro_export]
macro_rules! each_subject {
    ($($test:ident),+ $(,)?) => {
        $crate::each_subject!($($test),+; only when called:);
    };
    // The latter are about what happens within calls, which the async client does not wait for.
    ($($test:ident),+ $(,)?; only when called: $($pulled:ident),* $(,)?) => {
        $crate::each_subject!($($test),+; not for component_p3; only when called: $($pulled),*);
        mod component_p3 {
            $(#[test] fn $test() { super::$test::<$crate::subject::ComponentP3>(); })+
        }
    };
    // What the component for WASI 0.3 is built without.
    ($($test:ident),+ $(,)?; not for component_p3) => {
        $crate::each_subject!($($test),+; not for component_p3; only when called:);
    };
    ($($test:ident),+; not for component_p3; only when called: $($pulled:ident),*) => {
        mod native {
            $(#[test] fn $test() { super::$test::<$crate::subject::Native>(); })+
            $(#[test] fn $pulled() { super::$pulled::<$crate::subject::Native>(); })*
        }
        mod asynchronous {
            $(#[test] fn $test() { super::$test::<$crate::subject::Async>(); })+
        }
        mod component {
            $(#[test] fn $test() { super::$test::<$crate::subject::Component>(); })+
            $(#[test] fn $pulled() { super::$pulled::<$crate::subject::Component>(); })*
        }
    };
}

/// Makes each of these generic functions, which are about TLS, a test of each [`Subject`] and of the component for
/// engines with wide arithmetic, whose cryptography is another build of the same.
#[macro_export]
macro_rules! each_subject_with_tls {
    ($($test:ident),+ $(,)?) => {
        $crate::each_subject!($($test),+);
        mod component_with_wide_arithmetic {
            $(#[test] fn $test() { super::$test::<$crate::subject::WideComponent>(); })+
        }
    };
}

/// Makes each of these generic functions a test of each [`Subject`] over WebSocket, through a
/// [gateway](crate::gateway::Gateway). A client that closes its connection waits for half a second until what it said
/// last was read, which the gateway has to do by then.
#[macro_export]
macro_rules! each_subject_over_websocket {
    ($($test:ident),+ $(,)?) => {
        mod native_over_websocket {
            $(#[test] fn $test() {
                $crate::timing::undisturbed(super::$test::<$crate::subject::OverWebSocket<$crate::subject::Native>>);
            })+
        }
        mod asynchronous_over_websocket {
            $(#[test] fn $test() {
                $crate::timing::undisturbed(super::$test::<$crate::subject::OverWebSocket<$crate::subject::Async>>);
            })+
        }
        mod component_over_websocket {
            $(#[test] fn $test() {
                $crate::timing::undisturbed(super::$test::<$crate::subject::OverWebSocket<$crate::subject::Component>>);
            })+
        }
    };
}

/// A received message, and what acknowledges it.
pub type Unacknowledged<D> = (Message, Option<D>);

/// A client in one of its forms. Every call does what the WIT interface says of the one with its name.
pub trait Subject: Sized {
    /// What acknowledges a message.
    type Delivery: Copy + std::fmt::Debug;

    /// Connects. Where permission is needed, there is leave to connect to the URL's address, if it is one.
    ///
    /// # Errors
    /// Whatever the client's own calls fail with; so do all that follow.
    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure>;

    /// Connects again.
    fn reconnect(&mut self) -> Result<bool, Failure>;

    /// Has TLS follow these settings from the next connection on.
    ///
    /// # Errors
    /// Those of settings that cannot be used.
    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure>;

    /// Publishes a message.
    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure>;

    /// Publishes messages one behind the other.
    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>>;

    /// Puts a message into the outbound buffer.
    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure>;

    /// Sends everything that waits to be sent.
    fn flush(&mut self) -> Result<(), Failure>;

    /// Subscribes.
    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure>;

    /// Unsubscribes.
    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure>;

    /// Waits for the next message.
    fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Failure>;

    /// Waits for the next message, and takes more of those that are there then.
    fn receive_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Message>, Failure>;

    /// Waits for the next message, without acknowledging it: for clients that were connected to acknowledge by hand.
    fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<Unacknowledged<Self::Delivery>>, Failure>;

    /// Acknowledges a message.
    fn acknowledge(&mut self, delivery: Self::Delivery) -> bool;

    /// Publishes requests one behind the other, and waits for all of their replies.
    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>>;

    /// Answers the next request with what `answer` makes of it; `false` when none came.
    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure>;

    /// Whether there is a connection.
    fn is_connected(&mut self) -> bool;

    /// How many QoS 1 and 2 messages are in flight to the broker.
    fn in_flight(&mut self) -> usize;

    /// The next thing that happened to the connection.
    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure>;

    /// What the client has done so far.
    fn stats(&mut self) -> Stats;

    /// The session as bytes.
    fn snapshot(&mut self) -> Vec<u8>;

    /// What is known to have happened to the connection.
    ///
    /// # Panics
    /// When that cannot be told.
    fn take_event(&mut self) -> Option<Happening> {
        self.next_event(Duration::ZERO).expect("what is known already")
    }

    /// Disconnects.
    fn disconnect(&mut self) -> Result<(), Failure>;

    /// Subscribes to one filter, which must be granted at this QoS.
    ///
    /// # Panics
    /// When it is not.
    fn subscribe(&mut self, filter: &str, qos: QoS) {
        let granted = self.subscribe_as(&[Subscription::new(filter, qos)], None);
        assert_eq!(granted, Ok(vec![Ok(qos)]), "{filter}");
    }

    /// The next message, which must come soon.
    ///
    /// # Panics
    /// When it does not.
    fn expect_message(&mut self) -> Message {
        self.receive(SOON).expect("a message and not the connection's end").expect("a message within seconds")
    }
}

/// The payload of a reply to a request, or why it failed.
pub type Answer<'a> = &'a mut dyn FnMut(&Message) -> Result<Vec<u8>, String>;

/// What a test sets of the options for TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// The only authorities to trust, in PEM; none if it is empty.
    pub ca_pem: String,
    /// The fingerprint of the only certificate to trust.
    pub fingerprint: Option<String>,
    /// The client's certificate and private key, in PEM.
    pub client: Option<(String, String)>,
    /// The name that the broker's certificate must be for.
    pub server_name: Option<String>,
}

/// What happened to the connection, and to what depends on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// It is over.
    Disconnected(Failure),
    /// An attempt to connect again has failed.
    AttemptFailed(Failure),
    /// So many in a row were closed soon, for no reason that was told.
    RepeatedlyClosed,
    /// There is a new one.
    Reconnected {
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The broker had lost the subscription to this filter, and granted it again.
    SubscriptionRestored(String),
    /// The broker has lost the subscription to this filter.
    SubscriptionLost(String),
    /// A message at QoS 0 cannot be sent over the new connection.
    MessageDropped,
    /// A message to this topic was sent as often as it may be.
    MessageGivenUp(String),
    /// The broker sent a message, to this topic if that can be told, that has to be refused; and it was skipped or not.
    MessageRefused(Option<String>, bool),
    /// A reply cannot be sent, to this Response Topic.
    ReplyDropped(String),
}

/// How long what must come may take.
pub const SOON: Duration = Duration::from_secs(30);

/// How long a client waits for CONNACK, and for other answers, unless a test has it wait less: a busy machine may stand
/// still for seconds.
const LONG_TIMEOUTS: [Duration; 2] = [SOON, Duration::from_secs(90)];

/// What a test sets of the connect options; the rest is at its default.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The Client Identifier.
    pub client_id: &'static str,
    /// The Keep Alive in seconds.
    pub keep_alive: Option<u16>,
    /// The Session Expiry Interval in seconds.
    pub session_expiry_interval: Option<u32>,
    /// Whether the broker is to forget the session that it has.
    pub clean_start: Option<bool>,
    /// Whether what is in flight is discarded once the broker has lost the session.
    pub discards_messages: bool,
    /// How long the first delay and any delay may be before the client connects again by itself; if at all.
    pub reconnect: Option<(Duration, Duration)>,
    /// Other brokers to try.
    pub fallbacks: Vec<String>,
    /// Headers of the opening request of WebSocket.
    pub websocket_headers: Vec<(String, String)>,
    /// The proxy to connect through.
    pub proxy: Option<String>,
    /// Whom to trust and what to show at `mqtts://` and `wss://` URLs.
    pub tls: Option<TlsSettings>,
    /// Where else there is leave to connect to, if leave is needed.
    pub leave: Vec<SocketAddr>,
    /// The session of an earlier client.
    pub snapshot: Option<Vec<u8>>,
    /// The Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// The Maximum Packet Size in bytes.
    pub maximum_packet_size: Option<u32>,
    /// The Topic Alias Maximum, and as many aliases for the topics used last.
    pub topic_aliases: Option<u16>,
    /// Whether messages are acknowledged by hand.
    pub acknowledge_by_hand: bool,
    /// How long CONNACK may take.
    pub connect_timeout: Option<Duration>,
    /// How long an answer may take.
    pub response_timeout: Option<Duration>,
    /// How many QoS 1 and 2 messages may be in flight.
    pub in_flight_limit: Option<u16>,
    /// How many bytes may wait to be received.
    pub backlog_limit: Option<u32>,
    /// How many connections may end at a message.
    pub attempts_per_message: Option<u32>,
    /// Whether messages are skipped that have to be refused.
    pub skip_refused_messages: bool,
    /// How long the first connection may take, with as many attempts as that allows.
    pub first_connect: Option<Duration>,
    /// The Will Message.
    pub will: Option<WillMessage>,
    /// User Name and Password.
    pub login: Option<(&'static str, &'static str)>,
    /// A User Property of CONNECT.
    pub user_property: Option<(&'static str, &'static str)>,
    /// Whether the broker is asked for Response Information and for reasons, or neither, which is not the default.
    pub request_information: Option<bool>,
}

impl Settings {
    /// How long CONNACK and other answers may take.
    fn timeouts(&self) -> [Duration; 2] {
        let [connect, response] = LONG_TIMEOUTS;
        [self.connect_timeout.unwrap_or(connect), self.response_timeout.unwrap_or(response)]
    }
}
