//! Where messages wait for those who listen: one inbox for each of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;

use super::connection::Phase;
use super::held::{Held, Taken};
use super::topics::Topics;
use super::{Clock, Engine, operation, replace_waker};
use crate::codec::{Publish, QoS};
use crate::error::{CallError, Error, SubscribeReason};
use crate::message::Message;
use crate::ordered::Ordered;
use crate::session::{Delivery, Event, OperationId};
use crate::time::Instant;

/// How many bytes of messages an inbox takes before it is full.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Fewer messages than that are handed out one by one.
const FEW: usize = 16;

/// The highest Subscription Identifier. Listeners' own go down from here, so that they are none of the user's.
const HIGHEST_IDENTIFIER: u32 = 268_435_455;

/// What happens to messages that nobody receives in time. The number is how many may wait, at least 1. An inbox is also
/// full with 4 MiB.
///
/// ```
/// use mqtt_wasi::Overflow;
///
/// assert_eq!(Overflow::default(), Overflow::Wait(1024));
/// let latest_only = Overflow::DropOldest(1);
/// assert_ne!(latest_only, Overflow::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The broker waits: the client reads no more until half of the messages are received. While a call waits for the
    /// broker, whose answer may be behind messages, the client reads on, up to
    /// [`Options::backlog_limit`](crate::Options::backlog_limit).
    ///
    /// If nobody receives a message for a second then, the call fails with
    /// [`Error::AnswerBehindMessages`](crate::Error::AnswerBehindMessages) or
    /// [`CallError::ReceiveFirst`](crate::CallError::ReceiveFirst). So a task that publishes while it works on a
    /// message does not wait for itself for ever.
    Wait(usize),
    /// The oldest message is dropped. At QoS 1 and 2 it is acknowledged.
    DropOldest(usize),
    /// The new message is dropped. At QoS 1 and 2 it is acknowledged.
    DropNewest(usize),
}

impl Overflow {
    const fn capacity(self) -> usize {
        match self {
            Self::Wait(capacity) | Self::DropOldest(capacity) | Self::DropNewest(capacity) => {
                if capacity == 0 {
                    1
                } else {
                    capacity
                }
            }
        }
    }
}

impl Overflow {
    const fn waits(self) -> bool {
        matches!(self, Self::Wait(_))
    }
}

impl Default for Overflow {
    /// The broker waits when 1,024 messages do.
    fn default() -> Self {
        Self::Wait(1024)
    }
}

/// The number of a listener. One engine never uses a number twice.
///
/// ```
/// use mqtt_wasi::engine::{Engine, ListenerId, Overflow};
/// use mqtt_wasi::{Instant, Options};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// engine.deliver_to_listeners();
/// let listener: ListenerId = engine.open_listener(None, Overflow::default(), Instant::ZERO);
/// assert_eq!(engine.dropped(listener), 0);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(u64);

#[derive(Debug, Default)]
pub(super) struct Listeners {
    last: u64,
    inboxes: Ordered<Inbox>,
    /// Those who listen to the filter that has this Subscription Identifier, in the order of the identifiers.
    identified: Vec<(u32, Vec<u64>)>,
    /// Those who listen to a filter.
    topics: Topics,
    /// Those who listen to everything.
    everything: Vec<u64>,
    /// How many are not done with a message that several got: by the number of its delivery.
    shared: Ordered<usize>,
    /// Of which message each of them has a share: by the number of that.
    shares: Ordered<Delivery>,
    last_share: u64,
    /// How many inboxes that are to hold the broker back are full.
    full: usize,
    /// Those who listen to the message that is delivered: kept, so that none takes an allocation.
    found: Vec<u64>,
    /// Whether all Subscription Identifiers of that message are those of listeners.
    are_all_own: bool,
    /// Messages that nobody takes, or that were dropped from every inbox.
    to_acknowledge: Vec<Delivery>,
    unheard: u64,
}

/// What delivering to listeners takes. It is there for engines that do, and linked into programs that have one.
pub(super) struct Hooks {
    pub(super) next_event: fn(&mut Engine) -> Option<Event>,
    pub(super) take_share: fn(&mut Listeners, Delivery) -> Option<Delivery>,
    pub(super) wake_all: fn(&mut Listeners, &mut Vec<Waker>),
    pub(super) connected: fn(&mut Engine, bool),
    pub(super) keep_house: fn(&mut Engine),
    pub(super) answered: fn(&mut Engine, OperationId, &Result<SubscribeReason, Error>),
}

