//! What a run tells while it runs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Plan, SourceMix, Timeline};

/// The numbers of a step: the same for every run of the same recipe, so that two logs can be compared byte by byte.
/// Keys are cosmos-rl's where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Step, from 1.
    pub step: u64,
    /// Epoch, from 0.
    #[serde(rename = "train/epoch")]
    pub epoch: u64,
    /// Sum of token losses over all labelled tokens of the step, divided by their number; none without tokens.
    #[serde(rename = "train/loss_avg")]
    pub loss_avg: Option<f64>,
    /// Global gradient norm before clipping; none without tokens.
    #[serde(rename = "optimizer/grad_norm")]
    pub grad_norm: Option<f64>,
    /// Learning rate of this step's update (cosmos-rl logs that of the next).
    #[serde(rename = "optimizer/lr")]
    pub lr: f64,
    /// Labelled tokens.
    pub labelled_tokens: u64,
    /// All tokens, vision tokens included.
    pub tokens: u64,
    /// Text tokens cut off to keep samples within the maximal length.
    pub cut_tokens: u64,
    /// Samples used.
    pub samples: u64,
    /// Samples left out; their reasons are in rejects.jsonl.
    pub rejected: u64,
    /// Whether the weights were updated.
    pub updated: bool,
}

/// The times of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTiming {
    /// Step, from 1.
    pub step: u64,
    /// Seconds of forward, backward, clip and update, waiting for data left out.
    #[serde(rename = "train/iteration_time")]
    pub iteration_s: f64,
    /// Seconds of waiting for data.
    #[serde(rename = "train/batch_arrival_time")]
    pub batch_arrival_s: f64,
    /// Tokens a second over both.
    pub tokens_per_s: f64,
}

/// The loss on data that is not trained on: a line of validation.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// Steps done.
    pub step: u64,
    /// Sum of token losses over all labelled tokens, divided by their number; none without tokens.
    #[serde(rename = "val/avg_loss")]
    pub avg_loss: Option<f64>,
    /// Epoch, from 0.
    #[serde(rename = "val/cur_epoch")]
    pub epoch: u64,
    /// Labelled tokens.
    #[serde(rename = "val/labelled_tokens")]
    pub labelled_tokens: u64,
    /// Samples used.
    #[serde(rename = "val/samples")]
    pub samples: u64,
    /// Samples left out.
    #[serde(rename = "val/rejected")]
    pub rejected: u64,
}

/// Watches a run. The log files are written without it.
pub trait MetricSink {
    /// The run begins, or goes on after `step` steps.
    fn start(&mut self, plan: &Plan, timeline: &Timeline, step: u64);
    /// What the whole run draws from each source.
    fn mix(&mut self, sources: &[SourceMix]) {
        let _ = sources;
    }
    /// A step is done.
    fn step(&mut self, metrics: &StepMetrics, timing: &StepTiming);
    /// A sample was left out.
    fn reject(&mut self, id: &str, reason: &str);
    /// The validation loss was measured.
    fn validated(&mut self, metrics: &ValidationMetrics) {
        let _ = metrics;
    }
    /// A checkpoint was written.
    fn saved(&mut self, dir: &Path);
    /// Something worth a line.
    fn note(&mut self, message: &str);
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Steps done, earlier runs included.
    pub step: u64,
    /// Steps of the whole run.
    pub steps_total: u64,
    /// Loss of the last step of this process.
    pub loss_avg: Option<f64>,
    /// Samples used by this process.
    pub samples: u64,
    /// Samples left out by this process.
    pub rejected: u64,
    /// The newest checkpoint.
    pub checkpoint: Option<std::path::PathBuf>,
}
