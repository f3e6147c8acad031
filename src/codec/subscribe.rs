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
///
/// ```
/// use mqtt_wasi::codec::{Packet, PacketId, QoS, Subscribe, SubscribeProperties, Subscription};
///
/// let subscriptions = [Subscription::new("a/+", QoS::AtLeastOnce)];
/// let subscribe = Subscribe {
///     packet_id: PacketId::new(1).unwrap(),
///     properties: SubscribeProperties::default(),
///     subscriptions: (&subscriptions).into(),
/// };
/// let mut bytes = Vec::new();
/// Packet::Subscribe(subscribe).encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x82\x09\x00\x01\x00\x00\x03a/+\x01");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The Packet Identifier.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: SubscribeProperties<'a>,
    /// What to subscribe to: at least one Topic Filter, with its options.
    pub subscriptions: List<'a, Subscription<'a>>,
}

/// What to subscribe to: a Topic Filter and its Subscription Options (section 3.8.3.1).
///
/// ```
/// use mqtt_wasi::{QoS, RetainHandling, Subscription};
///
/// let subscription = Subscription {
///     no_local: true,
///     retain_handling: RetainHandling::DoNotSend,
///     ..Subscription::new("sensors/#", QoS::AtLeastOnce)
/// };
/// assert_eq!(subscription.maximum_qos, QoS::AtLeastOnce);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The Topic Filter. `+` stands for one level, `#` for all that follow. `$share/name/filter` is a shared
    /// subscription (section 4.8.2).
    pub filter: &'a str,
    /// The highest QoS that messages are delivered with.
    pub maximum_qos: QoS,
    /// No Local: leave out what this client published itself. Not for shared subscriptions `[MQTT-3.8.3-4]`.
    pub no_local: bool,
    /// Retain As Published: keep the retain flag of messages as it was published.
    pub retain_as_published: bool,
    /// Retain Handling: which retained messages the broker sends first.
    pub retain_handling: RetainHandling,
}

/// Which retained messages the broker sends for a new subscription (section 3.8.3.1).
///
/// ```
/// use mqtt_wasi::{QoS, RetainHandling, Subscription};
///
/// let subscription = Subscription::new("sensors/#", QoS::AtLeastOnce);
/// assert_eq!(subscription.retain_handling, RetainHandling::Send);
/// let only_new = Subscription { retain_handling: RetainHandling::DoNotSend, ..subscription };
/// assert_eq!(only_new.retain_handling as u8, 2);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send = 0,
    /// All that match, only if the subscription did not exist before.
    SendIfNew = 1,
    /// No retained messages.
    DoNotSend = 2,
}

/// SUBACK: the server's answer to each entry of a SUBSCRIBE.
///
/// ```
/// use mqtt_wasi::codec::{AckProperties, Packet, PacketId, ReasonCode, Suback};
///
/// let suback = Packet::Suback(Suback {
///     packet_id: PacketId::new(1).unwrap(),
///     properties: AckProperties::default(),
///     reason_codes: (&[ReasonCode::GrantedQos1, ReasonCode::NotAuthorized]).into(),
/// });
/// let mut bytes = Vec::new();
/// suback.encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x90\x05\x00\x01\x00\x01\x87");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suback<'a> {
    /// The Packet Identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: AckProperties<'a>,
    /// A Reason Code for each entry of the SUBSCRIBE, in order `[MQTT-3.9.3-1]`.
    pub reason_codes: List<'a, ReasonCode>,
}

impl<'a> Subscription<'a> {
    /// A subscription with this highest QoS, and the defaults of all other options.
    ///
    /// ```
    /// use mqtt_wasi::{QoS, Subscription};
    ///
    /// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
    /// assert_eq!((subscription.filter, subscription.no_local), ("sensors/+", false));
    /// ```
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