pub(super) static HOOKS: Hooks = Hooks {
    next_event: Engine::next_event,
    take_share: Listeners::take_share,
    wake_all: Listeners::wake_all,
    connected: |engine, session_present| {
        engine.listeners.connected(session_present);
        engine.keep_chores(session_present);
    },
    keep_house: Engine::keep_house,
    answered: Engine::answered,
};

#[derive(Debug)]
struct Inbox {
    /// What it listens to; `None`: everything.
    filter: Option<Box<str>>,
    identifier: Option<u32>,
    queue: Held,
    bytes: usize,
    /// Whether none of them is to be acknowledged, or comes again.
    is_at_most_once: bool,
    overflow: Overflow,
    /// Whether the broker waits: from when it is full until half of it is taken, so that one message is not all that
    /// comes then.
    holds_back: bool,
    waker: Option<Waker>,
    dropped: u64,
    /// Whether the broker was asked for what it listens to, for its sake or another's that has closed.
    was_asked_for: bool,
    /// Whether messages may come without their payload.
    #[cfg(feature = "stream")]
    streams: bool,
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.queue.len() >= self.overflow.capacity() || self.bytes >= MOST_BYTES
    }

    /// Looks whether the broker has to wait; returns by how much the number of those that it waits for has changed.
    fn update(&mut self) -> isize {
        let held_back = self.holds_back;
        let is_half_taken = self.queue.len() <= self.overflow.capacity() / 2 && self.bytes <= MOST_BYTES / 2;
        self.holds_back = self.overflow.waits() && (self.is_full() || (held_back && !is_half_taken));
        isize::from(self.holds_back) - isize::from(held_back)
    }
}

impl Listeners {
    pub(super) const fn len(&self) -> usize {
        self.inboxes.len()
    }

    /// Adds an inbox for a filter, or for everything.
    fn open(&mut self, filter: Option<&str>, overflow: Overflow) -> u64 {
        self.last += 1;
        let id = self.last;
        let identifier = filter.map(|filter| {
            let known = self.with_filter(filter).and_then(|inbox| inbox.identifier);
            known.unwrap_or_else(|| self.new_identifier())
        });
        match filter {
            Some(filter) => self.topics.insert(filter, id),
            None => self.everything.push(id),
        }
        if let Some(identifier) = identifier {
            match self.identified.binary_search_by_key(&identifier, |(identifier, _)| *identifier) {
                Ok(place) => self.identified[place].1.push(id),
                Err(place) => self.identified.insert(place, (identifier, Vec::from([id]))),
            }
        }
        let (filter, queue) = (filter.map(Into::into), Held::default());
        self.inboxes.push(
            id,
            Inbox {
                filter,
                identifier,
                queue,
                bytes: 0,
                is_at_most_once: true,
                overflow,
                holds_back: false,
                waker: None,
                dropped: 0,
                was_asked_for: false,
                #[cfg(feature = "stream")]
                streams: false,
            },
        );
        id
    }

    /// Removes an inbox; returns its filter if nobody else listens to that and the broker was asked for it, and what is
    /// to be acknowledged.
    fn close(&mut self, id: u64, woken: &mut Vec<Waker>) -> (Option<Box<str>>, Vec<Delivery>) {
        let Some(mut inbox) = self.inboxes.remove(id) else { return (None, Vec::new()) };
        woken.extend(inbox.waker.take());
        self.full -= usize::from(inbox.holds_back);
        match &inbox.filter {
            Some(filter) => self.topics.remove(filter, id),
            None => self.everything.retain(|other| *other != id),
        }
        if let Some(identifier) = inbox.identifier
            && let Ok(place) = self.identified.binary_search_by_key(&identifier, |(identifier, _)| *identifier)
        {
            let (_, listeners) = &mut self.identified[place];
            listeners.retain(|other| *other != id);
            if listeners.is_empty() {
                self.identified.remove(place);
            }
        }
        let to_acknowledge = inbox.queue.deliveries().filter_map(|delivery| self.take_share(delivery)).collect();
        let Some(filter) = inbox.filter.filter(|_| inbox.was_asked_for) else { return (None, to_acknowledge) };
        match self.inboxes.iter_mut().find(|(_, other)| other.filter.as_ref() == Some(&filter)) {
            Some((_, other)) => {
                other.was_asked_for = true;
                (None, to_acknowledge)
            }
            None => (Some(filter), to_acknowledge),
        }
    }

