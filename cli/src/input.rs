//! Standard input line by line, while a connection has to be kept.

use std::io;
use std::time::Duration;

/// The longest line, which is the largest payload (section 1.5.5).
const LONGEST: usize = 268_435_455;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line without its line end. Whatever else is in it stays, also a carriage return.
    Line(Vec<u8>),
    /// Nothing came in time.
    Nothing,
    End,
    /// By a signal with this number.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "a component gets no signals"))]
    Interrupted(u8),
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::Lines;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::Lines;

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a line has more than 268,435,455 bytes, which no MQTT message can have")
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::io::{BufRead, Read as _};
    use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
    use std::thread;

    use super::{Duration, LONGEST, Next, io, too_long};
    use crate::failure::Failure;
    use crate::interrupt::on_interrupt;

    /// How many lines are read ahead.
    const AHEAD: usize = 64;

    /// Lines that a thread of its own reads.
    pub(crate) struct Lines(Receiver<io::Result<Next>>);

    impl Lines {
        /// Begins to read. Signals come as a part of the input from here on.
        pub(crate) fn start() -> Result<Self, Failure> {
            let (sender, receiver) = sync_channel(AHEAD);
            let signals = sender.clone();
            on_interrupt(move |signal| {
                // Who has gone is interrupted already.
                let _ = signals.send(Ok(Next::Interrupted(signal)));
            })?;
            thread::spawn(move || read_all(&mut io::stdin().lock(), &sender));
            Ok(Self(receiver))
        }

        /// Waits for the next line, for at most `wait`.
        pub(crate) fn next(&mut self, wait: Option<Duration>) -> io::Result<Next> {
            match wait {
                None => self.0.recv().unwrap_or(Ok(Next::End)),
                Some(wait) => match self.0.recv_timeout(wait) {
                    Ok(next) => next,
                    Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
                    Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
                },
            }
        }
    }

    fn read_all(input: &mut impl BufRead, sender: &SyncSender<io::Result<Next>>) {
        loop {
            let next = read_line(input);
            let is_last = !matches!(next, Ok(Next::Line(_)));
            if sender.send(next).is_err() || is_last {
                return;
            }
        }
    }

    fn read_line(input: &mut impl BufRead) -> io::Result<Next> {
        let mut line = Vec::new();
        // One more for the line end, and one to see that there is too much.
        input.take(LONGEST as u64 + 2).read_until(b'\n', &mut line)?;
        match line.last() {
            None => return Ok(Next::End),
            Some(b'\n') => drop(line.pop()),
            // The end of the input ends a line too.
            Some(_) => {}
        }
        if line.len() > LONGEST { Err(too_long()) } else { Ok(Next::Line(line)) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lines_go_through_unharmed() {
            let (sender, receiver) = sync_channel(AHEAD);
            read_all(&mut &b"one\r\n\n\xff\x00\nlast"[..], &sender);
            let mut lines = Lines(receiver);
            drop(sender);
            for line in [&b"one\r"[..], b"", b"\xff\x00", b"last"] {
                assert_eq!(lines.next(Some(Duration::ZERO)).unwrap(), Next::Line(line.to_vec()));
            }
            assert_eq!(lines.next(None).unwrap(), Next::End);
            assert_eq!(lines.next(None).unwrap(), Next::End);
        }
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use wasip2::cli::stdin::get_stdin;
    use wasip2::clocks::monotonic_clock::subscribe_duration;
    use wasip2::io::poll::poll;
    use wasip2::io::streams::{InputStream, StreamError};

    use super::{Duration, LONGEST, Next, io, too_long};
    use crate::failure::Failure;

    const READ_SIZE: u64 = 64 * 1024;

    /// Lines that are read when they are asked for. There is one thread, which waits for the input and for the time.
    pub(crate) struct Lines {
        stdin: InputStream,
        /// What was read. The first `taken` bytes are lines that were handed out. Behind those, up to `searched`, there
        /// is no line end.
        buffer: Vec<u8>,
        taken: usize,
        searched: usize,
        is_over: bool,
    }

    impl Lines {
        #[expect(clippy::unnecessary_wraps, reason = "as where there are threads")]
        pub(crate) fn start() -> Result<Self, Failure> {
            Ok(Self { stdin: get_stdin(), buffer: Vec::new(), taken: 0, searched: 0, is_over: false })
        }

        /// Waits for the next line, for at most `wait`.
        pub(crate) fn next(&mut self, wait: Option<Duration>) -> io::Result<Next> {
            loop {
                if let Some(line) = self.take() {
                    return Ok(Next::Line(line));
                }
                if self.is_over {
                    return Ok(Next::End);
                }
                if self.buffer.len() > LONGEST {
                    return Err(too_long());
                }
                if !self.wait(wait) {
                    return Ok(Next::Nothing);
                }
                match self.stdin.read(READ_SIZE) {
                    Ok(bytes) => self.buffer.extend_from_slice(&bytes),
                    Err(StreamError::Closed) => self.is_over = true,
                    Err(StreamError::LastOperationFailed(error)) => {
                        return Err(io::Error::other(error.to_debug_string()));
                    }
                }
            }
        }

        /// Whether there is something to read, after a while at the latest.
        fn wait(&self, wait: Option<Duration>) -> bool {
            let readable = self.stdin.subscribe();
            let Some(wait) = wait else {
                readable.block();
                return true;
            };
            let timer = subscribe_duration(wait.as_nanos().try_into().unwrap_or(u64::MAX));
            poll(&[&readable, &timer]).contains(&0)
        }

        /// The next whole line of the buffer, or the rest of an input that is over.
        fn take(&mut self) -> Option<Vec<u8>> {
            let found = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let end = match found {
                Some(place) => self.searched + place,
                None if self.is_over && self.taken < self.buffer.len() => self.buffer.len(),
                None => {
                    // What was handed out makes room for more.
                    self.buffer.drain(..self.taken);
                    self.taken = 0;
                    self.searched = self.buffer.len();
                    return None;
                }
            };
            let line = self.buffer[self.taken..end].to_vec();
            self.taken = (end + 1).min(self.buffer.len());
            self.searched = self.taken;
            Some(line)
        }
    }
}
