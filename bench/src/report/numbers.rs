//! How figures are written.

/// All digits, with a comma before every three.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect::<Vec<_>>().join(",")
}

/// Two digits, which is all that a time is good for: `1,200,000`, `350`, `68`, `0.0021`. What is no number, or too
/// large for one, is a dash.
pub(super) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "—".into();
    }
    if value < 0.0 {
        return format!("-{}", figure(-value));
    }
    if value < 1e-6 {
        return "0".into();
    }
    let magnitude = value.log10().floor() as i32;
    if magnitude >= 1 {
        let unit = 10_f64.powi(magnitude - 1);
        return whole(((value / unit).round() * unit).round() as u64);
    }
    let decimals = (1 - magnitude) as usize;
    trimmed(&format!("{value:.decimals$}"))
}

/// What was counted, with all that it has before the point and three digits behind it.
pub(super) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "—".into();
    }
    let thousandths = (value.abs() * 1e3).round() as u64;
    let sign = if value < 0.0 && thousandths > 0 { "-" } else { "" };
    format!("{sign}{}", trimmed(&format!("{}.{:03}", whole(thousandths / 1_000), thousandths % 1_000)))
}

/// Without decimals that say nothing.
fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// `figure`, or a dash where there is none.
pub(super) fn figure_or_dash(value: Option<f64>) -> String {
    value.map_or("—".into(), figure)
}

/// `count`, or a dash where there is none.
pub(super) fn count_or_dash(value: Option<f64>) -> String {
    value.map_or("—".into(), count)
}

/// A share as a percentage without decimals.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0}%", share * 100.0) } else { "—".into() }
}

/// A number of bytes, in MiB.
pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", figure(bytes / f64::from(1 << 20)))
}

/// The size of a message or a file.
pub(super) fn bytes(number: u64) -> String {
    format!("{} B", whole(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_a_comma_before_every_three_digits() {
        let numbers = [0, 7, 999, 1_000, 65_536, 331_534, 1_234_567].map(whole);
        assert_eq!(numbers, ["0", "7", "999", "1,000", "65,536", "331,534", "1,234,567"]);
    }

    #[test]
    fn figures_have_two_digits() {
        let figures = [1_234_567.0, 12_345.0, 347.4, 68.24, 8.306, 0.4567, 0.002_149].map(figure);
        assert_eq!(figures, ["1,200,000", "12,000", "350", "68", "8.3", "0.46", "0.0021"]);
    }

    #[test]
    fn figures_have_no_digits_that_say_nothing() {
        assert_eq!([0.0, 2.0, 10.0, 0.5, 1.04].map(figure), ["0", "2", "10", "0.5", "1"]);
    }

    #[test]
    fn figures_that_round_up_gain_a_digit() {
        assert_eq!([999.6, 99.6, 9.96, 996_000.0].map(figure), ["1,000", "100", "10", "1,000,000"]);
    }

    #[test]
    fn counts_are_exact() {
        let counts = [0.0, 2.0, 10.0, 68.25, 1_234_567.0, 0.0004, 0.0005, 12.3456].map(count);
        assert_eq!(counts, ["0", "2", "10", "68.25", "1,234,567", "0", "0.001", "12.346"]);
        assert_eq!([count(-0.25), count(f64::NAN), count_or_dash(None)], ["-0.25", "—", "—"]);
    }

    #[test]
    fn what_is_no_figure_is_a_dash() {
        assert_eq!([f64::NAN, f64::INFINITY].map(figure), ["—", "—"]);
        assert_eq!(figure_or_dash(None), "—");
        assert_eq!(percent(f64::NAN), "—");
    }

    #[test]
    fn figures_below_zero_have_a_sign() {
        assert_eq!(figure(-0.25), "-0.25");
    }

    #[test]
    fn shares_and_bytes_have_their_units() {
        assert_eq!([percent(0.034), percent(1.5)], ["3%", "150%"]);
        assert_eq!([mebibytes(5.5 * 1024.0 * 1024.0), bytes(80_000)], ["5.5 MiB", "80,000 B"]);
    }
}
