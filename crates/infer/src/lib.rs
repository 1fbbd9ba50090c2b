//! Inference on a list of clips: one model, one answer a request, every answer with what produced it.
//!
//! `engine` sees token ids and never text; [`run()`] turns requests into records and resumes from its own output.

#![forbid(unsafe_code)]

mod answer;
mod checkpoints;
mod engine;
mod error;
mod judge;
mod output;
mod request;
mod run;
mod sampler;

pub use checkpoints::{Checkpoint, checkpoints};
pub use engine::{Generated, generate};
pub use error::{Error, Result};
pub use judge::{JudgeLogit, LingoJudge, MAX_LENGTH as JUDGE_MAX_LENGTH, judge_text};
pub use request::{Request, read_requests, requests_of_clips};
pub use run::{Progress, RunSummary, Settings, run, superseded};
pub use sampler::Sampler;