    /// The broker was asked for this filter, if anyone listens to it: then that is to be seen to once nobody does.
    pub(super) fn ask_for_filter(&mut self, filter: &str) -> bool {
        let listening = self.inboxes.iter_mut().find(|(_, inbox)| inbox.filter.as_deref() == Some(filter));
        listening.map(|(_, inbox)| inbox.was_asked_for = true).is_some()
    }

    /// One of those who listen to this filter.
    fn with_filter(&self, filter: &str) -> Option<&Inbox> {
        self.inboxes.iter().map(|(_, inbox)| inbox).find(|inbox| inbox.filter.as_deref() == Some(filter))
    }

    /// Those who listen to the filter that has this Subscription Identifier.
    fn listeners_of(&self, identifier: u32) -> Option<&[u64]> {
        let place = self.identified.binary_search_by_key(&identifier, |(identifier, _)| *identifier).ok()?;
        Some(&self.identified[place].1)
    }

    pub(super) fn identifier(&self, id: ListenerId) -> Option<u32> {
        self.inboxes.get(id.0).and_then(|inbox| inbox.identifier)
    }

    /// One that no other listener has.
    fn new_identifier(&self) -> u32 {
        let used = u32::try_from(self.last % u64::from(HIGHEST_IDENTIFIER / 2)).unwrap_or_default();
        let is_used = |identifier| self.identified.binary_search_by_key(&identifier, |(other, _)| *other).is_ok();
        (1..=HIGHEST_IDENTIFIER - used).rev().find(|identifier| !is_used(*identifier)).unwrap_or(1)
    }

    /// The broker is asked for what this one listens to.
    pub(super) fn ask_for(&mut self, id: ListenerId) {
        if let Some(inbox) = self.inboxes.get_mut(id.0) {
            inbox.was_asked_for = true;
        }
    }

    /// Whether anyone has ever listened.
    pub(super) const fn were_opened(&self) -> bool {
        self.last > 0
    }

    /// Whether the broker is to be held back.
    pub(super) const fn is_full(&self) -> bool {
        self.full > 0
    }

    /// There is a connection: if the broker kept the session, it sends again what was not acknowledged, and that is
    /// dropped here. At QoS 2 it sends nothing again that the session knows it has.
    fn connected(&mut self, session_present: bool) {
        (self.shared, self.shares) = (Ordered::default(), Ordered::default());
        if !session_present {
            // No broker has them any more.
            return self.inboxes.iter_mut().for_each(|(_, inbox)| inbox.queue.forget_session());
        }
        for (_, inbox) in self.inboxes.iter_mut() {
            inbox.bytes = 0;
            inbox.queue.retain(|(message, delivery), is_lost| {
                let stays = is_lost || (delivery.is_none() && message.qos != QoS::AtLeastOnce);
                inbox.bytes += if stays { size(&message.topic, &message.payload) } else { 0 };
                stays
            });
            self.full = self.full.saturating_add_signed(inbox.update());
        }
    }

    /// Puts a message into the inboxes of those who listen to it.
    fn deliver(&mut self, publish: &Publish<'_>, delivery: Option<Delivery>, woken: &mut Vec<Waker>) {
        self.find(publish);
        let Some(last) = self.found.pop() else {
            self.unheard += 1;
            return self.to_acknowledge.extend(delivery);
        };
        if let Some(delivery) = delivery.filter(|_| !self.found.is_empty()) {
            self.shared.push(delivery.number(), self.found.len() + 1);
        }
        // Identifiers of listeners are none that the user has chosen.
        let identifiers = if self.are_all_own {
            Vec::new()
        } else {
            let identifiers = publish.properties.subscription_identifiers.iter();
            identifiers.filter(|identifier| self.listeners_of(*identifier).is_none()).collect()
        };
        let is_shared = !self.found.is_empty();
        while let Some(other) = self.found.pop() {
            let share = delivery.map(|delivery| self.share(delivery));
            self.put(other, publish, &identifiers, share, woken);
        }
        let delivery = delivery.map(|delivery| if is_shared { self.share(delivery) } else { delivery });
        self.put(last, publish, &identifiers, delivery, woken);
    }

