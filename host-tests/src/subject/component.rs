//! The client as a component: `mqtt.wasm`, called from the host as any embedder would.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use mqtt_wasi::codec::Disconnect;
use mqtt_wasi::{BrokerUrl, Message, Publish, QoS, Reason, ReasonCode, RetainHandling, Stats, Subscription};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::{Answer, Failure, Happening, SOON, Settings, Subject, TlsSettings};
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
        Ok(Self { client: instance.told(client)?, instance })
    }

    /// As `mqtt.start`, with this Authentication Method and data.
    ///
    /// # Errors
    /// As `mqtt.start`.
    pub fn start(url: &str, settings: &Settings, method: &str, data: &[u8]) -> Result<Self, Failure> {
        let mut instance = Instance::new(&MQTT, &leave(url, settings));
        let options = instance.options(settings);
        let (store, mqtt) = instance.parts();
        untrapped(mqtt.connect_options().call_set_authentication(&mut *store, options, method, Some(data)));
        let client = untrapped(mqtt.call_start(&mut *store, url, options));
        untrapped(options.resource_drop(store));
        Ok(Self { client: instance.told(client)?, instance })
    }

    /// As `client.start-again`.
    ///
    /// # Errors
    /// As `client.start-again`.
    pub fn start_again(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_start_again(store, client, Some(data)))
    }

    /// As `client.next-challenge`.
    ///
    /// # Errors
    /// As `client.next-challenge`.
    pub fn next_challenge(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.attempt(|store, guest, client| guest.call_next_challenge(store, client))
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

    /// As `client.authentication-data`.
    pub fn authentication_data(&mut self) -> Option<Vec<u8>> {
        self.call(|store, guest, client| guest.call_authentication_data(store, client))
    }

    /// As `client.subscribe` with User Properties, to one filter at QoS 1.
    ///
    /// # Errors
    /// As `client.subscribe`.
    pub fn subscribe_saying(&mut self, filter: &str, user_properties: &[(String, String)]) -> Result<(), Failure> {
        let subscriptions = [wit::Subscription::from(&Subscription::new(filter, QoS::AtLeastOnce))];
        let subscribe = |store: &mut Store<Host>, guest: wit::GuestClient<'_>, client| {
            guest.call_subscribe(store, client, &subscriptions, None, user_properties)
        };
        self.attempt(subscribe).map(drop)
    }

    /// As `client.last-reason`.
    pub fn last_reason(&mut self) -> Option<Reason> {
        self.call(|store, guest, client| guest.call_last_reason(store, client)).map(Into::into)
    }

    /// As `client.disconnect-with`.
    ///
    /// # Errors
    /// As `client.disconnect-with`.
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Failure> {
        let properties = &disconnect.properties;
        let disconnection = wit::Disconnection {
            reason_code: disconnect.reason_code as u8,
            session_expiry_interval_seconds: properties.session_expiry_interval,
            reason_string: properties.reason_string.map(str::to_owned),
            user_properties: properties.user_properties.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        };
        self.attempt(|store, guest, client| guest.call_disconnect_with(store, client, &disconnection))
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
        Ok(Beside(self.instance.told(client)?))
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

    /// Waits for the reply to a request that was started.
    fn reply(&mut self, pending: ResourceAny) -> Result<Message, Failure> {
        let (store, mqtt) = self.instance.parts();
        let reply = loop {
            match untrapped(mqtt.pending_reply().call_wait(&mut *store, pending, millis(SOON))) {
                Ok(None) => {}
                Ok(Some(reply)) => break Ok(reply.into()),
                Err(error) => break Err(error),
            }
        };
        untrapped(pending.resource_drop(&mut *store));
        self.instance.told(reply)
    }

    fn attempt<R>(
        &mut self,
        call: impl FnOnce(&mut Store<Host>, wit::GuestClient<'_>, ResourceAny) -> wasmtime::Result<Result<R, ResourceAny>>,
    ) -> Result<R, Failure> {
        let result = self.call(call);
        self.instance.told(result)
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
        let code = self.attempt(|store, guest, client| guest.call_publish(store, client, &message.into()))?;
        Ok(reason_code(code))
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        let messages: Vec<_> = messages.iter().map(wit::Publication::from).collect();
        let results = self.call(|store, guest, client| guest.call_publish_batch(store, client, &messages));
        results.into_iter().map(|result| Ok(reason_code(self.instance.told(result)?))).collect()
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_enqueue(store, client, &message.into()))
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
        let results =
            self.attempt(|store, guest, client| guest.call_subscribe(store, client, &subscriptions, identifier, &[]))?;
        Ok(results.into_iter().map(|result| result.map(Into::into).map_err(reason_code)).collect())
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        let filters: Vec<String> = filters.iter().copied().map(String::from).collect();
        let codes = self.attempt(|store, guest, client| guest.call_unsubscribe(store, client, &filters, &[]))?;
        Ok(codes.into_iter().map(reason_code).collect())
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
        let pending: Vec<_> = requests
            .iter()
            .map(|request| {
                self.attempt(|store, guest, client| {
                    guest.call_start_request(store, client, &request.into(), millis(timeout))
                })
            })
            .collect();
        pending.into_iter().map(|pending| self.reply(pending?)).collect()
    }

    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        let next = self.attempt(|store, guest, client| guest.call_next_request(store, client, millis(timeout)))?;
        let Some(request) = next else { return Ok(false) };
        let (store, mqtt) = self.instance.parts();
        let guest = mqtt.incoming_request();
        let message = untrapped(guest.call_message(&mut *store, request));
        let answered = match answer(&message.into()) {
            Ok(payload) => guest.call_reply(&mut *store, request, &payload, None, &[]),
            Err(why) => guest.call_fail(&mut *store, request, &why),
        };
        let answered = untrapped(answered);
        untrapped(request.resource_drop(&mut *store));
        self.instance.told(answered).map(|()| true)
    }

    fn is_connected(&mut self) -> bool {
        self.call(|store, guest, client| guest.call_is_connected(store, client))
    }

    fn in_flight(&mut self) -> usize {
        self.call(|store, guest, client| guest.call_in_flight(store, client)) as usize
    }

    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure> {
        let event = self.attempt(|store, guest, client| guest.call_next_event(store, client, millis(timeout)))?;
        Ok(event.map(|event| match event {
            wit::Event::Disconnected(error) => Happening::Disconnected(self.instance.failure(error)),
            wit::Event::Reconnected(session_present) => Happening::Reconnected { session_present },
            wit::Event::SubscriptionRestored(filter) => Happening::SubscriptionRestored(filter),
            wit::Event::SubscriptionLost(filter) => Happening::SubscriptionLost(filter),
            wit::Event::MessageDropped => Happening::MessageDropped,
            wit::Event::ReplyDropped(topic) => Happening::ReplyDropped(topic),
        }))
    }

    fn stats(&mut self) -> Stats {
        let counted = self.call(|store, guest, client| guest.call_stats(store, client));
        let mut stats = Stats::default();
        stats.packets_sent = counted.packets_sent;
        stats.packets_received = counted.packets_received;
        stats.bytes_sent = counted.bytes_sent;
        stats.bytes_received = counted.bytes_received;
        stats.in_flight = counted.in_flight as usize;
        stats.retransmitted = counted.retransmitted;
        stats.reconnects = counted.reconnects;
        stats.ping_round_trip = counted.ping_round_trip_us.map(Duration::from_micros);
        stats.refused = counted.refused;
        stats.dropped = counted.dropped;
        stats.pending_requests = counted.pending_requests as usize;
        stats.late_replies = counted.late_replies;
        stats.unmatched_replies = counted.unmatched_replies;
        stats
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.call(|store, guest, client| guest.call_snapshot(store, client))
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        self.attempt(|store, guest, client| guest.call_disconnect(store, client, false))
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

    /// Has an error say what it says.
    fn told<R>(&mut self, result: Result<R, ResourceAny>) -> Result<R, Failure> {
        result.map_err(|error| self.failure(error))
    }

    fn failure(&mut self, error: ResourceAny) -> Failure {
        let (store, mqtt) = self.parts();
        let guest = mqtt.error();
        let failure = Failure {
            kind: untrapped(guest.call_kind(&mut *store, error)),
            reason: untrapped(guest.call_reason(&mut *store, error)).map(Into::into),
            message: untrapped(guest.call_message(&mut *store, error)),
        };
        untrapped(error.resource_drop(store));
        failure
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
            let taken = untrapped(guest.call_set_snapshot(&mut *store, options, snapshot));
            taken.expect("a snapshot that a client made");
        }
        if let Some(TlsSettings { ca_pem, client, server_name }) = &settings.tls {
            let added = untrapped(guest.call_add_ca(&mut *store, options, ca_pem.as_bytes()));
            added.expect("certificates");
            untrapped(guest.call_set_only_own_ca(&mut *store, options, true));
            if let Some((chain, key)) = client {
                let (chain, key) = (chain.as_bytes(), key.as_bytes());
                let shown = untrapped(guest.call_set_client_certificate(&mut *store, options, chain, key));
                shown.expect("a certificate and its key");
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

impl From<wit::Reason> for Reason {
    fn from(reason: wit::Reason) -> Self {
        Self {
            reason_code: reason_code(reason.code),
            reason_string: reason.text,
            server_reference: reason.server_reference,
            user_properties: reason.user_properties,
        }
    }
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
        Self {
            filter: subscription.filter.to_owned(),
            maximum_qos: subscription.maximum_qos.into(),
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            retain_handling: match subscription.retain_handling {
                RetainHandling::Send => wit::RetainHandling::Send,
                RetainHandling::SendIfNew => wit::RetainHandling::SendIfNew,
                RetainHandling::DoNotSend => wit::RetainHandling::DoNotSend,
            },
        }
    }
}

impl From<&Publish<'_>> for wit::Publication {
    fn from(publish: &Publish<'_>) -> Self {
        let properties = &publish.properties;
        let text = |text: Option<&str>| text.map(str::to_owned);
        let properties = wit::MessageProperties {
            payload_is_utf8: properties.payload_format_indicator == Some(true),
            message_expiry_interval_seconds: properties.message_expiry_interval,
            content_type: text(properties.content_type),
            response_topic: text(properties.response_topic),
            correlation_data: properties.correlation_data.map(<[u8]>::to_vec),
            user_properties: properties.user_properties.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            subscription_identifiers: properties.subscription_identifiers.iter().collect(),
        };
        Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos.into(),
            retain: publish.retain,
            topic_alias: publish.properties.topic_alias,
            properties: (!publish.properties.is_empty()).then_some(properties),
        }
    }
}

impl From<wit::Message> for Message {
    fn from(received: wit::Message) -> Self {
        let mut message = Self::default();
        message.topic = received.topic;
        message.payload = received.payload;
        message.qos = received.qos.into();
        message.retain = received.retain;
        message.dup = received.duplicate;
        if let Some(properties) = received.properties {
            message.payload_format_indicator = properties.payload_is_utf8.then_some(true);
            message.message_expiry_interval = properties.message_expiry_interval_seconds;
            message.content_type = properties.content_type;
            message.response_topic = properties.response_topic;
            message.correlation_data = properties.correlation_data;
            message.user_properties = properties.user_properties;
            message.subscription_identifiers = properties.subscription_identifiers;
        }
        message
    }
}
