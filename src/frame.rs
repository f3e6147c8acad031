//! Finds packets in a stream of bytes: one contiguous buffer, filled by the driver of the connection, and cut into
//! frames in place. `no_std`.
//!
//! ```text
//!          start            next              end            buffer.len()
//!  ┌─────────┬────────────────┬────────────────┬───────────────────┐
//!  │  free   │ framed, in use │ not yet framed │  space() to fill  │
//!  └─────────┴────────────────┴────────────────┴───────────────────┘
//! ```
//!
//! Bytes move only when the space behind `end` runs out, never per packet. The buffer grows only as bytes arrive. A
//! packet over the Maximum Packet Size is refused as soon as its length is known.

#[cfg(feature = "stream")]
mod streams;

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, DecodeOptions, FixedHeader, Packet, PacketId, PacketType, QoS, ReasonCode};

/// The size of a new buffer, and what a connection with little to say stays at.
const INITIAL_CAPACITY: usize = 4 * 1024;

/// A busy connection's buffer grows to this, since larger reads no longer cost less per byte.
const BUSY_CAPACITY: usize = 64 * 1024;

/// Fewer free bytes than this are not worth a read.
const WORTH_READING: usize = 1024;

/// Cuts a stream of bytes into frames.
///
/// ```
/// use mqtt_wasi::frame::FrameReader;
///
/// let mut reader = FrameReader::new(1024);
/// let mut arriving: &[u8] = b"\xD0\x00\x30\x05\x00\x01t\x00!";
/// let mut sizes = Vec::new();
/// while !arriving.is_empty() {
///     let space = reader.space();
///     let n = space.len().min(3).min(arriving.len()); // a few bytes at a time
///     space[..n].copy_from_slice(&arriving[..n]);
///     reader.filled(n);
///     arriving = &arriving[n..];
///     while let Some(frame) = reader.next_frame()? {
///         sizes.push((frame.packet_type.to_string(), frame.body.len()));
///     }
/// }
/// assert_eq!(sizes, [("PINGRESP".into(), 0), ("PUBLISH".into(), 5)]);
/// # Ok::<(), mqtt_wasi::frame::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    next: usize,
    end: usize,
    /// Where `buffer[0]` is in the stream, so that a [`FrameSpan`] outlives a move of the bytes.
    origin: u64,
    maximum_packet_size: u32,
    /// How many bytes are still to come, and to be dropped, of a packet that is skipped.
    skips: usize,
    #[cfg(feature = "stream")]
    streams: streams::Streams,
}

/// A packet that is not decoded yet.
///
/// ```
/// use mqtt_wasi::codec::PacketType;
/// use mqtt_wasi::frame::{Frame, FrameReader};
///
/// let mut reader = FrameReader::new(1024);
/// reader.space()[..4].copy_from_slice(b"\x40\x02\x00\x07");
/// reader.filled(4);
/// let frame: Frame<'_> = reader.next_frame()?.expect("a whole packet");
/// assert_eq!((frame.packet_type, frame.flags, frame.body), (PacketType::Puback, 0, &b"\x00\x07"[..]));
/// # Ok::<(), mqtt_wasi::frame::FrameError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The packet's type.
    pub packet_type: PacketType,
    /// The low four bits of its first byte.
    pub flags: u8,
    /// What follows its fixed header.
    pub body: &'a [u8],
}

/// Where a frame is in the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameSpan {
    pub(crate) packet_type: PacketType,
    pub(crate) flags: u8,
    body: u64,
    len: u32,
}

