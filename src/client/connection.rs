//! The connection: how it begins and ends, and how bytes and events move over it meanwhile.

use alloc::collections::VecDeque;

use super::{CLOSE_TIMEOUT, Client, KEEP_UP, LATE_ROUNDS, MOST_EVENTS, Patience};
use crate::error::{Error, RequestError};
use crate::session::{Event, Session, Status};
use crate::time::Instant;
use crate::transport::{Transferred, Transport};

/// Which way bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Both,
}

impl<T: Transport> Client<T> {
    /// Begins over a new transport; returns whether the broker had the session.
    pub(super) fn start(&mut self) -> Result<bool, Error> {
        self.begin()?;
        // They are about calls that go on over this connection.
        let mut others = VecDeque::new();
        let answer = loop {
            // What comes behind CONNACK is for the calls that come behind this one.
            while self.step.is_none()
                && let Some(event) = self.session_event()
            {
                others.push_back(event);
            }
            match self.step.take() {
                Some(Event::Connected { session_present }) => {
                    others.pop_back();
                    break Ok(session_present);
                }
                Some(_) => {
                    let why = "the broker has a challenge, and this client no authenticator";
                    self.session.fail_authentication(why.into());
                }
                None => {}
            }
            // The session keeps the connect timeout by itself.
            if let Err(error) = self.require_open().and_then(|()| self.advance(None)) {
                break Err(error);
            }
        };
        self.others = others;
        if answer.is_err() {
            self.close();
        }
        answer
    }

