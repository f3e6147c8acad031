//! The exported interface: for WASI 0.2 all of it, and what that for WASI 0.3 has in common with it.
#![cfg_attr(feature = "component-p3", allow(unused_imports, reason = "the other half of the interface is elsewhere"))]

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::iter;
use core::time::Duration;

use super::convert::{Said, failure, in_flight, in_millis, millis, reply_of, reply_with, wrong_call};
use crate::bulk::{push_received, unpack};
use crate::client::{Client, PendingReply};
use crate::codec::{
    self, Publish, PublishProperties, ReasonCode, SubscribeProperties, Subscription, UnknownProperties,
    UnsubscribeProperties, UserProperty,
};
use crate::engine::{ConnectChanges, Connecting, Engine, NextStep, Options, Reconnect, in_order};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message;
use crate::ordered::Ordered;
use crate::random;
use crate::respond::{Reply, Request};
use crate::session::{Delivery, Snapshot};
use crate::trace::TraceContext;
#[cfg(any(feature = "host-tls", feature = "tls", feature = "ws"))]
use crate::transport::Connector as _;
#[cfg(not(feature = "component-p3"))]
use crate::transport::{ComponentTransport, Interest, WasiConnector, WasiTransport, wait_for_any};
#[cfg(not(all(any(feature = "host-tls", feature = "tls"), feature = "ws")))]
use crate::url::UrlError;
#[cfg(not(feature = "component-p3"))]
use crate::wit::exports::mqtt_wasi::client::readiness;
use crate::wit::exports::mqtt_wasi::client::{bulk, mqtt as wit, trace};
#[cfg(any(feature = "host-tls", feature = "tls"))]
use crate::{error::TransportError, transport::TlsOptions};

pub(crate) struct Component;

/// The next message of a batch. Behind a pointer, so that there is one copy of what publishes them; and not an
/// iterator, of which more than the next would be behind it.
#[cfg(not(feature = "component-p3"))]
type NextMessage<'a> = dyn FnMut() -> Option<Publish<'a>> + 'a;

#[cfg(not(feature = "component-p3"))]
impl wit::Guest for Component {
    type Client = ExportedClient;
    type ConnectOptions = ExportedOptions;

    fn connect(url: String, options: Option<wit::ConnectOptionsBorrow<'_>>) -> Result<wit::Client, wit::Failure> {
        ExportedClient::exported(&url, options.as_ref().map(|options| options.get()), |client| client.run(Connecting))
    }

    fn start(url: String, options: wit::ConnectOptionsBorrow<'_>) -> Result<wit::Client, wit::Failure> {
        ExportedClient::exported(&url, Some(options.get()), |client| {
            client.engine.authenticate_by_hand();
            client.run(Connecting)
        })
    }

    fn reason_name(code: u8) -> Option<String> {
        ReasonCode::from_u8(code).map(|code| code.name().into())
    }

    fn topic_matches(filter: String, topic: String) -> bool {
        codec::validate_topic_filter(&filter).is_ok()
            && codec::validate_topic_name(&topic).is_ok()
            && codec::topic_matches(&filter, &topic)
    }

    fn wait(clients: Vec<wit::ClientBorrow<'_>>, timeout_ms: u32) -> Vec<u32> {
        let clients: Vec<&ExportedClient> = clients.iter().map(|client| client.get()).collect();
        let until = WasiTransport::clock() + millis(timeout_ms);
        loop {
            let mut ready = Vec::new();
            for (place, client) in (0..).zip(&clients) {
                if client.client.borrow_mut().is_ready() {
                    ready.push(place);
                }
            }
            let now = WasiTransport::clock();
            if !ready.is_empty() || now >= until {
                return ready;
            }
            let borrowed: Vec<_> = clients.iter().map(|client| client.client.borrow()).collect();
            let until = borrowed.iter().filter_map(|client| client.deadline()).fold(until, Ord::min);
            let interests = borrowed.iter().filter_map(|client| interest(client));
            wait_for_any(interests, until);
        }
    }
}

