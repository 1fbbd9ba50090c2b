//! The HF tensor names of Qwen3-VL, and the layers they belong to.
//!
//! Source: transformers 4.57.6 `Qwen3VLForConditionalGeneration`.

use crate::{
    config::{TextConfig, VisionConfig},
    decoder::Decoder,
    layers::{Attention, Block, Linear, Mlp, Norm, Projection, QkNorm},
    params::{Init, ParamTable},
    tower::{Merger, NormPlace, Tower},
};
use tensor::ops::{attention, gelu};

const VISION_EPS: f32 = 1e-6;

/// A linear layer `<name>.weight (out, in)` and, if asked for, `<name>.bias (out,)`.
pub(crate) fn linear(table: &mut ParamTable, name: &str, input: usize, output: usize, bias: bool) -> Linear {
    let weight = table.add(format!("{name}.weight"), &[output, input], Init::Normal);
    let bias = bias.then(|| table.add(format!("{name}.bias"), &[output], Init::Zeros));
    Linear { weight, bias }
}

/// An RMSNorm `<name>.weight (width,)`.
pub(crate) fn rms_norm(table: &mut ParamTable, name: &str, width: usize, eps: f32) -> Norm {
    Norm::Rms { weight: table.add(format!("{name}.weight"), &[width], Init::Ones), eps }
}

fn layer_norm(table: &mut ParamTable, name: &str, width: usize) -> Norm {
    let weight = table.add(format!("{name}.weight"), &[width], Init::Ones);
    let bias = table.add(format!("{name}.bias"), &[width], Init::Zeros);
    Norm::Layer { weight, bias, eps: VISION_EPS }
}

/// The patch embedding `<name>.weight`, a Conv3d on disk `(C, channels, frames, side, side)`, a matrix `(C, E)` in memory.
pub(crate) fn patch_embed(table: &mut ParamTable, name: &str, config: &VisionConfig, bias: bool) -> Linear {
    let disk =
        [config.hidden_size, config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size];
    let weight = table.add_with_disk_shape(
        format!("{name}.weight"),
        &[config.hidden_size, config.patch_values()],
        &disk,
        Init::Normal,
    );
    let bias = bias.then(|| table.add(format!("{name}.bias"), &[config.hidden_size], Init::Zeros));
    Linear { weight, bias }
}

/// A decoder block; both families use these names.
pub(crate) fn decoder_layer(table: &mut ParamTable, name: &str, config: &TextConfig) -> Block {
    let (width, head_dim) = (config.hidden_size, config.head_dim);
    let (q_width, kv_width) = (config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim);
    let norm1 = rms_norm(table, &format!("{name}.input_layernorm"), width, config.rms_norm_eps);
    let attention = Attention {
        projection: Projection::Separate {
            q: linear(table, &format!("{name}.self_attn.q_proj"), width, q_width, config.qkv_bias),
            k: linear(table, &format!("{name}.self_attn.k_proj"), width, kv_width, config.qkv_bias),
            v: linear(table, &format!("{name}.self_attn.v_proj"), width, kv_width, config.qkv_bias),
        },
        out: linear(table, &format!("{name}.self_attn.o_proj"), q_width, width, config.out_bias),
        qk_norm: config.qk_norm.then(|| QkNorm {
            q: rms_norm(table, &format!("{name}.self_attn.q_norm"), head_dim, config.rms_norm_eps),
            k: rms_norm(table, &format!("{name}.self_attn.k_norm"), head_dim, config.rms_norm_eps),
        }),
        config: attention::Config {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim,
            causal: true,
            scale: 1.0 / (head_dim as f32).sqrt(),
        },
    };
    let norm2 = rms_norm(table, &format!("{name}.post_attention_layernorm"), width, config.rms_norm_eps);
    let mlp = Mlp::SwiGlu {
        gate: linear(table, &format!("{name}.mlp.gate_proj"), width, config.intermediate_size, false),
        up: linear(table, &format!("{name}.mlp.up_proj"), width, config.intermediate_size, false),
        down: linear(table, &format!("{name}.mlp.down_proj"), config.intermediate_size, width, false),
    };
    Block { norm1, attention, norm2, mlp }
}

