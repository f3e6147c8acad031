//! TLS sessions that can be resumed: a client that connects again saves a signature, certificates and a round trip of
//! cryptography. rustls keeps them only where there is std.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use spin::{Mutex, MutexGuard};

/// A client knows the broker of its URL and perhaps some fallbacks.
const MOST_SERVERS: usize = 8;

/// Each ticket is good for one connection, and brokers send two or so over each.
const MOST_TICKETS: usize = 4;

/// What brokers gave a client to come back with. No two threads get in each other's way for longer than it takes to
/// move a few bytes.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Server>>);

struct Server {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The oldest first.
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    /// Finds a server among those that are known, or makes it one of them in place of the one that was added first.
    fn change(&self, name: ServerName<'static>, change: impl FnOnce(&mut Server)) {
        let mut servers = self.0.lock();
        if let Some(server) = find(&mut servers, &name) {
            return change(server);
        }
        if servers.len() == MOST_SERVERS {
            servers.remove(0);
        }
        let mut server = Server { name, group: None, tls12: None, tickets: VecDeque::new() };
        change(&mut server);
        servers.push(server);
    }

    fn read<R>(&self, name: &ServerName<'_>, read: impl FnOnce(&mut Server) -> Option<R>) -> Option<R> {
        find(&mut self.0.lock(), name).and_then(read)
    }
}

fn find<'a>(servers: &'a mut MutexGuard<'_, Vec<Server>>, name: &ServerName<'_>) -> Option<&'a mut Server> {
    servers.iter_mut().find(|server| server.name == *name)
}

/// Shows no secret of any session.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.change(server_name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.read(server_name, |server| server.group)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.change(server_name, |server| server.tls12 = Some(value));
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.read(server_name, |server| server.tls12.clone())
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.read(server_name, |server| server.tls12.take());
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.change(server_name, |server| {
            if server.tickets.len() == MOST_TICKETS {
                server.tickets.pop_front();
            }
            server.tickets.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest is good for the longest.
        self.read(server_name, |server| server.tickets.pop_back())
    }
}
