//! SUBSCRIBE and UNSUBSCRIBE, what the broker says to them (sections 3.8 to 3.11), and what becomes of subscriptions
//! when the broker loses the session.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Status;
use super::event::{Event, OperationId};
use super::in_flight::State;
use super::machine::Machine;
use crate::codec::{
    AckProperties, List, Packet, PacketId, QoS, ReasonCode, RetainHandling, Suback, Subscribe, SubscribeProperties,
    Subscription, Unsuback, Unsubscribe, UnsubscribeProperties,
};
use crate::error::{CallError, Error, ProtocolError, SubscribeReason};
use crate::fifo::Fifo;
use crate::message::owned;

/// So many Topic Filters every broker takes in one SUBSCRIBE that is known to have a limit.
const FEW: usize = 8;

/// How many connections may end in a row before an answer to so few, until they are asked for one by one: it is more
/// likely that the network is to blame.
const MOST_FAILURES: u8 = 3;

/// What this client is subscribed to, as far as it knows.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// What the broker granted, in [order](Granted::order).
    granted: Vec<Granted>,
    /// What it lost with the session, to be asked for again.
    lost: Fifo<Granted>,
    /// Whether the broker may still have what is asked for again: it is to send retained messages for new ones only.
    may_exist: bool,
    /// What was asked for and not answered yet.
    asked: Fifo<Asked>,
    /// How many Topic Filters are restored with one SUBSCRIBE at most, once a connection has ended before the answer.
    at_once: Option<usize>,
    /// How many connections in a row have ended so.
    failures: u8,
}

/// A subscription, and what it takes to make it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) filter: Box<str>,
    /// The Subscription Options, as SUBSCRIBE has them.
    pub(super) options: u8,
    pub(super) identifier: Option<u32>,
    /// Whether that is none of the user's: the subscription is as good without it.
    pub(super) may_do_without: bool,
}

#[derive(Debug)]
struct Asked {
    packet_id: PacketId,
    what: What,
}

#[derive(Debug)]
enum What {
    Subscribe(Vec<Granted>),
    /// The same, on the session's own account, to restore what was lost.
    Restore(Vec<Granted>),
    Unsubscribe(Vec<Box<str>>),
}

/// The order of Topic Filters, short ones first: then those that are numbered come as they are counted, each behind all
/// others.
pub(crate) fn by_length(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

impl Granted {
    fn new(subscription: &Subscription<'_>, identifier: Option<u32>) -> Self {
        let (filter, options) = (subscription.filter.into(), subscription.options());
        Self { filter, options, identifier, may_do_without: false }
    }

    pub(super) fn lend(&self) -> Option<Subscription<'_>> {
        Subscription::with_options(&self.filter, self.options).ok()
    }
}

impl What {
    const fn len(&self) -> usize {
        match self {
            Self::Subscribe(subscriptions) | Self::Restore(subscriptions) => subscriptions.len(),
            Self::Unsubscribe(filters) => filters.len(),
        }
    }
}

impl Subscriptions {
    /// Those of an earlier process.
    pub(super) fn restored(granted: Vec<Granted>) -> Self {
        let mut subscriptions = Self::default();
        granted.into_iter().for_each(|granted| subscriptions.add(granted));
        subscriptions
    }

    /// All that are in effect, or are to be again.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Granted> {
        let restoring = self.asked.iter().flat_map(|asked| match &asked.what {
            What::Restore(subscriptions) => subscriptions.as_slice(),
            _ => &[],
        });
        self.granted.iter().chain(self.lost.iter()).chain(restoring)
    }

    /// Whether this one was lost and the broker has not been asked for it again.
    pub(super) fn is_lost(&self, filter: &str) -> bool {
        self.lost.iter().any(|lost| *lost.filter == *filter)
    }

    /// Neither asks for it again nor reports it as lost.
    pub(super) fn remove(&mut self, filter: &str) {
        self.lost.retain(|lost| *lost.filter != *filter);
        if let Ok(place) = self.find(filter) {
            self.granted.remove(place);
        }
    }

    /// The connection has ended before the answer to what was to be restored. Brokers close it when a SUBSCRIBE has
    /// more Topic Filters than they take, so that fewer are asked for at once from then on.
    fn restoring_failed(&mut self, is_to_blame: bool) {
        let most = self.asked.iter().filter_map(|asked| match &asked.what {
            What::Restore(subscriptions) => Some(subscriptions.len()),
            _ => None,
        });
        let Some(most) = most.max() else { return };
        self.failures += 1;
        if most > FEW || is_to_blame || self.failures == MOST_FAILURES {
            (self.at_once, self.failures) = (Some((most / 2).max(1)), 0);
        }
    }

    fn add(&mut self, granted: Granted) {
        self.lost.retain(|lost| lost.filter != granted.filter);
        if self.granted.last().is_none_or(|last| by_length(&last.filter, &granted.filter).is_lt()) {
            return self.granted.push(granted);
        }
        match self.find(&granted.filter) {
            Ok(place) => self.granted[place] = granted,
            Err(place) => self.granted.insert(place, granted),
        }
    }

    fn find(&self, filter: &str) -> Result<usize, usize> {
        self.granted.binary_search_by(|granted| by_length(&granted.filter, filter))
    }

    /// Where in `asked` the request with this Packet Identifier is: in front, mostly, since answers come in order.
    fn place_of(&self, packet_id: PacketId) -> Option<usize> {
        self.asked.iter().position(|asked| asked.packet_id == packet_id)
    }
}

