//! Bytes on their way out: one contiguous buffer, so that everything that waits leaves in one write. Large packets that
//! are kept until they are acknowledged, or that come behind others, are not copied into it: they leave from where they
//! are, each in a write of its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::{Ack, DecodeOptions, EncodeError, Packet, PacketId, PacketType, Publish, PublishProperties, QoS};
use crate::codec::{FixedHeader, UnknownProperties};
use crate::fifo::Fifo;

/// Whether large packets leave from where they are. A program without std copies them: it is built to be small.
const SHARES: bool = cfg!(any(feature = "std", feature = "component"));

#[derive(Clone, Default)]
pub(super) struct Outbound {
    /// Whole packets, the first of which may have been sent.
    pub(super) buffer: Vec<u8>,
    /// Packets that are sent before those in `buffer`: a large one, or what was in `buffer` before one.
    ahead: Fifo<Arc<Vec<u8>>>,
    /// How many bytes those have.
    ahead_bytes: usize,
    /// How much was sent of the first that is ahead, or else of `buffer`.
    pub(super) sent: usize,
    /// How many packets were ever put in.
    pub(super) packets: u64,
    /// Of messages at QoS 0 that have an alias alone: where they end in the stream, and their Topic Names.
    pub(super) unnamed: Fifo<(u64, Arc<str>)>,
    /// How many bytes those Topic Names have.
    unnamed_bytes: usize,
    /// How many bytes were sent before the first that is ahead, or else before `buffer`.
    pub(super) origin: u64,
    /// How many bytes of the session's own making were added since the place in the stream that `mark` was set at.
    own: usize,
    /// How many were added in the stretch before that, some of which may be sent.
    own_before: usize,
    /// Where the stream ended when a new stretch began: once all before it is sent, the next one begins.
    mark: u64,
    /// The message whose payload comes bit by bit, until all of it is sent.
    #[cfg(feature = "stream")]
    pub(super) streamed: Option<super::stream::Streamed>,
}

/// Shows no bytes: CONNECT has a password among them.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("pending", &self.pending().len()).finish_non_exhaustive()
    }
}

/// More than this many bytes of the session's own making never wait: an acknowledgement of four bytes for each of
/// 65,535 messages.
const MOST_OWN: usize = 4 * 65_536;

impl Outbound {
    pub(super) fn pending(&self) -> &[u8] {
        #[cfg(feature = "stream")]
        if let Some(streamed) = &self.streamed {
            return &self.buffer[self.sent..streamed.sendable(self.sent, self.buffer.len())];
        }
        &self.front()[self.sent..]
    }

