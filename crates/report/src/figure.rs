//! The recipe's figures: a number by checkpoint, with its 95 % band, the base model as a dashed line, the best marked.

use crate::series::{Metric, Point, Series};
use crate::svg::{Anchor, Canvas, ticks};

/// A value that a blind guess would reach, drawn as a dotted line where it is in view.
const CHANCE: f64 = 0.25;

/// Sizes of a panel, in units of the figure (CSS pixels).
#[derive(Clone, Copy, Debug)]
struct Layout {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    title: f64,
    label: f64,
    /// Whether values stand at all points (else at base and best only).
    all_values: bool,
}

const LARGE: Layout = Layout {
    width: 560.0,
    height: 360.0,
    left: 64.0,
    right: 24.0,
    top: 56.0,
    bottom: 56.0,
    title: 16.0,
    label: 12.0,
    all_values: true,
};

const SMALL: Layout = Layout {
    width: 300.0,
    height: 220.0,
    left: 52.0,
    right: 16.0,
    top: 40.0,
    bottom: 36.0,
    title: 13.0,
    label: 11.0,
    all_values: false,
};

/// One panel as a figure of its own.
pub fn line_figure(series: &Series) -> String {
    panel(series, &LARGE, range(&[series])).finish([LARGE.width, LARGE.height], &description(series))
}

/// The panel of one category, for a page that arranges panels itself. `all` are those that share its axis.
pub fn small_figure(series: &Series, all: &[Series]) -> String {
    let all: Vec<&Series> = all.iter().collect();
    panel(series, &SMALL, range(&all)).finish([SMALL.width, SMALL.height], &description(series))
}

/// Overall large, categories small beside it on one common axis.
pub fn category_figure(overall: &Series, categories: &[Series]) -> String {
    if categories.is_empty() {
        return line_figure(overall);
    }
    let columns = if categories.len() <= 4 { 2 } else { 3 };
    let rows = categories.len().div_ceil(columns);
    let height = (rows as f64 * SMALL.height).max(LARGE.height);
    let large = Layout { height, ..LARGE };
    let small = Layout { height: height / rows as f64, ..SMALL };
    let mut all: Vec<&Series> = categories.iter().collect();
    let mut canvas = Canvas::default();
    canvas.place([0.0, 0.0], &panel(overall, &large, range(&[overall])));
    let common = range(&all);
    for (at, series) in categories.iter().enumerate() {
        let x = LARGE.width + (at % columns) as f64 * SMALL.width;
        canvas.place([x, (at / columns) as f64 * small.height], &panel(series, &small, common));
    }
    all.insert(0, overall);
    let words = all.iter().map(|series| description(series)).collect::<Vec<_>>().join(". ");
    canvas.finish([LARGE.width + columns as f64 * SMALL.width, height], &words)
}

/// What a figure shows, in words.
fn description(series: &Series) -> String {
    let value = |point: Option<&Point>| point.and_then(|p| p.value).map(|v| series.metric.value(v));
    let base = value(series.base()).map_or_else(|| "no base model".to_owned(), |v| format!("base model {v}"));
    let best = series.best().map_or_else(
        || "no checkpoint above the others".to_owned(),
        |p| format!("best {} at step {}", value(Some(p)).unwrap_or_default(), p.tick()),
    );
    format!("{} by checkpoint: {base}, {best}", series.title)
}

/// Least and largest value to show, intervals included, with some air.
fn range(all: &[&Series]) -> [f64; 2] {
    let values = all
        .iter()
        .flat_map(|series| &series.points)
        .flat_map(|point| point.value.into_iter().chain(point.ci95.into_iter().flatten()));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    match (low.is_finite(), high - low > 1e-9) {
        (false, _) => [0.0, 1.0],
        (true, true) => [(low - 0.05 * (high - low)).max(0.0), high + 0.05 * (high - low)],
        (true, false) => [(low - 0.05).max(0.0), low + 0.05],
    }
}

/// Where values and points lie in a panel.
struct Scale {
    layout: Layout,
    low: f64,
    high: f64,
    points: usize,
}

impl Scale {
    fn x(&self, at: usize) -> f64 {
        let inner = self.layout.width - self.layout.left - self.layout.right;
        // Half a place of air at both ends: room for labels.
        self.layout.left + inner * (at as f64 + 0.5) / self.points.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let inner = self.layout.height - self.layout.top - self.layout.bottom;
        self.layout.top + inner * (self.high - value) / (self.high - self.low)
    }

    fn right(&self) -> f64 {
        self.layout.width - self.layout.right
    }
}

fn panel(series: &Series, layout: &Layout, [low, high]: [f64; 2]) -> Canvas {
    let marks = ticks(low, high, if layout.all_values { 6 } else { 5 });
    let (first, last) = (marks.first().copied().unwrap_or(low), marks.last().copied().unwrap_or(high));
    let scale = Scale { layout: *layout, low: first, high: last.max(first + 1e-9), points: series.points.len() };
    let mut canvas = Canvas::default();
    axes(&mut canvas, series, &scale, &marks);
    guides(&mut canvas, series, &scale);
    band(&mut canvas, series, &scale);
    for line in runs(series, &scale) {
        canvas.path("data", &line, 2.0);
    }
    points(&mut canvas, series, &scale);
    canvas
}