#[cfg(not(feature = "component-p3"))]
impl bulk::Guest for Component {
    fn publish_packed(
        client: bulk::ClientBorrow<'_>,
        frames: Vec<u64>,
    ) -> Result<Vec<bulk::Unpublished>, wit::Failure> {
        unpack(&frames).check().map_err(|error| wrong_call("invalid-frames", &error.to_string()))?;
        // Those that are no messages, in order.
        let mut invalid = Vec::new();
        let mut messages = (0..).zip(unpack(&frames)).filter_map(|(index, frame)| match frame {
            Ok(frame) => Some(frame.message),
            Err(error) => {
                invalid.push((index, wrong_call("invalid-argument", &error.to_string())));
                None
            }
        });
        let next: &mut NextMessage<'_> = &mut || messages.next();
        let results = client.get::<ExportedClient>().client.borrow_mut().publish_all(iter::from_fn(next));
        let results = (0..).zip(results_of(results, invalid));
        let failed = results.filter_map(|(index, result)| Some(bulk::Unpublished { index, failure: result.err()? }));
        Ok(failed.collect())
    }

    fn receive_packed(
        client: bulk::ClientBorrow<'_>,
        max_messages: u32,
        max_bytes: u32,
        timeout_ms: u32,
    ) -> Result<Vec<u64>, wit::Failure> {
        let client = client.get::<ExportedClient>();
        let mut words = Vec::new();
        client.receive_each(max_messages, timeout_ms, |publish, delivery| {
            // What an alias stands for is known here.
            let properties = PublishProperties { topic_alias: None, ..publish.properties };
            push_received(&mut words, &Publish { properties, ..*publish }, delivery.map(Delivery::number));
            words.len() * size_of::<u64>() < max_bytes as usize
        })?;
        Ok(words)
    }
}

impl trace::Guest for Component {
    fn new_trace(is_sampled: bool) -> trace::TraceContext {
        TraceContext::new_root(random::bytes(), is_sampled).into()
    }

    fn next_span(context: trace::TraceContext) -> Option<trace::TraceContext> {
        let context = TraceContext::parse(&context.traceparent, &context.tracestate).ok()?;
        Some(context.child(random::bytes()).into())
    }

    fn read_trace(properties: Vec<wit::Property>) -> Option<trace::TraceContext> {
        TraceContext::from_properties(properties.iter().filter_map(user_property)).map(Into::into)
    }

    fn write_trace(mut properties: Vec<wit::Property>, context: trace::TraceContext) -> Option<Vec<wit::Property>> {
        let context = TraceContext::parse(&context.traceparent, &context.tracestate).ok()?;
        properties.retain(|property| user_property(property).is_none_or(|(name, _)| !TraceContext::is_in(name)));
        let mut pairs = Vec::new();
        context.inject(&mut pairs);
        properties.extend(pairs.into_iter().map(wit::Property::UserProperty));
        Some(properties)
    }
}

#[cfg(not(feature = "component-p3"))]
impl readiness::Guest for Component {
    fn readiness(client: readiness::ClientBorrow<'_>) -> Option<readiness::Pollable> {
        let client = client.get::<ExportedClient>().client.borrow();
        client.transport().and_then(|transport| transport.inner().readiness())
    }
}

/// The options, field by field: their builder would move them as a whole with each call.
#[derive(Default)]
pub(crate) struct ExportedOptions {
    options: RefCell<Options>,
    pub(crate) acknowledges_by_hand: Cell<bool>,
    /// Whether it was said that there is a will or none, and how the next connection starts.
    says_will: Cell<bool>,
    clean_start: Cell<Option<bool>>,
    /// What is wrong with an option, if that is known.
    failure: RefCell<Option<wit::Failure>>,
    /// The policy for connecting again, and whether it is asked for.
    policy: RefCell<Reconnect>,
    reconnects: Cell<bool>,
}

impl ExportedOptions {
    /// Notes that an option cannot be used. A client is told when it connects.
    fn fail(&self, failure: impl Into<wit::Failure>) {
        self.failure.borrow_mut().get_or_insert_with(|| failure.into());
    }

    /// The same of an option that may be set again, to something that can be.
    fn note(&self, name: &str, set: Result<(), wit::Failure>) {
        self.failure.borrow_mut().take_if(|failure| failure.name == name);
        set.unwrap_or_else(|failure| self.fail(failure));
    }

    /// The options, unless one of them cannot be used.
    pub(crate) fn checked(&self) -> Result<Options, wit::Failure> {
        match &*self.failure.borrow() {
            Some(failure) => Err(failure.clone()),
            None => {
                let mut options = self.options.borrow().clone();
                options.reconnect = self.reconnects.get().then(|| self.policy.borrow().clone());
                Ok(options)
            }
        }
    }

