//! What config.json says, checked: the dimensions of a vision-language model.
//!
//! Key names are those of HF's `Qwen3VLConfig` and `Qwen2_5_VLConfig` (transformers 4.57); the flat layout of older
//! Qwen2.5-VL files and the `rope_parameters` of transformers 5 are read too.

use crate::{Error, Result};
use processor::Family;
use serde::Deserialize;
use tensor::ops::{gelu, rotary::MropeLayout};

/// Upper bound on any single dimension; beyond it a config is taken for damaged.
const DIMENSION_MAX: usize = 1 << 24;

/// A vision-language model.
#[derive(Clone, Debug, PartialEq)]
pub struct VlmConfig {
    /// Which family.
    pub family: Family,
    /// The decoder.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Whether the head is the embedding table; `None` if the file leaves it open.
    pub tie_word_embeddings: Option<bool>,
    /// `<|image_pad|>`.
    pub image_token_id: u32,
    /// `<|video_pad|>`.
    pub video_token_id: u32,
    /// `<|vision_start|>`.
    pub vision_start_token_id: u32,
    /// `<|vision_end|>`.
    pub vision_end_token_id: u32,
    /// Deviation of random weights.
    pub initializer_range: f32,
}

/// The decoder: Qwen3 or Qwen2.5.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `C`.
    pub hidden_size: usize,
    /// `F`.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// `H`.
    pub num_attention_heads: usize,
    /// `K`.
    pub num_key_value_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Frequencies of each position axis; sums to `D/2`.
    pub mrope_section: [usize; 3],
    /// How the axes share the frequencies.
    pub mrope_layout: MropeLayout,
    /// Whether q, k and v have biases (Qwen2.5).
    pub qkv_bias: bool,
    /// Whether the output projection of attention has a bias (`attention_bias` of Qwen3).
    pub out_bias: bool,
    /// Whether queries and keys are normalised per head (Qwen3).
    pub qk_norm: bool,
    /// Longest position the model was made for.
    pub max_position_embeddings: usize,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// The vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Number of blocks.
    pub depth: usize,
    /// `C`.
    pub hidden_size: usize,
    /// `F`.
    pub intermediate_size: usize,
    /// `H`.
    pub num_heads: usize,
    /// Colour channels.
    pub in_channels: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Frames in a patch.
    pub temporal_patch_size: usize,
    /// Patches along a side of a token.
    pub spatial_merge_size: usize,
    /// Width of a visual token.
    pub out_hidden_size: usize,
    /// What only one family has.
    pub kind: VisionKind,
}

/// The differences between the two towers.
#[derive(Clone, Debug, PartialEq)]
pub enum VisionKind {
    /// LayerNorm, GELU, learned positions, DeepStack.
    Qwen3 {
        /// Side of the square table of learned positions.
        position_grid_side: usize,
        /// Blocks after which a DeepStack feature is taken.
        deepstack_visual_indexes: Vec<usize>,
        /// Activation of the MLP.
        hidden_act: gelu::Kind,
    },
    /// RMSNorm, SwiGLU, windows.
    Qwen2_5 {
        /// Pixels along a side of an attention window.
        window_size: usize,
        /// Blocks that attend to the whole frame pair.
        fullatt_block_indexes: Vec<usize>,
        /// Positions per second on the temporal axis.
        tokens_per_second: f64,
    },
}

impl VisionConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Values of a patch: channels x frames x side x side.
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches of a token.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }
}

#[derive(Deserialize)]
struct RawVlm {
    model_type: Option<String>,
    text_config: Option<serde_json::Value>,
    vision_config: Option<serde_json::Value>,
    tie_word_embeddings: Option<bool>,
    image_token_id: Option<u32>,
    video_token_id: Option<u32>,
    vision_start_token_id: Option<u32>,
    vision_end_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
}

