//! What the user of a client does, and what becomes of it.

use std::sync::LazyLock;
use std::time::Duration;

use mqtt_wasi::codec::{Packet, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties};
use mqtt_wasi::engine::{
    Authenticating, Call, Connecting, Disconnecting, Enqueueing, Flushing, NextEvent, Operation, Publishing,
    PublishingAll, Subscribing, Unsubscribing,
};
use mqtt_wasi::session::Delivery;
use mqtt_wasi::{CallError, ConnectChanges, Error, Event, Overflow};

use super::{Asked, Client, FILTERS, MOST_CALLS, NORMAL, Sleeper, What, check_error};
use crate::calls::Came;
use crate::ledger::Key;
use crate::world::Surroundings;

impl<'a> Client<'a> {
    pub(super) fn act(&mut self, s: &mut Surroundings) {
        self.acknowledge(s);
        self.connect_if_due(s);
        if self.is_calm {
            return;
        }
        match s.random.below(100) {
            0..30 => {
                let (key, message) = self.any_message(s);
                self.ask(What::Publish(key), Publishing(message), s);
            }
            30..42 => {
                let (key, message) = self.any_message(s);
                self.ask(What::Enqueue(key), Enqueueing(message), s);
            }
            42..50 => {
                let (key, message) = self.any_message(s);
                let before = self.engine.outgoing();
                let result = self.engine.try_publish(message);
                self.note_accepted(before, s);
                assert_eq!(result.is_ok(), s.ledger.sent(key).place.is_some(), "{key:?}: {result:?}");
            }
            50..55 => {
                let messages: Vec<_> = (0..s.random.below(12)).map(|_| self.any_message(s)).collect();
                let keys = messages.iter().map(|(key, _)| *key).collect();
                let messages: Vec<_> = messages.iter().map(|(_, message)| **message).collect();
                self.ask(What::Batch(keys), PublishingAll::new(messages), s);
            }
            55..61 => {
                let filter = s.random.below(FILTERS.len() as u64) as usize;
                let qos = s.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
                self.subscribe(filter, qos, s);
            }
            61..63 => {
                let filter = s.random.below(FILTERS.len() as u64) as usize;
                self.subscribed.remove(FILTERS[filter]);
                let operation =
                    Unsubscribing { filters: &FILTERS[filter..=filter], properties: UnsubscribeProperties::default() };
                self.ask(What::Unsubscribe(FILTERS[filter]), operation, s);
            }
            63..66 => self.ask(What::Flush, Flushing, s),
            66..69 if !self.calls.is_empty() => {
                let place = s.random.below(self.calls.len() as u64) as usize;
                self.cancel(place, s);
            }
            69..73 => {
                let timeout = s.random.pick(&[Duration::ZERO, Duration::from_secs(3), Duration::from_secs(100)]);
                self.ask(What::Event(timeout), NextEvent { timeout }, s);
            }
            73 if s.random.once_in(8) => self.ask(What::Disconnect, Disconnecting(&NORMAL), s),
            74 if s.random.once_in(8) => self.ask(What::Connect, Connecting, s),
            75..78 => self.renew_token(s),
            78..81 if self.setup.has_authenticator => self.ask(What::Authenticate, Authenticating, s),
            81 => self.busy_until = Some(s.now + s.random.mostly_short(300_000)),
            _ => {}
        }
    }

    pub(super) fn any_message(&mut self, s: &mut Surroundings) -> (Key, &'a Publish<'a>) {
        let qos = s.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        let kind = match s.random.below(40) {
            0 => "refused",
            1 if self.setup.gives_up && qos > QoS::AtMostOnce => "poison",
            2..20 => "a",
            _ => "b",
        };
        let len = s.random.pick(&[10, 10, 50, 150, 900]);
        self.message(kind, qos, len, s)
    }

    pub(super) fn message(&mut self, kind: &str, qos: QoS, len: usize, s: &mut Surroundings) -> (Key, &'a Publish<'a>) {
        let topic = self.kept.texts.keep(format!("t/{}/{kind}/{}", self.id, qos as u8));
        let key = s.ledger.publish(self.id, topic, qos);
        let payload = self.kept.texts.keep(key.payload(len));
        (key, self.kept.messages.keep(Publish::new(topic, payload).qos(qos)))
    }