    /// How many bytes wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        let behind = if self.has_ahead() { self.ahead_bytes - self.front().len() + self.buffer.len() } else { 0 };
        self.pending().len() + behind
    }

    /// What is sent first.
    fn front(&self) -> &[u8] {
        if self.has_ahead() { self.first_ahead() } else { &self.buffer }
    }

    /// Where the next byte will be in the stream.
    pub(super) const fn end(&self) -> u64 {
        #[cfg(feature = "stream")]
        if let Some(streamed) = &self.streamed {
            return self.origin + self.buffer.len() as u64 + streamed.missing as u64;
        }
        self.origin + (self.ahead_bytes + self.buffer.len()) as u64
    }

    /// Whether everything before this place in the stream was sent.
    pub(super) const fn has_sent(&self, place: u64) -> bool {
        self.origin + self.sent as u64 >= place
    }

    /// How many bytes were sent behind this place in the stream.
    pub(super) const fn sent_since(&self, place: u64) -> u64 {
        (self.origin + self.sent as u64).saturating_sub(place)
    }

    /// Whether `len` more bytes keep within `limit`. A single packet always does.
    pub(super) fn has_room(&self, len: usize, limit: usize) -> bool {
        // What was left out may have to be put back in.
        let pending = self.ahead_bytes + self.buffer.len() - self.sent + self.unnamed_bytes;
        pending == 0 || pending.saturating_add(len) <= limit
    }

    /// The buffer to append a packet of `len` bytes to.
    pub(super) fn appender(&mut self, len: usize) -> &mut Vec<u8> {
        if !self.has_ahead()
            && self.sent > self.buffer.len() - self.sent
            && self.buffer.capacity() - self.buffer.len() < len
        {
            self.drop_sent();
        }
        self.packets += 1;
        &mut self.buffer
    }

    /// Appends a message, of which it is known that it is no longer than that; returns where it is in the buffer.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn encode(&mut self, packet: &Publish<'_>, most_len: usize) -> Result<usize, EncodeError> {
        let buffer = self.appender(most_len);
        let start = buffer.len();
        match packet.encode(buffer) {
            Ok(()) => Ok(start),
            Err(error) => {
                self.packets -= 1;
                Err(error)
            }
        }
    }

    /// Whether [`Outbound::push_shared`] may be called.
    #[cfg_attr(not(feature = "stream"), allow(clippy::unused_self))]
    pub(super) const fn takes_shared(&self) -> bool {
        #[cfg(feature = "stream")]
        if self.streamed.is_some() {
            return false;
        }
        SHARES
    }

    /// Whether packets are sent before those in `buffer`.
    const fn has_ahead(&self) -> bool {
        SHARES && self.ahead_bytes > 0
    }

    /// The first of them.
    #[cold]
    fn first_ahead(&self) -> &[u8] {
        self.ahead.front().map_or(&[], |packet| packet)
    }

    /// Some of that was sent.
    #[cold]
    fn pass_ahead(&mut self) {
        let len = self.first_ahead().len();
        assert!(self.sent <= len, "more bytes transmitted than there were");
        if self.sent == len {
            self.ahead.pop_front();
            self.ahead_bytes -= len;
            self.origin += len as u64;
            self.sent = 0;
        }
    }

    /// Puts a packet in without a copy, which may be kept elsewhere too.
    #[inline(never)]
    pub(super) fn push_shared(&mut self, packet: Vec<u8>) -> Arc<Vec<u8>> {
        let packet = Arc::new(packet);
        if !self.buffer.is_empty() {
            let before = core::mem::take(&mut self.buffer);
            self.ahead_bytes += before.len();
            self.ahead.push_back(Arc::new(before));
        }
        self.ahead_bytes += packet.len();
        self.ahead.push_back(Arc::clone(&packet));
        self.packets += 1;
        packet
    }

    /// Copies all that is ahead into the buffer, for what knows nothing else.
    #[cold]
    pub(super) fn gather(&mut self) {
        if !self.has_ahead() {
            return;
        }
        let mut all = Vec::new();
        self.ahead.iter().for_each(|packet| all.extend_from_slice(packet));
        all.append(&mut self.buffer);
        self.buffer = all;
        self.ahead.clear();
        self.ahead_bytes = 0;
    }

    /// Rather than grow: what was sent makes room, and hardly more bytes move than were sent.
    #[cold]
    fn drop_sent(&mut self) {
        let (_, start) = self.first_unsent();
        self.buffer.drain(..start);
        self.origin += start as u64;
        self.sent -= start;
        #[cfg(feature = "stream")]
        if let Some(streamed) = &mut self.streamed {
            streamed.move_by(start);
        }
    }

    /// How many packets were wholly sent, or wait to be.
    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Notes that the packet that was put in last is a message at QoS 0 with an alias alone for this Topic Name.
    pub(super) fn name(&mut self, topic: Arc<str>) {
        self.unnamed_bytes += topic.len();
        self.unnamed.push_back((self.end(), topic));
    }

    /// The messages at QoS 0 that were not sent, or not to their end: packets one behind the other, with their full
    /// Topic Names. All that waits was [gathered](Outbound::gather).
    pub(super) fn unsent_messages(&self) -> Vec<u8> {
        #[cfg(feature = "stream")]
        if self.streamed.is_some() {
            let mut others = self.clone();
            others.take_out_streamed();
            return others.unsent_messages();
        }
        let mut unsent = Vec::new();
        let mut topics = self.unnamed.iter();
        let (_, mut start) = self.first_unsent();
        for packet in packets(&self.buffer[start..]) {
            start += packet.len();
            let end = self.origin + start as u64;
            let Some(message) = message(packet).filter(|message| message.qos == QoS::AtMostOnce) else { continue };
            let topic = match message.topic {
                "" => topics.find(|(place, _)| *place == end).map_or("", |(_, topic)| topic),
                topic => topic,
            };
            let properties = PublishProperties { topic_alias: None, ..message.properties };
            // It was valid with an alias, so it is without.
            let _ = Publish { topic, properties, ..message }.encode(&mut unsent);
        }
        unsent
    }

    /// How long the message at QoS 0 is that was sent in part, if there is one.
    pub(super) fn cut_message(&self) -> Option<usize> {
        let (_, start) = self.first_unsent();
        let cut = packets(&self.front()[start..]).next().filter(|_| start < self.sent)?;
        message(cut).filter(|message| message.qos == QoS::AtMostOnce).map(|_| cut.len())
    }

    /// How many packets of the first that is ahead, or else of the buffer, are sent to their end, and where in there
    /// the next one starts.
    fn first_unsent(&self) -> (u64, usize) {
        let (mut count, mut start) = (0, 0);
        #[cfg(not(feature = "stream"))]
        let whole = self.front();
        // One that is streamed is not sent to its end: it would not be there.
        #[cfg(feature = "stream")]
        let whole = match &self.streamed {
            Some(streamed) => &self.buffer[..streamed.start],
            None => self.front(),
        };
        for packet in packets(whole) {
            if start + packet.len() > self.sent {
                break;
            }
            start += packet.len();
            count += 1;
        }
        (count, start)
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
        packet.encode_from_client(self.appender(len));
        Ok(())
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
        if self.has_ahead() {
            self.pass_ahead();
        } else {
            assert!(self.sent <= self.buffer.len(), "more bytes transmitted than there were");
        }
        while let Some((place, topic)) = self.unnamed.front()
            && self.has_sent(*place)
        {
            self.unnamed_bytes -= topic.len();
            self.unnamed.pop_front();
        }
        #[cfg(feature = "stream")]
        if self.streamed.is_some() {
            self.pass_streamed();
        }
        let is_all = !self.has_ahead() && self.sent == self.buffer.len();
        #[cfg(feature = "stream")]
        let is_all = is_all && self.streamed.is_none();
        if is_all {
            self.empty();
        } else if self.has_sent(self.mark) {
            (self.own_before, self.own) = (self.own, 0);
            self.mark = self.end();
        }
    }

    /// Drops what was not sent.
    pub(super) fn clear(&mut self) {
        #[cfg(feature = "stream")]
        self.take_out_streamed();
        self.gather();
        let (sent, start) = self.first_unsent();
        debug_assert!(start <= self.sent, "packets are whole");
        self.packets -= packets(&self.buffer).count() as u64 - sent;
        // What was not sent has no place in the stream.
        self.buffer.truncate(self.sent);
        self.empty();
    }

    fn empty(&mut self) {
        self.unnamed.clear();
        self.unnamed_bytes = 0;
        self.origin = self.end();
        self.buffer.clear();
        self.sent = 0;
        (self.own_before, self.own) = (0, 0);
        self.mark = self.origin;
    }
}

/// The packets that these bytes are, one behind the other. Ends where there is no whole one.
pub(super) fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (header, header_len) = FixedHeader::decode(bytes).ok()??;
        let (packet, rest) = bytes.split_at_checked(header_len + header.remaining_length as usize)?;
        bytes = rest;
        Some(packet)
    })
}

/// The PUBLISH that these bytes are, if they are one.
pub(super) fn message(packet: &[u8]) -> Option<Publish<'_>> {
    let (header, start) = FixedHeader::decode(packet).ok()??;
    let options = DecodeOptions { unknown_properties: UnknownProperties::Malformed };
    let is_publish = header.packet_type == PacketType::Publish;
    Publish::decode(header.flags, packet.get(start..)?, options).ok().filter(|_| is_publish)
}
