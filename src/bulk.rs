//! Many messages in one list of 64-bit words: what the component's `bulk` interface takes and returns.
//!
//! wasmtime copies lists between components element by element, so a list of words takes about an eighth of the time of
//! a list of bytes. A guest packs messages here, and reads what it received in place, without a copy.
//!
//! ```
//! use mqtt_wasi::bulk;
//! use mqtt_wasi::{Publish, QoS};
//!
//! let words = bulk::pack([Publish::new("a/b", "hi"), Publish::new("c", b"\x00\x01").qos(QoS::AtLeastOnce)])?;
//! let frames: Vec<_> = bulk::unpack(&words).collect::<Result<_, _>>()?;
//! assert_eq!((frames[0].message.topic, frames[0].message.payload), ("a/b", &b"hi"[..]));
//! assert_eq!(frames[1].message.qos, QoS::AtLeastOnce);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Frames
//! A list holds one frame after the other. The first byte of anything is in bits 0 to 7 of a word. A frame is:
//!
//! - a word: the length of the payload in bytes (bits 0 to 31), then the flags of PUBLISH (section 3.3.1), which are
//!   RETAIN (bit 32), QoS (33 and 34) and DUP (35), then whether there is a delivery (36). The other bits are 0.
//! - a word: the length of the head in bytes (bits 0 to 31). The other bits are 0.
//! - the delivery, a word, if there is one.
//! - the head: the Topic Name, with its length in two bytes before it, most significant first; then the Property Length
//!   and the properties (section 3.3.2.3). Zeros fill its last word.
//! - the payload, which so begins with a word. Zeros fill its last word.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, EncodeError, Publish};

/// The bits of a frame's first word, from the length on.
const FLAGS_SHIFT: u32 = 32;
const FLAGS: u64 = 0b1111;
const HAS_DELIVERY: u64 = 1 << 36;

/// Payloads of so many bytes and more are not worth zeroing the room for.
const LARGE: usize = 4096;

/// Packs messages to publish. Only lengths are checked here: `publish-packed` checks each message, and returns the
/// positions of those that were not published.
///
/// # Errors
/// [`EncodeError`] for a message with a part that is too long, for example a Topic Name of more than 65,535 bytes.
///
/// ```
/// use mqtt_wasi::{Publish, bulk};
///
/// let words = bulk::pack([Publish::new("a", "1"), Publish::new("b", "2")])?;
/// assert_eq!(bulk::unpack(&words).count(), 2);
/// # Ok::<(), mqtt_wasi::EncodeError>(())
/// ```
pub fn pack<'a>(messages: impl IntoIterator<Item = Publish<'a>>) -> Result<Vec<u64>, EncodeError> {
    let mut words = Vec::new();
    for message in messages {
        push(&mut words, &message, None)?;
    }
    Ok(words)
}

/// Appends a message, as [`pack`] does. On an error nothing is appended. A message to publish has no `delivery`.
///
/// # Errors
/// As [`pack`].
///
/// ```
/// use mqtt_wasi::{Publish, bulk};
///
/// let mut words = Vec::new();
/// for reading in ["21.5", "21.6"] {
///     bulk::push(&mut words, &Publish::new("sensors/kitchen", reading), None)?;
/// }
/// assert_eq!(bulk::unpack(&words).count(), 2);
/// # Ok::<(), mqtt_wasi::EncodeError>(())
/// ```
pub fn push(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>) -> Result<(), EncodeError> {
    let (head_len, checked) = message.head_len();
    checked?;
    append(words, message, delivery, head_len);
    Ok(())
}

/// As [`push`], for a message that the session took: what it takes leniently is handed on as it is.
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) fn push_received(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>) {
    append(words, message, delivery, message.head_len().0);
}

fn append(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>, head_len: usize) {
    let payload = message.payload;
    let start = words.len();
    let head = start + 2 + usize::from(delivery.is_some());
    let payload_start = head + head_len.div_ceil(8);
    let end = payload_start + payload.len().div_ceil(8);
    if start == 0 {
        // Often it is the only one, and such a list is handed over without another copy.
        words.reserve_exact(end);
    }
    let is_large = payload.len() >= LARGE;
    words.resize(if is_large { payload_start } else { end }, 0);
    let has_delivery = if delivery.is_some() { HAS_DELIVERY } else { 0 };
    words[start] = payload.len() as u64 | u64::from(message.flags()) << FLAGS_SHIFT | has_delivery;
    words[start + 1] = head_len as u64;
    if let Some(delivery) = delivery {
        words[start + 2] = delivery;
    }
    message.put_head(bytemuck::cast_slice_mut(&mut words[head..]));
    if is_large {
        extend(words, payload);
    } else {
        bytemuck::cast_slice_mut(&mut words[payload_start..])[..payload.len()].copy_from_slice(payload);
    }
}

