//! Keeps what calls borrow for as long as a world lasts.

use std::cell::{Cell, OnceCell};

pub(crate) struct Arena<T> {
    places: Vec<OnceCell<T>>,
    used: Cell<usize>,
}

impl<T> Arena<T> {
    pub(crate) fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| OnceCell::new()).collect(), used: Cell::new(0) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used.get() + 100 > self.places.len()
    }

    pub(crate) fn keep(&self, thing: T) -> &T {
        let place = self.used.get();
        self.used.set(place + 1);
        self.places[place].get_or_init(|| thing)
    }
}
