//! The page of a run: one file, no network.

use std::path::{Path, PathBuf};

use minijinja::Environment;
use serde::Serialize;
use serde_json::Value;

use crate::conclude::{Evaluated, NextData, Recommendation, evaluate, next_data, recommend};
use crate::curve::curve_figure;
use crate::examples::Example;
use crate::plot::figure_of;
use crate::run::{Run, read_run};
use crate::tables::{
    BenchmarkView, CheckpointCell, Deltas, FigureView, Table, benchmark, bests, checkpoints, deltas, details, figures,
    rejects, sources, zero_shot,
};
use crate::{Error, Metric, Result, png_of_svg};

const TEMPLATE: &str = include_str!("../templates/page.html");

/// What the caller decides and supplies.
pub struct PageOptions<'a> {
    /// Name of the base model's checkpoint; without it, the only (or first) one that has no training step.
    pub base_model: Option<&'a str>,
    /// Makes a strip of frames of a video as a PNG; none if it cannot.
    pub strip: &'a mut dyn FnMut(&Path) -> Option<Vec<u8>>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// What the page lacks, in words.
    pub missing: Vec<String>,
    /// The checkpoint recommended over all metrics.
    pub recommended: Option<String>,
}

/// Writes `RUN/report/index.html` and the figures of all metrics that there are, as SVG and PNG.
///
/// # Errors
/// [`Error::Nothing`] if there is no such folder; [`Error::Records`] if something cannot be written. Whatever is
/// missing in the run is said on the page.
pub fn write_report(run_dir: &Path, options: &mut PageOptions) -> Result<Written> {
    if !run_dir.is_dir() {
        let message = "there is no such folder; `roadscribe demo` makes a whole run".to_owned();
        return Err(Error::Nothing { path: run_dir.to_path_buf(), message });
    }
    let run = read_run(run_dir, options.base_model);
    let evaluated = evaluate(&run, options.base_model);
    let out = run_dir.join("report");
    for e in &evaluated {
        let svg = figure_of(e.metric, &e.scores);
        records::write_atomic(&out.join(format!("{}.png", e.metric.key())), &png_of_svg(&svg)?)?;
        records::write_atomic(&out.join(format!("{}.svg", e.metric.key())), svg.as_bytes())?;
    }
    let recommendation = recommend(&evaluated);
    let html = render(&run, &evaluated, &recommendation, options)?;
    let page = out.join("index.html");
    records::write_atomic(&page, html.as_bytes())?;
    Ok(Written { page, missing: run.missing, recommended: recommendation.checkpoint })
}

fn render(
    run: &Run,
    evaluated: &[Evaluated],
    recommendation: &Recommendation,
    options: &mut PageOptions,
) -> Result<String> {
    let wrong = |e: minijinja::Error| Error::Render { what: "page", message: format!("{e:#}") };
    let choice = evaluated.iter().find(|e| e.metric == Metric::VqaAccuracy);
    let chosen_score = choice.and_then(|e| {
        let name = recommendation.checkpoint.as_deref().or_else(|| e.best());
        e.scores.iter().find(|s| name == Some(s.checkpoint.as_str())).or_else(|| e.scores.first()).copied()
    });
    let captions = evaluated.iter().find(|e| e.metric == Metric::Bleu);
    let examples = captions
        .map(|e| crate::examples::examples(run, &e.scores, recommendation.checkpoint.as_deref(), options.strip));
    let dir_name =
        std::fs::canonicalize(&run.dir).ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let view = View {
        name: dir_name.unwrap_or_else(|| "run".to_owned()),
        missing: &run.missing,
        recommendation,
        benchmark: benchmark(run),
        zero_shot: zero_shot(run),
        details: details(evaluated),
        sources: run.card.as_ref().map(sources),
        card_notes: run.card.as_ref().and_then(|card| card.get("notes")),
        rejects: rejects(run),
        preview: run.preview.as_deref().map(data_uri),
        curves: run.curves.iter().map(curve_figure).collect(),
        figures: figures(evaluated),
        checkpoints: checkpoints(evaluated),
        metrics: evaluated.iter().map(|e| e.title()).collect(),
        deltas: chosen_score.zip(choice).and_then(|(score, e)| deltas(e, score)),
        examples: examples.unwrap_or_default(),
        bests: bests(evaluated),
        next: chosen_score.and_then(|score| next_data(run, score)),
        signatures: evaluated.iter().filter_map(|e| Some((e.title(), e.scores.first()?.signature.as_str()))).collect(),
    };
    let mut environment = Environment::new();
    environment.add_template("page.html", TEMPLATE).map_err(wrong)?;
    let template = environment.get_template("page.html").map_err(wrong)?;
    template.render(minijinja::value::Serde(&view)).map_err(wrong)
}

/// What the template shows.
#[derive(Serialize)]
struct View<'a> {
    name: String,
    missing: &'a [String],
    recommendation: &'a Recommendation,
    benchmark: Option<BenchmarkView>,
    zero_shot: Option<Table>,
    details: Option<Table>,
    sources: Option<Table>,
    card_notes: Option<&'a Value>,
    /// Source, code, count.
    rejects: Vec<(&'a str, &'a str, usize)>,
    preview: Option<String>,
    curves: Vec<String>,
    figures: Vec<FigureView>,
    checkpoints: Vec<(String, Vec<CheckpointCell>)>,
    metrics: Vec<&'static str>,
    deltas: Option<Deltas>,
    examples: Vec<Example>,
    /// Metric, checkpoint, comparison in words.
    bests: Vec<(&'static str, String, String)>,
    next: Option<NextData>,
    signatures: Vec<(&'static str, &'a str)>,
}

/// A PNG in a page.
pub(crate) fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        for (bytes, expect) in [("", ""), ("M", "TQ=="), ("Ma", "TWE="), ("Man", "TWFu"), ("Many", "TWFueQ==")] {
            assert_eq!(base64(bytes.as_bytes()), expect);
        }
    }
}