    /// Messages for this one may come without their payload.
    #[cfg(feature = "stream")]
    pub(super) fn stream(&mut self, id: ListenerId) {
        if let Some(inbox) = self.inboxes.get_mut(id.0) {
            inbox.streams = true;
        }
    }

    /// Who gets this message without its payload: the one who listens to it, if that is one.
    #[cfg(feature = "stream")]
    pub(super) fn streams_to(&mut self, publish: &Publish<'_>) -> Option<ListenerId> {
        self.find(publish);
        match self.found[..] {
            [id] if self.inboxes.get(id).is_some_and(|inbox| inbox.streams) => Some(ListenerId(id)),
            _ => None,
        }
    }

    /// Whether nobody listens to the message that was looked for last.
    #[cfg(feature = "stream")]
    pub(super) const fn found_nobody(&self) -> bool {
        self.found.is_empty()
    }

    /// Nobody gets a message that came.
    #[cfg(feature = "stream")]
    pub(super) const fn note_unheard(&mut self) {
        self.unheard += 1;
    }

    /// The message that was looked for last, as its listener gets it.
    #[cfg(feature = "stream")]
    pub(super) fn streamed_message(&self, publish: &Publish<'_>) -> Message {
        let identifiers = publish.properties.subscription_identifiers.iter();
        Message::with_identifiers(publish, identifiers.filter(|other| self.listeners_of(*other).is_none()).collect())
    }

    #[cfg(feature = "stream")]
    pub(super) fn wake(&mut self, id: ListenerId, woken: &mut Vec<Waker>) {
        woken.extend(self.inboxes.get_mut(id.0).and_then(|inbox| inbox.waker.take()));
    }

    /// Finds those who listen to a message: to the subscriptions that it names, once each, or where it names none of
    /// theirs, to filters that match; and those who listen to everything.
    fn find(&mut self, publish: &Publish<'_>) {
        self.found.clear();
        self.are_all_own = true;
        let identifiers = &publish.properties.subscription_identifiers;
        for (place, identifier) in identifiers.iter().enumerate() {
            let Ok(found) = self.identified.binary_search_by_key(&identifier, |(identifier, _)| *identifier) else {
                self.are_all_own = false;
                continue;
            };
            if place == 0 || !identifiers.iter().take(place).any(|before| before == identifier) {
                self.found.extend_from_slice(&self.identified[found].1);
            }
        }
        if self.found.is_empty() {
            self.topics.matching(publish.topic, &mut self.found);
        }
        self.found.extend(&self.everything);
    }

    #[inline]
    fn put(
        &mut self,
        id: u64,
        publish: &Publish<'_>,
        identifiers: &[u32],
        delivery: Option<Delivery>,
        woken: &mut Vec<Waker>,
    ) {
        let Some(inbox) = self.inboxes.get_mut(id) else { return };
        let drops = !inbox.overflow.waits() && inbox.is_full();
        inbox.dropped += u64::from(drops);
        let mut to_acknowledge = None;
        if drops && matches!(inbox.overflow, Overflow::DropNewest(_)) {
            to_acknowledge = delivery;
        } else {
            if drops && let Some((oldest, delivery)) = inbox.queue.pop() {
                inbox.bytes -= size(&oldest.topic, &oldest.payload);
                to_acknowledge = delivery;
            }
            inbox.bytes += size(publish.topic, publish.payload);
            inbox.is_at_most_once &= publish.qos == QoS::AtMostOnce;
            inbox.queue.push(publish, identifiers, delivery);
            self.full = self.full.saturating_add_signed(inbox.update());
            woken.extend(inbox.waker.take());
        }
        let to_acknowledge = to_acknowledge.and_then(|delivery| self.take_share(delivery));
        self.to_acknowledge.extend(to_acknowledge);
    }

