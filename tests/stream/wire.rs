//! The broker's side of a byte stream in memory: packets that are small, and payloads that are never held.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt_wasi::codec::{Connack, Packet, PacketType};
use mqtt_wasi::{AsyncClient, Options};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How long a test may take: it fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// The most that a message may take beside its payload's way through.
pub(crate) const MOST_MEMORY: isize = 4 * 1024 * 1024;

/// How many bytes are under way between client and broker at most.
const PIPE: usize = 64 * 1024;

/// The byte of a payload at this place.
pub(crate) fn byte(place: u64) -> u8 {
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// Runs a story in a runtime of one thread.
pub(crate) fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, story).await.expect("the story comes to an end") })
}

/// A client, and the broker that has taken its connection.
pub(crate) async fn connected(options: Options) -> (AsyncClient, Broker) {
    let (theirs, ours) = tokio::io::duplex(PIPE);
    let mut broker = Broker::new(ours);
    let (client, ()) = tokio::join!(AsyncClient::connect_over(theirs, options), async {
        broker.take(PacketType::Connect).await;
        broker.send(&Packet::Connack(Connack::default())).await;
    });
    (client.unwrap(), broker)
}

pub(crate) struct Broker {
    stream: DuplexStream,
    /// What was read and not taken.
    read: Vec<u8>,
}

impl Broker {
    pub(crate) const fn new(stream: DuplexStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Reads some more; `false` at the end of the stream.
    async fn read_more(&mut self) -> bool {
        let mut space = [0; 8192];
        let stream = &mut self.stream;
        let len = poll_fn(|context| {
            let mut place = ReadBuf::new(&mut space);
            Pin::new(&mut *stream).poll_read(context, &mut place).map_ok(|()| place.filled().len())
        });
        let len = len.await.unwrap_or(0);
        self.read.extend_from_slice(&space[..len]);
        len > 0
    }

    /// The fixed header of the next packet: its first byte, and its Remaining Length.
    pub(crate) async fn next_header(&mut self) -> (u8, u64) {
        let first = self.bytes(1).await[0];
        let mut len = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.bytes(1).await[0];
            len |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return (first, len);
            }
        }
        panic!("a Remaining Length has four bytes at most");
    }

    /// The next bytes.
    pub(crate) async fn bytes(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert!(self.read_more().await, "the client sends more");
        }
        self.read.drain(..len).collect()
    }

    /// Takes so many bytes of a payload, which begins at this place; how many came.
    pub(crate) async fn take_payload(&mut self, from: u64, len: u64) -> u64 {
        let mut taken = 0;
        while taken < len {
            if self.read.is_empty() && !self.read_more().await {
                break;
            }
            let some = self.read.len().min(usize::try_from(len - taken).unwrap());
            for (place, got) in self.read.drain(..some).enumerate() {
                assert_eq!(got, byte(from + taken + place as u64), "the byte at {}", taken + place as u64);
            }
            taken += some as u64;
        }
        taken
    }

    /// Takes a small packet of this type; what is behind its fixed header.
    pub(crate) async fn take(&mut self, packet_type: PacketType) -> Vec<u8> {
        let (first, len) = self.next_header().await;
        assert_eq!(first >> 4, packet_type as u8);
        self.bytes(usize::try_from(len).unwrap()).await
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            let len = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await.unwrap();
            bytes = &bytes[len..];
        }
    }
}

/// A source that gives its bytes in pieces, and makes the others wait for each now and then.
pub(crate) struct Source {
    /// How many it has, and how many were taken.
    pub(crate) len: u64,
    pub(crate) taken: u64,
    /// How many it gives at once at most.
    pub(crate) piece: usize,
    /// What it fails with at its end.
    pub(crate) failure: Option<&'static str>,
    pub(crate) is_tired: bool,
}

impl Source {
    pub(crate) const fn new(len: u64) -> Self {
        Self { len, taken: 0, piece: usize::MAX, failure: None, is_tired: false }
    }
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        place: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.is_tired = !self.is_tired;
        if self.is_tired {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.taken == self.len
            && let Some(why) = self.failure
        {
            return Poll::Ready(Err(std::io::Error::other(why)));
        }
        let left = usize::try_from(self.len - self.taken).unwrap();
        let len = place.remaining().min(self.piece).min(left);
        let from = self.taken;
        place.initialize_unfilled_to(len).iter_mut().zip(from..).for_each(|(space, place)| *space = byte(place));
        place.advance(len);
        self.taken += len as u64;
        Poll::Ready(Ok(()))
    }
}
