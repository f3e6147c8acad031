//! The model broker: sessions, QoS, flow control, Topic Aliases, credentials and terms of MQTT v5.0, as far as clients
//! notice. It is strict: what a client must not send ends the simulation. It may go down, lose sessions, change its terms,
//! and throw clients out.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use mqtt_wasi::codec::{
    Ack, Auth, AuthProperties, Connack, ConnackProperties, Connect, Disconnect, DisconnectProperties, Packet, PacketId,
    PacketType, Publish, PublishProperties, QoS, ReasonCode, Suback, Subscribe, Unsuback, Unsubscribe, topic_matches,
};

use crate::client::METHOD;
use crate::clock::Moment;
use crate::ledger::Key;
use crate::link::{LinkId, NEVER, Read};
use crate::world::{HOSTS, Surroundings};

/// What the broker says in CONNACK.
#[derive(Debug, Clone, Copy, Default)]
struct Terms {
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
    maximum_qos: Option<QoS>,
    topic_alias_maximum: u16,
    keep_alive: Option<u16>,
}

/// A packet in a line.
fn in_short(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(Publish { dup, qos, topic, packet_id, payload, properties, .. }) => {
            let payload = String::from_utf8_lossy(payload);
            let id = packet_id.map_or(0, PacketId::get);
            let alias = properties.topic_alias.unwrap_or(0);
            format!("PUBLISH {} QoS {} {id} dup {dup} topic {topic} alias {alias}", payload.trim_end(), *qos as u8)
        }
        Packet::Puback(ack) => format!("PUBACK {} {}", ack.packet_id.get(), ack.reason_code),
        Packet::Pubrec(ack) => format!("PUBREC {} {}", ack.packet_id.get(), ack.reason_code),
        Packet::Pubrel(ack) => format!("PUBREL {} {}", ack.packet_id.get(), ack.reason_code),
        Packet::Pubcomp(ack) => format!("PUBCOMP {} {}", ack.packet_id.get(), ack.reason_code),
        packet => format!("{packet:?}"),
    }
}

/// A message that the broker has.
#[derive(Clone)]
struct Stored {
    topic: Rc<str>,
    payload: Rc<[u8]>,
    qos: QoS,
    response_topic: Option<Rc<str>>,
    correlation_data: Option<Rc<[u8]>>,
}

impl Stored {
    /// Which message of the ledger it is; requests and replies are none.
    fn key(&self) -> Option<Key> {
        self.topic.starts_with("t/").then(|| Key::of(&self.payload))
    }
}

/// A message on its way to a subscriber.
struct Flight {
    id: u16,
    message: Stored,
    /// Whether PUBREC has come.
    is_released: bool,
}

struct Session {
    client: usize,
    /// No two sessions have the same.
    number: u64,
    subscriptions: BTreeMap<String, QoS>,
    waiting: VecDeque<Stored>,
    flights: Vec<Flight>,
    last_id: u16,
    /// Messages at QoS 2 that were not released.
    received: BTreeMap<PacketId, Stored>,
    /// Messages at QoS 1 and 2 that came and whose end the client has not heard of, as far as the broker knows.
    unanswered: BTreeMap<PacketId, Key>,
    link: Option<LinkId>,
    expiry: u32,
    expires: Moment,
    /// Whether its client has shown that it knows of it. If it does not, and hears of a session at the next connection, it
    /// takes that for the one before, which is lost: MQTT cannot tell it. So this broker begins anew until then.
    is_known: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// CONNECT is yet to come.
    New,
    Challenged,
    Open,
}

struct Connection {
    stage: Stage,
    /// Whether CONNACK was sent.
    is_greeted: bool,
    client: usize,
    client_id: String,
    buffer: Vec<u8>,
    last_heard: Moment,
    keep_alive: u16,
    clean_start: bool,
    expiry: u32,
    has_method: bool,
    /// When its credentials are worth nothing any more.
    expires: Moment,
    /// What the client said in CONNECT.
    receive_maximum: u16,
    maximum_packet_size: u32,
    topic_alias_maximum: u16,
    terms: Terms,
    /// Messages that the client has in flight, by identifier.
    from_client: Vec<PacketId>,
    /// The last message over this connection, by topic.
    last: BTreeMap<String, Option<usize>>,
    /// How many of the broker's are in flight.
    to_client: u16,
    aliases: BTreeMap<u16, Rc<str>>,
    own_aliases: Vec<Rc<str>>,
    /// What is sent then.
    answers: VecDeque<(Moment, Vec<u8>, Option<PacketId>)>,
    slowness: u64,
}

