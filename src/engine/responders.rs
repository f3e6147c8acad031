//! Responders, which are told what comes and what there is room for.

use super::event::Event;
use super::{Engine, acknowledge};
use crate::error::CallError;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};
use crate::session::Delivery;
use crate::time::Instant;

/// Which responder: never used twice by one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponderId(u64);

impl Engine {
    /// Adds a responder.
    pub fn open_responder(&mut self, responder: Responder) -> ResponderId {
        self.last_responder += 1;
        self.responders.push((self.last_responder, responder));
        ResponderId(self.last_responder)
    }

    /// Removes a responder. What it has not answered is not acknowledged.
    pub fn close_responder(&mut self, id: ResponderId) {
        self.responders.retain(|(other, _)| *other != id.0);
    }

    /// Takes the next message for a request; `None` when there is none. One that came before is answered as it was then, and
    /// not handed out again.
    pub fn next_request(&mut self, id: ResponderId, now: Instant) -> Option<Request> {
        self.now = now;
        let request = find(&mut self.responders, id)?.take(&mut self.session, now);
        self.flush_responders();
        request
    }

    /// Takes a message for a request; `None` if it is one that came before.
    pub fn accept(
        &mut self,
        id: ResponderId,
        message: Message,
        delivery: Option<Delivery>,
        now: Instant,
    ) -> Option<Request> {
        self.now = now;
        let request = find(&mut self.responders, id)?.accept(&self.session, message, delivery, now);
        self.flush_responders();
        request
    }

    /// Lets a request go without a reply: see [`Responder::give_up`].
    pub fn give_up(&mut self, id: ResponderId, request: &Request) {
        if let Some(responder) = find(&mut self.responders, id) {
            responder.give_up(request);
        }
    }

    /// Answers a request that nobody answers, if there is room for that; gives it up otherwise.
    pub fn fail_request(&mut self, id: ResponderId, request: &Request, why: &str, now: Instant) {
        if self.reply(id, request, &Reply::failed(why), now).is_err() {
            self.give_up(id, request);
        }
    }

    /// What a responder has done so far.
    #[must_use]
    pub fn responder_stats(&self, id: ResponderId) -> ResponderStats {
        let found = self.responders.iter().find(|(other, _)| *other == id.0);
        found.map(|(_, responder)| responder.stats()).unwrap_or_default()
    }

    /// Replies, as [`Responder::reply`] does.
    pub(super) fn reply(
        &mut self,
        id: ResponderId,
        request: &Request,
        reply: &Reply,
        now: Instant,
    ) -> Result<(), CallError> {
        let Self { responders, session, listeners, delivery: hooks, .. } = self;
        let Some(responder) = find(responders, id) else { return Ok(()) };
        let sent = responder.reply_and_acknowledge(session, request, reply, now, &mut |session, delivery| {
            acknowledge(session, listeners, *hooks, delivery);
        });
        if let Err(error) = sent
            && !matches!(error, CallError::WouldBlock | CallError::NotConnected)
        {
            let response_topic = request.message().response_topic.clone().unwrap_or_default();
            self.note(Event::ReplyDropped { response_topic, error });
        }
        sent
    }

    /// Answers the requests that came again, as far as there is room.
    pub(super) fn flush_responders(&mut self) {
        let Self { responders, session, listeners, delivery: hooks, now, .. } = self;
        for (_, responder) in responders {
            if responder.has_waiting() {
                responder.flush_and_acknowledge(session, *now, &mut |session, delivery| {
                    acknowledge(session, listeners, *hooks, delivery);
                });
            }
        }
    }
}

/// There are few of them.
fn find(responders: &mut [(u64, Responder)], id: ResponderId) -> Option<&mut Responder> {
    responders.iter_mut().find(|(other, _)| *other == id.0).map(|(_, responder)| responder)
}
