//! Writing the data types of section 1.5: first measured and checked, then written into a buffer of the right size.

use alloc::vec::Vec;

use super::list::List;
#[cfg(not(target_family = "wasm"))]
use super::topic;
use super::topic::{has_null, validate_topic_filter, validate_topic_name};
use super::{EncodeError, EncodeErrorKind, PacketType, ReasonCode, varint};

/// Where a packet's fields go. Every packet describes its bytes once, to any sink: PUBLISH to [`Measure`], which checks
/// and counts them, and to `Vec<u8>`, which takes them; all others to [`Writer`], which does either or both, since
/// they are better small than fast. Where fast is better, they all go to a `Short` first.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    /// Checks something about the packet. Not where that was done before.
    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str);

    /// How many bytes a block has as a Variable Byte Integer, then the block.
    fn block(&mut self, block: &impl Block, field: &'static str);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn varint(&mut self, value: u32, field: &'static str) {
        if value < 0x80 {
            return self.u8(value as u8);
        }
        self.require(value <= varint::MAX, EncodeErrorKind::ValueOutOfRange, field);
        let (bytes, len) = varint::encode(value);
        self.bytes(&bytes[..len]);
    }

    /// Binary Data: two bytes of length, then the bytes.
    fn binary(&mut self, bytes: &[u8], field: &'static str) {
        self.require(bytes.len() <= usize::from(u16::MAX), EncodeErrorKind::TooLong, field);
        self.u16(bytes.len() as u16);
        self.bytes(bytes);
    }

    fn string(&mut self, text: &str, field: &'static str) {
        self.check(|| if has_null(text) { Err(EncodeErrorKind::NullCharacter) } else { Ok(()) }, field);
        self.binary(text.as_bytes(), field);
    }

    fn topic_name(&mut self, name: &str, field: &'static str) {
        self.check(|| validate_topic_name(name).map_err(EncodeErrorKind::InvalidTopic), field);
        self.binary(name.as_bytes(), field);
    }

    fn topic_filter(&mut self, filter: &str) {
        const FIELD: &str = "Topic Filter";
        self.check(|| validate_topic_filter(filter).map_err(EncodeErrorKind::InvalidTopic), FIELD);
        self.binary(filter.as_bytes(), FIELD);
    }

    fn reason_code(&mut self, code: ReasonCode, packet_type: PacketType) {
        self.require(code.is_valid_in(packet_type), EncodeErrorKind::InvalidReasonCode, "Reason Code");
        self.u8(code as u8);
    }

    fn reason_codes(&mut self, codes: &List<'_, ReasonCode>, packet_type: PacketType) {
        self.require(!codes.is_empty(), EncodeErrorKind::EmptyList, "Reason Code");
        for code in codes {
            self.reason_code(code, packet_type);
        }
    }

    fn require(&mut self, holds: bool, kind: EncodeErrorKind, field: &'static str) {
        self.check(|| if holds { Ok(()) } else { Err(kind) }, field);
    }
}

/// Fields whose length goes before them.
pub(super) trait Block {
    fn put(&self, sink: &mut impl Sink);
}

/// Puts the length of all that is behind `place` there, where a byte was left free for it. Only what takes more than
/// that byte moves: lengths are below 128, but rarely.
pub(super) fn put_length(buffer: &mut Vec<u8>, place: usize, length: u32) {
    if length < 0x80 {
        buffer[place] = length as u8;
    } else {
        let (bytes, len) = varint::encode(length);
        buffer[place] = bytes[0];
        let end = buffer.len();
        buffer.extend_from_slice(&bytes[1..len]);
        buffer.copy_within(place + 1..end, place + len);
        buffer[place + 1..place + len].copy_from_slice(&bytes[1..len]);
    }
}

/// A length as a packet has it, or too large a number.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Counts bytes, and keeps the first error.
#[derive(Debug, Default)]
pub(super) struct Measure {
    len: usize,
    error: Option<EncodeError>,
}

