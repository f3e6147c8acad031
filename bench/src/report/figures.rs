//! What a contender's rounds come to.

use crate::rounds::Rounds;
use crate::stage::Sample;

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

impl Figures {
    /// `None` when there is no sample.
    pub(super) fn of(samples: &[Option<Sample>]) -> Option<Self> {
        let samples: Vec<&Sample> = samples.iter().flatten().collect();
        let whole = |value: fn(&Sample) -> f64| Rounds::of(samples.iter().map(|sample| value(sample)));
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
