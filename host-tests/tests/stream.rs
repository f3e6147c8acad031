//! Payloads that are streamed through a real broker, both ways at once: as large as MQTT allows, while memory stays
//! small and the Keep Alive is kept.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use host_tests::broker::{Mosquitto, url};
use mqtt_wasi::{AsyncClient, AsyncPayload, Options, Publish, QoS, ReasonCode, Subscription};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// How long the test may take: it fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(600);

/// The longest payload of a message at QoS 1 whose Topic Name has one byte, with room for the Subscription Identifier
/// that the broker adds: five bytes.
const LONGEST: u64 = 268_435_455 - 6 - 5;

/// The most that two clients may take for it.
const MOST_MEMORY: isize = 4 * 1024 * 1024;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

impl Counting {
    fn count(by: isize) {
        let live = LIVE.fetch_add(by, Relaxed) + by;
        PEAK.fetch_max(live, Relaxed);
    }
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The byte of a payload at this place.
fn byte(place: u64) -> u8 {
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// The bytes of a payload, from a place on.
struct Source(u64);

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, place: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let from = self.0;
        let space = place.initialize_unfilled();
        let len = space.len();
        space.iter_mut().zip(from..).for_each(|(space, place)| *space = byte(place));
        place.advance(len);
        self.0 += len as u64;
        Poll::Ready(Ok(()))
    }
}

/// Reads all of a payload, and takes its time in the middle of it.
async fn read(payload: &mut AsyncPayload, pause: Duration) -> u64 {
    let (mut place, mut space) = (0, vec![0; 16 * 1024]);
    let half = payload.total() / 2;
    loop {
        let len = payload.read(&mut space).await.unwrap();
        if len == 0 {
            return place;
        }
        space[..len].iter().for_each(|got| {
            assert_eq!(*got, byte(place), "the byte at {place}");
            place += 1;
        });
        if place >= half && place - (len as u64) < half {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn connect(broker: &str, id: &str) -> AsyncClient {
    let options = Options::new().client_id(id).keep_alive(5).response_timeout(PATIENCE);
    AsyncClient::connect(broker, options.maximum_packet_size(268_435_460).stream_above(100_000)).await.unwrap()
}

#[test]
fn largest_message_goes_through_mosquitto_from_a_stream_into_a_stream() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let broker = url(mosquitto.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let story = async {
        let (publisher, subscriber) = (connect(&broker, "publisher").await, connect(&broker, "subscriber").await);
        let mut messages = subscriber.listen_streamed(Subscription::new("t", QoS::AtLeastOnce)).await.unwrap();
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let message = Publish::new("t", "").qos(QoS::AtLeastOnce);
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            assert_eq!(file.payload.total(), LONGEST);
            // Longer than the broker waits for a ping.
            assert_eq!(read(&mut file.payload, Duration::from_secs(12)).await, LONGEST);
        };
        let (result, ()) = tokio::join!(publisher.publish_stream(&message, LONGEST, Source(0)), reading);
        assert_eq!(result, Ok(ReasonCode::Success));
        let most = PEAK.load(Relaxed) - before;
        println!("{most} bytes at most, for {LONGEST}");
        assert!(most < MOST_MEMORY, "{most} bytes");
        // Both connections are those of the beginning.
        assert_eq!((publisher.stats().reconnects, subscriber.stats().reconnects), (0, 0));
        publisher.publish(&Publish::new("t", "small").qos(QoS::AtLeastOnce)).await.unwrap();
        assert_eq!(messages.receive().await.unwrap().payload.total(), 5);
        assert!(publisher.is_connected() && subscriber.is_connected());
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, story).await.expect("the story comes to an end") });
}