impl Measure {
    /// How many bytes were counted, no more than a Variable Byte Integer can tell.
    pub(super) fn finish(self) -> Result<u32, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None => u32::try_from(self.len)
                .ok()
                .filter(|&len| len <= varint::MAX)
                .ok_or(EncodeError { kind: EncodeErrorKind::PacketTooLarge, field: "Remaining Length" }),
        }
    }

    pub(super) const fn add(&mut self, len: usize) {
        self.len = self.len.saturating_add(len);
    }

    fn note(&mut self, checked: Result<(), EncodeErrorKind>, field: &'static str) {
        if let Err(kind) = checked {
            self.error.get_or_insert(EncodeError { kind, field });
        }
    }
}

impl Sink for Measure {
    fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len());
    }

    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str) {
        self.note(check(), field);
    }

    fn block(&mut self, block: &impl Block, field: &'static str) {
        let before = self.len;
        block.put(self);
        self.varint(length(self.len - before), field);
    }
}

/// Checks and measures, or writes what was measured, or does it all.
#[derive(Debug, Default)]
pub(super) struct Writer<'b> {
    buffer: Option<&'b mut Vec<u8>>,
    /// How long the buffer was.
    start: usize,
    is_checked: bool,
    /// Of what is not in the buffer.
    measure: Measure,
}

impl<'b> Writer<'b> {
    /// Appends a packet with this first byte and body, which is checked only now or was before. The buffer grows once
    /// at most: it gets what it has room for, and the whole again if there was more.
    pub(super) fn packet(
        buffer: &'b mut Vec<u8>,
        first_byte: u8,
        is_checked: bool,
        body: impl Fn(&mut Writer<'_>),
    ) -> Result<(), EncodeError> {
        let start = buffer.len();
        let mut writer = Writer { buffer: Some(buffer), start, is_checked, measure: Measure::default() };
        writer.u8(first_byte);
        writer.u8(0);
        body(&mut writer);
        if writer.end_block(2) > varint::MAX {
            let too_large = Err(EncodeErrorKind::PacketTooLarge);
            writer.measure.note(too_large, "Remaining Length");
        }
        let (len, is_whole, error) = (writer.len(), writer.is_whole(), writer.measure.error);
        if error.is_some() || !is_whole {
            buffer.truncate(start);
        }
        match error {
            Some(error) => Err(error),
            None if is_whole => Ok(()),
            None => {
                buffer.reserve(len);
                Self::packet(buffer, first_byte, true, body)
            }
        }
    }

    /// As [`Measure::finish`].
    pub(super) fn finish(self) -> Result<u32, EncodeError> {
        self.measure.finish()
    }

    fn len(&self) -> usize {
        self.measure.len + self.buffer.as_ref().map_or(0, |buffer| buffer.len() - self.start)
    }

    /// Whether everything is in the buffer.
    const fn is_whole(&self) -> bool {
        self.measure.len == 0
    }

    /// Puts the length of what is behind the first `before` bytes in the last of those; returns it.
    fn end_block(&mut self, before: usize) -> u32 {
        let length = length(self.len() - before);
        let (place, more, is_whole) = (self.start + before - 1, varint::len(length) - 1, self.is_whole());
        match self.room_for(more).filter(|_| is_whole) {
            Some(buffer) => put_length(buffer, place, length),
            None => self.measure.add(more),
        }
        length
    }

    /// The buffer, if it has room for so many bytes more.
    fn room_for(&mut self, len: usize) -> Option<&mut Vec<u8>> {
        self.buffer.as_deref_mut().filter(|buffer| buffer.capacity() - buffer.len() >= len)
    }
}

impl Sink for Writer<'_> {
    #[cfg_attr(target_family = "wasm", inline(never))]
    fn bytes(&mut self, bytes: &[u8]) {
        match self.room_for(bytes.len()) {
            Some(buffer) => buffer.extend_from_slice(bytes),
            None => self.measure.add(bytes.len()),
        }
    }

    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str) {
        if !self.is_checked {
            self.measure.note(check(), field);
        }
    }

    fn block(&mut self, block: &impl Block, field: &'static str) {
        self.u8(0);
        let before = self.len();
        block.put(self);
        let length = self.end_block(before);
        self.require(length <= varint::MAX, EncodeErrorKind::ValueOutOfRange, field);
    }
}

