//! What is set of a TCP socket before it connects, natively.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::{Error, ErrorKind, Result};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Options of sockets. What is not set is the system's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    /// The address of this machine to connect from.
    pub(crate) bind_address: Option<IpAddr>,
    /// After how long without a byte the system asks whether the peer is still there.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
}

impl SocketOptions {
    /// Nothing but the system's own.
    pub(crate) const NONE: Self =
        Self { bind_address: None, keep_alive: None, send_buffer: None, receive_buffer: None };

    /// A socket to connect to this address with. Buffers are set first: what TCP can offer the peer depends on them.
    pub(crate) fn socket(&self, address: SocketAddr) -> Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(time) = self.keep_alive {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
        }
        if let Some(ip) = self.bind_address {
            if ip.is_ipv6() != address.is_ipv6() {
                return Err(Error::new(ErrorKind::AddrNotAvailable, "the bind address is of the other family"));
            }
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_has_what_was_set() {
        let options = SocketOptions {
            bind_address: Some([127, 0, 0, 1].into()),
            keep_alive: Some(Duration::from_secs(45)),
            send_buffer: Some(32 * 1024),
            receive_buffer: Some(48 * 1024),
        };
        let socket = options.socket(([127, 0, 0, 1], 1).into()).unwrap();
        assert!(socket.keepalive().unwrap());
        // Linux doubles what it is told, for its own records.
        assert!(socket.send_buffer_size().unwrap() >= 32 * 1024);
        assert!(socket.recv_buffer_size().unwrap() >= 48 * 1024);
        assert_eq!(socket.local_addr().unwrap().as_socket().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(options.socket("[::1]:1".parse().unwrap()).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        assert!(!SocketOptions::NONE.socket(([127, 0, 0, 1], 1).into()).unwrap().keepalive().unwrap());
    }
}