pub(crate) struct Broker {
    connections: BTreeMap<LinkId, Connection>,
    sessions: Vec<Session>,
    last_session: u64,
    terms: Terms,
    /// Until when each of its hosts is down.
    down: [Moment; HOSTS.len()],
    /// Whether messages at QoS 2 go to subscribers when they are released, and not when they come.
    waits_for_release: bool,
}

impl Broker {
    pub(crate) fn new(s: &mut Surroundings) -> Self {
        let (connections, sessions) = (BTreeMap::new(), Vec::new());
        let waits_for_release = s.random.once_in(2);
        let down = [Moment::ZERO; HOSTS.len()];
        let terms = Terms::default();
        let mut broker = Self { connections, sessions, last_session: 0, terms, down, waits_for_release };
        broker.change_terms(s);
        broker
    }

    fn change_terms(&mut self, s: &mut Surroundings) {
        self.terms = Terms {
            receive_maximum: s.random.pick(&[None, None, Some(1), Some(3), Some(20)]),
            maximum_packet_size: s.random.pick(&[None, None, None, Some(200), Some(1_000)]),
            maximum_qos: s.random.pick(&[None, None, None, None, Some(QoS::AtLeastOnce), Some(QoS::AtMostOnce)]),
            topic_alias_maximum: s.random.pick(&[0, 0, 3]),
            keep_alive: s.random.pick(&[None, None, None, Some(20), Some(0)]),
        };
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What happens to it

    pub(crate) fn is_up(&self, host: usize, now: Moment) -> bool {
        self.down[host] <= now
    }

    /// One of its hosts goes down, and with it the connections to that; perhaps sessions are lost, and it comes back with
    /// other terms.
    pub(crate) fn goes_down(&mut self, s: &mut Surroundings) {
        let host = s.random.below(HOSTS.len() as u64) as usize;
        self.down[host] = s.now + s.random.mostly_short(400_000);
        s.say(|| format!("host {host} is down"));
        let reason = s.random.pick(&[None, Some(ReasonCode::ServerShuttingDown), Some(ReasonCode::ServerBusy)]);
        for link in s.network.ids() {
            if s.network.get(link).host != host {
                continue;
            }
            match reason {
                None => {
                    // Its last words were on their way.
                    self.lose(link, s);
                    s.network.reset(link, s.now, s.random);
                    s.network.broker_closes(link, s.now);
                }
                Some(reason) => self.throw_out(link, reason, s),
            }
        }
        if s.random.once_in(3) {
            s.say(|| "sessions are lost".into());
            let sessions = std::mem::take(&mut self.sessions);
            for session in sessions {
                if let Some(link) = session.link {
                    self.close(link, s);
                }
                s.ledger.tally.sessions_lost += 1;
            }
        }
        if s.random.once_in(2) {
            self.change_terms(s);
            s.say(|| format!("{:?}", self.terms));
        }
    }

    /// It ends one of its connections.
    pub(crate) fn throws_somebody_out(&mut self, s: &mut Surroundings) {
        let open = self.connections.iter().filter(|(_, connection)| connection.stage == Stage::Open);
        let open: Vec<_> = open.map(|(link, _)| *link).collect();
        if open.is_empty() {
            return;
        }
        let link = s.random.pick(&open);
        match s.random.below(4) {
            0 => self.close(link, s),
            1 => self.throw_out(link, ReasonCode::AdministrativeAction, s),
            2 => self.throw_out(link, ReasonCode::UseAnotherServer, s),
            _ => self.throw_out(link, ReasonCode::NotAuthorized, s),
        }
    }

    /// Everything is well from now on.
    pub(crate) fn calm_down(&mut self) {
        self.down = [Moment::ZERO; HOSTS.len()];
        self.terms = Terms::default();
    }

    /// When it has something to do by itself.
    pub(crate) fn next(&self) -> Moment {
        let answers = self.connections.values().filter_map(|connection| connection.answers.front().map(|next| next.0));
        let ends = self.connections.values().map(Connection::ends);
        let sessions = self.sessions.iter().filter(|session| session.link.is_none()).map(|session| session.expires);
        answers.chain(ends).chain(sessions).min().unwrap_or(NEVER)
    }

    /// Does what is due.
    pub(crate) fn run(&mut self, s: &mut Surroundings) {
        for link in self.connections.keys().copied().collect::<Vec<_>>() {
            self.send_answers(link, s);
            let Some(connection) = self.connections.get(&link) else { continue };
            if connection.ends() <= s.now {
                let reason = match connection.expires <= s.now {
                    true => ReasonCode::NotAuthorized,
                    false => ReasonCode::KeepAliveTimeout,
                };
                s.say(|| format!("the broker ends link {link}: {reason}"));
                self.throw_out(link, reason, s);
            }
        }
        let now = s.now;
        self.sessions.retain(|session| session.link.is_some() || session.expires > now);
        while let Some(link) = s.network.arrived(s.now) {
            match s.network.get(link).up.read(usize::MAX >> 1, s.now, s.random) {
                Some(Read::Bytes(bytes)) => self.hear(link, &bytes, s),
                Some(Read::Closed | Read::Reset) => {
                    s.say(|| format!("the broker sees the end of link {link}"));
                    self.close(link, s);
                }
                None => unreachable!("it has arrived"),
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Connections

    /// Nobody is at the other end any more.
    fn lose(&mut self, link: LinkId, s: &mut Surroundings) {
        self.connections.remove(&link);
        for session in self.sessions.iter_mut().filter(|session| session.link == Some(link)) {
            session.link = None;
            session.expires = match session.expiry {
                u32::MAX => NEVER,
                seconds => s.now + Duration::from_secs(seconds.into()),
            };
        }
        let now = s.now;
        self.sessions.retain(|session| session.link.is_some() || session.expires > now);
    }

    fn close(&mut self, link: LinkId, s: &mut Surroundings) {
        self.lose(link, s);
        s.network.broker_closes(link, s.now);
    }

    fn throw_out(&mut self, link: LinkId, reason_code: ReasonCode, s: &mut Surroundings) {
        if self.connections.get(&link).is_some_and(|connection| connection.is_greeted) {
            let server_reference = (reason_code == ReasonCode::UseAnotherServer).then(|| s.random.pick(&HOSTS));
            let properties = DisconnectProperties { server_reference, ..DisconnectProperties::default() };
            self.send(link, Packet::Disconnect(Disconnect { reason_code, properties }), s);
        }
        self.close(link, s);
    }

    fn send(&self, link: LinkId, packet: Packet<'_>, s: &mut Surroundings) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).expect("a valid packet");
        s.say(|| format!("    {link} <- {}", in_short(&packet)));
        s.network.get(link).down.send(bytes, s.now, s.random);
    }

    /// Sends it when it is worked out.
    fn answer(&mut self, link: LinkId, packet: Packet<'_>, frees: Option<PacketId>, s: &mut Surroundings) {
        let connection = self.connections.get_mut(&link).expect("a connection to answer over");
        let after = s.random.mostly_short(connection.slowness);
        let at = connection.answers.back().map_or(s.now, |last| last.0).max(s.now + after);
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).expect("a valid packet");
        connection.answers.push_back((at, bytes, frees));
        self.send_answers(link, s);
    }

    fn send_answers(&mut self, link: LinkId, s: &mut Surroundings) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        while connection.answers.front().is_some_and(|(at, ..)| *at <= s.now)
            && let Some((_, bytes, frees)) = connection.answers.pop_front()
        {
            connection.from_client.retain(|id| Some(*id) != frees);
            connection.is_greeted |= bytes[0] == (PacketType::Connack as u8) << 4;
            s.say(|| format!("    {link} <- {}", in_short(&Packet::decode(&bytes).unwrap().unwrap().0)));
            s.network.get(link).down.send(bytes, s.now, s.random);
        }
    }

    fn hear(&mut self, link: LinkId, bytes: &[u8], s: &mut Surroundings) {
        let (client, is_up) = (s.network.get(link).client, {
            let host = s.network.get(link).host;
            self.is_up(host, s.now)
        });
        if !is_up {
            return self.close(link, s);
        }
        let connection = self.connections.entry(link).or_insert_with(|| Connection::new(client, s));
        connection.last_heard = s.now;
        connection.buffer.extend_from_slice(bytes);
        let mut buffer = std::mem::take(&mut connection.buffer);
        let mut read = 0;
        while let Some((packet, len)) = Packet::decode(&buffer[read..]).expect("a client sends valid packets") {
            s.say(|| format!("    {link} -> {}", in_short(&packet)));
            read += len;
            self.take(link, packet, len, s);
            if !self.connections.contains_key(&link) {
                return;
            }
        }
        buffer.drain(..read);
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.buffer = buffer;
        }
    }

    fn take(&mut self, link: LinkId, packet: Packet<'_>, len: usize, s: &mut Surroundings) {
        let connection = &self.connections[&link];
        let most = connection.terms.maximum_packet_size.filter(|_| connection.stage == Stage::Open);
        assert!(most.is_none_or(|most| len <= most as usize), "{len} bytes are too many");
        if connection.stage == Stage::Open {
            self.session_of(link).is_known = true;
        }
        let connection = &self.connections[&link];
        match (&connection.stage, packet) {
            (Stage::New, Packet::Connect(connect)) => self.connect(link, &connect, s),
            (Stage::Challenged, Packet::Auth(auth)) => {
                assert_eq!(auth.reason_code, ReasonCode::ContinueAuthentication);
                match self.check_token(link, auth.properties.authentication_data, s) {
                    true => self.accept(link, s),
                    false => self.refuse(link, ReasonCode::NotAuthorized, s),
                }
            }
            (Stage::Challenged, Packet::Disconnect(_)) => self.close(link, s),
            (Stage::Open, Packet::Publish(publish)) => self.publish(link, &publish, s),
            (Stage::Open, Packet::Pubrel(ack)) => self.pubrel(link, &ack, s),
            (Stage::Open, Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack)) => {
                self.acknowledged(link, packet, &ack, s);
            }
            (Stage::Open, Packet::Subscribe(subscribe)) => self.subscribe(link, &subscribe, s),
            (Stage::Open, Packet::Unsubscribe(unsubscribe)) => self.unsubscribe(link, &unsubscribe, s),
            (Stage::Open, Packet::Pingreq) => self.answer(link, Packet::Pingresp, None, s),
            (Stage::Open, Packet::Auth(auth)) => self.authenticate_again(link, &auth, s),
            (Stage::Open, Packet::Disconnect(disconnect)) => {
                // By which a client whose broker is silent says farewell.
                let is_blame = disconnect.reason_code.is_error();
                assert!(
                    !is_blame || disconnect.reason_code == ReasonCode::UnspecifiedError,
                    "the broker did nothing wrong: {disconnect:?}"
                );
                self.close(link, s);
            }
            (stage, packet) => panic!("{packet:?} must not come in {stage:?}"),
        }
    }

