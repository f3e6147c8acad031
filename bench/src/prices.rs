//! What the machine asks for the two calls of the system that a client makes most: without them no message leaves, and
//! no deadline is kept.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use crate::results::Prices;
use crate::rounds::Rounds;

const ROUNDS: usize = 11;
const WRITES: u32 = 2_000;
const READINGS: u32 = 100_000;

/// Medians of rounds.
pub(crate) fn measure() -> io::Result<Prices> {
    Ok(Prices { write_ns: write()?, clock_ns: clock() })
}

/// A byte to a socket on loopback, which somebody else reads.
fn write() -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (mut other, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while other.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    let mut rounds = [0.0; ROUNDS];
    for round in &mut rounds {
        *round = nanoseconds_each(WRITES, || stream.write_all(&[0]))?;
    }
    drop(stream);
    reader.join().map_err(|_| io::Error::other("reading panicked"))?;
    Ok(median(rounds))
}

fn clock() -> f64 {
    let read = || {
        black_box(Instant::now());
        Ok(())
    };
    median([(); ROUNDS].map(|()| nanoseconds_each(READINGS, read).unwrap_or(f64::NAN)))
}

fn nanoseconds_each(times: u32, mut call: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..times {
        call()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(times))
}

fn median(rounds: [f64; ROUNDS]) -> f64 {
    Rounds::of(rounds.into_iter()).map_or(f64::NAN, |rounds| rounds.median)
}
