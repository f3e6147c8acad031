//! The exported interface.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use super::driver::Driver;
use super::shared::{Handle, Shared};
use crate::bulk::{push_received, unpack};
use crate::codec::{
    self, Disconnect, Publish, PublishProperties, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties,
};
use crate::component::convert::{Said, failure, in_flight, in_millis, millis, reply_of, reply_with, wrong_call};
use crate::component::export::{Component, ExportedOptions, answer_of, results_of, unknown_request};
use crate::engine::{
    Connecting, Disconnecting, Engine, Enqueueing, Flushing, NextEvent, NextStep, Operation, Options, Publishing,
    PublishingAll, Replying, Requesting, ResponderId, Subscribing, Unsubscribing,
};
use crate::error::{CallError, Error, Reason};
use crate::message;
use crate::ordered::Ordered;
use crate::random;
use crate::respond::{Reply, Request, Responder};
use crate::session::Delivery;
use crate::transport::{Layers, now, spawn};
use crate::wit::exports::mqtt_wasi::client::{bulk, mqtt as wit};

impl wit::Guest for Component {
    type Client = ExportedClient;
    type ConnectOptions = ExportedOptions;

    async fn connect(url: String, options: Option<wit::ConnectOptionsBorrow<'_>>) -> Result<wit::Client, wit::Failure> {
        let client = ExportedClient::new(&url, options.as_ref().map(|options| options.get()), |_| ());
        drop(options);
        ExportedClient::connected(client?).await
    }

    async fn start(url: String, options: wit::ConnectOptionsBorrow<'_>) -> Result<wit::Client, wit::Failure> {
        let client = ExportedClient::new(&url, Some(options.get()), Engine::authenticate_by_hand);
        drop(options);
        ExportedClient::connected(client?).await
    }

    fn reason_name(code: u8) -> Option<String> {
        ReasonCode::from_u8(code).map(|code| code.name().into())
    }

    fn topic_matches(filter: String, topic: String) -> bool {
        codec::validate_topic_filter(&filter).is_ok()
            && codec::validate_topic_name(&topic).is_ok()
            && codec::topic_matches(&filter, &topic)
    }
}

impl bulk::Guest for Component {
    async fn publish_packed(
        client: bulk::ClientBorrow<'_>,
        frames: Vec<u64>,
    ) -> Result<Vec<bulk::Unpublished>, wit::Failure> {
        unpack(&frames).check().map_err(|error| wrong_call("invalid-frames", &error.to_string()))?;
        let client = client.get::<ExportedClient>();
        // Those that are no messages, in order.
        let mut invalid = Vec::new();
        let messages: &mut dyn Iterator<Item = Publish<'_>> =
            &mut (0..).zip(unpack(&frames)).filter_map(|(index, frame)| match frame {
                Ok(frame) => Some(frame.message),
                Err(error) => {
                    invalid.push((index, wrong_call("invalid-argument", &error.to_string())));
                    None
                }
            });
        // It fails message by message.
        let results = client.run(PublishingAll::new(messages)).await.unwrap_or_default();
        let results = (0..).zip(results_of(results, invalid));
        let failed = results.filter_map(|(index, result)| Some(bulk::Unpublished { index, failure: result.err()? }));
        Ok(failed.collect())
    }

    async fn receive_packed(
        client: bulk::ClientBorrow<'_>,
        max_messages: u32,
        max_bytes: u32,
        timeout_ms: Option<u32>,
    ) -> Result<Vec<u64>, wit::Failure> {
        let client = client.get::<ExportedClient>();
        let take = |publish: &Publish<'_>, delivery: Option<Delivery>, words: &mut Vec<u64>| {
            // What an alias stands for is known here.
            let properties = PublishProperties { topic_alias: None, ..publish.properties };
            push_received(words, &Publish { properties, ..*publish }, delivery.map(Delivery::number));
            words.len() * size_of::<u64>() < max_bytes as usize
        };
        client.receive_each(max_messages, timeout_ms, take).await
    }
}