    fn connect(&mut self, link: LinkId, connect: &Connect<'_>, s: &mut Surroundings) {
        let slowness = if s.network.is_calm { 1 } else { s.random.pick(&[1, 50, 50, 2_000]) };
        let properties = &connect.properties;
        let connection = self.connections.get_mut(&link).expect("it is there");
        connection.client_id = connect.client_id.into();
        connection.clean_start = connect.clean_start;
        connection.keep_alive = self.terms.keep_alive.unwrap_or(connect.keep_alive);
        connection.expiry = properties.session_expiry_interval.unwrap_or(0);
        connection.receive_maximum = properties.receive_maximum.unwrap_or(u16::MAX);
        connection.maximum_packet_size = properties.maximum_packet_size.unwrap_or(u32::MAX);
        connection.topic_alias_maximum = properties.topic_alias_maximum.unwrap_or(0);
        connection.has_method = properties.authentication_method.is_some();
        connection.slowness = slowness;
        if !s.network.is_calm && s.random.once_in(15) {
            let code =
                s.random.pick(&[ReasonCode::ServerBusy, ReasonCode::UseAnotherServer, ReasonCode::QuotaExceeded]);
            return self.refuse(link, code, s);
        }
        let token = if connection.has_method { properties.authentication_data } else { connect.password };
        if !self.check_token(link, token, s) {
            s.ledger.tally.logins_refused += 1;
            let has_method = self.connections[&link].has_method;
            let code = if has_method { ReasonCode::NotAuthorized } else { ReasonCode::BadUserNameOrPassword };
            return self.refuse(link, code, s);
        }
        if self.connections[&link].has_method && s.random.once_in(2) {
            self.connections.get_mut(&link).expect("it is there").stage = Stage::Challenged;
            return self.challenge(link, s);
        }
        self.accept(link, s);
    }

