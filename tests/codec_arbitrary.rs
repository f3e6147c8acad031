//! Whatever bytes come, in whatever pieces: no panic, the same answer, and no more memory than was agreed on.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use mqtt_wasi::codec::{DecodeError, DecodeErrorKind, DecodeOptions, Packet, Publish, UnknownProperties};
use mqtt_wasi::frame::{Frame, FrameError, FrameReader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const STRICT: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Malformed };
const SKIP: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Skip };

/// The Maximum Packet Size: more than the buffer of a busy connection has.
const MAXIMUM: u32 = 100_000;

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn skipping_unknown_properties_changes_nothing_else(packet in hostile_packet()) {
        let strict = Packet::decode_with(&packet, STRICT);
        if !matches!(strict, Err(DecodeError { kind: DecodeErrorKind::UnknownProperty(_), .. })) {
            prop_assert_eq!(Packet::decode_with(&packet, SKIP), strict);
        }
    }

    #[test]
    fn what_decodes_can_be_sent_on(packet in hostile_packet()) {
        for options in [STRICT, SKIP] {
            if let Ok(Some((packet, _))) = Packet::decode_with(&packet, options) {
                let mut bytes = Vec::new();
                match packet.encode(&mut bytes) {
                    Ok(()) => prop_assert_eq!(Packet::decode(&bytes), Ok(Some((packet, bytes.len())))),
                    Err(_) => prop_assert!(is_taken_only(&packet)),
                }
            }
        }
    }

    #[test]
    fn a_stream_says_the_same_however_it_is_split(stream in hostile_stream(), steps in steps()) {
        prop_assert_eq!(read(&stream, &steps), read(&stream, &[usize::MAX]));
    }

    #[test]
    fn a_reader_finds_what_decoding_one_by_one_does(stream in hostile_stream(), steps in steps()) {
        let (messages, end) = read(&stream, &steps);
        let mut rest = stream.as_slice();
        for (bytes, strict, skip) in messages {
            prop_assert_eq!(Packet::decode_with(rest, STRICT).map(|found| sent_on(found.unwrap().0)), strict);
            prop_assert_eq!(Packet::decode_with(rest, SKIP).map(|found| sent_on(found.unwrap().0)), skip);
            prop_assert!(rest.starts_with(&bytes));
            rest = &rest[bytes.len()..];
        }
        match end {
            Ok(()) => prop_assert_eq!(Packet::decode(rest), Ok(None)),
            Err(FrameError::Malformed(error)) => prop_assert_eq!(Packet::decode(rest), Err(error)),
            Err(FrameError::PacketTooLarge { size, maximum }) => prop_assert!(size > maximum.into()),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_packet_has_up_to_the_maximum_packet_size(packet in support::packet()) {
        let bytes = encoded(&packet);
        let size = bytes.len() as u32;
        prop_assert_eq!(feed(&bytes, &[usize::MAX], size, |_| {}), Ok(()));
        let error = FrameError::PacketTooLarge { size: size.into(), maximum: size - 1 };
        prop_assert_eq!(feed(&bytes, &[usize::MAX], size - 1, |_| {}), Err(error));
    }

    /// A reader that gave out all its frames holds less than a packet, whose size it knows to be within the maximum,
    /// and makes room for no more than what that packet lacks, or for one read of 1 KiB. The buffer of a connection
    /// that has much to say grows to 64 KiB, for the sake of fewer reads.
    #[test]
    fn a_reader_holds_no_more_than_the_largest_packet_and_one_read(
        stream in hostile_stream(),
        steps in steps(),
        maximum_packet_size in 0..MAXIMUM,
    ) {
        let (_, heap) = Heap::of(|| feed(&stream, &steps, maximum_packet_size, |_| {}));
        prop_assert!(heap.peak <= (64 * 1024).max(maximum_packet_size as usize + 1024), "{heap:?}");
        prop_assert_eq!(heap.left, 0);
    }

    /// A length is a promise, so the memory for it follows the bytes that do come.
    #[test]
    fn a_promised_length_takes_no_more_than_twice_what_came(received in 5..1_000_000_usize, steps in steps()) {
        let mut stream = b"\x30\xFF\xFF\xFF\x7F".to_vec();
        stream.resize(received, 0);
        let (_, heap) = Heap::of(|| feed(&stream, &steps, u32::MAX, |_| {}));
        prop_assert!(heap.peak <= (64 * 1024).max(2 * received), "{heap:?}");
    }

    #[test]
    fn decoding_allocates_nothing(packet in hostile_packet()) {
        for options in [STRICT, SKIP] {
            let (_, heap) = Heap::of(|| black_box(Packet::decode_with(&packet, options).map(black_box)).is_ok());
            prop_assert_eq!(heap.allocations, 0);
        }
    }

    #[test]
    fn lists_are_read_without_allocating(packet in support::packet()) {
        let bytes = encoded(&packet);
        let (equal, heap) = Heap::of(|| Packet::decode(&bytes) == Ok(Some((packet, bytes.len()))));
        prop_assert!(equal);
        prop_assert_eq!(heap.allocations, 0);
    }

    #[test]
    fn encoding_grows_the_buffer_once_at_most(packet in support::packet(), room in 0..1000_usize) {
        let mut bytes = Vec::with_capacity(room);
        let (result, heap) = Heap::of(|| packet.encode(&mut bytes));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(heap.allocations, usize::from(bytes.len() > room));
    }
}

// What comes.

/// Bytes that may be a packet: any bytes, or a valid packet with changes here and there.
fn hostile_packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..64),
        2 => (any::<u8>(), vec(any::<u8>(), 0..64)).prop_map(|(first_byte, body)| framed(first_byte, &body)),
        // With the Remaining Length as it was, and with the right one, behind which the changes are met later.
        4 => (valid_packet(), changes()).prop_map(|(packet, changes)| changed(packet, changes)),
        8 => (support::packet(), changes()).prop_map(|(packet, changes)| {
            let bytes = encoded(&packet);
            let remaining_length = bytes[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            framed(bytes[0], &changed(bytes[1 + remaining_length..].to_vec(), changes))
        }),
    ]
}

