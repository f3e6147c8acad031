//! The sink's side of WebSocket (RFC 6455), without I/O: it takes every request, and speaks in one frame at a time.

use std::io;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Input;

/// The first byte of a whole frame of bytes.
const BINARY: u8 = 0x82;

/// The bit of a frame's first byte that says that it is WebSocket's own: it carries nothing of MQTT.
const CONTROL: u8 = 0x08;

/// The WebSocket of a connection.
#[derive(Default)]
pub(super) struct WebSocket {
    is_open: bool,
    /// The frame that is being read.
    frame: Option<Frame>,
    /// What WebSocket itself has to say.
    answers: Vec<u8>,
    /// The frame with what the caller has to say.
    written: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Frame {
    is_control: bool,
    mask: [u8; 4],
    left: usize,
}

impl WebSocket {
    /// Takes frames apart, and puts what was in them behind the input. How many bytes are done with; the rest waits for
    /// more. Behind it, [`WebSocket::answers`] has to be written.
    pub(super) fn take(&mut self, bytes: &mut [u8], input: &mut Input) -> io::Result<usize> {
        self.answers.clear();
        if !self.is_open {
            return self.open(bytes);
        }
        let mut done = 0;
        loop {
            let Some(frame) = &mut self.frame else {
                let Some((frame, len)) = Frame::read(&bytes[done..])? else { return Ok(done) };
                done += len;
                self.frame = Some(frame);
                continue;
            };
            let len = frame.left.min(bytes.len() - done);
            let payload = &mut bytes[done..done + len];
            if !frame.is_control {
                unmask(payload, frame.mask);
                input.push(payload);
            }
            frame.mask.rotate_left(len % 4);
            frame.left -= len;
            done += len;
            if frame.left > 0 {
                return Ok(done);
            }
            self.frame = None;
        }
    }

    /// What WebSocket itself had to say to the bytes that were taken last.
    pub(super) fn answers(&self) -> &[u8] {
        &self.answers
    }

    /// The frame that these bytes go in.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> &[u8] {
        self.written.clear();
        self.written.push(BINARY);
        match bytes.len() {
            len @ 0..=125 => self.written.push(len as u8),
            len @ 126..=0xFFFF => {
                self.written.push(126);
                self.written.extend((len as u16).to_be_bytes());
            }
            len => {
                self.written.push(127);
                self.written.extend((len as u64).to_be_bytes());
            }
        }
        self.written.extend_from_slice(bytes);
        &self.written
    }

    /// Answers the request, once it is whole.
    fn open(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(0) };
        let request = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("Sec-WebSocket-Key").then(|| value.trim())
        });
        let accept = derive_accept_key(key.ok_or_else(|| io::Error::other("a request without a key"))?.as_bytes());
        self.answers.extend(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
            )
            .into_bytes(),
        );
        self.is_open = true;
        Ok(end + 4)
    }
}

impl Frame {
    /// What the header at the start of these bytes says, and its length; `None` while it is not all there.
    fn read(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let [first, second, behind @ ..] = bytes else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(io::Error::other("a frame without a mask"));
        }
        let (left, len) = match second & 0x7F {
            126 => match behind.first_chunk::<2>() {
                Some(len) => (u16::from_be_bytes(*len).into(), 2),
                None => return Ok(None),
            },
            127 => match behind.first_chunk::<8>() {
                Some(len) => (u64::from_be_bytes(*len) as usize, 8),
                None => return Ok(None),
            },
            len => (len.into(), 0),
        };
        let Some(mask) = behind[len..].first_chunk::<4>() else { return Ok(None) };
        Ok(Some((Self { is_control: first & CONTROL != 0, mask: *mask, left }, 2 + len + 4)))
    }
}

/// Eight bytes at a time: the sink is to take little of the time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes());
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: u8 = 0x88;

    const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Frames of a client, masked.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first, 0x80 | payload.len() as u8];
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[test]
    fn what_is_in_frames_comes_out_however_they_are_cut() {
        let payload: Vec<u8> = (0..100).collect();
        let stream = [REQUEST, &frame(0x02, &payload[..30]), &frame(0x80, &payload[30..]), &frame(CLOSE, b"\x03\xE8")];
        let stream = stream.concat();
        for step in [1, 3, 7, stream.len()] {
            let (mut websocket, mut input) = (WebSocket::default(), Input::new(1000));
            let (mut waiting, mut answer) = (Vec::new(), Vec::new());
            for piece in stream.chunks(step) {
                waiting.extend_from_slice(piece);
                loop {
                    let done = websocket.take(&mut waiting, &mut input).unwrap();
                    answer.extend_from_slice(websocket.answers());
                    waiting.drain(..done);
                    if done == 0 {
                        break;
                    }
                }
            }
            assert_eq!(input.buffer[..input.filled], payload, "in steps of {step}");
            assert!(answer.starts_with(b"HTTP/1.1 101 "));
            let accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
            assert!(answer.windows(accept.len()).any(|line| line == accept), "as section 1.3 of RFC 6455 has it");
        }
    }

    #[test]
    fn frames_have_the_shortest_header() {
        let mut websocket = WebSocket::default();
        for (len, header) in [(0, 2), (125, 2), (126, 4), (0xFFFF, 4), (0x1_0000, 10)] {
            assert_eq!(websocket.frame(&vec![0; len]).len(), header + len);
        }
    }
}