    /// Whether the credentials are good; and for how long.
    fn check_token(&mut self, link: LinkId, token: Option<&[u8]>, s: &Surroundings) -> bool {
        let token =
            token.and_then(|token| std::str::from_utf8(token).ok()).and_then(|token| token.strip_prefix("token-"));
        let until = Duration::from_millis(token.expect("a token").parse().expect("a token"));
        self.connections.get_mut(&link).expect("it is there").expires = until;
        until > s.now
    }

    fn challenge(&mut self, link: LinkId, s: &mut Surroundings) {
        let properties = AuthProperties {
            authentication_method: Some(METHOD),
            authentication_data: Some(b"who are you?"),
            ..AuthProperties::default()
        };
        let challenge = Auth { reason_code: ReasonCode::ContinueAuthentication, properties };
        self.answer(link, Packet::Auth(challenge), None, s);
    }

    fn authenticate_again(&mut self, link: LinkId, auth: &Auth<'_>, s: &mut Surroundings) {
        if !self.check_token(link, auth.properties.authentication_data, s) {
            return self.throw_out(link, ReasonCode::NotAuthorized, s);
        }
        if auth.reason_code == ReasonCode::ReAuthenticate && s.random.once_in(2) {
            return self.challenge(link, s);
        }
        let properties = AuthProperties { authentication_method: Some(METHOD), ..AuthProperties::default() };
        self.answer(link, Packet::Auth(Auth { reason_code: ReasonCode::Success, properties }), None, s);
    }

