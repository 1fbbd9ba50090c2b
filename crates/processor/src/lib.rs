//! From text and frames to what a model eats, and back to text. No tensor type appears here.

mod input;

pub use input::{GridThw, PackedInput, VlmInput, pack};

/// The two vision-language families and their token layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen3-VL, Cosmos-Reason2: a timestamped vision block per temporal patch.
    Qwen3Vl,
    /// Qwen2.5-VL, Cosmos-Reason1: one vision block per video.
    Qwen2_5Vl,
}