/// A client, and what it has to keep for its callers.
pub(crate) struct ExportedClient {
    handle: Handle,
    acknowledges_by_hand: bool,
    /// Whether messages go to those who listen for streams, and to nobody else.
    streams: bool,
    /// How many requests there may be to answer.
    most_requests: usize,
    responder: ResponderId,
    /// Requests to answer.
    incoming: RefCell<Ordered<Incoming>>,
    /// The number of the last of them.
    last_request: Cell<u64>,
}

/// A request to answer.
struct Incoming {
    request: Rc<Request>,
    is_being_answered: bool,
}

/// A request that is being answered. Whatever comes of that, it can be answered again as long as it is there.
struct Answering<'a> {
    client: &'a ExportedClient,
    number: u64,
    request: Rc<Request>,
}

impl<'a> Answering<'a> {
    fn new(client: &'a ExportedClient, number: u64) -> Option<Self> {
        let mut incoming = client.incoming.borrow_mut();
        let incoming = incoming.get_mut(number).filter(|incoming| !incoming.is_being_answered)?;
        incoming.is_being_answered = true;
        Some(Self { client, number, request: Rc::clone(&incoming.request) })
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if let Some(incoming) = self.client.incoming.borrow_mut().get_mut(self.number) {
            incoming.is_being_answered = false;
        }
    }
}

impl ExportedClient {
    /// A client with these options, whose driver runs beside the call that is under way.
    fn new(
        url: &str,
        options: Option<&ExportedOptions>,
        prepare: impl FnOnce(&mut Engine),
    ) -> Result<Self, wit::Failure> {
        let (acknowledges_by_hand, options) = match options {
            Some(exported) => (exported.acknowledges_by_hand.get(), exported.checked()?),
            None => (false, Options::new()),
        };
        let most_requests = options.session.pending_request_limit;
        let streams = options.session.stream_above < u32::MAX;
        let layers = layers(&options)?;
        let mut engine = Engine::new(Some(url), options, u64::from_ne_bytes(random::bytes()))?;
        prepare(&mut engine);
        engine.allow_calls_at_once();
        if streams {
            engine.deliver_to_listeners();
        }
        let responder = engine.open_responder(Responder::new());
        let shared = Rc::new(Shared::new(engine));
        spawn(Driver::new(Rc::clone(&shared), layers));
        Ok(Self {
            handle: Handle(shared),
            acknowledges_by_hand,
            streams,
            most_requests,
            responder,
            incoming: RefCell::default(),
            last_request: Cell::new(0),
        })
    }

    /// The same once it is connected. Until then it is gone if the call is given up.
    async fn connected(self) -> Result<wit::Client, wit::Failure> {
        self.run(Connecting).await?;
        Ok(wit::Client::new(self))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.handle.0
    }

    /// For what may outlive the client, which still ends when it is dropped.
    pub(super) fn share(&self) -> Rc<Shared> {
        Rc::clone(&self.handle.0)
    }

    pub(super) const fn streams(&self) -> bool {
        self.streams
    }

    pub(super) const fn acknowledges_by_hand(&self) -> bool {
        self.acknowledges_by_hand
    }

    pub(super) async fn run<O: Operation + Unpin>(&self, operation: O) -> Result<O::Output, Error> {
        self.shared().run(operation).await
    }

    /// Messages, and so requests, go one way or the other.
    fn require_receiving(&self) -> Result<(), wit::Failure> {
        if self.streams {
            let message = "messages of a client with set-stream-above are for streams.listen: use another client";
            return Err(wrong_call("invalid-argument", message));
        }
        Ok(())
    }

    async fn publish_said(&self, said: Said<'_>) -> Result<Reason, wit::Failure> {
        let user_properties = said.user_properties();
        Ok(self.run(Publishing(&said.lend(&user_properties)?)).await?)
    }

