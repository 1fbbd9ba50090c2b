//! Scores of one metric in the order of training: what a figure shows.

use std::cmp::Ordering;

use records::Score;

/// What a metric is called, and how its numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// N-gram overlap of captions with references, 0 to 1.
    Bleu,
    /// Share of multiple-choice questions answered right.
    VqaAccuracy,
    /// Share of LingoQA answers that the judge takes for right.
    Lingoqa,
}

impl Metric {
    /// All of them, in the order of the recipe.
    pub const ALL: [Self; 3] = [Self::Bleu, Self::VqaAccuracy, Self::Lingoqa];

    /// Name of the score file without its ending, and value of `--metric`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bleu => "bleu",
            Self::VqaAccuracy => "vqa_accuracy",
            Self::Lingoqa => "lingoqa",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bleu => "BLEU of captions",
            Self::VqaAccuracy => "Multiple-choice accuracy",
            Self::Lingoqa => "LingoQA score",
        }
    }

    /// Name for people of what these scores are: a stand-in's number is never called what the judge's is.
    pub fn title_of(self, scores: &[&Score]) -> &'static str {
        let stood_in = scores.iter().any(|score| score.signature.starts_with(eval::lingoqa::STAND_IN));
        if self == Self::Lingoqa && stood_in { "LingoQA format, stand-in judge" } else { self.title() }
    }

    /// A value as it is written.
    pub fn value(self, value: f64) -> String {
        match self {
            Self::Bleu => format!("{value:.3}"),
            Self::VqaAccuracy | Self::Lingoqa => format!("{:.1} %", 100.0 * value),
        }
    }

    /// A difference as it is written, with its sign.
    pub fn difference(self, difference: f64) -> String {
        let text = match self {
            Self::Bleu => format!("{difference:+.3}"),
            Self::VqaAccuracy | Self::Lingoqa => format!("{:+.1}", 100.0 * difference),
        };
        text.replace('-', "\u{2212}")
    }

    /// A value at an axis, with as many digits as its ticks need.
    pub(crate) fn tick(self, value: f64, step: f64) -> String {
        let (value, step, unit) = match self {
            Self::Bleu => (value, step, ""),
            Self::VqaAccuracy | Self::Lingoqa => (100.0 * value, 100.0 * step, " %"),
        };
        let digits = (0..4)
            .find(|&d| (step * 10f64.powi(d)).fract().abs() < 1e-6 || (step * 10f64.powi(d)).fract() > 1.0 - 1e-6);
        format!("{value:.*}{unit}", digits.unwrap_or(4) as usize)
    }
}

/// A point of a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// Training step; none for a base model.
    pub step: Option<u64>,
    /// The number; none if nothing could be scored.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub ci95: Option<[f64; 2]>,
}

impl Point {
    /// Text under the point.
    pub(crate) fn tick(&self) -> String {
        self.step.map_or_else(|| "base".to_owned(), |step| step.to_string())
    }
}

/// Points of one number over the checkpoints: the base model first, then by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What is shown.
    pub title: String,
    /// How its numbers are written.
    pub metric: Metric,
    /// The points.
    pub points: Vec<Point>,
}

impl Series {
    /// The overall numbers of scores in order.
    pub fn overall(metric: Metric, title: &str, scores: &[&Score]) -> Self {
        Self::of(metric, title, scores, |score| (score.value, score.ci95))
    }

    /// The numbers of one category.
    pub fn group(metric: Metric, name: &str, scores: &[&Score]) -> Self {
        Self::of(metric, name, scores, |score| {
            let group = score.groups.iter().find(|group| group.name == name);
            group.map_or((None, None), |group| (group.value, group.ci95))
        })
    }

    fn of(
        metric: Metric,
        title: &str,
        scores: &[&Score],
        pick: impl Fn(&Score) -> (Option<f64>, Option<[f64; 2]>),
    ) -> Self {
        let point = |score: &&Score| {
            let (value, ci95) = pick(score);
            let finite = |v: &f64| v.is_finite();
            Point {
                checkpoint: score.checkpoint.clone(),
                step: score.step,
                value: value.filter(finite),
                ci95: ci95.filter(|ends| ends.iter().all(finite)),
            }
        };
        Self { title: title.to_owned(), metric, points: scores.iter().map(point).collect() }
    }

    /// The base model's point.
    pub fn base(&self) -> Option<&Point> {
        self.points.iter().find(|point| point.step.is_none())
    }

    /// The highest point after training; of equals the first. None if several points are all equal.
    pub fn best(&self) -> Option<&Point> {
        let trained = || self.points.iter().filter(|point| point.step.is_some() && point.value.is_some());
        let best = trained().reduce(|best, point| if point.value > best.value { point } else { best })?;
        (trained().count() == 1 || trained().any(|point| point.value < best.value)).then_some(best)
    }
}

/// Names of the categories of scores, in the order in which they appear.
pub(crate) fn groups_of(scores: &[&Score]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for group in scores.iter().flat_map(|score| &score.groups) {
        if !names.contains(&group.name) {
            names.push(group.name.clone());
        }
    }
    names
}

/// Base models first (the one named first of all), then by step and name.
pub(crate) fn training_order(base: &str, a: &Score, b: &Score) -> Ordering {
    let key = |score: &Score| (score.step.is_some(), score.checkpoint != base, score.step, score.checkpoint.clone());
    key(a).cmp(&key(b))
}
