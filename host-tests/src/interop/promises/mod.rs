//! What a user may expect of a client and a broker together.

mod connection;
mod messages;
mod subscriptions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::stage::{Form, Stage};
use super::table::Speaks;
use crate::subject::{Async, Component, Native};

/// How long all calls of a promise may take together, each of which has its own time: longer is a hang.
const LONGEST: Duration = Duration::from_secs(240);

/// Something that has to hold in every form of the client.
pub struct Promise {
    /// Its name in the table.
    pub name: &'static str,
    /// What a user gets from it.
    pub says: &'static str,
    /// The brokers that it is about.
    pub speaks: Speaks,
    /// Which way the client takes to the broker.
    pub way: Way,
    tries: [fn(&Stage) -> Result<()>; 3],
}

/// A way to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over WebSocket, which not every broker has.
    WebSocket,
}

impl Promise {
    /// Tries it; fails with what was seen instead.
    ///
    /// # Errors
    /// See above.
    pub fn try_in(&self, form: Form, url: &str) -> Result<(), String> {
        let stage = Stage::new(url, self.name, form);
        let promised = self.tries[form as usize];
        within_reason(move || promised(&stage))
    }
}

/// Runs this on a thread of its own, and tells a panic and a hang of the client from what fails.
pub(in crate::interop) fn within_reason<T: Send + 'static>(
    promised: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(promised));
        // Nobody may be waiting any more.
        let _ = tell.send(outcome);
    });
    match told.recv_timeout(LONGEST) {
        Ok(Ok(outcome)) => outcome.map_err(|error| format!("{error:#}")),
        Ok(Err(_)) => Err("the client panics: see above".into()),
        Err(_) => Err(format!("the client hangs: no end after {LONGEST:?}")),
    }
}

macro_rules! promises {
    ($($speaks:ident $way:ident $file:ident::$name:ident = $says:literal,)+) => {
        /// All of them.
        pub const PROMISES: &[Promise] = &[$(Promise {
            name: stringify!($name),
            says: $says,
            speaks: Speaks::$speaks,
            way: Way::$way,
            tries: [$file::$name::<Native>, $file::$name::<Async>, $file::$name::<Component>],
        },)+];
    };
}

promises! {
    V5 Tcp connection::connects_with_every_property = "CONNECT with every property",
    V5 Tcp messages::qos_0_comes_back = "QoS 0 both ways",
    V5 Tcp messages::qos_1_comes_back = "QoS 1 both ways",
    V5 Tcp messages::qos_2_comes_back = "QoS 2 both ways",
    V5 Tcp messages::every_property_comes_back = "every property of a message",
    V5 Tcp messages::every_topic_comes_back = "topics with dots, spaces and any language",
    V5 Tcp messages::messages_stay_in_order = "2,000 messages stay in order",
    V5 Tcp messages::a_mebibyte_comes_back = "a message of 1 MiB",
    V5 Tcp messages::ten_mebibytes_come_back = "a message of 10 MiB",
    V5 Tcp messages::topics_are_aliased = "Topic Aliases both ways",
    V5 Tcp subscriptions::retained_message_waits = "retained, by its topic",
    V5 Tcp subscriptions::retained_message_waits_for_a_wildcard = "retained, by a wildcard",
    V5 Tcp subscriptions::retained_message_is_removed = "retained, removed by an empty one",
    V5 Tcp subscriptions::unsubscribed_messages_stay_away = "UNSUBSCRIBE, with its Reason Codes",
    V5 Tcp subscriptions::identifier_comes_with_the_message = "Subscription Identifiers",
    V5 Tcp subscriptions::own_messages_stay_away = "No Local",
    V5 Tcp subscriptions::work_is_shared = "shared subscriptions",
    V5 Tcp subscriptions::requests_are_answered = "requests and replies",
    V5 Tcp connection::will_is_published = "the will, when the connection is cut",
    V5 Tcp connection::will_waits_for_its_delay = "the will, after its delay",
    V5 Tcp connection::will_is_not_published_after_disconnect = "no will after DISCONNECT",
    V5 Tcp connection::session_is_resumed = "a session is resumed, with what came meanwhile",
    V5 Tcp connection::server_tells_who_took_over = "0x8E Session taken over",
    V5 Tcp connection::ping_is_answered = "Keep Alive",
    V5 Tcp connection::acknowledged_messages_survive_a_bad_network = "no QoS 1 message is lost on a network that cuts",
    V5 WebSocket messages::messages_come_back_over_websocket = "over WebSocket: QoS 1, 2,000 messages in order, a message of 1 MiB",
    V3 Tcp connection::old_version_is_told = "connecting fails, and the error says that the broker speaks MQTT 3.1.1 only",
    V3 WebSocket connection::old_version_is_told_over_websocket = "the same over WebSocket",
}
