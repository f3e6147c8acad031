//! The exported interface.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use super::bindings;
use super::bindings::exports::mqtt_wasi::client::mqtt as wit;
use crate::client::Client;
use crate::codec::{
    Disconnect, QoS, ReasonCode, SubscribeProperties, Subscription, UnknownProperties, UnsubscribeProperties,
};
use crate::error::{Error, RequestError};
use crate::options::Options;
use crate::session::{Delivery, Session};
use crate::transport::{Transport, WasiTransport, wait_for_any};
use crate::url::BrokerUrl;

pub(super) struct Component;

impl wit::Guest for Component {
    type Client = ExportedClient;
    type ConnectOptions = ExportedOptions;

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
            let interests =
                borrowed.iter().map(|client| (client.transport(), client.wants_input(), client.has_outgoing()));
            wait_for_any(interests, until);
        }
    }
}

/// The options, field by field: their builder would move them as a whole with each call.
#[derive(Default)]
pub(super) struct ExportedOptions {
    options: RefCell<Options>,
    acknowledges_by_hand: Cell<bool>,
}

impl wit::GuestConnectOptions for ExportedOptions {
    fn new() -> Self {
        Self::default()
    }

    fn set_client_id(&self, client_id: String) {
        self.options.borrow_mut().client_id = client_id;
    }

    fn set_clean_start(&self, clean_start: bool) {
        self.options.borrow_mut().clean_start = clean_start;
    }

    fn set_keep_alive_seconds(&self, seconds: u16) {
        self.options.borrow_mut().keep_alive = seconds;
    }

    fn set_user_name(&self, user_name: String) {
        self.options.borrow_mut().user_name = Some(user_name);
    }

    fn set_password(&self, password: Vec<u8>) {
        self.options.borrow_mut().password = Some(password);
    }

    fn set_will(&self, will: wit::Will) {
        self.options.borrow_mut().will = Some(will.into());
    }

    fn set_session_expiry_interval_seconds(&self, seconds: u32) {
        self.options.borrow_mut().session_expiry_interval = seconds;
    }

    fn set_receive_maximum(&self, messages: u16) {
        self.options.borrow_mut().receive_maximum = messages;
    }

    fn set_maximum_packet_size(&self, bytes: u32) {
        self.options.borrow_mut().maximum_packet_size = bytes;
    }

    fn set_topic_alias_maximum(&self, aliases: u16) {
        self.options.borrow_mut().topic_alias_maximum = aliases;
    }

    fn set_outbound_topic_aliases(&self, aliases: u16) {
        self.options.borrow_mut().outbound_topic_aliases = aliases;
    }

    fn set_request_response_information(&self, request: bool) {
        self.options.borrow_mut().request_response_information = request;
    }

    fn set_request_problem_information(&self, request: bool) {
        self.options.borrow_mut().request_problem_information = request;
    }

    fn add_user_property(&self, name: String, value: String) {
        self.options.borrow_mut().user_properties.push((name, value));
    }

    fn set_skip_unknown_properties(&self, skip: bool) {
        let unknown = if skip { UnknownProperties::Skip } else { UnknownProperties::Malformed };
        self.options.borrow_mut().decode.unknown_properties = unknown;
    }

    fn set_acknowledge_by_hand(&self, by_hand: bool) {
        self.acknowledges_by_hand.set(by_hand);
    }

    fn set_connect_timeout_ms(&self, timeout_ms: u32) {
        self.options.borrow_mut().connect_timeout = millis(timeout_ms);
    }

    fn set_response_timeout_ms(&self, timeout_ms: u32) {
        self.options.borrow_mut().response_timeout = millis(timeout_ms);
    }

    fn set_outbound_limit(&self, bytes: u32) {
        self.options.borrow_mut().outbound_limit = bytes as usize;
    }

    fn set_in_flight_limit(&self, messages: u16) {
        self.options.borrow_mut().in_flight_limit = messages;
    }

    fn set_backlog_limit(&self, bytes: u32) {
        self.options.borrow_mut().backlog_limit = bytes as usize;
    }
}

/// A client, and what it takes to connect it again.
pub(super) struct ExportedClient {
    client: RefCell<Client<WasiTransport>>,
    url: BrokerUrl,
    connect_timeout: Duration,
    acknowledges_by_hand: bool,
}

impl ExportedClient {
    /// The next message that is there.
    fn take(&self, session: &mut Session) -> Option<wit::Message> {
        let (publish, delivery) =
            if self.acknowledges_by_hand { session.receive_unacknowledged()? } else { (session.receive()?, None) };
        Some(wit::Message::new(&publish, delivery))
    }

    /// Whether `receive` would return at once.
    fn is_ready(&self) -> bool {
        self.client.borrow_mut().is_ready()
    }
}

