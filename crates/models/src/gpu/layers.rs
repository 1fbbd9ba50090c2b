//! The layers with the places of their parameters: what the passes read instead of parameter ids.

use tensor::cuda::ops::rotary;
use tensor::ops::gelu;

use super::layout::{FlatLayout, Span};
use crate::config::{VisionKind, VlmConfig};
use crate::decoder::Decoder;
use crate::layers::{self, Block};
use crate::tower::{self, NormPlace, Tower};
use crate::{Error, ParamId, Result};

/// `y = x W^T + b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    pub weight: Span,
    pub bias: Option<Span>,
    pub input: usize,
    pub output: usize,
}

/// RMSNorm, or with a bias LayerNorm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    pub weight: Span,
    pub bias: Option<Span>,
    pub eps: f32,
}

/// A decoder block.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextBlock {
    pub norm1: Norm,
    pub qkv: Linear,
    pub q_norm: Norm,
    pub k_norm: Norm,
    pub out: Linear,
    pub norm2: Norm,
    pub gate_up: Linear,
    pub down: Linear,
}

/// A vision block.
#[derive(Clone, Copy, Debug)]
pub(super) struct VisionBlock {
    pub norm1: Norm,
    pub qkv: Linear,
    pub out: Linear,
    pub norm2: Norm,
    pub fc1: Linear,
    pub fc2: Linear,
    pub kind: gelu::Kind,
}

/// A merger: the main one normalises patches, those of DeepStack joined rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merger {
    pub norm: Norm,
    pub fc1: Linear,
    pub fc2: Linear,
    pub kind: gelu::Kind,
}

/// All layers of a model.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub patch_embed: Linear,
    /// The position table, and its number of rows.
    pub positions: Span,
    pub position_rows: usize,
    pub vision: Vec<VisionBlock>,
    pub merger: Merger,
    /// Block after which a DeepStack merger runs, in the order of blocks.
    pub deepstack: Vec<(usize, Merger)>,
    pub embedding: Span,
    /// The embedding itself if tied.
    pub head: Span,
    pub text: Vec<TextBlock>,
    pub norm: Norm,
}

/// Refuses what no kernel serves.
///
/// # Errors
/// [`Error::Config`] with the key and what would be served.
pub(super) fn check_served(config: &VlmConfig) -> Result<()> {
    let (text, vision) = (&config.text, &config.vision);
    let refuse = |key: &str, message: String| Err(Error::config(key, format!("{message} (on the GPU)")));
    if !matches!(vision.kind, VisionKind::Qwen3 { .. }) {
        return refuse("model_type", "only qwen3_vl is served".into());
    }
    if !rotary::serves_norm(text.head_dim) {
        return refuse("text_config.head_dim", format!("{} has no kernel; 32, 64 and 128 have", text.head_dim));
    }
    if text.qkv_bias || text.out_bias || !text.qk_norm {
        return refuse("text_config.attention_bias", "projections with biases are not served".into());
    }
    let (heads, wide) = (vision.head_dim(), vision.hidden_size * vision.merge_unit());
    if !heads.is_multiple_of(8) || heads > 128 {
        return refuse("vision_config.num_heads", format!("heads of {heads}; multiples of 8 up to 128 are served"));
    }
    let widths = [
        ("text_config.hidden_size", text.hidden_size, 8192),
        ("text_config.intermediate_size", text.intermediate_size, 1 << 20),
        ("vision_config.hidden_size", vision.hidden_size, 2048),
        ("vision_config.hidden_size times spatial_merge_size^2", wide, 8192),
        ("vision_config.intermediate_size", vision.intermediate_size, 1 << 20),
        ("vision_config.patch_size", vision.patch_values(), 1 << 20),
    ];
    match widths.into_iter().find(|(_, width, most)| !width.is_multiple_of(8) || width > most) {
        None => Ok(()),
        Some((key, width, most)) => refuse(key, format!("a width of {width}; multiples of 8 up to {most} are served")),
    }
}

/// Parameters that must touch the one before them.
pub(super) fn joined(decoder: &Decoder) -> Vec<ParamId> {
    let mut all = Vec::new();
    for block in &decoder.blocks {
        if let layers::Projection::Separate { k, v, .. } = &block.attention.projection {
            all.extend([k.weight, v.weight]);
        }
        if let layers::Mlp::SwiGlu { up, .. } = &block.mlp {
            all.push(up.weight);
        }
    }
    all
}