    /// What they change of a living client.
    pub(crate) fn changes(&self, options: Options) -> ConnectChanges {
        let session = options.session;
        ConnectChanges {
            user_name: session.user_name,
            password: session.password,
            will: self.says_will.get().then_some(session.will),
            user_properties: Some(session.user_properties).filter(|properties| !properties.is_empty()),
            authentication_data: session.authentication_data,
            clean_start: self.clean_start.get(),
            #[cfg(any(feature = "host-tls", feature = "tls"))]
            tls: options.tls,
            #[cfg(feature = "ws")]
            websocket_headers: Some(options.websocket_headers).filter(|headers| !headers.is_empty()),
            ..ConnectChanges::default()
        }
    }

    #[cfg(any(feature = "host-tls", feature = "tls"))]
    fn change_tls(&self, change: impl FnOnce(TlsOptions) -> Result<TlsOptions, TransportError>) {
        let tls = self.options.borrow_mut().tls.take().unwrap_or_default();
        match change(tls) {
            Ok(tls) => self.options.borrow_mut().tls = Some(tls),
            Err(error) => self.fail(Error::Transport(error)),
        }
    }

    /// What a header of WebSocket comes to in a component without it.
    #[cfg(not(feature = "ws"))]
    fn no_websocket<T>(&self, _: T) {
        self.fail(Error::Url(UrlError::WebSocketNotSupported));
    }

    /// What the options for TLS come to that a host cannot be told.
    #[cfg(feature = "host-tls")]
    fn no_tls<T>(&self, _: T) {
        let why = "the host does TLS for this component, with its own roots and no client certificate: use the \
                   component mqtt-tls.wasm";
        self.fail(wrong_call("tls-option-not-supported", why));
    }

    /// What the options for TLS come to in a component without it.
    #[cfg(not(any(feature = "host-tls", feature = "tls")))]
    fn no_tls<T>(&self, _: T) {
        self.fail(Error::Url(UrlError::TlsNotSupported));
    }
}

/// Options that are set as they are, or by one function.
macro_rules! setters {
    ($($name:ident: $type:ty => $($field:ident).+ $(, $by:expr)?;)+) => {$(
        fn $name(&self, value: $type) {
            $(let value = ($by)(value);)?
            self.options.borrow_mut().$($field).+ = value;
        }
    )+};
}

impl wit::GuestConnectOptions for ExportedOptions {
    fn new() -> Self {
        Self::default()
    }

    setters! {
        set_client_id: String => session.client_id;
        set_keep_alive_seconds: u16 => session.keep_alive;
        set_user_name: String => session.user_name, Some;
        set_password: Vec<u8> => session.password, Some;
        set_session_expiry_interval_seconds: u32 => session.session_expiry_interval;
        set_receive_maximum: u16 => session.receive_maximum;
        set_maximum_packet_size: u32 => session.maximum_packet_size;
        set_topic_alias_maximum: u16 => session.topic_alias_maximum;
        set_outbound_topic_aliases: u16 => session.outbound_topic_aliases;
        set_restore_subscriptions: bool => session.restore_subscriptions;
        set_restore_messages: bool => session.restore_messages;
        set_filters_per_subscribe: u16 => session.filters_per_subscribe;
        set_attempts_per_message: u32 => session.attempts_per_message;
        set_skip_refused_messages: bool => session.skip_refused_messages;
        set_adopt_session: bool => session.adopt_session;
        set_authentication_method: String => session.authentication_method, Some;
        set_authentication_data: Vec<u8> => session.authentication_data, Some;
        set_request_response_information: bool => session.request_response_information;
        set_request_problem_information: bool => session.request_problem_information;
        set_connect_timeout_ms: u32 => session.connect_timeout, millis;
        set_response_timeout_ms: u32 => response_timeout, millis;
        set_outbound_limit: u32 => session.outbound_limit, |bytes: u32| bytes as usize;
        set_in_flight_limit: u16 => session.in_flight_limit;
        set_backlog_limit: u32 => session.backlog_limit, |bytes: u32| bytes as usize;
        set_response_topic: String => session.response_topic, Some;
        set_pending_request_limit: u32 => session.pending_request_limit, |requests: u32| requests as usize;
    }

    #[cfg(feature = "component-p3")]
    fn set_stream_above(&self, bytes: u32) {
        self.options.borrow_mut().session.stream_above = bytes;
    }

    fn set_clean_start(&self, clean_start: bool) {
        self.clean_start.set(Some(clean_start));
        self.options.borrow_mut().session.clean_start = clean_start;
    }

