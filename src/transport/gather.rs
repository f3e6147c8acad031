//! Nagle's algorithm while it helps, and never for long: many small writes in a row share the packets of the network.
//!
//! With `TCP_NODELAY` each write is a packet, which costs about twice what the write costs alone. Without it, what is
//! written while the peer has not acknowledged everything waits for that, up to 40 ms. So it is set, except in loops of
//! small writes that nothing else comes between. There a thread sends each millisecond what was held back, and
//! it ends the loop when there is none any more.
//!
//! Only where the system sends at once what it has held back when `TCP_NODELAY` is set, as Linux does.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::time::Instant;

/// So many small writes in a row are a loop.
const LOOP: u32 = 64;

/// Until they are, no more time than this is between two of them.
const APART: Duration = Duration::from_micros(100);

/// Writes of more bytes than this fill packets by themselves.
const SMALL: usize = 4096;

/// How long bytes are held back at most.
const TICK: Duration = Duration::from_millis(1);

/// A loop that has fewer writes than this between two ticks is none any more.
const FEW: u32 = 8;

/// How long the thread waits for another loop before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// Turns `TCP_NODELAY` of a socket off and on.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pace: Pace,
    /// What the thread shares, once there was a loop.
    shared: Option<Arc<Shared>>,
    /// Whether a loop has begun that this side has not ended. The thread may have.
    has_begun: bool,
}

impl Gather {
    /// Has to be called before so many bytes are written to the socket, whose `TCP_NODELAY` is set at first.
    pub(super) fn before_write(&mut self, socket: &TcpStream, len: usize, now: impl FnOnce() -> Instant) {
        if self.has_begun
            && let Some(shared) = &self.shared
        {
            if shared.is_on.load(Ordering::Relaxed) && len <= SMALL {
                shared.writes.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.interrupt();
        }
        if self.pace.write(len, now()) {
            self.pace = Pace::default();
            self.has_begun = self.shared.get_or_insert_default().begin(socket);
        }
    }

    /// Something else than writing comes, such as waiting for the peer: sends what was held back.
    pub(super) fn interrupt(&mut self) {
        self.pace = Pace::default();
        if core::mem::take(&mut self.has_begun)
            && let Some(shared) = &self.shared
        {
            shared.end(&shared.lock());
        }
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.interrupt();
        if let Some(shared) = &self.shared {
            shared.lock().socket = None;
            shared.changed.notify_one();
        }
    }
}

/// Finds loops.
#[derive(Debug, Default)]
struct Pace {
    writes: u32,
    last: Option<Instant>,
}

impl Pace {
    /// Whether a write of so many bytes is one of a loop.
    fn write(&mut self, len: usize, now: Instant) -> bool {
        let follows = self.last.is_some_and(|last| now.saturating_duration_since(last) <= APART);
        self.writes = if follows { self.writes + 1 } else { 1 };
        self.last = Some(now).filter(|_| len <= SMALL);
        self.last.is_some() && self.writes >= LOOP
    }
}

/// What the writer and the thread share.
#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    /// A loop has begun, or the socket is gone.
    changed: Condvar,
    /// Whether Nagle's algorithm is on. Changes under the lock only.
    is_on: AtomicBool,
    /// Since the last tick.
    writes: AtomicU32,
}

#[derive(Debug, Default)]
struct Held {
    /// The same socket, until its owner drops it.
    socket: Option<TcpStream>,
    has_thread: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a loop; whether it has. Without a thread to send what is held back, nothing may be.
    fn begin(self: &Arc<Self>, socket: &TcpStream) -> bool {
        let mut held = self.lock();
        if held.socket.is_none() {
            held.socket = socket.try_clone().ok();
        }
        if !held.has_thread {
            let shared = Arc::clone(self);
            let thread = thread::Builder::new().name("mqtt-wasi-nagle".into());
            held.has_thread = thread.spawn(move || shared.watch()).is_ok();
        }
        let begins = held.has_thread && held.socket.as_ref().is_some_and(|socket| socket.set_nodelay(false).is_ok());
        if begins {
            self.writes.store(FEW, Ordering::Relaxed);
            self.is_on.store(true, Ordering::Relaxed);
            self.changed.notify_one();
        }
        begins
    }

    /// Sends what was held back, and holds back nothing from now on.
    fn end(&self, held: &Held) {
        if self.is_on.swap(false, Ordering::Relaxed)
            && let Some(socket) = &held.socket
        {
            // It fails only for a connection that is broken, on which nothing can be sent.
            let _ = socket.set_nodelay(true);
        }
    }

    /// What the thread does.
    fn watch(&self) {
        let mut held = self.lock();
        while held.socket.is_some() {
            let is_on = self.is_on.load(Ordering::Relaxed);
            let time = if is_on { TICK } else { IDLE };
            let (woken, waited) = self.changed.wait_timeout(held, time).unwrap_or_else(PoisonError::into_inner);
            held = woken;
            if self.is_on.load(Ordering::Relaxed) {
                if is_on {
                    self.tick(&held);
                }
            } else if !is_on && waited.timed_out() {
                break;
            }
        }
        held.has_thread = false;
    }

