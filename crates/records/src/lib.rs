//! On-disk contracts of Roadscribe: samples, predictions, manifests, JSONL, content hashes.
//!
//! Stages of the recipe meet in files; this crate says what is in them. It depends on serde and nothing that
//! computes, so every stage can afford it. Everything read here comes from outside: paths are confined to their
//! data root, and an error names the file, the entry or line, the key, and what was expected.

#![forbid(unsafe_code)]

pub mod annotation;
mod atomic;
mod error;
pub mod hash;
mod in_use;
pub mod jsonl;
mod llava;
mod manifest;
mod meta;
mod prediction;
mod question;
mod root;
mod sample;
mod score;

pub use atomic::{write_atomic, write_jsonl_atomic};
pub use error::{Error, Result};
pub use hash::ContentHash;
pub use in_use::InUse;
pub use manifest::{FileRecord, RunManifest};
pub use meta::{parse_meta, read_meta};
pub use prediction::{FinishReason, Guided, Outcome, PixelBudget, Prediction, Sampling};
pub use question::{BenchmarkItem, Category, Question};
pub use root::DataRoot;
pub use sample::{Media, MediaKind, Part, Prompt, Role, Sample, Target, Turn};
pub use score::{ItemStatus, Score, ScoreGroup, ScoredItem};
