//! Reading the data types of section 1.5 off a packet's body, with an eye on where it went wrong.

use super::list::List;
use super::topic::{self, Scan};
use super::{DecodeError, DecodeErrorKind, PacketId, PacketType, ReasonCode, TopicError, varint};

/// A cursor over the body of one packet.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    packet_type: PacketType,
    /// How much of the packet's body lay before `bytes`, for error messages.
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(packet_type: PacketType, body: &'a [u8]) -> Self {
        Self { bytes: body, packet_type, offset: 0 }
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(len) {
            Some((taken, rest)) => {
                self.bytes = rest;
                self.offset += len;
                Ok(taken)
            }
            None => Err(self.error(DecodeErrorKind::UnexpectedEnd, field)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                self.offset += N;
                Ok(*taken)
            }
            None => Err(self.error(DecodeErrorKind::UnexpectedEnd, field)),
        }
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "in programs built for size too, since it is there for each packet")]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn varint(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match varint::decode(self.bytes) {
            Ok(Some((value, len))) => {
                self.bytes = &self.bytes[len..];
                self.offset += len;
                Ok(value)
            }
            Ok(None) => Err(self.error(DecodeErrorKind::UnexpectedEnd, field)),
            Err(kind) => Err(self.error(kind, field)),
        }
    }

    pub(super) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u16(field)?;
        self.take(len.into(), field)
    }

    /// A string that is UTF-8, whatever characters it has.
    #[cfg(feature = "bulk")]
    pub(super) fn utf8(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        core::str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::InvalidUtf8, field))
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let (text, _) = self.scanned(field)?;
        Ok(text)
    }

    /// A string, and what it has of the characters that matter.
    #[inline]
    fn scanned(&mut self, field: &'static str) -> Result<(&'a str, Scan), DecodeError> {
        let bytes = self.binary(field)?;
        let Ok(text) = core::str::from_utf8(bytes) else {
            return Err(self.error(DecodeErrorKind::InvalidUtf8, field));
        };
        let scan = Scan::new(bytes);
        if scan.has_null {
            return Err(self.error(DecodeErrorKind::NullCharacter, field));
        }
        Ok((text, scan))
    }

    pub(super) fn topic_name(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let name = self.topic_name_or_empty(field)?;
        if name.is_empty() {
            return Err(self.error(DecodeErrorKind::InvalidTopic(TopicError::Empty), field));
        }
        Ok(name)
    }

    /// A Topic Name, or nothing where a Topic Alias may stand for it.
    pub(super) fn topic_name_or_empty(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let (name, scan) = self.scanned(field)?;
        if scan.has_wildcard {
            return Err(self.error(DecodeErrorKind::InvalidTopic(TopicError::Wildcard), field));
        }
        Ok(name)
    }

    pub(super) fn topic_filter(&mut self) -> Result<&'a str, DecodeError> {
        const FIELD: &str = "Topic Filter";
        let filter = self.string(FIELD)?;
        topic::validate_topic_filter(filter)
            .map_err(|error| self.error(DecodeErrorKind::InvalidTopic(error), FIELD))?;
        Ok(filter)
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        const FIELD: &str = "Packet Identifier";
        PacketId::new(self.u16(FIELD)?).ok_or_else(|| self.error(DecodeErrorKind::ZeroPacketId, FIELD))
    }

    pub(super) fn reason_code(&mut self) -> Result<ReasonCode, DecodeError> {
        const FIELD: &str = "Reason Code";
        let value = self.u8(FIELD)?;
        ReasonCode::from_u8(value)
            .filter(|code| code.is_valid_in(self.packet_type))
            .ok_or_else(|| self.error(DecodeErrorKind::InvalidReasonCode(value), FIELD))
    }

    /// Moves past a zero, if one is next: a Property Length of nothing, which is what most packets have.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "in programs built for size too, since it is there for each packet")]
    pub(super) fn take_zero(&mut self) -> bool {
        match self.bytes {
            [0, rest @ ..] => {
                self.bytes = rest;
                self.offset += 1;
                true
            }
            _ => false,
        }
    }

    /// The Reason Code of PUBACK, PUBREC, PUBREL or PUBCOMP, where any failure is taken that the specification has.
    ///
    /// Brokers refuse messages with failures that are not for these packets, such as Packet too large. The message has
    /// failed all the same; to end the connection over it would have the message sent again and again.
    pub(super) fn ack_reason_code(&mut self) -> Result<ReasonCode, DecodeError> {
        match self.bytes.first().and_then(|&value| ReasonCode::from_u8(value)) {
            Some(code) if code.is_error() => self.u8("Reason Code").map(|_| code),
            _ => self.reason_code(),
        }
    }

    /// A reader over the block that a Property Length announces (section 2.2.2.1), which is skipped here.
    pub(super) fn property_block(&mut self) -> Result<Self, DecodeError> {
        const FIELD: &str = "Property Length";
        let len = self.varint(FIELD)? as usize;
        let offset = self.offset;
        Ok(Self { bytes: self.take(len, FIELD)?, packet_type: self.packet_type, offset })
    }

    /// A list of at least one entry that takes up the rest of the packet, each checked by `read`.
    pub(super) fn list<T, R>(
        &mut self,
        field: &'static str,
        read: impl Fn(&mut Self) -> Result<R, DecodeError>,
    ) -> Result<List<'a, T>, DecodeError> {
        let checked = List::wire(self.bytes);
        if self.is_empty() {
            return Err(self.error(DecodeErrorKind::EmptyList, field));
        }
        while !self.is_empty() {
            read(self)?;
        }
        Ok(checked)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.offset += self.bytes.len();
        core::mem::take(&mut self.bytes)
    }

    /// Everything that is left, without moving on.
    pub(super) const fn peek(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Fails unless the whole body was read.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes, "end of packet")) }
    }

    #[cold]
    pub(super) fn error(&self, kind: DecodeErrorKind, field: &'static str) -> DecodeError {
        DecodeError { kind, packet_type: Some(self.packet_type), field, offset: self.offset }
    }
}
