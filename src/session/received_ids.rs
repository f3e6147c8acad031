//! The Packet Identifiers of QoS 2 messages that were received and not yet released: one bit each (section 4.3.3).

use alloc::boxed::Box;

use crate::codec::PacketId;

const WORDS: usize = 65_536 / 64;

/// A set of Packet Identifiers. Takes 8 KiB from the first QoS 2 message on, and none before.
#[derive(Debug, Default)]
pub(super) struct ReceivedIds(Option<Box<[u64]>>);

impl ReceivedIds {
    pub(super) fn contains(&self, id: PacketId) -> bool {
        let (word, bit) = place(id);
        self.0.as_ref().is_some_and(|words| words[word] & bit != 0)
    }

    pub(super) fn insert(&mut self, id: PacketId) {
        let words = self.0.get_or_insert_with(|| alloc::vec![0; WORDS].into_boxed_slice());
        let (word, bit) = place(id);
        words[word] |= bit;
    }

    /// Takes the identifier out; `false` if it was not there.
    pub(super) fn remove(&mut self, id: PacketId) -> bool {
        let Some(words) = &mut self.0 else { return false };
        let (word, bit) = place(id);
        let was_there = words[word] & bit != 0;
        words[word] &= !bit;
        was_there
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
