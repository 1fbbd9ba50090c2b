//! The memory of a micro-batch: every tensor of both towers by name, laid out before the first launch.
//!
//! Shape legend: `T` packed tokens, `C` decoder width, `F` MLP width, `P` patches, `W` tower width, `M` visual tokens, `N` labelled rows,
//! `V` padded vocabulary. Blocks that keep less share the regions of what they do not keep.

use tensor::cuda::ops::{norm, reduce, rotary};
use tensor::cuda::{Element, Gpu, MemoryPlan, Purpose, Region, bf16};

use super::layers::Layers;
use super::remat::{Levels, Remat};
use crate::config::VlmConfig;
use crate::{Error, Result};

/// Logits that exist at one time (f32 and their bf16 gradients, 6 bytes each).
const LOGITS: usize = 80 << 20;

/// Sizes of a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchShape {
    pub tokens: usize,
    pub labelled: usize,
    pub patches: usize,
    /// Values of the log-sum-exp of decoder and tower, bytes of attention's workspace.
    pub lse: [usize; 2],
    pub workspace: usize,
    /// f32 values of scratch: [`scratch_values`].
    pub scratch: usize,
}

/// A decoder block's activations.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextKept {
    pub remat: Remat,
    /// `(T, C)`: input, after attention.
    pub x: Region<bf16>,
    pub s2: Region<bf16>,
    /// `(T,)`: reciprocal RMS of both.
    pub inv1: Region<f32>,
    pub inv2: Region<f32>,
    /// `(T, C)`: normalised.
    pub h1: Region<bf16>,
    pub h2: Region<bf16>,
    pub qkv: Region<bf16>,
    /// Normalised and rotated.
    pub q: Region<bf16>,
    pub k: Region<bf16>,
    pub attended: Region<bf16>,
    pub lse: Region<f32>,
    /// `(T, 2F)`
    pub gate_up: Region<bf16>,
    /// `(T, F)`
    pub act: Region<bf16>,
}

/// A vision block's activations.
#[derive(Clone, Copy, Debug)]
pub(super) struct VisionKept {
    pub remat: Remat,
    /// `(P, W)`: input, after attention.
    pub x: Region<bf16>,
    pub s2: Region<bf16>,
    /// `(P,)`: mean and reciprocal deviation of both.
    pub stats1: [Region<f32>; 2],
    pub stats2: [Region<f32>; 2],
    pub h1: Region<bf16>,
    pub h2: Region<bf16>,
    /// `(P, 3W)`, queries and keys rotated.
    pub qkv: Region<bf16>,
    pub attended: Region<bf16>,
    pub lse: Region<f32>,
    /// `(P, F)`: before and after the GELU.
    pub before: Region<bf16>,
    pub act: Region<bf16>,
}

/// What a merger keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergerKept {
    /// `(M, 4W)`, before the GELU.
    pub before: Region<bf16>,
    /// Mean and reciprocal deviation of its rows.
    pub stats: [Region<f32>; 2],
    /// `(M, C)`: what it gives to the decoder, and the gradient of that.
    pub feature: Region<bf16>,
    pub d_feature: Region<bf16>,
}

/// The decoder's own regions.
pub(super) struct TextRegions {
    pub blocks: Vec<TextKept>,
    pub cos: Region<f32>,
    pub sin: Region<f32>,
    /// `(T, C)`: what the next residual sum adds; results of attention's projection.
    pub y: Region<bf16>,
    pub projected: Region<bf16>,
    /// `(T, C)`: gradient of the residual stream, and of a norm's result.
    pub d: Region<bf16>,
    pub d_h: Region<bf16>,
    /// `(T, max(F, H*D))`
    pub d_wide: Region<bf16>,
    pub d_qkv: Region<bf16>,
    pub d_attended: Region<bf16>,
    pub d_k: Region<bf16>,
    /// `(N, C)`: labelled rows of the stream and what is added to them, their sum, and it normalised; two gradients.
    pub picked: [Region<bf16>; 3],
    pub normed: Region<bf16>,
    pub inv: Region<f32>,
    pub d_normed: Region<bf16>,
    pub d_picked: Region<bf16>,
    pub losses: Region<f32>,
    pub logits: Region<f32>,
    pub d_logits: Region<bf16>,
}