    /// Sends CONNECT over a new transport.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        // The end of the last connection is no news to this one.
        self.discard_events();
        self.step = None;
        if let Some(authenticator) = &mut self.authenticator {
            self.session.set_authentication_data(authenticator.start().map_err(Error::Authentication)?);
        }
        self.session.connect(self.transport.now())?;
        self.ended = None;
        Ok(())
    }

    /// The broker took the connection.
    fn connected(&mut self, session_present: bool) {
        if let Some(authenticator) = &mut self.authenticator {
            let connack = self.session.connack().unwrap_or_default();
            let data = connack.properties.authentication_data.unwrap_or_default();
            if let Err(why) = authenticator.finish(data) {
                self.session.fail_authentication(why);
                return;
            }
        }
        self.is_made = true;
        if self.session.stats().reconnects > 0 {
            self.note(Event::Connected { session_present });
        }
        let now = self.transport.now();
        if let Some(dialer) = &mut self.dialer {
            dialer.connected(now);
        }
        self.step = Some(Event::Connected { session_present });
    }

    /// Hands something to the session as soon as it has room.
    pub(super) fn submit<R>(
        &mut self,
        patience: &mut Patience,
        mut submit: impl FnMut(&mut Session) -> Result<R, RequestError>,
    ) -> Result<R, Error> {
        loop {
            for _ in 0..2 {
                match submit(&mut self.session) {
                    Err(RequestError::WouldBlock | RequestError::NotConnected) => {}
                    result => return Ok(result?),
                }
                // What has come may make room, and be all that comes.
                self.discard_events();
            }
            self.require_open()?;
            patience.wait(self)?;
        }
    }

    /// Waits until `pick` takes an event.
    pub(super) fn wait_for<R>(
        &mut self,
        patience: &mut Patience,
        mut pick: impl FnMut(Event) -> Option<Result<R, Error>>,
    ) -> Result<R, Error> {
        loop {
            while let Some(event) = self.session_event() {
                if let Some(result) = pick(event) {
                    if result.as_ref().is_err_and(Error::is_fatal) {
                        // What is told now need not be told again.
                        self.ended = None;
                    }
                    return result;
                }
            }
            self.require_open()?;
            patience.wait(self).map_err(Error::while_in_flight)?;
        }
    }

    /// Takes events that are of no use to anyone: about calls that were given up, or that wait for nothing.
    pub(super) fn discard_events(&mut self) {
        while self.session_event().is_some() {}
    }

    /// The session's next event that is about a call, or that there is a connection now. What is about the connection is
    /// noted and seen to here, whatever call it comes in.
    pub(super) fn session_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.others.pop_front() {
                return Some(event);
            }
            match self.session.poll_event()? {
                Event::Disconnected(error) => {
                    self.close();
                    if core::mem::take(&mut self.is_made) {
                        self.note(Event::Disconnected(error.clone()));
                    }
                    self.plan_after_loss(error);
                }
                Event::Connected { session_present } => {
                    self.connected(session_present);
                    if self.step.is_some() {
                        return Some(Event::Connected { session_present });
                    }
                }
                event @ (Event::Challenged(_) | Event::Authenticated(_)) => self.heed(event),
                event @ (Event::SubscriptionRestored { .. }
                | Event::SubscriptionLost { .. }
                | Event::MessageDropped(_)) => self.note(event),
                Event::Replied { id, result } => self.replied(id, result.map(|message| *message)),
                event => return Some(event),
            }
        }
    }

    /// Keeps an event for [`Client::next_event`].
    fn note(&mut self, event: Event) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Fails when there is no connection, with why it ended if no call has told so yet.
    pub(super) fn require_open(&mut self) -> Result<(), Error> {
        match self.session.status() {
            Status::Connecting | Status::Connected => Ok(()),
            Status::Disconnected | Status::Closing => {
                self.discard_events();
                if self.is_dialing() {
                    return Ok(());
                }
                Err(self.ended.take().unwrap_or(RequestError::NotConnected.into()))
            }
        }
    }

    /// Sends what has waited for a while, and pings, though messages are at hand and nothing is waited for.
    pub(super) fn keep_up(&mut self, now: Instant) {
        let is_due = self.session.deadline().is_some_and(|deadline| now >= deadline);
        if is_due || (self.has_outgoing() && now >= self.last_moved + KEEP_UP) {
            // That messages must be received first is known here.
            let _ = self.advance(Some(now));
        }
    }

    /// Moves bytes both ways once, waiting for them until `until` or what the session has to do; returns whether any
    /// moved.
    pub(super) fn advance(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let now = self.transport.now();
        if self.is_dialing() {
            // Requests run out of time without a connection too.
            self.session.handle_timeout(now);
            return Ok(self.dial_again([until, self.session.deadline()].into_iter().flatten().min()));
        }
        let is_due = self.session.deadline().is_some_and(|deadline| now >= deadline);
        if is_due {
            // The answer that the session would miss may be there, unread.
            self.transfer(Direction::In, Some(now));
            self.session.handle_timeout(now);
        }
        if !matches!(self.session.status(), Status::Connecting | Status::Connected) && !self.has_outgoing() {
            return Ok(true);
        }
        // What was due may be what the caller waits for.
        let until = if is_due { Some(now) } else { [until, self.session.deadline()].into_iter().flatten().min() };
        let (outgoing, incoming) = self.session.buffers();
        if outgoing.is_empty() && incoming.is_empty() {
            return Err(RequestError::ReceiveFirst.into());
        }
        Ok(self.transfer(Direction::Both, until))
    }

    /// Moves bytes once; returns whether any moved or the connection ended.
    fn transfer(&mut self, direction: Direction, until: Option<Instant>) -> bool {
        let (outgoing, incoming) = self.session.buffers();
        let outgoing = if direction == Direction::Both { outgoing } else { &[] };
        if outgoing.is_empty() && incoming.is_empty() {
            return false;
        }
        match self.transport.transfer(outgoing, incoming, until) {
            Ok(moved) => {
                let has_moved = moved != Transferred::default();
                if has_moved {
                    self.last_moved = self.transport.now();
                }
                self.session.transmitted(moved.sent, self.last_moved);
                self.session.received(moved.received, self.last_moved);
                if moved.closed {
                    self.session.connection_closed(Error::ConnectionClosed);
                }
                has_moved
            }
            Err(error) => {
                // Why the broker closed the connection may be there, unread.
                let mut rounds = 0..LATE_ROUNDS;
                while direction == Direction::Both
                    && rounds.next().is_some()
                    && self.transfer(Direction::In, Some(self.last_moved))
                    && self.session.status() != Status::Disconnected
                {}
                self.session.connection_closed(error.into());
                true
            }
        }
    }

    /// Waits until everything is sent or there is no connection any more.
    pub(super) fn write_out(&mut self, patience: &mut Patience) -> Result<(), Error> {
        while self.has_outgoing() {
            patience.wait(self)?;
        }
        Ok(())
    }

    /// Sends the last bytes, if the peer takes them, and closes the connection.
    pub(super) fn close(&mut self) {
        // Whoever closes has an error to tell already.
        let _ = self.write_out(&mut Patience::new(CLOSE_TIMEOUT));
        self.transport.close();
        self.session.connection_closed(Error::ConnectionClosed);
    }
}
