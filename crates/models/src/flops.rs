//! The arithmetic of a training step, counted from the config: what rates are measured against.
//!
//! A multiply-add is two operations. The vision tower counts; recomputation, norms and activations do not. Formulas:
//! `6 N` a parameter and token for linear layers (forward, input gradient, weight gradient), `12 L^2 C` a full attention
//! layer (half of it when causal).

use crate::config::{VisionKind, VlmConfig};
use processor::GridThw;

/// A matrix product of a linear layer, `(rows, input) x (input, output)`, and how often a forward pass does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows.
    pub rows: usize,
    /// Input width.
    pub input: usize,
    /// Output width.
    pub output: usize,
    /// Number of layers with this product.
    pub count: usize,
    /// Products of a training step: 3, or 2 where the input needs no gradient.
    pub products: usize,
}

impl LinearShape {
    /// Operations of all its products in a training step.
    pub fn flop(&self) -> f64 {
        2.0 * self.rows as f64 * self.input as f64 * self.output as f64 * (self.count * self.products) as f64
    }
}

/// The work of a training step over a packed batch.
#[derive(Clone, Debug, PartialEq)]
pub struct StepWork {
    /// Every linear product.
    pub linears: Vec<LinearShape>,
    /// Operations of all attention layers, forward and backward.
    pub attention_flop: f64,
}

impl StepWork {
    /// Counts a batch: the grids of all its videos, the tokens of every sample, and the labelled tokens of all.
    pub fn new(config: &VlmConfig, grids: &[GridThw], sample_tokens: &[usize], labelled: usize) -> Self {
        let (text, vision) = (&config.text, &config.vision);
        let patches: usize = grids.iter().map(|g| g.patches()).sum();
        let tokens: usize = sample_tokens.iter().sum();
        let shape = |rows, input, output, count| LinearShape { rows, input, output, count, products: 3 };
        let (q, kv) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
        let (layers, width) = (text.num_hidden_layers, text.hidden_size);
        let (depth, c) = (vision.depth, vision.hidden_size);
        let (visual, wide) = (patches / vision.merge_unit(), c * vision.merge_unit());
        let (mlps, mergers) = match &vision.kind {
            VisionKind::Qwen3 { deepstack_visual_indexes, .. } => (1, 1 + deepstack_visual_indexes.len()),
            VisionKind::Qwen2_5 { .. } => (2, 1),
        };
        let linears = vec![
            LinearShape { products: 2, ..shape(patches, vision.patch_values(), c, 1) },
            shape(patches, c, 3 * c, depth),
            shape(patches, c, c, depth),
            shape(patches, c, vision.intermediate_size, depth * mlps),
            shape(patches, vision.intermediate_size, c, depth),
            shape(visual, wide, wide, mergers),
            shape(visual, wide, vision.out_hidden_size, mergers),
            shape(tokens, width, q, layers),
            shape(tokens, width, kv, 2 * layers),
            shape(tokens, q, width, layers),
            shape(tokens, width, text.intermediate_size, 2 * layers),
            shape(tokens, text.intermediate_size, width, layers),
            shape(labelled, width, text.vocab_size, 1),
        ];
        let square = |n: usize| (n as f64) * (n as f64);
        // Windows of Qwen2.5-VL are counted as whole frame pairs: an upper bound.
        let vision_attention: f64 = grids.iter().map(|g| f64::from(g.t) * square((g.h * g.w) as usize)).sum::<f64>()
            * 12.0
            * (c * depth) as f64;
        let text_attention: f64 = sample_tokens.iter().map(|n| square(*n)).sum::<f64>() * 6.0 * (q * layers) as f64;
        Self { linears, attention_flop: vision_attention + text_attention }
    }

    /// All operations.
    pub fn flop(&self) -> f64 {
        self.attention_flop + self.linears.iter().map(LinearShape::flop).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preset, SpecialTokens, preset_config};

    /// The seed's sample (2,925 tokens, 280 of them labelled or not, all through the head) costs 173 and 57 TFLOP.
    #[test]
    fn the_seed_sample_costs_what_the_reference_counts() {
        for (preset, expect) in [(Preset::B8, 173.0), (Preset::B2, 57.0)] {
            let config = VlmConfig::parse(&preset_config(preset, SpecialTokens::QWEN3).to_string()).unwrap();
            let work = StepWork::new(&config, &[GridThw { t: 8, h: 28, w: 46 }], &[2925], 2925);
            let tflop = work.flop() / 1e12;
            assert!((tflop - expect).abs() < 0.01 * expect, "{preset:?}: {tflop}");
        }
    }
}
