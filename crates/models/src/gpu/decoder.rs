//! The decoder on the GPU: embedding with features in their places, blocks with DeepStack, final norm, head with its loss; the way back.
//!
//! Shape legend: `T` packed tokens, `C` width, `M` visual tokens, `N` labelled rows. The residual stream passes from block to block as
//! `s2 + y`: the next norm adds the two and stores the sum. Gradients flow in one region, from that of a block's result to that of its input.

use tensor::cuda::ops::loss::{self, HeadGradients, LabelledRows, LossRoom};
use tensor::cuda::ops::rotary::{self, QkNorm, Rotation};
use tensor::cuda::ops::{activation, rows, values};
use tensor::cuda::{AttentionSaved, Region, View, ViewMut, bf16};

use super::layers::TextBlock;
use super::pass::Pass;
use super::regions::TextKept;
use super::remat::Remat;
use crate::{Error, Result};

/// Frequencies of the rotation and the axes they belong to.
#[derive(Clone, Copy)]
pub(super) struct Angles<'a> {
    /// `(D/2,)`
    pub frequencies: View<'a, f32>,
    /// `(D/2,)`
    pub axes: View<'a, i32>,
}

impl Pass<'_> {
    fn text_widths(&self) -> [usize; 3] {
        let text = &self.config.text;
        [text.num_attention_heads, text.num_key_value_heads, text.num_key_value_heads].map(|n| n * text.head_dim)
    }

    fn last_kept(&self) -> Result<TextKept> {
        self.regions.text.blocks.last().copied().ok_or_else(|| Error::internal("a decoder without blocks"))
    }

    /// Everything up to the result of the last block, as `s2 + y`.
    pub fn text_forward(&self, angles: Angles<'_>) -> Result<()> {
        let (r, c) = (&self.regions.text, self.config.text.hidden_size);
        let (positions, cos, sin) = (self.batch.positions.view(), self.put(r.cos)?, self.put(r.sin)?);
        rotary::mrope_table(self.gpu, self.stream, positions, angles.frequencies, angles.axes, cos, sin)?;
        let features = self.features();
        let embeds = features.first().map(|(feature, _)| self.get(*feature)).transpose()?;
        let first = r.blocks.first().ok_or_else(|| Error::internal("a decoder without blocks"))?;
        let (table, to) = (self.weight(self.layers.embedding)?, self.put(first.x)?);
        rows::gather(self.gpu, self.stream, table, embeds, &self.batch.embedded, to, c)?;
        for (i, (block, kept)) in self.layers.text.iter().zip(&r.blocks).enumerate() {
            match i.checked_sub(1) {
                None => self.rms(block.norm1, kept.x, None, kept.h1, kept.inv1)?,
                Some(before) => {
                    self.rms(block.norm1, r.blocks[before].s2, Some([r.y, kept.x]), kept.h1, kept.inv1)?;
                }
            }
            self.text_block_inner(*block, kept)?;
            self.linear(block.down, kept.act, r.y, None)?;
            if let (Some((feature, _)), Some(vision)) = (features.get(i + 1), &self.batch.vision) {
                rows::scatter_add(self.gpu, self.stream, self.put(r.y)?, &vision.rows, self.get(*feature)?, c)?;
            }
        }
        Ok(())
    }

    /// From the normalised input to the activations of the MLP.
    fn text_block_inner(&self, block: TextBlock, kept: &TextKept) -> Result<()> {
        let r = &self.regions.text;
        self.linear(block.qkv, kept.h1, kept.qkv, None)?;
        self.normalise_and_rotate(block, kept)?;
        let [wq, wk, _] = self.text_widths();
        let [_, _, v] = self.get(kept.qkv)?.split_columns(self.text_widths())?;
        let [q] = self.get(kept.q)?.split_columns([wq])?;
        let [k] = self.get(kept.k)?.split_columns([wk])?;
        let (out, lse, workspace) = (self.put(kept.attended)?, self.put(kept.lse)?, self.workspace()?);
        self.batch.attention.forward(self.stream, q, k, v, out, lse, workspace)?;
        self.linear(block.out, kept.attended, r.projected, None)?;
        self.rms(block.norm2, kept.x, Some([r.projected, kept.s2]), kept.h2, kept.inv2)?;
        self.linear(block.gate_up, kept.h2, kept.gate_up, None)?;
        let width = self.config.text.intermediate_size;
        Ok(activation::swiglu_forward(self.gpu, self.stream, self.get(kept.gate_up)?, self.put(kept.act)?, width)?)
    }

    fn rotation(&self) -> Result<Rotation<'_>> {
        let r = &self.regions.text;
        Ok(Rotation { head_dim: self.config.text.head_dim, cos: self.get(r.cos)?, sin: self.get(r.sin)? })
    }

    fn qk_norm(&self, block: TextBlock) -> Result<QkNorm<'_>> {
        let (q_weight, k_weight) = (self.weight(block.q_norm.weight)?, self.weight(block.k_norm.weight)?);
        Ok(QkNorm { q_weight, k_weight, eps: block.q_norm.eps })
    }

    fn normalise_and_rotate(&self, block: TextBlock, kept: &TextKept) -> Result<()> {
        let [wq, wk, _] = self.text_widths();
        let [q, k, _] = self.get(kept.qkv)?.split_columns(self.text_widths())?;
        let [q_to] = self.put(kept.q)?.split_columns_mut([wq])?;
        let [k_to] = self.put(kept.k)?.split_columns_mut([wk])?;
        let (rotation, norms) = (self.rotation()?, self.qk_norm(block)?);
        Ok(rotary::norm_forward(self.gpu, self.stream, rotation, norms, [q, k], [q_to, k_to])?)
    }

    /// Labelled rows of the result, their sum, and it normalised.
    fn pick(&self) -> Result<()> {
        let (r, c) = (&self.regions.text, self.config.text.hidden_size);
        let [stream_rows, added, sum] = r.picked;
        for (from, to) in [(self.last_kept()?.s2, stream_rows), (r.y, added)] {
            let (from, to) = (self.get(from)?, self.put(to)?);
            rows::gather(self.gpu, self.stream, from, None, &self.batch.labelled, to, c)?;
        }
        self.rms(self.layers.norm, stream_rows, Some([added, sum]), r.normed, r.inv)
    }

    /// Logits of the labelled rows; `dims` is `[N, C, V]`.
    pub fn logits(&self, dims: [usize; 3], to: ViewMut<'_, f32>) -> Result<()> {
        self.pick()?;
        let (x, head) = (self.get(self.regions.text.normed)?, self.weight(self.layers.head)?);
        Ok(self.gemm.forward_wide(self.stream, dims, x, head, to)?)
    }

    /// Losses of the labelled rows, summed onto `total` (or into it); with `gradients`, also those of head and normalised rows.
    pub fn head(&self, total: ViewMut<'_, f64>, add: bool, gradients: bool) -> Result<()> {
        let r = &self.regions.text;
        self.pick()?;
        let (x, targets) = (self.get(r.normed)?, self.batch.targets.view());
        let head = self.weight(self.layers.head)?;
        let labelled = LabelledRows { x, head, targets, vocabulary: self.config.text.vocab_size };
        let room = LossRoom { logits: self.put(r.logits)?, d_logits: self.put(r.d_logits)? };
        let gradients = match gradients {
            false => None,
            true => Some(HeadGradients {
                dx: self.put(r.d_normed)?,
                d_head: self.grad(self.layers.head)?,
                accumulate: self.accumulate,
            }),
        };
        let losses = self.put(r.losses)?;
        loss::linear_cross_entropy(self.gpu, self.stream, self.gemm, labelled, 1.0, losses, gradients, room)?;
        Ok(values::add_sum(self.gpu, self.stream, self.get(r.losses)?, total, add)?)
    }

    /// From the gradient of the normalised labelled rows to those of embedding and features.
    pub fn text_backward(&self) -> Result<()> {
        let (r, c) = (&self.regions.text, self.config.text.hidden_size);
        self.rms_back(self.layers.norm, r.d_normed, r.picked[2], r.inv, r.d_picked, false)?;
        self.stream.clear(self.put(r.d)?)?;
        rows::scatter(self.gpu, self.stream, self.put(r.d)?, &self.batch.labelled, self.get(r.d_picked)?, c)?;
        let features = self.features();
        for (i, (block, kept)) in self.layers.text.iter().zip(&r.blocks).enumerate().rev() {
            if let Some((_, d_feature)) = features.get(i + 1) {
                self.take_feature_gradient(*d_feature)?;
            }
            self.run_again(*block, kept)?;
            self.mlp_back(*block, kept)?;
            self.attention_back(*block, kept)?;
        }
        if let Some((_, d_embeds)) = features.first() {
            self.take_feature_gradient(*d_embeds)?;
        }
        let (table, d) = (self.grad(self.layers.embedding)?, self.get(r.d)?);
        Ok(rows::accumulate(self.gpu, self.stream, table, d, &self.batch.embedding_rows, c)?)
    }

    /// Feature and its gradient of every merger, the main one first; none without vision.
    fn features(&self) -> Vec<(Region<bf16>, Region<bf16>)> {
        let mergers = self.regions.vision.iter().flat_map(|vision| &vision.mergers);
        mergers.map(|merger| (merger.feature, merger.d_feature)).collect()
    }

    fn take_feature_gradient(&self, d_feature: Region<bf16>) -> Result<()> {
        let Some(vision) = &self.batch.vision else { return Ok(()) };
        let (d, to) = (self.get(self.regions.text.d)?, self.put(d_feature)?);
        Ok(rows::gather(self.gpu, self.stream, d, None, &vision.rows, to, self.config.text.hidden_size)?)
    }

    /// What the block did not keep.
    fn run_again(&self, block: TextBlock, kept: &TextKept) -> Result<()> {
        match kept.remat {
            Remat::None => Ok(()),
            Remat::Selective => {
                self.rms(block.norm1, kept.x, None, kept.h1, kept.inv1)?;
                self.normalise_and_rotate(block, kept)?;
                self.rms(block.norm2, kept.s2, None, kept.h2, kept.inv2)
            }
            Remat::Full => {
                self.rms(block.norm1, kept.x, None, kept.h1, kept.inv1)?;
                self.text_block_inner(block, kept)
            }
        }
    }

    /// Through the MLP and the norm before it; `gate_up` becomes its own gradient.
    fn mlp_back(&self, block: TextBlock, kept: &TextKept) -> Result<()> {
        let (r, f) = (&self.regions.text, self.config.text.intermediate_size);
        let d_act = || -> Result<ViewMut<'_, bf16>> { Ok(self.put(r.d_wide)?.part(0, self.batch.tokens * f)?) };
        self.linear_input_back(block.down, r.d, d_act()?, None)?;
        // Selective remat: the activations come back in the same pass.
        let again = if kept.remat == Remat::Selective { Some(self.put(kept.act)?) } else { None };
        activation::swiglu_backward(self.gpu, self.stream, d_act()?.as_view(), self.put(kept.gate_up)?, again, f)?;
        self.linear_weight_back(block.down, r.d, kept.act)?;
        self.linear_weight_back(block.gate_up, kept.gate_up, kept.h2)?;
        self.linear_input_back(block.gate_up, kept.gate_up, self.put(r.d_h)?, None)?;
        self.rms_back(block.norm2, r.d_h, kept.s2, kept.inv2, r.d, true)
    }

    /// Through attention and the norm before it.
    fn attention_back(&self, block: TextBlock, kept: &TextKept) -> Result<()> {
        let (r, widths) = (&self.regions.text, self.text_widths());
        let [wq, wk, _] = widths;
        self.linear_weight_back(block.out, r.d, kept.attended)?;
        self.linear_input_back(block.out, r.d, self.put(r.d_attended)?, None)?;
        let [_, _, v] = self.get(kept.qkv)?.split_columns(widths)?;
        let [q] = self.get(kept.q)?.split_columns([wq])?;
        let [k] = self.get(kept.k)?.split_columns([wk])?;
        let saved = AttentionSaved { q, k, v, out: self.get(kept.attended)?, lse: self.get(kept.lse)? };
        let [dq_to, dk_to, dv] = self.put(r.d_qkv)?.split_columns_mut(widths)?;
        let rotated = || -> Result<(ViewMut<'_, bf16>, ViewMut<'_, bf16>)> {
            Ok((self.put(r.d_wide)?.part(0, self.batch.tokens * wq)?, self.put(r.d_k)?))
        };
        let (dq, dk) = rotated()?;
        let ([dq], [dk]) = (dq.split_columns_mut([wq])?, dk.split_columns_mut([wk])?);
        let d_out = self.get(r.d_attended)?;
        self.batch.attention.backward(self.stream, d_out, saved, dq, dk, dv, self.workspace()?)?;
        let (dq, dk) = rotated()?;
        let ([dq], [dk]) = (dq.as_view().split_columns([wq])?, dk.as_view().split_columns([wk])?);
        let [q, k, _] = self.get(kept.qkv)?.split_columns(widths)?;
        let d_weights = [self.grad(block.q_norm.weight)?, self.grad(block.k_norm.weight)?];
        let (rotation, norms, scratch) = (self.rotation()?, self.qk_norm(block)?, self.scratch()?);
        let (gradient, input, output) = ([dq, dk], [q, k], [dq_to, dk_to]);
        rotary::norm_backward(self.gpu, self.stream, rotation, norms, gradient, input, output, d_weights, scratch)?;
        self.linear_weight_back(block.qkv, r.d_qkv, kept.h1)?;
        self.linear_input_back(block.qkv, r.d_qkv, self.put(r.d_h)?, None)?;
        self.rms_back(block.norm1, r.d_h, kept.x, kept.inv1, r.d, true)
    }
}