impl Machine {
    pub(super) fn subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.require_connected()?;
        self.terms.check_subscribe(subscriptions, properties.subscription_identifier.is_some())?;
        let packet_id = self.in_flight.next_id().ok_or(CallError::WouldBlock)?;
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: subscriptions.into() });
        let identifier = properties.subscription_identifier;
        self.ask(packet_id, State::AwaitingSuback, &packet, || {
            What::Subscribe(subscriptions.iter().map(|subscription| Granted::new(subscription, identifier)).collect())
        })
    }

    pub(super) fn subscribe_with_own_identifier(
        &mut self,
        subscription: Subscription<'_>,
        identifier: Option<u32>,
    ) -> Result<OperationId, CallError> {
        self.require_connected()?;
        self.terms.check_subscribe(&[subscription], false)?;
        let packet_id = self.in_flight.next_id().ok_or(CallError::WouldBlock)?;
        let subscription_identifier = identifier.filter(|_| self.terms.has_identifiers());
        let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
        let subscriptions = [subscription];
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: (&subscriptions).into() });
        self.ask(packet_id, State::AwaitingSuback, &packet, || {
            let granted = Granted { may_do_without: true, ..Granted::new(&subscription, identifier) };
            What::Subscribe(Vec::from([granted]))
        })
    }

    pub(super) fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.require_connected()?;
        let packet_id = self.in_flight.next_id().ok_or(CallError::WouldBlock)?;
        let packet = Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: filters.into() });
        self.ask(packet_id, State::AwaitingUnsuback, &packet, || {
            What::Unsubscribe(filters.iter().map(|&filter| filter.into()).collect())
        })
    }

    pub(super) fn suback(&mut self, suback: &Suback<'_>) -> Result<(), Error> {
        let Suback { packet_id, properties, reason_codes } = suback;
        let answered = self.answer(&Packet::Suback(*suback), *packet_id, properties, reason_codes)?;
        let Some((id, what)) = answered else { return Ok(()) };
        #[cfg(feature = "store")]
        self.journal.head_changed();
        let (is_restored, subscriptions) = match what {
            What::Subscribe(subscriptions) => (false, subscriptions),
            What::Restore(subscriptions) => (true, subscriptions),
            What::Unsubscribe(_) => (false, Vec::new()),
        };
        for (subscription, code) in subscriptions.into_iter().zip(reason_codes) {
            let granted = QoS::from_u8(code as u8);
            let refused = granted.is_none().then_some(code);
            // Where the broker may have had it, nothing has happened that the user could see.
            let is_silent = self.subscriptions.may_exist && refused.is_none();
            if is_restored && !self.take_own_restored(&subscription.filter, refused) && !is_silent {
                let filter = subscription.filter.clone().into();
                self.events.push_back(match granted {
                    Some(qos) => Event::SubscriptionRestored { filter, qos },
                    None => Event::SubscriptionLost { filter, reason_code: Some(code) },
                });
            }
            if granted.is_some() {
                self.subscriptions.add(subscription);
            }
        }
        if is_restored {
            self.subscriptions.failures = 0;
            self.restore_subscriptions();
        } else {
            self.subscribed(id, Ok(reason(properties, reason_codes)));
        }
        Ok(())
    }

    pub(super) fn unsuback(&mut self, unsuback: &Unsuback<'_>) -> Result<(), Error> {
        let Unsuback { packet_id, properties, reason_codes } = unsuback;
        let answered = self.answer(&Packet::Unsuback(*unsuback), *packet_id, properties, reason_codes)?;
        let Some((id, what)) = answered else { return Ok(()) };
        #[cfg(feature = "store")]
        self.journal.head_changed();
        if let What::Unsubscribe(filters) = what {
            for (filter, _) in filters.iter().zip(reason_codes).filter(|(_, code)| !code.is_error()) {
                self.subscriptions.remove(filter);
            }
        }
        self.events.push_back(Event::Unsubscribed { id, result: Ok(reason(properties, reason_codes)) });
        Ok(())
    }

    /// Ends what no broker will answer any more, since these packets are not sent again.
    pub(super) fn fail_requests(&mut self, error: &Error) {
        let refusal = error.reason_code().filter(|code| code.is_about_subscriptions());
        self.subscriptions.restoring_failed(refusal.is_some());
        if let (Some(code), Some(Asked { packet_id, what: What::Restore(subscriptions) })) =
            (refusal, self.subscriptions.asked.front_mut())
            && subscriptions.len() == 1
        {
            // It was its turn, and it was alone.
            let (packet_id, refused) = (*packet_id, core::mem::take(subscriptions));
            self.in_flight.remove(packet_id);
            self.lose(refused, code);
        }
        while let Some(Asked { packet_id, what }) = self.subscriptions.asked.pop_front() {
            let Some(id) = self.in_flight.remove(packet_id) else { continue };
            let result = Err(error.clone());
            match what {
                What::Subscribe(_) => self.subscribed(id, result),
                What::Unsubscribe(_) => self.events.push_back(Event::Unsubscribed { id, result }),
                What::Restore(subscriptions) => {
                    subscriptions.into_iter().for_each(|lost| self.subscriptions.lost.push_back(lost));
                }
            }
        }
    }

    /// After CONNACK: what the broker lost, or may have lost, is asked for again. What it lost is reported if the
    /// options forbid that.
    pub(super) fn take_up_subscriptions(&mut self, session_present: bool) {
        let is_in_doubt = core::mem::take(&mut self.is_in_doubt);
        // What was in doubt stays so until it is answered.
        let may_exist = is_in_doubt || (self.subscriptions.may_exist && !self.subscriptions.lost.is_empty());
        self.subscriptions.may_exist = session_present && may_exist;
        if !session_present || is_in_doubt {
            #[cfg(feature = "store")]
            self.journal.head_changed();
            let granted = core::mem::take(&mut self.subscriptions.granted);
            for granted in granted {
                // Replies are not the user's to ask for again.
                if self.requests.topic() == Some(&*granted.filter) {
                    // Before requests are sent again.
                    self.subscriptions.lost.push_front(granted);
                } else if self.options.restore_subscriptions {
                    self.subscriptions.lost.push_back(granted);
                } else if session_present {
                    self.subscriptions.add(granted);
                } else {
                    let filter = granted.filter.into();
                    self.events.push_back(Event::SubscriptionLost { filter, reason_code: None });
                }
            }
        }
        self.restore_subscriptions();
    }

    /// Asks again for what was lost, as far as there is room.
    pub(super) fn restore_subscriptions(&mut self) {
        let most = usize::from(self.options.filters_per_subscribe.max(1));
        let mut at_once = self.subscriptions.at_once.map_or(most, |at_once| at_once.min(most));
        while self.status == Status::Connected && !self.subscriptions.lost.is_empty() {
            let Some(packet_id) = self.in_flight.next_id() else { return };
            let lost = &mut self.subscriptions.lost;
            // There is one Subscription Identifier to a SUBSCRIBE.
            let has_identifiers = self.terms.has_identifiers();
            let identifier_of = |lost: &Granted| lost.identifier.filter(|_| has_identifiers || !lost.may_do_without);
            let identifier = lost.front().and_then(identifier_of);
            let mut again = Vec::new();
            while again.len() < at_once && lost.front().is_some_and(|lost| identifier_of(lost) == identifier) {
                again.extend(lost.pop_front());
            }
            let alike = again.len();
            match self.restore(packet_id, identifier, &again) {
                Ok(()) => self.subscriptions.asked.push_back(Asked { packet_id, what: What::Restore(again) }),
                // One of them cannot be restored, or all of them make too large a packet: fewer, then.
                Err(error) if alike > 1 || error == CallError::WouldBlock => {
                    again.into_iter().rev().for_each(|again| self.subscriptions.lost.push_front(again));
                    if error == CallError::WouldBlock {
                        return;
                    }
                    at_once = alike / 2;
                }
                Err(error) => self.lose(again, refusal(&error)),
            }
        }
    }

    fn restore(
        &mut self,
        packet_id: PacketId,
        subscription_identifier: Option<u32>,
        again: &[Granted],
    ) -> Result<(), CallError> {
        let mut subscriptions: Vec<_> = again.iter().filter_map(Granted::lend).collect();
        for subscription in subscriptions.iter_mut().filter(|_| self.subscriptions.may_exist) {
            if subscription.retain_handling == RetainHandling::Send {
                subscription.retain_handling = RetainHandling::SendIfNew;
            }
        }
        self.terms.check_subscribe(&subscriptions, subscription_identifier.is_some())?;
        let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
        let subscriptions = subscriptions.as_slice().into();
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, subscriptions });
        self.send_request(&packet)?;
        self.in_flight.insert(packet_id, State::AwaitingSuback, OperationId::default(), 0, |_| {});
        Ok(())
    }

    fn lose(&mut self, subscriptions: Vec<Granted>, why: ReasonCode) {
        #[cfg(feature = "store")]
        self.journal.head_changed();
        let reason_code = Some(why);
        for Granted { filter, .. } in subscriptions {
            if !self.take_own_restored(&filter, reason_code) {
                self.events.push_back(Event::SubscriptionLost { filter: filter.into(), reason_code });
            }
        }
    }

    /// Tells those who wait for it what the broker answered to SUBSCRIBE.
    fn subscribed(&mut self, id: OperationId, result: Result<SubscribeReason, Error>) {
        if let Some(result) = self.take_own_subscription(id, result) {
            self.events.push_back(Event::Subscribed { id, result });
        }
    }

    fn ask(
        &mut self,
        packet_id: PacketId,
        state: State,
        packet: &Packet<'_>,
        what: impl FnOnce() -> What,
    ) -> Result<OperationId, CallError> {
        self.send_request(packet)?;
        let operation = self.next_operation();
        self.in_flight.insert(packet_id, state, operation, 0, |_| {});
        self.subscriptions.asked.push_back(Asked { packet_id, what: what() });
        Ok(operation)
    }

    fn send_request(&mut self, packet: &Packet<'_>) -> Result<(), CallError> {
        let len = packet.encoded_len_from_client().map_err(CallError::Invalid)?;
        self.terms.check_size(len)?;
        if !self.outbound.has_room(len, self.options.outbound_limit) {
            return Err(CallError::WouldBlock);
        }
        packet.encode_from_client(self.outbound.appender(len));
        Ok(())
    }

    /// What this answers; `None` if that is nothing that was asked.
    fn answer(
        &mut self,
        packet: &Packet<'_>,
        packet_id: PacketId,
        properties: &AckProperties<'_>,
        reason_codes: &List<'_, ReasonCode>,
    ) -> Result<Option<(OperationId, What)>, ProtocolError> {
        self.check_problem_information(packet, properties.reason_string, &properties.user_properties)?;
        let unknown = ProtocolError::UnknownPacketId(packet.packet_type());
        match (packet, self.in_flight.state(packet_id)) {
            (Packet::Suback(_), State::AwaitingSuback) | (Packet::Unsuback(_), State::AwaitingUnsuback) => {}
            (_, state) if state.is_unsolicited() => return Ok(None),
            _ => return Err(unknown),
        }
        let place = self.subscriptions.place_of(packet_id).ok_or(unknown)?;
        let expected = self.subscriptions.asked.get(place).map_or(0, |asked| asked.what.len());
        if reason_codes.iter().count() != expected {
            return Err(ProtocolError::ReasonCodeCount);
        }
        self.stats.refused += reason_codes.iter().filter(|code| code.is_error()).count() as u64;
        let operation = self.in_flight.remove(packet_id).ok_or(unknown)?;
        let asked = self.subscriptions.asked.remove(place).ok_or(unknown)?;
        Ok(Some((operation, asked.what)))
    }
}

/// What a broker would say to a subscription that it does not offer.
const fn refusal(why: &CallError) -> ReasonCode {
    match why {
        CallError::WildcardSubscriptionsNotSupported => ReasonCode::WildcardSubscriptionsNotSupported,
        CallError::SharedSubscriptionsNotSupported => ReasonCode::SharedSubscriptionsNotSupported,
        CallError::SubscriptionIdentifiersNotSupported => ReasonCode::SubscriptionIdentifiersNotSupported,
        CallError::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
        _ => ReasonCode::UnspecifiedError,
    }
}

fn reason(properties: &AckProperties<'_>, reason_codes: &List<'_, ReasonCode>) -> SubscribeReason {
    SubscribeReason {
        reason_codes: reason_codes.iter().collect(),
        reason_string: properties.reason_string.map(ToOwned::to_owned),
        user_properties: owned(&properties.user_properties),
    }
}
