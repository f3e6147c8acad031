//! What answers a request in HTTP/1.1, up to where another protocol begins. Sans-IO.

use alloc::string::String;
use alloc::vec::Vec;

/// The longest head of an answer that is read.
const MOST_BYTES: usize = 16 * 1024;

/// As many header fields may be in it.
const MOST_FIELDS: usize = 64;

/// As much is read at once.
const READ_SIZE: usize = 1024;

/// As much of what a peer says is shown.
const MOST_SHOWN: usize = 120;

/// The answer, as far as it has come, and the bytes behind it.
#[derive(Default)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    len: usize,
}

/// Why there is no answer to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It is no HTTP.
    NotHttp,
    /// It is longer than this client reads.
    TooLong,
}

/// What the answer says.
pub(super) struct Head<'a> {
    pub(super) status: u16,
    /// The words behind the status.
    pub(super) reason: &'a str,
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "only WebSocket looks at them"))]
    fields: &'a [httparse::Header<'a>],
}

impl Answer {
    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.resize(self.len + READ_SIZE, 0);
        &mut self.bytes[self.len..]
    }

    /// As many bytes have come: does something with the head, once it is whole.
    pub(super) fn received<R>(
        &mut self,
        len: usize,
        mut with: impl FnMut(&Head<'_>) -> R,
    ) -> Result<Option<R>, NoAnswer> {
        let mut before = self.len;
        self.len += len;
        loop {
            let len = self.len;
            let read = self.read(before, &mut with)?;
            // Behind a head that was no answer there may be another.
            if read.is_some() || self.len == len {
                return Ok(read);
            }
            before = 0;
        }
    }

    /// Reads a head, where as many bytes were looked at before.
    fn read<R>(&mut self, looked_at: usize, with: impl FnOnce(&Head<'_>) -> R) -> Result<Option<R>, NoAnswer> {
        let is_other = self.bytes[..self.len].iter().zip(b"HTTP/1.").any(|(byte, expected)| byte != expected);
        if is_other {
            return Err(NoAnswer::NotHttp);
        }
        // The parser begins anew each time, so it is asked once the end has come.
        let new = &self.bytes[looked_at.saturating_sub(2).min(self.len)..self.len];
        if !new.windows(2).any(|end| end == b"\n\n") && !new.windows(3).any(|end| end == b"\n\r\n") {
            return if self.len > MOST_BYTES { Err(NoAnswer::TooLong) } else { Ok(None) };
        }
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let end = match response.parse(&self.bytes[..self.len]) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(NoAnswer::TooLong),
            Err(_) => return Err(NoAnswer::NotHttp),
        };
        let status = response.code.unwrap_or_default();
        // Those are about an answer that is still to come (RFC 9110, section 15.2).
        let is_early = matches!(status, 100 | 102..=199);
        let reason = response.reason.unwrap_or_default();
        let result = if is_early { None } else { Some(with(&Head { status, reason, fields: response.headers })) };
        self.bytes.copy_within(end..self.len, 0);
        self.len -= end;
        Ok(result)
    }

    /// What came behind the head.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

#[cfg(feature = "ws")]
impl<'a> Head<'a> {
    /// The value of the first field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// Whether a field that is a list has this in it.
    pub(super) fn lists(&self, name: &str, element: &str) -> bool {
        self.fields(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(element))
    }

    /// The values of all fields with this name. One that is no text is of no use here.
    pub(super) fn fields(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| core::str::from_utf8(field.value).unwrap_or("(not text)").trim())
    }
}

/// What a peer has said, for people: not all of it, and nothing that a terminal obeys.
pub(super) fn shown(said: &str) -> String {
    said.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MOST_SHOWN).collect()
}

/// Whether this is the name of a field (RFC 9110, section 5.1).
#[cfg(feature = "ws")]
pub(super) fn is_field_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// Whether this may be the value of a field (RFC 9110, section 5.5).
#[cfg(feature = "ws")]
pub(super) fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F))
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    /// What is made of these bytes, which come one by one: the status, and what is behind the head.
    fn read(bytes: &[u8]) -> Result<Option<(u16, String)>, NoAnswer> {
        let mut answer = Answer::default();
        for &byte in bytes {
            answer.room()[0] = byte;
            if let Some(read) = answer.received(1, |head| (head.status, head.reason.to_owned()))? {
                return Ok(Some(read));
            }
        }
        Ok(None)
    }

    #[test]
    fn head_is_read_once_it_is_whole() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Ok(Some((200, "OK".into()))));
        assert_eq!(read(b"HTTP/1.0 407\r\n\r\n"), Ok(Some((407, String::new()))));
    }

    #[test]
    fn answers_that_are_still_to_come_are_waited_for() {
        assert_eq!(read(b"HTTP/1.1 100 Continue\r\n\r\n"), Ok(None));
        assert_eq!(
            read(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 101 S\r\n\r\n"),
            Ok(Some((101, "S".into())))
        );
    }

    #[test]
    fn bytes_behind_the_head_are_kept() {
        let mut answer = Answer::default();
        let all = b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 101 Yes\r\n\r\nrest";
        answer.room()[..all.len()].copy_from_slice(all);
        assert_eq!(answer.received(all.len(), |head| head.status), Ok(Some(101)));
        assert_eq!(answer.into_rest(), b"rest");
    }

    #[test]
    fn what_is_no_http_is_known_by_its_first_bytes() {
        for bytes in [&b"\x20"[..], b"HTTP/2", b"SSH-2.0", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n:\r\n\r\n"] {
            assert_eq!(read(bytes), Err(NoAnswer::NotHttp), "{bytes:?}");
        }
    }

    #[test]
    fn endless_heads_are_given_up() {
        let mut answer = Answer::default();
        let begin = b"HTTP/1.1 200 OK\r\nA: ";
        answer.room()[..begin.len()].copy_from_slice(begin);
        assert_eq!(answer.received(begin.len(), |_| ()), Ok(None));
        let given_up = core::iter::repeat_with(|| {
            let room = answer.room();
            room.fill(b'a');
            let len = room.len();
            answer.received(len, |_| ())
        });
        assert_eq!(given_up.take(MOST_BYTES / READ_SIZE + 1).find(Result::is_err), Some(Err(NoAnswer::TooLong)));
        let many: Vec<u8> = b"HTTP/1.1 200 OK\r\n".iter().chain(b"a: b\r\n".repeat(100).iter()).copied().collect();
        assert_eq!(read(&[&many[..], b"\r\n"].concat()), Err(NoAnswer::TooLong));
    }

    #[test]
    fn what_a_peer_says_is_shown_without_what_a_terminal_obeys() {
        assert_eq!(shown("a\x1b[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(shown(&"x".repeat(1000)).len(), MOST_SHOWN);
    }
}
