//! Responders, which are told what comes and what there is room for.

use super::event::Event;
use super::{Engine, acknowledge};
use crate::error::CallError;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};
use crate::session::Delivery;
use crate::time::Instant;

/// The number of a responder. One engine never uses a number twice.
///
/// ```
/// use mqtt_wasi::engine::{Engine, ResponderId};
/// use mqtt_wasi::{Options, Responder};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// let responder: ResponderId = engine.open_responder(Responder::new());
/// assert_eq!(engine.responder_stats(responder).replied, 0);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponderId(u64);

impl Engine {
    /// Adds a responder.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let keeps_few = Responder::new().keep(100, 65_536, Duration::from_secs(60));
    /// let responder = engine.open_responder(keeps_few);
    /// assert_eq!(engine.responder_stats(responder).replied, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn open_responder(&mut self, responder: Responder) -> ResponderId {
        self.last_responder += 1;
        self.responders.push((self.last_responder, responder));
        ResponderId(self.last_responder)
    }

    /// Removes a responder. Requests that it has not answered are not acknowledged.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let responder = engine.open_responder(Responder::new());
    /// engine.close_responder(responder);
    /// assert_eq!(engine.next_request(responder, Instant::ZERO), None);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn close_responder(&mut self, id: ResponderId) {
        self.responders.retain(|(other, _)| *other != id.0);
    }

    /// Takes the next message as a request. `None`: there is none. A request that comes again gets the reply that it
    /// had, and is not returned again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Subscribing};
    /// use mqtt_wasi::{Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let responder = engine.open_responder(Responder::new());
    /// let subscriptions = &[Subscription::new("jobs", QoS::AtLeastOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.publish(Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce));
    /// network.turn(&mut engine);
    /// let request = engine.next_request(responder, network.now()).expect("a request");
    /// assert_eq!(request.message().payload, b"print 3 labels");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn next_request(&mut self, id: ResponderId, now: Instant) -> Option<Request> {
        self.now = now;
        let request = find(&mut self.responders, id)?.take(&mut self.session, now);
        self.flush_responders();
        request
    }

    /// Takes a message as a request. `None`: it came before, and gets the reply that it had.
    ///
    /// ```
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Message, Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let responder = engine.open_responder(Responder::new());
    /// let message = Message::from(Publish::new("jobs", "print 3 labels")); // of a listener
    /// let request = engine.accept(responder, message, None, Instant::ZERO).expect("it came for the first time");
    /// assert!(!request.wants_reply());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
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
    ///
    /// ```
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Message, Options, PublishProperties, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let responder = engine.open_responder(Responder::new());
    /// let properties = PublishProperties {
    ///     response_topic: Some("replies/terminal-7"),
    ///     correlation_data: Some(b"1"),
    ///     ..PublishProperties::default()
    /// };
    /// let message = Message::from(Publish::new("jobs", "print 3 labels").properties(properties));
    /// let request = engine.accept(responder, message.clone(), None, Instant::ZERO).expect("a request");
    /// assert_eq!(engine.accept(responder, message.clone(), None, Instant::ZERO), None, "it came before");
    /// engine.give_up(responder, &request);
    /// assert!(engine.accept(responder, message, None, Instant::ZERO).is_some());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn give_up(&mut self, id: ResponderId, request: &Request) {
        if let Some(responder) = find(&mut self.responders, id) {
            responder.give_up(request);
        }
    }

    /// Tells the requester that its request failed, and why, if there is room for that. Gives the request up otherwise.
    ///
    /// ```
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Message, Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let responder = engine.open_responder(Responder::new());
    /// let message = Message::from(Publish::new("jobs", "print 3 labels"));
    /// let request = engine.accept(responder, message, None, Instant::ZERO).expect("a request");
    /// engine.fail_request(responder, &request, "no paper", Instant::ZERO);
    /// assert_eq!(engine.responder_stats(responder).failed, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn fail_request(&mut self, id: ResponderId, request: &Request, why: &str, now: Instant) {
        if self.reply(id, request, &Reply::failed(why), now).is_err() {
            self.give_up(id, request);
        }
    }

    /// Counters of a responder.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Options, Responder};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let responder = engine.open_responder(Responder::new());
    /// assert_eq!(engine.responder_stats(responder).duplicates, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
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