/// Weights whose gradient is one product, which a step's first micro-batch overwrites; the head is one, tied or not.
pub(super) fn overwritten(tower: &Tower, decoder: &Decoder) -> Vec<ParamId> {
    let blocks = decoder.blocks.iter().chain(&tower.blocks);
    let mlps = blocks.clone().map(|block| &block.mlp).chain(tower.deepstack.iter().map(|(_, merger)| &merger.mlp));
    let mut all = vec![decoder.head, tower.patch_embed.weight];
    for block in blocks {
        all.push(block.attention.out.weight);
        match &block.attention.projection {
            layers::Projection::Fused(qkv) => all.push(qkv.weight),
            layers::Projection::Separate { q, k, v } => all.extend([q.weight, k.weight, v.weight]),
        }
    }
    for mlp in mlps.chain([&tower.merger.mlp]) {
        match mlp {
            layers::Mlp::Gelu { fc1, fc2, .. } => all.extend([fc1.weight, fc2.weight]),
            layers::Mlp::SwiGlu { gate, up, down } => all.extend([gate.weight, up.weight, down.weight]),
        }
    }
    all
}

impl Layers {
    /// Finds every layer's parameters.
    ///
    /// # Errors
    /// [`Error::Internal`] if the description is not that of Qwen3-VL.
    pub fn new(config: &VlmConfig, layout: &FlatLayout, tower: &Tower, decoder: &Decoder) -> Result<Self> {
        let resolve = Resolve { config, layout };
        let vision = &config.vision;
        let (positions, side) = tower.positions.ok_or_else(|| Error::internal("no position table"))?;
        let place = NormPlace::AfterShuffle;
        let deepstack = tower.deepstack.iter().map(|(after, merger)| Ok((*after, resolve.merger(merger, place)?)));
        let deepstack = deepstack.collect::<Result<_>>()?;
        Ok(Self {
            patch_embed: resolve.linear(&tower.patch_embed, vision.patch_values(), vision.hidden_size),
            positions: resolve.span(positions),
            position_rows: side * side,
            vision: tower.blocks.iter().map(|block| resolve.vision_block(block)).collect::<Result<_>>()?,
            merger: resolve.merger(&tower.merger, NormPlace::BeforeShuffle)?,
            deepstack,
            embedding: resolve.span(decoder.embedding),
            head: resolve.span(decoder.head),
            text: decoder.blocks.iter().map(|block| resolve.text_block(block)).collect::<Result<_>>()?,
            norm: resolve.norm(&decoder.norm),
        })
    }
}

struct Resolve<'a> {
    config: &'a VlmConfig,
    layout: &'a FlatLayout,
}

impl Resolve<'_> {
    fn span(&self, id: ParamId) -> Span {
        self.layout.place(id).span
    }

    fn linear(&self, linear: &layers::Linear, input: usize, output: usize) -> Linear {
        let bias = linear.bias.map(|id| self.span(id));
        Linear { weight: self.span(linear.weight), bias, input, output }
    }

    fn norm(&self, norm: &layers::Norm) -> Norm {
        match *norm {
            layers::Norm::Rms { weight, eps } => Norm { weight: self.span(weight), bias: None, eps },
            layers::Norm::Layer { weight, bias, eps } => {
                Norm { weight: self.span(weight), bias: Some(self.span(bias)), eps }
            }
        }
    }

    fn text_block(&self, block: &Block) -> Result<TextBlock> {
        let text = &self.config.text;
        let (c, f) = (text.hidden_size, text.intermediate_size);
        let (wq, wk) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
        let (layers::Projection::Separate { q, v, .. }, Some(norms), layers::Mlp::SwiGlu { gate, up, down }) =
            (&block.attention.projection, &block.attention.qk_norm, &block.mlp)
        else {
            return Err(Error::internal("a decoder block is not that of Qwen3"));
        };
        let joined = |first: &layers::Linear, last: &layers::Linear, output| -> Result<Linear> {
            let weight = self.layout.joined(first.weight, last.weight)?;
            Ok(Linear { weight, bias: None, input: c, output })
        };
        Ok(TextBlock {
            norm1: self.norm(&block.norm1),
            qkv: joined(q, v, wq + 2 * wk)?,
            q_norm: self.norm(&norms.q),
            k_norm: self.norm(&norms.k),
            out: self.linear(&block.attention.out, wq, c),
            norm2: self.norm(&block.norm2),
            gate_up: joined(gate, up, 2 * f)?,
            down: self.linear(down, f, c),
        })
    }

    fn vision_block(&self, block: &Block) -> Result<VisionBlock> {
        let (c, f) = (self.config.vision.hidden_size, self.config.vision.intermediate_size);
        let (layers::Projection::Fused(qkv), layers::Mlp::Gelu { fc1, fc2, kind }) =
            (&block.attention.projection, &block.mlp)
        else {
            return Err(Error::internal("a vision block is not that of Qwen3-VL"));
        };
        Ok(VisionBlock {
            norm1: self.norm(&block.norm1),
            qkv: self.linear(qkv, c, 3 * c),
            out: self.linear(&block.attention.out, c, c),
            norm2: self.norm(&block.norm2),
            fc1: self.linear(fc1, c, f),
            fc2: self.linear(fc2, f, c),
            kind: *kind,
        })
    }

    fn merger(&self, merger: &tower::Merger, place: NormPlace) -> Result<Merger> {
        let (layers::Mlp::Gelu { fc1, fc2, kind }, true) = (&merger.mlp, merger.place == place) else {
            return Err(Error::internal("a merger is not that of Qwen3-VL"));
        };
        Ok(Merger {
            norm: self.norm(&merger.norm),
            fc1: self.linear(fc1, merger.wide, merger.wide),
            fc2: self.linear(fc2, merger.wide, self.config.vision.out_hidden_size),
            kind: *kind,
        })
    }
}

