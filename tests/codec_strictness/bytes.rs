//! Bytes, made without the codec's help.

/// A packet with the right Remaining Length.
pub(crate) fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    [&[first_byte], &*variable_byte_integer(body.len()), body].concat()
}

/// A CONNECT without properties.
pub(crate) fn connect(flags: u8, payload: &[u8]) -> Vec<u8> {
    framed(0x10, &[b"\0\x04MQTT\x05", &[flags][..], b"\0\0\0", payload].concat())
}

/// A UTF-8 Encoded String, or Binary Data.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// The algorithm of section 1.5.5.
pub(crate) fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push((value % 128) as u8 | 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}
