//! Variable Byte Integers: one to four bytes, seven bits each, least significant first (section 1.5.5).

use super::error::DecodeErrorKind;

/// The largest value that four bytes hold: 268,435,455.
pub const MAX: u32 = 0x0FFF_FFFF;

/// How many bytes `value` takes, 1 to 4. Values above [`MAX`] cannot be encoded: 4.
///
/// ```
/// use mqtt_wasi::codec::varint;
///
/// assert_eq!((varint::len(127), varint::len(128)), (1, 2));
/// ```
#[must_use]
pub const fn len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Reads a Variable Byte Integer from the beginning of `bytes`. Returns its value and its length, or `None` when more
/// bytes are needed.
///
/// # Errors
/// [`DecodeErrorKind::VariableByteInteger`] for a fifth byte, or for more bytes than the value needs `[MQTT-1.5.5-1]`.
///
/// ```
/// use mqtt_wasi::codec::varint;
///
/// assert_eq!(varint::decode(&[0xC1, 0x02, 0xFF]), Ok(Some((321, 2))));
/// assert_eq!(varint::decode(&[0xC1]), Ok(None));
/// assert!(varint::decode(&[0x80, 0x00]).is_err());
/// ```
#[inline(always)]
#[expect(clippy::inline_always, reason = "in programs built for size too, since it is there for each packet")]
pub fn decode(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeErrorKind> {
    // What most are.
    match bytes.first() {
        Some(&byte @ 0..0x80) => Ok(Some((byte.into(), 1))),
        _ => decode_longer(bytes),
    }
}

fn decode_longer(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeErrorKind> {
    let mut value = 0;
    for index in 0..4 {
        let Some(&byte) = bytes.get(index) else {
            return Ok(None);
        };
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let minimal = index == 0 || byte != 0;
            return if minimal { Ok(Some((value, index + 1))) } else { Err(DecodeErrorKind::VariableByteInteger) };
        }
    }
    Err(DecodeErrorKind::VariableByteInteger)
}

/// The bytes of `value` and how many of the four count.
pub(crate) const fn encode(value: u32) -> ([u8; 4], usize) {
    let len = len(value);
    let mut bytes = [0; 4];
    let mut index = 0;
    while index < len {
        let more = if index + 1 < len { 0x80 } else { 0 };
        bytes[index] = (value >> (7 * index)) as u8 & 0x7F | more;
        index += 1;
    }
    (bytes, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_survives_the_round_trip() {
        for value in [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MAX] {
            let (bytes, len) = encode(value);
            assert_eq!(decode(&bytes[..len]), Ok(Some((value, len))), "{value}");
            assert_eq!(decode(&bytes[..len - 1]), Ok(None), "{value}, one byte short");
        }
    }

    #[test]
    fn longer_than_needed_or_than_four_bytes_is_malformed() {
        for bytes in [&[0x80, 0x00][..], &[0xFF, 0x80, 0x00], &[0x80, 0x80, 0x80, 0x00], &[0xFF; 4], &[0x80; 5]] {
            assert_eq!(decode(bytes), Err(DecodeErrorKind::VariableByteInteger), "{bytes:?}");
        }
    }
}
