//! The client as a component: `mqtt.wasm`, called from the host as any embedder would.

#[path = "convert.rs"]
mod convert;

use std::sync::LazyLock;
use std::time::Duration;

use convert::{happening, leave, millis, options, owned, reason_code, set_tls, stats, untrapped};
use mqtt_wasi::codec::Disconnect;
use mqtt_wasi::{Message, Publish, QoS, Reason, ReasonCode, Stats, SubscribeReason, Subscription};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::{Answer, ErrorKind, Failure, Happening, SOON, Settings, Subject, TlsSettings};
use crate::bindings::Exporter;
use crate::bindings::exports::mqtt_wasi::client::mqtt as wit;
use crate::components;
use crate::runtime::{Host, Permissions, Runtime};

/// Compiled once a process.
static MQTT: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt.wasm", Runtime::new));

/// The one with TLS, for tests that set something of it.
static MQTT_TLS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-tls.wasm", Runtime::new));

/// The same for engines with wide arithmetic.
static MQTT_TLS_WIDE: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-tls-wide.wasm", Runtime::wide));

/// The one whose host does TLS.
static MQTT_HOST_TLS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-host-tls.wasm", Runtime::new));

/// The one with WebSocket.
static MQTT_WS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-ws.wasm", Runtime::new));

/// The one with WebSocket over TLS.
static MQTT_WSS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-wss.wasm", Runtime::new));

/// The component that a client at this URL needs.
fn runtime(url: &str, settings: &Settings, is_wide: bool) -> &'static Runtime {
    // Those with WebSocket have proxies too.
    match (url.starts_with("ws") || settings.proxy.is_some(), settings.tls.is_some(), is_wide) {
        (false, false, _) => &MQTT,
        (false, true, false) => &MQTT_TLS,
        (false, true, true) => &MQTT_TLS_WIDE,
        (true, false, _) => &MQTT_WS,
        (true, true, _) => &MQTT_WSS,
    }
}

