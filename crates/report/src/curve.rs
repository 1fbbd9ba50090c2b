//! Training curves: numbers of the training log against the step.

use std::path::Path;

use serde_json::Value;

use crate::svg::{Anchor, Canvas, ticks};

/// Points of a curve that are drawn; longer ones are thinned.
const POINTS_MAX: usize = 600;

/// What is looked for in a training log: keys that mean the same, title.
const KEYS: [(&[&str], &str); 4] = [
    (&["train/loss_avg", "train/loss"], "Training loss"),
    (&["val/avg_loss", "val/loss_avg", "val/loss"], "Validation loss"),
    (&["optimizer/lr", "train/learning_rate"], "Learning rate"),
    (&["optimizer/grad_norm", "train/grad_norm"], "Gradient norm"),
];

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) title: &'static str,
    /// Step and number, in order of step.
    pub(crate) points: Vec<[f64; 2]>,
}

/// Curves of the logs of a training run that have points, and the number of lines that are no JSON.
pub(crate) fn read_curves(train: &Path) -> (Vec<Curve>, usize) {
    let mut curves: Vec<Curve> = KEYS.iter().map(|(_, title)| Curve { title, points: Vec::new() }).collect();
    let mut bad = 0;
    for name in ["metrics.jsonl", "validation.jsonl"] {
        let Ok(bytes) = std::fs::read(train.join(name)) else { continue };
        for line in bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let Ok(row) = serde_json::from_slice::<Value>(line) else {
                bad += 1;
                continue;
            };
            let Some(step) = row.get("step").and_then(Value::as_f64) else { continue };
            for (curve, (keys, _)) in curves.iter_mut().zip(KEYS) {
                let number = keys.iter().find_map(|key| row.get(key)).and_then(Value::as_f64);
                curve.points.extend(number.map(|number| [step, number]));
            }
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    }
    curves.retain(|curve| !curve.points.is_empty());
    (curves, bad)
}

/// Draws a curve.
pub(crate) fn curve_figure(curve: &Curve) -> String {
    const SIZE: [f64; 2] = [360.0, 220.0];
    let (left, right, top, bottom) = (64.0, SIZE[0] - 16.0, 40.0, SIZE[1] - 36.0);
    let ends = |axis: usize| {
        let all = curve.points.iter().map(|point| point[axis]);
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
    };
    let (first, last) = ends(0);
    let (low, high) = ends(1);
    let marks = ticks(low, high, 4);
    let (low, high) = (marks.first().copied().unwrap_or(low).min(low), marks.last().copied().unwrap_or(high).max(high));
    let x = |step: f64| left + (right - left) * (step - first) / (last - first);
    let y = |value: f64| top + (bottom - top) * (high - value) / (high - low);
    let mut canvas = Canvas::default();
    canvas.text("ink", [16.0, 23.0], 13.0, Anchor::Start, curve.title);
    for mark in marks {
        canvas.line("grid", [left, y(mark)], [right, y(mark)], 1.0, "");
        canvas.text("soft", [left - 6.0, y(mark) + 4.0], 11.0, Anchor::End, &number(mark));
    }
    for step in ticks(first, last, 4).into_iter().filter(|step| (first..=last).contains(step) && step.fract() == 0.0) {
        canvas.text("soft", [x(step), bottom + 16.0], 11.0, Anchor::Middle, &format!("{step}"));
    }
    let every = curve.points.len().div_ceil(POINTS_MAX);
    let kept = curve.points.iter().enumerate().filter(|(at, _)| at % every == 0 || at + 1 == curve.points.len());
    let line: Vec<[f64; 2]> = kept.map(|(_, point)| [x(point[0]), y(point[1])]).collect();
    canvas.path("data", &line, 1.5);
    if line.len() <= 40 {
        for (place, point) in line.iter().zip(&curve.points) {
            canvas.dot("data", *place, 2.5, &format!("step {}: {}", point[0], number(point[1])));
        }
    }
    let last = curve.points.last().map(|point| number(point[1])).unwrap_or_default();
    canvas.finish(SIZE, &format!("{} by step, {last} at the end", curve.title))
}

/// A number with about three digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 1e-3 || v >= 1e5 => format!("{value:.1e}"),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
