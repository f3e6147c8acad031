//! Three nodes of a broker at loopback addresses of their own.

use std::net::{Ipv4Addr, SocketAddr};

use super::server::{Server, available};
use crate::ports::free_ports;

/// How many nodes: the fewest of which a majority survives one.
const NODES: u8 = 3;

/// A cluster, until it is dropped.
pub struct Cluster {
    /// Its nodes.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts it. Where the broker is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start(name: &'static str) -> Option<Self> {
        if let Err(why) = available(name) {
            assert!(std::env::var_os("CI").is_none(), "CI must not go without {name}: {why}");
            crate::skipped(&why);
            return None;
        }
        let addresses: Vec<Ipv4Addr> = (1..=NODES).map(|number| Ipv4Addr::new(127, 0, 0, 10 + number)).collect();
        let [mqtt, ports @ ..] = free_ports::<3>(addresses.iter().copied());
        let node = |address: &Ipv4Addr| Server::new(name, SocketAddr::from((*address, mqtt)), ports, addresses.clone());
        let mut nodes: Vec<Server> = addresses.iter().map(node).collect();
        // Some wait for the others, so all are started before the first is waited for.
        let listening: Vec<_> = nodes.iter_mut().map(Server::spawn).collect();
        for (node, listens) in nodes.iter().zip(listening) {
            assert!(node.wait_until_it_listens(&listens), "a node of {name} does not start: its log says why");
        }
        Some(Self { nodes })
    }

    /// The URLs of all nodes, this one first.
    #[must_use]
    pub fn urls_from(&self, first: usize) -> Vec<String> {
        let count = self.nodes.len();
        (0..count).map(|offset| self.nodes[(first + offset) % count].url()).collect()
    }
}
