//! Where messages wait for those who listen: one inbox for each of them.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Waker;
use std::collections::{BTreeMap, HashMap};

use super::Overflow;
use crate::codec::{Publish, topic_matches};
use crate::message::Message;
use crate::session::Delivery;

/// How many bytes of messages an inbox takes before it is full.
const MOST_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Inboxes {
    next: u64,
    inboxes: BTreeMap<u64, Inbox>,
    /// Those who listen to the filter that has this Subscription Identifier.
    identified: HashMap<u32, Vec<u64>>,
    /// How many more have to take a message that several got, before it is acknowledged.
    shared: HashMap<Delivery, usize>,
    /// How many inboxes that are to hold the broker back are full.
    full: usize,
    /// Those who listen to the message that is delivered: kept, so that none takes an allocation.
    listeners: Vec<u64>,
    /// Messages that nobody takes, or that were dropped from every inbox.
    settled: Vec<Delivery>,
    unheard: u64,
}

pub(super) struct Inbox {
    /// What it listens to; `None`: everything.
    pub(super) filter: Option<String>,
    pub(super) identifier: Option<u32>,
    queue: VecDeque<(Message, Option<Delivery>)>,
    bytes: usize,
    overflow: Overflow,
    waker: Option<Waker>,
    dropped: u64,
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.queue.len() >= self.overflow.capacity() || self.bytes >= MOST_BYTES
    }

    fn holds_back(&self) -> bool {
        matches!(self.overflow, Overflow::Wait(_)) && self.is_full()
    }
}

impl Inboxes {
    /// Adds an inbox for a filter, or for everything.
    pub(super) fn open(&mut self, filter: Option<&str>, identifier: Option<u32>, overflow: Overflow) -> u64 {
        self.next += 1;
        let id = self.next;
        if let Some(identifier) = identifier {
            self.identified.entry(identifier).or_default().push(id);
        }
        let (filter, queue) = (filter.map(Into::into), VecDeque::new());
        let inbox = Inbox { filter, identifier, queue, bytes: 0, overflow, waker: None, dropped: 0 };
        self.inboxes.insert(id, inbox);
        id
    }

    /// Removes an inbox; returns its filter if nobody else listens to that, and what is to be acknowledged.
    pub(super) fn close(&mut self, id: u64) -> (Option<String>, Vec<Delivery>) {
        let Some(inbox) = self.inboxes.remove(&id) else { return (None, Vec::new()) };
        self.full -= usize::from(inbox.holds_back());
        if let Some(identified) = inbox.identifier.and_then(|identifier| self.identified.get_mut(&identifier)) {
            identified.retain(|&other| other != id);
        }
        let deliveries: Vec<_> = inbox.queue.iter().filter_map(|(_, delivery)| *delivery).collect();
        let settled = deliveries.into_iter().filter(|&delivery| self.take_share(delivery)).collect();
        let filter = inbox.filter.filter(|filter| !self.is_heard(filter));
        (filter, settled)
    }

    /// The Subscription Identifier that others who listen to this filter have.
    pub(super) fn identifier_of(&self, filter: &str) -> Option<u32> {
        self.inboxes.values().find(|inbox| inbox.filter.as_deref() == Some(filter)).and_then(|inbox| inbox.identifier)
    }

    /// One that no other listener has.
    pub(super) fn new_identifier(&self, highest: u32) -> u32 {
        let used = u32::try_from(self.next).unwrap_or_default();
        highest.saturating_sub(used).max(1)
    }

    fn is_heard(&self, filter: &str) -> bool {
        self.inboxes.values().any(|inbox| inbox.filter.as_deref() == Some(filter))
    }

    /// Whether anyone has ever listened.
    pub(super) const fn were_opened(&self) -> bool {
        self.next > 0
    }

    /// Whether the broker is to be held back.
    pub(super) const fn is_full(&self) -> bool {
        self.full > 0
    }

    /// How many messages there was nobody to hear.
    pub(super) const fn unheard(&self) -> u64 {
        self.unheard
    }

    /// Drops what came over an earlier connection and was not acknowledged over it: the broker kept the session, and
    /// sends it again.
    pub(super) fn drop_what_comes_again(&mut self) {
        self.shared.clear();
        self.full = 0;
        for inbox in self.inboxes.values_mut() {
            inbox.queue.retain(|(_, delivery)| delivery.is_none());
            inbox.bytes = inbox.queue.iter().map(|(message, _)| size(&message.topic, &message.payload)).sum();
            self.full += usize::from(inbox.holds_back());
        }
    }

