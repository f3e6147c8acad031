//! A network that fails: a proxy on loopback that cuts, stalls and resets the connections through it, at random bytes.
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//! use host_tests::proxy::Proxy;
//!
//! let broker = TcpListener::bind("127.0.0.1:0")?;
//! let proxy = Proxy::start(broker.local_addr()?, 7);
//! let client = TcpStream::connect(proxy.address())?;
//! let (_connection, _) = broker.accept()?;
//! assert_eq!(proxy.harms(), 0, "it harms nothing until it is told to");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::broker::{ANY_PORT, url};

/// Within how many bytes some connections are harmed: as many as CONNECT takes.
const EARLY: u64 = 60;

/// Within how many bytes all other connections are harmed.
const LATE: u64 = 20_000;

/// How many milliseconds a connection stalls at the most.
const LONGEST_STALL: u64 = 50;

/// The seed of everything that is random in a test: the variable `CHAOS_SEED`, to replay a failure, or else the time.
/// Says which.
///
/// # Panics
/// When the variable is no decimal number.
#[must_use]
pub fn seed() -> u64 {
    let seed = match std::env::var("CHAOS_SEED") {
        Ok(seed) => seed.parse().expect("CHAOS_SEED is a decimal number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64),
    };
    println!("CHAOS_SEED={seed} replays this");
    seed
}

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

/// A proxy, until it is dropped. What each connection comes to follows from the seed and from how many there were before.
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    thread: Option<JoinHandle<()>>,
}

/// What the proxy's threads share.
struct Network {
    target: Mutex<SocketAddr>,
    is_harming: AtomicBool,
    is_over: AtomicBool,
    harms: AtomicU32,
    watch: Watch,
}

/// A client's connection to the proxy, and the proxy's own to the broker.
struct Link {
    /// How many there were before.
    number: u64,
    client: TcpStream,
    broker: TcpStream,
    is_reset: AtomicBool,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
}

/// What is told of all bytes before they are passed on: over which connection, counted from 0, and which way.
type Watch = Box<dyn Fn(u64, Direction, &[u8]) + Send + Sync>;

/// What one direction of a connection comes to.
struct Fate {
    /// After how many bytes.
    after: usize,
    stall: Duration,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// None yet: the bytes flow on, to the next fate.
    Later,
    /// Both connections are closed.
    Cut,
    /// The connection that the bytes came over is reset, the other one closed.
    Reset,
}

impl Random {
    /// The numbers that follow from this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// When that is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// As many milliseconds as that, or fewer.
    pub const fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

impl Proxy {
    /// Listens on loopback, at a port that the system chooses, and forwards each connection to `target`: unharmed, until
    /// [`Proxy::start_harming`].
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use]
    pub fn start(target: SocketAddr, seed: u64) -> Self {
        Self::start_watched(target, seed, |_, _, _| {})
    }

