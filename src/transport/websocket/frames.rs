//! Frames of WebSocket (RFC 6455, section 5): bytes in, bytes out. The payload of data frames is handed on as it comes,
//! so that neither a long frame nor a long message takes memory, and an MQTT packet may lie in any number of frames
//! \[MQTT-6.0.0-2\].

use alloc::format;
use alloc::vec::Vec;

use edge_ws::{Error as HeaderError, FrameHeader, FrameType};

use crate::error::{TransportError, WebSocketFailure};
use crate::transport::http::shown;

/// The longest data frame: a few packets may share one, but none is longer than the longest of them (section 2.1.4).
const MOST_PAYLOAD: u64 = 268_435_455 + 5;

/// The longest control frame (RFC 6455, section 5.5).
pub(super) const MOST_CONTROL: usize = 125;

/// Close codes (RFC 6455, section 7.4.1).
pub(super) mod code {
    pub(in super::super) const NORMAL: u16 = 1000;
    pub(in super::super) const PROTOCOL_ERROR: u16 = 1002;
    pub(in super::super) const UNSUPPORTED_DATA: u16 = 1003;
    pub(in super::super) const TOO_BIG: u16 = 1009;
}

/// Takes frames off what came, in place.
#[derive(Default)]
pub(super) struct Unframer {
    /// A header that has come in part: `header[..header_len]`.
    header: [u8; FrameHeader::MAX_LEN],
    header_len: usize,
    /// The frame whose payload comes, and how much of that is left.
    frame: Option<(FrameType, u64)>,
    /// Whether a message has begun, and its last fragment has not.
    is_fragmented: bool,
    /// The payload of a control frame that has come in part.
    control: Vec<u8>,
    /// What the last Ping asks to have back; only the last has to be answered (section 5.5.3).
    pong: Option<Vec<u8>>,
    /// Why nothing more is read.
    end: Option<End>,
}

/// How a WebSocket ends.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// What to send in the Close frame; `None`: one without a code, as the peer's was.
    pub(super) code: Option<u16>,
    /// What the user is told; `None`: the peer has closed it, and said no more.
    pub(super) error: Option<TransportError>,
}

