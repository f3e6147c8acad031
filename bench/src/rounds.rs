//! What the rounds of a measurement come to, and how those of two contenders are compared: round by round.

/// A quantity over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rounds {
    pub(crate) median: f64,
    /// Where the middle half of the rounds begins.
    pub(crate) low: f64,
    /// Where it ends.
    pub(crate) high: f64,
    /// How many rounds there were.
    pub(crate) count: usize,
}

/// Of fewer rounds nothing is sure.
const LEAST_ROUNDS: usize = 3;

impl Rounds {
    /// `None` without a round.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |quarter: usize| {
            let (place, rest) = (last * quarter / 4, last * quarter % 4);
            let next = values[(place + 1).min(last)];
            values[place] + (next - values[place]) * rest as f64 / 4.0
        };
        Some(Self { median: at(2), low: at(1), high: at(3), count: values.len() })
    }

    /// How many times `theirs` ours are, in each round that both have; `None` where they have none together. What
    /// slows the machine down for a while slows both down, and leaves this as it is.
    pub(crate) fn paired(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs).filter_map(|(ours, theirs)| (*ours).zip(*theirs));
        Self::of(pairs.map(|(ours, theirs)| ours / theirs).filter(|ratio| ratio.is_finite()))
    }

    /// How far apart the middle half of the rounds lies, as a share of their median.
    pub(crate) fn spread(&self) -> f64 {
        if self.high > self.low { (self.high - self.low) / self.median } else { 0.0 }
    }

    /// Of a ratio: whether it is further from 1 than its middle half is wide, on either side.
    pub(crate) fn is_sure(&self) -> bool {
        self.count >= LEAST_ROUNDS && (self.median - 1.0).abs() > self.high - self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[f64]) -> Rounds {
        Rounds::of(values.iter().copied()).unwrap()
    }

    fn all(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn median_of_an_even_number_of_rounds_is_between_the_middle_two() {
        assert_eq!(rounds(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(rounds(&[5.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Rounds::of(std::iter::empty()), None);
    }

    #[test]
    fn spread_is_that_of_the_middle_half_as_a_share_of_the_median() {
        assert_eq!(rounds(&[90.0, 100.0, 120.0]).spread(), 0.15);
        assert_eq!(rounds(&[1.0, 95.0, 100.0, 110.0, 900.0]).spread(), 0.15, "one that is far off changes nothing");
        assert_eq!(rounds(&[7.0]).spread(), 0.0);
        assert_eq!(rounds(&[0.0, 0.0]).spread(), 0.0);
    }

    #[test]
    fn what_slows_both_down_leaves_their_ratio() {
        let ratio = Rounds::paired(&all(&[100.0, 400.0, 150.0]), &all(&[50.0, 200.0, 75.0])).unwrap();
        assert_eq!((ratio.median, ratio.spread()), (2.0, 0.0));
    }

    #[test]
    fn rounds_that_one_did_not_do_are_left_out_of_the_ratio() {
        let ratio = Rounds::paired(&[Some(2.0), None, Some(9.0)], &[Some(1.0), Some(5.0), Some(3.0)]).unwrap();
        assert_eq!(ratio, rounds(&[2.0, 3.0]));
        assert_eq!(Rounds::paired(&[None], &[Some(1.0)]), None);
        assert_eq!(Rounds::paired(&[Some(1.0)], &[Some(0.0)]), None, "nor is there one to nothing");
    }

    #[test]
    fn ratio_is_sure_where_it_is_further_from_one_than_its_rounds_are_apart() {
        assert!(rounds(&[1.2, 1.25, 1.3]).is_sure());
        assert!(!rounds(&[0.9, 1.1, 1.3]).is_sure());
        assert!(rounds(&[0.5, 0.5, 0.5]).is_sure());
        assert!(!rounds(&[1.0, 1.0, 1.0]).is_sure());
        assert!(!rounds(&[0.5, 0.5]).is_sure(), "two rounds prove nothing");
    }
}
