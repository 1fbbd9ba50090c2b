//! From text and frames to what a model eats, and back to text. No tensor type appears here.
//!
//! The way of a sample: [`Processor::video`] resizes a decoded clip by a [`PixelBudget`] and cuts it into patches;
//! [`Processor::sample`] renders [`Turn`]s with the family's chat layout, tokenizes, labels and positions them; [`pack`]
//! lays samples end to end. Special tokens are placed by this code, never found by searching user text.

mod builtin;
mod chat;
mod config;
mod error;
mod files;
mod input;
mod patchify;
pub mod positions;
mod processor;
mod sample;
mod smart_resize;
mod template;
mod timestamps;
mod tokenizer;

pub use builtin::{SpecialIds, builtin_tokenizer_json, byte_level_tokenizer_json};
pub use chat::{Part, Role, Turn};
pub use config::VisionConfig;
pub use error::Error;
pub use files::write_files;
pub use input::{GridThw, PackedInput, VlmInput, pack};
pub use patchify::{Normalizer, patchify};
pub use positions::{SecondsPerGrid, VisionTokenIds};
pub use processor::{Processor, VideoInput};
pub use sample::{Encoded, Overlength, Purpose};
pub use smart_resize::{FrameSize, PixelBudget, smart_resize};
pub use template::TemplateCheck;
pub use timestamps::{FPS_UNKNOWN, timestamps};
pub use tokenizer::{StreamDecoder, Tokenizer};

/// The two vision-language families and their token layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen3-VL, Cosmos-Reason2: a timestamped vision block per temporal patch.
    Qwen3Vl,
    /// Qwen2.5-VL, Cosmos-Reason1: one vision block per video.
    Qwen2_5Vl,
}

impl Family {
    /// The `model_type` of config.json.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen3Vl => "qwen3_vl",
            Self::Qwen2_5Vl => "qwen2_5_vl",
        }
    }

    /// The family of a `model_type` of config.json.
    pub fn from_model_type(model_type: &str) -> Option<Self> {
        [Self::Qwen3Vl, Self::Qwen2_5Vl].into_iter().find(|family| family.model_type() == model_type)
    }
}
