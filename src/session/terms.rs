//! What the broker allows, as its CONNACK said (section 3.2.2.3), turned into errors before anything is sent.

use crate::codec::{self, Connack, QoS, Subscription};
use crate::error::CallError;

/// The size of the largest packet that the session sends by itself: PUBREL or PUBCOMP with a Reason Code. With a broker
/// that takes none of them nothing could be acknowledged.
pub(super) const SMALLEST_MAXIMUM_PACKET_SIZE: u32 = 5;

/// The broker's terms for this connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) receive_maximum: u16,
    pub(super) maximum_packet_size: u32,
    pub(super) topic_alias_maximum: u16,
    maximum_qos: QoS,
    retain_available: bool,
    wildcard_subscription_available: bool,
    subscription_identifier_available: bool,
    shared_subscription_available: bool,
}

impl Default for Terms {
    /// What a broker allows that says nothing.
    fn default() -> Self {
        Self::new(&Connack::default())
    }
}

impl Terms {
    pub(super) fn new(connack: &Connack<'_>) -> Self {
        let properties = &connack.properties;
        Self {
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX),
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            wildcard_subscription_available: properties.wildcard_subscription_available.unwrap_or(true),
            subscription_identifier_available: properties.subscription_identifier_available.unwrap_or(true),
            shared_subscription_available: properties.shared_subscription_available.unwrap_or(true),
        }
    }

    pub(super) fn check_message(&self, qos: QoS, retain: bool) -> Result<(), CallError> {
        if qos > self.maximum_qos {
            return Err(CallError::QosNotSupported { maximum: self.maximum_qos });
        }
        if retain && !self.retain_available {
            return Err(CallError::RetainNotSupported);
        }
        Ok(())
    }

    /// Whether subscriptions may have identifiers.
    pub(super) const fn has_identifiers(&self) -> bool {
        self.subscription_identifier_available
    }

    /// Checks a PUBLISH that was first sent on the terms of another connection.
    pub(super) fn check_again(&self, packet: &[u8]) -> Result<(), CallError> {
        let flags = packet.first().copied().unwrap_or_default();
        self.check_message(QoS::from_u8(flags >> 1 & 0b11).unwrap_or_default(), flags & 1 != 0)?;
        self.check_size(packet.len())
    }

    pub(super) fn check_subscribe(
        &self,
        subscriptions: &[Subscription<'_>],
        has_identifier: bool,
    ) -> Result<(), CallError> {
        if has_identifier && !self.subscription_identifier_available {
            return Err(CallError::SubscriptionIdentifiersNotSupported);
        }
        for subscription in subscriptions {
            if !self.shared_subscription_available && codec::is_shared(subscription.filter) {
                return Err(CallError::SharedSubscriptionsNotSupported);
            }
            if !self.wildcard_subscription_available && codec::has_wildcard(subscription.filter) {
                return Err(CallError::WildcardSubscriptionsNotSupported);
            }
        }
        Ok(())
    }

    pub(super) const fn check_size(&self, size: usize) -> Result<(), CallError> {
        if size > self.maximum_packet_size as usize {
            return Err(CallError::PacketTooLarge { size, maximum: self.maximum_packet_size });
        }
        Ok(())
    }
}
