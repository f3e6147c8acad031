//! A client in any form, whose way to the broker is a WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt_wasi::{BrokerUrl, Message, Publish, QoS, ReasonCode, Stats, Subscription};

use super::{Answer, Failure, Happening, Settings, Subject, TlsSettings, Unacknowledged};
use crate::gateway::Gateway;

/// A client that reaches its broker through a gateway of its own.
pub struct OverWebSocket<S> {
    subject: S,
    _gateway: Gateway,
}

impl<S: Subject> Subject for OverWebSocket<S> {
    type Delivery = S::Delivery;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        let url: BrokerUrl = url.parse().expect("the URL of a broker");
        let address: SocketAddr = format!("{}:{}", url.host, url.port).parse().expect("an address");
        let gateway = Gateway::start(address);
        Ok(Self { subject: S::connect(&gateway.url(), settings)?, _gateway: gateway })
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        self.subject.reconnect()
    }

    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure> {
        self.subject.publish(message)
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        self.subject.publish_batch(messages)
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        self.subject.enqueue(message)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.subject.flush()
    }

    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure> {
        self.subject.subscribe_as(subscriptions, identifier)
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        self.subject.unsubscribe(filters)
    }

    fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        self.subject.receive(timeout)
    }

    fn receive_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Message>, Failure> {
        self.subject.receive_batch(max, timeout)
    }

    fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<Unacknowledged<Self::Delivery>>, Failure> {
        self.subject.receive_unacknowledged(timeout)
    }

    fn acknowledge(&mut self, delivery: Self::Delivery) -> bool {
        self.subject.acknowledge(delivery)
    }

    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>> {
        self.subject.request_all(requests, timeout)
    }

    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        self.subject.answer_next(timeout, answer)
    }

    fn is_connected(&mut self) -> bool {
        self.subject.is_connected()
    }

    fn in_flight(&mut self) -> usize {
        self.subject.in_flight()
    }

    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure> {
        self.subject.next_event(timeout)
    }

    fn stats(&mut self) -> Stats {
        self.subject.stats()
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.subject.snapshot()
    }

    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure> {
        self.subject.use_tls(tls)
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        self.subject.disconnect()
    }
}
