//! What the async client is run by, where the order of all steps is chosen at random: tasks and locks of shuttle's, a network
//! in memory, and a clock that stands still until it is told to go on.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::cell::RefCell;
use std::sync::Mutex as Atomic;

pub(crate) use shuttle::sync::{Mutex, MutexGuard};

use crate::error::{Error, TransportError};
use crate::time::Instant;
use crate::transport::{Layers, Transferred, Transport};
use crate::url::BrokerUrl;

/// As many bytes are on their way at the most: few, so that packets come in pieces.
const ON_THEIR_WAY: usize = 24;

// All tasks of a schedule run on one thread, one after the other.
std::thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
}

#[derive(Default)]
struct World {
    now: Duration,
    sleepers: Vec<Waker>,
    /// Connections that the broker has not accepted.
    arrived: VecDeque<Peer>,
    broker: Option<Waker>,
}

/// Nothing is left of the schedule before.
pub(crate) fn begin_anew() {
    WORLD.with_borrow_mut(|world| *world = World::default());
}

pub(crate) fn now() -> Instant {
    Instant::ZERO + Duration::from_secs(1_000_000) + WORLD.with_borrow(|world| world.now)
}

/// The clock goes on.
pub(crate) fn pass(time: Duration) {
    let sleepers = WORLD.with_borrow_mut(|world| {
        world.now += time;
        core::mem::take(&mut world.sleepers)
    });
    sleepers.into_iter().for_each(Waker::wake);
}

pub(crate) fn spawn<F>(task: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    drop(shuttle::future::spawn(task));
}

/// Ends at its time, which is told as tokio would have it.
pub(crate) struct Sleep {
    until: Instant,
}

pub(crate) fn sleep_until(at: tokio::time::Instant) -> Sleep {
    let mut sleep = Sleep { until: now() };
    Pin::new(&mut sleep).reset(at);
    sleep
}

impl Sleep {
    pub(crate) fn reset(mut self: Pin<&mut Self>, at: tokio::time::Instant) {
        // The client has just added what is left to the time that it is. Some of that may have passed, of the real time.
        let left = at.saturating_duration_since(tokio::time::Instant::now());
        self.until = now() + left;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.until {
            return Poll::Ready(());
        }
        WORLD.with_borrow_mut(|world| world.sleepers.push(context.waker().clone()));
        Poll::Pending
    }
}

/// Bytes in one direction. What the system does with them is done at once.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_closed: bool,
    /// Whoever waits for what is at the other end.
    waiting: Vec<Waker>,
}

impl Pipe {
    fn wake(pipe: &Atomic<Self>) {
        let waiting = core::mem::take(&mut pipe.lock().unwrap().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Puts in what there is room for; waits where there is none.
    fn write(pipe: &Atomic<Self>, bytes: &[u8], waker: &Waker) -> usize {
        let mut this = pipe.lock().unwrap();
        let len = if this.is_closed { 0 } else { bytes.len().min(ON_THEIR_WAY - this.bytes.len()) };
        this.bytes.extend(&bytes[..len]);
        if len == 0 {
            this.waiting.push(waker.clone());
            return 0;
        }
        drop(this);
        Self::wake(pipe);
        len
    }

    /// Takes what has come, or the end; waits where there is neither.
    fn read(pipe: &Atomic<Self>, space: &mut [u8], waker: &Waker) -> Poll<usize> {
        let mut this = pipe.lock().unwrap();
        let len = space.len().min(this.bytes.len());
        if len == 0 && !this.is_closed {
            this.waiting.push(waker.clone());
            return Poll::Pending;
        }
        for (space, byte) in space.iter_mut().zip(this.bytes.drain(..len)) {
            *space = byte;
        }
        drop(this);
        Self::wake(pipe);
        Poll::Ready(len)
    }

    fn close(pipe: &Atomic<Self>) {
        pipe.lock().unwrap().is_closed = true;
        Self::wake(pipe);
    }
}

/// One end of a connection.
pub(crate) struct Peer {
    from: Arc<Atomic<Pipe>>,
    to: Arc<Atomic<Pipe>>,
}

impl Peer {
    /// The next connection that is made.
    pub(crate) async fn accept() -> Self {
        core::future::poll_fn(|context| {
            WORLD.with_borrow_mut(|world| {
                world.broker = Some(context.waker().clone());
                world.arrived.pop_front().map_or(Poll::Pending, Poll::Ready)
            })
        })
        .await
    }

    /// What has come; nothing at the end.
    pub(crate) async fn read(&self) -> Vec<u8> {
        core::future::poll_fn(|context| {
            let mut space = [0; ON_THEIR_WAY];
            Pipe::read(&self.from, &mut space, context.waker()).map(|len| space[..len].to_vec())
        })
        .await
    }

    pub(crate) async fn write(&self, mut bytes: &[u8]) {
        core::future::poll_fn(|context| {
            if self.to.lock().unwrap().is_closed {
                return Poll::Ready(());
            }
            while !bytes.is_empty() {
                match Pipe::write(&self.to, bytes, context.waker()) {
                    0 => return Poll::Pending,
                    len => bytes = &bytes[len..],
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        Pipe::close(&self.from);
        Pipe::close(&self.to);
    }
}

/// The client's end of it.
pub(crate) struct Connection {
    peer: Option<Peer>,
    waker: Waker,
}

impl Connection {
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
    }

    pub(crate) fn over<T>(_: T) -> Self {
        Self { peer: None, waker: Waker::noop().clone() }
    }

    pub(crate) const fn is_behind(&self) -> bool {
        false
    }
}

/// As every attempt to connect it takes a while.
pub(crate) async fn connect(_: Layers, _: BrokerUrl, _: Instant) -> Result<Connection, Error> {
    shuttle::future::yield_now().await;
    let (up, down) = (Arc::<Atomic<Pipe>>::default(), Arc::<Atomic<Pipe>>::default());
    let broker = WORLD.with_borrow_mut(|world| {
        world.arrived.push_back(Peer { from: Arc::clone(&up), to: Arc::clone(&down) });
        world.broker.take()
    });
    broker.into_iter().for_each(Waker::wake);
    Ok(Connection { peer: Some(Peer { from: down, to: up }), waker: Waker::noop().clone() })
}

impl Transport for Connection {
    fn now(&self) -> Instant {
        now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let mut moved = Transferred::default();
        let Some(peer) = &self.peer else { return Ok(Transferred { closed: true, ..moved }) };
        if !outgoing.is_empty() {
            moved.sent = Pipe::write(&peer.to, outgoing, &self.waker);
        }
        if !incoming.is_empty()
            && let Poll::Ready(received) = Pipe::read(&peer.from, incoming, &self.waker)
        {
            moved.received = received;
            moved.closed = received == 0;
        }
        Ok(moved)
    }

    fn close(&mut self) {
        self.peer = None;
    }
}

/// A task, to be waited for.
pub(crate) fn task<F>(task: F) -> Pin<Box<dyn Future<Output = F::Output> + Send>>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let task = shuttle::future::spawn(task);
    Box::pin(async { task.await.expect("no task is given up") })
}
