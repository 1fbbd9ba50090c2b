//! Scores and their uncertainty: BLEU, multiple choice, LingoQA.
//!
//! Scoring is pure: the same records give the same bytes. Every number carries its definition, a failure is never a
//! choice, and whatever compares two checkpoints is paired by item and clustered by clip.

#![forbid(unsafe_code)]

mod answers;
pub mod bleu;
pub mod captions;
mod compare;
mod error;
pub mod lingoqa;
pub mod mcq;
mod scores;
pub mod statistics;

pub use answers::{Answer, Answers, REJECTS_ALLOWED, Reject};
pub use compare::{CandidateComparison, Comparison, Difference, LEVEL, Refused, compare};
pub use error::{Error, Result};
pub use scores::Label;
