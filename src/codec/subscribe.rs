//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use super::list::{Entry, List};
use super::property::{AckProperties, SubscribeProperties};
use super::read::Reader;
use super::write::Sink;
use super::{
    DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, PacketId, PacketType, QoS, ReasonCode, topic,
};

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING_SHIFT: u8 = 4;

const OPTIONS: &str = "Subscription Options";

/// SUBSCRIBE: the client asks for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The Packet Identifier.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: SubscribeProperties<'a>,
    /// What to subscribe to: at least one entry.
    pub subscriptions: List<'a, Subscription<'a>>,
}

/// A Topic Filter and its Subscription Options (section 3.8.3.1).
///
/// ```
/// use mqtt_wasi::codec::{QoS, Subscription};
///
/// let subscription = Subscription::new("sensors/#", QoS::AtLeastOnce);
/// assert!(!subscription.no_local);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The Topic Filter.
    pub filter: &'a str,
    /// The highest QoS that messages come with.
    pub maximum_qos: QoS,
    /// Leave out what this client published itself. Not for shared subscriptions `[MQTT-3.8.3-4]`.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages come first.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a new subscription is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send = 0,
    /// All that match, if the subscription was not there before.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

/// SUBACK: how each entry of a SUBSCRIBE went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suback<'a> {
    /// The Packet Identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: AckProperties<'a>,
    /// A Reason Code for each entry of the SUBSCRIBE, in its order `[MQTT-3.9.3-1]`.
    pub reason_codes: List<'a, ReasonCode>,
}

impl<'a> Subscription<'a> {
    /// A subscription with every option but the QoS at its default.
    #[must_use]
    pub const fn new(filter: &'a str, maximum_qos: QoS) -> Self {
        Self { filter, maximum_qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let filter = reader.topic_filter()?;
        let options = reader.u8(OPTIONS)?;
        Self::with_options(filter, options).map_err(|(kind, field)| reader.error(kind, field))
    }

    /// The subscription with these Subscription Options; what is wrong with them, if anything is.
    pub(crate) fn with_options(filter: &'a str, options: u8) -> Result<Self, (DecodeErrorKind, &'static str)> {
        if options & 0xC0 != 0 {
            return Err((DecodeErrorKind::ReservedBits, OPTIONS));
        }
        let no_local = options & NO_LOCAL != 0;
        if no_local && topic::is_shared(filter) {
            return Err((DecodeErrorKind::NoLocalOnSharedSubscription, OPTIONS));
        }
        Ok(Self {
            filter,
            maximum_qos: QoS::from_u8(options & 0b11).ok_or((DecodeErrorKind::ValueOutOfRange, "Maximum QoS"))?,
            no_local,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling: match options >> RETAIN_HANDLING_SHIFT {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err((DecodeErrorKind::ValueOutOfRange, "Retain Handling")),
            },
        })
    }

    /// The Subscription Options, as SUBSCRIBE has them (section 3.8.3.1).
    pub(crate) const fn options(&self) -> u8 {
        self.maximum_qos as u8
            | if self.no_local { NO_LOCAL } else { 0 }
            | if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.topic_filter(self.filter);
        sink.require(
            !self.no_local || !topic::is_shared(self.filter),
            EncodeErrorKind::NoLocalOnSharedSubscription,
            OPTIONS,
        );
        sink.u8(self.options());
    }
}

impl<'a> Entry<'a> for Subscription<'a> {
    fn next(reader: &mut Reader<'a>) -> Option<Self> {
        Self::read(reader).ok()
    }
}

impl<'a> Subscribe<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: SubscribeProperties::read(reader, options)?,
            subscriptions: reader.list("Topic Filter", Subscription::read)?,
        })
    }
}

impl Subscribe<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.u16(self.packet_id.get());
        self.properties.write(sink);
        sink.require(!self.subscriptions.is_empty(), EncodeErrorKind::EmptyList, "Topic Filter");
        for subscription in &self.subscriptions {
            subscription.write(sink);
        }
    }
}

impl<'a> Suback<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: AckProperties::read(reader, options)?,
            reason_codes: reader.list("Reason Code", Reader::reason_code)?,
        })
    }
}

impl Suback<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.u16(self.packet_id.get());
        self.properties.write(sink);
        sink.reason_codes(&self.reason_codes, PacketType::Suback);
    }
}

impl Entry<'_> for ReasonCode {
    fn next(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u8("Reason Code").ok().and_then(Self::from_u8)
    }
}
