//! Many clients that work only while they are called, attended by one thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::thread;
use std::time::{Duration, Instant};

use super::hall::{FIRST, Hall, SETTLING};
use crate::contenders::Unable;

/// How often the thread looks at most: a Keep Alive leaves more time than this.
const TICK: Duration = Duration::from_millis(10);

/// A client that says when it has to be called.
pub(super) trait Attended {
    /// How long it has until then; `None`: it need not be called.
    fn left(&mut self) -> Option<Duration>;

    /// Does what is to be done now, without waiting.
    fn serve(&mut self) -> Result<(), Unable>;
}

/// Connects clients, and attends each at its deadline.
pub(super) fn gather<C: Attended>(
    hall: &mut Hall,
    mut connect: impl FnMut(&Hall) -> Result<C, Unable>,
) -> Result<(), Unable> {
    let mut rota = Rota { clients: Vec::with_capacity(hall.all()), due: BinaryHeap::with_capacity(hall.all()) };
    for _ in 0..FIRST {
        rota.add(connect(hall)?);
    }
    hall.begin();
    while hall.has_room() {
        rota.add(connect(hall)?);
    }
    hall.connected();
    rota.attend(SETTLING)?;
    hall.settled();
    rota.attend(hall.idle())?;
    hall.end();
    // A client whose connection is lost says so when it is called.
    rota.clients.iter_mut().try_for_each(C::serve)
}

/// Clients, and when each of them is due.
struct Rota<C> {
    clients: Vec<C>,
    due: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl<C: Attended> Rota<C> {
    fn add(&mut self, client: C) {
        self.clients.push(client);
        self.note(self.clients.len() as u32 - 1);
    }

    /// Finds out when a client is due.
    fn note(&mut self, place: u32) {
        if let Some(left) = self.clients[place as usize].left() {
            self.due.push(Reverse((Instant::now() + left, place)));
        }
    }

    /// Attends all of them for so long.
    fn attend(&mut self, time: Duration) -> Result<(), Unable> {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            while let Some(&Reverse((due, place))) = self.due.peek()
                && due <= now
            {
                self.due.pop();
                self.clients[place as usize].serve()?;
                self.note(place);
            }
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let next = self.due.peek().map_or(end, |Reverse((due, _))| *due);
            thread::sleep(next.max(now + TICK).min(end).saturating_duration_since(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is due every so often, and counts.
    struct Clock {
        every: Option<Duration>,
        served: u32,
    }

    impl Attended for Clock {
        fn left(&mut self) -> Option<Duration> {
            self.every
        }

        fn serve(&mut self) -> Result<(), Unable> {
            self.served += 1;
            Ok(())
        }
    }

    #[test]
    fn clients_are_attended_when_they_are_due() {
        let mut rota = Rota { clients: Vec::new(), due: BinaryHeap::new() };
        for every in [Some(Duration::ZERO), Some(Duration::from_secs(60)), None] {
            rota.add(Clock { every, served: 0 });
        }
        // One that is always due is attended once a tick, and does not keep the others from their turn.
        rota.due.push(Reverse((Instant::now(), 1)));
        rota.attend(TICK).unwrap();
        let served: Vec<_> = rota.clients.iter().map(|client| client.served).collect();
        assert!(served[0] >= 1);
        assert_eq!(served[1..], [1, 0]);
    }
}
