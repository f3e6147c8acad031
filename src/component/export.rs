//! The exported interface.

use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use super::convert::ExportedError;
use crate::client::{Client, PendingReply};
use crate::codec::{
    self, Disconnect, DisconnectProperties, EncodeError, EncodeErrorKind, QoS, ReasonCode, SubscribeProperties,
    Subscription, UnknownProperties, UnsubscribeProperties,
};
use crate::engine::{Connecting, Engine, NextStep, Options, Reconnect, Step};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message;
use crate::random;
use crate::respond::{Reply, Request};
use crate::session::{Challenge, Delivery, Snapshot};
use crate::trace::{TraceContext, TraceError};
use crate::transport::{ComponentTransport, Interest, WasiConnector, WasiTransport, wait_for_any};
#[cfg(not(feature = "tls"))]
use crate::url::UrlError;
use crate::wit::exports::mqtt_wasi::client::{mqtt as wit, readiness, trace};
#[cfg(feature = "tls")]
use crate::{error::TransportError, transport::TlsOptions};

pub(super) struct Component;

impl wit::Guest for Component {
    type Client = ExportedClient;
    type ConnectOptions = ExportedOptions;
    type Error = ExportedError;
    type PendingReply = ExportedPendingReply;
    type IncomingRequest = ExportedRequest;

    fn connect(url: String, options: Option<wit::ConnectOptionsBorrow<'_>>) -> Result<wit::Client, wit::Error> {
        let (options, acknowledges_by_hand) = match &options {
            Some(options) => {
                let options = options.get::<ExportedOptions>();
                (options.options.borrow().clone(), options.acknowledges_by_hand.get())
            }
            None => (Options::new(), false),
        };
        let client = Client::connect_with(connector(&options)?, &url, options)?;
        Ok(ExportedClient::exported(client, acknowledges_by_hand))
    }

