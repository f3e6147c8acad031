// The broker of the examples in the documentation, which include this file. It runs inside the example: over TCP
// (`start`), or in memory and under virtual time (`Memory`). It does what the examples need, and no more:
//
// - a Topic Name or Topic Filter that begins with `forbidden` is refused (Not authorized),
// - a login whose Password is `wrong` is refused (Bad User Name or Password),
// - any Authentication Method is taken, without a challenge unless it is `CHALLENGE`,
// - sessions are kept if they have a Session Expiry Interval, with what was not acknowledged.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use mqtt_wasi::codec::*;
use mqtt_wasi::engine::{Action, Call, Engine, Operation};
use mqtt_wasi::frame::FrameReader;
use mqtt_wasi::session::Session as ClientSession;
use mqtt_wasi::transport::{Transferred, Transport};
use mqtt_wasi::{Authenticator, Error, Instant, Message, TransportError};

/// Everything that the broker knows.
#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    sessions: Vec<Session>,
    retained: Vec<Message>,
    /// Of the network in memory.
    now: Instant,
}

struct Connection {
    reader: FrameReader,
    outgoing: Vec<u8>,
    session: Option<usize>,
    is_closed: bool,
    /// What is to be sent once the client has answered a challenge.
    method: Option<String>,
}

#[derive(Default)]
struct Session {
    client_id: String,
    is_kept: bool,
    connection: Option<usize>,
    will: Option<Message>,
    subscriptions: Vec<(String, QoS, Option<u32>)>,
    in_flight: Vec<(PacketId, Message)>,
    last_id: u16,
    /// QoS 2 messages that were published and not released.
    received: Vec<PacketId>,
}

impl State {
    fn open(&mut self) -> usize {
        let reader = FrameReader::new(u32::MAX);
        let connection = Connection { reader, outgoing: Vec::new(), session: None, is_closed: false, method: None };
        self.connections.push(connection);
        self.connections.len() - 1
    }

    fn close(&mut self, at: usize) {
        self.connections[at].is_closed = true;
        let Some(session) = self.connections[at].session.take() else { return };
        self.sessions[session].connection = None;
        if let Some(will) = self.sessions[session].will.take() {
            self.route(&will);
        }
        if !self.sessions[session].is_kept {
            self.sessions[session] = Session::default();
        }
    }

    fn send(&mut self, at: usize, packet: Packet<'_>) {
        packet.encode(&mut self.connections[at].outgoing).expect("a valid packet");
    }