    fn set_will(&self, message: Option<wit::Publication>, delay_interval_seconds: Option<u32>) {
        self.says_will.set(true);
        let will = message.map(|message| Said::from(&message).will(delay_interval_seconds)).transpose();
        self.note("invalid-argument", will.map(|will| self.options.borrow_mut().session.will = will));
    }

    fn add_ca(&self, certificates: Vec<u8>) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| tls.ca(certificates));
        #[cfg(not(feature = "tls"))]
        self.no_tls(certificates);
    }

    fn skipped_certificates(&self) -> Vec<wit::SkippedCertificate> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.options.borrow().tls {
            let skipped = tls.skipped_certificates().iter().cloned();
            return skipped
                .map(|it| wit::SkippedCertificate { position: it.position as u32, reason: it.reason })
                .collect();
        }
        Vec::new()
    }

    fn add_fingerprint(&self, sha256: String) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| tls.fingerprint(sha256));
        #[cfg(not(feature = "tls"))]
        self.no_tls(sha256);
    }

    fn set_only_own_ca(&self, only: bool) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| Ok(tls.trust_mozilla(!only)));
        #[cfg(feature = "host-tls")]
        if only {
            self.no_tls(());
        }
        // Without TLS there is no connection that it could matter to.
        let _ = only;
    }

    fn set_client_certificate(&self, chain: Vec<u8>, key: Vec<u8>) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| tls.client_certificate(chain, key));
        #[cfg(not(feature = "tls"))]
        self.no_tls((chain, key));
    }

    fn set_server_name(&self, name: String) {
        #[cfg(any(feature = "host-tls", feature = "tls"))]
        self.change_tls(|tls| Ok(tls.server_name(name)));
        #[cfg(not(any(feature = "host-tls", feature = "tls")))]
        drop(name);
    }

    fn add_alpn(&self, protocol: Vec<u8>) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| Ok(tls.add_alpn(protocol)));
        #[cfg(feature = "host-tls")]
        self.no_tls(protocol);
        #[cfg(not(any(feature = "host-tls", feature = "tls")))]
        drop(protocol);
    }

    fn add_websocket_header(&self, name: String, value: String) {
        #[cfg(feature = "ws")]
        self.options.borrow_mut().websocket_headers.push((name, value));
        #[cfg(not(feature = "ws"))]
        self.no_websocket((name, value));
    }

    fn set_proxy(&self, url: String) {
        #[cfg(feature = "proxy")]
        {
            let options = self.options.take().proxy(url);
            let checked = options.checked_proxy().map(drop);
            self.options.replace(options);
            self.note("invalid-proxy", checked.map_err(Into::into));
        }
        #[cfg(not(feature = "proxy"))]
        {
            drop(url);
            let why = "this component has no proxies: use the component mqtt-ws.wasm or mqtt-wss.wasm";
            self.fail(wrong_call("proxy-not-supported", why));
        }
    }

    fn add_fallback(&self, url: String) {
        self.options.borrow_mut().fallbacks.push(url);
    }

    fn set_reconnect(&self, reconnect: bool) {
        self.reconnects.set(reconnect);
    }

    fn set_reconnect_delays_ms(&self, first: u32, longest: u32) {
        let mut policy = self.policy.borrow_mut();
        (policy.first_delay, policy.longest_delay) = (millis(first), millis(longest));
    }

    fn set_reconnect_attempts(&self, attempts: u32) {
        self.policy.borrow_mut().attempts = Some(attempts);
    }

    fn set_reconnect_refusals(&self, refusals: u32) {
        self.policy.borrow_mut().refusals = refusals;
    }

    fn set_first_connect_ms(&self, timeout_ms: u32) {
        self.policy.borrow_mut().first_connect = Some(millis(timeout_ms));
    }

    fn set_redirect_limit(&self, redirects: u8) {
        self.policy.borrow_mut().redirects = redirects;
    }

    fn set_snapshot(&self, snapshot: Vec<u8>) {
        let snapshot = Snapshot::from_bytes(&snapshot).map_err(|error| Error::Snapshot(error).into());
        let resume = snapshot.map(|snapshot| self.options.borrow_mut().session.resume = Some(snapshot));
        self.note("invalid-snapshot", resume);
    }

    fn add_user_property(&self, name: String, value: String) {
        self.options.borrow_mut().session.user_properties.push((name, value));
    }

    fn set_skip_unknown_properties(&self, skip: bool) {
        self.options.borrow_mut().session.decode.unknown_properties =
            if skip { UnknownProperties::Skip } else { UnknownProperties::Malformed };
    }

    fn set_acknowledge_by_hand(&self, by_hand: bool) {
        self.acknowledges_by_hand.set(by_hand);
    }
}

