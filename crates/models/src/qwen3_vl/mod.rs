//! Qwen3-VL and Cosmos-Reason2: the tensor names and the layers they belong to.

mod names;

pub(crate) use names::{build_decoder, build_vision, linear, patch_embed, rms_norm, vision_attention};