    fn receive(&mut self, at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.connections[at].reader.space();
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            self.connections[at].reader.filled(len);
            bytes = &bytes[len..];
            loop {
                let next = self.connections[at].reader.next_frame();
                let next = next.map(|next| next.map(|frame| (frame.packet_type, frame.flags, frame.body.to_vec())));
                let (packet_type, flags, body) = match next {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(_) => return self.close(at),
                };
                match Packet::decode_body(packet_type, flags, &body, DecodeOptions::default()) {
                    Ok(packet) => self.take(at, packet),
                    Err(_) => return self.close(at),
                }
            }
        }
    }

    fn take(&mut self, at: usize, packet: Packet<'_>) {
        let session = self.connections[at].session;
        match packet {
            Packet::Connect(connect) => self.connect(at, &connect),
            Packet::Publish(publish) => {
                let may = !publish.topic.starts_with("forbidden");
                let session = &mut self.sessions[session.expect("CONNECT first")];
                let is_new = publish.packet_id.is_none_or(|id| !session.received.contains(&id));
                if publish.qos == QoS::ExactlyOnce {
                    session.received.extend(publish.packet_id.filter(|_| is_new && may));
                }
                let got = if is_new && may { self.route(&publish.into()) } else { 1 };
                let reason_code = match got {
                    _ if !may => ReasonCode::NotAuthorized,
                    0 => ReasonCode::NoMatchingSubscribers,
                    _ => ReasonCode::Success,
                };
                let Some(id) = publish.packet_id else { return };
                let properties =
                    AckProperties { reason_string: (!may).then_some("not for this client"), ..Default::default() };
                let ack = Ack { reason_code, properties, ..Ack::success(id) };
                let is_once = publish.qos == QoS::ExactlyOnce;
                self.send(at, if is_once { Packet::Pubrec(ack) } else { Packet::Puback(ack) });
            }
            Packet::Pubrel(ack) => {
                self.sessions[session.unwrap()].received.retain(|id| *id != ack.packet_id);
                self.send(at, Packet::Pubcomp(Ack::success(ack.packet_id)));
            }
            Packet::Pubrec(ack) => self.send(at, Packet::Pubrel(Ack::success(ack.packet_id))),
            Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                self.sessions[session.unwrap()].in_flight.retain(|(id, _)| *id != ack.packet_id);
            }
            Packet::Subscribe(subscribe) => self.subscribe(at, &subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                let known = &mut self.sessions[session.unwrap()].subscriptions;
                let codes: Vec<_> = unsubscribe
                    .filters
                    .iter()
                    .map(|filter| match known.iter().position(|(known, ..)| known == filter) {
                        Some(place) => (known.remove(place), ReasonCode::Success).1,
                        None => ReasonCode::NoSubscriptionExisted,
                    })
                    .collect();
                let reason_codes = codes.as_slice().into();
                let packet_id = unsubscribe.packet_id;
                self.send(at, Packet::Unsuback(Unsuback { packet_id, properties: Default::default(), reason_codes }));
            }
            Packet::Pingreq => self.send(at, Packet::Pingresp),
            Packet::Auth(auth) if auth.reason_code == ReasonCode::ReAuthenticate => {
                self.send(at, Packet::Auth(Auth { reason_code: ReasonCode::Success, ..auth }));
            }
            Packet::Auth(_) => self.accept(at, false),
            Packet::Disconnect(disconnect) => {
                if let Some(session) = session.filter(|_| disconnect.reason_code == ReasonCode::NORMAL_DISCONNECTION) {
                    self.sessions[session].will = None;
                }
                self.close(at);
            }
            _ => self.close(at),
        }
    }

    fn connect(&mut self, at: usize, connect: &Connect<'_>) {
        if connect.password == Some(b"wrong") {
            let reason_code = ReasonCode::BadUserNameOrPassword;
            self.send(at, Packet::Connack(Connack { reason_code, ..Default::default() }));
            return self.close(at);
        }
        let client_id = match connect.client_id {
            "" => format!("assigned-{at}"),
            client_id => client_id.to_owned(),
        };
        let known = self.sessions.iter().position(|session| session.client_id == client_id);
        if let Some(other) = known.and_then(|known| self.sessions[known].connection) {
            self.send(other, Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver)));
            self.close(other);
        }
        let known = known.filter(|known| self.sessions[*known].client_id == client_id && !connect.clean_start);
        let place = known.unwrap_or_else(|| {
            self.sessions.retain(|session| session.client_id != client_id || session.connection.is_some());
            self.sessions.push(Session::default());
            self.sessions.len() - 1
        });
        let session = &mut self.sessions[place];
        session.client_id = client_id;
        session.connection = Some(at);
        session.is_kept = connect.properties.session_expiry_interval.unwrap_or(0) > 0;
        session.will = connect.will.map(|will| {
            let message = Publish::new(will.topic, will.payload).qos(will.qos).retain(will.retain);
            message.into()
        });
        // Places of sessions may have changed.
        for (place, session) in self.sessions.iter().enumerate() {
            if let Some(connection) = session.connection {
                self.connections[connection].session = Some(place);
            }
        }
        self.connections[at].method = connect.properties.authentication_method.map(Into::into);
        if connect.properties.authentication_method == Some("CHALLENGE") {
            let properties = AuthProperties {
                authentication_method: Some("CHALLENGE"),
                authentication_data: Some(b"who are you?"),
                ..Default::default()
            };
            self.send(at, Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties }));
        } else {
            self.accept(at, known.is_some());
        }
    }

    fn accept(&mut self, at: usize, session_present: bool) {
        let session = &self.sessions[self.connections[at].session.unwrap()];
        let (client_id, method) = (session.client_id.clone(), self.connections[at].method.clone());
        let in_flight = session.in_flight.clone();
        let properties = ConnackProperties {
            assigned_client_identifier: client_id.starts_with("assigned-").then_some(&client_id),
            authentication_method: method.as_deref(),
            topic_alias_maximum: Some(8),
            ..Default::default()
        };
        self.send(at, Packet::Connack(Connack { session_present, properties, ..Default::default() }));
        for (id, message) in in_flight {
            self.deliver(at, &message, Some(id), true, &[]);
        }
    }

    fn subscribe(&mut self, at: usize, subscribe: &Subscribe<'_>) {
        let session = self.connections[at].session.unwrap();
        let identifier = subscribe.properties.subscription_identifier;
        let codes: Vec<_> = subscribe
            .subscriptions
            .iter()
            .map(|subscription| match subscription.filter {
                filter if filter.starts_with("forbidden") => ReasonCode::NotAuthorized,
                filter => {
                    let known = &mut self.sessions[session].subscriptions;
                    known.retain(|(known, ..)| known != filter);
                    known.push((filter.into(), subscription.maximum_qos, identifier));
                    ReasonCode::from_u8(subscription.maximum_qos as u8).unwrap()
                }
            })
            .collect();
        let (packet_id, reason_codes) = (subscribe.packet_id, codes.as_slice().into());
        self.send(at, Packet::Suback(Suback { packet_id, properties: Default::default(), reason_codes }));
        for subscription in subscribe.subscriptions {
            for message in self.retained.clone() {
                if topic_matches(subscription.filter, &message.topic)
                    && subscription.retain_handling != RetainHandling::DoNotSend
                {
                    let identifiers: Vec<_> = identifier.into_iter().collect();
                    self.queue(session, message, subscription.maximum_qos, true, &identifiers);
                }
            }
        }
    }

    /// Hands a message to those who subscribed; how many those are.
    fn route(&mut self, message: &Message) -> usize {
        if message.retain {
            self.retained.retain(|retained| retained.topic != message.topic);
            if !message.payload.is_empty() {
                self.retained.push(message.clone());
            }
        }
        let mut got = 0;
        for session in 0..self.sessions.len() {
            let matching = self.sessions[session].subscriptions.iter();
            let matching: Vec<_> = matching.filter(|(filter, ..)| topic_matches(filter, &message.topic)).collect();
            let Some(qos) = matching.iter().map(|(_, qos, _)| *qos).max() else { continue };
            let identifiers: Vec<_> = matching.iter().filter_map(|(_, _, identifier)| *identifier).collect();
            got += 1;
            self.queue(session, message.clone(), qos, false, &identifiers);
        }
        got
    }

    fn queue(&mut self, session: usize, mut message: Message, most: QoS, retain: bool, identifiers: &[u32]) {
        let Session { last_id, in_flight, connection, .. } = &mut self.sessions[session];
        (message.qos, message.retain, message.dup) = (message.qos.min(most), retain, false);
        let id = (message.qos != QoS::AtMostOnce).then(|| {
            *last_id += 1;
            let id = PacketId::new(*last_id).unwrap();
            in_flight.push((id, message.clone()));
            id
        });
        if let Some(at) = *connection {
            self.deliver(at, &message, id, false, identifiers);
        }
    }

    fn deliver(&mut self, at: usize, message: &Message, packet_id: Option<PacketId>, dup: bool, identifiers: &[u32]) {
        let user_properties: Vec<_> = message.user_properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        let properties = PublishProperties {
            payload_format_indicator: message.payload_format_indicator,
            message_expiry_interval: message.message_expiry_interval,
            content_type: message.content_type.as_deref(),
            response_topic: message.response_topic.as_deref(),
            correlation_data: message.correlation_data.as_deref(),
            user_properties: user_properties.as_slice().into(),
            subscription_identifiers: identifiers.into(),
            ..Default::default()
        };
        let publish = Publish::new(&message.topic, &message.payload).qos(message.qos).retain(message.retain);
        self.send(at, Packet::Publish(Publish { dup, packet_id, ..publish.properties(properties) }));
    }
}

