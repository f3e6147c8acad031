//! PEM as it really comes: with a byte order mark, in UTF-16, on one line with spaces or a literal `\n` for each line's
//! end, as environment variables and JSON bring it. Nothing of what was read gets into a text.

use alloc::vec::Vec;

use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One block, not decoded yet.
pub(super) struct Block<'a> {
    /// What it says it is, such as `CERTIFICATE`.
    pub(super) label: &'a [u8],
    /// What is between its first and its last line, or why there is none.
    body: Result<&'a [u8], &'static str>,
}

/// The blocks of a text.
pub(super) struct Blocks<'a>(&'a [u8]);

impl<'a> Blocks<'a> {
    pub(super) const fn of(text: &'a [u8]) -> Self {
        Self(text)
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let (_, text) = split(self.0, BEGIN)?;
        let (label, text) = split(text, DASHES).unwrap_or((text, b""));
        let (until_end, rest) = split(text, END).unwrap_or((text, b""));
        // Another may begin where this one is cut short.
        let (until_begin, _) = split(text, BEGIN).unwrap_or((text, b""));
        let body = if until_begin.len() < until_end.len() {
            self.0 = &text[until_begin.len()..];
            Err("its END line is missing")
        } else if !rest.starts_with(label) {
            self.0 = rest;
            Err(if rest.is_empty() { "its END line is missing" } else { "its END line is not for its BEGIN line" })
        } else {
            self.0 = rest;
            Ok(until_end)
        };
        Some(Block { label, body })
    }
}

impl Block<'_> {
    /// What is in it.
    pub(super) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let body = self.body?;
        if split(body, b"Proc-Type").is_some() {
            return Err(ENCRYPTED);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() / 4 * 3 + 3));
        let (mut bits, mut has, mut padding) = (0_u32, 0_u8, 0_u8);
        let mut text = body.iter().peekable();
        while let Some(&byte) = text.next() {
            match byte {
                b'\\' => {
                    // What was a line's end before something quoted it.
                    text.next_if(|next| matches!(**next, b'n' | b'r'));
                }
                b' ' | b'\n' | b'\r' | b'\t' => {}
                b'=' => padding += 1,
                _ => {
                    let digit = digit(byte);
                    if digit < 0 || padding > 0 {
                        return Err("it is not base64");
                    }
                    bits = bits << 6 | digit.unsigned_abs();
                    has += 6;
                    if has >= 8 {
                        has -= 8;
                        bytes.push((bits >> has) as u8);
                    }
                }
            }
            if padding > 2 {
                return Err("it is not base64");
            }
        }
        // A digit that is left over would have been one of a byte.
        if has == 6 { Err("it is cut short") } else { Ok(bytes) }
    }
}

/// What is said of keys that need a password.
pub(super) const ENCRYPTED: &str =
    "the private key is encrypted: decrypt it first, for example by `openssl pkey -in encrypted.key -out client.key`";

/// A text in bytes, if it is in UTF-16, as its byte order mark says.
pub(super) fn narrowed(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    match text {
        // PEM is ASCII, which has a zero in each unit.
        [0xFF, 0xFE, text @ ..] | [0xFE, 0xFF, text @ ..] => {
            let mut narrow = Zeroizing::new(Vec::with_capacity(text.len()));
            narrow.extend(text.iter().filter(|byte| **byte != 0));
            Some(narrow)
        }
        _ => None,
    }
}

/// What is before and behind the first place where `at` is.
pub(super) fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..place], &text[place + at.len()..]))
}

