//! What users, the network and the broker do: each move of an input, and what becomes of the calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use mqtt_wasi::codec::{SubscribeProperties, UnsubscribeProperties};
use mqtt_wasi::engine::{
    Authenticating, Call, Connected, Connecting, Disconnecting, Engine, Enqueueing, Flushing, Held, Listening,
    NextEvent, NextStep, Operation, Publishing, PublishingAll, Replying, Requesting, ResponderId, Step, Subscribing,
    Unsubscribing,
};
use mqtt_wasi::session::Delivery;
use mqtt_wasi::{CallError, ConnectChanges, Error, Instant, Message, Overflow, Request, Responder};

use super::broker::Broker;
use super::calls::{Asked, DISCONNECTS, FILTERS, Kind, MESSAGES, REPLIES, SUBSCRIPTIONS, Sleeper, Submitting, VALID};
use super::decisions::Decisions;
use super::support::Came;
use super::{EVER, LISTENED, Listener, MOST_CALLS, MOST_HELD, MOST_LISTENERS, STUCK, World, start, unreachable};

impl<'a> World<'a> {
    pub(super) fn make_move(&mut self) {
        let number = self.decisions.below(128);
        say!(self, "move {number}");
        match number {
            0..8 => self.advance_to_deadline(),
            8..11 => self.let_time_pass(),
            11..29 => self.make_call(),
            29..31 => self.cancel(),
            31..34 => self.poll_any(),
            34..44 => self.take_message(),
            44..48 => self.acknowledge(),
            48..52 => self.answer_request(),
            52..55 => self.open_or_close_listener(),
            55 => self.open_or_close_responder(),
            56..60 => self.submit(),
            60..62 => drop(self.with(|engine, now| engine.take_event(now))),
            62 => self.with(Engine::catch_up),
            63..66 => {
                let message = self.decisions.pick(&MESSAGES);
                let is_connected = self.engine.is_connected();
                let published = self.with(|engine, _| engine.try_publish(&message));
                assert!(is_connected || published.is_err(), "there is no connection to publish over");
            }
            66..82 => self.broker_sends(Broker::message),
            82..88 => self.broker_sends(Broker::late_answer),
            88..93 => self.broker_sends(Broker::reply),
            93 if self.does_harm() => self.broker_sends(|broker, decisions| broker.nonsense(decisions)),
            94 if self.does_harm() => self.broker_sends(|_, decisions| {
                let len = decisions.below(20);
                (0..len).map(|_| decisions.byte()).collect()
            }),
            95..97 if self.does_harm() => {
                self.broker_sends(|broker, decisions| broker.disconnect(decisions));
                let how = self.decisions.below(3);
                self.end_network(how);
            }
            97..100 => self.dialing_comes_to_something(),
            100..103 => self.authenticator_answers(),
            103 => self.authenticator_changes(),
            104 => self.network.takes_nothing = true,
            105 => self.network.gives_nothing = true,
            106..110 => self.network_flows(),
            110 => self.driver_is_away = true,
            111 => self.users_are_away = true,
            112..116 => self.all_return(),
            116..118 => self.step_by_hand(),
            118..121 => {
                if !self.engine.is_connected() || self.does_harm() {
                    self.connect();
                }
            }
            _ => {
                self.network_flows();
                self.all_return();
            }
        }
    }

