//! What the engine asks of the broker on its own account: to end subscriptions that nobody listens to any more, and to make
//! them again as their user had them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Engine;
use super::connection::Phase;
use crate::codec::{RetainHandling, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::error::{CallError, Error, SubscribeReason};
use crate::ordered::Ordered;
use crate::session::OperationId;

/// Something to ask of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chore {
    /// Nobody listens to this filter any more.
    Unsubscribe(Box<str>),
    /// The same, but the user has subscribed to it.
    Subscribe(Own),
}

/// A subscription of the user's, beside those of listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    filter: Box<str>,
    /// The Subscription Options, as SUBSCRIBE has them.
    options: u8,
    identifier: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    chores: VecDeque<Chore>,
    /// What the broker has been asked: by the number of the operation.
    under_way: Ordered<Chore>,
    /// What the user has subscribed to, as far as the broker has granted it.
    own: Vec<Own>,
    /// What the user has asked for: by the number of the operation.
    asked: Ordered<Vec<Own>>,
}

impl Housekeeping {
    pub(super) fn len(&self) -> usize {
        self.chores.len() + self.under_way.len() + self.asked.len()
    }

    fn forget(&mut self, filter: &str) {
        self.own.retain(|own| *own.filter != *filter);
    }
}

impl Chore {
    const fn filter(&self) -> &str {
        match self {
            Self::Unsubscribe(filter) | Self::Subscribe(Own { filter, .. }) => filter,
        }
    }
}

impl Engine {
    /// Someone listens to this filter: what was to be done since nobody did is no matter any more.
    pub(super) fn wants(&mut self, filter: &str) {
        self.housekeeping.chores.retain(|chore| chore.filter() != filter);
    }

    /// Nobody listens to this filter any more.
    pub(super) fn wants_no_more(&mut self, filter: Box<str>) {
        match self.housekeeping.own.iter().find(|own| own.filter == filter) {
            Some(own) => self.housekeeping.chores.push_back(Chore::Subscribe(own.clone())),
            None => {
                // Not asked for again over the next connection either, whatever becomes of this one.
                self.session.forget_subscription(&filter);
                self.housekeeping.chores.push_back(Chore::Unsubscribe(filter));
            }
        }
    }

    /// There is a connection. Without a session the broker has nothing to end.
    pub(super) fn keep_chores(&mut self, session_present: bool) {
        if !session_present {
            self.housekeeping.chores.retain(|chore| !matches!(chore, Chore::Unsubscribe(_)));
        }
    }

    /// The connection ended before the broker had answered.
    fn put_off(&mut self, chore: Chore) {
        if !self.housekeeping.chores.iter().any(|other| other.filter() == chore.filter()) {
            self.housekeeping.chores.push_back(chore);
        }
    }

    /// Does what there is to be done, as far as there is room.
    pub(super) fn keep_house(&mut self) {
        while matches!(self.phase, Phase::Open)
            && let Some(chore) = self.housekeeping.chores.pop_front()
        {
            let asked = match &chore {
                Chore::Unsubscribe(filter) => self.session.unsubscribe(&[filter], UnsubscribeProperties::default()),
                Chore::Subscribe(own) => match Subscription::with_options(&own.filter, own.options) {
                    Ok(subscription) => {
                        // The user has had what was retained.
                        let again = Subscription { retain_handling: RetainHandling::DoNotSend, ..subscription };
                        let properties = SubscribeProperties {
                            subscription_identifier: own.identifier,
                            ..SubscribeProperties::default()
                        };
                        self.session.subscribe(&[again], properties)
                    }
                    Err(_) => continue,
                },
            };
            match asked {
                Ok(operation) => self.housekeeping.under_way.push(operation.number(), chore),
                Err(CallError::WouldBlock | CallError::NotConnected) => {
                    return self.housekeeping.chores.push_front(chore);
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
            };
            self.housekeeping.asked.push(id.number(), subscriptions.iter().map(own).collect());
        }
    }

    /// The broker has answered SUBSCRIBE or UNSUBSCRIBE, or never will.
    pub(super) fn answered(&mut self, id: OperationId, result: &Result<SubscribeReason, Error>) {
        if let Some(chore) = self.housekeeping.under_way.remove(id.number())
            && result.is_err()
            && !self.listeners.has_filter(chore.filter())
        {
            self.put_off(chore);
        }
        let Some(asked) = self.housekeeping.asked.remove(id.number()) else { return };
        let Ok(reason) = result else { return };
        for (own, code) in asked.into_iter().zip(&reason.reason_codes) {
            if !code.is_error() {
                self.housekeeping.forget(&own.filter);
                self.housekeeping.own.push(own);
            }
        }
    }

    /// The user has unsubscribed.
    pub(super) fn forget_own(&mut self, filters: &[&str]) {
        // Whoever has no listeners has nothing here.
        filters.iter().for_each(|filter| self.housekeeping.forget(filter));
    }
}
