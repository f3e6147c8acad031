//! The async client, with a runtime of its own that goes on between calls.

use std::time::Duration;

use futures::future::join_all;
use mqtt_wasi::codec::{SubscribeProperties, UnsubscribeProperties};
use mqtt_wasi::{
    AsyncClient, AsyncMessages, AsyncRequests, ConnectChanges, Delivery, Message, Options, Publish, QoS, ReasonCode,
    Responder, Stats, Subscription,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Answer, Failure, Happening, Settings, Subject, TlsSettings, native};

/// The async client.
pub struct Async {
    /// The client itself, for what other forms do not have.
    pub client: AsyncClient,
    inbox: Inbox,
    /// What the client runs in.
    pub runtime: Runtime,
}

/// What the client listens to: everything.
enum Inbox {
    Messages(AsyncMessages),
    Requests(AsyncRequests),
    Changing,
}

impl Inbox {
    fn messages(&mut self) -> &mut AsyncMessages {
        match self {
            Self::Messages(messages) => messages,
            _ => panic!("the client takes messages for requests by now"),
        }
    }

    fn requests(&mut self) -> &mut AsyncRequests {
        *self = match std::mem::replace(self, Self::Changing) {
            Self::Messages(messages) => Self::Requests(messages.into_requests(Responder::new())),
            other => other,
        };
        let Self::Requests(requests) = self else { unreachable!() };
        requests
    }
}

impl Subject for Async {
    type Delivery = Delivery;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let options: Options = native::options(settings)?;
        let client = runtime.block_on(AsyncClient::connect(url, options))?;
        let inbox = Inbox::Messages(client.messages());
        Ok(Self { client, inbox, runtime })
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        Ok(self.runtime.block_on(self.client.reconnect())?)
    }

    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure> {
        let tls = Some(native::tls_options(tls)?);
        Ok(self.client.update(ConnectChanges { tls, ..ConnectChanges::default() })?)
    }

    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure> {
        Ok(self.runtime.block_on(self.client.publish(message))?)
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        let results = self.runtime.block_on(join_all(messages.iter().map(|message| self.client.publish(message))));
        results.into_iter().map(|result| Ok(result?)).collect()
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.client.enqueue(message))?)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.client.flush())?)
    }

    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure> {
        let properties = SubscribeProperties { subscription_identifier: identifier, ..SubscribeProperties::default() };
        let reason = self.runtime.block_on(self.client.subscribe_with(subscriptions, properties));
        let reason = reason?;
        Ok(reason.reason_codes.into_iter().map(|code| QoS::from_u8(code.into()).ok_or(code)).collect())
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        let unsubscribed = self.client.unsubscribe_with(filters, UnsubscribeProperties::default());
        let reason = self.runtime.block_on(unsubscribed);
        Ok(reason?.reason_codes)
    }

    fn receive(&mut self, within: Duration) -> Result<Option<Message>, Failure> {
        let received = self.runtime.block_on(async { timeout(within, self.inbox.messages().receive()).await });
        received.map_or(Ok(None), |received| Ok(Some(received?)))
    }

    fn receive_batch(&mut self, max: usize, within: Duration) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::from_iter(self.receive(within)?);
        while !messages.is_empty() && messages.len() < max {
            match self.inbox.messages().try_receive() {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    fn receive_unacknowledged(&mut self, within: Duration) -> Result<Option<(Message, Option<Delivery>)>, Failure> {
        let received = self.inbox.messages().receive_unacknowledged();
        let received = self.runtime.block_on(async { timeout(within, received).await });
        received.map_or(Ok(None), |received| Ok(Some(received?)))
    }

    fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.client.acknowledge(delivery)
    }

    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>> {
        let requests = join_all(requests.iter().map(|request| self.client.request(request, timeout)));
        self.runtime.block_on(requests).into_iter().map(|result| Ok(result?)).collect()
    }

    fn answer_next(&mut self, within: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        let requests = self.inbox.requests();
        self.runtime.block_on(async {
            let Ok(request) = timeout(within, requests.receive()).await else { return Ok(false) };
            let request = request?;
            match answer(request.message()) {
                Ok(payload) => request.reply(payload).await?,
                Err(why) => request.fail(why).await?,
            }
            self.client.flush().await?;
            Ok(true)
        })
    }

    fn is_connected(&mut self) -> bool {
        self.client.is_connected()
    }

    fn in_flight(&mut self) -> usize {
        self.client.stats().in_flight
    }

    fn next_event(&mut self, within: Duration) -> Result<Option<Happening>, Failure> {
        let event = self.runtime.block_on(async { timeout(within, self.client.next_event()).await });
        event.map_or(Ok(None), |event| Ok(Some(native::happening(event?))))
    }

    fn stats(&mut self) -> Stats {
        self.client.stats()
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.client.snapshot()
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.client.disconnect())?)
    }
}
