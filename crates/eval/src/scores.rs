//! From scored items to a score with its interval and its groups.

use records::{ContentHash, Score, ScoreGroup, ScoredItem};
use serde_json::{Map, Value};

use crate::statistics::{Clusters, Estimate, wilson};

/// What a score is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Name of the data set, such as `AV_VQA`.
    pub dataset: String,
    /// Name of the model.
    pub model_name: String,
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// Its training step; none for the base model.
    pub step: Option<u64>,
    /// Hash of the weights that answered.
    pub weight_hash: Option<ContentHash>,
}

/// A score without its number: what was measured, on what.
pub(crate) struct Frame<'a> {
    pub(crate) metric: &'static str,
    pub(crate) signature: String,
    pub(crate) label: &'a Label,
    pub(crate) predictions_hash: ContentHash,
    pub(crate) references_hash: ContentHash,
    pub(crate) items_expected: usize,
    /// Names of the groups, in order.
    pub(crate) groups: Vec<String>,
}

/// The mean over items, clustered by clip; groups without items are left out.
pub(crate) fn assemble(
    frame: Frame<'_>,
    items: Vec<ScoredItem>,
    details: Map<String, Value>,
    caveats: Vec<String>,
) -> Score {
    let whole = estimate(items.iter());
    let group = |name: &String| {
        let of_group = estimate(items.iter().filter(|item| item.group.as_ref() == Some(name)))?;
        let Estimate { mean, items, ci95, .. } = of_group;
        Some(ScoreGroup { name: name.clone(), value: Some(mean), items_scored: items, ci95: ci95.map(clamp) })
    };
    let groups = frame.groups.iter().filter_map(group).collect();
    let label = frame.label;
    Score {
        metric: frame.metric.to_owned(),
        signature: frame.signature,
        dataset: label.dataset.clone(),
        model_name: label.model_name.clone(),
        checkpoint: label.checkpoint.clone(),
        step: label.step,
        weight_hash: label.weight_hash.clone(),
        predictions_hash: frame.predictions_hash,
        references_hash: frame.references_hash,
        value: whole.map(|estimate| estimate.mean),
        items_scored: items.len(),
        items_expected: frame.items_expected,
        clips: whole.map_or(0, |estimate| estimate.clusters),
        standard_error: whole.and_then(|estimate| estimate.standard_error),
        ci95: whole.and_then(|estimate| estimate.ci95).map(clamp),
        groups,
        details,
        caveats,
        items,
    }
}

fn estimate<'a>(items: impl Iterator<Item = &'a ScoredItem>) -> Option<Estimate> {
    let mut estimate = Clusters::of(items.map(|item| (item.clip.as_str(), item.score))).estimate()?;
    // Where everything is right, or nothing, there is no spread to estimate an error from, but no certainty either:
    // the interval is Wilson's, with the clips as trials.
    if estimate.standard_error == Some(0.0) && (estimate.mean == 0.0 || estimate.mean == 1.0) {
        let hits = if estimate.mean == 1.0 { estimate.clusters } else { 0 };
        estimate.ci95 = wilson(hits, estimate.clusters);
    }
    Some(estimate)
}

/// An interval of a share does not leave 0..1.
fn clamp([low, high]: [f64; 2]) -> [f64; 2] {
    [low.max(0.0), high.min(1.0)]
}