    fn refuse(&mut self, link: LinkId, reason_code: ReasonCode, s: &mut Surroundings) {
        let server_reference = (reason_code == ReasonCode::UseAnotherServer).then(|| s.random.pick(&HOSTS));
        let properties = ConnackProperties { server_reference, ..ConnackProperties::default() };
        self.send(link, Packet::Connack(Connack { session_present: false, reason_code, properties }), s);
        self.close(link, s);
    }

    fn accept(&mut self, link: LinkId, s: &mut Surroundings) {
        let Connection { client, clean_start, expiry, has_method, .. } = self.connections[&link];
        let place = self.sessions.iter().position(|session| session.client == client);
        if let Some(other) = place.and_then(|place| self.sessions[place].link) {
            s.ledger.tally.taken_over += 1;
            self.throw_out(other, ReasonCode::SessionTakenOver, s);
        }
        self.sessions.retain(|session| session.client != client || (session.is_known && !clean_start));
        let session_present = self.sessions.iter().any(|session| session.client == client);
        if !session_present {
            self.last_session += 1;
            self.sessions.push(Session::new(client, self.last_session));
        }
        let session = self.sessions.iter_mut().find(|session| session.client == client).expect("it is there");
        (session.link, session.expiry) = (Some(link), expiry);
        s.ledger.tally.connections += 1;
        let terms = self.terms;
        let connection = self.connections.get_mut(&link).expect("it is there");
        (connection.stage, connection.terms) = (Stage::Open, terms);
        let properties = ConnackProperties {
            receive_maximum: terms.receive_maximum,
            maximum_packet_size: terms.maximum_packet_size,
            maximum_qos: terms.maximum_qos,
            topic_alias_maximum: Some(terms.topic_alias_maximum).filter(|maximum| *maximum > 0),
            server_keep_alive: terms.keep_alive,
            authentication_method: has_method.then_some(METHOD),
            ..ConnackProperties::default()
        };
        let connack = Connack { session_present, reason_code: ReasonCode::Success, properties };
        self.answer(link, Packet::Connack(connack), None, s);
        self.deliver_again(link, s);
        self.deliver(client, s);
    }

