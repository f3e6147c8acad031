//! What holds whenever all is at rest, and in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use mqtt_wasi::Error;
use mqtt_wasi::codec::SubscribeProperties;
use mqtt_wasi::engine::{
    Call, Connected, Connecting, Engine, NextEvent, Operation, Publishing, Requesting, Subscribing,
};

use super::calls::{Asked, Kind, MESSAGES, SUBSCRIPTIONS, Submitting};
use super::support::Came;
use super::{CLOSE_TIMEOUT, EVER, LISTENED, MOST_EVENTS, MOST_WAITING, World, start};

impl<'a> World<'a> {
    pub(super) fn look(&mut self) {
        if !self.engine.session().is_paused() {
            self.paused_since = None;
        } else if !self.calls.is_empty() {
            self.paused_since.get_or_insert(self.now);
        }
        self.check_bounds();
        if self.driver_is_away {
            return;
        }
        let (engine, now) = (&self.engine, self.now);
        assert!(engine.deadline().is_none_or(|deadline| deadline > now), "what was due is done");
        assert_eq!(engine.has_transport(), self.network.is_up, "engine and network agree on the transport");
        assert_eq!(engine.is_dialing(), self.attempt.is_some(), "engine and network agree on the attempt");
        assert!(!engine.is_connected() || engine.require_open().is_ok(), "a connection is not over");
        if self.users_are_away {
            return;
        }
        self.check_calls();
        if self.has_listeners {
            self.check_that_nobody_sleeps_in_vain();
        }
    }

    pub(super) fn check_bounds(&mut self) {
        let waiting = self.engine.session().transmit().len();
        assert!(waiting <= self.outbound_limit + MOST_WAITING, "{waiting} bytes wait");
        let calls = self.calls.iter().filter(|call| call.running.id().is_some()).count();
        let submitting = self.submitting.iter().filter(|submitting| submitting.call.id().is_some()).count();
        let expected =
            calls + submitting + self.submitted.len() + self.unasked.len() + self.orphans.len() + self.listeners.len();
        // What was asked of the broker is forgotten when it answers.
        let asked = LISTENED.len() + self.broker.asked() + waiting / 6;
        let kept = self.engine.kept();
        assert!(kept <= expected + asked, "{kept} things are kept, for {expected} users and {asked} packets");
    }

    pub(super) fn check_calls(&self) {
        let now = self.now;
        for call in &self.calls {
            let Asked { name, start, .. } = call;
            match call.kind {
                Kind::Connecting | Kind::Connected => {
                    assert!(self.engine.require_open().is_ok(), "{name} waits for a connection that nobody makes");
                    assert!(!self.engine.is_connected(), "{name} waits for what is there");
                }
                Kind::Disconnecting => {
                    assert!(self.engine.is_closing(), "{name} waits for nothing");
                    assert!(now < *start + CLOSE_TIMEOUT, "{name} ends");
                }
                _ => {}
            }
            let start = if matches!(call.kind, Kind::Batch { .. }) { (*start).max(self.last_moved) } else { *start };
            if let Some(timeout) = call.timeout {
                let since = now.saturating_duration_since(start);
                assert!(since < timeout, "{name} is over in time: {since:?} of {timeout:?}");
            }
        }
        for (place, (_, _, deadline)) in self.submitted.iter().enumerate() {
            assert!(deadline.is_none_or(|deadline| now < deadline), "request {place} is over in time");
        }
        for Submitting { deadline, .. } in &self.submitting {
            assert!(deadline.is_none_or(|deadline| now < deadline), "a request is submitted in time");
        }
    }

    /// Whether the broker takes some messages only.
    pub(super) fn has_narrow_terms(&self) -> bool {
        let connack = self.engine.connack().unwrap_or_default();
        connack.properties.maximum_qos.is_some() || connack.properties.maximum_packet_size.is_some()
    }

