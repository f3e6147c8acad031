//! The Packet Identifiers of QoS 2 messages that were received and not yet released: two bits each (section 4.3.3).

use alloc::boxed::Box;

use crate::codec::PacketId;

const WORDS: usize = 65_536 / 64;

/// A set of Packet Identifiers, and for each whether PUBREC was sent. Takes 16 KiB from the first QoS 2 message on, and
/// none before.
#[derive(Debug, Default)]
pub(super) struct ReceivedIds(Option<Box<[Word]>>);

/// 64 Packet Identifiers.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    received: u64,
    answered: u64,
}

impl ReceivedIds {
    pub(super) fn contains(&self, id: PacketId) -> bool {
        let (word, bit) = place(id);
        self.0.as_ref().is_some_and(|words| words[word].received & bit != 0)
    }

    pub(super) fn insert(&mut self, id: PacketId) {
        let words = self.0.get_or_insert_with(|| alloc::vec![Word::default(); WORDS].into_boxed_slice());
        let (word, bit) = place(id);
        words[word].received |= bit;
    }

    /// Notes that PUBREC was sent.
    pub(super) fn answer(&mut self, id: PacketId) {
        let Some(words) = &mut self.0 else { return };
        let (word, bit) = place(id);
        words[word].answered |= bit & words[word].received;
    }

    /// Takes the identifier out; whether PUBREC was sent, or `None` if it was not there.
    pub(super) fn remove(&mut self, id: PacketId) -> Option<bool> {
        let words = self.0.as_mut()?;
        let (word, bit) = place(id);
        let Word { received, answered } = words[word];
        words[word] = Word { received: received & !bit, answered: answered & !bit };
        (received & bit != 0).then_some(answered & bit != 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PacketId> {
        (1..=u16::MAX).filter_map(PacketId::new).filter(|&id| self.contains(id))
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

const fn place(id: PacketId) -> (usize, u64) {
    (id.get() as usize / 64, 1 << (id.get() % 64))
}