/// A stream that cannot be cut into frames. Nothing after it can be trusted: the reader returns the same error again.
///
/// ```
/// use mqtt_wasi::frame::{FrameError, FrameReader};
///
/// let mut reader = FrameReader::new(1024);
/// reader.space()[..4].copy_from_slice(b"\x30\xFF\xFF\x03");
/// reader.filled(4);
/// assert_eq!(reader.next_frame(), Err(FrameError::PacketTooLarge { size: 65_539, maximum: 1024 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The fixed header is not valid.
    Malformed(DecodeError),
    /// The packet is larger than the Maximum Packet Size.
    PacketTooLarge {
        /// The packet's size in bytes, fixed header included.
        size: u64,
        /// The Maximum Packet Size in bytes.
        maximum: u32,
    },
}

impl FrameReader {
    /// A reader of packets of at most `maximum_packet_size` bytes, fixed header included.
    ///
    /// ```
    /// use mqtt_wasi::frame::FrameReader;
    ///
    /// let mut reader = FrameReader::new(16 * 1024 * 1024);
    /// assert_eq!(reader.next_frame(), Ok(None));
    /// ```
    #[must_use]
    pub const fn new(maximum_packet_size: u32) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            next: 0,
            end: 0,
            origin: 0,
            maximum_packet_size,
            skips: 0,
            #[cfg(feature = "stream")]
            streams: streams::Streams::none(),
        }
    }

    /// Where to put the next bytes of the stream. Never empty. Then call [`FrameReader::filled`].
    ///
    /// ```
    /// use std::io::Read;
    /// use mqtt_wasi::frame::FrameReader;
    ///
    /// let mut stream: &[u8] = b"\xD0\x00"; // any reader
    /// let mut reader = FrameReader::new(1024);
    /// let len = stream.read(reader.space())?;
    /// reader.filled(len);
    /// assert!(reader.next_frame().expect("valid").is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            // The common case: everything was used, so nothing needs to move.
            self.move_to_front();
        }
        let wanted = self.wanted();
        if self.buffer.len() - self.end < wanted {
            // Frames in use move only where that frees as much as half of what moves, and else the buffer grows by as
            // much; so a byte moves a few times at most, however long its frame is in use.
            let (framed, held) = (self.next - self.start, self.end - self.start);
            if framed == 0 || self.start >= held / 2 {
                self.move_to_front();
            }
            if self.buffer.len() - self.end < wanted {
                self.grow(self.end + wanted.max(if framed == 0 { 0 } else { held / 2 }));
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Notes that the first `len` bytes of [`FrameReader::space`] are the next bytes of the stream.
    ///
    /// # Panics
    /// If that is more than the space had.
    ///
    /// ```
    /// use mqtt_wasi::frame::FrameReader;
    ///
    /// let mut reader = FrameReader::new(1024);
    /// reader.space()[0] = 0xD0;
    /// reader.filled(1);
    /// assert_eq!(reader.next_frame(), Ok(None), "half of PINGRESP");
    /// reader.space()[0] = 0x00;
    /// reader.filled(1);
    /// assert!(reader.next_frame()?.is_some());
    /// # Ok::<(), mqtt_wasi::frame::FrameError>(())
    /// ```
    pub fn filled(&mut self, len: usize) {
        assert!(len <= self.buffer.len() - self.end, "more bytes than there was space for");
        self.end += len;
        if self.end == self.buffer.len() && len >= WORTH_READING && self.buffer.len() < BUSY_CAPACITY {
            // The peer had more to say than fitted.
            self.grow((self.buffer.len() * 4).min(BUSY_CAPACITY));
        }
    }

    /// The next whole packet. `None`: more bytes are needed. A frame is valid until the next one is asked for.
    ///
    /// # Errors
    /// [`FrameError`] when the stream has no valid packet here.
    ///
    /// ```
    /// use mqtt_wasi::frame::FrameReader;
    ///
    /// let mut reader = FrameReader::new(1024);
    /// reader.space()[..4].copy_from_slice(b"\xD0\x00\xD0\x00");
    /// reader.filled(4);
    /// let mut frames = 0;
    /// while let Some(frame) = reader.next_frame()? {
    ///     assert!(frame.body.is_empty());
    ///     frames += 1;
    /// }
    /// assert_eq!(frames, 2);
    /// # Ok::<(), mqtt_wasi::frame::FrameError>(())
    /// ```
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.start = self.next;
        Ok(self.next_span()?.map(|span| Frame {
            packet_type: span.packet_type,
            flags: span.flags,
            body: self.body(&span),
        }))
    }

    /// As [`FrameReader::next_frame`], but the bytes stay until they are released.
    pub(crate) fn next_span(&mut self) -> Result<Option<FrameSpan>, FrameError> {
        if self.skips > 0 {
            self.drop_skipped();
        }
        #[cfg(feature = "stream")]
        if self.is_streaming() {
            return Ok(None);
        }
        let bytes = &self.buffer[self.next..self.end];
        let Some((header, header_len)) = FixedHeader::decode(bytes).map_err(FrameError::Malformed)? else {
            return Ok(None);
        };
        let size = header_len + header.remaining_length as usize;
        if size > self.maximum_packet_size as usize {
            return Err(FrameError::PacketTooLarge { size: size as u64, maximum: self.maximum_packet_size });
        }
        #[cfg(feature = "stream")]
        if self.streams.is_for(header.packet_type, size) {
            return Ok(self.next_head(header, header_len));
        }
        if size > bytes.len() {
            return Ok(None);
        }
        #[cfg(feature = "stream")]
        self.streams.packet_is_whole();
        let body = self.origin + (self.next + header_len) as u64;
        self.next += size;
        Ok(Some(FrameSpan { packet_type: header.packet_type, flags: header.flags, body, len: header.remaining_length }))
    }

    /// The bytes of a frame that was not released.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "in programs built for size too, since it is there for each packet")]
    pub(crate) fn body(&self, span: &FrameSpan) -> &[u8] {
        let start = (span.body - self.origin) as usize;
        &self.buffer.as_slice()[start..start + span.len as usize]
    }

    /// What came and is in no frame yet.
    pub(crate) fn unframed(&self) -> &[u8] {
        &self.buffer[self.next..self.end]
    }

    /// Whether what is in no frame yet is the beginning of a packet, and no more.
    pub(crate) fn is_within_packet(&self) -> bool {
        #[cfg(feature = "stream")]
        if self.is_streaming() {
            return !self.has_whole_payload();
        }
        #[cfg(feature = "stream")]
        if self.skips > 0 {
            return self.skips > self.end - self.next;
        }
        let bytes = self.unframed();
        match FixedHeader::decode(bytes) {
            Ok(Some((header, header_len))) => bytes.len() < header_len + header.remaining_length as usize,
            _ => !bytes.is_empty(),
        }
    }

    /// The Packet Identifier of a PUBLISH, without a look at the rest; `None` at QoS 0.
    pub(crate) fn packet_id(&self, span: &FrameSpan) -> Option<PacketId> {
        packet_id(self.body(span), span.flags)
    }

    /// The PUBLISH above the Maximum Packet Size that comes next, if it is one: an empty frame in its place, what has
    /// come of its body, and whether that is all of it.
    pub(crate) fn oversized_message(&self) -> Option<(FrameSpan, &[u8], bool)> {
        let bytes = self.unframed();
        let (header, header_len) = FixedHeader::decode(bytes).ok()??;
        let FixedHeader { packet_type: packet_type @ PacketType::Publish, flags, remaining_length } = header else {
            return None;
        };
        let (body, len) = (&bytes[header_len..], remaining_length as usize);
        let span = FrameSpan { packet_type, flags, body: self.origin + self.next as u64, len: 0 };
        Some((span, &body[..body.len().min(len)], body.len() >= len))
    }

    /// Drops the packet that comes next: what is there of it, and the rest as it comes.
    pub(crate) fn skip_packet(&mut self) {
        if let Ok(Some((header, header_len))) = FixedHeader::decode(self.unframed()) {
            self.skips = header_len + header.remaining_length as usize;
        }
    }

    /// What is skipped has no place in the stream, so that no frame that is in use keeps its bytes.
    #[cold]
    fn drop_skipped(&mut self) {
        let len = self.skips.min(self.end - self.next);
        self.buffer.copy_within(self.next + len..self.end, self.next);
        self.end -= len;
        self.skips -= len;
    }

    /// Gives up every framed byte before `keep`, or all of them.
    pub(crate) fn release(&mut self, keep: Option<&FrameSpan>) {
        self.start = keep.map_or(self.next, |span| (span.body - self.origin) as usize);
    }

    /// How many bytes are held for frames that were not released.
    pub(crate) const fn held(&self) -> usize {
        self.next - self.start
    }

    /// Forgets what was not framed, for a new connection. Frames that were not released stay.
    pub(crate) fn cut(&mut self) {
        #[cfg(feature = "stream")]
        let kept = self.cut_payload();
        #[cfg(not(feature = "stream"))]
        let kept = 0;
        self.end = self.next + kept;
        self.skips = 0;
    }

    /// How much free space makes the next read worthwhile.
    fn wanted(&self) -> usize {
        #[cfg(feature = "stream")]
        if self.is_streaming() {
            return self.wanted_of_payload();
        }
        let pending = self.end - self.next;
        let missing = match FixedHeader::decode(&self.buffer[self.next..self.end]) {
            Ok(Some((header, header_len))) => {
                let size = header_len + header.remaining_length as usize;
                // A packet over the limit is never read on, whatever it says.
                if size > self.maximum_packet_size as usize { 0 } else { size - pending.min(size) }
            }
            _ => 0,
        };
        // A length is only a promise: memory doubles as the bytes really come.
        let affordable = (self.end - self.start).max(INITIAL_CAPACITY);
        missing.min(affordable).max(if self.buffer.is_empty() { INITIAL_CAPACITY } else { WORTH_READING })
    }

    /// Makes the buffer this large and no larger, which a `Vec` left to itself would not promise.
    fn grow(&mut self, len: usize) {
        self.buffer.reserve_exact(len - self.buffer.len());
        self.buffer.resize(len, 0);
    }

    fn move_to_front(&mut self) {
        if self.start == 0 {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.origin += self.start as u64;
        self.next -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}

/// The Packet Identifier of a PUBLISH with this body and flags, if it has one.
pub(crate) fn packet_id(body: &[u8], flags: u8) -> Option<PacketId> {
    let (topic_len, rest) = body.split_first_chunk()?;
    let id = rest.get(u16::from_be_bytes(*topic_len).into()..)?.first_chunk()?;
    PacketId::new(u16::from_be_bytes(*id)).filter(|_| flags & 0b110 != 0)
}

impl FrameSpan {
    /// The QoS of a PUBLISH.
    pub(crate) fn qos(&self) -> QoS {
        QoS::from_u8(self.flags >> 1 & 0b11).unwrap_or_default()
    }

    /// Whether it is a PUBLISH at QoS 2.
    pub(crate) const fn is_exactly_once(&self) -> bool {
        matches!(self.packet_type, PacketType::Publish) && self.flags >> 1 & 0b11 == 2
    }
}

impl<'a> Frame<'a> {
    /// Decodes the packet.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not a valid packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::{DecodeOptions, Packet};
    /// use mqtt_wasi::frame::FrameReader;
    ///
    /// let mut reader = FrameReader::new(1024);
    /// reader.space()[..2].copy_from_slice(b"\xD0\x00");
    /// reader.filled(2);
    /// let frame = reader.next_frame().expect("valid").expect("a whole packet");
    /// assert_eq!(frame.decode(DecodeOptions::default())?, Packet::Pingresp);
    /// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
    /// ```
    pub fn decode(&self, options: DecodeOptions) -> Result<Packet<'a>, DecodeError> {
        Packet::decode_body(self.packet_type, self.flags, self.body, options)
    }
}

impl FrameError {
    /// The Reason Code of the DISCONNECT that answers it (section 4.13).
    ///
    /// ```
    /// use mqtt_wasi::ReasonCode;
    /// use mqtt_wasi::frame::FrameError;
    ///
    /// let error = FrameError::PacketTooLarge { size: 65_539, maximum: 1024 };
    /// assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    /// ```
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Malformed(error) => error.reason_code(),
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::PacketTooLarge { size, maximum } => {
                write!(f, "{size} bytes, more than the Maximum Packet Size of {maximum}")
            }
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {

    use super::*;

    fn feed(reader: &mut FrameReader, mut bytes: &[u8], step: usize) {
        while !bytes.is_empty() {
            let space = reader.space();
            let n = space.len().min(step).min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            reader.filled(n);
            bytes = &bytes[n..];
        }
    }

    fn publish(payload_len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::codec::Publish::new("t", &alloc::vec![7; payload_len]).encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn frames_come_out_whatever_the_split() {
        let stream: Vec<u8> = [0, 1, 127, 128, 5_000, 20_000].into_iter().flat_map(publish).collect();
        for step in [1, 2, 3, 7, 1_000, 100_000] {
            let mut reader = FrameReader::new(100_000);
            let mut sizes = Vec::new();
            for chunk in stream.chunks(step) {
                feed(&mut reader, chunk, step);
                while let Some(frame) = reader.next_frame().unwrap() {
                    sizes.push(frame.body.len() - 4);
                }
            }
            assert_eq!(sizes, [0, 1, 127, 128, 5_000, 20_000], "step {step}");
        }
    }

    #[test]
    fn a_packet_over_the_limit_is_refused_before_memory_is_taken() {
        let mut reader = FrameReader::new(100);
        feed(&mut reader, &publish(1_000_000)[..5], 5);
        let error = reader.next_frame().unwrap_err();
        assert!(matches!(error, FrameError::PacketTooLarge { size: 1_000_008, maximum: 100 }), "{error}");
        assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
        assert!(reader.buffer.capacity() <= INITIAL_CAPACITY);
        assert_eq!(reader.next_frame(), Err(error), "the stream stays broken");
    }

    #[test]
    fn a_promised_length_takes_no_memory_until_bytes_come() {
        let mut reader = FrameReader::new(u32::MAX);
        feed(&mut reader, &publish(200_000_000)[..100], 100);
        assert_eq!(reader.next_frame(), Ok(None));
        reader.space();
        assert!(reader.buffer.capacity() <= 4 * INITIAL_CAPACITY, "{}", reader.buffer.capacity());
    }

    #[test]
    fn kept_frames_survive_moves_and_growth() {
        let mut reader = FrameReader::new(100_000);
        feed(&mut reader, &publish(10), usize::MAX);
        feed(&mut reader, &publish(20), usize::MAX);
        let _first = reader.next_span().unwrap().unwrap();
        let kept = reader.next_span().unwrap().unwrap();
        reader.release(Some(&kept));
        feed(&mut reader, &publish(50_000), 999);
        let last = reader.next_span().unwrap().unwrap();
        assert_eq!(reader.body(&kept).len(), 24);
        assert_eq!(reader.body(&last).len(), 50_004);
        reader.release(None);
        assert_eq!(reader.held(), 0);
    }

    #[test]
    fn small_packets_never_move_one_by_one() {
        let mut reader = FrameReader::new(1_000);
        let packet = publish(16);
        for _ in 0..10_000 {
            feed(&mut reader, &packet, usize::MAX);
            let buffer = reader.buffer.as_ptr();
            assert!(reader.next_frame().unwrap().is_some());
            assert_eq!(reader.buffer.as_ptr(), buffer);
        }
        assert_eq!(reader.buffer.len(), INITIAL_CAPACITY);
    }
}
