//! The HF tensor names of Qwen2.5-VL's vision tower; its decoder has the names of [`crate::qwen3_vl`].
//!
//! Source: transformers 4.57.6 `Qwen2_5_VLForConditionalGeneration`. Files of the 4.5x versions call the tower `visual`
//! and the decoder `model`, newer ones `model.visual` and `model.language_model`.

use crate::{
    config::VisionConfig,
    layers::{Block, Mlp},
    params::ParamTable,
    qwen3_vl::{linear, patch_embed, rms_norm, vision_attention},
    tower::{Merger, NormPlace, Tower, Windows},
};
use tensor::ops::gelu;

const VISION_EPS: f32 = 1e-6;

/// The vision tower: RMSNorm blocks with SwiGLU, attention in windows but for `full_blocks`.
pub(crate) fn build_vision(
    table: &mut ParamTable,
    prefix: &str,
    config: &VisionConfig,
    window_size: usize,
    full_blocks: &[usize],
) -> Tower {
    let (width, ffn) = (config.hidden_size, config.intermediate_size);
    let patch_embed = patch_embed(table, &format!("{prefix}.patch_embed.proj"), config, false);
    let blocks = (0..config.depth)
        .map(|i| {
            let name = format!("{prefix}.blocks.{i}");
            Block {
                norm1: rms_norm(table, &format!("{name}.norm1"), width, VISION_EPS),
                attention: vision_attention(table, &format!("{name}.attn"), config),
                norm2: rms_norm(table, &format!("{name}.norm2"), width, VISION_EPS),
                mlp: Mlp::SwiGlu {
                    gate: linear(table, &format!("{name}.mlp.gate_proj"), width, ffn, true),
                    up: linear(table, &format!("{name}.mlp.up_proj"), width, ffn, true),
                    down: linear(table, &format!("{name}.mlp.down_proj"), ffn, width, true),
                },
            }
        })
        .collect();
    let wide = width * config.merge_unit();
    let merger = Merger {
        norm: rms_norm(table, &format!("{prefix}.merger.ln_q"), width, VISION_EPS),
        place: NormPlace::BeforeShuffle,
        mlp: Mlp::Gelu {
            fc1: linear(table, &format!("{prefix}.merger.mlp.0"), wide, wide, true),
            fc2: linear(table, &format!("{prefix}.merger.mlp.2"), wide, config.out_hidden_size, true),
            kind: gelu::Kind::Erf,
        },
        wide,
    };
    let windows = Windows {
        side_tokens: window_size / config.spatial_merge_size / config.patch_size,
        full_blocks: full_blocks.to_vec(),
    };
    Tower { patch_embed, positions: None, blocks, merger, deepstack: Vec::new(), windows: Some(windows) }
}
