//! What a contender's rounds come to.

use crate::stage::Sample;

/// A quantity over the rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Everything that was counted of a contender; for each operation, except memory and starts.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// How many there were in a round.
    pub(super) operations: f64,
    /// In nanoseconds, by the clock.
    pub(super) wall: Rounds,
    /// In nanoseconds of processor time.
    pub(super) cpu: Rounds,
    pub(super) wake_ups: Rounds,
    /// Nanoseconds of the sink's processor time.
    pub(super) sink_cpu: f64,
    pub(super) allocations: f64,
    pub(super) allocated_bytes: f64,
    pub(super) bytes_out: f64,
    pub(super) bytes_in: f64,
    /// In bytes.
    pub(super) peak_memory: f64,
    /// In bytes.
    pub(super) linear_memory: Option<f64>,
    /// In nanoseconds.
    pub(super) start: Option<f64>,
}

impl Rounds {
    /// `None` without a round.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, least, most })
    }

    /// How far apart the rounds lie, as a share of their median.
    pub(super) fn spread(&self) -> f64 {
        if self.most > self.least { (self.most - self.least) / self.median } else { 0.0 }
    }
}

impl Figures {
    /// `None` when there is no sample.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let whole = |value: fn(&Sample) -> f64| Rounds::of(samples.iter().map(value));
        let each = |value: fn(&Sample) -> u64| {
            Rounds::of(samples.iter().map(|sample| value(sample) as f64 / f64::from(sample.operations.max(1))))
        };
        let median = |rounds: Option<Rounds>| rounds.map(|rounds| rounds.median);
        Some(Self {
            operations: whole(|sample| f64::from(sample.operations))?.median,
            wall: each(|sample| sample.wall_ns)?,
            cpu: each(|sample| sample.cpu_ns)?,
            wake_ups: each(|sample| sample.wake_ups)?,
            sink_cpu: each(|sample| sample.sink_cpu_ns)?.median,
            allocations: each(|sample| sample.allocations)?.median,
            allocated_bytes: each(|sample| sample.allocated_bytes)?.median,
            bytes_out: each(|sample| sample.bytes_out)?.median,
            bytes_in: each(|sample| sample.bytes_in)?.median,
            peak_memory: whole(|sample| sample.peak_memory as f64)?.median,
            linear_memory: median(Rounds::of(samples.iter().filter_map(|sample| Some(sample.linear_memory? as f64)))),
            start: median(Rounds::of(samples.iter().filter_map(|sample| Some(sample.start_ns? as f64)))),
        })
    }

    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        1e9 / self.wall.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_of_rounds_is_between_the_middle_two() {
        let median = |values: &[f64]| Rounds::of(values.iter().copied()).map(|rounds| rounds.median);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[5.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn spread_is_a_share_of_the_median() {
        let spread = |values: &[f64]| Rounds::of(values.iter().copied()).unwrap().spread();
        assert_eq!(spread(&[90.0, 100.0, 120.0]), 0.3);
        assert_eq!(spread(&[0.0, 0.0]), 0.0);
    }
}
