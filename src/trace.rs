//! W3C Trace Context in the User Properties of messages.
//!
//! The format is that of [Trace Context, Level 1](https://www.w3.org/TR/trace-context-1/). User Properties carry it as
//! in [Trace Context: MQTT protocol](https://w3c.github.io/trace-context-mqtt/).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::UserProperties;
use crate::message::Message;
use crate::respond::Reply;

/// A position in a distributed trace (W3C Trace Context). Messages carry it in the User Properties `traceparent` and
/// `tracestate`.
///
/// A program reads the context of a received message, and publishes what follows from it with a [`child`](Self::child).
/// To pass a message on without taking part in the trace, [`inject`](Self::inject) the context as it came.
///
/// ```
/// use mqtt_wasi::TraceContext;
///
/// let received = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("unit", "celsius")];
/// let context = TraceContext::from_properties(received).expect("the message is part of a trace");
/// assert!(context.is_sampled());
///
/// let mut properties = Vec::new();
/// context.child(*b"\0\xf0\x67\xaa\x0b\xa9\x02\xb7").inject(&mut properties);
/// assert_eq!(properties[0].0, TraceContext::TRACEPARENT);
/// assert_eq!(properties[0].1, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never all zero.
    trace_id: [u8; 16],
    /// Never all zero.
    parent_id: [u8; 8],
    flags: u8,
    /// The members of the list, valid, without white space around them or empty ones between; empty if there is none.
    state: String,
}

impl TraceContext {
    /// The name of the User Property with version, trace identifier, parent identifier and flags.
    pub const TRACEPARENT: &str = "traceparent";
    /// The name of the User Property with what tracing systems add.
    pub const TRACESTATE: &str = "tracestate";

    /// Begins a trace. The first 16 bytes of `random` are the trace identifier (`trace-id`), the others the parent
    /// identifier (`parent-id`). The `tracestate` is empty.
    ///
    /// An identifier must not be zero: zeros become 1.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let root = TraceContext::new_root([0xab; 24], true);
    /// assert_eq!(root.traceparent(), "00-abababababababababababababababab-abababababababab-01");
    /// ```
    #[must_use]
    pub fn new_root(random: [u8; 24], is_sampled: bool) -> Self {
        let (mut trace_id, mut parent_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&random[..16]);
        parent_id.copy_from_slice(&random[16..]);
        Self {
            trace_id: without_zero(trace_id),
            parent_id: without_zero(parent_id),
            flags: if is_sampled { SAMPLED } else { 0 },
            state: String::new(),
        }
    }

    /// Reads the values of `traceparent` and `tracestate`. An empty `tracestate` is the same as none.
    ///
    /// Spaces and tabs around them are ignored. Of a version above 00, only the fields of version 00 are read, and no
    /// flag except sampled. An invalid `tracestate` is dropped as a whole, and is no error.
    ///
    /// # Errors
    /// [`TraceError::Format`], [`TraceError::HexDigit`], [`TraceError::Version`], [`TraceError::TraceId`],
    /// [`TraceError::ParentId`]. The specification demands that a new trace begins then.
    ///
    /// ```
    /// use mqtt_wasi::{TraceContext, TraceError};
    ///
    /// let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// assert_eq!(TraceContext::parse(traceparent, "rojo=1 , congo=2")?.tracestate(), "rojo=1,congo=2");
    /// assert_eq!(TraceContext::parse(traceparent, "NOT VALID")?.tracestate(), "");
    /// assert_eq!(TraceContext::parse("00-0af7-01", ""), Err(TraceError::Format));
    /// # Ok::<(), TraceError>(())
    /// ```
    pub fn parse(traceparent: &str, tracestate: &str) -> Result<Self, TraceError> {
        Self::parse_lists(traceparent, &[tracestate])
    }

