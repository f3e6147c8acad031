//! What the engine asks of the broker on its own account: to end subscriptions that nobody listens to any more, and to
//! make them again as their user had them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Engine;
use super::connection::Phase;
use crate::codec::{RetainHandling, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::error::{CallError, Error, SubscribeReason};
use crate::fifo::Fifo;
use crate::ordered::Ordered;
use crate::session::{OperationId, by_length};

/// A subscription of the user's, beside those of listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    filter: Box<str>,
    /// The Subscription Options, as SUBSCRIBE has them.
    options: u8,
    identifier: Option<u32>,
    /// Whether a listener to this filter closed before the broker had answered.
    outlived_listener: bool,
    /// Whether the user has unsubscribed before the broker had answered.
    is_given_up: bool,
}

#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    /// Filters that nobody listens to any more. The broker is to be told: not to send what they match, or to send it as
    /// the user has subscribed.
    chores: Fifo<Box<str>>,
    /// Of which of them it has been told: by the number of the operation.
    under_way: Ordered<Box<str>>,
    /// What the user has subscribed to, as far as the broker has granted it, in [order](by_length).
    own: Vec<Own>,
    /// What the user has asked for: by the number of the operation.
    asked: Ordered<Vec<Own>>,
}

impl Housekeeping {
    pub(super) fn len(&self) -> usize {
        self.chores.len() + self.under_way.len() + self.asked.len()
    }

    fn own(&self, filter: &str) -> Option<&Own> {
        self.find(filter).ok().map(|place| &self.own[place])
    }

    fn find(&self, filter: &str) -> Result<usize, usize> {
        self.own.binary_search_by(|own| by_length(&own.filter, filter))
    }

    fn keep(&mut self, own: Own) {
        match self.find(&own.filter) {
            Ok(place) => self.own[place] = own,
            Err(place) => self.own.insert(place, own),
        }
    }

    fn forget(&mut self, filter: &str) {
        if let Ok(place) = self.find(filter) {
            self.own.remove(place);
        }
    }

    /// Whether the user has asked for this, and the broker has not answered: then it is seen what is to be done.
    fn waits_for_own(&mut self, filter: &str) -> bool {
        let asked = self.asked.iter_mut().flat_map(|(_, asked)| asked).find(|own| *own.filter == *filter);
        asked.map(|own| own.outlived_listener = true).is_some()
    }
}

impl Engine {
    /// Someone listens to this filter: what is to be done since nobody did has time until nobody does.
    pub(super) fn wants(&mut self, filter: &str) {
        let chores = self.housekeeping.chores.len();
        self.housekeeping.chores.retain(|chore| **chore != *filter);
        if self.housekeeping.chores.len() < chores {
            self.listeners.ask_for_filter(filter);
        }
    }

    /// Nobody listens to this filter any more.
    pub(super) fn wants_no_more(&mut self, filter: Box<str>) {
        let Self { housekeeping, session, listeners, .. } = self;
        if listeners.ask_for_filter(&filter) || housekeeping.waits_for_own(&filter) {
            return;
        }
        if housekeeping.own(&filter).is_none() {
            // Not asked for again over the next connection either, whatever becomes of this one.
            session.forget_subscription(&filter);
        }
        if !housekeeping.chores.iter().any(|chore| *chore == filter) {
            housekeeping.chores.push_back(filter);
        }
    }

    /// There is a connection. Without a session the broker has nothing to end but what it has been asked for again.
    pub(super) fn keep_chores(&mut self, session_present: bool) {
        if !session_present {
            let Self { housekeeping, session, .. } = self;
            let mut chores = core::mem::take(&mut housekeeping.chores);
            chores.retain(|chore| housekeeping.own(chore).is_some() || session.is_subscribed(chore));
            housekeeping.chores = chores;
        }
    }

    /// Does what there is to be done, as far as there is room.
    pub(super) fn keep_house(&mut self) {
        while matches!(self.phase, Phase::Open)
            && let Some(filter) = self.housekeeping.chores.pop_front()
        {
            if self.housekeeping.waits_for_own(&filter) {
                continue;
            }
            let own = self.housekeeping.own(&filter);
            let asked = match own.map(|own| (own, Subscription::with_options(&own.filter, own.options))) {
                None => self.session.unsubscribe(&[&filter], UnsubscribeProperties::default()),
                Some((own, Ok(subscription))) => {
                    let subscription_identifier = own.identifier;
                    let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
                    // The user has had what was retained.
                    let again = Subscription { retain_handling: RetainHandling::DoNotSend, ..subscription };
                    self.session.subscribe(&[again], properties)
                }
                Some((_, Err(_))) => continue,
            };
            match asked {
                Ok(operation) => self.housekeeping.under_way.push(operation.number(), filter),
                Err(CallError::WouldBlock | CallError::NotConnected) => {
                    return self.housekeeping.chores.push_front(filter);
                }
                // The broker takes no such thing.
                Err(_) => {}
            }
        }
    }

    /// The user has asked for these subscriptions.
    pub(super) fn ask_for_own(&mut self, id: OperationId, subscriptions: &[Subscription<'_>], identifier: Option<u32>) {
        if self.delivers() {
            let own = |subscription: &Subscription<'_>| Own {
                filter: subscription.filter.into(),
                options: subscription.options(),
                identifier,
                outlived_listener: false,
                is_given_up: false,
            };
            self.housekeeping.asked.push(id.number(), subscriptions.iter().map(own).collect());
        }
    }

    /// The broker has answered SUBSCRIBE or UNSUBSCRIBE, or never will.
    pub(super) fn answered(&mut self, id: OperationId, result: &Result<SubscribeReason, Error>) {
        if let Some(chore) = self.housekeeping.under_way.remove(id.number())
            && result.is_err()
        {
            self.wants_no_more(chore);
        }
        let Some(asked) = self.housekeeping.asked.remove(id.number()) else { return };
        let codes = result.as_ref().map_or(&[][..], |reason| &reason.reason_codes);
        for (place, own) in asked.into_iter().enumerate() {
            let chore = own.outlived_listener.then(|| own.filter.clone());
            if !own.is_given_up && codes.get(place).is_some_and(|code| !code.is_error()) {
                self.housekeeping.keep(own);
            }
            if let Some(filter) = chore {
                self.wants_no_more(filter);
            }
        }
    }

    /// The user has unsubscribed.
    pub(super) fn forget_own(&mut self, filters: &[&str]) {
        // Whoever has no listeners has nothing here.
        filters.iter().for_each(|filter| self.housekeeping.forget(filter));
        let asked = self.housekeeping.asked.iter_mut().flat_map(|(_, asked)| asked);
        asked.filter(|own| filters.contains(&&*own.filter)).for_each(|own| own.is_given_up = true);
    }
}
