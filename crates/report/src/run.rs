//! What a run folder holds. Whatever is missing or broken is a note on the page, never the end of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use records::{BenchmarkItem, Outcome, Prediction, Score};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::curve::{Curve, read_curves};
use crate::{Metric, find_scores};

/// Largest preview picture that goes into the page, in bytes.
const PREVIEW_BYTES_MAX: u64 = 4 << 20;

/// The parts of a run that were found.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) dir: PathBuf,
    pub(crate) benchmark: Option<Value>,
    pub(crate) items: HashMap<String, BenchmarkItem>,
    pub(crate) caption_requests: Vec<CaptionRequest>,
    pub(crate) references: BTreeMap<String, Vec<String>>,
    pub(crate) card: Option<Value>,
    /// Rejects by source and code.
    pub(crate) rejects: BTreeMap<(String, String), usize>,
    pub(crate) preview: Option<Vec<u8>>,
    pub(crate) curves: Vec<Curve>,
    /// By metric, in the order of [`Metric::ALL`].
    pub(crate) scores: Vec<Vec<Score>>,
    /// What is missing or broken, in words.
    pub(crate) missing: Vec<String>,
}

/// A clip that a caption was asked for.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct CaptionRequest {
    pub(crate) id: String,
    pub(crate) video: String,
}

#[derive(serde::Deserialize)]
struct Reference {
    clip: String,
    text: String,
}

#[derive(serde::Deserialize)]
struct RejectRow {
    #[serde(default)]
    source: String,
    #[serde(default)]
    code: String,
}

/// Reads what there is.
pub(crate) fn read_run(dir: &Path, base: Option<&str>) -> Run {
    let mut run = Run { dir: dir.to_path_buf(), ..Run::default() };
    let missing = &mut run.missing;
    run.benchmark = json(&dir.join("benchmark/benchmark.json"), "the benchmark's definition", missing);
    let items: Vec<BenchmarkItem> = rows(&dir.join("benchmark/items.jsonl"), "the benchmark's questions", missing);
    run.items = items.into_iter().map(|item| (item.id.clone(), item)).collect();
    run.caption_requests = rows(&dir.join("benchmark/captions.jsonl"), "the caption requests", missing);
    let references: Vec<Reference> = rows(&dir.join("benchmark/references.jsonl"), "the reference captions", missing);
    for reference in references {
        run.references.entry(reference.clip).or_default().push(reference.text);
    }
    run.card = json(&dir.join("curated/card.json"), "the card of the training set", missing);
    if run.card.is_some() {
        let rejects: Vec<RejectRow> = rows(&dir.join("curated/rejects.jsonl"), "the list of rejects", missing);
        for row in rejects {
            *run.rejects.entry((row.source, row.code)).or_default() += 1;
        }
        let preview = dir.join("curated/preview.png");
        let small = fs::metadata(&preview).is_ok_and(|meta| meta.len() <= PREVIEW_BYTES_MAX);
        run.preview = if small { fs::read(&preview).ok() } else { None };
    }
    let (curves, bad) = read_curves(&dir.join("train"));
    if curves.is_empty() {
        missing.push("the training log: there is no train/metrics.jsonl with numbers".to_owned());
    }
    if bad > 0 {
        missing.push(format!("{bad} lines of the training log, which are not JSON"));
    }
    run.curves = curves;
    run.scores = Metric::ALL.iter().map(|metric| scores(dir, *metric, base, missing)).collect();
    run
}

/// Scores of a metric on the one data set that has most of them.
fn scores(dir: &Path, metric: Metric, base: Option<&str>, missing: &mut Vec<String>) -> Vec<Score> {
    let outputs = dir.join("outputs");
    let found = find_scores(&outputs, metric, None, base.unwrap_or_default()).unwrap_or_default();
    missing.extend(found.problems.into_iter().map(|problem| format!("a score: {problem}")));
    let mut sets: BTreeMap<String, Vec<Score>> = BTreeMap::new();
    for score in found.scores {
        sets.entry(score.dataset.clone()).or_default().push(score);
    }
    let most = sets.iter().max_by_key(|(name, scores)| (scores.len(), std::cmp::Reverse((*name).clone())));
    let Some(chosen) = most.map(|(name, _)| name.clone()) else {
        missing.push(format!("{}: there is no outputs/<checkpoint>/<data set>/{}.json", metric.title(), metric.key()));
        return Vec::new();
    };
    let scores = sets.remove(&chosen).unwrap_or_default();
    if !sets.is_empty() {
        let others = sets.into_keys().collect::<Vec<_>>().join(", ");
        missing.push(format!("{} on {others}: this page shows {chosen} only", metric.title()));
    }
    scores
}

impl Run {
    /// Scores of a metric, base models first.
    pub(crate) fn scores_of(&self, metric: Metric) -> &[Score] {
        let at = Metric::ALL.iter().position(|m| *m == metric).unwrap_or_default();
        self.scores.get(at).map_or(&[], Vec::as_slice)
    }

    /// Captions of a checkpoint by clip; a failed one is none.
    pub(crate) fn captions(&self, checkpoint: &str, dataset: &str) -> HashMap<String, Option<String>> {
        let path = self.dir.join("outputs").join(checkpoint).join(dataset).join("predictions.jsonl");
        let rows: Vec<Prediction> = rows(&path, "predictions", &mut Vec::new());
        let text = |outcome: Outcome| match outcome {
            Outcome::Done { text, .. } => Some(text),
            Outcome::Failed { .. } => None,
        };
        rows.into_iter().map(|row| (row.id, text(row.outcome))).collect()
    }
}

fn json(path: &Path, what: &str, missing: &mut Vec<String>) -> Option<Value> {
    let read = fs::read(path).map_err(|e| e.to_string());
    let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
    parsed.map_err(|e| missing.push(format!("{what}: {}: {e}", path.display()))).ok()
}

/// Rows of a JSONL file; those that cannot be read are counted.
fn rows<T: DeserializeOwned>(path: &Path, what: &str, missing: &mut Vec<String>) -> Vec<T> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => {
            missing.push(format!("{what}: {}: {e}", path.display()));
            return Vec::new();
        }
    };
    let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let parsed: Vec<Option<T>> = lines.map(|line| serde_json::from_slice(line).ok()).collect();
    let bad = parsed.iter().filter(|row| row.is_none()).count();
    if bad > 0 {
        missing.push(format!("{what}: {bad} lines of {} cannot be read", path.display()));
    }
    parsed.into_iter().flatten().collect()
}
