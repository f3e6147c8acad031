//! A network that loses nothing but time: it stalls, breaks, and takes and gives as many bytes as it likes.

use std::collections::VecDeque;

use mqtt_wasi::engine::Turn;
use mqtt_wasi::transport::Transferred;
use mqtt_wasi::{Instant, TransportError, TransportErrorKind};

use super::decisions::Decisions;

/// What a turn came to.
pub(crate) struct Moved {
    pub(crate) result: Result<Transferred, TransportError>,
    /// What the broker gets.
    pub(crate) sent: Vec<u8>,
    /// Whether it was past the time that the engine has something to do at.
    pub(crate) is_late: bool,
}

impl Moved {
    pub(crate) fn has_moved(&self) -> bool {
        self.result.as_ref().map_or(true, |moved| *moved != Transferred::default())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) is_up: bool,
    /// What the broker sent and the client has not read.
    pub(crate) unread: VecDeque<u8>,
    /// Whether the broker closed the connection behind that.
    is_closed: bool,
    /// Whether nothing can be sent any more, and whether nothing can be read either.
    is_broken: bool,
    is_cut: bool,
    /// Whether no bytes get to the broker, or to the client.
    pub(crate) takes_nothing: bool,
    pub(crate) gives_nothing: bool,
    /// Whether the client waits to read, or to write.
    wants_read: bool,
    wants_write: bool,
}

impl Network {
    pub(crate) fn connect(&mut self) {
        *self = Self { is_up: true, ..Self::default() };
    }

    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    /// The broker sent this; whether the client hears of it.
    pub(crate) fn arrives(&mut self, bytes: &[u8]) -> bool {
        if !self.is_up || self.is_closed {
            return false;
        }
        self.unread.extend(bytes);
        self.wants_read && !self.gives_nothing
    }

    /// The broker closes the connection, or the network breaks; whether the client hears of it.
    pub(crate) const fn ends(&mut self, how: usize) -> bool {
        match how {
            0 => self.is_closed = true,
            1 => self.is_broken = true,
            _ => self.is_cut = true,
        }
        self.wants_read || self.wants_write
    }

    /// Bytes flow again; whether the client hears of it.
    pub(crate) const fn flows(&mut self) -> bool {
        (self.takes_nothing, self.gives_nothing) = (false, false);
        self.wants_read || self.wants_write
    }

    pub(crate) fn transfer(&mut self, turn: Turn<'_>, now: Instant, decisions: &mut Decisions<'_>) -> Moved {
        let is_late = turn.until.is_some_and(|until| now >= until);
        (self.wants_read, self.wants_write) = (!turn.incoming.is_empty(), !turn.outgoing.is_empty());
        if !self.wants_read && !self.wants_write {
            return Moved { result: Ok(Transferred::default()), sent: Vec::new(), is_late };
        }
        let is_partial = decisions.once_in(6);
        let most = if is_partial { usize::from(decisions.byte()) } else { usize::MAX };
        let error = TransportError { kind: TransportErrorKind::ConnectionReset, message: String::new() };
        let received =
            if self.gives_nothing || self.is_cut { 0 } else { turn.incoming.len().min(self.unread.len()).min(most) };
        for (space, byte) in turn.incoming.iter_mut().zip(self.unread.drain(..received)) {
            *space = byte;
        }
        let is_failed = self.is_cut || (self.is_broken && self.wants_write);
        if is_failed && received == 0 {
            return Moved { result: Err(error), sent: Vec::new(), is_late };
        }
        let takes = if self.takes_nothing || self.is_broken { 0 } else { most };
        let sent = turn.outgoing[..turn.outgoing.len().min(takes)].to_vec();
        let is_at_end = self.unread.is_empty() && received == 0 && !self.gives_nothing;
        let closed = self.is_closed && self.wants_read && is_at_end;
        Moved { result: Ok(Transferred { sent: sent.len(), received, closed }), sent, is_late }
    }

    /// Whether a turn that moved nothing may have moved nothing by chance.
    pub(crate) fn has_something(&self) -> bool {
        (self.wants_read && !self.gives_nothing && !self.unread.is_empty()) || (self.wants_write && !self.takes_nothing)
    }
}
