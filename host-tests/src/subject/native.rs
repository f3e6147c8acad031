//! The client as a native crate: the blocking one, over a socket of the standard library.

use std::time::Duration;

use mqtt_wasi::codec::{SubscribeProperties, UnsubscribeProperties};
use mqtt_wasi::transport::TcpTransport;
use mqtt_wasi::{
    Client, ConnectChanges, Delivery, Error, Event, Message, Options, Publish, QoS, ReasonCode, Reconnect, Reply,
    Snapshot, Stats, Subscription, TlsOptions,
};

use super::{Answer, Failure, Happening, Settings, Subject, TlsSettings};

/// The blocking client.
pub struct Native {
    /// The client itself, for what the other form does not have.
    pub client: Client<TcpTransport>,
}

impl Subject for Native {
    type Delivery = Delivery;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        Ok(Self { client: Client::connect(url, options(settings)?)? })
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        Ok(self.client.reconnect()?)
    }

    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure> {
        let tls = Some(tls_options(tls)?);
        Ok(self.client.update(ConnectChanges { tls, ..ConnectChanges::default() })?)
    }

    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure> {
        Ok(self.client.publish(message)?)
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        let results = self.client.publish_all(messages.iter().copied());
        results.into_iter().map(|result| Ok(result?)).collect()
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        Ok(self.client.enqueue(message)?)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.client.flush()?)
    }

    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure> {
        let properties = SubscribeProperties { subscription_identifier: identifier, ..SubscribeProperties::default() };
        let reason = self.client.subscribe_with(subscriptions, properties)?;
        Ok(reason.reason_codes.into_iter().map(|code| QoS::from_u8(code.into()).ok_or(code)).collect())
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        Ok(self.client.unsubscribe_with(filters, UnsubscribeProperties::default())?.reason_codes)
    }

    fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        Ok(self.client.receive_timeout(timeout)?)
    }

    fn receive_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::from_iter(self.client.receive_timeout(timeout)?);
        while !messages.is_empty() && messages.len() < max {
            match self.client.take_with(|publish| Message::from(*publish)) {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<(Message, Option<Delivery>)>, Failure> {
        Ok(self.client.receive_unacknowledged(timeout)?)
    }

    fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.client.acknowledge(delivery)
    }

    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>> {
        let results = self.client.request_all(requests.iter().copied(), timeout);
        results.into_iter().map(|result| Ok(result?)).collect()
    }

    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        let Some(request) = self.client.next_request(timeout)? else { return Ok(false) };
        let reply = answer(request.message()).map_or_else(Reply::failed, Reply::new);
        self.client.reply(&request, &reply)?;
        Ok(true)
    }

    fn is_connected(&mut self) -> bool {
        self.client.is_connected()
    }

    fn in_flight(&mut self) -> usize {
        self.client.stats().in_flight
    }

    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure> {
        Ok(self.client.next_event(timeout)?.map(happening))
    }

    fn stats(&mut self) -> Stats {
        self.client.stats()
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.client.snapshot()
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        Ok(self.client.disconnect()?)
    }
}

pub(super) fn happening(event: Event) -> Happening {
    match event {
        Event::Disconnected(error) => Happening::Disconnected(error.into()),
        Event::AttemptFailed { error, .. } => Happening::AttemptFailed(error.into()),
        Event::RepeatedlyClosed { .. } => Happening::RepeatedlyClosed,
        Event::MessageGivenUp { topic, .. } => Happening::MessageGivenUp(topic),
        Event::Connected { session_present } => Happening::Reconnected { session_present },
        Event::SubscriptionRestored { filter, .. } => Happening::SubscriptionRestored(filter),
        Event::SubscriptionLost { filter, .. } => Happening::SubscriptionLost(filter),
        Event::MessageDropped(_) => Happening::MessageDropped,
        Event::MessageRefused { topic, is_skipped, .. } => Happening::MessageRefused(topic, is_skipped),
        Event::ReplyDropped { response_topic, .. } => Happening::ReplyDropped(response_topic),
        other => panic!("no test knows of {other:?}"),
    }
}

/// The options of a client in Rust.
pub(super) fn options(settings: &Settings) -> Result<Options, Failure> {
    let mut options = Options::from(settings);
    if let Some(snapshot) = &settings.snapshot {
        options = options.resume(Snapshot::from_bytes(snapshot).map_err(Error::Snapshot)?);
    }
    if let Some(tls) = &settings.tls {
        options = options.tls(tls_options(tls)?);
    }
    if let Some(proxy) = &settings.proxy {
        options = options.proxy(proxy);
    }
    for (name, value) in &settings.websocket_headers {
        options = options.websocket_header(name, value);
    }
    Ok(options)
}

pub(super) fn tls_options(settings: &TlsSettings) -> Result<TlsOptions, Error> {
    let mut tls = TlsOptions::new().only_own_ca();
    if !settings.ca_pem.is_empty() {
        tls = tls.ca(&settings.ca_pem)?;
    }
    if let Some(fingerprint) = &settings.fingerprint {
        tls = tls.fingerprint(fingerprint)?;
    }
    if let Some((chain, key)) = &settings.client {
        tls = tls.client_certificate(chain, key)?;
    }
    if let Some(name) = &settings.server_name {
        tls = tls.server_name(name);
    }
    Ok(tls)
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        let mut options = Self::new().client_id(settings.client_id);
        if let Some(seconds) = settings.keep_alive {
            options = options.keep_alive(seconds);
        }
        if let Some(seconds) = settings.session_expiry_interval {
            options = options.session_expiry_interval(seconds);
        }
        if let Some(messages) = settings.receive_maximum {
            options = options.receive_maximum(messages);
        }
        if let Some(bytes) = settings.maximum_packet_size {
            options = options.maximum_packet_size(bytes);
        }
        if let Some(aliases) = settings.topic_aliases {
            options = options.topic_alias_maximum(aliases).outbound_topic_aliases(aliases);
        }
        options = options.restore_messages(!settings.discards_messages);
        if let Some(clean_start) = settings.clean_start {
            options = options.clean_start(clean_start);
        }
        if let Some((first_delay, longest_delay)) = settings.reconnect {
            let first_connect = settings.first_connect;
            options =
                options.reconnect(Reconnect { first_delay, longest_delay, first_connect, ..Reconnect::default() });
        }
        for url in &settings.fallbacks {
            options = options.fallback(url);
        }
        let [connect, response] = settings.timeouts();
        options = options.connect_timeout(connect).response_timeout(response);
        if let Some(messages) = settings.in_flight_limit {
            options = options.in_flight_limit(messages);
        }
        if let Some(bytes) = settings.backlog_limit {
            options = options.backlog_limit(bytes as usize);
        }
        if let Some(attempts) = settings.attempts_per_message {
            options = options.attempts_per_message(attempts);
        }
        options = options.skip_refused_messages(settings.skip_refused_messages);
        if let Some(will) = &settings.will {
            options = options.will(will.clone());
        }
        if let Some((user_name, password)) = settings.login {
            options = options.login(user_name, password);
        }
        if let Some((name, value)) = settings.user_property {
            options = options.user_property(name, value);
        }
        if let Some(request) = settings.request_information {
            options = options.request_response_information(request).request_problem_information(request);
        }
        options
    }
}