/// An Authentication Method without challenges.
#[derive(Clone)]
pub struct Token(pub Vec<u8>);

impl Authenticator for Token {
    fn method(&self) -> &str {
        "TOKEN"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.clone()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("a token has no more to say".into())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// A broker in memory: a [`Transport`] whose clock moves only when somebody waits.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    at: usize,
}

impl Memory {
    pub fn new() -> Self {
        let mut state = State::default();
        let at = state.open();
        Self { state: Arc::new(Mutex::new(state)), at }
    }

    /// Another connection to the same broker.
    pub fn again(&self) -> Self {
        let at = self.state().open();
        Self { at, state: Arc::clone(&self.state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.state().now
    }

    /// Time passes.
    pub fn pass(&self, time: Duration) {
        let mut state = self.state();
        state.now = state.now + time;
    }

    /// The broker publishes a message.
    pub fn publish(&self, message: Publish<'_>) {
        self.state().route(&message.into());
    }

    /// The broker publishes a request to `greet`, which comes again each time that this is called.
    pub fn ask(&self, name: &str) {
        let properties = PublishProperties {
            response_topic: Some("replies/ada"),
            correlation_data: Some(b"1"),
            ..Default::default()
        };
        self.publish(Publish::new("greet", name).qos(QoS::AtLeastOnce).properties(properties));
    }

    /// A session that is connected, and subscribed to `greet`.
    pub fn session(&mut self) -> ClientSession {
        let mut session = ClientSession::new(mqtt_wasi::Options::new());
        session.connect(self.now()).unwrap();
        self.exchange(&mut session);
        session.subscribe(&[Subscription::new("greet", QoS::AtLeastOnce)], Default::default()).unwrap();
        self.exchange(&mut session);
        while session.poll_event().is_some() {}
        session
    }

    /// The broker closes the connection.
    pub fn cut(&self) {
        self.state().close(self.at);
    }

    /// Moves bytes between a session and the broker until nothing is left to be moved.
    pub fn exchange(&mut self, session: &mut ClientSession) {
        loop {
            let (outgoing, incoming) = session.prepare_transfer();
            let now = self.now();
            let Ok(moved) = self.transfer(outgoing, incoming, Some(now)) else { return };
            session.transmitted(moved.sent, now);
            session.received(moved.received, now);
            if moved.closed {
                return session.connection_closed(Error::ConnectionClosed);
            }
            if moved == Transferred::default() {
                return;
            }
        }
    }

    /// Does what an engine wants done, once.
    pub fn turn(&mut self, engine: &mut Engine) {
        while let Some(action) = engine.poll_action(self.now()) {
            let now = self.now();
            match action {
                Action::Connect { attempt, .. } => {
                    *self = self.again();
                    engine.connected(attempt, now);
                }
                Action::Authenticate(work) => engine.authenticated(work.run(), now),
                _ => {}
            }
        }
        if engine.has_transport() {
            let turn = engine.turn(self.now());
            let moved = self.transfer(turn.outgoing, turn.incoming, turn.until);
            engine.turned(moved, self.now());
        } else if let Some(deadline) = engine.deadline() {
            self.pass(deadline.saturating_duration_since(self.now()));
            engine.handle_timeout(self.now());
        }
    }

    /// Drives an engine until a call is over.
    pub fn run<O: Operation>(&mut self, engine: &mut Engine, operation: O) -> Result<O::Output, Error> {
        let mut call = Call::new(operation);
        loop {
            let now = self.now();
            if let Poll::Ready(result) = engine.poll_call(&mut call, None, &mut || now) {
                return result;
            }
            self.turn(engine);
        }
    }
}

impl Transport for Memory {
    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let state = Arc::clone(&self.state);
        let mut state = state.lock().unwrap();
        if !state.connections[self.at].is_closed {
            state.receive(self.at, outgoing);
        }
        let connection = &mut state.connections[self.at];
        let received = connection.outgoing.len().min(incoming.len());
        incoming[..received].copy_from_slice(&connection.outgoing[..received]);
        connection.outgoing.drain(..received);
        let closed = connection.is_closed && connection.outgoing.is_empty();
        let moved = Transferred { sent: outgoing.len(), received, closed };
        if moved == Transferred::default() {
            // Nobody else is there to wait for.
            let until = until.expect("something to wait for");
            state.now = state.now.max(until);
        }
        Ok(moved)
    }

    fn close(&mut self) {
        self.cut();
    }
}

#[cfg(feature = "std")]
pub use tcp::*;

#[cfg(feature = "std")]
mod tcp {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// A broker on a port of its own.
    pub struct Broker {
        url: String,
        shared: Arc<Mutex<(State, Vec<TcpStream>)>>,
    }