impl wit::GuestClient for ExportedClient {
    fn connect(url: String, options: Option<wit::ConnectOptionsBorrow<'_>>) -> Result<wit::Client, wit::Error> {
        let url: BrokerUrl = url.parse().map_err(Error::Url)?;
        url.require_plain().map_err(Error::Url)?;
        let (options, acknowledges_by_hand) = match &options {
            Some(options) => {
                let options = options.get::<ExportedOptions>();
                (options.options.borrow().clone(), options.acknowledges_by_hand.get())
            }
            None => (Options::new(), false),
        };
        options.validate().map_err(RequestError::InvalidOptions).map_err(Error::Request)?;
        let connect_timeout = options.connect_timeout;
        let transport = WasiTransport::connect(&url.host, url.port, connect_timeout).map_err(Error::Transport)?;
        let client = Client::connect_over(transport, options.login_from(url.clone()))?;
        Ok(wit::Client::new(Self { client: RefCell::new(client), url, connect_timeout, acknowledges_by_hand }))
    }

    fn reconnect(&self) -> Result<bool, wit::Error> {
        let mut client = self.client.borrow_mut();
        // How the last connection ends is no matter any more.
        let _ = client.disconnect();
        let transport =
            WasiTransport::connect(&self.url.host, self.url.port, self.connect_timeout).map_err(Error::Transport)?;
        Ok(client.reconnect_over(transport)?)
    }

    fn publish(&self, message: wit::Publication) -> Result<wit::ReasonCode, wit::Error> {
        let user_properties = message.user_properties();
        Ok(self.client.borrow_mut().publish(&message.lend(&user_properties))?.into())
    }

    fn publish_batch(&self, messages: Vec<wit::Publication>) -> Vec<Result<wit::ReasonCode, wit::Error>> {
        let user_properties: Vec<_> = messages.iter().map(wit::Publication::user_properties).collect();
        let messages =
            messages.iter().zip(&user_properties).map(|(message, user_properties)| message.lend(user_properties));
        let results = self.client.borrow_mut().publish_all(messages);
        results.into_iter().map(|result| Ok(result?.into())).collect()
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
    ) -> Result<Vec<Result<wit::Qos, wit::ReasonCode>>, wit::Error> {
        let subscriptions: Vec<Subscription<'_>> = subscriptions.iter().map(Into::into).collect();
        let properties = SubscribeProperties { subscription_identifier: identifier, ..SubscribeProperties::default() };
        let reason = self.client.borrow_mut().subscribe_with(&subscriptions, properties)?;
        Ok(reason
            .reason_codes
            .into_iter()
            .map(|code| QoS::from_u8(code as u8).map(Into::into).ok_or(code.into()))
            .collect())
    }

    fn unsubscribe(&self, filters: Vec<String>) -> Result<Vec<wit::ReasonCode>, wit::Error> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let reason = self.client.borrow_mut().unsubscribe_with(&filters, UnsubscribeProperties::default())?;
        Ok(reason.reason_codes.into_iter().map(Into::into).collect())
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<wit::Message>, wit::Error> {
        Ok(self.client.borrow_mut().receive_from(Some(millis(timeout_ms)), |session| self.take(session))?)
    }

    fn receive_batch(&self, max: u32, timeout_ms: u32) -> Result<Vec<wit::Message>, wit::Error> {
        let mut client = self.client.borrow_mut();
        let mut messages = Vec::new();
        while messages.len() < max as usize {
            let message = match messages.len() {
                0 => client.receive_from(Some(millis(timeout_ms)), |session| self.take(session))?,
                _ => client.take_from(|session| self.take(session)),
            };
            match message {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    fn acknowledge(&self, delivery: u64) -> bool {
        self.client.borrow_mut().acknowledge(Delivery::from_bits(delivery))
    }

    fn readiness(&self) -> Result<bindings::wasi::io::poll::Pollable, wit::Error> {
        let client = self.client.borrow();
        Ok(client.transport().readiness().ok_or(Error::Request(RequestError::NotConnected))?)
    }

    fn deadline_ms(&self) -> Option<u64> {
        let client = self.client.borrow();
        let wait = client.deadline()?.saturating_duration_since(client.transport().now());
        // Rounded up: who comes back early has nothing to do, and would again and again.
        let wait = wait.saturating_add(Duration::from_nanos(999_999));
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn info(&self) -> wit::ConnectionInfo {
        let client = self.client.borrow();
        wit::ConnectionInfo::new(client.client_id(), &client.connack().unwrap_or_default())
    }

    fn is_connected(&self) -> bool {
        self.client.borrow().is_connected()
    }

    fn in_flight(&self) -> u32 {
        self.client.borrow().in_flight() as u32
    }

    fn disconnect(&self, keep_will: bool) -> Result<(), wit::Error> {
        let reason_code =
            if keep_will { ReasonCode::DisconnectWithWillMessage } else { ReasonCode::NORMAL_DISCONNECTION };
        Ok(self.client.borrow_mut().disconnect_with(&Disconnect::new(reason_code))?)
    }
}

const fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms as u64)
}
