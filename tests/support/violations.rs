//! How a broker can break the rules: in which state, with which bytes, and with which Reason Code the client answers.
//!
//! The table is written from the specification: each row names the section that has the rule. Of the properties and
//! Reason Codes that do not belong in a packet there are examples; `codec_strictness` has all of tables 2-4 and 2-6.

use mqtt_wasi::ReasonCode;

const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
const PROTOCOL_ERROR: ReasonCode = ReasonCode::ProtocolError;
const RECEIVE_MAXIMUM_EXCEEDED: ReasonCode = ReasonCode::ReceiveMaximumExceeded;
const TOPIC_ALIAS_INVALID: ReasonCode = ReasonCode::TopicAliasInvalid;
const PACKET_TOO_LARGE: ReasonCode = ReasonCode::PacketTooLarge;

/// Where the client stands when the broker breaks a rule. In brackets: Packet Identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// CONNECT was sent, with Clean Start.
    Connecting,
    /// CONNECT was sent with the Authentication Method `m`.
    Authenticating,
    /// The same, with Request Problem Information 0.
    AuthenticatingWithoutProblemInformation,
    /// After CONNECT with the Authentication Method `m` the server wants more, and has no answer yet.
    Challenged,
    /// The connection is there, and nothing is in flight.
    Connected,
    /// The same after authenticating with `m`.
    Authenticated,
    /// AUTH that says Re-authenticate was sent after that.
    AuthenticatingAgain,
    /// Connected with a Maximum Packet Size of 100.
    WithSmallPackets,
    /// Connected with a Topic Alias Maximum of 2.
    WithTopicAliases,
    /// Connected with a Receive Maximum of 1, and a message at QoS 2 came, with Packet Identifier 1.
    AtReceiveMaximum,
    /// In flight are a message at QoS 1 (1), one at QoS 2 (2), one that was released (3), and SUBSCRIBE with two Topic
    /// Filters (4).
    InFlight,
    /// In flight is UNSUBSCRIBE with two Topic Filters (1).
    Unsubscribing,
    /// As [`State::InFlight`] with UNSUBSCRIBE of two Topic Filters (5), and Request Problem Information 0.
    WithoutProblemInformation,
}

/// A rule that is broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Violation {
    /// Where the specification has the rule.
    pub(crate) section: &'static str,
    /// What is wrong.
    pub(crate) name: &'static str,
    /// What the broker sends.
    pub(crate) bytes: &'static [u8],
    /// What the DISCONNECT that answers it says.
    pub(crate) reason_code: ReasonCode,
    /// Whether it is one of those that are tried over a network too.
    pub(crate) is_over_network: bool,
}

impl Violation {
    const fn over_network(self) -> Self {
        Self { is_over_network: true, ..self }
    }
}

const fn row(section: &'static str, name: &'static str, bytes: &'static [u8], reason_code: ReasonCode) -> Violation {
    Violation { section, name, bytes, reason_code, is_over_network: false }
}

/// All rows, by the state that they happen in.
pub(crate) const ALL: &[(State, &[Violation])] = &[
    (State::Connecting, CONNECTING),
    (State::Authenticating, AUTHENTICATING),
    (State::AuthenticatingWithoutProblemInformation, AUTHENTICATING_WITHOUT_PROBLEM_INFORMATION),
    (State::Challenged, CHALLENGED),
    (State::Connected, CONNECTED),
    (State::Authenticated, AUTHENTICATED),
    (State::AuthenticatingAgain, AUTHENTICATING_AGAIN),
    (State::WithSmallPackets, WITH_SMALL_PACKETS),
    (State::WithTopicAliases, WITH_TOPIC_ALIASES),
    (State::AtReceiveMaximum, AT_RECEIVE_MAXIMUM),
    (State::InFlight, IN_FLIGHT),
    (State::Unsubscribing, UNSUBSCRIBING),
    (State::WithoutProblemInformation, WITHOUT_PROBLEM_INFORMATION),
];

