//! The pictures. They have their own background, so that they read the same on a dark page.

use std::io;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::board::{Board, Entry, Measure};
use super::curves::drawable;
use super::figures::Figures;
use super::markdown::{image, slug};
use super::numbers::figure;
use crate::results::Curve;

/// Where they are, beside the report.
pub(super) const FOLDER: &str = "performance";

/// In pixels.
const SIZE: (u32, u32) = (800, 420);
const MARGIN: i32 = 24;
/// Where bars begin and end, from the left.
const BARS: (i32, i32) = (256, 680);
/// Where the first bar begins and the last may end, from the top.
const ROWS: (i32, i32) = (64, 400);
const HIGHEST_ROW: i32 = 32;

const INK: RGBColor = RGBColor(31, 35, 40);
const OURS: RGBColor = RGBColor(14, 110, 184);
const OTHERS: RGBColor = RGBColor(160, 166, 174);

type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// A file, and what it is of.
pub(super) struct Chart {
    title: String,
    /// Below the folder of the report.
    pub(super) file: String,
    pub(super) svg: String,
}

/// A chart of bars: a job, and what of it.
struct Bars {
    file: &'static str,
    title: &'static str,
    job: &'static str,
    measure: Measure,
}

/// A contender in it.
struct Bar<'a> {
    name: &'a str,
    is_ours: bool,
    value: f64,
}

const ALL_BARS: [Bars; 5] = [
    Bars {
        file: "publish-0",
        title: "Publish at QoS 0, 64 B: messages per second",
        job: "publish-0-64-pipelined",
        measure: Measure::Rate,
    },
    Bars {
        file: "receive-0",
        title: "Receive at QoS 0, 64 B: messages per second",
        job: "receive-0-64",
        measure: Measure::Rate,
    },
    Bars {
        file: "publish-1",
        title: "Publish at QoS 1, 64 B, pipelined: messages per second",
        job: "publish-1-64-pipelined",
        measure: Measure::Rate,
    },
    Bars {
        file: "publish-0-cpu",
        title: "Publish at QoS 0, 64 B: CPU nanoseconds per message (less is better)",
        job: "publish-0-64-pipelined",
        measure: Measure::Cpu,
    },
    Bars {
        file: "receive-0-cpu",
        title: "Receive at QoS 0, 64 B: CPU nanoseconds per message (less is better)",
        job: "receive-0-64",
        measure: Measure::Cpu,
    },
];

/// What they look like in the report.
pub(super) fn text(charts: &[Chart]) -> String {
    charts.iter().map(|Chart { title, file, .. }| image(title, file)).collect()
}

/// Those of the jobs that there are.
pub(super) fn of_jobs(boards: &[Board<'_>]) -> io::Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for Bars { file, title, job, measure } in ALL_BARS {
        let board = boards.iter().find(|board| board.is_against_sink() && board.job.job == job);
        let bars = board.map_or(Vec::new(), |board| bars(board, measure));
        if !bars.is_empty() {
            let (title, file) = (title.to_owned(), path(file));
            let svg = draw(|svg| draw_bars(svg, &title, &bars))?;
            charts.push(Chart { title, file, svg });
        }
    }
    Ok(charts)
}

/// Those of the curves that are more than a point.
pub(super) fn of_curves(curves: &[Curve]) -> io::Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for curve in curves {
        if let Some(file) = file_of(curve) {
            charts.push(Chart { title: curve.name.clone(), file, svg: draw(|svg| draw_curve(svg, curve))? });
        }
    }
    Ok(charts)
}

/// The file that a curve is in; `None` where there is nothing to draw.
pub(super) fn file_of(curve: &Curve) -> Option<String> {
    (drawable(curve).len() > 1).then(|| path(&slug(&format!("growth {}", curve.name))))
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}.svg")
}

/// The best first.
fn bars<'a>(board: &Board<'a>, measure: Measure) -> Vec<Bar<'a>> {
    let value = |figures: &Figures| match measure {
        Measure::Rate => figures.rate(),
        _ => measure.rounds(figures).median,
    };
    let done = board.entries.iter().filter_map(|entry| Some((entry, entry.figures.as_ref()?)));
    let mut done: Vec<_> = done.collect();
    let time = |figures: &Figures| measure.rounds(figures).median;
    done.sort_by(|(_, one), (_, other)| time(one).total_cmp(&time(other)));
    let bar = |(entry, figures): (&Entry<'a>, &Figures)| Bar {
        name: entry.name(),
        is_ours: entry.is_ours(),
        value: value(figures),
    };
    done.into_iter().map(bar).collect()
}

