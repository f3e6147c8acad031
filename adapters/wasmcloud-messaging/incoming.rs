//! Receiving: each message is acknowledged once the handler has taken it, and asked for again where it has not. What
//! waits is in `calls`.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use mqtt_wasi_adapters::messaging::Settings;

use crate::calls;
use crate::common::{Received, apply, qos_of};
use crate::mqtt_wasi::client::mqtt::{
    Client, ConnectOptions, Failure, FailureKind, Message, Qos, Subscription, SubscriptionOptions, reason_name,
};

/// How many QoS 1 and 2 messages the broker sends ahead: so many come again after one that was not taken.
const RECEIVE_MAXIMUM: u16 = 64;

/// The pause before a message is asked for again, in milliseconds. It doubles while the handler keeps failing.
const FIRST_PAUSE_MS: u32 = 1_000;
const LONGEST_PAUSE_MS: u32 = 60_000;

/// Receives until the connection is over for good. Returns why, in words.
pub(crate) async fn serve() -> Result<Infallible, String> {
    let settings = Settings::read(calls::environment())?;
    if settings.filters.is_empty() {
        return Err("there is nothing to receive: set MQTT_SUBSCRIBE to Topic Filters, with commas between them".into());
    }
    let options = ConnectOptions::new();
    apply(&settings, &options);
    options.set_acknowledge_by_hand(true);
    options.set_receive_maximum(RECEIVE_MAXIMUM);
    options.set_session_expiry_interval_seconds(settings.session_expiry_seconds);
    if let Some(client_id) = &settings.client_id {
        options.set_client_id(client_id);
        // The session of the instance before, with the messages that came meanwhile.
        options.set_clean_start(false);
        options.set_adopt_session(true);
    }
    let qos = qos_of(&settings);
    let client = calls::connect(settings.url, &options).await.map_err(text)?;
    subscribe(&client, settings.filters, qos).await?;
    let mut receiver = Receiver { client, waiting: VecDeque::new(), failures: 0 };
    loop {
        receiver.handle_next().await?;
    }
}

async fn subscribe(client: &Client, filters: Vec<String>, maximum_qos: Qos) -> Result<(), String> {
    let subscription =
        |filter: &String| Subscription { filter: filter.clone(), maximum_qos, options: SubscriptionOptions::empty() };
    let subscriptions = filters.iter().map(subscription).collect();
    let answer = calls::subscribe(client, subscriptions).await.map_err(text)?;
    match filters.iter().zip(answer.codes).find(|(_, code)| *code >= 0x80) {
        None => Ok(()),
        Some((filter, code)) => {
            let why = reason_name(code).unwrap_or_default();
            Err(["the broker refused the subscription to ", filter, ": ", &why].concat())
        }
    }
}

struct Receiver {
    client: Client,
    /// Messages that the broker does not send again.
    waiting: VecDeque<Message>,
    /// How many messages in a row the handler has not taken.
    failures: u32,
}

impl Receiver {
    async fn handle_next(&mut self) -> Result<(), String> {
        let message = match self.waiting.pop_front() {
            Some(message) => message,
            // None came, in the time that a call may take.
            None => match calls::receive(&self.client).await.map_err(text)? {
                Some(message) => message,
                None => return Ok(()),
            },
        };
        match calls::handle(Received::from(message.clone())).await {
            Ok(()) => {
                self.failures = 0;
                if let Some(delivery) = message.delivery {
                    self.client.acknowledge(delivery);
                }
                Ok(())
            }
            Err(why) => self.retry(message, &why).await,
        }
    }

    /// Has the handler get a message again that it has not taken.
    async fn retry(&mut self, message: Message, why: &str) -> Result<(), String> {
        let outlook = if message.qos == Qos::AtMostOnce { "it is lost, at QoS 0" } else { "it comes again" };
        calls::report(
            &["the handler has not taken a message of ", &message.topic, ", so ", outlook, ": ", why].concat(),
        )
        .await;
        if message.qos == Qos::AtMostOnce {
            return Ok(());
        }
        self.pause().await;
        if message.delivery.is_none() {
            // Of an earlier connection: the broker may have lost it with the session.
            self.waiting.push_front(message);
            return Ok(());
        }
        let mut unacknowledged = Vec::from([message]);
        while let Some(message) = calls::receive_now(&self.client).await {
            if message.delivery.is_some() {
                unacknowledged.push(message);
            } else {
                self.waiting.push_back(message);
            }
        }
        if !self.reconnect().await? {
            // The broker has lost them, and here they are.
            let orphans = unacknowledged.into_iter().map(|message| Message { delivery: None, ..message });
            self.waiting = orphans.chain(core::mem::take(&mut self.waiting)).collect();
        }
        Ok(())
    }

    /// Connects again, after which the broker sends what was not acknowledged, if it still has the session: whether it
    /// has.
    async fn reconnect(&mut self) -> Result<bool, String> {
        loop {
            match calls::reconnect(&self.client).await {
                Err(failure) if is_passing(&failure) => {
                    calls::report(&text(failure)).await;
                    self.pause().await;
                }
                outcome => return outcome.map_err(text),
            }
        }
    }

    /// Waits, for longer each time in a row, while the connection is kept alive.
    async fn pause(&mut self) {
        let ms = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE_MS);
        self.failures = self.failures.saturating_add(1);
        calls::wait(&self.client, ms).await;
    }
}

fn is_passing(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::ConnectionOver | FailureKind::TimedOut | FailureKind::TryLater)
}

fn text(failure: Failure) -> String {
    [&failure.name, ": ", &*failure.message].concat()
}