fn compiled(name: &str, compile: fn(&[u8]) -> anyhow::Result<Runtime>) -> Runtime {
    let bytes = components::load(name).unwrap_or_else(|error| panic!("{error:?}"));
    compile(&bytes).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A client inside an instance of its own. No call may trap, whatever the broker or the caller does: one that does
/// panics here, and so fails the test.
///
/// Where there is TLS, `WIDE` takes the build for engines with wide arithmetic.
pub struct ComponentOf<const WIDE: bool> {
    instance: Instance,
    client: ResourceAny,
}

/// The client as a component, as every engine runs it.
pub type Component = ComponentOf<false>;

/// The one for engines with wide arithmetic.
pub type WideComponent = ComponentOf<true>;

/// Another client of the same instance, which ends with that.
pub struct Beside(ResourceAny);

struct Instance {
    store: Store<Host>,
    exporter: Exporter,
}

impl<const WIDE: bool> ComponentOf<WIDE> {
    /// As [`Subject::connect`], with these permissions.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub fn connect_permitted(url: &str, settings: &Settings, permissions: &Permissions) -> Result<Self, Failure> {
        Self::connect_as(Instance::new(runtime(url, settings, WIDE), permissions), url, settings)
    }

    fn connect_as(mut instance: Instance, url: &str, settings: &Settings) -> Result<Self, Failure> {
        let options = instance.options(settings);
        let (store, mqtt) = instance.parts();
        let client = untrapped(mqtt.call_connect(&mut *store, url, Some(options)));
        untrapped(options.resource_drop(store));
        Ok(Self { client: client?, instance })
    }

    /// Connects `mqtt-host-tls.wasm`, with options that `set` sets, where the host trusts these authorities.
    ///
    /// # Errors
    /// As `mqtt.connect`.
    pub fn connect_by_host_tls(
        url: &str,
        settings: &Settings,
        trusted_ca_pem: &str,
        set: impl FnOnce(&mut Store<Host>, wit::GuestConnectOptions<'_>, ResourceAny),
    ) -> Result<Self, Failure> {
        let permissions = Permissions { trusted_ca_pem: Some(trusted_ca_pem.into()), ..leave(url, settings) };
        let mut instance = Instance::new(&MQTT_HOST_TLS, &permissions);
        let options = instance.options(settings);
        let (store, mqtt) = instance.parts();
        set(store, mqtt.connect_options(), options);
        let client = untrapped(mqtt.call_connect(&mut *store, url, Some(options)));
        untrapped(options.resource_drop(store));
        Ok(Self { client: client?, instance })
    }

    /// Connects a client of this component, to a broker without TLS.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub fn connect_in(runtime: &Runtime, url: &str, settings: &Settings) -> Result<Self, Failure> {
        Self::connect_as(Instance::new(runtime, &leave(url, settings)), url, settings)
    }

    /// How much fuel the component has taken so far, if it is one of [`Runtime::metered`].
    #[must_use]
    pub fn fuel_taken(&self) -> Option<u64> {
        self.instance.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// How often the component has called its host so far.
    #[must_use]
    pub fn host_calls(&self) -> u64 {
        self.instance.store.data().calls()
    }

    /// The size of the linear memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.instance.store.data().memory_bytes()
    }

    /// How many handles the host has given out to the component.
    pub fn host_handles(&mut self) -> usize {
        self.instance.store.data_mut().handles()
    }

    /// As `mqtt.start`, with this Authentication Method and data.
    ///
    /// # Errors
    /// As `mqtt.start`.
    pub fn start(url: &str, settings: &Settings, method: &str, data: &[u8]) -> Result<Self, Failure> {
        let mut instance = Instance::new(&MQTT, &leave(url, settings));
        let options = instance.options(settings);
        let (store, mqtt) = instance.parts();
        untrapped(mqtt.connect_options().call_set_authentication_method(&mut *store, options, method));
        untrapped(mqtt.connect_options().call_set_authentication_data(&mut *store, options, data));
        let client = untrapped(mqtt.call_start(&mut *store, url, options));
        untrapped(options.resource_drop(store));
        Ok(Self { client: client?, instance })
    }

    /// As `client.update`, with options that `set` sets.
    ///
    /// # Errors
    /// As `client.update`.
    pub fn update(
        &mut self,
        set: impl FnOnce(&mut Store<Host>, wit::GuestConnectOptions<'_>, ResourceAny),
    ) -> Result<(), Failure> {
        let (store, mqtt) = self.instance.parts();
        let options = untrapped(mqtt.connect_options().call_constructor(&mut *store));
        set(store, mqtt.connect_options(), options);
        let updated = self.attempt(|store, guest, client| guest.call_update(store, client, options));
        untrapped(options.resource_drop(&mut self.instance.store));
        updated
    }

    /// As `client.next-step`: whether the client is authenticated, and the Authentication Data.
    ///
    /// # Errors
    /// As `client.next-step`.
    pub fn next_step(&mut self) -> Result<(bool, Option<Vec<u8>>), Failure> {
        let step = self.attempt(|store, guest, client| guest.call_next_step(store, client))?;
        Ok((step.is_authenticated, step.data))
    }

    /// As `client.answer-challenge`.
    ///
    /// # Errors
    /// As `client.answer-challenge`.
    pub fn answer_challenge(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_answer_challenge(store, client, data))
    }

    /// As `client.authenticate-again`.
    ///
    /// # Errors
    /// As `client.authenticate-again`.
    pub fn authenticate_again(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_authenticate_again(store, client, data))
    }

    /// As `client.subscribe-with`, to one filter at QoS 1 with these User Properties: Reason Code, Reason String and User
    /// Properties of the answer.
    ///
    /// # Errors
    /// As `client.subscribe-with`.
    pub fn subscribe_saying(
        &mut self,
        filter: &str,
        user_properties: &[(String, String)],
    ) -> Result<SubscribeReason, Failure> {
        let subscriptions = [wit::Subscription::from(&Subscription::new(filter, QoS::AtLeastOnce))];
        let subscribe = |store: &mut Store<Host>, guest: wit::GuestClient<'_>, client| {
            guest.call_subscribe_with(store, client, &subscriptions, None, user_properties)
        };
        let wit::SubscribeAnswer { codes, reason_string, user_properties } = self.attempt(subscribe)?;
        let reason_codes = codes.into_iter().map(reason_code).collect();
        Ok(SubscribeReason { reason_codes, reason_string, user_properties })
    }

    /// As `client.publish-message`.
    ///
    /// # Errors
    /// As `client.publish-message`.
    pub fn publish_with_reason(&mut self, message: &Publish<'_>) -> Result<Reason, Failure> {
        let said = wit::Publication::from(message);
        let answer = self.attempt(|store, guest, client| guest.call_publish_message(store, client, &said))?;
        let reason = Reason::from(reason_code(answer.code));
        Ok(Reason { reason_string: answer.reason_string, user_properties: answer.user_properties, ..reason })
    }

    /// As `bulk.publish-packed`: the positions of messages that were not published, and why.
    ///
    /// # Errors
    /// As `bulk.publish-packed`.
    pub fn publish_packed(&mut self, frames: &[u64]) -> Result<Vec<(u32, Failure)>, Failure> {
        let client = self.client;
        let bulk = self.instance.exporter.mqtt_wasi_client_bulk();
        let unpublished = untrapped(bulk.call_publish_packed(&mut self.instance.store, client, frames))?;
        Ok(unpublished.into_iter().map(|message| (message.index, message.failure.into())).collect())
    }

    /// As `bulk.receive-packed`.
    ///
    /// # Errors
    /// As `bulk.receive-packed`.
    pub fn receive_packed(&mut self, messages: u32, bytes: u32, timeout: Duration) -> Result<Vec<u64>, Failure> {
        let client = self.client;
        let bulk = self.instance.exporter.mqtt_wasi_client_bulk();
        let store = &mut self.instance.store;
        Ok(untrapped(bulk.call_receive_packed(store, client, messages, bytes, millis(timeout)))?)
    }

    /// Starts requests one behind the other, of which nobody takes the reply; their numbers.
    ///
    /// # Errors
    /// As `client.start-request`.
    pub fn start_request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<u64, Failure> {
        let said = wit::Publication::from(request);
        self.attempt(|store, guest, client| guest.call_start_request(store, client, &said, millis(timeout)))
    }

    /// As `client.wait-for-reply`.
    ///
    /// # Errors
    /// As `client.wait-for-reply`.
    pub fn wait_for_reply(&mut self, request: u64, timeout: Duration) -> Result<Option<Message>, Failure> {
        let reply =
            self.attempt(|store, guest, client| guest.call_wait_for_reply(store, client, request, millis(timeout)))?;
        Ok(reply.map(Into::into))
    }

    /// As `client.cancel-request`.
    pub fn cancel_request(&mut self, request: u64) {
        self.call(|store, guest, client| guest.call_cancel_request(store, client, request));
    }

    /// As `client.next-request`: its number and its message.
    ///
    /// # Errors
    /// As `client.next-request`.
    pub fn next_request(&mut self, timeout: Duration) -> Result<Option<(u64, Message)>, Failure> {
        let next = self.attempt(|store, guest, client| guest.call_next_request(store, client, millis(timeout)))?;
        Ok(next.map(|request| (request.id, request.message.into())))
    }

    /// As `client.reply`, with text.
    ///
    /// # Errors
    /// As `client.reply`.
    pub fn reply(&mut self, request: u64, text: &str) -> Result<(), Failure> {
        let payload = wit::Payload::Text(text.to_owned());
        self.attempt(|store, guest, client| guest.call_reply(store, client, request, &payload))
    }

    /// As `client.release-request`.
    pub fn release_request(&mut self, request: u64) {
        self.call(|store, guest, client| guest.call_release_request(store, client, request));
    }

    /// As `client.disconnect`, with all that DISCONNECT can say.
    ///
    /// # Errors
    /// As `client.disconnect`.
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Failure> {
        let properties = &disconnect.properties;
        let disconnection = wit::Disconnection {
            code: Some(disconnect.reason_code as u8),
            session_expiry_interval_seconds: properties.session_expiry_interval,
            reason_string: properties.reason_string.map(str::to_owned),
            user_properties: owned(&properties.user_properties),
        };
        self.attempt(|store, guest, client| guest.call_disconnect(store, client, Some(&disconnection)))
    }

    /// Connects another client of the same instance, which has leave for what the first one's settings name.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub fn connect_beside(&mut self, url: &str, settings: &Settings) -> Result<Beside, Failure> {
        let options = self.instance.options(settings);
        let (store, mqtt) = self.instance.parts();
        let client = untrapped(mqtt.call_connect(&mut *store, url, Some(options)));
        untrapped(options.resource_drop(store));
        Ok(Beside(client?))
    }

    /// Drops a client of this instance.
    pub fn drop_beside(&mut self, beside: Beside) {
        untrapped(beside.0.resource_drop(&mut self.instance.store));
    }

    /// Exchanges the client that is called for the one beside it.
    pub const fn exchange(&mut self, beside: &mut Beside) {
        std::mem::swap(&mut self.client, &mut beside.0);
    }

    /// As `wait`, for this client and the one beside it, in this order.
    pub fn wait_beside(&mut self, beside: &Beside, timeout: Duration) -> Vec<u32> {
        let clients = [self.client, beside.0];
        let (store, mqtt) = self.instance.parts();
        untrapped(mqtt.call_wait(store, &clients, millis(timeout)))
    }

    /// As `wait`, for this client and those beside it, in this order.
    pub fn wait_for_all(&mut self, others: &[Beside], timeout: Duration) -> Vec<u32> {
        let clients: Vec<_> = std::iter::once(self.client).chain(others.iter().map(|beside| beside.0)).collect();
        let (store, mqtt) = self.instance.parts();
        untrapped(mqtt.call_wait(store, &clients, millis(timeout)))
    }

    /// As `client.deadline-ms`.
    pub fn deadline(&mut self) -> Option<Duration> {
        let left = self.call(|store, guest, client| guest.call_deadline_ms(store, client));
        left.map(|left| Duration::from_millis(left.into()))
    }

    /// As `topic-matches`.
    pub fn topic_matches(&mut self, filter: &str, topic: &str) -> bool {
        let (store, mqtt) = self.instance.parts();
        untrapped(mqtt.call_topic_matches(store, filter, topic))
    }

    fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Store<Host>, wit::GuestClient<'_>, ResourceAny) -> wasmtime::Result<R>,
    ) -> R {
        let (store, mqtt) = self.instance.parts();
        untrapped(call(store, mqtt.client(), self.client))
    }

    /// What is in flight: numbers, Topic Names, bytes of payload, and how often each was sent.
    pub fn messages_in_flight(&mut self) -> Vec<(u64, String, u32, u32)> {
        let list = self.call(|store, guest, client| guest.call_messages_in_flight(store, client));
        list.into_iter().map(|listed| (listed.id, listed.topic, listed.payload_bytes, listed.attempts)).collect()
    }

    /// Gives up a message that is in flight.
    pub fn give_up_message(&mut self, id: u64) -> bool {
        self.call(|store, guest, client| guest.call_give_up_message(store, client, id))
    }

    /// Waits for the reply to a request that was started.
    fn reply_to(&mut self, request: u64) -> Result<Message, Failure> {
        loop {
            if let Some(reply) = self.wait_for_reply(request, SOON)? {
                return Ok(reply);
            }
        }
    }

    fn attempt<R>(
        &mut self,
        call: impl FnOnce(&mut Store<Host>, wit::GuestClient<'_>, ResourceAny) -> wasmtime::Result<Result<R, wit::Failure>>,
    ) -> Result<R, Failure> {
        Ok(self.call(call)?)
    }
}

