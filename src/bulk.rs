//! Many messages in one list of 64-bit words: what the component's `bulk` interface takes and returns.
//!
//! wasmtime copies lists between components element by element, so a list of words takes about an eighth of the time of
//! a list of bytes. A guest packs messages here, and reads what it received where it is, without a copy.
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
//! One frame follows the other. Each begins with a word that has, from its lowest bit on, 32 bits with the length of the
//! body in bytes, the four flags of PUBLISH (section 3.3.1), and a bit that says whether a delivery follows. Then come
//! the delivery, in a word of its own, and the body: what PUBLISH has behind its fixed header, without the Packet
//! Identifier. Its first byte is in the lowest eight bits of a word. Zeros fill the last word.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, EncodeError, Publish};

/// The bits of a frame's first word, from the length on.
const FLAGS_SHIFT: u32 = 32;
const FLAGS: u64 = 0b1111;
const HAS_DELIVERY: u64 = 1 << 36;

/// Packs messages to publish. Whether the specification has valid bytes for each is for `publish-packed` to say, with its
/// position.
///
/// # Errors
/// [`EncodeError`] when a part of one is longer than its length can say: a Topic Name of more than 65,535 bytes, for
/// example.
pub fn pack<'a>(messages: impl IntoIterator<Item = Publish<'a>>) -> Result<Vec<u64>, EncodeError> {
    let mut words = Vec::new();
    for message in messages {
        push(&mut words, &message, None)?;
    }
    Ok(words)
}

/// Appends a message, as [`pack`] does. On an error nothing is appended.
///
/// # Errors
/// As [`pack`].
pub fn push(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>) -> Result<(), EncodeError> {
    let (len, checked) = message.unnumbered_len();
    checked?;
    append(words, message, delivery, len);
    Ok(())
}

/// As [`push`], for a message that the session took: what it takes leniently is handed on as it is.
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) fn push_received(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>) {
    append(words, message, delivery, message.unnumbered_len().0);
}

fn append(words: &mut Vec<u64>, message: &Publish<'_>, delivery: Option<u64>, len: usize) {
    let head = 1 + usize::from(delivery.is_some());
    let start = words.len();
    let end = start + head + len.div_ceil(8);
    if start == 0 {
        // Often it is the only one, and such a list is handed over without another copy.
        words.reserve_exact(end);
    }
    words.resize(end, 0);
    let has_delivery = if delivery.is_some() { HAS_DELIVERY } else { 0 };
    words[start] = len as u64 | u64::from(message.flags()) << FLAGS_SHIFT | has_delivery;
    if let Some(delivery) = delivery {
        words[start + 1] = delivery;
    }
    message.put_unnumbered(bytemuck::cast_slice_mut(&mut words[start + head..]));
}

/// The frames in a list, in order.
#[must_use]
pub const fn unpack(words: &[u64]) -> Frames<'_> {
    Frames { words }
}

/// A message in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The message. It has no Packet Identifier.
    pub message: Publish<'a>,
    /// What acknowledges it: `client.acknowledge`.
    pub delivery: Option<u64>,
}

/// The frames in a list: see [`unpack`].
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    words: &'a [u64],
}

/// Why a list has no message here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnpackError {
    /// The list ends within a frame. Nothing follows.
    Truncated,
    /// The first word of a frame has bits that mean nothing. Nothing follows.
    Flags(u64),
    /// The body is no valid message. The next frame is where it should be.
    Malformed(DecodeError),
}

/// A frame that was not decoded.
struct Raw<'a> {
    flags: u8,
    delivery: Option<u64>,
    body: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Fails if the list is not frames from end to end. Whether each has a valid message is another matter.
    ///
    /// # Errors
    /// [`UnpackError::Truncated`] and [`UnpackError::Flags`].
    pub fn check(mut self) -> Result<(), UnpackError> {
        while self.next_raw()?.is_some() {}
        Ok(())
    }

    fn next_raw(&mut self) -> Result<Option<Raw<'a>>, UnpackError> {
        let Some((&first, rest)) = self.words.split_first() else { return Ok(None) };
        self.words = &[];
        if first >> FLAGS_SHIFT & !(FLAGS | HAS_DELIVERY >> FLAGS_SHIFT) != 0 {
            return Err(UnpackError::Flags(first));
        }
        let (delivery, rest) = match rest {
            _ if first & HAS_DELIVERY == 0 => (None, rest),
            [delivery, rest @ ..] => (Some(*delivery), rest),
            [] => return Err(UnpackError::Truncated),
        };
        let len = first as u32 as usize;
        let (body, rest) = rest.split_at_checked(len.div_ceil(8)).ok_or(UnpackError::Truncated)?;
        self.words = rest;
        let body = &bytemuck::cast_slice(body)[..len];
        Ok(Some(Raw { flags: (first >> FLAGS_SHIFT & FLAGS) as u8, delivery, body }))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, UnpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Raw { flags, delivery, body } = match self.next_raw().transpose()? {
            Ok(raw) => raw,
            Err(error) => return Some(Err(error)),
        };
        let message = Publish::decode_unnumbered(flags, body).map_err(UnpackError::Malformed);
        Some(message.map(|message| Frame { message, delivery }))
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the list ends within a frame"),
            Self::Flags(word) => write!(f, "a frame cannot begin with {word:#x}"),
            Self::Malformed(error) => write!(f, "a frame has no valid message: {error}"),
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
            0..16,
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
        push(&mut words, &message, Some(7)).unwrap();
        let body = [*b"\x00\x02ab\x02\x01\x01c", *b"defg\0\0\0\0"].map(u64::from_le_bytes);
        assert_eq!(words, vec![12 | 0b0011 << 32 | 1 << 36, 7, body[0], body[1]]);
    }

    #[test]
    fn lists_that_end_too_soon_or_begin_wrongly_are_refused() {
        let words = pack([Publish::new("a", "0123456789")]).unwrap();
        for len in 1..words.len() {
            assert_eq!(unpack(&words[..len]).check(), Err(UnpackError::Truncated), "{len}");
        }
        assert_eq!(unpack(&[1 << 36]).check(), Err(UnpackError::Truncated));
        assert_eq!(unpack(&[1 << 37]).check(), Err(UnpackError::Flags(1 << 37)));
        assert_eq!(unpack(&[1 << 63]).check(), Err(UnpackError::Flags(1 << 63)));
        let too_long = "a".repeat(65_536);
        assert_eq!(pack([Publish::new(&too_long, "")]).unwrap_err().field, "Topic Name");
        let malformed = unpack(&[1, 0]).next();
        assert!(matches!(malformed, Some(Err(UnpackError::Malformed(_)))), "{malformed:?}");
    }
}
