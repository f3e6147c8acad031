//! The frame reader, with any bytes in any pieces: the same frames as in one piece, within its bounds.
//!
//! ```text
//! input = maximum-packet-size:u16 (big-endian)  piece:u8{4}  stream
//! ```
//!
//! The stream comes as many bytes at a time as the pieces say, over and over; 0 stands for all that there is space for.

use mqtt_wasi::codec::{Packet, PacketType};
use mqtt_wasi::frame::{FrameError, FrameReader};

/// A busy connection's buffer grows to this, whatever the Maximum Packet Size.
const BUSY: usize = 64 * 1024;

/// What one read takes at least.
const READ: usize = 1024;

/// A packet's type, flags and body.
type Owned = (PacketType, u8, Vec<u8>);

pub(crate) fn check(data: &[u8]) {
    let Some((&[high, low, pieces @ ..], stream)) = data.split_first_chunk::<6>() else { return };
    let maximum_packet_size = u16::from_be_bytes([high, low]);
    let pieces = pieces.map(|len| if len == 0 { usize::MAX } else { len.into() });
    let (frames, end) = read(stream, &pieces, maximum_packet_size);
    let at_once = read(stream, &[usize::MAX], maximum_packet_size);
    assert_eq!((&frames, &end), (&at_once.0, &at_once.1), "the pieces make no difference");

    let mut rest = stream;
    for (packet_type, flags, body) in &frames {
        let frame = framed((*packet_type as u8) << 4 | flags, body);
        assert!(frame.len() <= usize::from(maximum_packet_size), "no frame is over the Maximum Packet Size");
        rest = rest.strip_prefix(frame.as_slice()).expect("frames are the stream's own bytes, in order");
    }
    match end {
        Ok(()) => assert_eq!(Packet::decode(rest), Ok(None), "what is left is no whole packet"),
        Err(FrameError::Malformed(error)) => assert_eq!(Packet::decode(rest), Err(error), "the codec agrees"),
        Err(FrameError::PacketTooLarge { size, maximum }) => {
            assert!(size > u64::from(maximum), "{size} bytes are too large for {maximum}");
            assert_eq!(maximum, u32::from(maximum_packet_size));
        }
        Err(error) => panic!("{error}"),
    }
}

/// The frames of the stream, and the error that it breaks with.
fn read(mut stream: &[u8], pieces: &[usize], maximum_packet_size: u16) -> (Vec<Owned>, Result<(), FrameError>) {
    let most = BUSY.max(usize::from(maximum_packet_size) + READ);
    let mut reader = FrameReader::new(maximum_packet_size.into());
    let mut frames = Vec::new();
    // How many bytes of the stream are not in a frame yet.
    let mut held = 0;
    for piece in pieces.iter().cycle() {
        let space = reader.space();
        assert!(!space.is_empty(), "there is always space to read into");
        assert!(held + space.len() <= most, "{held} bytes are held, with space for {} more", space.len());
        let len = space.len().min(*piece).min(stream.len());
        space[..len].copy_from_slice(&stream[..len]);
        reader.filled(len);
        stream = &stream[len..];
        held += len;
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    let owned = (frame.packet_type, frame.flags, frame.body.to_vec());
                    held -= framed(0, &owned.2).len();
                    frames.push(owned);
                }
                Ok(None) => break,
                Err(error) => {
                    check_broken(reader, error, stream);
                    return (frames, Err(error));
                }
            }
        }
        if stream.is_empty() {
            break;
        }
    }
    (frames, Ok(()))
}

/// A stream that is broken stays so, whatever follows.
fn check_broken(mut reader: FrameReader, error: FrameError, rest: &[u8]) {
    assert_eq!(reader.next_frame(), Err(error), "the error is given again");
    let space = reader.space();
    let len = space.len().min(rest.len());
    space[..len].copy_from_slice(&rest[..len]);
    reader.filled(len);
    assert_eq!(reader.next_frame(), Err(error), "bytes behind it mend nothing");
}

/// A frame as it is on the wire.
fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let mut remaining_length = body.len();
    while remaining_length >= 128 {
        bytes.push(remaining_length as u8 | 128);
        remaining_length /= 128;
    }
    bytes.push(remaining_length as u8);
    bytes.extend_from_slice(body);
    bytes
}