    /// Reads the context from the User Properties of a message. `None` if there is no valid one: no `traceparent`,
    /// several, or one that [`parse`](Self::parse) does not accept.
    ///
    /// Upper and lower case of names do not matter. Several `tracestate` properties are one list, in their order.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let traceparent = ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    /// assert!(TraceContext::from_properties([("unit", "celsius"), traceparent]).is_some());
    /// assert_eq!(TraceContext::from_properties([traceparent, traceparent]), None);
    /// ```
    #[must_use]
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut traceparent = None;
        let mut tracestates = Vec::new();
        for (name, value) in properties {
            if name.eq_ignore_ascii_case(Self::TRACESTATE) {
                tracestates.push(value);
            } else if name.eq_ignore_ascii_case(Self::TRACEPARENT) && traceparent.replace(value).is_some() {
                // Which of them is right, nobody can tell.
                return None;
            }
        }
        Self::parse_lists(traceparent?, &tracestates).ok()
    }

    /// The next step of the trace: the same trace identifier, sampled flag and `tracestate`, with `random` as the
    /// parent identifier.
    ///
    /// A parent identifier must not be zero: zeros become 1. Flags other than sampled are cleared, because what they
    /// mean is not known.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let root = TraceContext::new_root([7; 24], false);
    /// let child = root.child([8; 8]);
    /// assert_eq!((child.trace_id(), child.parent_id()), (root.trace_id(), [8; 8]));
    /// ```
    #[must_use]
    pub fn child(&self, random: [u8; 8]) -> Self {
        Self { parent_id: without_zero(random), flags: self.flags & SAMPLED, ..self.clone() }
    }

    /// Puts `key=value` in front of the `tracestate`, in place of an older entry with this key.
    ///
    /// A list has at most 32 members: with more, the last is dropped, which is the oldest. A program that changes the
    /// `tracestate` must also set a new parent identifier, with [`child`](Self::child).
    ///
    /// # Errors
    /// - [`TraceError::Key`]: a key is a lower-case letter and up to 255 more of `a` to `z`, `0` to `9`, `_`, `-`, `*`
    ///   and `/`; or `tenant@system`, with up to 241 of these for the tenant, which may also begin with a digit, and up
    ///   to 14 for the system.
    /// - [`TraceError::Value`]: a value is 1 to 256 printable ASCII characters other than `,` and `=`, and does not end
    ///   in a space.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let context = TraceContext::new_root([7; 24], true).with_entry("congo", "1")?.with_entry("rojo", "2")?;
    /// assert_eq!(context.tracestate(), "rojo=2,congo=1");
    /// assert_eq!(context.with_entry("congo", "3")?.tracestate(), "congo=3,rojo=2");
    /// # Ok::<(), mqtt_wasi::TraceError>(())
    /// ```
    pub fn with_entry(mut self, key: &str, value: &str) -> Result<Self, TraceError> {
        if !is_key(key) {
            return Err(TraceError::Key);
        }
        if !is_value(value) {
            return Err(TraceError::Value);
        }
        let mut state = format!("{key}={value}");
        for member in members(&self.state).filter(|member| key_of(member) != key).take(MAX_MEMBERS - 1) {
            push_member(&mut state, member);
        }
        self.state = state;
        Ok(self)
    }

    /// As [`TraceContext::new_root`], with randomness of the system.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::TraceContext;
    ///
    /// let root = TraceContext::random_root(true);
    /// assert!(root.is_sampled());
    /// assert_ne!(root.trace_id(), TraceContext::random_root(true).trace_id());
    /// ```
    #[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
    #[must_use]
    pub fn random_root(is_sampled: bool) -> Self {
        Self::new_root(crate::random::bytes(), is_sampled)
    }

    /// As [`TraceContext::child`], with randomness of the system.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::TraceContext;
    ///
    /// let root = TraceContext::random_root(true);
    /// let child = root.random_child();
    /// assert_eq!(child.trace_id(), root.trace_id());
    /// assert_ne!(child.parent_id(), root.parent_id());
    /// ```
    #[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
    #[must_use]
    pub fn random_child(&self) -> Self {
        self.child(crate::random::bytes())
    }

    /// Writes the context into User Properties, in place of any other in them. Upper and lower case of names do not
    /// matter.
    ///
    /// Properties with other names keep their order and come first. An empty `tracestate` is left out.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let mut properties = vec![("TraceState".into(), "old=1".into()), ("unit".into(), "celsius".into())];
    /// TraceContext::new_root([7; 24], true).inject(&mut properties);
    /// let names: Vec<_> = properties.iter().map(|(name, _)| name.as_str()).collect();
    /// assert_eq!(names, ["unit", "traceparent"]);
    /// ```
    pub fn inject(&self, properties: &mut Vec<(String, String)>) {
        properties.retain(|(name, _)| !Self::is_in(name));
        properties.push((Self::TRACEPARENT.to_owned(), self.traceparent()));
        if !self.state.is_empty() {
            properties.push((Self::TRACESTATE.to_owned(), self.state.clone()));
        }
    }

    /// Whether a User Property of this name is part of a context.
    pub(crate) fn is_in(name: &str) -> bool {
        name.eq_ignore_ascii_case(Self::TRACEPARENT) || name.eq_ignore_ascii_case(Self::TRACESTATE)
    }

    /// The User Properties of a message with the context written into them.
    pub(crate) fn added_to(&self, user_properties: &UserProperties<'_>) -> Vec<(String, String)> {
        let mut properties = crate::message::owned(user_properties);
        self.inject(&mut properties);
        properties
    }

    /// The trace identifier (`trace-id`), which all messages of a trace share. Never all zero.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// assert_eq!(TraceContext::new_root([7; 24], true).trace_id(), [7; 16]);
    /// ```
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The parent identifier (`parent-id`): which operation of the trace sent the message. Some tracing systems call it
    /// span. Never all zero.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// assert_eq!(TraceContext::new_root([7; 24], true).parent_id(), [7; 8]);
    /// ```
    #[must_use]
    pub const fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// Whether the sender may have recorded trace data.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// assert!(TraceContext::new_root([7; 24], true).is_sampled());
    /// ```
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of `traceparent`: version 00, 55 characters.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let root = TraceContext::new_root([0xab; 24], true);
    /// assert_eq!(root.traceparent(), "00-abababababababababababababababab-abababababababab-01");
    /// ```
    #[must_use]
    pub fn traceparent(&self) -> String {
        // In halves: nothing else formats numbers of 128 bits.
        let (first, second) = self.trace_id.split_at(8);
        let [first, second, parent_id] = [first, second, &self.parent_id].map(number);
        format!("00-{first:016x}{second:016x}-{parent_id:016x}-{:02x}", self.flags)
    }

    /// The value of `tracestate`, as one list without white space around its members. Empty if there is none. At most
    /// 32 members and 16,447 characters.
    ///
    /// ```
    /// use mqtt_wasi::TraceContext;
    ///
    /// let context = TraceContext::new_root([7; 24], true);
    /// assert_eq!(context.tracestate(), "");
    /// assert_eq!(context.with_entry("congo", "1")?.tracestate(), "congo=1");
    /// # Ok::<(), mqtt_wasi::TraceError>(())
    /// ```
    #[must_use]
    pub const fn tracestate(&self) -> &str {
        self.state.as_str()
    }

    fn parse_lists(traceparent: &str, tracestates: &[&str]) -> Result<Self, TraceError> {
        let traceparent = traceparent.trim_matches(WHITE_SPACE).as_bytes();
        let (fields, rest) = traceparent.split_first_chunk::<55>().ok_or(TraceError::Format)?;
        if [fields[2], fields[35], fields[52]] != [b'-'; 3] {
            return Err(TraceError::Format);
        }
        let [version] = decode_hex(&fields[..2])?;
        let flags_mask = match (version, rest) {
            (0xff, _) => return Err(TraceError::Version),
            (0, []) => 0xff,
            // What a later version adds comes behind another dash, and its other flags may mean anything.
            (1.., [] | [b'-', ..]) => SAMPLED,
            _ => return Err(TraceError::Format),
        };
        let trace_id = decode_hex(&fields[3..35])?;
        let parent_id = decode_hex(&fields[36..52])?;
        let [flags] = decode_hex(&fields[53..])?;
        if trace_id == [0; 16] {
            return Err(TraceError::TraceId);
        }
        if parent_id == [0; 8] {
            return Err(TraceError::ParentId);
        }
        let state = combine(tracestates).unwrap_or_default();
        Ok(Self { trace_id, parent_id, flags: flags & flags_mask, state })
    }
}