impl Sink for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    // Where nothing is inlined, copying so few bytes takes several times as long as pushing them.
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.push(high);
        self.push(low);
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}

    fn block(&mut self, block: &impl Block, _: &'static str) {
        let place = self.len();
        self.push(0);
        block.put(self);
        put_length(self, place, length(self.len() - place - 1));
    }
}

/// What the bodies of most packets have less bytes than, without the payload.
#[cfg(not(target_family = "wasm"))]
pub(super) const SHORT: usize = 192;

/// Makes room for a packet, if there is none, and then so much that [`append_short`] has it the next time.
#[cfg(not(target_family = "wasm"))]
pub(super) fn make_room(buffer: &mut Vec<u8>, len: usize, behind: &[u8]) {
    if buffer.capacity() - buffer.len() < len {
        buffer.reserve(len.max(room_for_short::<SHORT>(behind)));
    }
}

/// The most bytes that [`append_short`] needs for a body of less than `N` bytes.
#[cfg(not(target_family = "wasm"))]
pub(super) const fn room_for_short<const N: usize>(behind: &[u8]) -> usize {
    N + size_of::<u32>() + behind.len()
}

/// Appends a packet with this first byte, this body and `behind` at the body's end, if it is valid, the body has less
/// than `N` bytes and the buffer has [room](room_for_short); says whether it did. Nothing has to be moved if
/// `likely_len` is about what the packet is long.
///
/// This is for packets that are encoded without having been measured. What is wrong with the others, [`Measure`] and
/// [`Writer`] tell. It is faster and larger than they are, so it is not in WebAssembly.
#[cfg(not(target_family = "wasm"))]
#[inline]
pub(super) fn append_short<const N: usize>(
    buffer: &mut Vec<u8>,
    first_byte: u8,
    body: &impl Block,
    likely_len: usize,
    behind: &[u8],
) -> bool {
    if behind.len() > varint::MAX as usize || buffer.capacity() - buffer.len() < room_for_short::<N>(behind) {
        return false;
    }
    let header_len = 1 + varint::len(length(likely_len));
    let start = buffer.len();
    buffer.extend_from_slice(&[0; N]);
    let mut short = Short { rest: &mut buffer[start + header_len..], is_valid: true };
    body.put(&mut short);
    let Short { rest, is_valid } = short;
    let body_end = start + N - rest.len();
    let remaining_length = body_end - start - header_len + behind.len();
    if !is_valid || remaining_length > varint::MAX as usize {
        buffer.truncate(start);
        return false;
    }
    buffer.truncate(body_end);
    match (header_len, remaining_length, &mut buffer[start..]) {
        (2, 0..0x80, [first, length, ..]) => (*first, *length) = (first_byte, remaining_length as u8),
        (3, 0x80..0x4000, [first, low, high, ..]) => {
            (*first, *low, *high) = (first_byte, remaining_length as u8 | 0x80, (remaining_length >> 7) as u8);
        }
        _ => put_header(buffer, start, header_len, first_byte, remaining_length as u32),
    }
    if !behind.is_empty() {
        buffer.extend_from_slice(behind);
    }
    true
}

/// Puts a fixed header at `start`, where so many bytes were left free for it. What is behind moves if it has more or
/// less.
#[cfg(not(target_family = "wasm"))]
#[inline(never)]
fn put_header(buffer: &mut Vec<u8>, start: usize, free: usize, first_byte: u8, remaining_length: u32) {
    let (length, len) = varint::encode(remaining_length);
    if 1 + len != free {
        let (from, end) = (start + free, buffer.len());
        let moved_end = end + 1 + len - free;
        buffer.resize(end.max(moved_end), 0);
        buffer.copy_within(from..end, start + 1 + len);
        buffer.truncate(moved_end);
    }
    buffer[start] = first_byte;
    buffer[start + 1..][..len].copy_from_slice(&length[..len]);
}

/// Where a few bytes go, which are checked at once.
#[cfg(not(target_family = "wasm"))]
struct Short<'b> {
    /// The room that is left.
    rest: &'b mut [u8],
    /// Whether all is valid so far, and had room.
    is_valid: bool,
}