/// Appends bytes without zeros before them.
#[inline(never)]
fn extend(words: &mut Vec<u64>, bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks();
    match bytemuck::try_cast_slice::<_, u64>(whole) {
        // They lie where words do, as what an allocator gave mostly does.
        Ok(whole) => words.extend_from_slice(whole),
        Err(_) => words.extend(whole.iter().map(|bytes| u64::from_ne_bytes(*bytes))),
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words.push(u64::from_ne_bytes(last));
    }
}

/// The frames in a list, in order.
///
/// ```
/// use mqtt_wasi::{Publish, bulk};
///
/// let words = bulk::pack([Publish::new("a", "1")])?; // as `receive-packed` returns
/// for frame in bulk::unpack(&words) {
///     assert_eq!(frame?.message.topic, "a");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub const fn unpack(words: &[u64]) -> Frames<'_> {
    Frames { words }
}

/// A message in a list.
///
/// ```
/// use mqtt_wasi::bulk::{self, Frame};
/// use mqtt_wasi::Publish;
///
/// let mut words = Vec::new();
/// bulk::push(&mut words, &Publish::new("a", "1"), Some(9))?;
/// let frame: Frame<'_> = bulk::unpack(&words).next().expect("a frame")?;
/// assert_eq!((frame.message.payload, frame.delivery), (&b"1"[..], Some(9)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The message. It has no Packet Identifier.
    pub message: Publish<'a>,
    /// The number for `client.acknowledge`. `None` where there is nothing to acknowledge.
    pub delivery: Option<u64>,
}

/// The frames in a list: see [`unpack`].
///
/// ```
/// use mqtt_wasi::bulk::{self, Frames};
/// use mqtt_wasi::Publish;
///
/// let words = bulk::pack([Publish::new("a", "1"), Publish::new("b", "2")])?;
/// let frames: Frames<'_> = bulk::unpack(&words);
/// let topics: Vec<_> = frames.filter_map(Result::ok).map(|frame| frame.message.topic).collect();
/// assert_eq!(topics, ["a", "b"]);
/// # Ok::<(), mqtt_wasi::EncodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    words: &'a [u64],
}

/// Why there is no message at this place of a list.
///
/// ```
/// use mqtt_wasi::bulk::{self, UnpackError};
///
/// assert_eq!(bulk::unpack(&[0]).next(), Some(Err(UnpackError::Truncated)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnpackError {
    /// The list ends within a frame. Nothing follows.
    Truncated,
    /// The first word of a frame has bits that mean nothing. Nothing follows.
    Flags(u64),
    /// The head is not valid. The next frame follows.
    Malformed(DecodeError),
}

/// A frame that was not decoded.
struct Raw<'a> {
    flags: u8,
    delivery: Option<u64>,
    head: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Checks that the list is frames from beginning to end. Does not check the messages in them.
    ///
    /// # Errors
    /// [`UnpackError::Truncated`] and [`UnpackError::Flags`].
    ///
    /// ```
    /// use mqtt_wasi::bulk::{self, UnpackError};
    /// use mqtt_wasi::Publish;
    ///
    /// let words = bulk::pack([Publish::new("a", "1")])?;
    /// assert_eq!(bulk::unpack(&words).check(), Ok(()));
    /// assert_eq!(bulk::unpack(&words[1..]).check(), Err(UnpackError::Truncated));
    /// # Ok::<(), mqtt_wasi::EncodeError>(())
    /// ```
    pub fn check(mut self) -> Result<(), UnpackError> {
        while self.next_raw()?.is_some() {}
        Ok(())
    }

    #[inline]
    fn next_raw(&mut self) -> Result<Option<Raw<'a>>, UnpackError> {
        let (first, head_len, rest) = match self.words {
            [] => return Ok(None),
            [first, head_len, rest @ ..] => (*first, *head_len, rest),
            [_] => return Err(self.end(UnpackError::Truncated)),
        };
        if first >> FLAGS_SHIFT & !(FLAGS | HAS_DELIVERY >> FLAGS_SHIFT) != 0 {
            return Err(self.end(UnpackError::Flags(first)));
        }
        let Ok(head_len) = u32::try_from(head_len) else { return Err(self.end(UnpackError::Flags(head_len))) };
        let (delivery, rest) = match rest {
            _ if first & HAS_DELIVERY == 0 => (None, rest),
            [delivery, rest @ ..] => (Some(*delivery), rest),
            [] => return Err(self.end(UnpackError::Truncated)),
        };
        let parts = split(rest, head_len).and_then(|(head, rest)| Some((head, split(rest, first as u32)?)));
        let Some((head, (payload, rest))) = parts else { return Err(self.end(UnpackError::Truncated)) };
        self.words = rest;
        Ok(Some(Raw { flags: (first >> FLAGS_SHIFT & FLAGS) as u8, delivery, head, payload }))
    }

    /// Nothing can be told of what follows.
    const fn end(&mut self, error: UnpackError) -> UnpackError {
        self.words = &[];
        error
    }
}