/// The value of a digit of base64, or -1: without a look at memory that depends on it, since it may be one of a key.
fn digit(byte: u8) -> i32 {
    let byte = i32::from(byte);
    let within = |first: u8, last: u8, value: i32| {
        ((i32::from(first) - 1 - byte) & (byte - i32::from(last) - 1)) >> 8 & (value + 1)
    };
    within(b'A', b'Z', byte - 65)
        + within(b'a', b'z', byte - 71)
        + within(b'0', b'9', byte + 4)
        + within(b'+', b'+', 62)
        + within(b'/', b'/', 63)
        - 1
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    const TEXT: &str = "-----BEGIN PRIVATE KEY-----\nAAEC\nAwQ=\n-----END PRIVATE KEY-----\n";

    fn decoded(text: &[u8]) -> Vec<Result<Vec<u8>, &'static str>> {
        let narrow = narrowed(text);
        let text = narrow.as_ref().map_or(text, |narrow| narrow);
        Blocks::of(text).map(|block| block.decode().map(|bytes| bytes.to_vec())).collect()
    }

    #[test]
    fn lines_may_end_in_every_way() {
        let utf16 = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain(TEXT.encode_utf16().flat_map(unit)).collect::<Vec<u8>>()
        };
        for text in [
            TEXT.into(),
            TEXT.replace('\n', "\r\n").into(),
            TEXT.replace('\n', "\r").into(),
            TEXT.replace('\n', " ").into(),
            TEXT.replace('\n', "").into(),
            TEXT.replace('\n', "\\n").into(),
            TEXT.replace('\n', "\\r\\n").into(),
            TEXT.replace('\n', "\\\\n").into(),
            TEXT.replace("=", "").into(),
            format!("\u{FEFF}{TEXT}").into_bytes(),
            format!("\"{}\"", TEXT.replace('\n', "\\n")).into_bytes(),
            format!("Bag Attributes\n  friendlyName: x\n{TEXT}").into_bytes(),
            utf16([0xFF, 0xFE], u16::to_le_bytes),
            utf16([0xFE, 0xFF], u16::to_be_bytes),
        ] {
            let text: Vec<u8> = text;
            assert_eq!(decoded(&text), [Ok(Vec::from([0, 1, 2, 3, 4]))], "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn each_broken_block_is_told_and_keeps_none_of_the_others_back() {
        for (broken, why) in [
            ("-----BEGIN CERTIFICATE-----\nAAEC\n", "its END line is missing"),
            ("-----BEGIN CERTIFICATE-----\nA?EC\n-----END CERTIFICATE-----\n", "it is not base64"),
            ("-----BEGIN CERTIFICATE-----\nAA=C\n-----END CERTIFICATE-----\n", "it is not base64"),
            ("-----BEGIN CERTIFICATE-----\nAAECA\n-----END CERTIFICATE-----\n", "it is cut short"),
            ("-----BEGIN CERTIFICATE-----\nAAEC\n-----END X509 CRL-----\n", "its END line is not for its BEGIN line"),
        ] {
            let text = format!("{TEXT}{broken}{TEXT}");
            let good = || Ok(Vec::from([0, 1, 2, 3, 4]));
            assert_eq!(decoded(text.as_bytes()), [good(), Err(why), good()], "{broken}");
        }
    }

    #[test]
    fn encrypted_key_is_told_in_its_old_form_too() {
        let header = "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
        let text = TEXT.replace("-----BEGIN PRIVATE KEY-----\n", header);
        assert_eq!(decoded(text.as_bytes()), [Err(ENCRYPTED)]);
    }

    #[test]
    fn digits_are_those_of_base64() {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for byte in 0..=u8::MAX {
            let expected = digits.iter().position(|digit| *digit == byte).map_or(-1, |value| value as i32);
            assert_eq!(digit(byte), expected, "{byte}");
        }
    }

    #[test]
    fn nothing_panics_when_cut_or_changed() {
        for len in 0..TEXT.len() {
            decoded(&TEXT.as_bytes()[..len]);
            decoded(&TEXT.as_bytes()[len..]);
            let mut changed = TEXT.as_bytes().to_vec();
            for byte in [0, b'-', b'=', b'\\', 0xFF] {
                changed[len] = byte;
                decoded(&changed);
            }
        }
    }
}