    /// Starts a broker.
    pub fn start() -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new((State::default(), Vec::new())));
        let broker = Broker { url, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_nodelay(true).unwrap();
                let mut guard = shared.lock().unwrap();
                let at = guard.0.open();
                guard.1.push(stream.try_clone().unwrap());
                drop(guard);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(at, stream, &shared));
            }
        });
        broker
    }

    fn serve(at: usize, mut stream: TcpStream, shared: &Mutex<(State, Vec<TcpStream>)>) {
        let mut bytes = [0; 65_536];
        loop {
            let len = stream.read(&mut bytes).unwrap_or(0);
            let mut guard = shared.lock().unwrap();
            let (state, streams) = &mut *guard;
            match len {
                0 => state.close(at),
                _ => state.receive(at, &bytes[..len]),
            }
            flush(state, streams);
            if state.connections[at].is_closed {
                return;
            }
        }
    }

    fn flush(state: &mut State, streams: &mut [TcpStream]) {
        for (connection, stream) in state.connections.iter_mut().zip(streams) {
            let outgoing = std::mem::take(&mut connection.outgoing);
            let _ = stream.write_all(&outgoing);
            if connection.is_closed {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    impl Broker {
        pub fn url(&self) -> String {
            self.url.clone()
        }

        /// The host and port.
        pub fn address(&self) -> String {
            self.url.replace("mqtt://", "")
        }

        /// Closes every connection, without a word.
        pub fn cut(&self) {
            let mut guard = self.shared.lock().unwrap();
            let (state, streams) = &mut *guard;
            for at in 0..state.connections.len() {
                state.close(at);
            }
            flush(state, streams);
        }

        /// Publishes a message.
        pub fn publish(&self, message: Publish<'_>) {
            let mut guard = self.shared.lock().unwrap();
            let (state, streams) = &mut *guard;
            state.route(&message.into());
            flush(state, streams);
        }

        /// A responder at `calculator/add`, which adds the numbers in a request, as text or in JSON.
        pub fn with_calculator(self) -> Self {
            use mqtt_wasi::{Client, Options, Reply};
            let mut client = Client::connect(&self.url, Options::new()).unwrap();
            client.subscribe(&[Subscription::new("calculator/add", QoS::AtLeastOnce)]).unwrap();
            thread::spawn(move || {
                while let Ok(request) = client.next_request(Duration::MAX) {
                    let Some(request) = request else { continue };
                    let text = String::from_utf8_lossy(&request.message().payload).into_owned();
                    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
                    let sum = numbers.map(|number| number.parse::<u64>().unwrap()).sum::<u64>();
                    let reply = match sum {
                        0 => Reply::failed("no numbers"),
                        sum => sum.to_string().into(),
                    };
                    if client.reply(&request, &reply).is_err() {
                        return;
                    }
                }
            });
            self
        }
    }
}
