//! Messages that are not to be in memory as a whole: of those the head is framed, and then the payload is taken as it
//! comes.
//!
//! ```text
//!          next                                            end
//!  ┌───────┬──────────────┬──────┬──────────────────────────┐
//!  │ free  │ fixed header │ head │ what came of the payload │   Head: nothing is taken yet
//!  └───────┴──────────────┴──────┴──────────────────────────┘
//!                                next                      end
//!  ┌─────────────────────────────┬──────────────────────────┐
//!  │ free, or in use             │ what came of the payload │   Payload
//!  └─────────────────────────────┴──────────────────────────┘
//! ```

use super::{FrameReader, FrameSpan, WORTH_READING};
use crate::codec::{FixedHeader, PacketType, varint};

/// As much of a payload is read before some of it is taken.
const WINDOW: usize = 64 * 1024;

/// Which packets are streamed, and how far that is.
#[derive(Debug)]
pub(super) struct Streams {
    /// Messages whose packet has more bytes than this.
    above: u32,
    /// Whether the packet that comes next is not, whatever it is.
    collects: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    /// The head of a message was framed: how many bytes there are before its payload, and how long that is.
    Head(usize, usize),
    /// So many bytes of a payload were not taken yet.
    Payload(usize),
}

impl Streams {
    pub(super) const fn none() -> Self {
        Self { above: u32::MAX, collects: false, state: State::None }
    }

    /// Whether a packet of this size is streamed.
    pub(super) fn is_for(&self, packet_type: PacketType, size: usize) -> bool {
        size > self.above as usize && packet_type == PacketType::Publish && !self.collects
    }

    /// A packet was framed.
    pub(super) const fn packet_is_whole(&mut self) {
        self.collects = false;
    }
}

impl FrameReader {
    /// Streams messages whose packets have more bytes than this.
    pub(crate) const fn stream_above(&mut self, len: u32) {
        self.streams.above = len;
    }

    /// Frames the head of the message that comes next, once all of it is there.
    pub(super) fn next_head(&mut self, header: FixedHeader, header_len: usize) -> Option<FrameSpan> {
        let all = header.remaining_length as usize;
        let body = &self.buffer[self.next + header_len..self.end];
        let body = &body[..body.len().min(all)];
        // One that is not valid is as long as what is there: it is refused when it is decoded.
        let len = match head_len(body, header.flags) {
            Some(len) if len > all => body.len(),
            Some(len) if len <= body.len() => len,
            None if body.len() == all => all,
            _ => return None,
        };
        self.streams.state = State::Head(header_len + len, all - len);
        let body = self.origin + (self.next + header_len) as u64;
        Some(FrameSpan { packet_type: header.packet_type, flags: header.flags, body, len: len as u32 })
    }

    /// Whether nothing is framed until a payload is taken.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streams.state != State::None
    }

    /// Whether the message whose head was framed has a payload.
    pub(crate) fn head_has_payload(&self) -> bool {
        matches!(self.streams.state, State::Head(_, len) if len > 0)
    }

    /// The message whose head was framed is framed as a whole after all.
    pub(crate) fn collect(&mut self) {
        if let State::Head(..) = self.streams.state {
            (self.streams.state, self.streams.collects) = (State::None, true);
        }
    }

    /// What comes of the message whose head was framed is its payload; how long that is. The head stays where it is
    /// until something of the payload is taken, or something is read.
    pub(crate) fn begin_payload(&mut self) -> usize {
        let State::Head(before, len) = self.streams.state else { return 0 };
        self.next += before;
        self.streams.state = if len == 0 { State::None } else { State::Payload(len) };
        len
    }

    /// How many bytes of a payload were not taken yet.
    pub(crate) const fn payload_left(&self) -> Option<usize> {
        match self.streams.state {
            State::Payload(left) => Some(left),
            _ => None,
        }
    }

    /// What has come of a payload, and was not taken.
    pub(crate) fn payload(&self) -> &[u8] {
        let len = self.payload_left().unwrap_or(0).min(self.end - self.next);
        &self.buffer[self.next..self.next + len]
    }

    /// The first `len` bytes of what has come of a payload are taken.
    pub(crate) fn payload_taken(&mut self, len: usize) {
        assert!(len <= self.payload().len(), "more of a payload than there was");
        if let State::Payload(left) = self.streams.state {
            self.next += len;
            self.start = self.next;
            self.streams.state = if left == len { State::None } else { State::Payload(left - len) };
        }
    }

    /// The rest of a payload is dropped as it comes.
    pub(crate) fn skip_payload(&mut self) {
        if let State::Payload(left) = self.streams.state {
            self.streams.state = State::None;
            self.skips = left;
        }
    }

    /// Drops what has come of what is skipped; whether that was all of it.
    pub(crate) fn has_skipped(&mut self) -> bool {
        if self.skips > 0 {
            self.drop_skipped();
        }
        self.skips == 0
    }

    /// What is left of a payload has no place here any more.
    pub(crate) const fn give_payload_up(&mut self) {
        self.streams.state = State::None;
        self.end = self.next;
    }

    /// Whether as much of a message that is streamed is there as is read before some of it is taken.
    pub(crate) fn is_full_of_payload(&self) -> bool {
        self.is_streaming() && self.missing_of_window() == 0
    }

    /// Whether all of a message that is streamed has come.
    pub(crate) fn has_whole_payload(&self) -> bool {
        self.end - self.next >= self.rest()
    }

    /// Nothing more comes: gives a message up that is not whole. Returns how many bytes of one that is are kept.
    pub(super) fn cut_payload(&mut self) -> usize {
        let kept = match self.streams.state {
            State::Payload(left) if self.has_whole_payload() => return left,
            _ => 0,
        };
        (self.streams.state, self.streams.collects) = (State::None, false);
        kept
    }

    /// How much free space makes the next read worthwhile.
    pub(super) fn wanted_of_payload(&self) -> usize {
        self.missing_of_window().max(WORTH_READING)
    }

    fn missing_of_window(&self) -> usize {
        let before = if let State::Head(before, _) = self.streams.state { before } else { 0 };
        self.rest().min(before + WINDOW).saturating_sub(self.end - self.next)
    }

    /// How many bytes a message that is streamed has from `next` on.
    const fn rest(&self) -> usize {
        match self.streams.state {
            State::None => 0,
            State::Head(before, len) => before + len,
            State::Payload(left) => left,
        }
    }
}

/// How many bytes of the body of a PUBLISH are before its payload, if that can be told.
fn head_len(body: &[u8], flags: u8) -> Option<usize> {
    let topic_len = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    let before = 2 + topic_len + if flags & 0b110 == 0 { 0 } else { 2 };
    match varint::decode(body.get(before..)?) {
        Ok(length) => length.map(|(len, own)| before + own + len as usize),
        // Nothing more has to come for it to be refused.
        Err(_) => Some(usize::MAX),
    }
}
