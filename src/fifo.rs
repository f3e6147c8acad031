//! A queue in little code.
//!
//! That of the standard library is a ring, whose code for wrapping around is there again for each type that is queued:
//! together it was a twentieth of a small program.
#![expect(clippy::inline_always, reason = "programs are built for size, and hardly anything is inlined by itself then")]

use alloc::vec::Vec;
use core::iter::{Chain, Rev};
use core::slice::Iter;

/// First in, first out. Two stacks: when that of those who leave is empty, the other one is turned over into it. So
/// each thing is moved once more than in a ring.
#[derive(Debug, Clone)]
pub(crate) struct Fifo<T> {
    /// The next one is the last one here.
    leaving: Vec<T>,
    /// Behind all of those, in order.
    arriving: Vec<T>,
}

impl<T> Fifo<T> {
    pub(crate) const fn new() -> Self {
        Self { leaving: Vec::new(), arriving: Vec::new() }
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.leaving.len() + self.arriving.len()
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.arriving.is_empty()
    }

    #[inline(always)]
    pub(crate) fn push_back(&mut self, thing: T) {
        self.arriving.push(thing);
    }

    pub(crate) fn push_front(&mut self, thing: T) {
        self.leaving.push(thing);
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.leaving.is_empty() {
            if self.arriving.len() < 2 {
                return self.arriving.pop();
            }
            self.turn_over();
        }
        self.leaving.pop()
    }

    #[inline(never)]
    fn turn_over(&mut self) {
        core::mem::swap(&mut self.leaving, &mut self.arriving);
        self.leaving.reverse();
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.leaving.last().or_else(|| self.arriving.first())
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.leaving.last_mut().or_else(|| self.arriving.first_mut())
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.arriving.last().or_else(|| self.leaving.first())
    }

    /// The thing that this many are in front of.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        match self.leaving.len().checked_sub(place + 1) {
            Some(index) => self.leaving.get(index),
            None => self.arriving.get(place - self.leaving.len()),
        }
    }

    /// As [`Fifo::get`].
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        match self.leaving.len().checked_sub(place + 1) {
            Some(index) => self.leaving.get_mut(index),
            None => self.arriving.get_mut(place - self.leaving.len()),
        }
    }

    /// Takes the thing out that this many are in front of.
    pub(crate) fn remove(&mut self, place: usize) -> Option<T> {
        if place >= self.len() {
            return None;
        }
        Some(match self.leaving.len().checked_sub(place + 1) {
            Some(index) => self.leaving.remove(index),
            None => self.arriving.remove(place - self.leaving.len()),
        })
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> Chain<Rev<Iter<'_, T>>, Iter<'_, T>> {
        self.leaving.iter().rev().chain(&self.arriving)
    }

    /// As [`Fifo::iter`].
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.leaving.iter_mut().rev().chain(&mut self.arriving)
    }

    /// Keeps those that `keeps` is true for, which gets them in no order.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        let mut both = [&mut self.leaving, &mut self.arriving];
        both.iter_mut().for_each(|things| things.retain(&mut keeps));
    }

    pub(crate) fn clear(&mut self) {
        self.leaving.clear();
        self.arriving.clear();
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<Vec<T>> for Fifo<T> {
    fn from(things: Vec<T>) -> Self {
        Self { leaving: Vec::new(), arriving: things }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use super::*;

    #[test]
    fn it_is_a_queue_however_it_is_used() {
        let (mut fifo, mut ring) = (Fifo::new(), VecDeque::new());
        let mut random = 1_u32;
        for number in 0..20_000_usize {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match random >> 27 {
                0..=11 => {
                    fifo.push_back(number);
                    ring.push_back(number);
                }
                12..=14 => {
                    fifo.push_front(number);
                    ring.push_front(number);
                }
                15..=25 => assert_eq!(fifo.pop_front(), ring.pop_front()),
                26..=27 => {
                    let place = number % (ring.len() + 1);
                    assert_eq!(fifo.remove(place), ring.remove(place));
                }
                28 => {
                    fifo.retain(|it| it % 7 != number % 7);
                    ring.retain(|it| it % 7 != number % 7);
                }
                29 => {
                    fifo.iter_mut().for_each(|it| *it += 1);
                    ring.iter_mut().for_each(|it| *it += 1);
                }
                30 if number % 50 == 0 => {
                    fifo.clear();
                    ring.clear();
                }
                _ => {
                    if let (Some(first), Some(same)) = (fifo.front_mut(), ring.front_mut()) {
                        (*first, *same) = (number, number);
                    }
                }
            }
            assert_eq!((fifo.len(), fifo.is_empty()), (ring.len(), ring.is_empty()));
            assert_eq!((fifo.front(), fifo.back()), (ring.front(), ring.back()));
            assert!(fifo.iter().eq(&ring));
            for place in 0..=ring.len() {
                assert_eq!(fifo.get(place), ring.get(place));
                assert_eq!(fifo.get_mut(place), ring.get_mut(place));
            }
        }
    }

    #[test]
    fn what_went_through_leaves_no_room_behind() {
        let mut fifo = Fifo::new();
        for number in 0..100_000 {
            fifo.push_back(number);
            if number >= 8 {
                fifo.pop_front();
            }
        }
        assert!(fifo.leaving.capacity() + fifo.arriving.capacity() <= 64);
    }
}