#[derive(Deserialize)]
struct RawText {
    vocab_size: Option<usize>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: Option<String>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    attention_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<OneOrMany>,
    initializer_range: Option<f32>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    mrope_section: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct RawVision {
    depth: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_heads: usize,
    #[serde(alias = "in_chans")]
    in_channels: Option<usize>,
    patch_size: usize,
    temporal_patch_size: Option<usize>,
    spatial_merge_size: Option<usize>,
    out_hidden_size: usize,
    hidden_act: Option<String>,
    num_position_embeddings: Option<usize>,
    deepstack_visual_indexes: Option<Vec<usize>>,
    window_size: Option<usize>,
    fullatt_block_indexes: Option<Vec<usize>>,
    tokens_per_second: Option<f64>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

impl VlmConfig {
    /// Reads and checks the text of a config.json.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not an object of the right kind, [`Error::Config`] naming the first key that does not fit.
    pub fn parse(json: &str) -> Result<Self> {
        // rope_scaling of older files carries both `type` and `rope_type`, which an alias alone would refuse.
        let mut value: serde_json::Value = serde_json::from_str(json)?;
        drop_double_rope_type(&mut value);
        let raw: RawVlm = serde_json::from_value(value.clone())?;
        let family = match raw.model_type.as_deref() {
            Some("qwen3_vl") => Family::Qwen3Vl,
            Some("qwen2_5_vl") => Family::Qwen2_5Vl,
            Some(other) => {
                return Err(Error::config(
                    "model_type",
                    format!("`{other}` is not supported; qwen3_vl and qwen2_5_vl are"),
                ));
            }
            None => return Err(Error::config("model_type", "missing; qwen3_vl or qwen2_5_vl is needed")),
        };
        let raw_text: RawText = serde_json::from_value(raw.text_config.unwrap_or(value))?;
        let vision_value = raw.vision_config.ok_or_else(|| Error::config("vision_config", "missing"))?;
        let vision = vision(family, serde_json::from_value(vision_value)?)?;
        let token = |key: &str, id: Option<u32>| id.ok_or_else(|| Error::config(key, "missing"));
        let tie_word_embeddings = raw_text.tie_word_embeddings.or(raw.tie_word_embeddings);
        let initializer_range = raw_text.initializer_range.unwrap_or(0.02);
        let top_eos = raw.eos_token_id.map(OneOrMany::into_vec);
        let text = text(family, raw_text, top_eos)?;
        if let VisionKind::Qwen3 { deepstack_visual_indexes, .. } = &vision.kind
            && deepstack_visual_indexes.len() > text.num_hidden_layers
        {
            return Err(Error::config(
                "vision_config.deepstack_visual_indexes",
                "there are more features than decoder layers to take them",
            ));
        }
        if vision.out_hidden_size != text.hidden_size {
            return Err(Error::config(
                "vision_config.out_hidden_size",
                format!("{} differs from the decoder's hidden_size {}", vision.out_hidden_size, text.hidden_size),
            ));
        }
        Ok(Self {
            family,
            text,
            vision,
            tie_word_embeddings,
            image_token_id: token("image_token_id", raw.image_token_id)?,
            video_token_id: token("video_token_id", raw.video_token_id)?,
            vision_start_token_id: token("vision_start_token_id", raw.vision_start_token_id)?,
            vision_end_token_id: token("vision_end_token_id", raw.vision_end_token_id)?,
            initializer_range,
        })
    }
}

fn drop_double_rope_type(value: &mut serde_json::Value) {
    for path in ["/rope_scaling", "/text_config/rope_scaling", "/rope_parameters", "/text_config/rope_parameters"] {
        if let Some(rope) = value.pointer_mut(path).and_then(serde_json::Value::as_object_mut)
            && rope.contains_key("rope_type")
        {
            rope.remove("type");
        }
    }
}

/// `true` if all named dimensions lie in 1..=DIMENSION_MAX, else the error for the first that does not.
fn check_dimensions(section: &str, dimensions: &[(&str, usize)]) -> Result<()> {
    match dimensions.iter().find(|(_, v)| *v == 0 || *v > DIMENSION_MAX) {
        None => Ok(()),
        Some((key, v)) => Err(Error::config(format!("{section}.{key}"), format!("{v} is outside 1..={DIMENSION_MAX}"))),
    }
}

fn text(family: Family, raw: RawText, top_eos: Option<Vec<u32>>) -> Result<TextConfig> {
    let rope = raw.rope_scaling.as_ref().or(raw.rope_parameters.as_ref());
    let theta =
        raw.rope_theta.or(raw.rope_parameters.as_ref().and_then(|r| r.rope_theta)).or(rope.and_then(|r| r.rope_theta));
    let heads = raw.num_attention_heads;
    let kv_heads = raw.num_key_value_heads.unwrap_or(heads);
    let vocab_size = raw.vocab_size.ok_or_else(|| Error::config("text_config.vocab_size", "missing"))?;
    check_dimensions(
        "text_config",
        &[
            ("vocab_size", vocab_size),
            ("hidden_size", raw.hidden_size),
            ("intermediate_size", raw.intermediate_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", heads),
            ("num_key_value_heads", kv_heads),
        ],
    )?;
    let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / heads);
    check_dimensions("text_config", &[("head_dim", head_dim)])?;
    if !heads.is_multiple_of(kv_heads) {
        return Err(Error::config(
            "text_config.num_key_value_heads",
            format!("{kv_heads} does not divide num_attention_heads {heads}"),
        ));
    }
    if let Some(act) = raw.hidden_act.as_deref().filter(|act| *act != "silu") {
        return Err(Error::config("text_config.hidden_act", format!("`{act}` is not supported; silu is")));
    }
    if let Some(kind) = rope.and_then(|r| r.rope_type.as_deref()).filter(|kind| !["default", "mrope"].contains(kind)) {
        return Err(Error::config(
            "text_config.rope_scaling.rope_type",
            format!("`{kind}` is not supported; default and mrope are"),
        ));
    }
    let (layout, default_section, default_theta) = match family {
        Family::Qwen3Vl => (MropeLayout::Interleaved, vec![24, 20, 20], 5_000_000.0),
        Family::Qwen2_5Vl => (MropeLayout::Chunked, vec![16, 24, 24], 1_000_000.0),
    };
    let section = rope.and_then(|r| r.mrope_section.clone()).unwrap_or(default_section);
    let mrope_section = <[usize; 3]>::try_from(section)
        .ok()
        .filter(|s| {
            head_dim.is_multiple_of(2) && s.iter().try_fold(0usize, |sum, v| sum.checked_add(*v)) == Some(head_dim / 2)
        })
        .ok_or_else(|| {
            Error::config(
                "text_config.rope_scaling.mrope_section",
                format!("three numbers that add up to head_dim/2 = {}/2 are needed", head_dim),
            )
        })?;
    Ok(TextConfig {
        vocab_size,
        hidden_size: raw.hidden_size,
        intermediate_size: raw.intermediate_size,
        num_hidden_layers: raw.num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        rope_theta: theta.filter(|t| t.is_finite() && *t > 0.0).unwrap_or(default_theta),
        mrope_section,
        mrope_layout: layout,
        qkv_bias: family == Family::Qwen2_5Vl || raw.attention_bias.unwrap_or(false),
        out_bias: family == Family::Qwen3Vl && raw.attention_bias.unwrap_or(false),
        qk_norm: family == Family::Qwen3Vl,
        max_position_embeddings: raw.max_position_embeddings.unwrap_or(128_000),
        eos_token_ids: raw.eos_token_id.map(OneOrMany::into_vec).or(top_eos).unwrap_or_default(),
    })
}

fn vision(family: Family, raw: RawVision) -> Result<VisionConfig> {
    let config = VisionConfig {
        depth: raw.depth,
        hidden_size: raw.hidden_size,
        intermediate_size: raw.intermediate_size,
        num_heads: raw.num_heads,
        in_channels: raw.in_channels.unwrap_or(3),
        patch_size: raw.patch_size,
        temporal_patch_size: raw.temporal_patch_size.unwrap_or(2),
        spatial_merge_size: raw.spatial_merge_size.unwrap_or(2),
        out_hidden_size: raw.out_hidden_size,
        kind: match family {
            Family::Qwen3Vl => VisionKind::Qwen3 {
                position_grid_side: raw.num_position_embeddings.unwrap_or(2304).isqrt(),
                deepstack_visual_indexes: raw.deepstack_visual_indexes.unwrap_or_else(|| vec![8, 16, 24]),
                hidden_act: match raw.hidden_act.as_deref() {
                    None | Some("gelu_pytorch_tanh") => gelu::Kind::Tanh,
                    Some("gelu") => gelu::Kind::Erf,
                    Some(act) => {
                        return Err(Error::config(
                            "vision_config.hidden_act",
                            format!("`{act}` is not supported; gelu_pytorch_tanh and gelu are"),
                        ));
                    }
                },
            },
            Family::Qwen2_5Vl => VisionKind::Qwen2_5 {
                window_size: raw.window_size.unwrap_or(112),
                fullatt_block_indexes: raw.fullatt_block_indexes.unwrap_or_else(|| vec![7, 15, 23, 31]),
                tokens_per_second: raw.tokens_per_second.unwrap_or(4.0),
            },
        },
    };
    check_vision(&config, raw.num_position_embeddings)?;
    Ok(config)
}

fn check_vision(config: &VisionConfig, num_position_embeddings: Option<usize>) -> Result<()> {
    check_dimensions(
        "vision_config",
        &[
            ("depth", config.depth),
            ("hidden_size", config.hidden_size),
            ("intermediate_size", config.intermediate_size),
            ("num_heads", config.num_heads),
            ("in_channels", config.in_channels),
            ("patch_size", config.patch_size),
            ("temporal_patch_size", config.temporal_patch_size),
            ("spatial_merge_size", config.spatial_merge_size),
            ("out_hidden_size", config.out_hidden_size),
        ],
    )?;
    if config.in_channels > 16
        || config.patch_size > 1024
        || config.temporal_patch_size > 64
        || config.spatial_merge_size > 64
    {
        return Err(Error::config(
            "vision_config",
            "in_channels, patch_size, temporal_patch_size or spatial_merge_size is implausibly large",
        ));
    }
    // Four angles per head: half of the pairs take the row, half the column.
    if !config.hidden_size.is_multiple_of(config.num_heads) || !config.head_dim().is_multiple_of(4) {
        return Err(Error::config(
            "vision_config.num_heads",
            format!("hidden_size {} / num_heads {} must be a multiple of 4", config.hidden_size, config.num_heads),
        ));
    }
    check_vision_kind(config, num_position_embeddings)
}

/// What only one family has.
fn check_vision_kind(config: &VisionConfig, num_position_embeddings: Option<usize>) -> Result<()> {
    match &config.kind {
        VisionKind::Qwen3 { position_grid_side, deepstack_visual_indexes, .. } => {
            if num_position_embeddings
                .is_some_and(|n| n != position_grid_side * position_grid_side || n == 0 || n > DIMENSION_MAX)
            {
                return Err(Error::config("vision_config.num_position_embeddings", "must be a positive square number"));
            }
            if (1..deepstack_visual_indexes.len())
                .any(|i| deepstack_visual_indexes[..i].contains(&deepstack_visual_indexes[i]))
            {
                return Err(Error::config(
                    "vision_config.deepstack_visual_indexes",
                    format!("{deepstack_visual_indexes:?} names a block twice"),
                ));
            }
            if deepstack_visual_indexes.iter().any(|i| *i >= config.depth) {
                return Err(Error::config(
                    "vision_config.deepstack_visual_indexes",
                    format!("{deepstack_visual_indexes:?} names a block beyond depth {}", config.depth),
                ));
            }
        }
        VisionKind::Qwen2_5 { window_size, fullatt_block_indexes, tokens_per_second } => {
            if window_size / config.spatial_merge_size / config.patch_size == 0 {
                return Err(Error::config(
                    "vision_config.window_size",
                    format!("{window_size} is smaller than one merged patch"),
                ));
            }
            if fullatt_block_indexes.iter().any(|i| *i >= config.depth) {
                return Err(Error::config(
                    "vision_config.fullatt_block_indexes",
                    format!("{fullatt_block_indexes:?} names a block beyond depth {}", config.depth),
                ));
            }
            if !tokens_per_second.is_finite() || *tokens_per_second <= 0.0 {
                return Err(Error::config("vision_config.tokens_per_second", "must be a positive number"));
            }
        }
    }
    Ok(())
}
