//! The Topic Name that came last: messages come in runs of one topic, and a third of the work of taking one in is to
//! check that its Topic Name is UTF-8 without the characters that it must not have.

use alloc::string::String;

use crate::codec::validate_topic_name;

/// Longer ones are checked each time, so that many sessions take no memory for them.
const LONGEST: usize = 256;

/// A Topic Name that was found to be valid, or nothing.
#[derive(Debug, Default)]
pub(super) struct LastTopic(String);

impl LastTopic {
    /// Whether the PUBLISH with this body has this Topic Name. Another one becomes the last, if it is valid.
    #[inline]
    pub(super) fn is_in(&mut self, body: &[u8]) -> bool {
        let Some(name) = bytes_of(body) else { return false };
        !name.is_empty() && (name == self.0.as_bytes() || self.take(name))
    }

    pub(super) fn get(&self) -> &str {
        &self.0
    }

    fn take(&mut self, name: &[u8]) -> bool {
        let name = (name.len() <= LONGEST).then(|| core::str::from_utf8(name)).and_then(Result::ok);
        let Some(name) = name.filter(|name| validate_topic_name(name).is_ok()) else { return false };
        self.0.clear();
        self.0.push_str(name);
        true
    }
}

/// The bytes of the Topic Name, without a look at them.
fn bytes_of(body: &[u8]) -> Option<&[u8]> {
    let (len, rest) = body.split_first_chunk()?;
    rest.get(..u16::from_be_bytes(*len).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_topic_name_is_known() {
        let mut last = LastTopic::default();
        for (body, known) in [
            (&b"\x00\x01a\x00"[..], "a"),
            (b"\x00\x01a\x00", "a"),
            (b"\x00\x02ab", "ab"),
            (b"\x00\x02\xC3\xBC\x00", "\u{fc}"),
        ] {
            assert!(last.is_in(body), "{body:?}");
            assert_eq!(last.get(), known);
        }
        for body in [&b""[..], b"\x00", b"\x00\x00\x00", b"\x00\x02a", b"\x00\x01+", b"\x00\x01\x00", b"\x00\x01\xFF"] {
            assert!(!last.is_in(body), "{body:?}");
            assert_eq!(last.get(), "\u{fc}");
        }
        let long = [&[1, 1][..], &[b'a'; 257]].concat();
        assert!(!last.is_in(&long));
        assert!(!LastTopic::default().is_in(b"\x00\x00"), "an alias stands for the name");
    }
}
