//! Quality of Service levels (section 4.3).

/// How often a message is delivered (section 4.3).
///
/// ```
/// use mqtt_wasi::QoS;
///
/// assert!(QoS::AtMostOnce < QoS::AtLeastOnce);
/// assert_eq!(QoS::ExactlyOnce as u8, 2);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: at most once, without an acknowledgement.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once, acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: exactly once, acknowledged by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS with this number: 0, 1 or 2. `None` for others.
    ///
    /// ```
    /// use mqtt_wasi::QoS;
    ///
    /// assert_eq!(QoS::from_u8(1), Some(QoS::AtLeastOnce));
    /// assert_eq!(QoS::from_u8(3), None);
    /// ```
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}