    /// Puts a message into the inboxes of those who listen to it.
    pub(super) fn deliver(&mut self, publish: &Publish<'_>, delivery: Option<Delivery>) {
        self.find_listeners(publish);
        let Some(last) = self.listeners.pop() else {
            self.unheard += 1;
            return self.settled.extend(delivery);
        };
        if let Some(delivery) = delivery.filter(|_| !self.listeners.is_empty()) {
            self.shared.insert(delivery, self.listeners.len() + 1);
        }
        while let Some(other) = self.listeners.pop() {
            self.put(other, publish, delivery);
        }
        self.put(last, publish, delivery);
    }

    fn find_listeners(&mut self, publish: &Publish<'_>) {
        let identifiers = &publish.properties.subscription_identifiers;
        let known = identifiers.iter().filter_map(|identifier| self.identified.get(&identifier));
        self.listeners.clear();
        self.listeners.extend(known.flatten());
        let is_identified = !self.listeners.is_empty();
        self.listeners.extend(self.inboxes.iter().filter_map(|(&id, inbox)| {
            let is_listener = match &inbox.filter {
                None => true,
                Some(filter) => !is_identified && topic_matches(filter, publish.topic),
            };
            is_listener.then_some(id)
        }));
    }

    /// What to acknowledge since nobody will take it, until there is no more.
    pub(super) fn next_settled(&mut self) -> Option<Delivery> {
        self.settled.pop()
    }

    fn put(&mut self, id: u64, publish: &Publish<'_>, delivery: Option<Delivery>) {
        let Some(inbox) = self.inboxes.get_mut(&id) else { return };
        let (was_full, held_back) = (inbox.is_full(), inbox.holds_back());
        let drops = was_full && !matches!(inbox.overflow, Overflow::Wait(_));
        inbox.dropped += u64::from(drops);
        let mut settled = None;
        if drops && matches!(inbox.overflow, Overflow::DropNewest(_)) {
            settled = delivery;
        } else {
            if drops && let Some((oldest, delivery)) = inbox.queue.pop_front() {
                inbox.bytes -= size(&oldest.topic, &oldest.payload);
                settled = delivery;
            }
            inbox.bytes += size(publish.topic, publish.payload);
            inbox.queue.push_back((Message::of(publish), delivery));
            self.full += usize::from(inbox.holds_back() && !held_back);
            inbox.waker.take().into_iter().for_each(Waker::wake);
        }
        let settled = settled.filter(|&delivery| self.take_share(delivery));
        self.settled.extend(settled);
    }

    /// Takes the next message out of an inbox, and whether the broker need not be held back any more; or has `waker`
    /// woken when there is one.
    pub(super) fn pop(&mut self, id: u64, waker: Option<&Waker>) -> Option<(Message, Option<Delivery>, bool)> {
        let inbox = self.inboxes.get_mut(&id)?;
        let held_back = inbox.holds_back();
        let Some((message, delivery)) = inbox.queue.pop_front() else {
            inbox.waker = waker.cloned();
            return None;
        };
        inbox.bytes -= size(&message.topic, &message.payload);
        let is_free = held_back && !inbox.holds_back();
        self.full -= usize::from(is_free);
        Some((message, delivery, is_free))
    }

    /// One of those who got a message is done with it; whether that was the last.
    pub(super) fn take_share(&mut self, delivery: Delivery) -> bool {
        let Some(shares) = self.shared.get_mut(&delivery) else { return true };
        *shares -= 1;
        let is_last = *shares == 0;
        if is_last {
            self.shared.remove(&delivery);
        }
        is_last
    }

    pub(super) fn dropped(&self, id: u64) -> u64 {
        self.inboxes.get(&id).map_or(0, |inbox| inbox.dropped)
    }

    pub(super) fn wake_all(&mut self) {
        self.inboxes.values_mut().filter_map(|inbox| inbox.waker.take()).for_each(Waker::wake);
    }
}

/// What a message counts for in an inbox, in bytes.
const fn size(topic: &str, payload: &[u8]) -> usize {
    size_of::<Message>() + topic.len() + payload.len()
}
