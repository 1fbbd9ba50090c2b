//! What a run really drew from each source, beside what it was to draw.

use serde::{Deserialize, Serialize};

use crate::order::SourceMix;

/// Samples of one source that a run has drawn so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Samples trained on.
    pub used: u64,
    /// Samples left out; their reasons are in rejects.jsonl.
    pub rejected: u64,
}

/// The content of mix.json.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RealisedMix {
    /// Steps done.
    pub step: u64,
    /// Draws of a virtual epoch.
    pub epoch_samples: u64,
    /// Every source, in the order of the config.
    pub sources: Vec<RealisedSource>,
}

/// One source of mix.json.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RealisedSource {
    /// What the plan says.
    #[serde(flatten)]
    pub planned: SourceMix,
    /// What was drawn.
    #[serde(flatten)]
    pub drawn: Drawn,
    /// Share of all samples drawn so far.
    pub share: Option<f64>,
}

impl RealisedMix {
    /// Puts plan and counts side by side.
    pub fn new(step: u64, epoch_samples: u64, planned: Vec<SourceMix>, drawn: &[Drawn]) -> Self {
        let all: u64 = drawn.iter().map(|drawn| drawn.used + drawn.rejected).sum();
        let source = |(planned, drawn): (SourceMix, &Drawn)| RealisedSource {
            planned,
            drawn: *drawn,
            share: (all > 0).then(|| (drawn.used + drawn.rejected) as f64 / all as f64),
        };
        Self { step, epoch_samples, sources: planned.into_iter().zip(drawn).map(source).collect() }
    }
}