/// A client, and what it has to keep for its caller.
#[cfg(not(feature = "component-p3"))]
pub(crate) struct ExportedClient {
    client: RefCell<Client<ComponentTransport>>,
    acknowledges_by_hand: bool,
    /// How many of the two below there may be.
    most_requests: usize,
    /// Requests that were started, until their outcome is taken.
    pending: RefCell<Ordered<PendingReply>>,
    /// Requests to answer.
    incoming: RefCell<Ordered<Request>>,
    /// The number of the last of either.
    last_request: Cell<u64>,
}

#[cfg(not(feature = "component-p3"))]
impl ExportedClient {
    /// A client with these options, once it is connected.
    fn exported(
        url: &str,
        options: Option<&ExportedOptions>,
        connect: impl FnOnce(&mut Client<ComponentTransport>) -> Result<bool, Error>,
    ) -> Result<wit::Client, wit::Failure> {
        let (acknowledges_by_hand, options) = match options {
            Some(exported) => (exported.acknowledges_by_hand.get(), exported.checked()?),
            None => (false, Options::new()),
        };
        let most_requests = options.session.pending_request_limit;
        let mut client = Client::unconnected(connector(&options)?, url, options)?;
        connect(&mut client)?;
        Ok(wit::Client::new(Self {
            client: RefCell::new(client),
            acknowledges_by_hand,
            most_requests,
            pending: RefCell::default(),
            incoming: RefCell::default(),
            last_request: Cell::new(0),
        }))
    }

    fn next_number(&self) -> u64 {
        self.last_request.set(self.last_request.get() + 1);
        self.last_request.get()
    }

    /// Has the next message read that is there, where it is.
    #[inline]
    fn take<R>(&self, engine: &mut Engine, read: impl FnOnce(&Publish<'_>, Option<Delivery>) -> R) -> Option<R> {
        if self.acknowledges_by_hand {
            engine.receive_unacknowledged().map(|(publish, delivery)| read(&publish, delivery))
        } else {
            engine.receive().map(|publish| read(&publish, None))
        }
    }

    /// Waits for a message, and gives `read` what is there, as long as that wants more.
    fn receive_each(
        &self,
        max: u32,
        timeout_ms: u32,
        mut read: impl FnMut(&Publish<'_>, Option<Delivery>) -> bool,
    ) -> Result<(), Error> {
        if max == 0 {
            return Ok(());
        }
        let mut client = self.client.borrow_mut();
        let mut read_next = |engine: &mut Engine| self.take(engine, &mut read);
        let mut wants_more = client.take_within(millis(timeout_ms), |engine, _| read_next(engine))?;
        for _ in 1..max {
            if wants_more != Some(true) {
                break;
            }
            wants_more = read_next(&mut client.engine);
        }
        Ok(())
    }

    fn publish_said(&self, said: &Said<'_>) -> Result<Reason, wit::Failure> {
        let user_properties = said.user_properties();
        Ok(self.client.borrow_mut().publish_with_reason(&said.lend(&user_properties)?)?)
    }

    fn answer(&self, number: u64, reply: &Reply) -> Result<(), wit::Failure> {
        let mut incoming = self.incoming.borrow_mut();
        let request = incoming.get(number).ok_or_else(unknown_request)?;
        let mut client = self.client.borrow_mut();
        let replied = client.enqueue_reply(request, reply);
        match &replied {
            // What cannot be sent now is sent by a later call, or over the next connection.
            Ok(()) => drop(client.flush()),
            Err(Error::Timeout) => return Err(CallError::WouldBlock.into()),
            // It may be answered otherwise, or later.
            Err(_) => return Ok(replied?),
        }
        incoming.remove(number);
        Ok(())
    }
}

/// How each message of a batch went: those that were published, and those that were none, with their places.
// One copy for both forms of it.
#[inline(never)]
pub(crate) fn results_of(
    published: Vec<Result<ReasonCode, Error>>,
    invalid: Vec<(u32, wit::Failure)>,
) -> Vec<Result<wit::ReasonCode, wit::Failure>> {
    let code_of = |result: Result<ReasonCode, Error>| Ok(result? as u8);
    in_order(published.into_iter().map(code_of), invalid.into_iter().map(|(place, failure)| (place, Err(failure))))
        .collect()
}

/// What the broker said to SUBSCRIBE or UNSUBSCRIBE.
pub(crate) fn answer_of(reason: SubscribeReason) -> wit::SubscribeAnswer {
    let SubscribeReason { reason_codes, reason_string, user_properties } = reason;
    let codes = reason_codes.into_iter().map(|code| code as u8).collect();
    wit::SubscribeAnswer { codes, reason_string, user_properties }
}

pub(crate) fn unknown_request() -> wit::Failure {
    wrong_call(
        "unknown-request",
        "there is no request with this number: it was answered, cancelled, released or never started",
    )
}

#[cfg(not(feature = "component-p3"))]
impl wit::GuestClient for ExportedClient {
    fn publish(
        &self,
        topic: String,
        payload: wit::Payload,
        qos: wit::Qos,
        retain: bool,
    ) -> Result<wit::ReasonCode, wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain, properties: &[] };
        Ok(self.publish_said(&said)?.reason_code as u8)
    }

