//! Ports for servers that cannot choose one themselves, and one where nobody listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

/// Below the ports that Linux, macOS and Windows hand out to whoever asks for any. So neither a listener nor a connection
/// gets one of these by chance, not even while the server that has it is down and will be started again.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// How far apart processes with neighbouring numbers begin: more than one of them starts servers.
const STRIDE: u32 = 199;

/// So many ports that differ and are free at each of the addresses.
pub(crate) fn free_ports<const N: usize>(addresses: impl IntoIterator<Item = Ipv4Addr> + Clone) -> [u16; N] {
    [(); N].map(|()| {
        let is_free = |port: &u16| addresses.clone().into_iter().all(|ip| TcpListener::bind((ip, *port)).is_ok());
        (0..COUNT).map(|_| next_port()).find(is_free).expect("a free port")
    })
}

/// The loopback address with a free port.
pub(crate) fn free_address() -> SocketAddr {
    let [port] = free_ports::<1>([Ipv4Addr::LOCALHOST]);
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// An address where nobody listens. The port is taken as long as this process runs, so that nobody can.
///
/// # Panics
/// When the system gives no port.
#[must_use]
pub fn nowhere() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port of the loopback address");
    let address = socket.local_addr().expect("the port's number");
    std::mem::forget(socket);
    address
}

/// Each is given once, until all were.
fn next_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let begin = std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT);
        AtomicU16::new(begin as u16)
    });
    let place = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |place| Some((place + 1) % COUNT));
    FIRST + place.expect("there is always a next one")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn ports_differ_and_those_that_are_taken_are_left_out() {
        let taken = TcpListener::bind(free_address()).unwrap().local_addr().unwrap();
        let listeners: Vec<_> = (0..50).map(|_| TcpListener::bind(free_address()).unwrap()).collect();
        let ports: BTreeSet<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), listeners.len());
        assert!(!ports.contains(&taken.port()), "it was given before");
    }

    #[test]
    fn nobody_listens_nowhere_and_nobody_can() {
        let address = nowhere();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
