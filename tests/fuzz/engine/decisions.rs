//! Where decisions come from: bytes of an input, or a generator with a fixed seed.

/// Decides what happens, number by number.
pub(crate) struct Decisions<'a> {
    source: Source<'a>,
    /// Whether everything behaves from now on, so that nothing is to be decided.
    is_calm: bool,
}

enum Source<'a> {
    /// Zeros once they are used up.
    Bytes(&'a [u8]),
    /// splitmix64, for so many moves.
    Seed { state: u64, moves: usize },
}

impl<'a> Decisions<'a> {
    pub(crate) const fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { source: Source::Bytes(bytes), is_calm: false }
    }

    pub(crate) const fn of_seed(seed: u64, moves: usize) -> Self {
        Self { source: Source::Seed { state: seed, moves }, is_calm: false }
    }

    /// Whether there is another move to make.
    pub(crate) const fn goes_on(&mut self) -> bool {
        match &mut self.source {
            Source::Bytes(bytes) => !bytes.is_empty(),
            Source::Seed { moves: 0, .. } => false,
            Source::Seed { moves, .. } => {
                *moves -= 1;
                true
            }
        }
    }

    /// From now on every number is zero: what behaves well has that number.
    pub(crate) const fn calm_down(&mut self) {
        self.is_calm = true;
    }

    pub(crate) fn byte(&mut self) -> u8 {
        if self.is_calm {
            return 0;
        }
        match &mut self.source {
            Source::Bytes(bytes) => {
                let (first, rest) = bytes.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
                *bytes = rest;
                first
            }
            Source::Seed { state, .. } => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                (mixed >> 56) as u8
            }
        }
    }

    /// A number below `end`, which is 256 at the most.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// Happens once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        // Zero is what behaves.
        self.below(times) == times - 1
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