    /// Takes the next message out of an inbox, and perhaps those behind it into `more`, if they are all at QoS 0; or
    /// has `waker` woken when there is one.
    fn take(&mut self, id: u64, more: &mut Held, waker: Option<&Waker>, discarded: &mut Vec<Waker>) -> Option<Taken> {
        let inbox = self.inboxes.get_mut(id)?;
        let Some((message, delivery)) = inbox.queue.pop() else {
            // Whoever only looks takes nobody's place.
            replace_waker(&mut inbox.waker, waker, discarded);
            return None;
        };
        inbox.bytes -= size(&message.topic, &message.payload);
        if inbox.is_at_most_once && more.is_empty() && inbox.overflow.waits() && inbox.queue.len() >= FEW {
            // All of them at once: it takes no more than to exchange two queues.
            core::mem::swap(more, &mut inbox.queue);
            inbox.bytes = 0;
        }
        inbox.is_at_most_once |= inbox.queue.is_empty();
        self.full = self.full.saturating_add_signed(inbox.update());
        Some((message, delivery))
    }

    /// What one of those who get a message has of it.
    fn share(&mut self, delivery: Delivery) -> Delivery {
        self.last_share += 1;
        let share = Delivery::share(self.last_share);
        self.shares.push(share.number(), delivery);
        share
    }

    /// One of those who got it is done with it: what is to be acknowledged, if all others are done too.
    fn take_share(&mut self, delivery: Delivery) -> Option<Delivery> {
        if !delivery.is_share() {
            return Some(delivery);
        }
        // It is not there if that was said before, or over an earlier connection.
        let delivery = self.shares.remove(delivery.number())?;
        let left = self.shared.get_mut(delivery.number())?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.shared.remove(delivery.number());
        Some(delivery)
    }

    fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.inboxes.iter_mut().filter_map(|(_, inbox)| inbox.waker.take()));
    }
}

/// What a message counts for in an inbox, in bytes.
const fn size(topic: &str, payload: &[u8]) -> usize {
    size_of::<Message>() + topic.len() + payload.len()
}

