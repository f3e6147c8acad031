//! What a row must keep to if it is to count, declared before anything is measured.

use std::fmt;

use crate::rounds::Rounds;

/// How far apart the middle half of a row's rounds may lie, as a share of their median.
pub(crate) const MOST_SPREAD: f64 = 0.15;

/// How much longer or shorter the calibration may take behind a job than before it, as a share.
pub(crate) const MOST_DRIFT: f64 = 0.25;

/// The share of the rounds that must have come to an end.
pub(crate) const LEAST_DONE: f64 = 0.75;

/// The gate that a row broke.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Broken {
    Spread(f64),
    Drift(f64),
    Rounds { done: usize, of: usize },
}

/// What the gates are judged by, beside the rounds themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// How many rounds came to an end.
    pub(crate) done: usize,
    /// How many there were.
    pub(crate) of: usize,
    /// How much the calibration drifted meanwhile; 0 where that was not measured.
    pub(crate) drift: f64,
}

/// The first gate that a row broke, if it did.
pub(crate) fn judge(rounds: &Rounds, circumstances: Circumstances) -> Option<Broken> {
    let Circumstances { done, of, drift } = circumstances;
    let spread = rounds.spread();
    if (done as f64) < of as f64 * LEAST_DONE {
        Some(Broken::Rounds { done, of })
    } else if drift > MOST_DRIFT {
        Some(Broken::Drift(drift))
    } else if spread > MOST_SPREAD {
        Some(Broken::Spread(spread))
    } else {
        None
    }
}

/// How much longer or shorter the same work takes behind something than before it, as a share of the shorter time.
pub(crate) fn drift([before, after]: [f64; 2]) -> f64 {
    (after - before).abs() / before.min(after)
}

/// What they are, in a sentence.
pub(crate) fn declared() -> String {
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    format!(
        "A row is invalid if the middle half of its rounds lies further apart than {} of their median, if the \
         calibration drifts by more than {} during the job, or if less than {} of its rounds came to an end.",
        percent(MOST_SPREAD),
        percent(MOST_DRIFT),
        percent(LEAST_DONE)
    )
}

/// For example `invalid: spread 23%`.
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spread(share) => write!(f, "invalid: spread {:.0}%", share * 100.0),
            Self::Drift(share) => write!(f, "invalid: drift {:.0}%", share * 100.0),
            Self::Rounds { done, of } => write!(f, "invalid: {done} of {of} rounds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Circumstances = Circumstances { done: 3, of: 3, drift: 0.0 };

    fn judged(values: &[f64], circumstances: Circumstances) -> Option<String> {
        judge(&Rounds::of(values.iter().copied()).unwrap(), circumstances).map(|broken| broken.to_string())
    }

    #[test]
    fn row_within_its_gates_is_valid() {
        assert_eq!(judged(&[90.0, 100.0, 120.0], CALM), None, "15% are not more than 15%");
        assert_eq!(judged(&[1.0, 1.0, 1.0], Circumstances { drift: 0.25, ..CALM }), None);
        assert_eq!(judged(&[1.0, 1.0, 1.0], Circumstances { of: 4, ..CALM }), None);
    }

    #[test]
    fn row_says_which_gate_it_broke() {
        assert_eq!(judged(&[77.0, 100.0, 123.0], CALM).unwrap(), "invalid: spread 23%");
        let drifting = Circumstances { drift: 0.31, ..CALM };
        assert_eq!(judged(&[77.0, 100.0, 123.0], drifting).unwrap(), "invalid: drift 31%");
        let failing = Circumstances { done: 2, ..CALM };
        assert_eq!(judged(&[1.0, 1.0], failing).unwrap(), "invalid: 2 of 3 rounds");
    }

    #[test]
    fn drift_is_the_same_both_ways() {
        assert_eq!(drift([100.0, 150.0]), 0.5);
        assert_eq!(drift([150.0, 100.0]), 0.5);
    }
}