    /// Whether what ends connections happens: where everything is mild, once in a while.
    pub(super) fn does_harm(&mut self) -> bool {
        !self.is_mild || self.decisions.once_in(8)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What users do

    /// Uses the engine, as whoever shares it with a driver does.
    pub(super) fn with<R>(&mut self, work: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let result = work(&mut self.engine, self.now);
        self.wake();
        let is_earlier = match (self.engine.deadline(), self.wakes_at) {
            (Some(deadline), Some(wakes_at)) => deadline < wakes_at,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        self.driver_is_awake |= self.engine.needs_turn() || is_earlier;
        self.note_moved();
        result
    }

    /// Wakes whom the engine has woken.
    pub(super) fn wake(&mut self) {
        self.engine.take_woken(&mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
    }

    pub(super) fn note_moved(&mut self) {
        let stats = self.engine.stats();
        let moved = [stats.bytes_received, stats.bytes_sent, stats.packets_received, stats.packets_sent];
        if moved != self.moved {
            (self.moved, self.last_moved) = (moved, self.now);
        }
    }

    pub(super) fn ask<O: Operation + 'a>(&mut self, name: &'static str, kind: Kind, timeout: Duration, operation: O)
    where
        O::Output: Into<Came>,
    {
        say!(self, "ask {name}");
        self.calls.push(Asked {
            name,
            running: Box::new(Call::new(operation)),
            kind,
            sleeper: Sleeper::new(),
            was_polled: false,
            id: None,
            start: self.now,
            timeout: (timeout < EVER).then_some(timeout),
        });
        self.poll(self.calls.len() - 1);
    }

    pub(super) fn make_call(&mut self) {
        if self.calls.len() >= MOST_CALLS {
            return self.poll_any();
        }
        if self.engine.require_open().is_err() && !self.decisions.once_in(4) {
            // Everything else fails.
            return self.connect();
        }
        let timeout = self.response_timeout;
        match self.decisions.below(32) {
            0..7 => {
                let message = self.message();
                self.ask("publish", Kind::Usual, timeout, Publishing(message));
            }
            7..10 => {
                let message = self.message();
                self.ask("enqueue", Kind::Usual, timeout, Enqueueing(message));
            }
            10 => self.ask("flush", Kind::Usual, timeout, Flushing),
            11..14 => {
                let place = self.decisions.below(SUBSCRIPTIONS.len());
                let subscriptions = &SUBSCRIPTIONS[place..SUBSCRIPTIONS.len().min(place + 2)];
                let subscription_identifier = self.decisions.pick(&[None, Some(7)]);
                let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
                self.ask("subscribe", Kind::Usual, timeout, Subscribing { subscriptions, properties });
            }
            14..16 => {
                let place = self.decisions.below(FILTERS.len());
                let filters = &FILTERS[place..=place];
                let properties = UnsubscribeProperties::default();
                self.ask("unsubscribe", Kind::Usual, timeout, Unsubscribing { filters, properties });
            }
            16..20 => {
                let request = self.message();
                let timeout = self.decisions.pick(&[Duration::from_secs(5), Duration::ZERO, EVER]);
                self.nonce += 1;
                self.ask("request", Kind::Requesting, timeout, Requesting { request, timeout, nonce: self.nonce });
            }
            20..23 => {
                let len = self.decisions.below(8);
                // What is not valid would not have to wait for what those before it wait for.
                let messages: Vec<_> = (0..len).map(|_| MESSAGES[self.decisions.below(VALID)]).collect();
                self.ask("publish all", Kind::Batch { messages: len }, timeout, PublishingAll::new(messages));
            }
            23..25 => {
                let timeout = self.decisions.pick(&[Duration::from_secs(3), Duration::ZERO, EVER]);
                self.ask("next event", Kind::Event, timeout, NextEvent { timeout });
            }
            25 => self.ask("authenticate", Kind::Usual, timeout, Authenticating),
            26 => {
                let timeout = if self.engine.is_connected() { timeout } else { EVER };
                self.ask("next step", Kind::Step, timeout, NextStep);
            }
            27 => self.ask("wait for connection", Kind::Connected, EVER, Connected),
            28 if self.does_harm() => {
                let disconnect = &DISCONNECTS[self.decisions.below(DISCONNECTS.len())];
                self.ask("disconnect", Kind::Disconnecting, EVER, Disconnecting(disconnect));
            }
            29 if self.does_harm() => self.connect(),
            _ => {
                if let Some(place) = self.some_listener() {
                    let listener = self.listeners[place].id;
                    let subscription = self.decisions.pick(&SUBSCRIPTIONS);
                    self.ask("listen", Kind::Usual, timeout, Listening { listener, subscription });
                }
            }
        }
    }

    pub(super) fn message(&mut self) -> &'static mqtt_wasi::codec::Publish<'static> {
        &MESSAGES[self.decisions.below(MESSAGES.len())]
    }

    pub(super) fn connect(&mut self) {
        if self.calls.len() >= MOST_CALLS {
            return;
        }
        if self.has_url {
            return self.ask("connect", Kind::Connecting, EVER, Connecting);
        }
        // The user closes what there is and comes with another one.
        say!(self, "attach");
        self.network.connect();
        self.broker.accept();
        self.with(Engine::attach);
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
    }

    pub(super) fn cancel(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let place = self.decisions.below(self.calls.len());
        self.cancel_this(place);
    }

    pub(super) fn cancel_this(&mut self, place: usize) {
        let call = self.calls.swap_remove(place);
        say!(self, "cancel {}", call.name);
        if let Some(id) = call.running.id() {
            self.with(|engine, now| engine.cancel(id, now));
        }
        if let Kind::Replying(number) = call.kind {
            self.give_up(number);
        }
    }

    /// Polls a call, be it that it was not woken.
    pub(super) fn poll_any(&mut self) {
        if !self.calls.is_empty() {
            let place = self.decisions.below(self.calls.len());
            self.poll(place);
        }
    }

    /// Polls a call; whether it is over.
    pub(super) fn poll(&mut self, place: usize) -> bool {
        let now = self.now;
        if self.engine.session().is_paused() {
            self.paused_since.get_or_insert(now);
        }
        let over_before = self.engine.require_open().err();
        let call = &mut self.calls[place];
        let is_first = !std::mem::replace(&mut call.was_polled, true);
        call.sleeper.sleep_again();
        let waker = self.has_listeners.then_some(&call.sleeper.waker);
        let polled = call.running.poll(&mut self.engine, waker, now);
        let id = call.running.id();
        if let Some(id) = id {
            assert!(call.id.is_none_or(|known| known == id), "a call is the same as long as it goes on");
            if call.id.is_none() {
                assert!(self.last_id.is_none_or(|last| id > last), "no identifier is used twice");
                self.last_id = Some(id);
            }
        }
        call.id = id;
        self.with(|_, _| ());
        let call = &self.calls[place];
        let Poll::Ready(result) = polled else {
            say!(self, "{} waits", call.name);
            // What has happened is told first, to those who asked first.
            let may_wait = matches!(call.kind, Kind::Connecting | Kind::Event | Kind::Step);
            if let Some(error) = over_before.filter(|_| is_first && !may_wait) {
                panic!("{} waits, though the connection is over: {error}", call.name);
            }
            return false;
        };
        say!(self, "{} is over: {result:?}", call.name);
        self.last_error = result.as_ref().err().cloned();
        self.tally.done += usize::from(result.is_ok());
        self.tally.failed += usize::from(result.is_err());
        self.tally.connected += usize::from(matches!(result, Ok(Came::Connected { .. })));
        assert_eq!(id, None, "a call that is over is forgotten");
        if is_first {
            self.check_first(call, over_before, &result);
        }
        if let Err(Error::AnswerBehindMessages | Error::Call(CallError::ReceiveFirst)) = &result
            && self.has_listeners
            && call.start == now
        {
            let has_waited = self.paused_since.is_some_and(|since| now >= since + STUCK);
            assert!(has_waited, "those who listen have a second to take messages before {} fails", call.name);
        }
        if let (Kind::Batch { messages }, Ok(Came::Batch(results))) = (call.kind, &result) {
            assert_eq!(messages, results.len(), "each message has come to something");
        }
        let call = self.calls.swap_remove(place);
        if let (Kind::Replying(number), Err(_)) = (call.kind, &result) {
            self.give_up(number);
        }
        if let Ok(Came::Step(Step::Challenge(_))) = result {
            drop(self.with(|engine, now| engine.answer_challenge(b"said", now)));
        }
        true
    }

    /// What a call that is over at once says is what the engine says.
    pub(super) fn check_first(&self, call: &Asked<'_>, over_before: Option<Error>, result: &Result<Came, Error>) {
        match (call.kind, over_before) {
            (Kind::Usual | Kind::Requesting | Kind::Connected | Kind::Replying(_), Some(over)) => {
                assert_eq!(result.as_ref().err(), Some(&over), "{} says why it is over", call.name);
            }
            (Kind::Disconnecting, Some(_)) => assert!(result.is_ok(), "there is nothing to disconnect: {result:?}"),
            (Kind::Connected, None) if result.is_ok() => {
                assert!(self.is_by_hand || self.engine.is_connected(), "the connection is there");
            }
            _ => {}
        }
    }

    pub(super) fn submit(&mut self) {
        // Blocking clients alone do.
        if self.has_listeners {
            return;
        }
        if self.unasked.len() > MOST_HELD || self.decisions.once_in(8) {
            // It may have ended already, and then it waits for somebody who never comes.
            self.orphans.extend(self.unasked.pop().map(|(_, deadline)| deadline));
            return;
        }
        if self.submitted.len() + self.submitting.len() >= MOST_CALLS || self.decisions.once_in(3) {
            if !self.submitted.is_empty() {
                let (id, owner, deadline) = self.submitted.swap_remove(self.decisions.below(self.submitted.len()));
                if self.decisions.once_in(2) {
                    self.with(|engine, now| engine.cancel(id, now));
                } else {
                    self.orphans.push(deadline);
                }
                drop(owner);
            }
            return;
        }
        let request = self.message();
        let timeout = self.decisions.pick(&[Duration::from_secs(5), Duration::ZERO, EVER]);
        self.nonce += 1;
        let call = Call::new(Requesting { request, timeout, nonce: self.nonce });
        let deadline = (timeout < EVER).then(|| self.now + timeout);
        self.submitting.push(Submitting { call, owner: Arc::new(()), deadline });
        self.poll_submissions();
    }

    /// Polls requests that are submitted, and those that were; whether any is over.
    pub(super) fn poll_submissions(&mut self) -> bool {
        let mut goes_on = false;
        let mut place = 0;
        while let Some(submitting) = self.submitting.get_mut(place) {
            let now = self.now;
            self.orphans.retain(|deadline| deadline.is_none_or(|deadline| deadline > now));
            match self.engine.poll_submitted(&mut submitting.call, &submitting.owner, &mut || now) {
                Poll::Pending => place += 1,
                Poll::Ready(result) => {
                    goes_on = true;
                    let Submitting { owner, deadline, .. } = self.submitting.swap_remove(place);
                    match result {
                        Ok(_) if self.decisions.once_in(3) => self.unasked.push((owner, deadline)),
                        Ok(id) => self.submitted.push((id, owner, deadline)),
                        Err(_) => {}
                    }
                }
            }
        }
        let mut place = 0;
        while let Some((id, _, _)) = self.submitted.get(place) {
            let (id, now) = (*id, self.now);
            match self.engine.poll_reply(id, &mut || now) {
                // The latter does not end it: who receives may ask again.
                Poll::Pending | Poll::Ready(Err(Error::AnswerBehindMessages)) => place += 1,
                Poll::Ready(_) => {
                    goes_on = true;
                    self.submitted.swap_remove(place);
                    let again = self.engine.poll_reply(id, &mut || now);
                    assert_eq!(again, Poll::Ready(Err(Error::Timeout)), "what came of a request is told once");
                }
            }
        }
        self.with(|_, _| ());
        goes_on
    }

    pub(super) fn take_message(&mut self) {
        if self.has_listeners {
            if let Some(place) = self.some_listener() {
                self.take_from(place, 1);
            }
            return;
        }
        match self.decisions.below(8) {
            0..3 => {
                let is_taken = self.with(|engine, _| engine.receive().is_some());
                self.tally.taken += usize::from(is_taken);
            }
            3..5 => {
                let delivery =
                    self.with(|engine, _| engine.receive_unacknowledged().and_then(|(_, delivery)| delivery));
                self.held.extend(delivery);
            }
            5 => drop(self.with(|engine, _| engine.has_message())),
            _ => {
                if let Some(&responder) = self.responders.first() {
                    let request = self.with(|engine, now| engine.next_request(responder, now));
                    self.has_request(responder, request);
                }
            }
        }
        while self.held.len() > MOST_HELD {
            self.acknowledge();
        }
    }

    pub(super) fn some_listener(&mut self) -> Option<usize> {
        (!self.listeners.is_empty()).then(|| self.decisions.below(self.listeners.len()))
    }

    /// Takes up to so many messages of a listener; whether there was any.
    pub(super) fn take_from(&mut self, place: usize, most: usize) -> bool {
        let mut has_any = false;
        for _ in 0..most {
            let listener = &mut self.listeners[place];
            listener.sleeper.sleep_again();
            let taken = match listener.more.pop() {
                Some(taken) => Some(taken),
                None => self.engine.take_message(
                    listener.id,
                    &mut listener.more,
                    Some(&listener.sleeper.waker),
                    &mut || self.now,
                ),
            };
            listener.waits = taken.is_none();
            listener.knows_end = taken.is_none() && self.engine.require_open().is_err();
            let is_over = taken.is_none();
            self.tally.taken += usize::from(!is_over);
            if let Some(taken) = taken {
                has_any = true;
                self.has_taken(taken);
            }
            self.with(|_, _| ());
            if is_over {
                break;
            }
        }
        has_any
    }

    pub(super) fn has_taken(&mut self, (message, delivery): (Message, Option<Delivery>)) {
        match (self.decisions.below(4), self.responders.first()) {
            (2 | 3, Some(&responder)) => {
                let request = self.with(|engine, now| engine.accept(responder, message, delivery, now));
                self.has_request(responder, request);
            }
            (1, _) => self.held.extend(delivery),
            _ => drop(delivery.map(|delivery| self.with(|engine, _| engine.acknowledge(delivery)))),
        }
        while self.held.len() > MOST_HELD {
            self.acknowledge();
        }
    }

    pub(super) fn has_request(&mut self, responder: ResponderId, request: Option<Request>) {
        let Some(request) = request else { return };
        self.tally.requests += 1;
        if self.used_requests == self.requests.len() {
            return self.with(|engine, now| engine.fail_request(responder, &request, "tired", now));
        }
        let number = self.used_requests;
        self.used_requests += 1;
        self.requests[number].set(request).expect("it is used once");
        self.to_answer.push((responder, number));
        if self.to_answer.len() > MOST_HELD {
            self.answer_request();
        }
    }

    pub(super) fn request(&self, number: usize) -> &'a Request {
        self.requests[number].get().expect("it was taken")
    }

    pub(super) fn answer_request(&mut self) {
        if self.to_answer.is_empty() {
            return;
        }
        let (responder, number) = self.to_answer.swap_remove(self.decisions.below(self.to_answer.len()));
        let request = self.request(number);
        match self.decisions.below(8) {
            0..6 if self.calls.len() < MOST_CALLS => {
                let reply = &REPLIES[self.decisions.below(REPLIES.len())];
                let replying = Replying { responder, request, reply };
                self.ask("reply", Kind::Replying(number), self.response_timeout, replying);
            }
            6 => self.with(|engine, now| engine.fail_request(responder, request, "tired", now)),
            _ => self.with(|engine, _| engine.give_up(responder, request)),
        }
    }

    pub(super) fn give_up(&mut self, number: usize) {
        let request = self.request(number);
        for responder in self.responders.clone() {
            self.with(|engine, now| engine.fail_request(responder, request, "gone", now));
        }
    }

    pub(super) fn acknowledge(&mut self) {
        let place = if self.decisions.once_in(4) { self.held.len().saturating_sub(1) } else { 0 };
        if let Some(delivery) = self.held.remove(place) {
            self.with(|engine, _| engine.acknowledge(delivery));
        }
    }

    pub(super) fn open_or_close_listener(&mut self) {
        if !self.has_listeners {
            return;
        }
        if self.listeners.len() >= MOST_LISTENERS || (!self.listeners.is_empty() && self.decisions.once_in(3)) {
            let place = self.decisions.below(self.listeners.len());
            say!(self, "close listener {place}");
            self.close_listener(place);
            return;
        }
        let filter = LISTENED.get(self.decisions.below(LISTENED.len() + 1)).copied();
        let capacity = self.decisions.pick(&[1, 2, 20]);
        let overflow = match self.decisions.below(4) {
            0..2 => Overflow::Wait(capacity),
            2 => Overflow::DropOldest(capacity),
            _ => Overflow::DropNewest(capacity),
        };
        say!(self, "open listener of {filter:?}, {overflow:?}");
        let id = self.with(|engine, now| engine.open_listener(filter, overflow, now));
        self.listeners.push(Listener {
            id,
            sleeper: Sleeper::new(),
            more: Held::default(),
            waits: false,
            knows_end: false,
        });
        if let Some(filter) = filter
            && self.calls.len() < MOST_CALLS
            && !self.decisions.once_in(8)
        {
            let subscription = *SUBSCRIPTIONS.iter().find(|other| other.filter == filter).expect("one of them");
            self.ask("listen", Kind::Usual, self.response_timeout, Listening { listener: id, subscription });
        }
    }

    pub(super) fn close_listener(&mut self, place: usize) {
        let listener = self.listeners.swap_remove(place);
        self.with(|engine, now| engine.close_listener(listener.id, now));
    }

    pub(super) fn open_or_close_responder(&mut self) {
        if self.responders.len() < 2 {
            let responder = match self.decisions.below(3) {
                0 => Responder::new(),
                most => Responder::new().keep(most - 1, 1000, Duration::from_secs(10)),
            };
            let id = self.with(|engine, _| engine.open_responder(responder));
            self.responders.push(id);
        } else {
            let id = self.responders.remove(0);
            self.with(|engine, _| engine.close_responder(id));
        }
    }

    pub(super) fn step_by_hand(&mut self) {
        if !self.is_by_hand {
            return;
        }
        match self.decisions.below(3) {
            0 => drop(self.with(|engine, now| engine.answer_challenge(b"said", now))),
            1 => drop(self.with(|engine, now| engine.authenticate_again(b"said", now))),
            _ => self.with(|engine, _| {
                let authentication_data = Some(b"said".to_vec());
                engine.update(ConnectChanges { authentication_data, ..ConnectChanges::default() }).unwrap();
            }),
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the network, the broker and the authenticator do

    pub(super) fn broker_sends(&mut self, what: impl FnOnce(&mut Broker, &mut Decisions<'_>) -> Vec<u8>) {
        if self.network.is_up && self.broker.is_connected() {
            let bytes = what(&mut self.broker, &mut self.decisions);
            say!(self, "the broker sends {bytes:02x?}");
            self.driver_is_awake |= self.network.arrives(&bytes);
        }
    }

    pub(super) fn end_network(&mut self, how: usize) {
        say!(self, "the network ends: {how}");
        if self.network.is_up {
            self.driver_is_awake |= self.network.ends(how);
        }
    }

    pub(super) fn network_flows(&mut self) {
        self.driver_is_awake |= self.network.flows();
    }

    pub(super) fn dialing_comes_to_something(&mut self) {
        let is_good = !self.decisions.once_in(3);
        match &mut self.attempt {
            Some(attempt) => {
                attempt.fate.get_or_insert(is_good);
                self.driver_is_awake = true;
            }
            // One that was given up before.
            None => {
                let (attempt, now) = (self.last_attempt, self.now);
                if is_good {
                    self.engine.connected(attempt, now);
                } else {
                    self.engine.connect_failed(attempt, unreachable(), now);
                }
                self.driver_is_awake = true;
            }
        }
    }

    pub(super) fn authenticator_answers(&mut self) {
        if let Some(question) = self.authentication.take() {
            say!(self, "the authenticator answers");
            self.engine.authenticated(question.run(), self.now);
            self.driver_is_awake = true;
        }
    }

    pub(super) fn authenticator_changes(&mut self) {
        let mood = self.decisions.pick(&[0, 0, 0, 1, 2, 3]);
        self.mood.store(mood, Ordering::Relaxed);
        self.takes_its_time = self.decisions.once_in(2);
        // Not much happens any more behind that.
        if self.decisions.once_in(100) && self.authentication.take().is_some() {
            say!(self, "the authenticator is lost");
            self.is_lost = true;
            self.engine.authenticator_lost(self.now);
            self.driver_is_awake = true;
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Time, and the driver

    pub(super) fn all_return(&mut self) {
        if self.users_are_away {
            // Answers are looked at now.
            self.last_moved = self.now;
        }
        (self.driver_is_away, self.users_are_away) = (false, false);
        self.driver_is_awake = true;
    }
}
