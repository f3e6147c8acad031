//! How cost grows, in figures.

use super::charts;
use super::markdown::{Table, image, paragraph};
use super::numbers::{count, count_or_dash, figure};
use crate::results::Curve;

/// The points that have a logarithm.
pub(super) fn drawable(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points.iter().copied().filter(|(x, y)| *x > 0.0 && *y > 0.0).collect()
}

/// As what power of x the cost grows from the first of these points to the last: 0 is not at all, 1 in proportion.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let ((first_x, first_y), (last_x, last_y)) = (*points.first()?, *points.last()?);
    (last_x > first_x).then(|| (last_y / first_y).ln() / (last_x / first_x).ln())
}

pub(super) fn text(curves: &[Curve]) -> String {
    if curves.is_empty() {
        return String::new();
    }
    let rule = paragraph(
        "Measured on the session without a network: medians of rounds in which the points take turns. The exponent is \
         the slope of the curve on logarithmic scales from its smallest x to its largest, and once more over the upper \
         half alone, where a constant share hides less: 0 is a cost that does not grow, 1 one that grows in \
         proportion, and more than 1 is worse than linear. Points at x = 0 are in the tables only.",
    );
    let charts: String = curves.iter().map(chart).collect();
    rule + &summary(curves) + &charts
}

fn summary(curves: &[Curve]) -> String {
    let mut table = Table::new(&["what", "by"], &["from", "to", "exponent", "upper half"]);
    for curve in curves {
        let points = drawable(curve);
        let end = |point: Option<&(f64, f64)>| count_or_dash(point.map(|(x, _)| *x));
        let plain = |exponent: Option<f64>| exponent.map_or("—".into(), |exponent| format!("{exponent:.2}"));
        table.row([
            curve.name.clone(),
            curve.x.clone(),
            end(points.first()),
            end(points.last()),
            plain(exponent(&points)),
            plain(exponent(&points[points.len() / 2..])),
        ]);
    }
    table.text()
}

fn chart(curve: &Curve) -> String {
    let mut table = Table::new(&[], &[curve.x.as_str(), curve.y.as_str()]);
    for (x, y) in &curve.points {
        table.row([count(*x), figure(*y)]);
    }
    let chart = charts::file_of(curve).map_or(String::new(), |file| image(&curve.name, &file));
    let points = format!("<details><summary>Points</summary>\n\n{}</details>\n\n", table.text());
    format!("### {}\n\n{chart}{points}", capitalised(&curve.name))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponent_of(power: impl Fn(f64) -> f64) -> f64 {
        let points: Vec<_> = [1.0, 10.0, 1_000.0].map(|x| (x, power(x))).into();
        let exponent = exponent(&points).unwrap();
        (exponent * 1e6).round() / 1e6
    }

    #[test]
    fn exponent_is_that_of_the_power() {
        assert_eq!(exponent_of(|_| 80.0), 0.0);
        assert_eq!(exponent_of(|x| 3.0 * x), 1.0);
        assert_eq!(exponent_of(|x| 0.5 * x * x), 2.0);
        assert_eq!(exponent_of(|x| 9.0 / x), -1.0);
    }

    #[test]
    fn single_point_has_no_exponent() {
        assert_eq!(exponent(&[(1.0, 1.0)]), None);
        assert_eq!(exponent(&[]), None);
    }

    #[test]
    fn point_without_a_logarithm_is_not_drawn() {
        let points = vec![(0.0, 5.0), (1.0, 6.0), (4.0, 9.0)];
        let curve = Curve { name: "receive".into(), x: "properties".into(), y: "ns".into(), points };
        assert_eq!(drawable(&curve), [(1.0, 6.0), (4.0, 9.0)]);
    }
}