fn axes(canvas: &mut Canvas, series: &Series, scale: &Scale, marks: &[f64]) {
    let layout = &scale.layout;
    canvas.text("ink", [16.0, layout.title + 10.0], layout.title, Anchor::Start, &series.title);
    let step = marks.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
    for &mark in marks {
        let y = scale.y(mark);
        canvas.line("grid", [layout.left, y], [scale.right(), y], 1.0, "");
        let text = series.metric.tick(mark, step);
        canvas.text("soft", [layout.left - 6.0, y + 4.0], layout.label, Anchor::End, &text);
    }
    // So many labels fit; the base model's and the last always stand.
    let room = ((scale.right() - layout.left) / (layout.label * 4.2)).max(2.0) as usize;
    let every = series.points.len().div_ceil(room).max(1);
    for (at, point) in series.points.iter().enumerate() {
        let is_last = at + 1 == series.points.len();
        if is_last || (at % every == 0 && at + every / 2 < series.points.len()) {
            let y = layout.height - layout.bottom + 16.0;
            canvas.text("soft", [scale.x(at), y], layout.label, Anchor::Middle, &point.tick());
        }
    }
    if layout.all_values {
        let middle = (layout.left + scale.right()) / 2.0;
        let y = layout.height - 12.0;
        canvas.text("soft", [middle, y], layout.label, Anchor::Middle, "training step (band: 95 % interval, by clip)");
    }
}

fn guides(canvas: &mut Canvas, series: &Series, scale: &Scale) {
    let ends = |y: f64| ([scale.layout.left, y], [scale.right(), y]);
    if let Some(value) = series.base().and_then(|point| point.value) {
        let (from, to) = ends(scale.y(value));
        canvas.line("soft", from, to, 1.5, "6 4");
    }
    if series.metric == Metric::VqaAccuracy && (scale.low..scale.high).contains(&CHANCE) {
        let (from, to) = ends(scale.y(CHANCE));
        canvas.line("soft", from, to, 1.0, "2 3");
        if scale.layout.all_values {
            canvas.text("soft", [to[0], to[1] - 4.0], scale.layout.label - 1.0, Anchor::End, "chance");
        }
    }
}

/// Bands between neighbours that both have an interval; a lone interval is a bar.
fn band(canvas: &mut Canvas, series: &Series, scale: &Scale) {
    let mut upper: Vec<[f64; 2]> = Vec::new();
    let mut lower: Vec<[f64; 2]> = Vec::new();
    let mut close = |upper: &mut Vec<[f64; 2]>, lower: &mut Vec<[f64; 2]>| {
        match upper.as_slice() {
            [] => {}
            [one] => canvas.line("data", *one, lower[0], 6.0, ""),
            _ => {
                canvas.area("data", &upper.iter().copied().chain(lower.iter().rev().copied()).collect::<Vec<_>>(), 0.18)
            }
        }
        upper.clear();
        lower.clear();
    };
    for (at, point) in series.points.iter().enumerate() {
        match point.ci95 {
            Some([low, high]) => {
                upper.push([scale.x(at), scale.y(high)]);
                lower.push([scale.x(at), scale.y(low)]);
            }
            None => close(&mut upper, &mut lower),
        }
    }
    close(&mut upper, &mut lower);
}

/// Stretches of points without a gap.
fn runs(series: &Series, scale: &Scale) -> Vec<Vec<[f64; 2]>> {
    let places: Vec<Option<[f64; 2]>> =
        series.points.iter().enumerate().map(|(at, p)| p.value.map(|v| [scale.x(at), scale.y(v)])).collect();
    places.split(Option::is_none).map(|run| run.iter().copied().flatten().collect()).collect()
}

fn points(canvas: &mut Canvas, series: &Series, scale: &Scale) {
    let layout = &scale.layout;
    let best = series.best();
    let show_all = layout.all_values && series.points.len() <= 9;
    for (at, point) in series.points.iter().enumerate() {
        let Some(value) = point.value else { continue };
        let place = [scale.x(at), scale.y(value)];
        let is_best = best.is_some_and(|best| std::ptr::eq(best, point));
        let is_base = point.step.is_none();
        let class = if is_best { "best" } else { "data" };
        let written = series.metric.value(value);
        canvas.dot(class, place, if layout.all_values { 4.5 } else { 3.5 }, &hover(series.metric, point, &written));
        if is_best {
            canvas.ring("best", place, if layout.all_values { 8.0 } else { 6.5 });
        }
        if is_best || is_base || show_all {
            let text = if is_best { format!("best {written}") } else { written };
            let ink = if is_best { "best" } else { "ink" };
            let anchor = if is_best && at + 1 == series.points.len() && at > 0 { Anchor::End } else { Anchor::Middle };
            let shift = if anchor == Anchor::End { 12.0 } else { 0.0 };
            canvas.text(ink, [place[0] + shift, place[1] - 12.0], layout.label, anchor, &text);
        }
    }
}

fn hover(metric: Metric, point: &Point, value: &str) -> String {
    let interval = point.ci95.map(|[low, high]| format!(", 95 % {} to {}", metric.value(low), metric.value(high)));
    format!("{}: {value}{}", point.checkpoint, interval.unwrap_or_default())
}