    fn session_of(&mut self, link: LinkId) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.link == Some(link)).expect("a connection has a session")
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Messages from clients

    fn publish(&mut self, link: LinkId, publish: &Publish<'_>, s: &mut Surroundings) {
        let connection = self.connections.get_mut(&link).expect("it is there");
        assert!(connection.terms.maximum_qos.is_none_or(|most| publish.qos <= most), "a QoS that the broker has not");
        let topic: Rc<str> = match publish.properties.topic_alias {
            None => publish.topic.into(),
            Some(alias) => {
                assert!(alias <= connection.terms.topic_alias_maximum, "Topic Alias {alias}");
                if !publish.topic.is_empty() {
                    connection.aliases.insert(alias, publish.topic.into());
                }
                Rc::clone(connection.aliases.get(&alias).expect("a Topic Alias that the client has set"))
            }
        };
        let message = Stored {
            topic: Rc::clone(&topic),
            payload: publish.payload.into(),
            qos: publish.qos,
            response_topic: publish.properties.response_topic.map(Into::into),
            correlation_data: publish.properties.correlation_data.map(Into::into),
        };
        let Some(id) = publish.packet_id else {
            if let Some(key) = message.key() {
                s.ledger.arrives(key, &topic, publish.qos, self.session_of(link).number);
            }
            return self.route(&message, s);
        };
        let key = message.key();
        if !connection.from_client.contains(&id) {
            connection.from_client.push(id);
        }
        let (most, count) = (connection.terms.receive_maximum.unwrap_or(u16::MAX), connection.from_client.len());
        assert!(count <= most.into(), "{count} messages are in flight, and {most} may be [MQTT-3.3.4-7]");
        if let Some(key) = key {
            let place = s.ledger.sent(key).place;
            let last = connection.last.insert((&*topic).into(), place);
            assert!(last.is_none_or(|last| last < place), "{key:?} comes in the order of sending [MQTT-4.6.0-1]");
        }
        if topic.contains("/poison/") {
            s.say(|| format!("poison ends link {link}"));
            // It has come, and is not acknowledged.
            return self.close(link, s);
        }
        let session = self.session_of(link);
        let number = session.number;
        if let (Some(known), Some(key)) = (session.unanswered.get(&id), key)
            && *known == key
        {
            assert!(publish.dup, "{key:?} comes again without DUP [MQTT-3.3.1-1]");
        }
        let is_once = publish.qos == QoS::ExactlyOnce;
        if is_once && let Some(known) = session.received.get(&id) {
            assert_eq!(known.payload, message.payload, "identifier {id} is in use");
        } else {
            if let Some(key) = key {
                session.unanswered.insert(id, key);
                s.ledger.arrives(key, &topic, publish.qos, number);
            }
            let is_refused = topic.contains("/refused/");
            if is_refused {
                let ack = Ack { reason_code: ReasonCode::QuotaExceeded, ..Ack::success(id) };
                let packet = if is_once { Packet::Pubrec(ack) } else { Packet::Puback(ack) };
                return self.answer(link, packet, Some(id), s);
            }
            if is_once {
                session.received.insert(id, message.clone());
            }
            if !is_once || !self.waits_for_release {
                self.route(&message, s);
            }
        }
        if is_once {
            self.answer(link, Packet::Pubrec(Ack::success(id)), None, s);
        } else {
            self.answer(link, Packet::Puback(Ack::success(id)), Some(id), s);
        }
    }

    fn pubrel(&mut self, link: LinkId, ack: &Ack<'_>, s: &mut Surroundings) {
        let session = self.session_of(link);
        session.unanswered.remove(&ack.packet_id);
        let known = session.received.remove(&ack.packet_id);
        let reason_code = if known.is_some() { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        if let Some(message) = known.filter(|_| self.waits_for_release) {
            self.route(&message, s);
        }
        let pubcomp = Ack { reason_code, ..Ack::success(ack.packet_id) };
        self.answer(link, Packet::Pubcomp(pubcomp), Some(ack.packet_id), s);
    }

    fn subscribe(&mut self, link: LinkId, subscribe: &Subscribe<'_>, s: &mut Surroundings) {
        let mut codes = Vec::new();
        for subscription in subscribe.subscriptions {
            let is_refused = subscription.filter.starts_with("refused/");
            codes.push(match subscription.maximum_qos {
                _ if is_refused => ReasonCode::NotAuthorized,
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQos1,
                QoS::ExactlyOnce => ReasonCode::GrantedQos2,
            });
            if !is_refused {
                let session = self.session_of(link);
                session.subscriptions.insert(subscription.filter.into(), subscription.maximum_qos);
            }
        }
        let (packet_id, reason_codes) = (subscribe.packet_id, codes.as_slice().into());
        self.answer(link, Packet::Suback(Suback { packet_id, properties: Default::default(), reason_codes }), None, s);
    }

    fn unsubscribe(&mut self, link: LinkId, unsubscribe: &Unsubscribe<'_>, s: &mut Surroundings) {
        let session = self.session_of(link);
        let codes: Vec<_> = unsubscribe
            .filters
            .iter()
            .map(|filter| match session.subscriptions.remove(filter) {
                Some(_) => ReasonCode::Success,
                None => ReasonCode::NoSubscriptionExisted,
            })
            .collect();
        let (packet_id, reason_codes) = (unsubscribe.packet_id, codes.as_slice().into());
        self.answer(
            link,
            Packet::Unsuback(Unsuback { packet_id, properties: Default::default(), reason_codes }),
            None,
            s,
        );
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Messages to clients

    /// Hands a message to those who have subscribed.
    fn route(&mut self, message: &Stored, s: &mut Surroundings) {
        let mut clients = Vec::new();
        for session in &mut self.sessions {
            let matching = session.subscriptions.iter().filter(|(filter, _)| topic_matches(filter, &message.topic));
            let Some(most) = matching.map(|(_, qos)| *qos).max() else { continue };
            let message = Stored { qos: message.qos.min(most), ..message.clone() };
            if message.qos > QoS::AtMostOnce || session.link.is_some() {
                session.waiting.push_back(message);
                clients.push(session.client);
            }
        }
        for client in clients {
            self.deliver(client, s);
        }
    }

    /// Sends what waits for a client, as far as that takes it.
    fn deliver(&mut self, client: usize, s: &mut Surroundings) {
        loop {
            let Some(session) = self.sessions.iter_mut().find(|session| session.client == client) else { return };
            let Some(link) = session.link else {
                // There is nobody to send it to.
                return session.waiting.retain(|message| message.qos != QoS::AtMostOnce);
            };
            let connection = &self.connections[&link];
            let Some(next) = session.waiting.front() else { return };
            let has_id = next.qos != QoS::AtMostOnce;
            if has_id && connection.to_client >= connection.receive_maximum {
                return;
            }
            let message = session.waiting.pop_front().expect("it is there");
            let key = message.key();
            if message.payload.len() + message.topic.len() + 100 > connection.maximum_packet_size as usize {
                // It is dropped [MQTT-3.1.2-25].
                continue;
            }
            let id = has_id.then(|| session.next_id());
            if let Some(id) = id {
                session.flights.push(Flight { id, message: message.clone(), is_released: false });
            }
            if let Some(key) = key {
                s.ledger.begin(client, key, message.qos);
            }
            self.send_message(link, &message, id, false, s);
        }
    }

    /// Sends again what is in flight (section 4.4).
    fn deliver_again(&mut self, link: LinkId, s: &mut Surroundings) {
        let session = self.session_of(link);
        let again: Vec<_> =
            session.flights.iter().map(|flight| (flight.id, flight.message.clone(), flight.is_released)).collect();
        // A client whose Receive Maximum is less than it was gets the rest later: here it stays the same.
        for (id, message, is_released) in again {
            if is_released {
                let id = PacketId::new(id).expect("an identifier");
                self.connections.get_mut(&link).expect("it is there").to_client += 1;
                self.answer(link, Packet::Pubrel(Ack::success(id)), None, s);
            } else {
                self.send_message(link, &message, Some(id), true, s);
            }
        }
    }

    fn send_message(&mut self, link: LinkId, message: &Stored, id: Option<u16>, dup: bool, s: &mut Surroundings) {
        let connection = self.connections.get_mut(&link).expect("it is there");
        connection.to_client += u16::from(id.is_some());
        let known = connection.own_aliases.iter().position(|known| *known == message.topic);
        let mut topic = &*message.topic;
        let topic_alias = match known {
            Some(place) => {
                topic = "";
                Some(place as u16 + 1)
            }
            None if connection.own_aliases.len() < connection.topic_alias_maximum.into() => {
                connection.own_aliases.push(Rc::clone(&message.topic));
                Some(connection.own_aliases.len() as u16)
            }
            None => None,
        };
        let properties = PublishProperties {
            topic_alias,
            response_topic: message.response_topic.as_deref(),
            correlation_data: message.correlation_data.as_deref(),
            ..PublishProperties::default()
        };
        let publish = Publish::new(topic, &*message.payload).qos(message.qos).properties(properties);
        let packet_id = id.and_then(PacketId::new);
        self.answer(link, Packet::Publish(Publish { dup, packet_id, ..publish }), None, s);
    }

    fn acknowledged(&mut self, link: LinkId, packet: Packet<'_>, ack: &Ack<'_>, s: &mut Surroundings) {
        // One that was released before, and whose PUBCOMP was lost.
        let is_known = matches!(packet, Packet::Pubcomp(_)) && ack.reason_code == ReasonCode::PacketIdentifierNotFound;
        assert!(is_known || !ack.reason_code.is_error(), "the client takes what it has subscribed to: {packet:?}");
        let session = self.session_of(link);
        let client = session.client;
        let place = session.flights.iter().position(|flight| flight.id == ack.packet_id.get());
        let place = place.unwrap_or_else(|| panic!("{packet:?} is about a message in flight"));
        let flight = &mut session.flights[place];
        let qos = flight.message.qos;
        let key = flight.message.key();
        match packet {
            Packet::Pubrec(_) => {
                assert_eq!(qos, QoS::ExactlyOnce, "{packet:?}");
                let is_first = !std::mem::replace(&mut flight.is_released, true);
                if is_first && let Some(key) = key {
                    s.ledger.acknowledged(client, key, qos);
                }
                return self.answer(link, Packet::Pubrel(Ack::success(ack.packet_id)), None, s);
            }
            Packet::Puback(_) => {
                assert_eq!(qos, QoS::AtLeastOnce, "{packet:?}");
                if let Some(key) = key {
                    s.ledger.acknowledged(client, key, qos);
                }
            }
            _ => assert!(flight.is_released, "{packet:?} comes behind PUBREL"),
        }
        session.flights.remove(place);
        let connection = self.connections.get_mut(&link).expect("it is there");
        connection.to_client -= 1;
        self.deliver(client, s);
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What it has in the end

    /// Whether a client has a subscription.
    pub(crate) fn has_subscription(&self, client: usize, filter: &str) -> bool {
        let session = self.sessions.iter().find(|session| session.client == client);
        session.is_some_and(|session| session.subscriptions.contains_key(filter))
    }

    /// How many messages it has for a client that are not acknowledged.
    pub(crate) fn undelivered(&self, client: usize) -> usize {
        let session = self.sessions.iter().find(|session| session.client == client);
        session.map_or(0, |session| session.waiting.len() + session.flights.len())
    }
}

impl Connection {
    fn new(client: usize, s: &Surroundings) -> Self {
        Self {
            stage: Stage::New,
            is_greeted: false,
            client,
            client_id: String::new(),
            buffer: Vec::new(),
            last_heard: s.now,
            keep_alive: 60,
            clean_start: false,
            expiry: 0,
            has_method: false,
            expires: NEVER,
            receive_maximum: 0,
            maximum_packet_size: 0,
            topic_alias_maximum: 0,
            terms: Terms::default(),
            from_client: Vec::new(),
            last: BTreeMap::new(),
            to_client: 0,
            aliases: BTreeMap::new(),
            own_aliases: Vec::new(),
            answers: VecDeque::new(),
            slowness: 1,
        }
    }

    /// When the broker ends it if nothing comes: by one and a half times the Keep Alive [MQTT-3.1.2-22], or with its
    /// credentials.
    fn ends(&self) -> Moment {
        let quiet = match self.keep_alive {
            0 => NEVER,
            seconds => self.last_heard + Duration::from_millis(u64::from(seconds) * 1500),
        };
        if self.stage == Stage::Open { quiet.min(self.expires) } else { quiet }
    }
}

impl Session {
    const fn new(client: usize, number: u64) -> Self {
        Self {
            client,
            number,
            subscriptions: BTreeMap::new(),
            waiting: VecDeque::new(),
            flights: Vec::new(),
            last_id: 0,
            received: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            link: None,
            expiry: 0,
            expires: NEVER,
            is_known: false,
        }
    }

    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.flights.iter().all(|flight| flight.id != self.last_id) {
                return self.last_id;
            }
        }
    }
}