    /// Whoever was not woken has nothing to do: if it polls all the same, nothing comes of that.
    pub(super) fn check_that_nobody_sleeps_in_vain(&mut self) {
        assert!(!self.driver_is_awake, "all sleep");
        assert!(!self.engine.has_action(), "the driver sleeps, and there is something to do");
        let is_reading = self.engine.has_transport() && {
            let turn = self.engine.turn(self.now);
            let (reads, writes) = (!turn.incoming.is_empty(), !turn.outgoing.is_empty());
            let is_there = reads && !self.network.gives_nothing && !self.network.unread.is_empty();
            // Replies that wait to be sent again may go when their requesters wait no longer, and nothing tells of that.
            is_there || (writes && !self.network.takes_nothing && self.responders.is_empty())
        };
        assert!(!is_reading, "the driver sleeps, and there is something to move");
        for place in 0..self.calls.len() {
            let Asked { name, kind, .. } = self.calls[place];
            // What a request waits for may pass by itself: then there is nobody to reply to any more.
            if matches!(kind, Kind::Replying(_)) {
                continue;
            }
            self.wake();
            if self.calls[place].sleeper.is_woken() {
                // One before it has found out that it waits for something else, and made way.
                self.poll(place);
                return self.settle();
            }
            let before = self.engine.outgoing();
            let is_over = self.poll(place);
            // What can never be sent may fail while it waits for something.
            let is_refused = matches!(self.last_error, Some(Error::Call(_)));
            // So may the messages of a batch that this broker does not take.
            let may_be_refused = matches!(kind, Kind::Batch { .. }) && self.has_narrow_terms();
            assert!(!is_over || is_refused || may_be_refused, "{name} sleeps, and is over: {:?}", self.last_error);
            if is_over {
                return self.settle();
            }
            // A request may subscribe to its Response Topic while it waits for something else, and what is asked for a listener
            // takes less room once that is closed.
            let has_sent = self.engine.outgoing() != before;
            assert!(
                !has_sent || matches!(kind, Kind::Requesting) || name == "listen" || may_be_refused,
                "{name} sleeps, and what it waits for is there"
            );
        }
        for listener in &mut self.listeners {
            if !listener.waits {
                continue;
            }
            let taken =
                self.engine
                    .take_message(listener.id, &mut listener.more, Some(&listener.sleeper.waker), &mut || self.now);
            assert!(taken.is_none(), "a listener sleeps, and there is a message: {taken:?}");
            let is_over = self.engine.require_open().is_err();
            assert!(!is_over || listener.knows_end, "a listener sleeps, and no more will come");
        }
        // The polls above may have the driver look once more.
        self.settle();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // The end

    /// Everything behaves from now on: every call ends, and a client that connects is as good as new.
    pub(super) fn come_to_rest(&mut self) {
        say!(self, "calm");
        self.decisions.calm_down();
        self.mood.store(0, Ordering::Relaxed);
        self.takes_its_time = false;
        self.all_return();
        self.network_flows();
        self.authenticator_answers();
        if let Some(attempt) = &mut self.attempt {
            attempt.fate.get_or_insert(true);
        }
        self.rest_for(Duration::from_secs(120));
        for place in (0..self.calls.len()).rev() {
            // What nobody answers and what has all the time there is.
            self.cancel_this(place);
        }
        self.submitting
            .drain(..)
            .filter_map(|submitting| submitting.call.id())
            .for_each(|id| drop(self.engine.cancel(id, self.now)));
        self.orphans.extend(self.unasked.drain(..).map(|(_, deadline)| deadline));
        for (id, _, _) in std::mem::take(&mut self.submitted) {
            self.with(|engine, now| engine.cancel(id, now));
        }
        if !self.is_by_hand {
            self.connect();
            self.rest_for(Duration::from_secs(60));
            if self.is_lost {
                let over = self.engine.require_open();
                assert!(matches!(over, Err(Error::Authentication(_))), "no connection without it: {over:?}");
            } else {
                assert!(self.engine.is_connected(), "a broker that behaves is connected to");
                self.check_that_it_is_as_good_as_new();
            }
        }
        self.stop();
    }

    pub(super) fn rest_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            self.take_all();
            self.look();
            let Some(next) = self.engine.deadline().filter(|next| *next <= end) else { break };
            self.advance(next);
        }
        self.advance(end);
        self.settle();
        self.look();
    }

    pub(super) fn take_all(&mut self) {
        loop {
            let mut has_any = false;
            if self.has_listeners {
                for place in 0..self.listeners.len() {
                    has_any |= self.take_from(place, usize::MAX);
                }
            } else {
                while self.with(|engine, _| engine.receive().is_some()) {
                    has_any = true;
                }
            }
            while !self.held.is_empty() {
                self.acknowledge();
            }
            while !self.to_answer.is_empty() {
                self.answer_request();
            }
            self.settle();
            if !has_any {
                return;
            }
        }
    }

    pub(super) fn check_that_it_is_as_good_as_new(&mut self) {
        let timeout = self.response_timeout;
        let calls = self.calls.len();
        assert_eq!(calls, 0, "{} is over", self.calls[0].name);
        for place in [0, 4, 8] {
            self.must_be_done("publish", timeout, Publishing(&MESSAGES[place]));
        }
        let subscribing =
            Subscribing { subscriptions: &SUBSCRIPTIONS[..1], properties: SubscribeProperties::default() };
        self.must_be_done("subscribe", timeout, subscribing);
        while let Some(listener) = self.listeners.len().checked_sub(1) {
            self.close_listener(listener);
        }
        self.rest_for(Duration::ZERO);
        // What nobody asked for goes when the next request comes.
        let owner = Arc::new(());
        let mut call = Call::new(Requesting { request: &MESSAGES[0], timeout, nonce: 0 });
        if let Poll::Ready(Ok(id)) = self.with(|engine, now| engine.poll_submitted(&mut call, &owner, &mut || now)) {
            self.engine.cancel(id, self.now);
        } else if let Some(id) = call.id() {
            self.engine.cancel(id, self.now);
        }
        let now = self.now;
        self.orphans.retain(|deadline| deadline.is_none_or(|deadline| deadline > now));
        let orphans = self.orphans.len();
        assert!(self.engine.kept() <= orphans, "{} things are kept, {orphans} of them by design", self.engine.kept());
    }

    pub(super) fn must_be_done<O: Operation + 'a>(&mut self, name: &'static str, timeout: Duration, operation: O)
    where
        O::Output: Into<Came>,
    {
        let refused = self.engine.stats().refused;
        self.ask(name, Kind::Usual, timeout, operation);
        self.settle();
        self.take_all();
        assert!(self.calls.is_empty(), "{name} is done");
        assert_eq!(self.engine.stats().refused, refused, "{name} is done");
    }

    /// The driver is gone.
    pub(super) fn stop(&mut self) {
        self.ask("next event", Kind::Event, EVER, NextEvent { timeout: EVER });
        self.ask("publish", Kind::Usual, self.response_timeout, Publishing(&MESSAGES[4]));
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
        self.engine.stop(Error::Stopped);
        self.network.close();
        self.attempt = None;
        while self.engine.poll_action(self.now).is_some() {}
        self.driver_is_away = true;
        let mut events = 0;
        while self.with(|engine, now| engine.take_event(now)).is_some() {
            events += 1;
        }
        assert!(events <= MOST_EVENTS, "{events} events");
        self.wake();
        self.settle();
        if self.has_listeners {
            // Events may have been taken before the one who waits for them.
            self.with(Engine::catch_up);
            self.settle();
        }
        let left: Vec<_> = self.calls.iter().map(|call| call.name).collect();
        assert!(left.is_empty(), "all calls are over: {left:?}");
        assert_eq!(self.engine.require_open(), Err(Error::Stopped));
        self.ask("publish", Kind::Usual, self.response_timeout, Publishing(&MESSAGES[0]));
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
        assert!(self.calls.is_empty(), "all that comes is over too");
        if self.has_url {
            let result = self.engine.poll_call(&mut Call::new(Connecting), None, &mut || start());
            assert_eq!(result, Poll::Ready(Err(Error::Stopped)), "no connection is made any more");
        }
    }
}