/// The vision tower's own regions.
pub(super) struct VisionRegions {
    /// `(P, E)`
    pub patches: Region<bf16>,
    pub blocks: Vec<VisionKept>,
    /// `(P, W)`: result of the last block.
    pub last: Region<bf16>,
    pub cos: Region<f32>,
    pub sin: Region<f32>,
    pub y: Region<bf16>,
    pub projected: Region<bf16>,
    pub d: Region<bf16>,
    pub d_h: Region<bf16>,
    /// `(P, F)`
    pub d_wide: Region<bf16>,
    pub d_qkv: Region<bf16>,
    pub d_attended: Region<bf16>,
    /// The mergers: the main one, then those of DeepStack.
    pub mergers: Vec<MergerKept>,
    /// `(M, 4W)`: a merger's normalised rows and activations, gradients of both.
    pub normed_wide: Region<bf16>,
    pub act_wide: Region<bf16>,
    pub d_act_wide: Region<bf16>,
    pub d_normed_wide: Region<bf16>,
}

/// Everything.
pub(super) struct Regions {
    pub text: TextRegions,
    pub vision: Option<VisionRegions>,
    /// f32 scratch of norms and sums.
    pub scratch: Region<f32>,
    pub workspace: Region<u8>,
}

/// Lays regions out.
struct Layouter<'a> {
    plan: MemoryPlan,
    config: &'a VlmConfig,
    shape: BatchShape,
}

/// The plan of a micro-batch.
///
/// # Errors
/// [`Error::Gpu`] if it is beyond any memory.
pub(super) fn regions(
    config: &VlmConfig,
    layers: &Layers,
    shape: BatchShape,
    levels: &Levels,
) -> Result<(MemoryPlan, Regions)> {
    let mut l = Layouter { plan: MemoryPlan::default(), config, shape };
    let text = l.text(&levels.text)?;
    let vision = if shape.patches > 0 { Some(l.vision(&levels.vision, 1 + layers.deepstack.len())?) } else { None };
    let scratch = l.work(shape.scratch)?;
    let workspace = l.work(shape.workspace)?;
    Ok((l.plan, Regions { text, vision, scratch, workspace }))
}

/// The least remat whose plan fits in so many bytes, by halving the number of steps.
///
/// # Errors
/// [`Error::Gpu`] if not even full recomputation fits.
pub(super) fn fit(config: &VlmConfig, layers: &Layers, shape: BatchShape, bytes: u64) -> Result<Levels> {
    let (text, vision) = (layers.text.len(), layers.vision.len());
    let needs = |steps: usize| -> Result<u64> {
        Ok(regions(config, layers, shape, &Levels::step(steps, text, vision))?.0.bytes() as u64)
    };
    let least = needs(0)?;
    if least > bytes {
        let advice = "lower the micro-batch: every block is recomputed already".to_owned();
        let what = "activations and workspace".to_owned();
        return Err(Error::Gpu(tensor::cuda::Error::OutOfMemory {
            what,
            asked: least,
            free: bytes,
            total: bytes,
            advice,
        }));
    }
    let (mut fits, mut beyond) = (0, Levels::steps(text, vision) + 1);
    while beyond - fits > 1 {
        let middle = fits.midpoint(beyond);
        if needs(middle)? <= bytes { fits = middle } else { beyond = middle }
    }
    Ok(Levels::step(fits, text, vision))
}

/// f32 values of scratch that norms and sums of a model need.
pub(super) fn scratch_values(gpu: &Gpu, config: &VlmConfig) -> usize {
    let (text, vision) = (&config.text, &config.vision);
    let wide = vision.hidden_size * vision.merge_unit();
    let norms = [text.hidden_size, vision.hidden_size, wide].map(|width| norm::backward_scratch(gpu, width));
    let biases =
        [3 * vision.hidden_size, vision.intermediate_size, wide, vision.out_hidden_size].map(reduce::bias_scratch);
    let all = norms.into_iter().chain(biases).chain([rotary::norm_backward_scratch(gpu, text.head_dim)]);
    all.max().unwrap_or(0)
}

