//! LingoQA: the published layouts, the formula of its benchmark, and the judge behind a trait.
//!
//! Source: the published scorer: a question is right if the largest logit over its references is above 0; the score
//! is the share of right ones. Unlike there, questions without a prediction do not leave the denominator in silence.

mod predictions;
mod question_type;
mod references;
mod score;
mod stand_in;

pub use predictions::{read_predictions, write_predictions_csv};
pub use question_type::{QUESTION_TYPES_VERSION, question_type};
pub use references::{Question, References, write_references};
pub use score::{LingoInput, score};
pub use stand_in::{OfflineStandIn, STAND_IN};

use crate::Result;

/// Questions of the published validation set.
pub const PUBLISHED_QUESTIONS: usize = 500;

/// What has to be said wherever the data or the judge is used.
pub const LICENCE_NOTICE: &str = "LingoQA's data and Lingo-Judge are Wayve's, under the Wayve Dataset Licence Agreement \
    for Non-Commercial Use (February 2024). Neither is part of Roadscribe: the user brings both and keeps to their terms.";

/// One pair for the judge: texts as they are; how they are prepared is the judge's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeInput<'a> {
    /// The question.
    pub question: &'a str,
    /// One reference answer.
    pub reference: &'a str,
    /// The model's answer.
    pub prediction: &'a str,
}

/// What the judge says of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judged {
    /// Above 0 the prediction is right.
    pub logit: f64,
    /// Tokens that the judge read; 0 if it reads words.
    pub tokens: usize,
    /// Whether the end of the prediction was cut off.
    pub truncated: bool,
    /// Tokens cut off.
    pub dropped_tokens: usize,
    /// Special tokens (`[SEP]`, ...) that the texts themselves contain.
    pub special_tokens: usize,
}

/// Who decides whether an answer says the same as a reference.
pub trait Judge {
    /// Exact definition: model, hash of its weights, preparation of the text, lengths.
    fn signature(&self) -> String;

    /// Judges pairs, in order.
    ///
    /// # Errors
    /// [`crate::Error::Judge`].
    fn logits(&mut self, pairs: &[JudgeInput<'_>]) -> Result<Vec<Judged>>;

    /// What must be said wherever a score of this judge is shown.
    fn caveats(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
