//! The config.json of models that `roadscribe init` makes by name.
//!
//! Dimensions of 2B, 4B and 8B: the published Qwen3-VL-Instruct configs (Cosmos-Reason2 has the same).

use serde_json::{Value, json};

/// A size that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// 2.7 M parameters with a vocabulary of its own: the model of `roadscribe demo`.
    Demo,
    /// A few million parameters, for tests and laptops.
    Debug,
    /// Qwen3-VL-2B, Cosmos-Reason2-2B.
    B2,
    /// Qwen3-VL-4B.
    B4,
    /// Qwen3-VL-8B, Cosmos-Reason2-8B.
    B8,
}

impl Preset {
    /// All presets with the names they go by.
    pub const ALL: [(&'static str, Preset); 5] =
        [("demo", Preset::Demo), ("debug", Preset::Debug), ("2b", Preset::B2), ("4b", Preset::B4), ("8b", Preset::B8)];

    /// Whether the vocabulary is the tokenizer's own, not the published one.
    pub fn is_small(self) -> bool {
        matches!(self, Self::Demo | Self::Debug)
    }
}

/// Numbers of the special tokens and size of the vocabulary that a config refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// `<|endoftext|>`.
    pub endoftext: u32,
    /// `<|im_end|>`.
    pub im_end: u32,
    /// `<|vision_start|>`.
    pub vision_start: u32,
    /// `<|vision_end|>`.
    pub vision_end: u32,
    /// `<|image_pad|>`.
    pub image_pad: u32,
    /// `<|video_pad|>`.
    pub video_pad: u32,
}

impl SpecialTokens {
    /// The numbers of the Qwen3-VL tokenizer.
    pub const QWEN3: SpecialTokens = SpecialTokens {
        vocab_size: 151_936,
        endoftext: 151_643,
        im_end: 151_645,
        vision_start: 151_652,
        vision_end: 151_653,
        image_pad: 151_655,
        video_pad: 151_656,
    };
}

/// The dimensions in which the presets differ.
struct Sizes {
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    ffn: usize,
    section: [usize; 3],
    tied: bool,
    vision_hidden: usize,
    vision_depth: usize,
    vision_heads: usize,
    vision_ffn: usize,
    positions: usize,
    deepstack: &'static [usize],
}

const fn sizes(preset: Preset) -> Sizes {
    let base = Sizes {
        hidden: 2048,
        layers: 28,
        heads: 16,
        kv_heads: 8,
        head_dim: 128,
        ffn: 6144,
        section: [24, 20, 20],
        tied: true,
        vision_hidden: 1024,
        vision_depth: 24,
        vision_heads: 16,
        vision_ffn: 4096,
        positions: 2304,
        deepstack: &[5, 11, 17],
    };
    match preset {
        Preset::B2 => base,
        Preset::B4 => Sizes { hidden: 2560, layers: 36, heads: 32, ffn: 9728, ..base },
        Preset::B8 => Sizes {
            hidden: 4096,
            layers: 36,
            heads: 32,
            ffn: 12_288,
            tied: false,
            vision_hidden: 1152,
            vision_depth: 27,
            vision_ffn: 4304,
            deepstack: &[8, 16, 24],
            ..base
        },
        Preset::Demo => Sizes {
            hidden: 192,
            layers: 5,
            heads: 6,
            kv_heads: 2,
            head_dim: 32,
            ffn: 384,
            section: [6, 5, 5],
            vision_hidden: 96,
            vision_depth: 3,
            vision_heads: 3,
            vision_ffn: 384,
            positions: 64,
            deepstack: &[1],
            ..base
        },
        Preset::Debug => Sizes {
            hidden: 256,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            ffn: 768,
            section: [12, 10, 10],
            vision_hidden: 192,
            vision_depth: 3,
            vision_heads: 3,
            vision_ffn: 768,
            positions: 256,
            deepstack: &[0, 1, 2],
            ..base
        },
    }
}

/// The config.json of a Qwen3-VL of a preset's size, in the layout that transformers 4.57 and later read.
pub fn preset_config(preset: Preset, tokens: SpecialTokens) -> Value {
    let s = sizes(preset);
    json!({
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "dtype": "bfloat16",
        "tie_word_embeddings": s.tied,
        "image_token_id": tokens.image_pad,
        "video_token_id": tokens.video_pad,
        "vision_start_token_id": tokens.vision_start,
        "vision_end_token_id": tokens.vision_end,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "dtype": "bfloat16",
            "vocab_size": tokens.vocab_size,
            "hidden_size": s.hidden,
            "intermediate_size": s.ffn,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "num_key_value_heads": s.kv_heads,
            "head_dim": s.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 5_000_000.0,
            "rope_scaling": {"rope_type": "default", "mrope_interleaved": true, "mrope_section": s.section},
            "attention_bias": false,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "max_position_embeddings": 262_144,
            "bos_token_id": tokens.endoftext,
            "eos_token_id": tokens.im_end,
            "tie_word_embeddings": s.tied,
            "use_cache": true
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            "depth": s.vision_depth,
            "hidden_size": s.vision_hidden,
            "intermediate_size": s.vision_ffn,
            "num_heads": s.vision_heads,
            "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": s.hidden,
            "num_position_embeddings": s.positions,
            "deepstack_visual_indexes": s.deepstack,
            "initializer_range": 0.02
        }
    })
}

/// The generation_config.json that goes with it: greedy, ending at `<|im_end|>` or `<|endoftext|>`.
pub fn preset_generation_config(tokens: SpecialTokens) -> Value {
    json!({"bos_token_id": tokens.endoftext, "pad_token_id": tokens.endoftext, "eos_token_id": [tokens.im_end, tokens.endoftext], "do_sample": false})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, VlmConfig, param_table};

    /// Parameter counts of the published checkpoints (their safetensors indices).
    #[test]
    fn presets_have_the_published_numbers_of_parameters() {
        for (preset, expect) in
            [(Preset::B2, 2_127_532_032u64), (Preset::B4, 4_437_815_808), (Preset::B8, 8_767_123_696)]
        {
            let config = VlmConfig::parse(&preset_config(preset, SpecialTokens::QWEN3).to_string()).unwrap();
            let layout = Layout { tied: config.tie_word_embeddings == Some(true), old_names: false };
            let count: u64 =
                param_table(&config, layout).specs().iter().map(|s| s.shape.iter().product::<usize>() as u64).sum();
            assert_eq!(count, expect, "{preset:?}");
        }
    }
}
