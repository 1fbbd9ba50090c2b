//! The tables of the page: what stands in each cell.

use records::{Category, Score};
use serde::Serialize;
use serde_json::Value;

use crate::conclude::Evaluated;
use crate::plot::category_series;
use crate::run::Run;
use crate::{Metric, Series, line_figure, small_figure};

#[derive(Serialize)]
pub(crate) struct BenchmarkView {
    name: String,
    id: String,
    rows: Vec<(String, String)>,
    categories: Vec<(&'static str, usize)>,
}

pub(crate) fn benchmark(run: &Run) -> Option<BenchmarkView> {
    let manifest = run.benchmark.as_ref()?;
    let text = |at: &str| match manifest.pointer(at) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "not said".to_owned(),
        Some(other) => other.to_string(),
    };
    let counted = |at: &str| {
        let map = manifest.pointer(at).and_then(Value::as_object)?;
        Some(map.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "))
    };
    let clips = manifest.get("clips").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let mut rows = vec![
        ("Questions".to_owned(), text("/items")),
        ("Clips".to_owned(), clips.to_string()),
        ("Drawn for a clip".to_owned(), format!("{} with seed {}", text("/per_clip"), text("/seed"))),
        ("Pool".to_owned(), format!("{} {}", text("/pool/name"), text("/pool/version"))),
        ("Form of the prompt".to_owned(), text("/prompt_version")),
        ("Answers from".to_owned(), counted("/answer_sources").unwrap_or_default()),
    ];
    let dropped = counted("/dropped").filter(|text| !text.is_empty());
    rows.push(("Left out, without an answer".to_owned(), dropped.unwrap_or_else(|| "none".to_owned())));
    rows.push(("Captions with a reference".to_owned(), run.references.len().to_string()));
    let count = |category| run.items.values().filter(|item| item.category == category).count();
    let categories = Category::ALL.iter().map(|c| (c.title(), count(*c))).collect();
    Some(BenchmarkView { name: text("/name"), id: text("/id").chars().take(12).collect(), rows, categories })
}

#[derive(Serialize)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

/// Value and interval, on two lines of a cell.
fn cell(metric: Metric, value: Option<f64>, ci95: Option<[f64; 2]>) -> String {
    let Some(value) = value.filter(|v| v.is_finite()) else { return "\u{2013}".to_owned() };
    let interval = ci95.map(|[low, high]| format!(" ({} to {})", bare(metric, low), bare(metric, high)));
    format!("{}{}", metric.value(value), interval.unwrap_or_default())
}

fn bare(metric: Metric, value: f64) -> String {
    metric.value(value).trim_end_matches(" %").to_owned()
}

/// Base models side by side: the recipe's zero-shot table.
pub(crate) fn zero_shot(run: &Run) -> Option<Table> {
    let base = |metric: Metric| run.scores_of(metric).iter().filter(|s| s.step.is_none());
    let mut columns: Vec<String> = Vec::new();
    for score in Metric::ALL.iter().flat_map(|m| base(*m)) {
        if !columns.contains(&score.checkpoint) {
            columns.push(score.checkpoint.clone());
        }
    }
    if columns.is_empty() {
        return None;
    }
    let row = |metric: Metric, pick: &dyn Fn(&Score) -> String| -> Vec<String> {
        let of = |name: &String| base(metric).find(|s| s.checkpoint == *name).map_or("\u{2013}".to_owned(), pick);
        columns.iter().map(of).collect()
    };
    let choice: Vec<&Score> = base(Metric::VqaAccuracy).collect();
    let mut rows = Vec::new();
    for name in crate::series::groups_of(&choice) {
        let pick = |score: &Score| {
            let group = score.groups.iter().find(|g| g.name == name);
            cell(Metric::VqaAccuracy, group.and_then(|g| g.value), group.and_then(|g| g.ci95))
        };
        rows.push((name.clone(), row(Metric::VqaAccuracy, &pick)));
    }
    for metric in [Metric::VqaAccuracy, Metric::Lingoqa, Metric::Bleu] {
        if base(metric).next().is_some() {
            let pick = |score: &Score| cell(metric, score.value, score.ci95);
            let title = match metric {
                Metric::VqaAccuracy => "Overall accuracy",
                _ => metric.title_of(&base(metric).collect::<Vec<_>>()),
            };
            rows.push((title.to_owned(), row(metric, &pick)));
        }
    }
    Some(Table { columns, rows })
}

/// The recipe's evaluation details, for every checkpoint.
pub(crate) fn details(evaluated: &[Evaluated]) -> Option<Table> {
    let e = evaluated.iter().find(|e| e.metric == Metric::VqaAccuracy)?;
    let number = |score: &Score, at: &str| score.details.get(at).and_then(Value::as_f64);
    let share = |value: Option<f64>| value.map_or("\u{2013}".to_owned(), |v| format!("{:.1} %", 100.0 * v));
    let count = |score: &Score, at: &str| {
        score
            .details
            .get("counts")
            .and_then(|c| c.get(at))
            .and_then(Value::as_u64)
            .map_or("\u{2013}".to_owned(), |n| n.to_string())
    };
    let columns =
        ["Predictions", "Videos", "Parseable", "Unreadable", "Refused", "Truncated", "Failed", "Mean of videos (SD)"];
    let row = |score: &&Score| {
        let whole = |at: &str| number(score, at).map_or("\u{2013}".to_owned(), |n| format!("{n:.0}"));
        let spread = number(score, "sd_per_video_accuracy").map(|sd| format!(" (\u{b1} {:.1})", 100.0 * sd));
        let cells = vec![
            whole("total_predictions"),
            whole("videos"),
            share(number(score, "parseable_rate")),
            count(score, "parse_error"),
            count(score, "refused"),
            count(score, "truncated"),
            count(score, "failed"),
            share(number(score, "mean_per_video_accuracy")) + &spread.unwrap_or_default(),
        ];
        (score.checkpoint.clone(), cells)
    };
    Some(Table { columns: columns.map(str::to_owned).to_vec(), rows: e.scores.iter().map(row).collect() })
}

/// The card's sources, as in the recipe's summary.
pub(crate) fn sources(card: &Value) -> Table {
    let columns = ["Read", "Kept", "Rejected", "Training samples", "Validation samples", "Hours", "Words in an answer"];
    let list = card.get("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let cell = |source: &Value, at: &str| match source.pointer(at) {
        Some(Value::Number(n)) if n.is_f64() => format!("{:.2}", n.as_f64().unwrap_or_default()),
        Some(Value::Number(n)) => n.to_string(),
        _ => "\u{2013}".to_owned(),
    };
    let places = [
        "/read",
        "/kept",
        "/rejected",
        "/train/samples",
        "/validation/samples",
        "/train/hours",
        "/train/mean_answer_words",
    ];
    let row = |source: &Value| {
        let name = source.get("name").and_then(Value::as_str).unwrap_or("?").to_owned();
        (name, places.iter().map(|at| cell(source, at)).collect())
    };
    let mut rows: Vec<(String, Vec<String>)> = list.iter().map(row).collect();
    let total = ["/read", "/kept", "/rejected"].iter().map(|at| cell(card, at)).chain((0..4).map(|_| String::new()));
    rows.push(("Total".to_owned(), total.collect()));
    Table { columns: columns.map(str::to_owned).to_vec(), rows }
}

pub(crate) fn rejects(run: &Run) -> Vec<(&str, &str, usize)> {
    let mut rejects: Vec<_> = run.rejects.iter().map(|((s, c), n)| (s.as_str(), c.as_str(), *n)).collect();
    rejects.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
    rejects
}

#[derive(Serialize)]
pub(crate) struct FigureView {
    title: &'static str,
    large: String,
    small: Vec<String>,
}

pub(crate) fn figures(evaluated: &[Evaluated]) -> Vec<FigureView> {
    let view = |e: &Evaluated| {
        let categories = if e.metric == Metric::VqaAccuracy { category_series(&e.scores) } else { Vec::new() };
        FigureView {
            title: e.title(),
            large: line_figure(&Series::overall(e.metric, e.title(), &e.scores)),
            small: categories.iter().map(|series| small_figure(series, &categories)).collect(),
        }
    };
    evaluated.iter().map(view).collect()
}

/// Every checkpoint with every metric, and its difference to the base model.
pub(crate) fn checkpoints(evaluated: &[Evaluated]) -> Vec<(String, Vec<CheckpointCell>)> {
    let mut names: Vec<(Option<u64>, &str)> = Vec::new();
    for score in evaluated.iter().flat_map(|e| &e.scores) {
        if !names.contains(&(score.step, score.checkpoint.as_str())) {
            names.push((score.step, score.checkpoint.as_str()));
        }
    }
    names.sort();
    let of = |name: &str| evaluated.iter().map(|e| CheckpointCell::of(e, name)).collect();
    names.into_iter().map(|(_, name)| (name.to_owned(), of(name))).collect()
}

#[derive(Serialize)]
pub(crate) struct CheckpointCell {
    value: String,
    difference: Option<String>,
    /// `better`, `worse`, or nothing if no difference is shown.
    verdict: &'static str,
    best: bool,
}

impl CheckpointCell {
    fn of(e: &Evaluated, name: &str) -> Self {
        let score = e.scores.iter().find(|s| s.checkpoint == name);
        let overall = e.candidate(name).map(|c| &c.overall);
        Self {
            value: score.map_or("\u{2013}".to_owned(), |s| cell(e.metric, s.value, s.ci95)),
            difference: overall.map(|d| e.metric.difference(d.paired.estimate.mean)),
            verdict: match overall.filter(|d| d.significant) {
                None => "",
                Some(d) if d.paired.estimate.mean > 0.0 => "better",
                Some(_) => "worse",
            },
            best: e.best() == Some(name),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Deltas {
    checkpoint: String,
    baseline: String,
    tests: usize,
    rows: Vec<DeltaRow>,
}

#[derive(Serialize)]
pub(crate) struct DeltaRow {
    name: String,
    before: String,
    after: String,
    difference: String,
    interval: String,
    p_holm: String,
    significant: bool,
}

/// Categories of the chosen checkpoint against the base model, paired.
pub(crate) fn deltas(e: &Evaluated, score: &Score) -> Option<Deltas> {
    let comparison = e.comparison.as_ref()?;
    let candidate = e.candidate(&score.checkpoint)?;
    let row = |d: &eval::Difference| DeltaRow {
        name: if d.name == "overall" { "Overall".to_owned() } else { d.name.clone() },
        before: e.metric.value(d.baseline),
        after: e.metric.value(d.candidate),
        difference: e.metric.difference(d.paired.estimate.mean),
        interval: d.paired.estimate.ci95.map_or("\u{2013}".to_owned(), |[low, high]| {
            format!("{} to {}", e.metric.difference(low), e.metric.difference(high))
        }),
        p_holm: format!("{:.4}", d.p_holm),
        significant: d.significant,
    };
    let rows = candidate.groups.iter().chain([&candidate.overall]).map(row).collect();
    Some(Deltas {
        checkpoint: score.checkpoint.clone(),
        baseline: comparison.baseline.clone(),
        tests: comparison.tests,
        rows,
    })
}

/// Best checkpoint of each metric, with the comparison in words.
pub(crate) fn bests(evaluated: &[Evaluated]) -> Vec<(&'static str, String, String)> {
    let of = |e: &Evaluated| {
        let best = e.best()?;
        let words = e.candidate(best).map(|c| c.sentence.clone()).unwrap_or_default();
        Some((e.title(), best.to_owned(), words))
    };
    evaluated.iter().filter_map(of).collect()
}