/// Why something is not a valid trace context.
///
/// ```
/// use mqtt_wasi::{TraceContext, TraceError};
///
/// assert_eq!(TraceContext::parse("00-0af7-01", ""), Err(TraceError::Format));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceError {
    /// The `traceparent` is not four fields of 2, 32, 16 and 2 digits with dashes between, or something follows them:
    /// in version 00 anything, in a higher version anything that a dash does not start.
    Format,
    /// A field of the `traceparent` has a character other than `0` to `9` and `a` to `f`.
    HexDigit,
    /// The version is ff, which is forbidden.
    Version,
    /// The trace identifier is all zero.
    TraceId,
    /// The parent identifier is all zero.
    ParentId,
    /// The key of an entry in the `tracestate` is too long, empty, or has a character out of place.
    Key,
    /// The value of an entry in the `tracestate` is too long, empty, ends in a space, or has a character out of place.
    Value,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "a traceparent is version-traceid-parentid-flags, with 2, 32, 16 and 2 digits",
            Self::HexDigit => "the fields of a traceparent must be lower-case hexadecimal digits",
            Self::Version => "the traceparent's version ff is forbidden",
            Self::TraceId => "the traceparent's trace-id is all zero",
            Self::ParentId => "the traceparent's parent-id is all zero",
            Self::Key => "a tracestate key is up to 256 of a-z, 0-9, '_', '-', '*' and '/', or tenant@system",
            Self::Value => {
                "a tracestate value is 1 to 256 printable ASCII characters except ',' and '=', not ending in a space"
            }
        })
    }
}