    /// As [`Proxy::start`], and tells `watch` of all bytes before they are passed on: over which connection, counted from
    /// 0, and which way.
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use]
    pub fn start_watched(
        target: SocketAddr,
        seed: u64,
        watch: impl Fn(u64, Direction, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(ANY_PORT).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port's number");
        let network = Arc::new(Network {
            target: Mutex::new(target),
            is_harming: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            harms: AtomicU32::new(0),
            watch: Box::new(watch),
        });
        let thread = thread::spawn({
            let network = Arc::clone(&network);
            move || network.serve(&listener, Random::new(seed))
        });
        Self { address, network, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the broker behind it.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// Harms connections from now on, those that there are too.
    pub fn start_harming(&self) {
        self.network.is_harming.store(true, SeqCst);
    }

    /// Harms no more connections.
    pub fn go_easy(&self) {
        self.network.is_harming.store(false, SeqCst);
    }

    /// Sends connections from now on to another place.
    pub fn set_target(&self, target: SocketAddr) {
        *self.network.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// How many connections it has cut and reset so far. Those that stalled and went on do not count.
    #[must_use]
    pub fn harms(&self) -> u32 {
        self.network.harms.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.is_over.store(true, SeqCst);
        // Wakes the thread that waits for the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; a second one would hide what the test has to say.
            let _ = thread.join();
        }
    }
}

impl Network {
    /// Takes connections until the proxy is dropped, and waits for their ends.
    fn serve(&self, listener: &TcpListener, mut random: Random) {
        let mut links: Vec<Weak<Link>> = Vec::new();
        thread::scope(|scope| {
            for (number, client) in (0..).zip(listener.incoming()) {
                if self.is_over.load(SeqCst) {
                    break;
                }
                // Drawn whether there is a broker or not, so that the next connection's fate does not depend on that.
                let mut random = Random::new(random.draw());
                // Without a broker the client's connection is closed.
                let Ok(link) = client.and_then(|client| self.link(number, client)) else { continue };
                let link = Arc::new(link);
                links.retain(|link| link.strong_count() > 0);
                links.push(Arc::downgrade(&link));
                let harmed = if random.below(2) == 0 { Direction::ToBroker } else { Direction::ToClient };
                for direction in [Direction::ToBroker, Direction::ToClient] {
                    let (link, random) = (Arc::clone(&link), (direction == harmed).then(|| random.clone()));
                    scope.spawn(move || self.forward(&link, direction, random));
                }
            }
            links.iter().filter_map(Weak::upgrade).for_each(|link| link.shut_down());
        });
    }

    fn link(&self, number: u64, client: TcpStream) -> io::Result<Link> {
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        Ok(Link { number, client, broker, is_reset: AtomicBool::new(false) })
    }

    /// Forwards one direction until an end closes its connection or harm comes to both. With `random` there is harm.
    fn forward(&self, link: &Link, direction: Direction, random: Option<Random>) {
        // Why a connection ended is for the client and the broker to notice.
        let _ = self.forward_bytes(link, direction, random);
        // Closing a connection in good order first would spoil its reset.
        if !link.is_reset.load(SeqCst) {
            link.shut_down();
        }
    }

    fn forward_bytes(&self, link: &Link, direction: Direction, mut random: Option<Random>) -> io::Result<()> {
        let (mut from, mut to) = link.ends(direction);
        let mut bytes = [0; 16 * 1024];
        let mut fate = random.as_mut().map(Fate::draw);
        loop {
            // They are looked at first and taken then, so that at least one is left unread when harm comes: a connection
            // that is closed with bytes unread is reset.
            let waiting = from.peek(&mut bytes)?;
            if waiting == 0 {
                return Ok(());
            }
            let most = fate.as_ref().filter(|_| self.is_harming()).map_or(waiting, |fate| fate.after);
            let len = waiting.min(most);
            from.read_exact(&mut bytes[..len])?;
            (self.watch)(link.number, direction, &bytes[..len]);
            to.write_all(&bytes[..len])?;
            if let Some(fate) = &mut fate {
                fate.after = fate.after.saturating_sub(len);
            }
            let harm = fate.as_ref().filter(|_| len < waiting).map(|fate| (fate.stall, fate.end));
            let Some((stall, end)) = harm else { continue };
            thread::sleep(stall);
            match end {
                _ if !self.is_harming() => {}
                End::Later => fate = random.as_mut().map(Fate::draw),
                End::Cut => {
                    self.harms.fetch_add(1, SeqCst);
                    return Ok(());
                }
                End::Reset => {
                    self.harms.fetch_add(1, SeqCst);
                    link.is_reset.store(true, SeqCst);
                    // Ends the other direction, too. Whichever ends last closes the connection with its bytes unread.
                    return to.shutdown(Shutdown::Both);
                }
            }
        }
    }

    fn is_harming(&self) -> bool {
        self.is_harming.load(SeqCst)
    }
}

impl Link {
    const fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToBroker => (&self.client, &self.broker),
            Direction::ToClient => (&self.broker, &self.client),
        }
    }

    fn shut_down(&self) {
        // They may be closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

impl Fate {
    fn draw(random: &mut Random) -> Self {
        let range = if random.below(8) == 0 { EARLY } else { LATE };
        let after = random.below(range) as usize;
        let stall = random.millis(LONGEST_STALL);
        let (stall, end) = match random.below(8) {
            0 => (stall, End::Later),
            1 => (stall, End::Cut),
            2 => (stall, End::Reset),
            3..=5 => (Duration::ZERO, End::Cut),
            _ => (Duration::ZERO, End::Reset),
        };
        Self { after, stall, end }
    }
}