    /// Waits for a message, and gives `read` what is there, as long as that wants more.
    async fn receive_each<T: Default>(
        &self,
        max: u32,
        timeout_ms: Option<u32>,
        mut read: impl FnMut(&Publish<'_>, Option<Delivery>, &mut T) -> bool,
    ) -> Result<T, wit::Failure> {
        self.require_receiving()?;
        if max == 0 {
            return Ok(T::default());
        }
        let by_hand = self.acknowledges_by_hand;
        let take = |engine: &mut Engine| {
            let mut taken = None;
            for _ in 0..max {
                let next = match by_hand {
                    true => engine.receive_unacknowledged(),
                    false => engine.receive().map(|publish| (publish, None)),
                };
                let Some((publish, delivery)) = next else { break };
                if !read(&publish, delivery, taken.get_or_insert_default()) {
                    break;
                }
            }
            taken
        };
        Ok(self.shared().receive(timeout_ms.map(millis), take).await?.unwrap_or_default())
    }

    async fn request_said(&self, said: Said<'_>, timeout_ms: u32) -> Result<wit::Message, wit::Failure> {
        let user_properties = said.user_properties();
        let request = &said.lend(&user_properties)?;
        let nonce = random::nonce().map_err(Error::Transport)?;
        Ok((&self.run(Requesting { request, timeout: millis(timeout_ms), nonce }).await?).into())
    }

    async fn answer(&self, number: u64, reply: Reply) -> Result<(), wit::Failure> {
        let answering = Answering::new(self, number).ok_or_else(unknown_request)?;
        let (responder, request) = (self.responder, &*answering.request);
        match self.run(Replying { responder, request, reply: &reply }).await {
            Ok(()) => {
                self.incoming.borrow_mut().remove(number);
                // The host may let nothing run behind this call. What cannot be sent now is sent later.
                drop(self.run(Flushing).await);
                Ok(())
            }
            Err(Error::Timeout) => Err(CallError::WouldBlock.into()),
            // It may be answered otherwise, or later.
            Err(error) => Err(error.into()),
        }
    }
}

impl wit::GuestClient for ExportedClient {
    async fn publish(
        &self,
        topic: String,
        payload: wit::Payload,
        qos: wit::Qos,
        retain: bool,
    ) -> Result<wit::ReasonCode, wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain, properties: &[] };
        Ok(self.publish_said(said).await?.reason_code as u8)
    }

    async fn publish_message(&self, message: wit::Publication) -> Result<wit::PublishAnswer, wit::Failure> {
        let Reason { reason_code, reason_string, user_properties, .. } = self.publish_said((&message).into()).await?;
        Ok(wit::PublishAnswer { code: reason_code as u8, reason_string, user_properties })
    }

    async fn publish_batch(&self, messages: Vec<wit::Publication>) -> Vec<Result<wit::ReasonCode, wit::Failure>> {
        let user_properties: Vec<_> = messages.iter().map(|message| Said::from(message).user_properties()).collect();
        let mut invalid = Vec::new();
        let said = messages.iter().zip(&user_properties);
        let publishes: &mut dyn Iterator<Item = Publish<'_>> =
            &mut (0..).zip(said).filter_map(|(index, (message, user_properties))| {
                let lent = Said::from(message).lend(user_properties);
                lent.map_err(|failure| invalid.push((index, failure))).ok()
            });
        // It fails message by message.
        let results = self.run(PublishingAll::new(publishes)).await.unwrap_or_default();
        results_of(results, invalid)
    }

    async fn enqueue(
        &self,
        topic: String,
        payload: wit::Payload,
        qos: wit::Qos,
        retain: bool,
    ) -> Result<(), wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain, properties: &[] };
        Ok(self.run(Enqueueing(&said.lend(&[])?)).await?)
    }

    async fn flush(&self) -> Result<(), wit::Failure> {
        Ok(self.run(Flushing).await?)
    }

    async fn subscribe(&self, filter: String, maximum_qos: wit::Qos) -> Result<wit::Qos, wit::Failure> {
        let subscriptions = &[Subscription::new(&filter, maximum_qos.into())];
        let properties = SubscribeProperties::default();
        let granted = self.run(Subscribing { subscriptions, properties }).await?.granted()?;
        Ok(granted.first().map_or(maximum_qos, |&qos| qos.into()))
    }

    async fn subscribe_with(
        &self,
        subscriptions: Vec<wit::Subscription>,
        identifier: Option<u32>,
        user_properties: Vec<(String, String)>,
    ) -> Result<wit::SubscribeAnswer, wit::Failure> {
        let subscriptions: &Vec<Subscription<'_>> =
            &subscriptions.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        let user_properties = message::borrowed(&user_properties);
        let properties = SubscribeProperties {
            subscription_identifier: identifier,
            user_properties: user_properties.as_slice().into(),
        };
        Ok(answer_of(self.run(Subscribing { subscriptions, properties }).await?))
    }

    async fn unsubscribe(&self, filter: String) -> Result<(), wit::Failure> {
        let properties = UnsubscribeProperties::default();
        self.run(Unsubscribing { filters: &[&filter], properties }).await?.granted()?;
        Ok(())
    }

    async fn unsubscribe_with(
        &self,
        filters: Vec<String>,
        user_properties: Vec<(String, String)>,
    ) -> Result<wit::SubscribeAnswer, wit::Failure> {
        let filters: &Vec<&str> = &filters.iter().map(String::as_str).collect();
        let user_properties = message::borrowed(&user_properties);
        let properties = UnsubscribeProperties { user_properties: user_properties.as_slice().into() };
        Ok(answer_of(self.run(Unsubscribing { filters, properties }).await?))
    }

    async fn receive(&self, max_messages: u32, timeout_ms: Option<u32>) -> Result<Vec<wit::Message>, wit::Failure> {
        let take = |publish: &Publish<'_>, delivery: Option<Delivery>, messages: &mut Vec<wit::Message>| {
            messages.push(wit::Message::new(publish, delivery));
            true
        };
        self.receive_each(max_messages, timeout_ms, take).await
    }

    fn acknowledge(&self, delivery: u64) -> bool {
        self.shared().with(|engine| engine.acknowledge(Delivery::from_number(delivery)))
    }

    async fn request(
        &self,
        topic: String,
        payload: wit::Payload,
        qos: wit::Qos,
        timeout_ms: u32,
    ) -> Result<wit::Message, wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain: false, properties: &[] };
        self.request_said(said, timeout_ms).await
    }

    async fn request_with(&self, message: wit::Publication, timeout_ms: u32) -> Result<wit::Message, wit::Failure> {
        self.request_said((&message).into(), timeout_ms).await
    }

    async fn next_request(&self, timeout_ms: Option<u32>) -> Result<Option<wit::IncomingRequest>, wit::Failure> {
        self.require_receiving()?;
        if self.incoming.borrow().len() >= self.most_requests.max(1) {
            let message = "too many requests wait to be answered: reply to some, or release them";
            return Err(failure(wit::FailureKind::TryLater, "too-many-requests", message.into()));
        }
        let take = |engine: &mut Engine| engine.next_request(self.responder, now());
        let received = self.shared().receive(timeout_ms.map(millis), take).await?;
        let Some(mut request) = received else { return Ok(None) };
        self.last_request.set(self.last_request.get() + 1);
        let incoming = wit::IncomingRequest {
            id: self.last_request.get(),
            message: request.message().into(),
            wants_reply: request.wants_reply(),
            remaining_ms: request.remaining(now()).map(in_millis),
        };
        request.drop_payload();
        let request = Incoming { request: Rc::new(request), is_being_answered: false };
        self.incoming.borrow_mut().push(incoming.id, request);
        Ok(Some(incoming))
    }

    async fn reply(&self, request: u64, payload: wit::Payload) -> Result<(), wit::Failure> {
        self.answer(request, reply_of(payload)).await
    }

    async fn reply_with(
        &self,
        request: u64,
        payload: wit::Payload,
        properties: Vec<wit::Property>,
    ) -> Result<(), wit::Failure> {
        self.answer(request, reply_with(payload, properties)?).await
    }

    async fn fail_request(&self, request: u64, why: String) -> Result<(), wit::Failure> {
        self.answer(request, Reply::failed(why)).await
    }

    fn release_request(&self, request: u64) {
        let released = self.incoming.borrow_mut().remove(request);
        if let Some(Incoming { request, .. }) = released {
            self.shared().with(|engine| engine.give_up(self.responder, &request));
        }
    }

    fn info(&self) -> wit::ConnectionInfo {
        self.shared().look(|engine| engine.session().connection_info_or_default()).into()
    }

    fn is_connected(&self) -> bool {
        self.shared().look(Engine::is_connected)
    }

    fn in_flight(&self) -> u32 {
        self.shared().look(|engine| engine.stats().in_flight as u32)
    }

    fn messages_in_flight(&self) -> Vec<wit::InFlightMessage> {
        in_flight(self.shared().look(Engine::messages_in_flight))
    }

    fn give_up_message(&self, id: u64) -> bool {
        self.shared().with(|engine| engine.give_up_message(id, now()))
    }

    fn last_failure(&self) -> Option<wit::Failure> {
        self.shared().look(|engine| engine.last_failure().cloned()).map(Into::into)
    }

    async fn next_event(&self, timeout_ms: Option<u32>) -> Result<Option<wit::Event>, wit::Failure> {
        if timeout_ms == Some(0) {
            let take = |engine: &mut Engine| match engine.take_event(now()) {
                Some(event) => Ok(Some(event)),
                None => engine.require_open().map(|()| None),
            };
            return Ok(self.shared().with(take)?.map(Into::into));
        }
        match self.run(NextEvent { timeout: timeout_ms.map_or(Duration::MAX, millis) }).await {
            Ok(event) => Ok(Some(event.into())),
            Err(Error::Timeout) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn stats(&self) -> Vec<(String, u64)> {
        let named = self.shared().look(Engine::stats).named();
        named.filter_map(|(name, value)| Some((name.into(), value?))).collect()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.shared().look(|engine| engine.session().snapshot())
    }

    fn update(&self, options: wit::ConnectOptionsBorrow<'_>) -> Result<(), wit::Failure> {
        let said = options.get::<ExportedOptions>();
        let options = said.checked()?;
        // What cannot be used is told now.
        layers(&options)?;
        let changes = said.changes(options);
        Ok(self.shared().with(|engine| engine.update(changes))?)
    }

    async fn reconnect(&self) -> Result<bool, wit::Failure> {
        Ok(self.run(Connecting).await?)
    }

    async fn next_step(&self) -> Result<wit::AuthenticationStep, wit::Failure> {
        Ok(self.run(NextStep).await?.into())
    }

    fn answer_challenge(&self, data: Vec<u8>) -> Result<(), wit::Failure> {
        Ok(self.shared().with(|engine| engine.answer_challenge(&data, now()))?)
    }

    fn authenticate_again(&self, data: Vec<u8>) -> Result<(), wit::Failure> {
        let begin = |engine: &mut Engine| {
            engine.authenticate_again(&data, now())?;
            engine.authenticate_by_hand();
            Ok::<_, Error>(())
        };
        Ok(self.shared().with(begin)?)
    }

    async fn disconnect(&self, disconnection: Option<wit::Disconnection>) -> Result<(), wit::Failure> {
        let said = disconnection.as_ref();
        let user_properties = said.map(|said| message::borrowed(&said.user_properties)).unwrap_or_default();
        let disconnect = match said {
            Some(said) => said.lend(&user_properties)?,
            None => Disconnect::new(ReasonCode::NORMAL_DISCONNECTION),
        };
        let disconnected = self.run(Disconnecting(&disconnect)).await;
        // The host may let nothing run behind this call.
        self.shared().closed().await;
        Ok(disconnected?)
    }
}

/// What these options put over a network connection.
fn layers(options: &Options) -> Result<Layers, Error> {
    #[cfg_attr(not(any(feature = "proxy", feature = "tls", feature = "ws")), allow(unused_mut))]
    let mut layers = Layers::none();
    #[cfg(feature = "tls")]
    layers.use_tls(options.tls.clone())?;
    #[cfg(feature = "ws")]
    layers.use_websocket_headers(options.websocket_headers.clone())?;
    #[cfg(feature = "proxy")]
    layers.use_proxy(options.checked_proxy()?);
    let _ = options;
    Ok(layers)
}