impl Layouter<'_> {
    fn keep<T: Element>(&mut self, len: usize) -> Result<Region<T>> {
        Ok(self.plan.region(Purpose::Activations, len)?)
    }

    fn work<T: Element>(&mut self, len: usize) -> Result<Region<T>> {
        Ok(self.plan.region(Purpose::Workspace, len)?)
    }

    /// A decoder block that keeps everything, of `purpose`.
    fn text_block(&mut self, purpose: Purpose) -> Result<TextKept> {
        let (text, t) = (&self.config.text, self.shape.tokens);
        let (c, f) = (text.hidden_size, text.intermediate_size);
        let (wq, wk) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
        let lse = self.shape.lse[0];
        let plan = &mut self.plan;
        let mut wide = |len: usize| plan.region::<bf16>(purpose, len);
        let [x, s2, h1, h2] = [wide(t * c)?, wide(t * c)?, wide(t * c)?, wide(t * c)?];
        let [qkv, q, k] = [wide(t * (wq + 2 * wk))?, wide(t * wq)?, wide(t * wk)?];
        let [attended, gate_up, act] = [wide(t * wq)?, wide(2 * t * f)?, wide(t * f)?];
        let [inv1, inv2, lse] = [plan.region(purpose, t)?, plan.region(purpose, t)?, plan.region(purpose, lse)?];
        Ok(TextKept { remat: Remat::None, x, s2, inv1, inv2, h1, h2, qkv, q, k, attended, lse, gate_up, act })
    }

    /// A decoder block that keeps what `remat` says and borrows the rest.
    fn text_kept(&mut self, remat: Remat, shared: Option<TextKept>) -> Result<TextKept> {
        let (text, t) = (&self.config.text, self.shape.tokens);
        let (c, f) = (text.hidden_size, text.intermediate_size);
        let (wq, wk) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
        match (remat, shared) {
            (Remat::None, _) | (_, None) => self.text_block(Purpose::Activations),
            (Remat::Full, Some(shared)) => Ok(TextKept { remat, x: self.keep(t * c)?, ..shared }),
            (Remat::Selective, Some(shared)) => Ok(TextKept {
                remat,
                x: self.keep(t * c)?,
                s2: self.keep(t * c)?,
                inv1: self.keep(t)?,
                inv2: self.keep(t)?,
                qkv: self.keep(t * (wq + 2 * wk))?,
                attended: self.keep(t * wq)?,
                lse: self.keep(self.shape.lse[0])?,
                gate_up: self.keep(2 * t * f)?,
                ..shared
            }),
        }
    }

    fn text(&mut self, levels: &[Remat]) -> Result<TextRegions> {
        let (text, t, n) = (&self.config.text, self.shape.tokens, self.shape.labelled);
        let (c, f, d) = (text.hidden_size, text.intermediate_size, text.head_dim);
        let (wq, wk) = (text.num_attention_heads * d, text.num_key_value_heads * d);
        let vocabulary = text.vocab_size.next_multiple_of(8);
        let shares = levels.iter().any(|level| *level != Remat::None);
        let shared = if shares { Some(self.text_block(Purpose::Workspace)?) } else { None };
        let blocks = levels.iter().map(|level| self.text_kept(*level, shared)).collect::<Result<_>>()?;
        // Chunks of equal size, so that their products have one shape.
        let chunks = n.div_ceil((LOGITS / vocabulary).max(1)).max(1);
        let logits = n.div_ceil(chunks).max(1) * vocabulary;
        Ok(TextRegions {
            blocks,
            cos: self.work(t * d / 2)?,
            sin: self.work(t * d / 2)?,
            y: self.work(t * c)?,
            projected: self.work(t * c)?,
            d: self.work(t * c)?,
            d_h: self.work(t * c)?,
            d_wide: self.work(t * f.max(wq))?,
            d_qkv: self.work(t * (wq + 2 * wk))?,
            d_attended: self.work(t * wq)?,
            d_k: self.work(t * wk)?,
            picked: [self.work(n * c)?, self.work(n * c)?, self.work(n * c)?],
            normed: self.work(n * c)?,
            inv: self.work(n)?,
            d_normed: self.work(n * c)?,
            d_picked: self.work(n * c)?,
            losses: self.work(n)?,
            logits: self.work(logits)?,
            d_logits: self.work(logits)?,
        })
    }

    fn vision_block(&mut self, purpose: Purpose) -> Result<VisionKept> {
        let (p, w, f) = (self.shape.patches, self.config.vision.hidden_size, self.config.vision.intermediate_size);
        let lse = self.shape.lse[1];
        let plan = &mut self.plan;
        let mut wide = |len: usize| plan.region::<bf16>(purpose, len);
        let [x, s2, h1, h2] = [wide(p * w)?, wide(p * w)?, wide(p * w)?, wide(p * w)?];
        let [qkv, attended, before, act] = [wide(3 * p * w)?, wide(p * w)?, wide(p * f)?, wide(p * f)?];
        let stats1 = [plan.region(purpose, p)?, plan.region(purpose, p)?];
        let stats2 = [plan.region(purpose, p)?, plan.region(purpose, p)?];
        let lse = plan.region(purpose, lse)?;
        Ok(VisionKept { remat: Remat::None, x, s2, stats1, stats2, h1, h2, qkv, attended, lse, before, act })
    }

    fn vision_kept(&mut self, remat: Remat, shared: Option<VisionKept>) -> Result<VisionKept> {
        let (p, w, f) = (self.shape.patches, self.config.vision.hidden_size, self.config.vision.intermediate_size);
        match (remat, shared) {
            (Remat::None, _) | (_, None) => self.vision_block(Purpose::Activations),
            (Remat::Full, Some(shared)) => Ok(VisionKept { remat, x: self.keep(p * w)?, ..shared }),
            (Remat::Selective, Some(shared)) => Ok(VisionKept {
                remat,
                x: self.keep(p * w)?,
                s2: self.keep(p * w)?,
                stats1: [self.keep(p)?, self.keep(p)?],
                stats2: [self.keep(p)?, self.keep(p)?],
                qkv: self.keep(3 * p * w)?,
                attended: self.keep(p * w)?,
                lse: self.keep(self.shape.lse[1])?,
                before: self.keep(p * f)?,
                ..shared
            }),
        }
    }

    fn vision(&mut self, levels: &[Remat], mergers: usize) -> Result<VisionRegions> {
        let (vision, p) = (&self.config.vision, self.shape.patches);
        let (w, f, half) = (vision.hidden_size, vision.intermediate_size, vision.head_dim() / 2);
        let (m, wide, c) = (p / vision.merge_unit(), w * vision.merge_unit(), vision.out_hidden_size);
        let shares = levels.iter().any(|level| *level != Remat::None);
        let shared = if shares { Some(self.vision_block(Purpose::Workspace)?) } else { None };
        let blocks = levels.iter().map(|level| self.vision_kept(*level, shared)).collect::<Result<_>>()?;
        let merger = |l: &mut Self, i: usize| -> Result<MergerKept> {
            let rows = if i == 0 { p } else { m };
            Ok(MergerKept {
                before: l.keep(m * wide)?,
                stats: [l.keep(rows)?, l.keep(rows)?],
                feature: l.keep(m * c)?,
                d_feature: l.work(m * c)?,
            })
        };
        Ok(VisionRegions {
            patches: self.keep(p * vision.patch_values())?,
            blocks,
            last: self.keep(p * w)?,
            cos: self.work(p * half)?,
            sin: self.work(p * half)?,
            y: self.work(p * w)?,
            projected: self.work(p * w)?,
            d: self.work(p * w)?,
            d_h: self.work(p * w)?,
            d_wide: self.work(p * f)?,
            d_qkv: self.work(3 * p * w)?,
            d_attended: self.work(p * w)?,
            mergers: (0..mergers).map(|i| merger(self, i)).collect::<Result<_>>()?,
            normed_wide: self.work(m * wide)?,
            act_wide: self.work(m * wide)?,
            d_act_wide: self.work(m * wide)?,
            d_normed_wide: self.work(m * wide)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layers::tests::described;
    use crate::{Preset, SpecialTokens};

    /// Samples of the recipe's shape: 10,304 patches, 3,000 tokens, 300 of them labelled.
    fn shape(samples: usize, config: &VlmConfig) -> BatchShape {
        let (tokens, patches) = (3000 * samples, 10_304 * samples);
        let lse = [tokens * config.text.num_attention_heads, patches * config.vision.num_heads];
        BatchShape { tokens, patches, labelled: 300 * samples, lse, workspace: 100 << 20, scratch: 4 << 20 }
    }

    fn gib(preset: Preset, samples: usize, remat: Remat) -> f64 {
        let (config, _, layers) = described(preset, SpecialTokens::QWEN3);
        let levels = Levels::every(remat, layers.text.len(), layers.vision.len());
        regions(&config, &layers, shape(samples, &config), &levels).unwrap().0.bytes() as f64 / f64::from(1 << 30)
    }

    #[test]
    fn plans_are_as_large_as_calculated() {
        for (preset, samples, remat, expect) in [
            (Preset::B2, 4, Remat::None, 54.0),
            (Preset::B2, 2, Remat::Selective, 19.0),
            (Preset::B2, 4, Remat::Full, 8.0),
            (Preset::B8, 1, Remat::Full, 3.6),
            (Preset::B8, 2, Remat::Selective, 33.0),
        ] {
            let got = gib(preset, samples, remat);
            assert!((got - expect).abs() < 0.15 * expect, "{preset:?} x {samples}, {remat:?}: {got:.2} GiB");
        }
    }

    #[test]
    fn as_much_is_kept_as_fits() {
        let (config, _, layers) = described(Preset::B8, SpecialTokens::QWEN3);
        let shape = shape(1, &config);
        let fit = |bytes| fit(&config, &layers, shape, bytes);
        let needs = |levels: &Levels| regions(&config, &layers, shape, levels).unwrap().0.bytes() as u64;
        let full = Levels::every(Remat::Full, layers.text.len(), layers.vision.len());
        assert!(fit(needs(&full) - 1).is_err());
        assert_eq!(fit(needs(&full)).unwrap(), full);
        assert_eq!(fit(u64::MAX).unwrap(), Levels::every(Remat::None, layers.text.len(), layers.vision.len()));
        let some = fit(7 << 30).unwrap();
        assert!(
            needs(&some) <= 7 << 30 && some.text[0] == Remat::Selective && some.vision[26] == Remat::Full,
            "{some:?}"
        );
    }
}
