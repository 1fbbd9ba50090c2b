//! What a model said about a clip, with everything needed to say it again.

use serde::{Deserialize, Serialize};

use crate::ContentHash;

/// One line of a predictions file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the sample.
    pub id: String,
    /// Path of the clip, as the data set gives it.
    pub media: String,
    /// Hash of everything that decides the answer: weights, clip, prompt, frames, pixels, sampling.
    pub request_hash: ContentHash,
    /// Hash of the clip's bytes; absent if it could not be read.
    pub media_hash: Option<ContentHash>,
    /// Name of the model in reports.
    pub model_name: String,
    /// Hash of all weights of the checkpoint.
    pub weight_hash: ContentHash,
    /// `caption` or `vqa`.
    pub task: String,
    /// Presentation-order indices of the frames that were shown; empty if the clip could not be read.
    pub frame_indices: Vec<u64>,
    /// Height and width, in pixels, of the frames that were shown; absent if the clip could not be read.
    pub resized_size: Option<[u32; 2]>,
    /// Bounds on the size of the frames.
    pub pixel_budget: PixelBudget,
    /// Hash of the rendered prompt, media left as placeholders.
    pub prompt_hash: ContentHash,
    /// How tokens were chosen.
    pub sampling: Sampling,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Which pixels were counted, and their bounds; absent bounds are the defaults of the counting named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "counted", rename_all = "snake_case")]
pub enum PixelBudget {
    /// Pixels of each frame, as qwen_vl_utils counts.
    PerFrame {
        /// Fewest pixels of a frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_pixels: Option<u64>,
        /// Most pixels of a frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_pixels: Option<u64>,
        /// Most pixels of all frames together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_pixels: Option<u64>,
    },
    /// Frames x height x width, as transformers' Qwen3VLVideoProcessor counts.
    PerClip {
        /// Fewest pixels of the clip.
        min_pixels: u64,
        /// Most pixels of the clip.
        max_pixels: u64,
    },
    /// Pixels of each frame with no bound on the clip, as transformers' Qwen2VLVideoProcessor counts.
    PerImage {
        /// Fewest pixels of a frame.
        min_pixels: u64,
        /// Most pixels of a frame.
        max_pixels: u64,
    },
    /// One size for all frames.
    Fixed {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
    },
}

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Smallest probability mass kept, in 0..=1; 1 keeps all.
    pub top_p: f64,
    /// Number of tokens kept; 0 keeps all.
    pub top_k: u32,
    /// Divides (or multiplies) logits of tokens seen; 1 is off.
    pub repetition_penalty: f64,
    /// Subtracted from logits of tokens generated; 0 is off.
    pub presence_penalty: f64,
    /// Most tokens to generate.
    pub max_new_tokens: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// What an answer may say.
    #[serde(default, skip_serializing_if = "Guided::is_free")]
    pub guided: Guided,
}

/// What an answer may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guided {
    /// Anything.
    #[default]
    Free,
    /// The words of one of the choices of the request, and nothing else: every token is the best of those that lead to a
    /// choice. Such an answer can always be read, and says nothing about whether the model follows a format.
    Choice,
}

impl Guided {
    /// Whether an answer may say anything.
    pub fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

/// A text, or the reason why there is none. A failure is never an empty text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered.
    Done {
        /// The generated text, special tokens removed.
        text: String,
        /// Tokens of the prompt, vision tokens included.
        prompt_tokens: u32,
        /// Tokens generated, the end token included.
        generated_tokens: u32,
        /// Why generation ended.
        finish_reason: FinishReason,
    },
    /// The clip or the request failed.
    Failed {
        /// Why, in words.
        error: String,
    },
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model produced its end token.
    Stop,
    /// `max_new_tokens` or the context length was reached.
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(outcome: Outcome) -> Prediction {
        Prediction {
            id: "a".into(),
            media: "videos/a.mp4".into(),
            media_hash: Some(ContentHash::of_text("clip")),
            model_name: "debug".into(),
            weight_hash: ContentHash::of_text("weights"),
            task: "caption".into(),
            frame_indices: vec![0, 10],
            pixel_budget: PixelBudget::PerFrame {
                min_pixels: Some(3136),
                max_pixels: Some(360_000),
                total_pixels: None,
            },
            resized_size: Some([448, 736]),
            request_hash: ContentHash::of_text("request"),
            prompt_hash: ContentHash::of_text("prompt"),
            sampling: Sampling {
                guided: Guided::Free,
                temperature: 0.0,
                top_p: 1.0,
                top_k: 0,
                repetition_penalty: 1.0,
                presence_penalty: 0.0,
                max_new_tokens: 128,
                seed: 42,
            },
            outcome,
        }
    }

    #[test]
    fn round_trip() {
        let done = Outcome::Done {
            text: "A car \"turns\".\n".into(),
            prompt_tokens: 2715,
            generated_tokens: 5,
            finish_reason: FinishReason::Stop,
        };
        for outcome in [done, Outcome::Failed { error: "no frames".into() }] {
            let row = prediction(outcome);
            let line = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<Prediction>(&line).unwrap(), row);
        }
        let line = serde_json::to_string(&prediction(Outcome::Failed { error: "no frames".into() })).unwrap();
        assert!(line.ends_with(r#""status":"failed","error":"no frames"}"#), "{line}");
    }
}
