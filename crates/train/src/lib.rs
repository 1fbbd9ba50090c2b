//! Supervised fine-tuning: a config becomes a [`Plan`], a plan becomes a run, a run becomes checkpoints and logs.
//!
//! Read [`run()`] first: it shows the whole loop. Annotations are never parsed here; a sample is a conversation and
//! its media. Nothing is printed: a caller watches through a [`MetricSink`].

#![forbid(unsafe_code)]

mod checkpoint;
mod data;
mod engine;
mod error;
mod export;
mod forecast;
mod foreign;
mod frames;
mod loader;
mod logs;
mod metrics;
mod mix;
pub mod optimizer;
mod order;
mod plan;
mod run;
pub mod schedule;
mod sft_toml;
mod source;
mod step;
mod validation;

pub use checkpoint::{Checkpoints, Damaged};
pub use data::Data;
pub use engine::Accelerator;
pub use error::{Error, Result};
pub use forecast::{Forecast, forecast};
pub use metrics::{MetricSink, RunSummary, StepMetrics, StepTiming, ValidationMetrics};
pub use mix::{Drawn, RealisedMix, RealisedSource};
pub use order::{Order, SampleRef, SourceMix, Timeline, mix};
pub use plan::{
    CheckpointPlan, DatasetPlan, ExportDType, FrameCachePlan, Logger, Plan, Recipe, ResumeFrom, ValidationPlan,
};
pub use run::run;
pub use sft_toml::{NonFinite, SftToml};
pub use source::{Source, known_keys, parse_config, read_config};