/// The decoder; `prefix` is `model.language_model` (`model` in old Qwen2.5-VL files). A tied head has no parameter.
pub(crate) fn build_decoder(table: &mut ParamTable, prefix: &str, config: &TextConfig, tied: bool) -> Decoder {
    let embedding =
        table.add(format!("{prefix}.embed_tokens.weight"), &[config.vocab_size, config.hidden_size], Init::Normal);
    let blocks =
        (0..config.num_hidden_layers).map(|i| decoder_layer(table, &format!("{prefix}.layers.{i}"), config)).collect();
    let norm = rms_norm(table, &format!("{prefix}.norm"), config.hidden_size, config.rms_norm_eps);
    let head = match tied {
        true => embedding,
        false => table.add("lm_head.weight".to_owned(), &[config.vocab_size, config.hidden_size], Init::Normal),
    };
    Decoder {
        embedding,
        blocks,
        norm,
        head,
        rope_theta: config.rope_theta,
        section: config.mrope_section,
        layout: config.mrope_layout,
    }
}

/// The attention of a vision block, fused projection, biases everywhere; both families use these names.
pub(crate) fn vision_attention(table: &mut ParamTable, name: &str, config: &VisionConfig) -> Attention {
    let width = config.hidden_size;
    Attention {
        projection: Projection::Fused(linear(table, &format!("{name}.qkv"), width, 3 * width, true)),
        out: linear(table, &format!("{name}.proj"), width, width, true),
        qk_norm: None,
        config: attention::Config {
            heads: config.num_heads,
            kv_heads: config.num_heads,
            head_dim: config.head_dim(),
            causal: false,
            scale: 1.0 / (config.head_dim() as f32).sqrt(),
        },
    }
}

fn merger(table: &mut ParamTable, name: &str, config: &VisionConfig, place: NormPlace) -> Merger {
    let wide = config.hidden_size * config.merge_unit();
    let norm = layer_norm(
        table,
        &format!("{name}.norm"),
        if place == NormPlace::BeforeShuffle { config.hidden_size } else { wide },
    );
    let mlp = Mlp::Gelu {
        fc1: linear(table, &format!("{name}.linear_fc1"), wide, wide, true),
        fc2: linear(table, &format!("{name}.linear_fc2"), wide, config.out_hidden_size, true),
        kind: gelu::Kind::Erf,
    };
    Merger { norm, place, mlp, wide }
}

/// The vision tower: LayerNorm blocks, learned positions, one merger and the DeepStack mergers.
pub(crate) fn build_vision(
    table: &mut ParamTable,
    config: &VisionConfig,
    position_grid_side: usize,
    deepstack_visual_indexes: &[usize],
    hidden_act: gelu::Kind,
) -> Tower {
    const PREFIX: &str = "model.visual";
    let (width, ffn) = (config.hidden_size, config.intermediate_size);
    let patch_embed = patch_embed(table, &format!("{PREFIX}.patch_embed.proj"), config, true);
    let positions = table.add(
        format!("{PREFIX}.pos_embed.weight"),
        &[position_grid_side * position_grid_side, width],
        Init::Normal,
    );
    let blocks = (0..config.depth)
        .map(|i| {
            let name = format!("{PREFIX}.blocks.{i}");
            Block {
                norm1: layer_norm(table, &format!("{name}.norm1"), width),
                attention: vision_attention(table, &format!("{name}.attn"), config),
                norm2: layer_norm(table, &format!("{name}.norm2"), width),
                mlp: Mlp::Gelu {
                    fc1: linear(table, &format!("{name}.mlp.linear_fc1"), width, ffn, true),
                    fc2: linear(table, &format!("{name}.mlp.linear_fc2"), ffn, width, true),
                    kind: hidden_act,
                },
            }
        })
        .collect();
    let main = merger(table, &format!("{PREFIX}.merger"), config, NormPlace::BeforeShuffle);
    let mut deepstack: Vec<(usize, Merger)> = (deepstack_visual_indexes.iter().enumerate())
        .map(|(i, block)| {
            (*block, merger(table, &format!("{PREFIX}.deepstack_merger_list.{i}"), config, NormPlace::AfterShuffle))
        })
        .collect();
    // The reference hands features to the decoder in the order of blocks, whatever the order of the list.
    deepstack.sort_by_key(|(block, _)| *block);
    Tower {
        patch_embed,
        positions: Some((positions, position_grid_side)),
        blocks,
        merger: main,
        deepstack,
        windows: None,
    }
}