const CONNECTING: &[Violation] = &[
    row("2.1.2", "packet type 0", b"\0\0", MALFORMED),
    row("2.1.3", "CONNACK with a flag in its fixed header", b"\x21\x03\0\0\0", MALFORMED),
    row("1.5.5", "a Remaining Length of five bytes", b"\x20\xFF\xFF\xFF\xFF\x01", MALFORMED),
    row("1.5.5", "a Remaining Length that is longer than it needs to be", b"\x20\x83\0\0\0\0", MALFORMED),
    row("3.1.2.11.4", "CONNACK over the Maximum Packet Size", b"\x20\xFF\xFF\xFF\x7F", PACKET_TOO_LARGE).over_network(),
    row("3.2.2", "CONNACK with nothing in it", b"\x20\0", MALFORMED),
    row("3.2.2", "CONNACK without a Reason Code", b"\x20\x01\0", MALFORMED),
    row("3.2.2", "CONNACK without a Property Length, as in MQTT v3.1.1", b"\x20\x02\0\0", MALFORMED),
    row("3.2.2", "CONNACK with more than its properties", b"\x20\x04\0\0\0\0", MALFORMED),
    row("3.2.2.1", "the lowest reserved flag of CONNACK", b"\x20\x03\x02\0\0", MALFORMED),
    row("3.2.2.1", "the highest reserved flag of CONNACK", b"\x20\x03\x80\0\0", MALFORMED),
    row("3.2.2.1.1", "Session Present after Clean Start", b"\x20\x03\x01\0\0", PROTOCOL_ERROR),
    row("3.2.2.1.1", "Session Present beside a failure", b"\x20\x03\x01\x87\0", PROTOCOL_ERROR).over_network(),
    row("3.2.2.2", "a Reason Code of MQTT v3.1.1 in CONNACK", b"\x20\x03\0\x01\0", MALFORMED),
    row("3.2.2.2", "a Reason Code of PUBACK in CONNACK", b"\x20\x03\0\x10\0", MALFORMED),
    row("3.2.2.2", "a Reason Code of DISCONNECT in CONNACK", b"\x20\x03\0\x8B\0", MALFORMED),
    row("3.2.2.2", "a Reason Code in CONNACK that does not exist", b"\x20\x03\0\xFF\0", MALFORMED),
    row("2.2.2.1", "properties of CONNACK that end behind it", b"\x20\x03\0\0\x05", MALFORMED),
    row("2.2.2.1", "a Property Length of five bytes", b"\x20\x07\0\0\xFF\xFF\xFF\xFF\x01", MALFORMED),
    row("2.2.2.1", "a property of CONNACK that ends behind the others", b"\x20\x04\0\0\x01\x21", MALFORMED),
    row("2.2.2.2", "a property in CONNACK that does not exist", b"\x20\x05\0\0\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Topic Alias in CONNACK", b"\x20\x06\0\0\x03\x23\0\x01", MALFORMED).over_network(),
    row("2.2.2.2", "Subscription Identifier in CONNACK", b"\x20\x05\0\0\x02\x0B\x01", MALFORMED),
    row("2.2.2.2", "Request Problem Information in CONNACK", b"\x20\x05\0\0\x02\x17\x01", MALFORMED),
    row("2.2.2.2", "Payload Format Indicator in CONNACK", b"\x20\x05\0\0\x02\x01\x01", MALFORMED),
    row(
        "3.2.2.3.2",
        "Session Expiry Interval twice in CONNACK",
        b"\x20\x0D\0\0\x0A\x11\0\0\0\x01\x11\0\0\0\x01",
        PROTOCOL_ERROR,
    ),
    row("3.2.2.3.3", "Receive Maximum twice in CONNACK", b"\x20\x09\0\0\x06\x21\0\x01\x21\0\x01", PROTOCOL_ERROR),
    row("3.2.2.3.4", "Maximum QoS twice in CONNACK", b"\x20\x07\0\0\x04\x24\x01\x24\x01", PROTOCOL_ERROR),
    row("3.2.2.3.5", "Retain Available twice in CONNACK", b"\x20\x07\0\0\x04\x25\x01\x25\x01", PROTOCOL_ERROR),
    row(
        "3.2.2.3.6",
        "Maximum Packet Size twice in CONNACK",
        b"\x20\x0D\0\0\x0A\x27\0\0\x01\0\x27\0\0\x01\0",
        PROTOCOL_ERROR,
    )
    .over_network(),
    row(
        "3.2.2.3.7",
        "Assigned Client Identifier twice in CONNACK",
        b"\x20\x0B\0\0\x08\x12\0\x01x\x12\0\x01x",
        PROTOCOL_ERROR,
    ),
    row("3.2.2.3.7", "an empty Assigned Client Identifier", b"\x20\x06\0\0\x03\x12\0\0", PROTOCOL_ERROR).over_network(),
    row("3.2.2.3.8", "Topic Alias Maximum twice in CONNACK", b"\x20\x09\0\0\x06\x22\0\x01\x22\0\x01", PROTOCOL_ERROR),
    row("3.2.2.3.9", "Reason String twice in CONNACK", b"\x20\x0B\0\0\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR),
    row(
        "3.2.2.3.11",
        "Wildcard Subscription Available twice in CONNACK",
        b"\x20\x07\0\0\x04\x28\x01\x28\x01",
        PROTOCOL_ERROR,
    ),
    row(
        "3.2.2.3.12",
        "Subscription Identifier Available twice in CONNACK",
        b"\x20\x07\0\0\x04\x29\x01\x29\x01",
        PROTOCOL_ERROR,
    ),
    row(
        "3.2.2.3.13",
        "Shared Subscription Available twice in CONNACK",
        b"\x20\x07\0\0\x04\x2A\x01\x2A\x01",
        PROTOCOL_ERROR,
    ),
    row("3.2.2.3.14", "Server Keep Alive twice in CONNACK", b"\x20\x09\0\0\x06\x13\0\x09\x13\0\x09", PROTOCOL_ERROR),
    row(
        "3.2.2.3.15",
        "Response Information twice in CONNACK",
        b"\x20\x0B\0\0\x08\x1A\0\x01x\x1A\0\x01x",
        PROTOCOL_ERROR,
    ),
    row("3.2.2.3.16", "Server Reference twice in CONNACK", b"\x20\x0B\0\0\x08\x1C\0\x01x\x1C\0\x01x", PROTOCOL_ERROR),
    row(
        "3.2.2.3.17",
        "Authentication Method twice in CONNACK",
        b"\x20\x0B\0\0\x08\x15\0\x01x\x15\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.2.2.3.18",
        "Authentication Data twice in CONNACK",
        b"\x20\x0B\0\0\x08\x16\0\x01x\x16\0\x01x",
        PROTOCOL_ERROR,
    ),
    row("3.2.2.3.3", "Receive Maximum 0", b"\x20\x06\0\0\x03\x21\0\0", PROTOCOL_ERROR).over_network(),
    row("3.2.2.3.4", "Maximum QoS 2", b"\x20\x05\0\0\x02\x24\x02", PROTOCOL_ERROR).over_network(),
    row("3.2.2.3.4", "Maximum QoS 3", b"\x20\x05\0\0\x02\x24\x03", PROTOCOL_ERROR),
    row("3.2.2.3.5", "Retain Available 2", b"\x20\x05\0\0\x02\x25\x02", PROTOCOL_ERROR).over_network(),
    row("3.2.2.3.6", "Maximum Packet Size 0", b"\x20\x08\0\0\x05\x27\0\0\0\0", PROTOCOL_ERROR),
    row("3.2.2.3.11", "Wildcard Subscription Available 2", b"\x20\x05\0\0\x02\x28\x02", PROTOCOL_ERROR),
    row("3.2.2.3.12", "Subscription Identifier Available 2", b"\x20\x05\0\0\x02\x29\x02", PROTOCOL_ERROR),
    row("3.2.2.3.13", "Shared Subscription Available 2", b"\x20\x05\0\0\x02\x2A\x02", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of CONNACK that is no UTF-8", b"\x20\x07\0\0\x04\x1F\0\x01\xFF", MALFORMED),
    row("1.5.4", "a null character in the Reason String of CONNACK", b"\x20\x07\0\0\x04\x1F\0\x01\0", MALFORMED)
        .over_network(),
    row("1.5.4", "a null character in the Assigned Client Identifier", b"\x20\x07\0\0\x04\x12\0\x01\0", MALFORMED),
    row("1.5.4", "a surrogate in the Server Reference", b"\x20\x09\0\0\x06\x1C\0\x03\xED\xA0\x80", MALFORMED),
    row("1.5.7", "a User Property whose name is no UTF-8", b"\x20\x0A\0\0\x07\x26\0\x01\xFF\0\x01v", MALFORMED),
    row("1.5.7", "a User Property whose value is no UTF-8", b"\x20\x0A\0\0\x07\x26\0\x01k\0\x01\xFF", MALFORMED),
    row(
        "4.12",
        "an Authentication Method in CONNACK that CONNECT did not have",
        b"\x20\x07\0\0\x04\x15\0\x01m",
        PROTOCOL_ERROR,
    )
    .over_network(),
    row("3.2", "PUBLISH before CONNACK", b"\x30\x04\0\x01a\0", PROTOCOL_ERROR),
    row("3.2", "PUBACK before CONNACK", b"\x40\x02\0\x01", PROTOCOL_ERROR),
    row("3.2", "PUBREC before CONNACK", b"\x50\x02\0\x01", PROTOCOL_ERROR),
    row("3.2", "PUBREL before CONNACK", b"\x62\x02\0\x01", PROTOCOL_ERROR),
    row("3.2", "PUBCOMP before CONNACK", b"\x70\x02\0\x01", PROTOCOL_ERROR),
    row("3.2", "SUBACK before CONNACK", b"\x90\x04\0\x01\0\0", PROTOCOL_ERROR),
    row("3.2", "UNSUBACK before CONNACK", b"\xB0\x04\0\x01\0\0", PROTOCOL_ERROR),
    row("3.2", "PINGRESP before CONNACK", b"\xD0\0", PROTOCOL_ERROR),
    row("3.14", "DISCONNECT before CONNACK", b"\xE0\x01\x89", PROTOCOL_ERROR).over_network(),
    row("4.12", "AUTH before CONNACK, without a method in CONNECT", b"\xF0\x06\x18\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("2.1.2", "CONNECT from a server, before CONNACK", b"\x10\x0D\0\x04MQTT\x05\x02\0\x3C\0\0\0", PROTOCOL_ERROR),
    row("2.1.2", "SUBSCRIBE from a server, before CONNACK", b"\x82\x07\0\x01\0\0\x01a\0", PROTOCOL_ERROR),
    row("2.1.2", "UNSUBSCRIBE from a server, before CONNACK", b"\xA2\x06\0\x01\0\0\x01a", PROTOCOL_ERROR),
    row("2.1.2", "PINGREQ from a server, before CONNACK", b"\xC0\0", PROTOCOL_ERROR),
];

const AUTHENTICATING: &[Violation] = &[
    row("2.1.3", "AUTH with a flag in its fixed header", b"\xF1\x06\x18\x04\x15\0\x01m", MALFORMED),
    row("4.12", "CONNACK without the Authentication Method", b"\x20\x03\0\0\0", PROTOCOL_ERROR),
    row("4.12", "CONNACK with another Authentication Method", b"\x20\x07\0\0\x04\x15\0\x01n", PROTOCOL_ERROR),
    row("4.12", "AUTH with another Authentication Method", b"\xF0\x06\x18\x04\x15\0\x01n", PROTOCOL_ERROR),
    row("3.15.2.2.2", "AUTH without an Authentication Method", b"\xF0\x02\x18\0", PROTOCOL_ERROR),
    row("4.12", "AUTH with nothing in it, which is Success without a method", b"\xF0\0", PROTOCOL_ERROR),
    row("4.12", "AUTH that says Success before CONNACK", b"\xF0\x06\0\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("3.15.2.1", "AUTH that says Re-authenticate, from a server", b"\xF0\x06\x19\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("3.15.2.1", "a Reason Code in AUTH that does not exist", b"\xF0\x06\x42\x04\x15\0\x01m", MALFORMED),
    row("3.15.2.1", "a Reason Code of CONNACK in AUTH", b"\xF0\x06\x87\x04\x15\0\x01m", MALFORMED),
    row("3.15.2", "AUTH without a Property Length", b"\xF0\x01\x18", MALFORMED),
    row("3.15.2", "AUTH with more than its properties", b"\xF0\x07\x18\x04\x15\0\x01m\0", MALFORMED),
    row("2.2.2.1", "properties of AUTH that end behind it", b"\xF0\x06\x18\x09\x15\0\x01m", MALFORMED),
    row("2.2.2.2", "a property in AUTH that does not exist", b"\xF0\x08\x18\x06\x15\0\x01m\x7F\0", MALFORMED),
    row("2.2.2.2", "Receive Maximum in AUTH", b"\xF0\x09\x18\x07\x15\0\x01m\x21\0\x01", MALFORMED),
    row("3.15.2.2.2", "Authentication Method twice in AUTH", b"\xF0\x0A\x18\x08\x15\0\x01m\x15\0\x01m", PROTOCOL_ERROR),
    row(
        "3.15.2.2.3",
        "Authentication Data twice in AUTH",
        b"\xF0\x0E\x18\x0C\x15\0\x01m\x16\0\x01x\x16\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.15.2.2.4",
        "Reason String twice in AUTH",
        b"\xF0\x0E\x18\x0C\x15\0\x01m\x1F\0\x01x\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row("1.5.4", "an Authentication Method that is no UTF-8", b"\xF0\x06\x18\x04\x15\0\x01\xFF", MALFORMED),
    row(
        "1.5.4",
        "a null character in the Reason String of AUTH",
        b"\xF0\x0A\x18\x08\x15\0\x01m\x1F\0\x01\0",
        MALFORMED,
    ),
    row("3.2", "PUBLISH before CONNACK, while the client authenticates", b"\x30\x04\0\x01a\0", PROTOCOL_ERROR),
    row("3.14", "DISCONNECT before CONNACK, while the client authenticates", b"\xE0\x01\x87", PROTOCOL_ERROR),
];

const AUTHENTICATING_WITHOUT_PROBLEM_INFORMATION: &[Violation] = &[
    row(
        "3.1.2.11.7",
        "a Reason String in AUTH that was not requested",
        b"\xF0\x0A\x18\x08\x15\0\x01m\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in AUTH that was not requested",
        b"\xF0\x0D\x18\x0B\x15\0\x01m\x26\0\x01k\0\x01v",
        PROTOCOL_ERROR,
    ),
];

const CHALLENGED: &[Violation] = &[
    row("4.12", "a second challenge before the answer to the first", b"\xF0\x06\x18\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("4.12", "CONNACK before the answer to a challenge", b"\x20\x07\0\0\x04\x15\0\x01m", PROTOCOL_ERROR),
];

const CONNECTED: &[Violation] = &[
    row("2.1.2", "packet type 0", b"\0\0", MALFORMED),
    row("2.1.3", "PUBACK with a flag in its fixed header", b"\x41\x02\0\x07", MALFORMED),
    row("2.1.3", "PUBREC with a flag in its fixed header", b"\x51\x02\0\x07", MALFORMED),
    row("2.1.3", "PUBREL without the flags that it must have", b"\x60\x02\0\x07", MALFORMED).over_network(),
    row("2.1.3", "PUBCOMP with a flag in its fixed header", b"\x71\x02\0\x07", MALFORMED),
    row("2.1.3", "SUBACK with a flag in its fixed header", b"\x91\x04\0\x07\0\0", MALFORMED),
    row("2.1.3", "UNSUBACK with a flag in its fixed header", b"\xB1\x04\0\x07\0\0", MALFORMED),
    row("2.1.3", "PINGRESP with a flag in its fixed header", b"\xD1\0", MALFORMED),
    row("2.1.3", "DISCONNECT with a flag in its fixed header", b"\xE1\x01\x89", MALFORMED),
    row("1.5.5", "a Remaining Length of five bytes", b"\x30\xFF\xFF\xFF\xFF\x01", MALFORMED),
    row("1.5.5", "a Remaining Length that is longer than it needs to be", b"\xD0\x80\0", MALFORMED),
    row("3.1.2.11.4", "PUBLISH over the Maximum Packet Size", b"\x30\xFF\xFF\xFF\x7F", PACKET_TOO_LARGE),
    row("3.2", "a second CONNACK", b"\x20\x03\0\0\0", PROTOCOL_ERROR),
    row("2.1.2", "CONNECT from a server", b"\x10\x0D\0\x04MQTT\x05\x02\0\x3C\0\0\0", PROTOCOL_ERROR),
    row("2.1.2", "SUBSCRIBE from a server", b"\x82\x07\0\x01\0\0\x01a\0", PROTOCOL_ERROR),
    row("2.1.2", "UNSUBSCRIBE from a server", b"\xA2\x06\0\x01\0\0\x01a", PROTOCOL_ERROR),
    row("2.1.2", "PINGREQ from a server", b"\xC0\0", PROTOCOL_ERROR),
    row("4.12", "AUTH, without a method in CONNECT", b"\xF0\x06\x18\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("4.12", "AUTH with nothing in it, without a method in CONNECT", b"\xF0\0", PROTOCOL_ERROR),
    row("3.3.1.1", "DUP at QoS 0", b"\x38\x04\0\x01a\0", MALFORMED).over_network(),
    row("3.3.1.2", "QoS 3", b"\x36\x06\0\x01a\0\x01\0", MALFORMED),
    row("3.3.1.2", "QoS 3 with DUP and RETAIN", b"\x3F\x06\0\x01a\0\x01\0", MALFORMED),
    row("3.3.2", "PUBLISH with nothing in it", b"\x30\0", MALFORMED),
    row("3.3.2.1", "a Topic Name that ends behind its packet", b"\x30\x04\0\x05ab", MALFORMED),
    row("3.3.2.1", "neither a Topic Name nor a Topic Alias", b"\x30\x03\0\0\0", PROTOCOL_ERROR).over_network(),
    row("3.3.2.1", "the wildcard # in a Topic Name", b"\x30\x04\0\x01\x23\0", MALFORMED).over_network(),
    row("3.3.2.1", "the wildcard + in a Topic Name", b"\x30\x06\0\x03a/\x2B\0", MALFORMED),
    row("1.5.4", "a Topic Name that is no UTF-8", b"\x30\x04\0\x01\xFF\0", MALFORMED),
    row("1.5.4", "a surrogate in a Topic Name", b"\x30\x06\0\x03\xED\xA0\x80\0", MALFORMED),
    row("1.5.4", "a null character in a Topic Name", b"\x30\x04\0\x01\0\0", MALFORMED).over_network(),
    row("1.5.4", "a null character of two bytes in a Topic Name", b"\x30\x05\0\x02\xC0\x80\0", MALFORMED),
    row("2.2.1", "a message at QoS 1 without a Packet Identifier", b"\x32\x03\0\x01a", MALFORMED),
    row("2.2.1", "a message at QoS 1 with the Packet Identifier 0", b"\x32\x06\0\x01a\0\0\0", PROTOCOL_ERROR),
    row("2.2.1", "a message at QoS 2 with the Packet Identifier 0", b"\x34\x06\0\x01a\0\0\0", PROTOCOL_ERROR),
    row("3.3.2.3.1", "PUBLISH without a Property Length", b"\x30\x03\0\x01a", MALFORMED),
    row("2.2.2.1", "properties of PUBLISH that end behind it", b"\x30\x04\0\x01a\x05", MALFORMED),
    row("2.2.2.1", "a property of PUBLISH that ends in the payload", b"\x30\x07\0\x01a\x01\x23\0\x01", MALFORMED),
    row("2.2.2.2", "a property in PUBLISH that does not exist", b"\x30\x06\0\x01a\x02\x7F\0", MALFORMED),
    row(
        "2.2.2.2",
        "a Property Identifier that is longer than it needs to be",
        b"\x30\x08\0\x01a\x04\x81\x80\0\x01",
        MALFORMED,
    ),
    row("2.2.2.2", "Reason String in PUBLISH", b"\x30\x08\0\x01a\x04\x1F\0\x01x", MALFORMED),
    row("2.2.2.2", "Will Delay Interval in PUBLISH", b"\x30\x09\0\x01a\x05\x18\0\0\0\x01", MALFORMED),
    row("2.2.2.2", "Maximum QoS in PUBLISH", b"\x30\x06\0\x01a\x02\x24\x01", MALFORMED),
    row(
        "3.3.2.3.2",
        "Payload Format Indicator twice in PUBLISH",
        b"\x30\x08\0\x01a\x04\x01\x01\x01\x01",
        PROTOCOL_ERROR,
    ),
    row(
        "3.3.2.3.3",
        "Message Expiry Interval twice in PUBLISH",
        b"\x30\x0E\0\x01a\x0A\x02\0\0\0\x09\x02\0\0\0\x09",
        PROTOCOL_ERROR,
    ),
    row("3.3.2.3.4", "Topic Alias twice in PUBLISH", b"\x30\x0A\0\x01a\x06\x23\0\x01\x23\0\x01", PROTOCOL_ERROR),
    row("3.3.2.3.5", "Response Topic twice in PUBLISH", b"\x30\x0C\0\x01a\x08\x08\0\x01x\x08\0\x01x", PROTOCOL_ERROR),
    row("3.3.2.3.6", "Correlation Data twice in PUBLISH", b"\x30\x0C\0\x01a\x08\x09\0\x01x\x09\0\x01x", PROTOCOL_ERROR),
    row("3.3.2.3.9", "Content Type twice in PUBLISH", b"\x30\x0C\0\x01a\x08\x03\0\x01x\x03\0\x01x", PROTOCOL_ERROR),
    row("3.3.2.3.2", "Payload Format Indicator 2", b"\x30\x06\0\x01a\x02\x01\x02", PROTOCOL_ERROR),
    row("3.3.2.3.4", "Topic Alias 0", b"\x30\x07\0\x01a\x03\x23\0\0", PROTOCOL_ERROR).over_network(),
    row("3.3.2.3.4", "Topic Alias where CONNECT allowed none", b"\x30\x07\0\x01a\x03\x23\0\x01", TOPIC_ALIAS_INVALID),
    row(
        "3.3.2.3.4",
        "Topic Alias alone where CONNECT allowed none",
        b"\x30\x06\0\0\x03\x23\0\x01",
        TOPIC_ALIAS_INVALID,
    ),
    row("3.3.2.3.5", "the wildcard # in a Response Topic", b"\x30\x08\0\x01a\x04\x08\0\x01\x23", PROTOCOL_ERROR),
    row("3.3.2.3.5", "the wildcard + in a Response Topic", b"\x30\x08\0\x01a\x04\x08\0\x01\x2B", PROTOCOL_ERROR),
    row("3.3.2.3.5", "an empty Response Topic", b"\x30\x07\0\x01a\x03\x08\0\0", PROTOCOL_ERROR).over_network(),
    row("1.5.4", "a Response Topic that is no UTF-8", b"\x30\x08\0\x01a\x04\x08\0\x01\xFF", MALFORMED),
    row("1.5.4", "a null character in a Content Type", b"\x30\x08\0\x01a\x04\x03\0\x01\0", MALFORMED),
    row(
        "1.5.7",
        "a null character in the name of a User Property",
        b"\x30\x0B\0\x01a\x07\x26\0\x01\0\0\x01v",
        MALFORMED,
    ),
    row(
        "1.5.7",
        "a null character in the value of a User Property",
        b"\x30\x0B\0\x01a\x07\x26\0\x01k\0\x01\0",
        MALFORMED,
    ),
    row("2.2.2.2", "a User Property without a value", b"\x30\x08\0\x01a\x04\x26\0\x01k", MALFORMED),
    row("3.3.2.3.8", "Subscription Identifier 0", b"\x30\x06\0\x01a\x02\x0B\0", PROTOCOL_ERROR).over_network(),
    row(
        "3.3.2.3.8",
        "a Subscription Identifier of five bytes",
        b"\x30\x0A\0\x01a\x06\x0B\xFF\xFF\xFF\xFF\x01",
        MALFORMED,
    ),
    row("2.2.1", "PUBACK without a Packet Identifier", b"\x40\0", MALFORMED),
    row("2.2.1", "PUBACK with half a Packet Identifier", b"\x40\x01\0", MALFORMED),
    row("2.2.1", "PUBACK with the Packet Identifier 0", b"\x40\x02\0\0", PROTOCOL_ERROR),
    row("3.4.2.1", "a Reason Code in PUBACK that does not exist", b"\x40\x03\0\x07\x42", MALFORMED),
    row("3.4.2.1", "a Reason Code of AUTH in PUBACK", b"\x40\x03\0\x07\x18", MALFORMED),
    row("3.4.2.2.1", "properties of PUBACK that end behind it", b"\x40\x04\0\x07\0\x05", MALFORMED),
    row("3.4.2.2.1", "PUBACK with more than its properties", b"\x40\x05\0\x07\0\0\0", MALFORMED),
    row("2.2.2.2", "a property in PUBACK that does not exist", b"\x40\x06\0\x07\0\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Topic Alias in PUBACK", b"\x40\x07\0\x07\0\x03\x23\0\x01", MALFORMED),
    row("3.4.2.2.2", "Reason String twice in PUBACK", b"\x40\x0C\0\x07\0\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR)
        .over_network(),
    row("1.5.4", "a Reason String of PUBACK that is no UTF-8", b"\x40\x08\0\x07\0\x04\x1F\0\x01\xFF", MALFORMED),
    row(
        "1.5.7",
        "a null character in a User Property of PUBACK",
        b"\x40\x0B\0\x07\0\x07\x26\0\x01k\0\x01\0",
        MALFORMED,
    ),
    row("2.2.1", "PUBREC without a Packet Identifier", b"\x50\0", MALFORMED),
    row("2.2.1", "PUBREC with half a Packet Identifier", b"\x50\x01\0", MALFORMED),
    row("2.2.1", "PUBREC with the Packet Identifier 0", b"\x50\x02\0\0", PROTOCOL_ERROR),
    row("3.5.2.1", "a Reason Code in PUBREC that does not exist", b"\x50\x03\0\x07\x42", MALFORMED),
    row("3.5.2.1", "a Reason Code of AUTH in PUBREC", b"\x50\x03\0\x07\x18", MALFORMED),
    row("3.5.2.2.1", "properties of PUBREC that end behind it", b"\x50\x04\0\x07\0\x05", MALFORMED),
    row("3.5.2.2.1", "PUBREC with more than its properties", b"\x50\x05\0\x07\0\0\0", MALFORMED),
    row("2.2.2.2", "a property in PUBREC that does not exist", b"\x50\x06\0\x07\0\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Topic Alias in PUBREC", b"\x50\x07\0\x07\0\x03\x23\0\x01", MALFORMED),
    row("3.5.2.2.2", "Reason String twice in PUBREC", b"\x50\x0C\0\x07\0\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of PUBREC that is no UTF-8", b"\x50\x08\0\x07\0\x04\x1F\0\x01\xFF", MALFORMED),
    row(
        "1.5.7",
        "a null character in a User Property of PUBREC",
        b"\x50\x0B\0\x07\0\x07\x26\0\x01k\0\x01\0",
        MALFORMED,
    ),
    row("2.2.1", "PUBREL without a Packet Identifier", b"\x62\0", MALFORMED),
    row("2.2.1", "PUBREL with half a Packet Identifier", b"\x62\x01\0", MALFORMED),
    row("2.2.1", "PUBREL with the Packet Identifier 0", b"\x62\x02\0\0", PROTOCOL_ERROR),
    row("3.6.2.1", "a Reason Code in PUBREL that does not exist", b"\x62\x03\0\x07\x42", MALFORMED),
    row("3.6.2.1", "a Reason Code of AUTH in PUBREL", b"\x62\x03\0\x07\x18", MALFORMED),
    row("3.6.2.2.1", "properties of PUBREL that end behind it", b"\x62\x04\0\x07\0\x05", MALFORMED),
    row("3.6.2.2.1", "PUBREL with more than its properties", b"\x62\x05\0\x07\0\0\0", MALFORMED),
    row("2.2.2.2", "a property in PUBREL that does not exist", b"\x62\x06\0\x07\0\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Topic Alias in PUBREL", b"\x62\x07\0\x07\0\x03\x23\0\x01", MALFORMED),
    row("3.6.2.2.2", "Reason String twice in PUBREL", b"\x62\x0C\0\x07\0\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of PUBREL that is no UTF-8", b"\x62\x08\0\x07\0\x04\x1F\0\x01\xFF", MALFORMED),
    row(
        "1.5.7",
        "a null character in a User Property of PUBREL",
        b"\x62\x0B\0\x07\0\x07\x26\0\x01k\0\x01\0",
        MALFORMED,
    ),
    row("2.2.1", "PUBCOMP without a Packet Identifier", b"\x70\0", MALFORMED),
    row("2.2.1", "PUBCOMP with half a Packet Identifier", b"\x70\x01\0", MALFORMED),
    row("2.2.1", "PUBCOMP with the Packet Identifier 0", b"\x70\x02\0\0", PROTOCOL_ERROR),
    row("3.7.2.1", "a Reason Code in PUBCOMP that does not exist", b"\x70\x03\0\x07\x42", MALFORMED),
    row("3.7.2.1", "a Reason Code of AUTH in PUBCOMP", b"\x70\x03\0\x07\x18", MALFORMED),
    row("3.7.2.2.1", "properties of PUBCOMP that end behind it", b"\x70\x04\0\x07\0\x05", MALFORMED),
    row("3.7.2.2.1", "PUBCOMP with more than its properties", b"\x70\x05\0\x07\0\0\0", MALFORMED),
    row("2.2.2.2", "a property in PUBCOMP that does not exist", b"\x70\x06\0\x07\0\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Topic Alias in PUBCOMP", b"\x70\x07\0\x07\0\x03\x23\0\x01", MALFORMED),
    row("3.7.2.2.2", "Reason String twice in PUBCOMP", b"\x70\x0C\0\x07\0\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of PUBCOMP that is no UTF-8", b"\x70\x08\0\x07\0\x04\x1F\0\x01\xFF", MALFORMED),
    row(
        "1.5.7",
        "a null character in a User Property of PUBCOMP",
        b"\x70\x0B\0\x07\0\x07\x26\0\x01k\0\x01\0",
        MALFORMED,
    ),
    row("2.2.1", "SUBACK without a Packet Identifier", b"\x90\0", MALFORMED),
    row("2.2.1", "SUBACK with the Packet Identifier 0", b"\x90\x04\0\0\0\0", PROTOCOL_ERROR),
    row("3.9.2", "SUBACK without a Property Length", b"\x90\x02\0\x07", MALFORMED),
    row("3.9.2.1.1", "properties of SUBACK that end behind it", b"\x90\x04\0\x07\x05\0", MALFORMED),
    row("3.9.3", "SUBACK without a Reason Code", b"\x90\x03\0\x07\0", PROTOCOL_ERROR).over_network(),
    row("3.9.3", "a Reason Code in SUBACK that does not exist", b"\x90\x04\0\x07\0\x42", MALFORMED),
    row("3.9.3", "a Reason Code of UNSUBACK in SUBACK", b"\x90\x04\0\x07\0\x11", MALFORMED),
    row("3.9.3", "a Reason Code of DISCONNECT in SUBACK", b"\x90\x04\0\x07\0\x8B", MALFORMED),
    row("2.2.2.2", "a property in SUBACK that does not exist", b"\x90\x06\0\x07\x02\x7F\0\0", MALFORMED),
    row("2.2.2.2", "Subscription Identifier in SUBACK", b"\x90\x06\0\x07\x02\x0B\x01\0", MALFORMED),
    row("3.9.2.1.2", "Reason String twice in SUBACK", b"\x90\x0C\0\x07\x08\x1F\0\x01x\x1F\0\x01x\0", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of SUBACK that is no UTF-8", b"\x90\x08\0\x07\x04\x1F\0\x01\xFF\0", MALFORMED),
    row("2.2.1", "UNSUBACK without a Packet Identifier", b"\xB0\0", MALFORMED),
    row("2.2.1", "UNSUBACK with the Packet Identifier 0", b"\xB0\x04\0\0\0\0", PROTOCOL_ERROR),
    row("3.11.2", "UNSUBACK without a Property Length", b"\xB0\x02\0\x07", MALFORMED),
    row("3.11.2.1.1", "properties of UNSUBACK that end behind it", b"\xB0\x04\0\x07\x05\0", MALFORMED),
    row("3.11.3", "UNSUBACK without a Reason Code", b"\xB0\x03\0\x07\0", PROTOCOL_ERROR),
    row("3.11.3", "a Reason Code in UNSUBACK that does not exist", b"\xB0\x04\0\x07\0\x42", MALFORMED),
    row("3.11.3", "a Reason Code of SUBACK in UNSUBACK", b"\xB0\x04\0\x07\0\x01", MALFORMED),
    row("3.11.3", "a Reason Code of DISCONNECT in UNSUBACK", b"\xB0\x04\0\x07\0\x8B", MALFORMED),
    row("2.2.2.2", "a property in UNSUBACK that does not exist", b"\xB0\x06\0\x07\x02\x7F\0\0", MALFORMED),
    row("2.2.2.2", "Subscription Identifier in UNSUBACK", b"\xB0\x06\0\x07\x02\x0B\x01\0", MALFORMED),
    row("3.11.2.1.2", "Reason String twice in UNSUBACK", b"\xB0\x0C\0\x07\x08\x1F\0\x01x\x1F\0\x01x\0", PROTOCOL_ERROR),
    row("1.5.4", "a Reason String of UNSUBACK that is no UTF-8", b"\xB0\x08\0\x07\x04\x1F\0\x01\xFF\0", MALFORMED),
    row("3.13", "PINGRESP with something in it", b"\xD0\x01\0", MALFORMED),
    row(
        "3.14.2.1",
        "DISCONNECT that says Disconnect with Will Message, from a server",
        b"\xE0\x01\x04",
        PROTOCOL_ERROR,
    )
    .over_network(),
    row("3.14.2.1", "a Reason Code in DISCONNECT that does not exist", b"\xE0\x01\x42", MALFORMED),
    row("3.14.2.1", "a Reason Code of CONNACK in DISCONNECT", b"\xE0\x01\x85", MALFORMED),
    row("3.14.2.1", "a Reason Code of PUBREL in DISCONNECT", b"\xE0\x01\x92", MALFORMED),
    row("3.14.2.2.1", "properties of DISCONNECT that end behind it", b"\xE0\x02\x8B\x05", MALFORMED),
    row("3.14.2.2.1", "DISCONNECT with more than its properties", b"\xE0\x03\x8B\0\0", MALFORMED),
    row(
        "3.14.2.2.2",
        "Session Expiry Interval in DISCONNECT from a server",
        b"\xE0\x07\x8B\x05\x11\0\0\0\x01",
        PROTOCOL_ERROR,
    ),
    row(
        "3.14.2.2.2",
        "Session Expiry Interval 0 in DISCONNECT from a server",
        b"\xE0\x07\0\x05\x11\0\0\0\0",
        PROTOCOL_ERROR,
    ),
    row(
        "3.14.2.2.2",
        "Session Expiry Interval twice in DISCONNECT",
        b"\xE0\x0C\0\x0A\x11\0\0\0\x01\x11\0\0\0\x01",
        PROTOCOL_ERROR,
    ),
    row("3.14.2.2.3", "Reason String twice in DISCONNECT", b"\xE0\x0A\x8B\x08\x1F\0\x01x\x1F\0\x01x", PROTOCOL_ERROR),
    row(
        "3.14.2.2.5",
        "Server Reference twice in DISCONNECT",
        b"\xE0\x0A\x9C\x08\x1C\0\x01x\x1C\0\x01x",
        PROTOCOL_ERROR,
    ),
    row("2.2.2.2", "a property in DISCONNECT that does not exist", b"\xE0\x04\x8B\x02\x7F\0", MALFORMED),
    row("2.2.2.2", "Server Keep Alive in DISCONNECT", b"\xE0\x05\x8B\x03\x13\0\x01", MALFORMED),
    row("1.5.4", "a Reason String of DISCONNECT that is no UTF-8", b"\xE0\x06\x8B\x04\x1F\0\x01\xFF", MALFORMED),
    row("1.5.4", "a null character in the Server Reference of DISCONNECT", b"\xE0\x06\x9D\x04\x1C\0\x01\0", MALFORMED),
];

const AUTHENTICATED: &[Violation] = &[
    row("4.12.1", "a challenge that the client did not ask for", b"\xF0\x06\x18\x04\x15\0\x01m", PROTOCOL_ERROR),
    row(
        "4.12.1",
        "AUTH that says Success to a client that did not authenticate again",
        b"\xF0\x06\0\x04\x15\0\x01m",
        PROTOCOL_ERROR,
    ),
    row("4.12.1", "AUTH that says Re-authenticate, from a server", b"\xF0\x06\x19\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("4.12", "AUTH with another Authentication Method", b"\xF0\x06\x18\x04\x15\0\x01n", PROTOCOL_ERROR),
    row("4.12", "AUTH with nothing in it, which is Success without a method", b"\xF0\0", PROTOCOL_ERROR),
    row("3.2", "a second CONNACK", b"\x20\x07\0\0\x04\x15\0\x01m", PROTOCOL_ERROR),
];

const AUTHENTICATING_AGAIN: &[Violation] = &[
    row("4.12.1", "AUTH with another Authentication Method", b"\xF0\x06\x18\x04\x15\0\x01n", PROTOCOL_ERROR),
    row(
        "4.12.1",
        "AUTH that says Success, with another Authentication Method",
        b"\xF0\x06\0\x04\x15\0\x01n",
        PROTOCOL_ERROR,
    ),
    row("3.15.2.2.2", "AUTH without an Authentication Method", b"\xF0\x02\0\0", PROTOCOL_ERROR),
    row("4.12.1", "AUTH with nothing in it, which is Success without a method", b"\xF0\0", PROTOCOL_ERROR),
    row("3.15.2.1", "AUTH that says Re-authenticate, from a server", b"\xF0\x06\x19\x04\x15\0\x01m", PROTOCOL_ERROR),
    row("3.2", "CONNACK instead of AUTH", b"\x20\x07\0\0\x04\x15\0\x01m", PROTOCOL_ERROR),
];

const WITH_SMALL_PACKETS: &[Violation] = &[
    row("3.1.2.11.4", "PUBLISH of one byte over the Maximum Packet Size", b"\x30\x63", PACKET_TOO_LARGE),
    row("3.1.2.11.4", "PUBACK over the Maximum Packet Size", b"\x40\x63", PACKET_TOO_LARGE),
    row("3.1.2.11.4", "PINGRESP of the largest size that there is", b"\xD0\xFF\xFF\xFF\x7F", PACKET_TOO_LARGE),
];

const WITH_TOPIC_ALIASES: &[Violation] = &[
    row("3.3.2.3.4", "Topic Alias 0", b"\x30\x07\0\x01a\x03\x23\0\0", PROTOCOL_ERROR),
    row("3.3.2.3.4", "Topic Alias over the Topic Alias Maximum", b"\x30\x07\0\x01a\x03\x23\0\x03", TOPIC_ALIAS_INVALID)
        .over_network(),
    row(
        "3.3.2.3.4",
        "Topic Alias alone over the Topic Alias Maximum",
        b"\x30\x06\0\0\x03\x23\xFF\xFF",
        TOPIC_ALIAS_INVALID,
    ),
    row(
        "3.3.4",
        "Topic Alias alone that was never told what it stands for",
        b"\x30\x06\0\0\x03\x23\0\x02",
        PROTOCOL_ERROR,
    )
    .over_network(),
    row(
        "3.3.4",
        "Topic Alias alone that stands for nothing, at QoS 1",
        b"\x32\x08\0\0\0\x07\x03\x23\0\x01",
        PROTOCOL_ERROR,
    ),
];

const AT_RECEIVE_MAXIMUM: &[Violation] = &[
    row("3.3.4", "a message at QoS 1 past the Receive Maximum", b"\x32\x06\0\x01a\0\x02\0", RECEIVE_MAXIMUM_EXCEEDED),
    row("3.3.4", "a message at QoS 2 past the Receive Maximum", b"\x34\x06\0\x01a\0\x02\0", RECEIVE_MAXIMUM_EXCEEDED),
];

const IN_FLIGHT: &[Violation] = &[
    row("4.3.3", "PUBACK for a message at QoS 2", b"\x40\x02\0\x02", PROTOCOL_ERROR).over_network(),
    row("4.3.3", "PUBACK for a message that was released", b"\x40\x02\0\x03", PROTOCOL_ERROR),
    row("3.9", "PUBACK for SUBSCRIBE", b"\x40\x02\0\x04", PROTOCOL_ERROR),
    row("4.3.2", "PUBREC for a message at QoS 1", b"\x50\x02\0\x01", PROTOCOL_ERROR).over_network(),
    row("3.9", "PUBREC for SUBSCRIBE", b"\x50\x02\0\x04", PROTOCOL_ERROR),
    row("4.3.3", "PUBREC that refuses a message that was released", b"\x50\x03\0\x03\x87", PROTOCOL_ERROR),
    row("4.3.2", "PUBCOMP for a message at QoS 1", b"\x70\x02\0\x01", PROTOCOL_ERROR),
    row("4.3.3", "PUBCOMP before PUBREC", b"\x70\x02\0\x02", PROTOCOL_ERROR).over_network(),
    row("3.9", "PUBCOMP for SUBSCRIBE", b"\x70\x02\0\x04", PROTOCOL_ERROR),
    row("3.9", "SUBACK for a message", b"\x90\x04\0\x01\0\0", PROTOCOL_ERROR),
    row("3.9.3", "SUBACK with fewer Reason Codes than there were Topic Filters", b"\x90\x04\0\x04\0\0", PROTOCOL_ERROR)
        .over_network(),
    row(
        "3.9.3",
        "SUBACK with more Reason Codes than there were Topic Filters",
        b"\x90\x06\0\x04\0\0\0\0",
        PROTOCOL_ERROR,
    ),
    row("3.9", "UNSUBACK for SUBSCRIBE", b"\xB0\x05\0\x04\0\0\0", PROTOCOL_ERROR),
];

const UNSUBSCRIBING: &[Violation] = &[
    row(
        "3.11.3",
        "UNSUBACK with fewer Reason Codes than there were Topic Filters",
        b"\xB0\x04\0\x01\0\0",
        PROTOCOL_ERROR,
    ),
    row(
        "3.11.3",
        "UNSUBACK with more Reason Codes than there were Topic Filters",
        b"\xB0\x06\0\x01\0\0\0\0",
        PROTOCOL_ERROR,
    )
    .over_network(),
    row("3.11", "SUBACK for UNSUBSCRIBE", b"\x90\x05\0\x01\0\0\0", PROTOCOL_ERROR),
    row("3.11", "PUBACK for UNSUBSCRIBE", b"\x40\x02\0\x01", PROTOCOL_ERROR),
    row("3.11", "PUBREC for UNSUBSCRIBE", b"\x50\x02\0\x01", PROTOCOL_ERROR),
    row("3.11", "PUBCOMP for UNSUBSCRIBE", b"\x70\x02\0\x01", PROTOCOL_ERROR),
];

const WITHOUT_PROBLEM_INFORMATION: &[Violation] = &[
    row(
        "3.1.2.11.7",
        "a Reason String in PUBACK that was not requested",
        b"\x40\x08\0\x01\0\x04\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in PUBACK that was not requested",
        b"\x40\x0B\0\x01\0\x07\x26\0\x01k\0\x01v",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a Reason String in PUBREC that was not requested",
        b"\x50\x08\0\x02\0\x04\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in PUBREC that was not requested",
        b"\x50\x0B\0\x02\0\x07\x26\0\x01k\0\x01v",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a Reason String in PUBREL that was not requested",
        b"\x62\x08\0\x07\0\x04\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in PUBREL that was not requested",
        b"\x62\x0B\0\x07\0\x07\x26\0\x01k\0\x01v",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a Reason String in PUBCOMP that was not requested",
        b"\x70\x08\0\x03\0\x04\x1F\0\x01x",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in PUBCOMP that was not requested",
        b"\x70\x0B\0\x03\0\x07\x26\0\x01k\0\x01v",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a Reason String in SUBACK that was not requested",
        b"\x90\x09\0\x04\x04\x1F\0\x01x\0\0",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in SUBACK that was not requested",
        b"\x90\x0C\0\x04\x07\x26\0\x01k\0\x01v\0\0",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a Reason String in UNSUBACK that was not requested",
        b"\xB0\x09\0\x05\x04\x1F\0\x01x\0\0",
        PROTOCOL_ERROR,
    ),
    row(
        "3.1.2.11.7",
        "a User Property in UNSUBACK that was not requested",
        b"\xB0\x0C\0\x05\x07\x26\0\x01k\0\x01v\0\0",
        PROTOCOL_ERROR,
    ),
];