impl<const WIDE: bool> Drop for ComponentOf<WIDE> {
    fn drop(&mut self) {
        // After a trap nothing can be called, and that is what the test fails with.
        if !std::thread::panicking() {
            untrapped(self.client.resource_drop(&mut self.instance.store));
        }
    }
}

impl<const WIDE: bool> Subject for ComponentOf<WIDE> {
    type Delivery = u64;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        Self::connect_permitted(url, settings, &leave(url, settings))
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        self.attempt(|store, guest, client| guest.call_reconnect(store, client))
    }

    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure> {
        self.update(|store, guest, options| set_tls(store, &guest, options, tls))
    }

    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure> {
        let said = wit::Publication::from(message);
        if !said.properties.is_empty() {
            return Ok(self.publish_with_reason(message)?.reason_code);
        }
        let code = self.attempt(|store, guest, client| {
            guest.call_publish(store, client, &said.topic, &said.payload, said.qos, said.retain)
        })?;
        Ok(reason_code(code))
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        let messages: Vec<_> = messages.iter().map(wit::Publication::from).collect();
        let results = self.call(|store, guest, client| guest.call_publish_batch(store, client, &messages));
        results.into_iter().map(|result| Ok(reason_code(result?))).collect()
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        let said = wit::Publication::from(message);
        assert!(said.properties.is_empty(), "enqueue takes none");
        self.attempt(|store, guest, client| {
            guest.call_enqueue(store, client, &said.topic, &said.payload, said.qos, said.retain)
        })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_flush(store, client))
    }

    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure> {
        let subscriptions: Vec<_> = subscriptions.iter().map(wit::Subscription::from).collect();
        if let ([one], None) = (&*subscriptions, identifier)
            && one.options == wit::SubscriptionOptions::empty()
        {
            let granted =
                self.attempt(|store, guest, client| guest.call_subscribe(store, client, &one.filter, one.maximum_qos));
            return match granted {
                Ok(qos) => Ok(vec![Ok(qos.into())]),
                Err(failure) if failure.kind == ErrorKind::SubscribeRefused => {
                    Ok(vec![Err(failure.code.expect("the broker's Reason Code"))])
                }
                Err(failure) => Err(failure),
            };
        }
        let answer = self.attempt(|store, guest, client| {
            guest.call_subscribe_with(store, client, &subscriptions, identifier, &[])
        })?;
        Ok(answer.codes.into_iter().map(|code| QoS::from_u8(code).ok_or_else(|| reason_code(code))).collect())
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        let filters: Vec<String> = filters.iter().copied().map(String::from).collect();
        let answer = self.attempt(|store, guest, client| guest.call_unsubscribe_with(store, client, &filters, &[]))?;
        Ok(answer.codes.into_iter().map(reason_code).collect())
    }

    fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        let message = self.attempt(|store, guest, client| guest.call_receive(store, client, millis(timeout)))?;
        Ok(message.map(Into::into))
    }

    fn receive_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Message>, Failure> {
        let messages =
            self.attempt(|store, guest, client| guest.call_receive_batch(store, client, max as u32, millis(timeout)))?;
        Ok(messages.into_iter().map(Into::into).collect())
    }

    fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<(Message, Option<u64>)>, Failure> {
        let received = self.attempt(|store, guest, client| guest.call_receive(store, client, millis(timeout)))?;
        Ok(received.map(|received| {
            let delivery = received.delivery;
            (received.into(), delivery)
        }))
    }

    fn acknowledge(&mut self, delivery: u64) -> bool {
        self.call(|store, guest, client| guest.call_acknowledge(store, client, delivery))
    }

    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>> {
        let pending: Vec<_> = requests.iter().map(|request| self.start_request(request, timeout)).collect();
        pending.into_iter().map(|request| self.reply_to(request?)).collect()
    }

    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        let next = self.attempt(|store, guest, client| guest.call_next_request(store, client, millis(timeout)))?;
        let Some(request) = next else { return Ok(false) };
        let answered = match answer(&request.message.into()) {
            Ok(payload) => self.attempt(|store, guest, client| {
                guest.call_reply(store, client, request.id, &wit::Payload::Bytes(payload))
            }),
            Err(why) => self.attempt(|store, guest, client| guest.call_fail_request(store, client, request.id, &why)),
        };
        // Nothing happens if it was answered.
        self.release_request(request.id);
        answered.map(|()| true)
    }

    fn is_connected(&mut self) -> bool {
        self.call(|store, guest, client| guest.call_is_connected(store, client))
    }

    fn in_flight(&mut self) -> usize {
        self.call(|store, guest, client| guest.call_in_flight(store, client)) as usize
    }

    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure> {
        let event = self.attempt(|store, guest, client| guest.call_next_event(store, client, millis(timeout)))?;
        Ok(event.map(happening))
    }

    fn stats(&mut self) -> Stats {
        stats(self.call(|store, guest, client| guest.call_stats(store, client)))
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.call(|store, guest, client| guest.call_snapshot(store, client))
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_disconnect(store, client, None))
    }
}

impl Instance {
    fn new(mqtt: &Runtime, permissions: &Permissions) -> Self {
        let mut store = mqtt.store(permissions);
        store.limiter(|host| host);
        let exporter = untrapped(Exporter::instantiate(&mut store, mqtt.component(), mqtt.linker()));
        Self { store, exporter }
    }

    fn parts(&mut self) -> (&mut Store<Host>, &wit::Guest) {
        (&mut self.store, self.exporter.mqtt_wasi_client_mqtt())
    }

    fn options(&mut self, settings: &Settings) -> ResourceAny {
        let (store, mqtt) = self.parts();
        options(store, mqtt, settings)
    }
}

/// What a call has come to: these return when it is over.
const fn done<R>(result: R) -> R {
    result
}