impl Engine {
    /// Listens to a Topic Filter, or to every message that comes. Messages wait in an inbox until they are taken. To
    /// have the broker send them, [subscribe](super::Listening).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Held, Listening, Overflow, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let listener = engine.open_listener(Some("sensors/+"), Overflow::default(), network.now());
    /// let subscription = Subscription::new("sensors/+", QoS::AtMostOnce);
    /// network.run(&mut engine, Listening { listener, subscription })?.granted()?;
    /// network.run(&mut engine, Publishing(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)))?;
    /// assert!(engine.take_message(listener, &mut Held::default(), None, &mut || network.now()).is_some());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn open_listener(&mut self, filter: Option<&str>, overflow: Overflow, now: Instant) -> ListenerId {
        self.now = now;
        let id = ListenerId(self.listeners.open(filter, overflow));
        if let Some(filter) = filter {
            self.wants(filter);
        }
        self.pump();
        self.admit();
        id
    }

    /// Ends a listener. The messages in its inbox are acknowledged. If nobody else listens to its filter, and the user
    /// has not subscribed to it, the engine unsubscribes.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Listening, Overflow};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let listener = engine.open_listener(Some("sensors/+"), Overflow::default(), network.now());
    /// let subscription = Subscription::new("sensors/+", QoS::AtMostOnce);
    /// network.run(&mut engine, Listening { listener, subscription })?.granted()?;
    /// engine.close_listener(listener, network.now());
    /// assert!(engine.has_outgoing(), "UNSUBSCRIBE");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn close_listener(&mut self, id: ListenerId, now: Instant) {
        self.now = now;
        let (filter, to_acknowledge) = self.listeners.close(id.0, &mut self.woken);
        for delivery in to_acknowledge {
            self.session.acknowledge(delivery);
        }
        #[cfg(feature = "stream")]
        self.drop_incoming_of(id);
        if let Some(filter) = filter {
            self.wants_no_more(filter);
        }
        self.pump();
        self.admit();
    }

    /// Takes the next message of a listener, with what [acknowledges](Engine::acknowledge) it, if there is anything to
    /// acknowledge. May put the messages after it into `more`, with nothing to acknowledge: take those before asking
    /// again. `None`: there is no message, and `waker` is woken when there is one.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Held, Listening, Overflow, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let listener = engine.open_listener(Some("jobs"), Overflow::default(), network.now());
    /// let subscription = Subscription::new("jobs", QoS::AtLeastOnce);
    /// network.run(&mut engine, Listening { listener, subscription })?.granted()?;
    /// network.run(&mut engine, Publishing(&Publish::new("jobs", "print").qos(QoS::AtLeastOnce)))?;
    ///
    /// let mut more = Held::default();
    /// let taken = more.pop().or_else(|| engine.take_message(listener, &mut more, None, &mut || network.now()));
    /// let (message, delivery) = taken.expect("a message");
    /// assert_eq!(message.payload, b"print");
    /// assert!(engine.acknowledge(delivery.expect("a QoS 1 message")));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_message(
        &mut self,
        id: ListenerId,
        more: &mut Held,
        waker: Option<&Waker>,
        clock: Clock<'_>,
    ) -> Option<Taken> {
        let was_full = self.listeners.is_full();
        let taken = self.listeners.take(id.0, more, waker, &mut self.discarded)?;
        self.restart_stuck(clock);
        if was_full && !self.listeners.is_full() {
            // There may be more, that nobody took in.
            self.now = clock();
            self.pump();
            self.admit();
        }
        Some(taken)
    }

    /// How many messages of a listener were dropped because too many waited: see [`Overflow`].
    ///
    /// ```
    /// use mqtt_wasi::engine::{Engine, Overflow};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// let listener = engine.open_listener(Some("sensors/+"), Overflow::DropOldest(1), Instant::ZERO);
    /// assert_eq!(engine.dropped(listener), 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn dropped(&self, id: ListenerId) -> u64 {
        self.listeners.inboxes.get(id.0).map_or(0, |inbox| inbox.dropped)
    }

    /// How many messages came that no listener wanted. Before the first listener there are none: messages wait for it.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::Options;
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert_eq!(engine.unheard(), 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn unheard(&self) -> u64 {
        self.listeners.unheard
    }

    /// The next thing that happened in the session, once the messages before it are handed to listeners.
    fn next_event(&mut self) -> Option<Event> {
        if self.may_deliver() {
            // Behind the end nothing more comes that there has to be room for.
            let is_over = matches!(self.phase, Phase::Idle(_));
            self.hand_out(is_over);
            #[cfg(feature = "stream")]
            while (is_over || !self.listeners.is_full()) && self.deliver_head() {
                self.hand_out(is_over);
            }
        }
        if self.holds_back() && !self.session.has_event() {
            return None;
        }
        self.session.poll_event()
    }

    /// Hands messages to listeners, until there is none, or something else has happened, or there is no room.
    fn hand_out(&mut self, is_over: bool) {
        let Self { session, listeners, woken, observed, .. } = self;
        session.deliver(|publish, delivery| {
            observed.received(publish);
            listeners.deliver(publish, delivery, woken);
            is_over || !listeners.is_full()
        });
        while let Some(delivery) = self.listeners.to_acknowledge.pop() {
            self.session.acknowledge(delivery);
        }
    }

    /// Whether what comes waits for those who listen, and nobody for what is behind it: it is left where it is.
    pub(super) const fn holds_back(&self) -> bool {
        self.listeners.is_full() && !self.calls.has_pending()
    }

    /// Whether messages may be handed to listeners.
    fn may_deliver(&self) -> bool {
        // Until somebody listens, what comes waits for that; and what an earlier connection left behind, for whether the
        // broker kept the session and sends it again, behind what is before it; unless it is in the way of everything else.
        let is_stable = matches!(self.phase, Phase::Open | Phase::Idle(_));
        let may_go = if self.listeners.were_opened() { is_stable || self.session.is_paused() } else { self.is_stuck };
        may_go && (matches!(self.phase, Phase::Idle(_)) || !self.listeners.is_full())
    }
}

impl operation::Listening<'_> {
    /// Asks the broker. Messages tell by the identifier which subscription they are of, where the broker knows that,
    /// and then no filters need be compared.
    pub(super) fn subscribe(&self, engine: &mut Engine) -> Result<OperationId, CallError> {
        let identifier = engine.listeners.identifier(self.listener);
        engine.session.subscribe_with_own_identifier(self.subscription, identifier)
    }
}