    fn publish_message(&self, message: wit::Publication) -> Result<wit::PublishAnswer, wit::Failure> {
        let Reason { reason_code, reason_string, user_properties, .. } = self.publish_said(&(&message).into())?;
        Ok(wit::PublishAnswer { code: reason_code as u8, reason_string, user_properties })
    }

    fn publish_batch(&self, messages: Vec<wit::Publication>) -> Vec<Result<wit::ReasonCode, wit::Failure>> {
        let user_properties: Vec<_> = messages.iter().map(|message| Said::from(message).user_properties()).collect();
        let mut invalid = Vec::new();
        let said = messages.iter().zip(&user_properties);
        let mut publishes = (0..).zip(said).filter_map(|(index, (message, user_properties))| {
            let lent = Said::from(message).lend(user_properties);
            lent.map_err(|failure| invalid.push((index, failure))).ok()
        });
        let next: &mut NextMessage<'_> = &mut || publishes.next();
        let results = self.client.borrow_mut().publish_all(iter::from_fn(next));
        results_of(results, invalid)
    }

    fn enqueue(&self, topic: String, payload: wit::Payload, qos: wit::Qos, retain: bool) -> Result<(), wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain, properties: &[] };
        Ok(self.client.borrow_mut().enqueue(&said.lend(&[])?)?)
    }

    fn flush(&self) -> Result<(), wit::Failure> {
        Ok(self.client.borrow_mut().flush()?)
    }

    fn subscribe(&self, filter: String, maximum_qos: wit::Qos) -> Result<wit::Qos, wit::Failure> {
        let subscriptions = [Subscription::new(&filter, maximum_qos.into())];
        let granted =
            self.client.borrow_mut().subscribe_with(&subscriptions, SubscribeProperties::default())?.granted()?;
        Ok(granted.first().map_or(maximum_qos, |&qos| qos.into()))
    }

    fn subscribe_with(
        &self,
        subscriptions: Vec<wit::Subscription>,
        identifier: Option<u32>,
        user_properties: Vec<(String, String)>,
    ) -> Result<wit::SubscribeAnswer, wit::Failure> {
        let mut lent: Vec<Subscription<'_>> = Vec::with_capacity(subscriptions.len());
        for subscription in &subscriptions {
            lent.push(subscription.try_into()?);
        }
        let user_properties = message::borrowed(&user_properties);
        let properties = SubscribeProperties {
            subscription_identifier: identifier,
            user_properties: user_properties.as_slice().into(),
        };
        Ok(answer_of(self.client.borrow_mut().subscribe_with(&lent, properties)?))
    }

    fn unsubscribe(&self, filter: String) -> Result<(), wit::Failure> {
        self.client.borrow_mut().unsubscribe_with(&[&filter], UnsubscribeProperties::default())?.granted()?;
        Ok(())
    }

    fn unsubscribe_with(
        &self,
        filters: Vec<String>,
        user_properties: Vec<(String, String)>,
    ) -> Result<wit::SubscribeAnswer, wit::Failure> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let user_properties = message::borrowed(&user_properties);
        let properties = UnsubscribeProperties { user_properties: user_properties.as_slice().into() };
        Ok(answer_of(self.client.borrow_mut().unsubscribe_with(&filters, properties)?))
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<wit::Message>, wit::Failure> {
        let mut client = self.client.borrow_mut();
        Ok(client.receive_within(millis(timeout_ms), |engine| self.take(engine, wit::Message::new))?)
    }

    fn receive_batch(&self, max_messages: u32, timeout_ms: u32) -> Result<Vec<wit::Message>, wit::Failure> {
        let mut messages = Vec::new();
        self.receive_each(max_messages, timeout_ms, |publish, delivery| {
            messages.push(wit::Message::new(publish, delivery));
            true
        })?;
        Ok(messages)
    }

    fn acknowledge(&self, delivery: u64) -> bool {
        self.client.borrow_mut().acknowledge(Delivery::from_number(delivery))
    }

    fn request(
        &self,
        topic: String,
        payload: wit::Payload,
        qos: wit::Qos,
        timeout_ms: u32,
    ) -> Result<wit::Message, wit::Failure> {
        let said = Said { topic: &topic, payload: &payload, qos, retain: false, properties: &[] };
        let request = said.lend(&[])?;
        Ok((&self.client.borrow_mut().request(&request, millis(timeout_ms))?).into())
    }

    fn start_request(&self, message: wit::Publication, timeout_ms: u32) -> Result<u64, wit::Failure> {
        let said = Said::from(&message);
        let user_properties = said.user_properties();
        let mut client = self.client.borrow_mut();
        let reply = client.start_request(&said.lend(&user_properties)?, millis(timeout_ms))?;
        let number = self.next_number();
        let mut pending = self.pending.borrow_mut();
        pending.push(number, reply);
        if pending.len() > self.most_requests {
            // The client has no more that wait, so there is one that is over.
            let over = pending.iter().find(|(_, reply)| client.engine.is_done(reply.id)).map(|(number, _)| number);
            if let Some(reply) = over.and_then(|number| pending.remove(number)) {
                client.give_up(&reply);
            }
        }
        Ok(number)
    }

    fn wait_for_reply(&self, request: u64, timeout_ms: u32) -> Result<Option<wit::Message>, wit::Failure> {
        let mut pending = self.pending.borrow_mut();
        let reply = pending.get(request).ok_or_else(unknown_request)?;
        let reply = self.client.borrow_mut().poll_reply(reply, millis(timeout_ms));
        if !matches!(reply, Ok(None) | Err(Error::AnswerBehindMessages)) {
            pending.remove(request);
        }
        Ok(reply?.as_ref().map(Into::into))
    }

    fn cancel_request(&self, request: u64) {
        if let Some(reply) = self.pending.borrow_mut().remove(request) {
            self.client.borrow_mut().give_up(&reply);
        }
    }

    fn next_request(&self, timeout_ms: u32) -> Result<Option<wit::IncomingRequest>, wit::Failure> {
        if self.incoming.borrow().len() >= self.most_requests.max(1) {
            let message = "too many requests wait to be answered: reply to some, or release them";
            return Err(failure(wit::FailureKind::TryLater, "too-many-requests", message.into()));
        }
        let Some(mut request) = self.client.borrow_mut().next_request(millis(timeout_ms))? else { return Ok(None) };
        let remaining = request.remaining(WasiTransport::clock());
        let incoming = wit::IncomingRequest {
            id: self.next_number(),
            message: request.message().into(),
            wants_reply: request.wants_reply(),
            remaining_ms: remaining.map(in_millis),
        };
        request.drop_payload();
        self.incoming.borrow_mut().push(incoming.id, request);
        Ok(Some(incoming))
    }

    fn reply(&self, request: u64, payload: wit::Payload) -> Result<(), wit::Failure> {
        self.answer(request, &reply_of(payload))
    }

    fn reply_with(
        &self,
        request: u64,
        payload: wit::Payload,
        properties: Vec<wit::Property>,
    ) -> Result<(), wit::Failure> {
        self.answer(request, &reply_with(payload, properties)?)
    }

    fn fail_request(&self, request: u64, why: String) -> Result<(), wit::Failure> {
        self.answer(request, &Reply::failed(why))
    }

    fn release_request(&self, request: u64) {
        if let Some(request) = self.incoming.borrow_mut().remove(request) {
            self.client.borrow_mut().give_up_request(&request);
        }
    }

    fn deadline_ms(&self) -> Option<u32> {
        let wait = self.client.borrow().deadline()?.saturating_duration_since(WasiTransport::clock());
        // Rounded up: who comes back early has nothing to do, and would again and again.
        Some(in_millis(wait.saturating_add(Duration::from_nanos(999_999))))
    }

    fn info(&self) -> wit::ConnectionInfo {
        self.client.borrow().engine.session().connection_info_or_default().into()
    }

    fn is_connected(&self) -> bool {
        self.client.borrow().is_connected()
    }

    fn in_flight(&self) -> u32 {
        self.client.borrow().stats().in_flight as u32
    }

    fn messages_in_flight(&self) -> Vec<wit::InFlightMessage> {
        in_flight(self.client.borrow().messages_in_flight())
    }

    fn give_up_message(&self, id: u64) -> bool {
        self.client.borrow_mut().give_up_message(id)
    }

    fn last_failure(&self) -> Option<wit::Failure> {
        self.client.borrow().last_failure().map(Into::into)
    }

    fn next_event(&self, timeout_ms: u32) -> Result<Option<wit::Event>, wit::Failure> {
        Ok(self.client.borrow_mut().next_event(millis(timeout_ms))?.map(Into::into))
    }

    fn stats(&self) -> Vec<(String, u64)> {
        let mut stats = Vec::new();
        for (name, value) in self.client.borrow().stats().named() {
            if let Some(value) = value {
                stats.push((name.into(), value));
            }
        }
        stats
    }

    fn snapshot(&self) -> Vec<u8> {
        self.client.borrow().snapshot()
    }

    fn update(&self, options: wit::ConnectOptionsBorrow<'_>) -> Result<(), wit::Failure> {
        let said = options.get::<ExportedOptions>();
        let options = said.checked()?;
        let mut client = self.client.borrow_mut();
        // What cannot be used is told now.
        #[cfg(any(feature = "host-tls", feature = "proxy", feature = "tls", feature = "ws"))]
        connector(&options)?;
        client.engine.update(said.changes(options))?;
        Ok(())
    }

    fn reconnect(&self) -> Result<bool, wit::Failure> {
        Ok(self.client.borrow_mut().reconnect()?)
    }

    fn next_step(&self) -> Result<wit::AuthenticationStep, wit::Failure> {
        Ok(self.client.borrow_mut().run(NextStep)?.into())
    }

    fn answer_challenge(&self, data: Vec<u8>) -> Result<(), wit::Failure> {
        let Client { engine, network, .. } = &mut *self.client.borrow_mut();
        Ok(engine.answer_challenge(&data, network.now())?)
    }

    fn authenticate_again(&self, data: Vec<u8>) -> Result<(), wit::Failure> {
        let Client { engine, network, .. } = &mut *self.client.borrow_mut();
        engine.authenticate_again(&data, network.now())?;
        engine.authenticate_by_hand();
        Ok(())
    }

    fn disconnect(&self, disconnection: Option<wit::Disconnection>) -> Result<(), wit::Failure> {
        let Some(said) = disconnection else { return Ok(self.client.borrow_mut().disconnect()?) };
        let user_properties = message::borrowed(&said.user_properties);
        Ok(self.client.borrow_mut().disconnect_with(&said.lend(&user_properties)?)?)
    }
}

