//! The peer of thousands of idle connections: it takes each, answers PINGREQ, and counts them.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::contenders::current_thread;
use crate::sink::split;

/// Asks how many PINGREQ have come, on a connection of its own: no packet of MQTT begins with this byte.
pub(super) const TELL_PINGS: u8 = 0;

/// How much of a connection is read at once: no packet that comes is larger.
const READ_SIZE: usize = 512;

/// Takes connections, for ever.
pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let pings = Rc::new(Cell::new(0));
    LocalSet::new().block_on(&current_thread()?, async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A client that goes away is no fault of the crowd's.
            tokio::task::spawn_local(attend(stream, Rc::clone(&pings)));
        }
    })
}

async fn attend(mut stream: TcpStream, pings: Rc<Cell<u64>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; READ_SIZE];
    let mut filled = 0;
    loop {
        let len = stream.read(&mut buffer[filled..]).await?;
        if len == 0 {
            return Ok(());
        }
        filled += len;
        let mut answers = Vec::new();
        let done = answer(&buffer[..filled], &pings, &mut answers);
        buffer.copy_within(done..filled, 0);
        filled -= done;
        stream.write_all(&answers).await?;
    }
}

/// Answers all packets that are there as a whole; how many bytes they are.
fn answer(bytes: &[u8], pings: &Cell<u64>, answers: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if first == TELL_PINGS {
            answers.extend(pings.get().to_be_bytes());
            rest = &rest[1..];
            continue;
        }
        let Some((packet, behind)) = split(rest) else { break };
        match packet[0] >> 4 {
            1 => answers.extend([0x20, 3, 0, 0, 0]),
            12 => {
                pings.set(pings.get() + 1);
                answers.extend([0xD0, 0]);
            }
            _ => {}
        }
        rest = behind;
    }
    bytes.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_answered_and_counted() {
        let (pings, mut answers) = (Cell::new(0), Vec::new());
        let connect = [0x10, 2, 1, 1];
        let bytes = [&connect[..], &[0xC0, 0, 0xC0, 0, TELL_PINGS, 0xC0]].concat();
        assert_eq!(answer(&bytes, &pings, &mut answers), bytes.len() - 1);
        assert_eq!(answers, [&[0x20, 3, 0, 0, 0, 0xD0, 0, 0xD0, 0][..], &2_u64.to_be_bytes()].concat());
        assert_eq!(pings.get(), 2);
    }
}