    pub(super) fn subscribe(&mut self, filter: usize, qos: QoS, s: &mut Surroundings) {
        static ALL: LazyLock<Vec<Vec<Subscription<'static>>>> = LazyLock::new(|| {
            let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
            all.map(|qos| FILTERS.map(|filter| Subscription::new(filter, qos)).into()).into()
        });
        let subscriptions = &ALL[qos as usize][filter..=filter];
        let operation = Subscribing { subscriptions, properties: SubscribeProperties::default() };
        self.ask(What::Subscribe(FILTERS[filter]), operation, s);
    }

    pub(super) fn listen(&mut self, s: &Surroundings) {
        if self.setup.has_listeners {
            let listener = self.engine.open_listener(None, Overflow::Wait(self.setup.inbox), self.now(s));
            self.listener = Some((listener, Sleeper::new()));
        }
    }

    pub(super) fn renew_token(&mut self, s: &mut Surroundings) {
        let life = if self.is_calm { Duration::from_secs(100_000) } else { s.random.between(60_000, 900_000) };
        self.token_expires = s.now + life;
        let token = format!("token-{}", self.token_expires.as_millis()).into_bytes();
        self.token.0.lock().expect("no panic").clone_from(&token);
        if !self.setup.has_authenticator {
            let changes = ConnectChanges { password: Some(token), ..ConnectChanges::default() };
            self.engine.update(changes).expect("a good password");
        }
    }

    /// Connects, where the engine does not do so by itself.
    pub(super) fn connect_if_due(&mut self, s: &mut Surroundings) {
        let is_connecting = self.calls.iter().any(|call| matches!(call.what, What::Connect));
        if is_connecting || self.engine.require_open().is_ok() {
            return self.connects_at = None;
        }
        let after = if self.is_calm { Duration::from_secs(1) } else { s.random.mostly_short(100_000) };
        let connects_at = *self.connects_at.get_or_insert(s.now + after);
        if connects_at.min(s.now + after) <= s.now {
            // Credentials may have expired, and not everybody looks.
            if self.token_expires <= s.now && !s.random.once_in(3) {
                self.renew_token(s);
            }
            self.connects_at = None;
            self.ask(What::Connect, Connecting, s);
        }
    }

    pub(super) fn ask<O: Operation + 'a>(&mut self, what: What, operation: O, s: &mut Surroundings)
    where
        O::Output: Into<Came>,
    {
        if (self.calls.len() >= MOST_CALLS || self.kept.messages.is_full()) && !matches!(what, What::Connect) {
            return;
        }
        self.say(s, || format!("asks: {what:?}"));
        s.ledger.tally.calls += 1;
        let start = self.now(s);
        self.calls.push(Asked { what, running: Box::new(Call::new(operation)), sleeper: Sleeper::new(), start });
    }

    pub(super) fn cancel(&mut self, place: usize, s: &mut Surroundings) {
        let asked = self.calls.remove(place);
        self.say(s, || format!("gives up: {:?}", asked.what));
        if let Some(id) = asked.running.id() {
            self.engine.cancel(id, self.now(s));
        }
        self.ends(&asked.what);
    }

    /// A call ends before it came to anything.
    pub(super) fn ends(&mut self, what: &What) {
        match what {
            What::Subscribe(filter) | What::Unsubscribe(filter) => drop(self.subscribed.insert(filter, false)),
            _ => {}
        }
    }

    /// What a call has come to.
    pub(super) fn came(&mut self, what: &What, result: Result<Came, Error>, s: &mut Surroundings) {
        if let Err(error) = &result {
            s.ledger.tally.calls_failed += 1;
            check_error(error);
        }
        match (what, result) {
            (What::Publish(key), Ok(Came::Published(code))) => self.published(*key, Ok(code), s),
            (What::Publish(key), Err(error)) => self.published(*key, Err(error), s),
            (What::Batch(keys), Ok(Came::Batch(results))) => {
                assert_eq!(keys.len(), results.len(), "a result for each message");
                for (key, result) in keys.iter().zip(results) {
                    self.published(*key, result, s);
                }
            }
            (What::Batch(keys), Err(error)) => {
                keys.iter().for_each(|key| self.published(*key, Err(error.clone()), s));
            }
            (What::Enqueue(key), result) => {
                let (is_accepted, is_done) = (s.ledger.sent(*key).place.is_some(), result.is_ok());
                assert_eq!(is_accepted, is_done, "{key:?} is enqueued, or nothing comes of it");
            }
            (What::Subscribe(filter), Ok(Came::Subscribed(codes))) => {
                assert_eq!(codes[0].is_error(), filter.starts_with("refused"), "{filter}");
                if !codes[0].is_error() {
                    let is_known = self.is_alone_with(filter);
                    self.subscribed.entry(filter).or_insert(is_known);
                }
            }
            (What::Subscribe(filter) | What::Unsubscribe(filter), Err(_)) => {
                self.subscribed.insert(filter, false);
            }
            (What::Unsubscribe(filter), Ok(_)) => drop(self.subscribed.remove(filter)),
            (_, Ok(Came::Event(event))) => self.note(&event, s),
            _ => {}
        }
    }

    /// Looks for messages that the client has taken on, behind so many bytes that waited before.
    pub(super) fn note_accepted(&self, before: usize, s: &mut Surroundings) {
        let mut bytes = self.engine.session().transmit().get(before..).unwrap_or_default();
        while let Some((packet, len)) = Packet::decode(bytes).expect("whole packets") {
            if let Packet::Publish(publish) = packet {
                s.ledger.accept(Key::of(publish.payload));
            }
            bytes = &bytes[len..];
        }
    }

    /// Whether no other call is about this filter, which may change what this one has said.
    pub(super) fn is_alone_with(&self, filter: &str) -> bool {
        self.calls
            .iter()
            .all(|call| !matches!(call.what, What::Subscribe(other) | What::Unsubscribe(other) if other == filter))
    }

    pub(super) fn published(&mut self, key: Key, result: Result<ReasonCode, Error>, s: &mut Surroundings) {
        let (qos, arrived) = (s.ledger.sent(key).qos, s.ledger.sent(key).arrived);
        match result {
            Ok(_) if qos == QoS::AtMostOnce => {}
            Ok(code) => {
                assert!(arrived > 0, "{key:?} is acknowledged with {code} and did not arrive");
            }
            Err(Error::PublishRefused(_)) => {
                let topic = &s.ledger.sent(key).topic;
                assert!(topic.contains("/refused/") && arrived > 0, "{key:?} to {topic} is refused");
            }
            Err(Error::GivenUp { .. }) => s.ledger.tell_twice(key),
            // The broker of the new connection does not take it.
            Err(Error::Call(CallError::QosNotSupported { .. } | CallError::PacketTooLarge { .. }))
                if s.ledger.sent(key).place.is_some() =>
            {
                s.ledger.tell_twice(key);
            }
            // What the client has taken on stays in flight.
            Err(_) => {}
        }
    }

    pub(super) fn note(&mut self, event: &Event, s: &mut Surroundings) {
        self.say(s, || format!("is told: {event}"));
        match event {
            Event::MessageGivenUp { topic, .. } => s.ledger.give_up(self.id, topic),
            Event::SubscriptionLost { filter, .. } => self.subscribed.retain(|known, _| known != filter),
            Event::Disconnected(error) => {
                self.disconnects += 1;
                check_error(error);
            }
            Event::AttemptFailed { error, .. } => check_error(error),
            _ => {}
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Messages that come

    /// Takes what has come; whether anything had.
    pub(super) fn take_messages(&mut self, s: &mut Surroundings) -> bool {
        if self.busy_until.is_some() {
            return false;
        }
        let mut has_any = false;
        let now = self.now(s);
        if let Some((listener, sleeper)) = &mut self.listener {
            if !sleeper.wakes() {
                return false;
            }
            let listener = *listener;
            loop {
                let taken = self.more.pop().or_else(|| {
                    let waker = self.listener.as_ref().map(|(_, sleeper)| &sleeper.waker);
                    self.engine.take_message(listener, &mut self.more, waker, &mut || now)
                });
                let Some((message, delivery)) = taken else { return has_any };
                has_any = true;
                self.got(&message.topic, &message.payload, message.qos, delivery, s);
            }
        }
        loop {
            let taken = if self.setup.acknowledges_by_hand {
                self.engine.receive_unacknowledged()
            } else {
                self.engine.receive().map(|message| (message, None))
            };
            let Some((message, delivery)) = taken else { return has_any };
            has_any = true;
            let (topic, payload, qos) = (message.topic.to_owned(), message.payload.to_owned(), message.qos);
            self.got(&topic, &payload, qos, delivery, s);
        }
    }

    pub(super) fn got(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        delivery: Option<Delivery>,
        s: &mut Surroundings,
    ) {
        let key = Key::of(payload);
        self.say(s, || format!("gets {key:?} at QoS {}, to acknowledge as {delivery:?}", qos as u8));
        s.ledger.show(self.id, key, topic, qos);
        let Some(delivery) = delivery else { return s.ledger.hand(self.id, key, qos) };
        if !self.setup.acknowledges_by_hand {
            s.ledger.hand(self.id, key, qos);
            self.engine.acknowledge(delivery);
        } else if qos == QoS::ExactlyOnce {
            // It is worked through when it is acknowledged, and not if it comes again.
            self.held.push_back((delivery, Some(key)));
        } else {
            s.ledger.hand(self.id, key, qos);
            self.held.push_back((delivery, None));
        }
    }

    /// Acknowledges some of what came, in any order.
    pub(super) fn acknowledge(&mut self, s: &mut Surroundings) {
        let most = if self.is_calm { usize::MAX } else { s.random.below(6) as usize };
        for _ in 0..self.held.len().min(most) {
            let place = if s.random.once_in(4) { s.random.below(self.held.len() as u64) as usize } else { 0 };
            let (delivery, message) = self.held.remove(place).expect("it is there");
            let is_done = self.engine.acknowledge(delivery);
            if let Some(key) = message.filter(|_| is_done) {
                s.ledger.hand(self.id, key, QoS::ExactlyOnce);
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What drives it
}
