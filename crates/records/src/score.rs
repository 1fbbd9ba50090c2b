//! What a metric says of one checkpoint on one data set, item by item.

use serde::{Deserialize, Serialize};

use crate::ContentHash;

/// A score file, `OUTPUTS/<checkpoint>/<dataset>/<metric>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `bleu`, `vqa_accuracy` or `lingoqa`.
    pub metric: String,
    /// Exact definition of the metric, with versions; scores with different signatures must not be compared.
    pub signature: String,
    /// Name of the data set, such as `AV_CAPTION`.
    pub dataset: String,
    /// Name of the model.
    pub model_name: String,
    /// Name of the checkpoint, such as `step_000020`; the base model's own name for the base.
    pub checkpoint: String,
    /// Training step of the checkpoint; none for the base model.
    pub step: Option<u64>,
    /// Hash of the weights that answered; none if the predictions do not say.
    pub weight_hash: Option<ContentHash>,
    /// Hash of the predictions file.
    pub predictions_hash: ContentHash,
    /// Hash of the references file or frozen benchmark.
    pub references_hash: ContentHash,
    /// The number, 0 to 1; none if nothing could be scored.
    pub value: Option<f64>,
    /// Items scored.
    pub items_scored: usize,
    /// Items of the references.
    pub items_expected: usize,
    /// Clips (clusters) scored.
    pub clips: usize,
    /// Standard error, clustered by clip.
    pub standard_error: Option<f64>,
    /// 95 % interval, clustered by clip.
    pub ci95: Option<[f64; 2]>,
    /// The same by category, or by another division that the metric has.
    pub groups: Vec<ScoreGroup>,
    /// Everything else that the metric reports, by name.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// Caveats in words, to be shown wherever the number is.
    pub caveats: Vec<String>,
    /// Every item.
    pub items: Vec<ScoredItem>,
}

/// The score of a part of the items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreGroup {
    /// Name for tables.
    pub name: String,
    /// The number, 0 to 1.
    pub value: Option<f64>,
    /// Items scored.
    pub items_scored: usize,
    /// 95 % interval, clustered by clip.
    pub ci95: Option<[f64; 2]>,
}

/// The score of one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredItem {
    /// Name of the item.
    pub id: String,
    /// Clip that it belongs to.
    pub clip: String,
    /// Name of its group; none if the metric has no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What came of it.
    pub status: ItemStatus,
    /// 0 to 1; a status other than ok scores what the metric's rule says.
    pub score: f64,
    /// What decided the score: parser rule and span, letters, logits.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub decision: serde_json::Map<String, serde_json::Value>,
}

/// What came of an item; none of the last four is ever read as a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// An answer that could be read.
    Ok,
    /// An answer in which no choice could be found.
    ParseError,
    /// The model declined.
    Refused,
    /// The answer was cut at the token limit and no choice could be found.
    Truncated,
    /// There is no answer: the request failed, or no prediction is there.
    Failed,
}