fn draw(draw: impl FnOnce(&mut String) -> Drawn) -> io::Result<String> {
    let mut svg = String::new();
    draw(&mut svg).map_err(io::Error::other)?;
    Ok(svg)
}

fn draw_bars(svg: &mut String, title: &str, bars: &[Bar<'_>]) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw_text(title, &text_style(20), (MARGIN, MARGIN))?;
    let names = text_style(15).pos(Pos::new(HPos::Right, VPos::Center));
    let values = text_style(15).pos(Pos::new(HPos::Left, VPos::Center));
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = ((ROWS.1 - ROWS.0) / bars.len() as i32).min(HIGHEST_ROW);
    for (place, bar) in bars.iter().enumerate() {
        let top = ROWS.0 + place as i32 * height;
        let end = BARS.0 + (bar.value / longest * f64::from(BARS.1 - BARS.0)).round().max(1.0) as i32;
        let color = if bar.is_ours { OURS } else { OTHERS };
        area.draw(&Rectangle::new([(BARS.0, top + 2), (end, top + height - 2)], color.filled()))?;
        area.draw_text(bar.name, &names, (BARS.0 - 8, top + height / 2))?;
        area.draw_text(&figure(bar.value), &values, (end + 8, top + height / 2))?;
    }
    area.present()
}

/// On logarithmic scales, where what grows in proportion is as steep as the same number of decades is wide.
fn draw_curve(svg: &mut String, curve: &Curve) -> Drawn {
    let points = drawable(curve);
    let least = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let x_range = least(|point| point.0) / 1.3..most(|point| point.0) * 1.3;
    let y_range = decades(least(|point| point.1), most(|point| point.1));

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(MARGIN)
        .caption(&curve.name, text_style(20))
        .x_label_area_size(48)
        .y_label_area_size(88)
        .build_cartesian_2d(x_range.log_scale(), y_range.log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(text_style(15))
        .x_desc(curve.x.as_str())
        .y_desc(curve.y.as_str())
        .x_label_formatter(&|x: &f64| figure(*x))
        .y_label_formatter(&|y: &f64| figure(*y))
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), OURS.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, OURS.filled())))?;
    area.present()
}

/// The whole decades that these lie in, so that a flat curve looks flat, and a little more, so that their ends are in.
fn decades(least: f64, most: f64) -> std::ops::Range<f64> {
    let (low, high) = (least.log10().floor(), most.log10().ceil());
    let high = if high > low { high } else { low + 1.0 };
    10_f64.powf(low) * 0.99..10_f64.powf(high) * 1.01
}

fn text_style(size: i32) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(&INK)
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{contender, job, sample};
    use super::*;

    #[test]
    fn bars_are_sorted_and_ours_have_a_color_of_their_own() {
        let job = job(
            "publish-0-64-pipelined",
            vec![
                contender("slow & old", vec![sample(1_000, 900)]),
                contender("mqtt-wasi, blocking", vec![sample(100, 90)]),
                contender("absent", Vec::new()),
            ],
        );
        let charts = of_jobs(&[Board::of(&job)]).unwrap();
        let files: Vec<_> = charts.iter().map(|chart| chart.file.as_str()).collect();
        assert_eq!(files, ["performance/publish-0.svg", "performance/publish-0-cpu.svg"]);
        let svg = &charts[0].svg;
        assert!(svg.find("mqtt-wasi, blocking").unwrap() < svg.find("slow &amp; old").unwrap());
        assert!(!svg.contains("absent"));
        assert_eq!(svg.matches("#0E6EB8").count(), 1);
        assert!(svg.contains("10,000,000") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn curve_is_drawn_from_two_points_on() {
        let curve = |points| Curve { name: "Publish, by size".into(), x: "B".into(), y: "ns".into(), points };
        let charts =
            of_curves(&[curve(vec![(1.0, 80.0)]), curve(vec![(0.0, 80.0), (16.0, 80.0), (65_536.0, 9_000.0)])])
                .unwrap();
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].file, "performance/growth-publish-by-size.svg");
        assert_eq!(charts[0].svg.matches("<circle").count(), 2);
    }

    #[test]
    fn decades_are_whole_and_at_least_one() {
        assert_eq!(decades(60.0, 200.0), 9.9..1_010.0);
        assert_eq!(decades(10.0, 10.0), 9.9..101.0);
    }
}
