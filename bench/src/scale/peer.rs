//! The other end of the connections, in a process of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Stdio};
use std::{process, thread};

use super::hall::raise_file_limit;
use super::load::WORK;
use super::{crowd, program};
use crate::sink::Sink;
use crate::target::Target;

/// The process, until this is dropped.
pub(super) struct Peer {
    process: Child,
    address: SocketAddr,
}

impl Peer {
    /// `crowd` for idle connections, or `sink` for the load job.
    pub(super) fn start(role: &str) -> io::Result<Self> {
        let mut process = program()?.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        match address(stdout) {
            Ok(address) => Ok(Self { process, address }),
            Err(error) => {
                process.kill()?;
                process.wait()?;
                Err(error)
            }
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process says first.
fn address(stdout: ChildStdout) -> io::Result<SocketAddr> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    line.trim().parse().map_err(io::Error::other)
}

/// In the process: serves until nobody has the other end of its standard input.
pub(super) fn serve(role: &str) {
    match role {
        "crowd" => {
            raise_file_limit().expect("the limit of files");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            println!("{}", listener.local_addr().expect("it is bound"));
            thread::spawn(|| crowd::serve(listener).expect("connections come"));
        }
        "sink" => println!("{}", Sink::start(WORK, Target::Sink).address()),
        _ => panic!("no such peer"),
    }
    // Nothing comes, but its end.
    let _ = io::stdin().read(&mut [0]);
    process::exit(0);
}