impl core::error::Error for TraceError {}

/// The only flag that version 00 defines.
const SAMPLED: u8 = 1;

/// How many members a `tracestate` may have.
const MAX_MEMBERS: usize = 32;

/// What may surround a value or the member of a list.
const WHITE_SPACE: [char; 2] = [' ', '\t'];

/// An id that is not all zero.
fn without_zero<const N: usize>(mut id: [u8; N]) -> [u8; N] {
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

/// Reads two digits a byte.
/// A number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn decode_hex<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceError> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(TraceError::HexDigit),
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(bytes)
}

/// Makes one list of several; `None` if it is invalid.
fn combine(lists: &[&str]) -> Option<String> {
    let mut state = String::new();
    let all = lists.iter().flat_map(|list| members(list));
    for (index, member) in all.enumerate() {
        let (key, value) = member.split_once('=')?;
        let is_duplicate = members(&state).any(|earlier| key_of(earlier) == key);
        if index == MAX_MEMBERS || is_duplicate || !is_key(key) || !is_value(value) {
            return None;
        }
        push_member(&mut state, member);
    }
    Some(state)
}

/// The members of a list, except empty ones, which are allowed and mean nothing.
fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|member| member.trim_matches(WHITE_SPACE)).filter(|member| !member.is_empty())
}

fn push_member(list: &mut String, member: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(member);
}

/// The key of a valid member.
fn key_of(member: &str) -> &str {
    member.split_once('=').map_or(member, |(key, _)| key)
}

fn is_key(key: &str) -> bool {
    let is_part = |part: &str, max_len, may_start_with_digit| {
        let may_be_first = |c: char| c.is_ascii_lowercase() || may_start_with_digit && c.is_ascii_digit();
        let is_key_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        part.starts_with(may_be_first) && part.len() <= max_len && part.bytes().all(is_key_byte)
    };
    match key.split_once('@') {
        Some((tenant, system)) => is_part(tenant, 241, true) && is_part(system, 14, false),
        None => is_part(key, 256, false),
    }
}

fn is_value(value: &str) -> bool {
    let is_value_byte = |byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_value_byte) && !value.ends_with(' ')
}

impl Message {
    /// The trace context in the User Properties of the message. `None` if there is no valid one.
    ///
    /// ```
    /// use mqtt_wasi::{Message, Publish, PublishProperties, TraceContext};
    ///
    /// let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let user_properties = [("traceparent", traceparent)];
    /// let properties =
    ///     PublishProperties { user_properties: (&user_properties).into(), ..PublishProperties::default() };
    /// let message = Message::from(Publish::new("sensors/kitchen", "21.5").properties(properties));
    /// assert_eq!(message.trace_context(), Some(TraceContext::parse(traceparent, "")?));
    /// # Ok::<(), mqtt_wasi::TraceError>(())
    /// ```
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_properties(self.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl Reply {
    /// Adds a trace context: usually a [child](TraceContext::child) of that of the request.
    ///
    /// ```
    /// use mqtt_wasi::{Reply, TraceContext};
    ///
    /// let request = TraceContext::new_root([7; 24], true); // `request.message().trace_context()`
    /// let reply = Reply::new("21.5").trace_context(&request.child([8; 8]));
    /// assert_ne!(reply, Reply::new("21.5"));
    /// ```
    #[must_use]
    pub fn trace_context(mut self, context: &TraceContext) -> Self {
        context.inject(&mut self.user_properties);
        self
    }
}