/// Mostly valid packets, some of them large, so that there is a stream to speak of before it breaks.
fn hostile_stream() -> impl Strategy<Value = Vec<u8>> {
    let large = (0..2 * MAXIMUM as usize)
        .prop_map(|payload_len| encoded(&Packet::Publish(Publish::new("t", &vec![0; payload_len]))));
    let piece = prop_oneof![6 => valid_packet(), 2 => large, 1 => hostile_packet()];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn valid_packet() -> impl Strategy<Value = Vec<u8>> {
    support::packet().prop_map(|packet| encoded(&packet))
}

/// How many bytes come at a time, over and over.
fn steps() -> impl Strategy<Value = Vec<usize>> {
    let step = prop_oneof![1..8_usize, 8..2000_usize, 2000..200_000_usize];
    vec(step, 1..8)
}

/// A change to the bytes at some place.
#[derive(Debug, Clone, Copy)]
enum Change {
    Set(u8),
    Flip(u8),
    Insert(u8),
    Remove,
    Truncate,
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Set),
        (0..8_u8).prop_map(|bit| Change::Flip(1 << bit)),
        any::<u8>().prop_map(Change::Insert),
        Just(Change::Remove),
        Just(Change::Truncate),
    ];
    vec((any::<Index>(), change), 1..4)
}

fn changed(mut bytes: Vec<u8>, changes: Vec<(Index, Change)>) -> Vec<u8> {
    for (index, change) in changes {
        let at = index.index(bytes.len() + 1);
        match change {
            Change::Insert(byte) => bytes.insert(at, byte),
            Change::Truncate => bytes.truncate(at),
            _ if at == bytes.len() => {}
            Change::Set(byte) => bytes[at] = byte,
            Change::Flip(bits) => bytes[at] ^= bits,
            Change::Remove => drop(bytes.remove(at)),
        }
    }
    bytes
}

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

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

// What is made of it.

/// The bytes of a packet, and what either option makes of them: the bytes to send it on with, or what is wrong.
type Message = (Vec<u8>, Result<Vec<u8>, DecodeError>, Result<Vec<u8>, DecodeError>);

fn read(stream: &[u8], steps: &[usize]) -> (Vec<Message>, Result<(), FrameError>) {
    let mut messages = Vec::new();
    let end = feed(stream, steps, MAXIMUM, |frame| {
        let bytes = framed((frame.packet_type as u8) << 4 | frame.flags, frame.body);
        messages.push((bytes, frame.decode(STRICT).map(sent_on), frame.decode(SKIP).map(sent_on)));
    });
    (messages, end)
}

/// Gives the stream to a reader, as many bytes at a time as the steps say, over and over, and takes all its frames.
fn feed(
    mut stream: &[u8],
    steps: &[usize],
    maximum_packet_size: u32,
    mut each: impl FnMut(Frame<'_>),
) -> Result<(), FrameError> {
    let mut reader = FrameReader::new(maximum_packet_size);
    let mut steps = steps.iter().copied().cycle();
    while !stream.is_empty() {
        let space = reader.space();
        let (now, later) = stream.split_at(stream.len().min(space.len()).min(steps.next().unwrap()));
        space[..now.len()].copy_from_slice(now);
        reader.filled(now.len());
        stream = later;
        while let Some(frame) = reader.next_frame()? {
            each(frame);
        }
    }
    Ok(())
}

fn sent_on(packet: Packet<'_>) -> Vec<u8> {
    if is_taken_only(&packet) { format!("{packet:?}").into_bytes() } else { encoded(&packet) }
}

/// Whether the packet has what is taken from peers that get it wrong, but never sent.
fn is_taken_only(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            !ack.reason_code.is_valid_in(packet.packet_type())
        }
        Packet::Publish(publish) => publish.properties.response_topic == Some(""),
        Packet::Connect(connect) => connect.will.is_some_and(|will| will.properties.response_topic == Some("")),
        _ => false,
    }
}

// What it costs.

/// What a piece of code did to the heap.
#[derive(Debug)]
struct Heap {
    /// How many bytes it held at most.
    peak: usize,
    /// How many it still holds.
    left: usize,
    /// How often it took some.
    allocations: usize,
}

impl Heap {
    fn of<T>(code: impl FnOnce() -> T) -> (T, Self) {
        let before = HELD.get();
        PEAK.set(before);
        ALLOCATIONS.set(0);
        let result = code();
        let since = |held: usize| held.wrapping_sub(before);
        (result, Self { peak: since(PEAK.get()), left: since(HELD.get()), allocations: ALLOCATIONS.get() })
    }
}

thread_local! {
    // Each test has its own thread. The first number wraps where a thread frees what another allocated.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

impl Counting {
    fn took(size: usize) {
        let held = HELD.get().wrapping_add(size);
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    }

    fn gave_back(size: usize) {
        HELD.set(HELD.get().wrapping_sub(size));
    }
}

// SAFETY: every call goes to the system's allocator as it came. Counting touches thread-local cells alone, which have
// constant initial values and no destructor, and so neither allocate nor end before the thread's last free.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::took(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::took(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::gave_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::gave_back(layout.size());
        Self::took(new_size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