#[cfg(all(
    any(feature = "host-tls", feature = "proxy", feature = "tls", feature = "ws"),
    not(feature = "component-p3")
))]
fn connector(options: &Options) -> Result<WasiConnector, Error> {
    let mut connector = WasiConnector::new();
    #[cfg(any(feature = "host-tls", feature = "tls"))]
    if let Some(tls) = options.tls.clone() {
        connector.use_tls(tls)?;
    }
    #[cfg(feature = "ws")]
    connector.use_websocket_headers(options.websocket_headers.clone())?;
    #[cfg(feature = "proxy")]
    connector.use_proxy(options.checked_proxy()?);
    Ok(connector)
}

#[cfg(not(any(feature = "host-tls", feature = "proxy", feature = "tls", feature = "ws", feature = "component-p3")))]
const fn connector(_: &Options) -> Result<WasiConnector, Error> {
    Ok(WasiConnector::new())
}

/// What a client waits for.
#[cfg(not(feature = "component-p3"))]
fn interest(client: &Client<ComponentTransport>) -> Option<Interest<'_>> {
    if client.engine.is_dialing() {
        return client.connector()?.as_any()?.downcast_ref().map(Interest::Connector);
    }
    let transport = client.transport()?.inner();
    Some(Interest::Transport { transport, reads: !client.engine.session().is_paused(), writes: client.has_outgoing() })
}

impl From<TraceContext> for trace::TraceContext {
    fn from(context: TraceContext) -> Self {
        Self { traceparent: context.traceparent(), tracestate: context.tracestate().into() }
    }
}

fn user_property(property: &wit::Property) -> Option<UserProperty<'_>> {
    match property {
        wit::Property::UserProperty((name, value)) => Some((name, value)),
        _ => None,
    }
}
