//! The question pool, the draw for each clip, the frozen benchmark.
//!
//! Three steps that meet in files of one folder: [`write_draft`] draws questions for clips (`draft.json`,
//! `draft.jsonl`), [`attach_answers`] says what is right (`answered.jsonl`, `dropped.jsonl`), [`freeze`] makes the set
//! that scores refer to (`items.jsonl`, `benchmark.json`) and [`verify`] checks that it is still that one.

#![forbid(unsafe_code)]

mod answer;
mod clips;
mod draft;
mod draw;
mod error;
mod freeze;
mod model_answers;
mod pool;
mod prompt;
mod stats;

pub use answer::{Answer, AnswerFile, AnswerSummary, Answerer, Dropped, attach_answers};
pub use clips::{Clip, ClipList, Reject, read_clips};
pub use draft::{Draft, DraftItem, DraftSummary, read_draft, write_draft};
pub use draw::{DrawSettings, Drawn, draw};
pub use error::{Error, Result};
pub use freeze::{BenchmarkManifest, Frozen, PoolRecord, freeze, verify, verify_media};
pub use model_answers::ModelAnswers;
pub use pool::{Pool, Scope};
pub use prompt::PromptForm;
pub use stats::{CategoryCount, LengthCheck, LetterTest, QuestionStats, Stats, stats};