#[cfg(not(target_family = "wasm"))]
impl<'b> Short<'b> {
    #[inline]
    fn take(&mut self, len: usize) -> Option<&'b mut [u8]> {
        if len > self.rest.len() {
            self.is_valid = false;
            return None;
        }
        let (taken, rest) = core::mem::take(&mut self.rest).split_at_mut(len);
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    fn require(&mut self, holds: bool) {
        if !holds {
            self.is_valid = false;
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Sink for Short<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(to) = self.take(bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    #[inline]
    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {
        Short::require(self, check().is_ok());
    }

    #[inline]
    fn block(&mut self, block: &impl Block, _: &'static str) {
        let Some([length]) = self.take(1) else { return };
        let before = self.rest.len();
        block.put(self);
        let len = before - self.rest.len();
        Short::require(self, len < 0x80);
        *length = len as u8;
    }

    // There is no room for what is too long.
    #[inline]
    fn binary(&mut self, bytes: &[u8], _: &'static str) {
        let taken = self.take(bytes.len().saturating_add(2)).and_then(|taken| taken.split_first_chunk_mut());
        if let Some((len, to)) = taken {
            *len = (bytes.len() as u16).to_be_bytes();
            copy(to, bytes);
        }
    }

    #[inline]
    fn string(&mut self, text: &str, field: &'static str) {
        self.binary(text.as_bytes(), field);
        Short::require(self, !has_null(text));
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it is in most packets")]
    fn topic_name(&mut self, name: &str, field: &'static str) {
        self.binary(name.as_bytes(), field);
        Short::require(self, !name.is_empty() && (!topic::has_low(name) || validate_topic_name(name).is_ok()));
    }

    #[inline]
    fn topic_filter(&mut self, filter: &str) {
        self.binary(filter.as_bytes(), "Topic Filter");
        // That is the only wildcard in most filters that have one.
        let levels = filter.strip_suffix("/#").unwrap_or(filter);
        Short::require(self, !filter.is_empty() && (!topic::has_low(levels) || validate_topic_filter(filter).is_ok()));
    }
}

/// Copies as `copy_from_slice`. What is short is copied in two pieces of one size, which overlap, without calling
/// anything.
#[cfg(not(target_family = "wasm"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is a few instructions for what is short")]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0 => {}
        1..=3 => {
            let middle = from.len() / 2;
            to[middle] = from[middle];
            copy_ends::<1>(to, from);
        }
        4..=7 => copy_ends::<4>(to, from),
        8..=15 => copy_ends::<8>(to, from),
        16..=32 => copy_ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last bytes, so many each.
#[cfg(not(target_family = "wasm"))]
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return };
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
}

/// What is left of memory that has room for what was measured.
#[cfg(feature = "bulk")]
pub(super) struct Front<'b>(pub(super) &'b mut [u8]);

#[cfg(feature = "bulk")]
impl Sink for Front<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        let (front, rest) = core::mem::take(&mut self.0).split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        self.0 = rest;
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}

    fn block(&mut self, block: &impl Block, field: &'static str) {
        let mut count = Count::default();
        block.put(&mut count);
        self.varint(length(count.len()), field);
        block.put(self);
    }
}

/// Counts bytes, and keeps the first error about how many there are. It looks at none of them.
#[cfg(feature = "bulk")]
#[derive(Debug, Default)]
pub(super) struct Count(Measure);

#[cfg(feature = "bulk")]
impl Count {
    pub(super) const fn len(&self) -> usize {
        self.0.len
    }

    /// What was too long, if anything was.
    pub(super) fn finish(self) -> Result<(), EncodeError> {
        self.0.finish().map(drop)
    }
}

#[cfg(feature = "bulk")]
impl Sink for Count {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.bytes(bytes);
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}

    fn require(&mut self, holds: bool, kind: EncodeErrorKind, field: &'static str) {
        self.0.require(holds, kind, field);
    }

    fn block(&mut self, block: &impl Block, field: &'static str) {
        let before = self.len();
        block.put(self);
        self.varint(length(self.len() - before), field);
    }
}
