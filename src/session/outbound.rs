//! Bytes on their way out: one contiguous buffer, so that everything that waits leaves in one write.

use alloc::vec::Vec;

use crate::codec::{Ack, EncodeError, Packet, PacketId, PacketType};

#[derive(Debug, Default)]
pub(super) struct Outbound {
    buffer: Vec<u8>,
    /// How much of `buffer` was sent.
    sent: usize,
    /// How many bytes were sent before `buffer[0]`.
    origin: u64,
    /// How many bytes of the session's own making were added since the place in the stream that `mark` was set at.
    own: usize,
    /// How many were added in the stretch before that, some of which may be sent.
    own_before: usize,
    /// Where the stream ended when a new stretch began: once all before it is sent, the next one begins.
    mark: u64,
}

/// More than this many bytes of the session's own making never wait: an acknowledgement of four bytes for each of
/// 65,535 messages.
const MOST_OWN: usize = 4 * 65_536;

impl Outbound {
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Where the next byte will be in the stream.
    pub(super) const fn end(&self) -> u64 {
        self.origin + self.buffer.len() as u64
    }

    /// Whether everything before this place in the stream was sent.
    pub(super) const fn has_sent(&self, place: u64) -> bool {
        self.origin + self.sent as u64 >= place
    }

    /// Whether `len` more bytes keep within `limit`. A single packet always does.
    pub(super) fn has_room(&self, len: usize, limit: usize) -> bool {
        let pending = self.pending().len();
        pending == 0 || pending.saturating_add(len) <= limit
    }

    /// The buffer to append a packet of `len` bytes to.
    pub(super) fn appender(&mut self, len: usize) -> &mut Vec<u8> {
        if self.sent > self.pending().len() && self.buffer.capacity() - self.buffer.len() < len {
            // Rather than grow: what was sent makes room, and fewer bytes move than were sent.
            self.buffer.drain(..self.sent);
            self.origin += self.sent as u64;
            self.sent = 0;
        }
        &mut self.buffer
    }

    /// Whether the broker makes the session answer faster than it reads the answers.
    pub(super) const fn is_overrun(&self) -> bool {
        self.own_before + self.own > MOST_OWN
    }

    /// What was appended since the buffer had this length.
    pub(super) fn since(&self, len: usize) -> &[u8] {
        &self.buffer[len..]
    }

    pub(super) fn push(&mut self, packet: &Packet<'_>) -> Result<(), EncodeError> {
        let len = packet.encoded_len_from_client()?;
        self.own += len;
        packet.encode_from_client(self.appender(len))
    }

    /// Appends PUBACK, PUBREC or PUBCOMP that says Success: there is one of them for each message.
    pub(super) fn push_success(&mut self, packet_type: PacketType, id: PacketId) {
        let bytes = Ack::success_bytes(packet_type, id);
        self.own += bytes.len();
        self.push_bytes(&bytes);
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.appender(bytes.len()).extend_from_slice(bytes);
    }

    pub(super) fn transmitted(&mut self, len: usize) {
        self.sent += len;
        assert!(self.sent <= self.buffer.len(), "more bytes transmitted than there were");
        if self.sent == self.buffer.len() {
            self.clear();
        } else if self.has_sent(self.mark) {
            (self.own_before, self.own) = (self.own, 0);
            self.mark = self.end();
        }
    }

    /// Drops what was not sent.
    pub(super) fn clear(&mut self) {
        self.origin = self.end();
        self.buffer.clear();
        self.sent = 0;
        (self.own_before, self.own) = (0, 0);
        self.mark = self.origin;
    }
}