    fn start(url: String, options: wit::ConnectOptionsBorrow<'_>) -> Result<wit::Client, wit::Error> {
        let options = options.get::<ExportedOptions>();
        let by_hand = options.acknowledges_by_hand.get();
        let options = options.options.borrow().clone();
        let mut client = Client::unconnected(connector(&options)?, &url, options)?;
        client.engine.authenticate_by_hand();
        client.run(Connecting)?;
        Ok(ExportedClient::exported(client, by_hand))
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
            let ready: Vec<u32> =
                (0..).zip(&clients).filter(|(_, client)| client.is_ready()).map(|(place, _)| place).collect();
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

impl trace::Guest for Component {
    fn new_trace(is_sampled: bool) -> trace::TraceContext {
        TraceContext::new_root(random::bytes(), is_sampled).into()
    }

    fn next_span(context: trace::TraceContext) -> Result<trace::TraceContext, wit::Error> {
        Ok(TraceContext::try_from(context)?.child(random::bytes()).into())
    }

    fn read_trace(user_properties: Vec<(String, String)>) -> Option<trace::TraceContext> {
        TraceContext::from_properties(message::borrowed(&user_properties)).map(Into::into)
    }

    fn write_trace(
        mut user_properties: Vec<(String, String)>,
        context: trace::TraceContext,
    ) -> Result<Vec<(String, String)>, wit::Error> {
        TraceContext::try_from(context)?.inject(&mut user_properties);
        Ok(user_properties)
    }
}

impl readiness::Guest for Component {
    fn readiness(client: readiness::ClientBorrow<'_>) -> Result<readiness::Pollable, wit::Error> {
        let client = client.get::<ExportedClient>().client.borrow();
        let readiness = client.transport().and_then(|transport| transport.inner().readiness());
        Ok(readiness.ok_or(Error::Call(CallError::NotConnected))?)
    }
}

/// The options, field by field: their builder would move them as a whole with each call.
#[derive(Default)]
pub(super) struct ExportedOptions {
    options: RefCell<Options>,
    acknowledges_by_hand: Cell<bool>,
    /// Whether it is asked for or not, what the policy for connecting again is.
    policy: Cell<Reconnect>,
}

impl ExportedOptions {
    fn set_policy(&self, set: impl FnOnce(&mut Reconnect)) {
        let mut policy = self.policy.get();
        set(&mut policy);
        self.policy.set(policy);
        if let Some(asked_for) = &mut self.options.borrow_mut().reconnect {
            *asked_for = policy;
        }
    }
}

#[cfg(feature = "tls")]
impl ExportedOptions {
    fn set_tls(&self, set: impl FnOnce(TlsOptions) -> Result<TlsOptions, TransportError>) -> Result<(), wit::Error> {
        let tls = self.options.borrow().tls.clone().unwrap_or_default();
        self.options.borrow_mut().tls = Some(set(tls).map_err(Error::Transport)?);
        Ok(())
    }

    fn change_tls(&self, change: impl FnOnce(TlsOptions) -> TlsOptions) {
        let mut options = self.options.borrow_mut();
        let tls = options.tls.take().unwrap_or_default();
        options.tls = Some(change(tls));
    }
}

/// What the options for TLS come to in a component without it.
#[cfg(not(feature = "tls"))]
fn no_tls<T>(_: T) -> Result<(), wit::Error> {
    Err(Error::Url(UrlError::TlsNotSupported).into())
}

impl wit::GuestConnectOptions for ExportedOptions {
    fn new() -> Self {
        Self::default()
    }

    fn set_client_id(&self, client_id: String) {
        self.options.borrow_mut().session.client_id = client_id;
    }

    fn set_clean_start(&self, clean_start: bool) {
        self.options.borrow_mut().session.clean_start = clean_start;
    }

    fn set_keep_alive_seconds(&self, seconds: u16) {
        self.options.borrow_mut().session.keep_alive = seconds;
    }

    fn set_user_name(&self, user_name: String) {
        self.options.borrow_mut().session.user_name = Some(user_name);
    }

    fn set_password(&self, password: Vec<u8>) {
        self.options.borrow_mut().session.password = Some(password);
    }

    fn set_will(&self, will: wit::Will) {
        self.options.borrow_mut().session.will = Some(will.into());
    }

    fn set_session_expiry_interval_seconds(&self, seconds: u32) {
        self.options.borrow_mut().session.session_expiry_interval = seconds;
    }

    fn set_receive_maximum(&self, messages: u16) {
        self.options.borrow_mut().session.receive_maximum = messages;
    }

    fn set_maximum_packet_size(&self, bytes: u32) {
        self.options.borrow_mut().session.maximum_packet_size = bytes;
    }

    fn set_topic_alias_maximum(&self, aliases: u16) {
        self.options.borrow_mut().session.topic_alias_maximum = aliases;
    }

    fn set_outbound_topic_aliases(&self, aliases: u16) {
        self.options.borrow_mut().session.outbound_topic_aliases = aliases;
    }

    fn add_ca(&self, certificates: Vec<u8>) -> Result<(), wit::Error> {
        #[cfg(feature = "tls")]
        return self.set_tls(|tls| tls.ca(certificates));
        #[cfg(not(feature = "tls"))]
        no_tls(certificates)
    }

    fn set_only_own_ca(&self, only: bool) {
        #[cfg(feature = "tls")]
        self.change_tls(|tls| tls.trust_mozilla(!only));
        // Without TLS there is no connection that it could matter to.
        let _ = only;
    }

    fn set_client_certificate(&self, chain: Vec<u8>, key: Vec<u8>) -> Result<(), wit::Error> {
        #[cfg(feature = "tls")]
        return self.set_tls(|tls| tls.client_certificate(chain, key));
        #[cfg(not(feature = "tls"))]
        no_tls((chain, key))
    }

    fn set_server_name(&self, name: String) {
        #[cfg(feature = "tls")]
        return self.change_tls(|tls| tls.server_name(name));
        #[cfg(not(feature = "tls"))]
        drop(name);
    }

    fn add_alpn(&self, protocol: Vec<u8>) {
        #[cfg(feature = "tls")]
        return self.change_tls(|tls| tls.add_alpn(protocol));
        #[cfg(not(feature = "tls"))]
        drop(protocol);
    }

    fn add_fallback(&self, url: String) {
        self.options.borrow_mut().fallbacks.push(url);
    }

    fn set_reconnect(&self, reconnect: bool) {
        self.options.borrow_mut().reconnect = reconnect.then_some(self.policy.get());
    }

    fn set_reconnect_delays_ms(&self, first: u32, longest: u32) {
        self.set_policy(|policy| (policy.first_delay, policy.longest_delay) = (millis(first), millis(longest)));
    }

    fn set_reconnect_attempts(&self, attempts: u32) {
        self.set_policy(|policy| policy.attempts = Some(attempts));
    }

    fn set_redirect_limit(&self, redirects: u8) {
        self.set_policy(|policy| policy.redirects = redirects);
    }

    fn set_restore_subscriptions(&self, restore: bool) {
        self.options.borrow_mut().session.restore_subscriptions = restore;
    }

    fn set_adopt_session(&self, adopt: bool) {
        self.options.borrow_mut().session.adopt_session = adopt;
    }

    fn set_snapshot(&self, snapshot: Vec<u8>) -> Result<(), wit::Error> {
        self.options.borrow_mut().session.resume = Some(Snapshot::from_bytes(&snapshot).map_err(Error::Snapshot)?);
        Ok(())
    }

    fn set_authentication(&self, method: String, data: Option<Vec<u8>>) {
        let mut options = self.options.borrow_mut();
        (options.session.authentication_method, options.session.authentication_data) = (Some(method), data);
    }

    fn set_request_response_information(&self, request: bool) {
        self.options.borrow_mut().session.request_response_information = request;
    }

    fn set_request_problem_information(&self, request: bool) {
        self.options.borrow_mut().session.request_problem_information = request;
    }

    fn add_user_property(&self, name: String, value: String) {
        self.options.borrow_mut().session.user_properties.push((name, value));
    }

    fn set_skip_unknown_properties(&self, skip: bool) {
        let unknown = if skip { UnknownProperties::Skip } else { UnknownProperties::Malformed };
        self.options.borrow_mut().session.decode.unknown_properties = unknown;
    }

    fn set_acknowledge_by_hand(&self, by_hand: bool) {
        self.acknowledges_by_hand.set(by_hand);
    }

    fn set_connect_timeout_ms(&self, timeout_ms: u32) {
        self.options.borrow_mut().session.connect_timeout = millis(timeout_ms);
    }

    fn set_response_timeout_ms(&self, timeout_ms: u32) {
        self.options.borrow_mut().response_timeout = millis(timeout_ms);
    }

    fn set_outbound_limit(&self, bytes: u32) {
        self.options.borrow_mut().session.outbound_limit = bytes as usize;
    }

    fn set_in_flight_limit(&self, messages: u16) {
        self.options.borrow_mut().session.in_flight_limit = messages;
    }

    fn set_backlog_limit(&self, bytes: u32) {
        self.options.borrow_mut().session.backlog_limit = bytes as usize;
    }

    fn set_response_topic(&self, topic: String) {
        self.options.borrow_mut().session.response_topic = Some(topic);
    }

    fn set_pending_request_limit(&self, requests: u32) {
        self.options.borrow_mut().session.pending_request_limit = requests as usize;
    }
}

/// A client, and how its messages are acknowledged.
pub(super) struct ExportedClient {
    client: Rc<RefCell<Client<ComponentTransport>>>,
    acknowledges_by_hand: bool,
    authentication_data: RefCell<Option<Vec<u8>>>,
    last_reason: RefCell<Option<Reason>>,
}

impl ExportedClient {
    fn exported(client: Client<ComponentTransport>, acknowledges_by_hand: bool) -> wit::Client {
        wit::Client::new(Self {
            client: Rc::new(RefCell::new(client)),
            acknowledges_by_hand,
            authentication_data: RefCell::default(),
            last_reason: RefCell::default(),
        })
    }

    /// Notes what the broker said beside a Reason Code.
    fn said(&self, reason: Reason) {
        let is_more = reason.reason_string.is_some() || !reason.user_properties.is_empty();
        *self.last_reason.borrow_mut() = is_more.then_some(reason);
    }

    /// The same of an AUTH; returns its data.
    fn said_in_auth(&self, reason_code: ReasonCode, said: Challenge) -> Option<Vec<u8>> {
        let Challenge { data, reason_string, user_properties } = said;
        self.said(Reason { reason_code, reason_string, server_reference: None, user_properties });
        data
    }

    /// The same of an answer with several Reason Codes.
    fn said_of_each(&self, said: SubscribeReason) -> Vec<ReasonCode> {
        let SubscribeReason { reason_codes, reason_string, user_properties } = said;
        let failure = reason_codes.iter().find(|code| code.is_error()).or(reason_codes.first());
        let reason_code = failure.copied().unwrap_or(ReasonCode::Success);
        self.said(Reason { reason_code, reason_string, server_reference: None, user_properties });
        reason_codes
    }

    /// The next message that is there.
    fn take(&self, engine: &mut Engine) -> Option<wit::Message> {
        let (publish, delivery) =
            if self.acknowledges_by_hand { engine.receive_unacknowledged()? } else { (engine.receive()?, None) };
        Some(wit::Message::new(&publish, delivery))
    }

    /// Whether `receive` would return at once.
    fn is_ready(&self) -> bool {
        self.client.borrow_mut().is_ready()
    }
}

impl wit::GuestClient for ExportedClient {
    fn start_again(&self, data: Option<Vec<u8>>) -> Result<(), wit::Error> {
        let mut client = self.client.borrow_mut();
        client.engine.authenticate_by_hand();
        if let Some(data) = data {
            client.engine.set_authentication_data(data);
        }
        client.run(Connecting)?;
        Ok(())
    }

    fn next_challenge(&self) -> Result<Option<Vec<u8>>, wit::Error> {
        match self.client.borrow_mut().run(NextStep)? {
            Step::Challenge(said) => {
                Ok(Some(self.said_in_auth(ReasonCode::ContinueAuthentication, said).unwrap_or_default()))
            }
            Step::Authenticated(said) => {
                *self.authentication_data.borrow_mut() = self.said_in_auth(ReasonCode::Success, said);
                Ok(None)
            }
        }
    }

    fn answer_challenge(&self, data: Vec<u8>) -> Result<(), wit::Error> {
        let Client { engine, network, .. } = &mut *self.client.borrow_mut();
        Ok(engine.answer_challenge(&data, network.now())?)
    }

    fn authenticate_again(&self, data: Vec<u8>) -> Result<(), wit::Error> {
        let Client { engine, network, .. } = &mut *self.client.borrow_mut();
        engine.authenticate_by_hand();
        Ok(engine.authenticate_again(&data, network.now())?)
    }

    fn authentication_data(&self) -> Option<Vec<u8>> {
        self.authentication_data.borrow().clone()
    }

    fn reconnect(&self) -> Result<bool, wit::Error> {
        Ok(self.client.borrow_mut().reconnect()?)
    }

    fn publish(&self, message: wit::Publication) -> Result<wit::ReasonCode, wit::Error> {
        let user_properties = message.user_properties();
        let reason = self.client.borrow_mut().publish_with_reason(&message.lend(&user_properties))?;
        let reason_code = reason.reason_code;
        self.said(reason);
        Ok(reason_code as u8)
    }

    fn publish_batch(&self, messages: Vec<wit::Publication>) -> Vec<Result<wit::ReasonCode, wit::Error>> {
        let user_properties: Vec<_> = messages.iter().map(wit::Publication::user_properties).collect();
        let messages =
            messages.iter().zip(&user_properties).map(|(message, user_properties)| message.lend(user_properties));
        let results = self.client.borrow_mut().publish_all(messages);
        results.into_iter().map(|result| Ok(result? as u8)).collect()
    }

    fn enqueue(&self, message: wit::Publication) -> Result<(), wit::Error> {
        let user_properties = message.user_properties();
        Ok(self.client.borrow_mut().enqueue(&message.lend(&user_properties))?)
    }

    fn flush(&self) -> Result<(), wit::Error> {
        Ok(self.client.borrow_mut().flush()?)
    }

    fn subscribe(
        &self,
        subscriptions: Vec<wit::Subscription>,
        identifier: Option<u32>,
        user_properties: Vec<(String, String)>,
    ) -> Result<Vec<Result<wit::Qos, wit::ReasonCode>>, wit::Error> {
        let subscriptions: Vec<Subscription<'_>> = subscriptions.iter().map(Into::into).collect();
        let user_properties = message::borrowed(&user_properties);
        let properties = SubscribeProperties {
            subscription_identifier: identifier,
            user_properties: user_properties.as_slice().into(),
        };
        let reason = self.client.borrow_mut().subscribe_with(&subscriptions, properties)?;
        Ok(self
            .said_of_each(reason)
            .into_iter()
            .map(|code| QoS::from_u8(code as u8).map(Into::into).ok_or(code as u8))
            .collect())
    }

    fn unsubscribe(
        &self,
        filters: Vec<String>,
        user_properties: Vec<(String, String)>,
    ) -> Result<Vec<wit::ReasonCode>, wit::Error> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let user_properties = message::borrowed(&user_properties);
        let properties = UnsubscribeProperties { user_properties: user_properties.as_slice().into() };
        let reason = self.client.borrow_mut().unsubscribe_with(&filters, properties)?;
        Ok(self.said_of_each(reason).into_iter().map(|code| code as u8).collect())
    }

    fn last_reason(&self) -> Option<wit::Reason> {
        self.last_reason.borrow().clone().map(Into::into)
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<wit::Message>, wit::Error> {
        Ok(self.client.borrow_mut().take_within(millis(timeout_ms), |engine, _| self.take(engine))?)
    }

    fn receive_batch(&self, max: u32, timeout_ms: u32) -> Result<Vec<wit::Message>, wit::Error> {
        let mut client = self.client.borrow_mut();
        let mut messages = Vec::new();
        while messages.len() < max as usize {
            let message = match messages.len() {
                0 => client.take_within(millis(timeout_ms), |engine, _| self.take(engine))?,
                _ => self.take(&mut client.engine),
            };
            match message {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    fn request(&self, message: wit::Publication, timeout_ms: u32) -> Result<wit::Message, wit::Error> {
        let user_properties = message.user_properties();
        Ok(self.client.borrow_mut().request(&message.lend(&user_properties), millis(timeout_ms))?.into())
    }

    fn start_request(&self, message: wit::Publication, timeout_ms: u32) -> Result<wit::PendingReply, wit::Error> {
        let user_properties = message.user_properties();
        let request = message.lend(&user_properties);
        let pending = self.client.borrow_mut().start_request(&request, millis(timeout_ms))?;
        Ok(wit::PendingReply::new(ExportedPendingReply { client: Rc::downgrade(&self.client), pending }))
    }

    fn next_request(&self, timeout_ms: u32) -> Result<Option<wit::IncomingRequest>, wit::Error> {
        let request = self.client.borrow_mut().next_request(millis(timeout_ms))?;
        Ok(request
            .map(|request| wit::IncomingRequest::new(ExportedRequest { client: Rc::downgrade(&self.client), request })))
    }

    fn acknowledge(&self, delivery: u64) -> bool {
        self.client.borrow_mut().acknowledge(Delivery::from_number(delivery))
    }

    fn deadline_ms(&self) -> Option<u64> {
        let client = self.client.borrow();
        let wait = client.deadline()?.saturating_duration_since(WasiTransport::clock());
        // Rounded up: who comes back early has nothing to do, and would again and again.
        let wait = wait.saturating_add(Duration::from_nanos(999_999));
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn info(&self) -> wit::ConnectionInfo {
        let client = self.client.borrow();
        client.engine.session().connection_info_or_default().into()
    }

    fn is_connected(&self) -> bool {
        self.client.borrow().is_connected()
    }

    fn in_flight(&self) -> u32 {
        self.client.borrow().stats().in_flight as u32
    }

    fn next_event(&self, timeout_ms: u32) -> Result<Option<wit::Event>, wit::Error> {
        Ok(self.client.borrow_mut().next_event(millis(timeout_ms))?.map(Into::into))
    }

    fn stats(&self) -> wit::Stats {
        self.client.borrow().stats().into()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.client.borrow().snapshot()
    }

    fn disconnect(&self, keep_will: bool) -> Result<(), wit::Error> {
        let reason_code =
            if keep_will { ReasonCode::DisconnectWithWillMessage } else { ReasonCode::NORMAL_DISCONNECTION };
        Ok(self.client.borrow_mut().disconnect_with(&Disconnect::new(reason_code))?)
    }

    fn disconnect_with(&self, disconnection: wit::Disconnection) -> Result<(), wit::Error> {
        let user_properties = message::borrowed(&disconnection.user_properties);
        let properties = DisconnectProperties {
            session_expiry_interval: disconnection.session_expiry_interval_seconds,
            reason_string: disconnection.reason_string.as_deref(),
            user_properties: user_properties.as_slice().into(),
            server_reference: None,
        };
        let invalid = EncodeError { kind: EncodeErrorKind::InvalidReasonCode, field: "Reason Code" };
        let code = ReasonCode::from_u8(disconnection.reason_code).ok_or(Error::Call(CallError::Invalid(invalid)))?;
        let disconnect = Disconnect { reason_code: code, properties };
        Ok(self.client.borrow_mut().disconnect_with(&disconnect)?)
    }
}

/// A request that was started.
pub(super) struct ExportedPendingReply {
    /// The client, which may be dropped before.
    client: Weak<RefCell<Client<ComponentTransport>>>,
    pending: PendingReply,
}

impl wit::GuestPendingReply for ExportedPendingReply {
    fn wait(&self, timeout_ms: u32) -> Result<Option<wit::Message>, wit::Error> {
        let client = alive(&self.client)?;
        let reply = client.borrow_mut().poll_reply(&self.pending, millis(timeout_ms))?;
        Ok(reply.map(Into::into))
    }
}

impl Drop for ExportedPendingReply {
    fn drop(&mut self) {
        if let Some(client) = self.client.upgrade() {
            client.borrow_mut().give_up(&self.pending);
        }
    }
}

/// A request to answer.
pub(super) struct ExportedRequest {
    client: Weak<RefCell<Client<ComponentTransport>>>,
    request: Request,
}

impl ExportedRequest {
    fn answer(&self, reply: &Reply) -> Result<(), wit::Error> {
        let client = alive(&self.client)?;
        let answered = client.borrow_mut().reply(&self.request, reply);
        Ok(answered?)
    }
}

impl wit::GuestIncomingRequest for ExportedRequest {
    fn message(&self) -> wit::Message {
        self.request.message().clone().into()
    }

    fn wants_reply(&self) -> bool {
        self.request.wants_reply()
    }

    fn remaining_ms(&self) -> Option<u64> {
        let remaining = self.request.remaining(WasiTransport::clock())?;
        Some(u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX))
    }

    fn reply(
        &self,
        payload: Vec<u8>,
        content_type: Option<String>,
        user_properties: Vec<(String, String)>,
    ) -> Result<(), wit::Error> {
        self.answer(&Reply { payload, content_type, user_properties, ..Reply::default() })
    }

    fn fail(&self, why: String) -> Result<(), wit::Error> {
        self.answer(&Reply::failed(why))
    }
}

impl Drop for ExportedRequest {
    fn drop(&mut self) {
        if let Some(client) = self.client.upgrade() {
            client.borrow_mut().give_up_request(&self.request);
        }
    }
}

fn connector(options: &Options) -> Result<WasiConnector, Error> {
    #[cfg(feature = "tls")]
    return WasiConnector::with_tls(options.tls.clone());
    #[cfg(not(feature = "tls"))]
    {
        let _ = options;
        Ok(WasiConnector::new())
    }
}

/// What a client waits for.
fn interest(client: &Client<ComponentTransport>) -> Option<Interest<'_>> {
    if client.engine.is_dialing() {
        return client.connector()?.as_any()?.downcast_ref().map(Interest::Connector);
    }
    let transport = client.transport()?.inner();
    Some(Interest::Transport { transport, reads: !client.engine.session().is_paused(), writes: client.has_outgoing() })
}

/// The client, unless it was dropped.
fn alive(client: &Weak<RefCell<Client<ComponentTransport>>>) -> Result<Rc<RefCell<Client<ComponentTransport>>>, Error> {
    client.upgrade().ok_or(Error::Call(CallError::NotConnected))
}

impl From<TraceContext> for trace::TraceContext {
    fn from(context: TraceContext) -> Self {
        Self { traceparent: context.traceparent(), tracestate: context.tracestate().into() }
    }
}

impl TryFrom<trace::TraceContext> for TraceContext {
    type Error = TraceError;

    fn try_from(context: trace::TraceContext) -> Result<Self, TraceError> {
        Self::parse(&context.traceparent, &context.tracestate)
    }
}

const fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms as u64)
}
