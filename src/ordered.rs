//! Things in the order that they were put in, each of which is found, and can be taken out, by its number.

use core::fmt;

use crate::fifo::Fifo;

/// As many places that were left are kept as are taken, and this many more.
const MOST_LEFT: usize = 64;

/// A queue of things with ascending numbers. Whatever is taken out first, finding one takes no longer than a binary
/// search, and one that stays long does not keep the room of all that came after it.
pub(crate) struct Ordered<T> {
    /// Those that were taken out have left their places; the first place is always taken.
    places: Fifo<(u64, Option<T>)>,
    len: usize,
}

impl<T> Ordered<T> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Puts one in behind all others: its number is higher than theirs.
    pub(crate) fn push(&mut self, number: u64, thing: T) {
        debug_assert!(self.places.back().is_none_or(|(last, _)| *last < number), "numbers ascend");
        self.places.push_back((number, Some(thing)));
        self.len += 1;
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.find(number).and_then(|place| self.places.get(place)?.1.as_ref())
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.find(number).and_then(|place| self.places.get_mut(place)?.1.as_mut())
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    pub(crate) fn first(&self) -> Option<(u64, &T)> {
        self.places.front().and_then(|(number, thing)| Some((*number, thing.as_ref()?)))
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.find(number)?;
        let thing = self.places.get_mut(place)?.1.take()?;
        self.len -= 1;
        while self.places.front().is_some_and(|(_, thing)| thing.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.len + MOST_LEFT {
            for _ in 0..self.places.len() {
                if let Some(place) = self.places.pop_front()
                    && place.1.is_some()
                {
                    self.places.push_back(place);
                }
            }
        }
        Some(thing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.places.iter().filter_map(|(number, thing)| Some((*number, thing.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.places.iter_mut().filter_map(|(number, thing)| Some((*number, thing.as_mut()?)))
    }

    fn find(&self, number: u64) -> Option<usize> {
        let (first, _) = self.places.front()?;
        // Where it is if no number before it is missing.
        let guess = usize::try_from(number.checked_sub(*first)?).ok()?;
        if self.places.get(guess).is_some_and(|(found, _)| *found == number) {
            return Some(guess);
        }
        // It is no further than that.
        let (mut low, mut high) = (0, guess.min(self.places.len()));
        while low < high {
            let middle = low.midpoint(high);
            if self.places.get(middle).is_some_and(|(found, _)| *found < number) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.places.get(low).is_some_and(|(found, _)| *found == number).then_some(low)
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { places: Fifo::new(), len: 0 }
    }
}

impl<T: fmt::Debug> fmt::Debug for Ordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn whatever_is_taken_out_the_others_are_found() {
        let mut ordered = Ordered::default();
        for number in [1, 2, 3, 7, 8, 20] {
            ordered.push(number, number * 10);
        }
        assert_eq!((ordered.get(7), ordered.get(6), ordered.get(0)), (Some(&70), None, None));
        assert_eq!(ordered.remove(3), Some(30));
        assert_eq!((ordered.remove(3), ordered.len()), (None, 5));
        assert_eq!(ordered.remove(1), Some(10));
        assert_eq!(ordered.first(), Some((2, &20)));
        assert_eq!(ordered.iter().map(|(number, _)| number).collect::<Vec<_>>(), [2, 7, 8, 20]);
    }

    #[test]
    fn one_that_stays_does_not_keep_the_room_of_those_that_go() {
        let mut ordered = Ordered::default();
        ordered.push(0, ());
        for number in 1..100_000 {
            ordered.push(number, ());
            if let Some(before) = number.checked_sub(8).filter(|before| *before > 0) {
                ordered.remove(before);
            }
        }
        assert_eq!(ordered.len(), 9);
        assert!(ordered.places.len() <= 2 * ordered.len() + MOST_LEFT, "{} places", ordered.places.len());
        assert!(ordered.contains(0));
    }
}
