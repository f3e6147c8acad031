//! Reason Codes: how an operation ended (section 2.4).

use core::fmt;

use super::PacketType;

macro_rules! reason_codes {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal, $($packet:ident)+;)+) => {
        /// A Reason Code (section 2.4). Below 0x80 it is a success, from 0x80 on a failure.
        ///
        /// One code can have several names: 0x00 is Success, Normal disconnection and Granted QoS 0.
        ///
        /// ```
        /// use mqtt_wasi::ReasonCode;
        ///
        /// assert_eq!(ReasonCode::NotAuthorized as u8, 0x87);
        /// assert_eq!(ReasonCode::NotAuthorized.to_string(), "Not authorized (0x87)");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $($(#[$meta])* #[doc = concat!($text, " (", stringify!($value), ").")] $name = $value,)+
        }

        impl ReasonCode {
            /// Every Reason Code of the specification, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The Reason Code with this number. `None` if the specification has none.
            ///
            /// ```
            /// use mqtt_wasi::ReasonCode;
            ///
            /// assert_eq!(ReasonCode::from_u8(0x8E), Some(ReasonCode::SessionTakenOver));
            /// assert_eq!(ReasonCode::from_u8(0x7F), None);
            /// ```
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The specification's name of the Reason Code.
            ///
            /// ```
            /// use mqtt_wasi::ReasonCode;
            ///
            /// assert_eq!(ReasonCode::QuotaExceeded.name(), "Quota exceeded");
            /// ```
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Whether a packet of this type may have the Reason Code (section 2.4).
            ///
            /// ```
            /// use mqtt_wasi::ReasonCode;
            /// use mqtt_wasi::codec::PacketType;
            ///
            /// assert!(ReasonCode::GrantedQos1.is_valid_in(PacketType::Suback));
            /// assert!(!ReasonCode::GrantedQos1.is_valid_in(PacketType::Puback));
            /// ```
            #[must_use]
            pub const fn is_valid_in(self, packet_type: PacketType) -> bool {
                match self {
                    $(Self::$name => matches!(packet_type, $(PacketType::$packet)|+),)+
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success", Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth;
    GrantedQos1 = 0x01, "Granted QoS 1", Suback;
    GrantedQos2 = 0x02, "Granted QoS 2", Suback;
    DisconnectWithWillMessage = 0x04, "Disconnect with Will Message", Disconnect;
    NoMatchingSubscribers = 0x10, "No matching subscribers", Puback Pubrec;
    NoSubscriptionExisted = 0x11, "No subscription existed", Unsuback;
    ContinueAuthentication = 0x18, "Continue authentication", Auth;
    ReAuthenticate = 0x19, "Re-authenticate", Auth;
    UnspecifiedError = 0x80, "Unspecified error", Connack Puback Pubrec Suback Unsuback Disconnect;
    MalformedPacket = 0x81, "Malformed Packet", Connack Disconnect;
    ProtocolError = 0x82, "Protocol Error", Connack Disconnect;
    ImplementationSpecificError = 0x83, "Implementation specific error",
        Connack Puback Pubrec Suback Unsuback Disconnect;
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", Connack;
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", Connack;
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", Connack;
    NotAuthorized = 0x87, "Not authorized", Connack Puback Pubrec Suback Unsuback Disconnect;
    ServerUnavailable = 0x88, "Server unavailable", Connack;
    ServerBusy = 0x89, "Server busy", Connack Disconnect;
    Banned = 0x8A, "Banned", Connack;
    ServerShuttingDown = 0x8B, "Server shutting down", Disconnect;
    BadAuthenticationMethod = 0x8C, "Bad authentication method", Connack Disconnect;
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", Disconnect;
    SessionTakenOver = 0x8E, "Session taken over", Disconnect;
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", Suback Unsuback Disconnect;
    TopicNameInvalid = 0x90, "Topic Name invalid", Connack Puback Pubrec Disconnect;
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", Puback Pubrec Suback Unsuback;
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", Pubrel Pubcomp;
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", Disconnect;
    TopicAliasInvalid = 0x94, "Topic Alias invalid", Disconnect;
    PacketTooLarge = 0x95, "Packet too large", Connack Disconnect;
    MessageRateTooHigh = 0x96, "Message rate too high", Disconnect;
    QuotaExceeded = 0x97, "Quota exceeded", Connack Puback Pubrec Suback Disconnect;
    AdministrativeAction = 0x98, "Administrative action", Disconnect;
    PayloadFormatInvalid = 0x99, "Payload format invalid", Connack Puback Pubrec Disconnect;
    RetainNotSupported = 0x9A, "Retain not supported", Connack Disconnect;
    QosNotSupported = 0x9B, "QoS not supported", Connack Disconnect;
    UseAnotherServer = 0x9C, "Use another server", Connack Disconnect;
    ServerMoved = 0x9D, "Server moved", Connack Disconnect;
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", Suback Disconnect;
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", Connack Disconnect;
    MaximumConnectTime = 0xA0, "Maximum connect time", Disconnect;
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported", Suback Disconnect;
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported", Suback Disconnect;
}

impl ReasonCode {
    /// Normal disconnection (0x00), as [`ReasonCode::Success`] is called in DISCONNECT.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// Granted QoS 0 (0x00), as [`ReasonCode::Success`] is called in SUBACK.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// Whether it is a failure: 0x80 or above.
    ///
    /// ```
    /// use mqtt_wasi::ReasonCode;
    ///
    /// assert!(ReasonCode::NotAuthorized.is_error());
    /// assert!(!ReasonCode::NoMatchingSubscribers.is_error());
    /// ```
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether it can be an answer to nothing but SUBSCRIBE or UNSUBSCRIBE, wherever it comes.
    #[must_use]
    pub(crate) const fn is_about_subscriptions(self) -> bool {
        matches!(self as u8, 0x8F | 0x9E | 0xA1 | 0xA2)
    }

    /// Whether a client may give it in DISCONNECT: the others there are for servers (section 3.14.2.1).
    #[must_use]
    pub(crate) const fn is_for_clients_to_disconnect_with(self) -> bool {
        matches!(self as u8, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
    }
}

impl From<ReasonCode> for u8 {
    fn from(code: ReasonCode) -> Self {
        code as Self
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#04x})", self.name(), *self as u8)
    }
}