impl Unframer {
    /// Takes the frames off these bytes, and leaves their payload at the beginning; how long that is.
    pub(super) fn strip(&mut self, bytes: &mut [u8]) -> usize {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() && self.end.is_none() {
            let Some((kind, left)) = self.frame else {
                read += self.read_header(&bytes[read..]);
                continue;
            };
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - read);
            if matches!(kind, FrameType::Binary(_) | FrameType::Continue(_)) {
                bytes.copy_within(read..read + len, written);
                written += len;
            } else {
                self.control.extend_from_slice(&bytes[read..read + len]);
            }
            read += len;
            self.took(kind, left - len as u64);
        }
        written
    }

    /// Why nothing more is read, once that is so.
    pub(super) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What a Pong has to have in it, if one is due.
    pub(super) const fn take_pong(&mut self) -> Option<Vec<u8>> {
        self.pong.take()
    }

    /// Reads a header, or a part of it; how many bytes of these it has.
    fn read_header(&mut self, bytes: &[u8]) -> usize {
        let before = self.header_len;
        let len = bytes.len().min(self.header.len() - before);
        self.header[before..before + len].copy_from_slice(&bytes[..len]);
        let known = &self.header[..before + len];
        // Told before the key is waited for.
        if known.get(1).is_some_and(|second| second & 0x80 != 0) {
            self.fail(WebSocketFailure::MaskedFrame, "", code::PROTOCOL_ERROR);
            return len;
        }
        match FrameHeader::deserialize(known) {
            Ok((header, header_len)) => {
                let is_final = known[0] & 0x80 != 0;
                self.header_len = 0;
                self.begin(&header, header_len, is_final);
                header_len - before
            }
            Err(HeaderError::Incomplete(_)) => {
                self.header_len = before + len;
                len
            }
            Err(_) => {
                let message = format!("its first byte is {:#04x}: a reserved bit or an unknown opcode", known[0]);
                self.fail(WebSocketFailure::InvalidFrame, &message, code::PROTOCOL_ERROR);
                len
            }
        }
    }

    /// A frame begins.
    fn begin(&mut self, header: &FrameHeader, header_len: usize, is_final: bool) {
        use WebSocketFailure::{FrameTooLarge, InvalidFrame, TextFrame};
        let kind = header.frame_type;
        let is_control = matches!(kind, FrameType::Ping | FrameType::Pong | FrameType::Close);
        let most = if is_control { MOST_CONTROL as u64 } else { MOST_PAYLOAD };
        let invalid = match kind {
            _ if header_len != header.serialized_len() => "its length is not written in the shortest form",
            FrameType::Continue(_) if !self.is_fragmented => "it continues a message, and none has begun",
            FrameType::Binary(_) if self.is_fragmented => "a message begins before the last one has ended",
            _ if is_control && !is_final => "it is a fragment of a control frame",
            FrameType::Text(_) => return self.fail(TextFrame, "", code::UNSUPPORTED_DATA),
            _ if header.payload_len > most => {
                let message = format!("it has {} bytes, and {most} are allowed", header.payload_len);
                return self.fail(FrameTooLarge, &message, code::TOO_BIG);
            }
            _ => "",
        };
        if !invalid.is_empty() {
            return self.fail(InvalidFrame, invalid, code::PROTOCOL_ERROR);
        }
        if !is_control {
            self.is_fragmented = !is_final;
        }
        self.control.clear();
        self.took(kind, header.payload_len);
    }

    /// As much of the frame's payload is left.
    fn took(&mut self, kind: FrameType, left: u64) {
        self.frame = (left > 0).then_some((kind, left));
        match kind {
            _ if left > 0 => {}
            FrameType::Ping => self.pong = Some(core::mem::take(&mut self.control)),
            FrameType::Close => self.closed(),
            _ => {}
        }
    }

    /// The peer closes the WebSocket.
    fn closed(&mut self) {
        let (number, reason) = match &self.control[..] {
            [] => {
                self.end = Some(End { code: None, error: None });
                return;
            }
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), core::str::from_utf8(reason)),
            [_] => return self.fail(WebSocketFailure::InvalidFrame, "Close has half a code", code::PROTOCOL_ERROR),
        };
        let Ok(reason) = reason else {
            let message = "the reason in Close is not UTF-8";
            return self.fail(WebSocketFailure::InvalidFrame, message, code::PROTOCOL_ERROR);
        };
        // Those that an endpoint may send (RFC 6455, section 7.4, and the registry that it made).
        if !matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            let message = format!("Close has the code {number}, which nobody may send");
            return self.fail(WebSocketFailure::InvalidFrame, &message, code::PROTOCOL_ERROR);
        }
        let mut message = format!("code {number}");
        let name = name(number);
        let said = shown(reason);
        for (separator, part) in [(", ", name), (": ", &said)] {
            if !part.is_empty() {
                message.push_str(separator);
                message.push_str(part);
            }
        }
        self.end = Some(End { code: Some(number), error: Some(WebSocketFailure::Closed(number).because(&message)) });
    }

    fn fail(&mut self, failure: WebSocketFailure, message: &str, code: u16) {
        self.end = Some(End { code: Some(code), error: Some(failure.because(message)) });
    }
}

/// What a close code means, in the words of its registry.
const fn name(code: u16) -> &'static str {
    match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1007 => "invalid payload",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        _ => "",
    }
}

/// Adds a whole message as one frame, masked with this key (RFC 6455, section 5.3).
pub(super) fn frame(frame_type: FrameType, payload: &[u8], key: u32, outgoing: &mut Vec<u8>) {
    let header = FrameHeader { frame_type, payload_len: payload.len() as u64, mask_key: Some(key) };
    let start = outgoing.len();
    outgoing.resize(start + header.serialized_len(), 0);
    // There is as much room as it needs.
    let _ = header.serialize(&mut outgoing[start..]);
    let start = outgoing.len();
    outgoing.extend_from_slice(payload);
    header.mask(&mut outgoing[start..], 0);
}

/// The payload of a Close frame.
pub(super) fn close(code: Option<u16>) -> Vec<u8> {
    code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default()
}