#[cfg(test)]
pub(in crate::gpu) mod tests {
    use super::*;
    use crate::{Layout, ParamTable, Preset, SpecialTokens, preset_config, vlm};

    /// A preset's config, its parameters and its layers in their places.
    pub fn described(preset: Preset, tokens: SpecialTokens) -> (VlmConfig, ParamTable, Layers) {
        let config = VlmConfig::parse(&preset_config(preset, tokens).to_string()).unwrap();
        let layout = Layout { tied: config.tie_word_embeddings == Some(true), old_names: false };
        let (table, tower, decoder) = vlm::describe(&config, layout);
        check_served(&config).unwrap();
        let flat = FlatLayout::new(table.specs(), &joined(&decoder), &[decoder.embedding, decoder.head]).unwrap();
        let layers = Layers::new(&config, &flat, &tower, &decoder).unwrap();
        (config, table, layers)
    }

    #[test]
    fn every_layer_finds_all_of_its_parameters() {
        for preset in [Preset::Demo, Preset::Debug, Preset::B2, Preset::B8] {
            let tokens = SpecialTokens { vocab_size: SpecialTokens::QWEN3.vocab_size + 3, ..SpecialTokens::QWEN3 };
            let (config, table, layers) = described(preset, tokens);
            let mut linears = vec![layers.patch_embed];
            layers.text.iter().for_each(|b| linears.extend([b.qkv, b.out, b.gate_up, b.down]));
            layers.vision.iter().for_each(|b| linears.extend([b.qkv, b.out, b.fc1, b.fc2]));
            let mergers = layers.deepstack.iter().map(|(_, merger)| merger).chain([&layers.merger]);
            mergers.for_each(|m| linears.extend([m.fc1, m.fc2]));
            assert!(linears.iter().all(|l| l.weight.len == l.input * l.output), "{preset:?}");
            assert!(linears.iter().all(|l| l.bias.is_none_or(|bias| bias.len == l.output)), "{preset:?}");
            let rows = config.text.vocab_size.next_multiple_of(8);
            assert_eq!(layers.embedding.len, rows * config.text.hidden_size);
            assert_eq!(layers.head == layers.embedding, config.tie_word_embeddings == Some(true));
            // Every matrix but embedding and position table is overwritten by one product.
            let layout = Layout { tied: config.tie_word_embeddings == Some(true), old_names: false };
            let (_, tower, decoder) = vlm::describe(&config, layout);
            let listed = overwritten(&tower, &decoder);
            let matrices = table.specs().iter().filter(|spec| spec.shape.len() == 2).count();
            let tables = if layout.tied { 1 } else { 2 };
            assert_eq!(listed.len(), matrices - tables, "{preset:?}");
        }
    }

    #[test]
    fn what_has_no_kernel_is_refused_by_key() {
        let refused = |change: &dyn Fn(&mut VlmConfig)| {
            let mut config = described(Preset::Debug, SpecialTokens::QWEN3).0;
            change(&mut config);
            check_served(&config).unwrap_err().to_string()
        };
        assert!(refused(&|c| c.text.head_dim = 12).contains("text_config.head_dim"));
        assert!(refused(&|c| c.text.qkv_bias = true).contains("attention_bias"));
        assert!(refused(&|c| c.vision.intermediate_size = 100).contains("vision_config.intermediate_size"));
        assert!(refused(&|c| c.vision.num_heads = 16).contains("num_heads"));
    }
}
