//! The client as a component: `mqtt.wasm`, called from the host as any embedder would.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use mqtt_wasi::codec::{Disconnect, UserProperties};
use mqtt_wasi::{
    BrokerUrl, Message, Publish, QoS, Reason, ReasonCode, RetainHandling, Stats, SubscribeReason, Subscription,
};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::{Answer, ErrorKind, Failure, Happening, SOON, Settings, Subject, TlsSettings};
use crate::bindings::Exporter;
use crate::bindings::exports::mqtt_wasi::client::mqtt as wit;
use crate::components;
use crate::runtime::{Host, Permissions, Runtime};

/// Compiled once a process.
static MQTT: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt.wasm"));

/// The one with TLS, for tests that set something of it.
static MQTT_TLS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-tls.wasm"));

fn compiled(name: &str) -> Runtime {
    let bytes = components::load(name).unwrap_or_else(|error| panic!("{error:?}"));
    Runtime::new(&bytes).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A client inside an instance of its own. No call may trap, whatever the broker or the caller does: one that does
/// panics here, and so fails the test.
pub struct Component {
    instance: Instance,
    client: ResourceAny,
}

/// Another client of the same instance, which ends with that.
pub struct Beside(ResourceAny);

struct Instance {
    store: Store<Host>,
    exporter: Exporter,
}

impl Component {
    /// As [`Subject::connect`], with these permissions.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub fn connect_permitted(url: &str, settings: &Settings, permissions: &Permissions) -> Result<Self, Failure> {
        let mut instance = Instance::new(if settings.tls.is_some() { &MQTT_TLS } else { &MQTT }, permissions);
        let options = instance.options(settings);
        let (store, mqtt) = instance.parts();
        let client = untrapped(mqtt.call_connect(&mut *store, url, Some(options)));
        untrapped(options.resource_drop(store));
        Ok(Self { client: client?, instance })
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

impl Drop for Component {
    fn drop(&mut self) {
        // After a trap nothing can be called, and that is what the test fails with.
        if !std::thread::panicking() {
            untrapped(self.client.resource_drop(&mut self.instance.store));
        }
    }
}

impl Subject for Component {
    type Delivery = u64;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        Self::connect_permitted(url, settings, &leave(url, settings))
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        self.attempt(|store, guest, client| guest.call_reconnect(store, client))
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
        Ok(event.map(|event| {
            let topic = || event.subject.clone().expect("a topic or filter");
            match (event.kind, event.name.as_str()) {
                (wit::EventKind::Disconnected, name) => {
                    let cause = event.cause.as_deref().expect("a cause");
                    let words = event.message.split_once(": ").map_or(event.message.as_str(), |(_, words)| words);
                    let failure = Failure::named(cause, event.code, words.to_owned());
                    match name {
                        "disconnected" => Happening::Disconnected(failure),
                        "attempt-failed" => Happening::AttemptFailed(failure),
                        _ => panic!("the interface does not list {event:?}"),
                    }
                }
                (wit::EventKind::Connected, "session-resumed") => Happening::Reconnected { session_present: true },
                (wit::EventKind::Connected, "session-new") => Happening::Reconnected { session_present: false },
                (wit::EventKind::Subscription, "subscription-restored") => Happening::SubscriptionRestored(topic()),
                (wit::EventKind::Subscription, "subscription-lost") => Happening::SubscriptionLost(topic()),
                (wit::EventKind::Message, "message-dropped") => Happening::MessageDropped,
                (wit::EventKind::Message, "message-given-up") => Happening::MessageGivenUp(topic()),
                (wit::EventKind::Message, "message-refused") => Happening::MessageRefused(event.subject, false),
                (wit::EventKind::Message, "message-skipped") => Happening::MessageRefused(event.subject, true),
                (wit::EventKind::Message, "reply-dropped") => Happening::ReplyDropped(topic()),
                _ => panic!("the interface does not list {event:?}"),
            }
        }))
    }

    fn stats(&mut self) -> Stats {
        let mut counted: HashMap<_, _> =
            self.call(|store, guest, client| guest.call_stats(store, client)).into_iter().collect();
        let ping_round_trip = counted.remove("ping-round-trip-us").map(Duration::from_micros);
        let mut count = |name: &str| counted.remove(name).unwrap_or_else(|| panic!("no counter {name}"));
        let mut stats = Stats::default();
        stats.packets_sent = count("packets-sent");
        stats.packets_received = count("packets-received");
        stats.bytes_sent = count("bytes-sent");
        stats.bytes_received = count("bytes-received");
        stats.in_flight = count("in-flight") as usize;
        stats.retransmitted = count("retransmitted");
        stats.reconnects = count("reconnects");
        stats.ping_round_trip = ping_round_trip;
        stats.refused = count("refused");
        stats.dropped = count("dropped");
        stats.skipped = count("skipped");
        stats.failed_attempts = count("failed-attempts");
        stats.pending_requests = count("pending-requests") as usize;
        stats.late_replies = count("late-replies");
        stats.unmatched_replies = count("unmatched-replies");
        assert!(counted.is_empty(), "the interface does not list {counted:?}");
        stats
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
        let exporter = untrapped(Exporter::instantiate(&mut store, mqtt.component(), mqtt.linker()));
        Self { store, exporter }
    }

    fn parts(&mut self) -> (&mut Store<Host>, &wit::Guest) {
        (&mut self.store, self.exporter.mqtt_wasi_client_mqtt())
    }

    fn options(&mut self, settings: &Settings) -> ResourceAny {
        let (store, mqtt) = self.parts();
        let guest = mqtt.connect_options();
        let options = untrapped(guest.call_constructor(&mut *store));
        untrapped(guest.call_set_client_id(&mut *store, options, settings.client_id));
        if let Some(seconds) = settings.keep_alive {
            untrapped(guest.call_set_keep_alive_seconds(&mut *store, options, seconds));
        }
        if let Some(seconds) = settings.session_expiry_interval {
            untrapped(guest.call_set_session_expiry_interval_seconds(&mut *store, options, seconds));
        }
        if let Some(messages) = settings.receive_maximum {
            untrapped(guest.call_set_receive_maximum(&mut *store, options, messages));
        }
        if let Some(bytes) = settings.maximum_packet_size {
            untrapped(guest.call_set_maximum_packet_size(&mut *store, options, bytes));
        }
        if let Some(aliases) = settings.topic_aliases {
            untrapped(guest.call_set_topic_alias_maximum(&mut *store, options, aliases));
            untrapped(guest.call_set_outbound_topic_aliases(&mut *store, options, aliases));
        }
        if settings.acknowledge_by_hand {
            untrapped(guest.call_set_acknowledge_by_hand(&mut *store, options, true));
        }
        if settings.discards_messages {
            untrapped(guest.call_set_restore_messages(&mut *store, options, false));
        }
        if let Some(clean_start) = settings.clean_start {
            untrapped(guest.call_set_clean_start(&mut *store, options, clean_start));
        }
        if let Some((first, longest)) = settings.reconnect {
            untrapped(guest.call_set_reconnect(&mut *store, options, true));
            untrapped(guest.call_set_reconnect_delays_ms(&mut *store, options, millis(first), millis(longest)));
        }
        for url in &settings.fallbacks {
            untrapped(guest.call_add_fallback(&mut *store, options, url));
        }
        if let Some(snapshot) = &settings.snapshot {
            untrapped(guest.call_set_snapshot(&mut *store, options, snapshot));
        }
        if let Some(TlsSettings { ca_pem, fingerprint, client, server_name }) = &settings.tls {
            if !ca_pem.is_empty() {
                untrapped(guest.call_add_ca(&mut *store, options, ca_pem.as_bytes()));
            }
            if let Some(fingerprint) = fingerprint {
                untrapped(guest.call_add_fingerprint(&mut *store, options, fingerprint));
            }
            untrapped(guest.call_set_only_own_ca(&mut *store, options, true));
            if let Some((chain, key)) = client {
                let (chain, key) = (chain.as_bytes(), key.as_bytes());
                untrapped(guest.call_set_client_certificate(&mut *store, options, chain, key));
            }
            if let Some(name) = server_name {
                untrapped(guest.call_set_server_name(&mut *store, options, name));
            }
        }
        if let Some(timeout) = settings.connect_timeout {
            untrapped(guest.call_set_connect_timeout_ms(&mut *store, options, millis(timeout)));
        }
        if let Some(timeout) = settings.response_timeout {
            untrapped(guest.call_set_response_timeout_ms(&mut *store, options, millis(timeout)));
        }
        if let Some(messages) = settings.in_flight_limit {
            untrapped(guest.call_set_in_flight_limit(&mut *store, options, messages));
        }
        if let Some(bytes) = settings.backlog_limit {
            untrapped(guest.call_set_backlog_limit(&mut *store, options, bytes));
        }
        if let Some(attempts) = settings.attempts_per_message {
            untrapped(guest.call_set_attempts_per_message(&mut *store, options, attempts));
        }
        if settings.skip_refused_messages {
            untrapped(guest.call_set_skip_refused_messages(&mut *store, options, true));
        }
        if let Some(timeout) = settings.first_connect {
            untrapped(guest.call_set_first_connect_ms(&mut *store, options, millis(timeout)));
        }
        options
    }
}

/// Leave to connect to the address of the URL, if it is one, and to wherever else the settings name.
fn leave(url: &str, settings: &Settings) -> Permissions {
    let urls = std::iter::once(url).chain(settings.fallbacks.iter().map(String::as_str));
    let addresses = urls.filter_map(|url| {
        let url: BrokerUrl = url.parse().ok()?;
        Some(SocketAddr::new(url.host.parse::<IpAddr>().ok()?, url.port))
    });
    Permissions { addresses: addresses.chain(settings.leave.iter().copied()).collect(), ..Permissions::default() }
}

fn untrapped<R>(result: wasmtime::Result<R>) -> R {
    result.unwrap_or_else(|trap| panic!("the component trapped: {trap:?}"))
}

fn millis(timeout: Duration) -> u32 {
    timeout.as_millis().try_into().expect("a timeout of some seconds")
}

/// The Reason Code with this number, which the component has.
fn reason_code(number: u8) -> ReasonCode {
    ReasonCode::from_u8(number).expect("a Reason Code of MQTT")
}

impl From<wit::Qos> for QoS {
    fn from(qos: wit::Qos) -> Self {
        match qos {
            wit::Qos::AtMostOnce => Self::AtMostOnce,
            wit::Qos::AtLeastOnce => Self::AtLeastOnce,
            wit::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<QoS> for wit::Qos {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<&Subscription<'_>> for wit::Subscription {
    fn from(subscription: &Subscription<'_>) -> Self {
        let mut options = wit::SubscriptionOptions::empty();
        for (option, is_set) in [
            (wit::SubscriptionOptions::NO_LOCAL, subscription.no_local),
            (wit::SubscriptionOptions::RETAIN_AS_PUBLISHED, subscription.retain_as_published),
            (wit::SubscriptionOptions::RETAINED_IF_NEW, subscription.retain_handling == RetainHandling::SendIfNew),
            (wit::SubscriptionOptions::NO_RETAINED, subscription.retain_handling == RetainHandling::DoNotSend),
        ] {
            if is_set {
                options |= option;
            }
        }
        Self { filter: subscription.filter.to_owned(), maximum_qos: subscription.maximum_qos.into(), options }
    }
}

impl From<&Publish<'_>> for wit::Publication {
    fn from(publish: &Publish<'_>) -> Self {
        use wit::Property;
        let said = &publish.properties;
        let text = str::to_owned;
        let single = [
            said.message_expiry_interval.map(Property::MessageExpiryIntervalSeconds),
            said.content_type.map(text).map(Property::ContentType),
            said.response_topic.map(text).map(Property::ResponseTopic),
            said.correlation_data.map(<[u8]>::to_vec).map(Property::CorrelationData),
            said.topic_alias.map(Property::TopicAlias),
        ];
        let pairs = owned(&said.user_properties).into_iter().map(Property::UserProperty);
        let properties: Vec<_> = single.into_iter().flatten().chain(pairs).collect();
        let payload = publish.payload.to_vec();
        let payload = match String::from_utf8(payload) {
            Ok(text) if said.payload_format_indicator == Some(true) => wit::Payload::Text(text),
            Ok(text) => wit::Payload::Bytes(text.into_bytes()),
            Err(error) => wit::Payload::Bytes(error.into_bytes()),
        };
        Self { topic: publish.topic.to_owned(), payload, qos: publish.qos.into(), retain: publish.retain, properties }
    }
}

impl From<wit::Message> for Message {
    fn from(received: wit::Message) -> Self {
        let mut message = Self::default();
        message.topic = received.topic;
        message.qos = received.qos.into();
        message.retain = received.retain;
        message.dup = received.duplicate;
        message.subscription_identifiers = received.subscription_identifiers.unwrap_or_default();
        match received.payload {
            wit::Payload::Text(text) => {
                message.payload = text.into_bytes();
                message.payload_format_indicator = Some(true);
            }
            wit::Payload::Bytes(bytes) => message.payload = bytes,
        }
        for property in received.properties.unwrap_or_default() {
            match property {
                wit::Property::MessageExpiryIntervalSeconds(seconds) => message.message_expiry_interval = Some(seconds),
                wit::Property::ContentType(content_type) => message.content_type = Some(content_type),
                wit::Property::ResponseTopic(topic) => message.response_topic = Some(topic),
                wit::Property::CorrelationData(data) => message.correlation_data = Some(data),
                wit::Property::TopicAlias(alias) => panic!("an alias, {alias}, on a received message"),
                wit::Property::UserProperty(pair) => message.user_properties.push(pair),
            }
        }
        message
    }
}

fn owned(user_properties: &UserProperties<'_>) -> Vec<(String, String)> {
    user_properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