    /// Sends what was held back, and continues if the loop does. Then it stays on meanwhile: who writes on another
    /// processor would take it for ended.
    fn tick(&self, held: &Held) {
        let goes_on = self.writes.swap(0, Ordering::Relaxed) >= FEW;
        let Some(socket) = held.socket.as_ref().filter(|_| goes_on) else { return self.end(held) };
        // As in `end`.
        let _ = socket.set_nodelay(true);
        if socket.set_nodelay(false).is_err() {
            self.is_on.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;
    use crate::transport::tcp::now;

    const MICROSECOND: Duration = Duration::from_micros(1);

    fn write(pace: &mut Pace, count: u32, len: usize, apart: Duration) -> bool {
        (0..count).fold(false, |_, _| {
            let time = pace.last.unwrap_or(Instant::ZERO) + apart;
            pace.write(len, time)
        })
    }

    #[test]
    fn many_small_writes_in_a_row_are_a_loop() {
        let mut pace = Pace::default();
        assert!(!write(&mut pace, LOOP - 1, SMALL, APART));
        assert!(write(&mut pace, 1, 1, APART));
    }

    #[test]
    fn writes_that_are_few_or_far_apart_or_large_are_none() {
        assert!(!write(&mut Pace::default(), 1000, 50, APART + MICROSECOND));
        assert!(!write(&mut Pace::default(), 1000, SMALL + 1, MICROSECOND));
        let mut pace = Pace::default();
        assert!(!write(&mut pace, LOOP - 1, 50, MICROSECOND));
        assert!(!write(&mut pace, LOOP - 1, 50, APART + MICROSECOND), "a pause begins anew");
        assert!(!write(&mut pace, 1, SMALL + 1, MICROSECOND));
        assert!(!write(&mut pace, LOOP - 1, 50, MICROSECOND), "and so does a large write");
    }

    /// A socket, and the times at which its peer has read so many bytes in all. The peer answers a 1, so that it
    /// delays its acknowledgements.
    fn connection() -> (TcpStream, mpsc::Receiver<(usize, Instant)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nodelay(true).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let (sender, times) = mpsc::channel();
        thread::spawn(move || {
            let (mut buffer, mut total) = ([0; 65_536], 0);
            while let Ok(len @ 1..) = peer.read(&mut buffer) {
                if buffer[..len].contains(&1) {
                    peer.write_all(b"x").unwrap();
                }
                total += len;
                let _ = sender.send((total, now()));
            }
        });
        (socket, times)
    }

    /// Writes a loop of so many messages, 50 bytes each, as if no time went by.
    fn write_loop(gather: &mut Gather, mut socket: &TcpStream, count: usize) -> usize {
        for _ in 0..count {
            gather.before_write(socket, 50, || Instant::ZERO);
            socket.write_all(&[7; 50]).unwrap();
        }
        50 * count
    }

    /// How long the end of a loop took to arrive, the median of some. The peer acknowledges nothing for 40 ms unless it
    /// has something to say: so long it would wait.
    fn wait_for_the_end() -> Duration {
        let (mut socket, times) = connection();
        let mut gather = Gather::default();
        let (mut total, mut waits) = (0, std::vec::Vec::new());
        for _ in 0..21 {
            // A question and its answer: from now on the peer delays its acknowledgements.
            gather.interrupt();
            socket.write_all(&[1; 50]).unwrap();
            socket.read_exact(&mut [0]).unwrap();
            total += 50 + write_loop(&mut gather, &socket, 2 * LOOP as usize);
            let end = now();
            let arrived = times.iter().find(|&(read, _)| read == total).unwrap().1;
            waits.push(arrived.saturating_duration_since(end));
        }
        waits.sort_unstable();
        waits[10]
    }

    #[test]
    fn the_end_of_a_loop_waits_for_no_acknowledgement() {
        // A busy machine may be late. If the loop waited, it would be each time.
        let waits: std::vec::Vec<_> = (0..4).map(|_| wait_for_the_end()).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(20)), "{waits:?}");
    }

    #[test]
    fn loop_goes_on_while_the_thread_sends_what_was_held_back() {
        let (socket, _times) = connection();
        let shared = Shared::default();
        shared.lock().socket = Some(socket.try_clone().unwrap());
        shared.is_on.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            let ticks = scope.spawn(|| {
                for _ in 0..2000 {
                    shared.writes.store(FEW, Ordering::Relaxed);
                    shared.tick(&shared.lock());
                }
            });
            while !ticks.is_finished() {
                assert!(shared.is_on.load(Ordering::Relaxed));
            }
        });
        assert!(!socket.nodelay().unwrap());
        shared.tick(&shared.lock());
        assert!(!shared.is_on.load(Ordering::Relaxed) && socket.nodelay().unwrap());
    }

    #[test]
    fn a_loop_turns_nagles_algorithm_on_and_what_comes_behind_it_turns_it_off() {
        let (socket, times) = connection();
        let mut gather = Gather::default();
        write_loop(&mut gather, &socket, LOOP as usize - 1);
        assert!(socket.nodelay().unwrap() && gather.shared.is_none());
        write_loop(&mut gather, &socket, 1);
        let shared = Arc::clone(gather.shared.as_ref().unwrap());
        assert!(gather.has_begun && shared.lock().has_thread);
        gather.interrupt();
        assert!(socket.nodelay().unwrap());

        // Without one more call, the thread does it.
        let sent = write_loop(&mut gather, &socket, 5 * LOOP as usize);
        assert!(gather.has_begun);
        assert!(times.iter().any(|(read, _)| read == sent + 50 * LOOP as usize));
        let deadline = now() + Duration::from_secs(10);
        while !socket.nodelay().unwrap() || shared.is_on.load(Ordering::Relaxed) {
            assert!(now() < deadline);
            thread::sleep(TICK);
        }

        // It keeps neither the socket nor itself.
        drop(gather);
        assert!(shared.lock().socket.is_none());
        while Arc::strong_count(&shared) > 1 {
            assert!(now() < deadline);
            thread::sleep(TICK);
        }
    }
}
