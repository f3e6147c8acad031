//! Writing the data types of section 1.5: first measured and checked, then written into a buffer of the right size.

use alloc::vec::Vec;

use super::list::List;
use super::topic::{Scan, validate_topic_filter, validate_topic_name};
use super::{EncodeError, EncodeErrorKind, PacketType, ReasonCode, varint};

/// Where a packet's fields go. Every packet describes its bytes once, to any sink: PUBLISH to [`Measure`], which checks
/// and counts them, and to `Vec<u8>`, which takes them; all others to [`Writer`], which does one or the other, since
/// they are better small than fast.
pub(super) trait Sink {
    /// What measures a block before it is written here.
    type Measure: Length;

    fn bytes(&mut self, bytes: &[u8]);

    /// Checks something about the packet. Only measuring does, since nothing unmeasured is written.
    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str);

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
        self.check(
            || if Scan::new(text.as_bytes()).has_null { Err(EncodeErrorKind::NullCharacter) } else { Ok(()) },
            field,
        );
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

/// A sink that counts bytes.
pub(super) trait Length: Sink + Default {
    fn len(&self) -> usize;
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

    const fn add(&mut self, len: usize) {
        self.len = self.len.saturating_add(len);
    }

    fn note(&mut self, checked: Result<(), EncodeErrorKind>, field: &'static str) {
        if let Err(kind) = checked {
            self.error.get_or_insert(EncodeError { kind, field });
        }
    }
}

impl Length for Measure {
    fn len(&self) -> usize {
        self.len
    }
}

impl Sink for Measure {
    type Measure = Self;

    fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len());
    }

    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str) {
        self.note(check(), field);
    }
}

/// Measures, or writes what was measured.
#[derive(Debug, Default)]
pub(super) struct Writer<'b> {
    buffer: Option<&'b mut Vec<u8>>,
    measure: Measure,
}

impl<'b> Writer<'b> {
    /// A writer behind what the buffer has.
    pub(super) fn new(buffer: &'b mut Vec<u8>) -> Self {
        Self { buffer: Some(buffer), measure: Measure::default() }
    }

    /// As [`Measure::finish`].
    pub(super) fn finish(self) -> Result<u32, EncodeError> {
        self.measure.finish()
    }
}

impl Length for Writer<'static> {
    fn len(&self) -> usize {
        self.measure.len
    }
}

impl Sink for Writer<'_> {
    type Measure = Writer<'static>;

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) {
        match &mut self.buffer {
            Some(buffer) => buffer.extend_from_slice(bytes),
            None => self.measure.add(bytes.len()),
        }
    }

    fn check(&mut self, check: impl FnOnce() -> Result<(), EncodeErrorKind>, field: &'static str) {
        if self.buffer.is_none() {
            self.measure.note(check(), field);
        }
    }
}

impl Sink for Vec<u8> {
    type Measure = Measure;

    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}
}

/// What is left of memory that has room for what was measured.
#[cfg(feature = "bulk")]
pub(super) struct Front<'b>(pub(super) &'b mut [u8]);

#[cfg(feature = "bulk")]
impl Sink for Front<'_> {
    type Measure = Measure;

    fn bytes(&mut self, bytes: &[u8]) {
        let (front, rest) = core::mem::take(&mut self.0).split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        self.0 = rest;
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}
}

/// Counts bytes, and keeps the first error about how many there are. It looks at none of them.
#[cfg(feature = "bulk")]
#[derive(Debug, Default)]
pub(super) struct Count(Measure);

#[cfg(feature = "bulk")]
impl Count {
    /// What was too long, if anything was.
    pub(super) fn finish(self) -> Result<(), EncodeError> {
        self.0.finish().map(drop)
    }
}

#[cfg(feature = "bulk")]
impl Length for Count {
    fn len(&self) -> usize {
        self.0.len
    }
}

#[cfg(feature = "bulk")]
impl Sink for Count {
    type Measure = Self;

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.bytes(bytes);
    }

    fn check(&mut self, _: impl FnOnce() -> Result<(), EncodeErrorKind>, _: &'static str) {}

    fn require(&mut self, holds: bool, kind: EncodeErrorKind, field: &'static str) {
        self.0.require(holds, kind, field);
    }
}
