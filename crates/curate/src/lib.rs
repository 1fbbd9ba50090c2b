//! Annotations of three sources into a clean, blended, documented training set.
//!
//! [`run()`] is the whole stage: read, check, filter, deduplicate, keep apart from the evaluation set, split by drive,
//! convert to conversations, write. Nothing disappears: what is not kept is a [`Reject`] with file, place and [`Reason`].

#![forbid(unsafe_code)]

mod card;
mod config;
mod convert;
mod error;
mod json;
mod label;
mod leak;
mod media;
mod near;
mod output;
mod preview;
mod prompts;
mod reason;
mod run;
mod source;
mod split;
mod text;

pub use card::{Bin, BlendCard, BlendSource, Card, Lengths, Part, SourceCard};
pub use config::{Blend, Config, EvalSet, Fault, Filters, Link, Preview, Source, Split, Task};
pub use error::{Error, Result};
pub use label::SourceKind;
pub use prompts::{AnswerForm, LabelForm, Prompts, TaskPrompt};
pub use reason::{Reason, Reject};
pub use run::{Hooks, Progress, run};