/// So many bytes, and the words behind the last that has any of them.
#[inline]
fn split(words: &[u64], len: u32) -> Option<(&[u8], &[u64])> {
    let (part, rest) = words.split_at_checked((len as usize).div_ceil(8))?;
    Some((&bytemuck::cast_slice(part)[..len as usize], rest))
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, UnpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Raw { flags, delivery, head, payload } = match self.next_raw().transpose()? {
            Ok(raw) => raw,
            Err(error) => return Some(Err(error)),
        };
        let message = Publish::decode_parts(flags, head, payload).map_err(UnpackError::Malformed);
        Some(message.map(|message| Frame { message, delivery }))
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the list ends within a frame"),
            // The word may be a part of a payload, which must not be in logs.
            Self::Flags(_) => f.write_str("the first words of a frame have bits that must be 0"),
            Self::Malformed(error) => write!(f, "a frame holds an invalid message: {error}"),
        }
    }
}

impl core::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{PublishProperties, QoS};

    fn message<'a>(topic: &'a str, payload: &'a [u8], flags: u8) -> Publish<'a> {
        let qos = QoS::from_u8(flags % 3).unwrap();
        Publish { dup: flags & 8 != 0, retain: flags & 16 != 0, ..Publish::new(topic, payload).qos(qos) }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            messages in proptest::collection::vec(
                ("[a-z/]{1,40}", proptest::collection::vec(any::<u8>(), 0..100), any::<u8>(), any::<Option<u64>>()),
                0..8,
            ),
        ) {
            let mut words = Vec::new();
            for (topic, payload, flags, delivery) in &messages {
                push(&mut words, &message(topic, payload, *flags), *delivery).unwrap();
            }
            prop_assert_eq!(unpack(&words).check(), Ok(()));
            let frames: Vec<_> = unpack(&words).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(frames.len(), messages.len());
            for (frame, (topic, payload, flags, delivery)) in frames.iter().zip(&messages) {
                prop_assert_eq!(frame.message, message(topic, payload, *flags));
                prop_assert_eq!(frame.delivery, *delivery);
            }
        }

        #[test]
        fn any_words_are_unpacked_or_refused(words in proptest::collection::vec(
            prop_oneof![any::<u64>(), 0..64_u64, (0..64_u64, 0..32_u64).prop_map(|(len, flags)| len | flags << 32)],
            0..32,
        )) {
            let frames = unpack(&words).count();
            prop_assert!(frames <= words.len());
            let has_end = unpack(&words).all(|frame| matches!(frame, Ok(_) | Err(UnpackError::Malformed(_))));
            prop_assert_eq!(unpack(&words).check().is_ok(), has_end);
        }
    }

    #[test]
    fn frames_have_the_layout_that_the_interface_documents() {
        let properties = PublishProperties { payload_format_indicator: Some(true), ..PublishProperties::default() };
        let message = Publish::new("ab", "cdefg").qos(QoS::AtLeastOnce).retain(true).properties(properties);
        let mut words = Vec::new();
        push(&mut words, &message, Some(9)).unwrap();
        let body = [*b"\x00\x02ab\x02\x01\x01\0", *b"cdefg\0\0\0"].map(u64::from_le_bytes);
        assert_eq!(words, vec![5 | 0b0011 << 32 | 1 << 36, 7, 9, body[0], body[1]]);
    }

    #[test]
    fn large_payloads_are_packed_wherever_they_lie() {
        let bytes: Vec<u8> = (0..LARGE + 32).map(|byte| byte as u8).collect();
        for start in 0..9 {
            for end in LARGE + start - 1..LARGE + 20 {
                let message = Publish::new("large", &bytes[start..end]);
                let words = pack([message, Publish::new("behind", "it")]).unwrap();
                let messages: Vec<_> = unpack(&words).map(|frame| frame.unwrap().message).collect();
                assert_eq!(messages, [message, Publish::new("behind", "it")], "{start}..{end}");
            }
        }
    }

    #[test]
    fn lists_that_end_too_soon_or_begin_wrongly_are_refused() {
        let words = pack([Publish::new("a", "0123456789")]).unwrap();
        for len in 1..words.len() {
            assert_eq!(unpack(&words[..len]).check(), Err(UnpackError::Truncated), "{len}");
        }
        assert_eq!(unpack(&[1 << 36, 0]).check(), Err(UnpackError::Truncated));
        for flag in [1 << 37, 1 << 63] {
            assert_eq!(unpack(&[flag, 0]).check(), Err(UnpackError::Flags(flag)));
        }
        assert_eq!(unpack(&[0, 1 << 32]).check(), Err(UnpackError::Flags(1 << 32)));
        let too_long = "a".repeat(65_536);
        assert_eq!(pack([Publish::new(&too_long, "")]).unwrap_err().field, "Topic Name");
        let malformed = unpack(&[0, 1, 0]).next();
        assert!(matches!(malformed, Some(Err(UnpackError::Malformed(_)))), "{malformed:?}");
    }
}
