//! How far something is, in the last line of a terminal; and measurements as bars.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How often the line is written, at most.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

const BAR: usize = 30;

/// A line on standard error that is written over again and again, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    total: u64,
    start: Instant,
}

impl Progress {
    pub(crate) fn new(total: u64, is_quiet: bool) -> Self {
        Self { is_shown: !is_quiet && io::stderr().is_terminal(), total, start: Instant::now() }
    }

    pub(crate) fn show(&self, done: u64) {
        if self.is_shown {
            let seconds = self.start.elapsed().as_secs_f64().max(0.001);
            let per_second = (done as f64 / seconds) as u64;
            let part = done as f64 / self.total as f64;
            let bar = bar(part, BAR);
            let (done, total, per_second) = (grouped(done), grouped(self.total), grouped(per_second));
            self.write(&format!("\r[{bar}] {:>3.0} %  {done} of {total}, {per_second}/s\x1b[K", part * 100.0));
        }
    }

    /// Leaves no line behind.
    pub(crate) fn clear(&self) {
        if self.is_shown {
            self.write("\r\x1b[K");
        }
    }

    /// Where nobody looks any more, it is lost.
    fn write(&self, line: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(line.as_bytes()).and_then(|()| stderr.flush());
    }
}

fn bar(part: f64, len: usize) -> String {
    let full = ((part * len as f64) as usize).min(len);
    format!("{}{}", "#".repeat(full), "-".repeat(len - full))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Percentiles of times in microseconds, and a bar for each of the steps 1, 2, 5, 10, 20, 50 and so on.
pub(crate) fn histogram(times: &Histogram<u64>) -> String {
    let mut text = String::new();
    for (name, quantile) in QUANTILES {
        let _ = write!(text, "  {name} {}", micros(times.value_at_quantile(quantile)));
    }
    let _ = write!(text, "  longest {}", micros(times.max()));
    let steps = (0..).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)));
    let mut rows = Vec::new();
    let mut from = 0;
    for to in steps {
        let count = times.count_between(from, to - 1);
        if count > 0 || !rows.is_empty() {
            rows.push((to, count));
        }
        from = to;
        if to > times.max() {
            break;
        }
    }
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    for (to, count) in rows {
        let part = count as f64 / most as f64;
        // What is there is seen.
        let full = ((part * BAR as f64).ceil() as usize).min(BAR);
        let _ = write!(text, "\n  below {:>8} |{:<BAR$}| {}", micros(to), "#".repeat(full), grouped(count));
    }
    text
}

/// What is told of a distribution.
pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

fn micros(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{micros} µs"),
        10_000..10_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

/// A distribution of times in microseconds, up to an hour.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000_000, 3).expect("three digits of an hour fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn every_time_is_in_a_bar() {
        let mut times = times();
        for time in [3, 150, 150, 199, 70_000] {
            times.record(time).unwrap();
        }
        let drawn = histogram(&times);
        assert!(drawn.contains("below   200 µs |##############################| 3"), "{drawn}");
        assert!(drawn.contains("below     5 µs |##########                    | 1"), "{drawn}");
        assert!(drawn.lines().last().unwrap().contains("below   100 ms |##########"), "{drawn}");
        assert!(histogram(&super::times()).starts_with("  p50 0 µs"));
    }
}
