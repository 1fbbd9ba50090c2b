//! The vision tower on the GPU: patch embedding as one product, position table, blocks, mergers; the way back.
//!
//! Shape legend: `P` patches, `E` values of a patch, `W` tower width, `M` visual tokens (`P / merge^2`), `C` decoder width. Joining
//! `merge^2` patches to a row is no work: they lie behind one another. The stream passes from block to block as `s2 + y`.

use tensor::cuda::ops::rotary::{self, Rotation};
use tensor::cuda::ops::vision::{self, FrameShape};
use tensor::cuda::ops::{activation, rows, values};
use tensor::cuda::{AttentionSaved, Region, View, bf16};

use super::batch::Geometry;
use super::decoder::Angles;
use super::layers::{Merger, VisionBlock};
use super::pass::{GeluAfter, Pass};
use super::regions::{MergerKept, VisionKept, VisionRegions};
use super::remat::Remat;
use crate::{Error, Result};

/// Where the patches of a micro-batch come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Normalised patches `(P, E)` in f32, on the GPU.
    Patches(View<'a, f32>),
    /// Frames `(frames, height, width, 3)` in bytes, on the GPU.
    Frames(View<'a, u8>, FrameShape),
}

/// The tower's regions and geometry of a pass over a batch with vision.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    r: &'a VisionRegions,
    g: &'a Geometry,
}

impl<'a> Pass<'a> {
    /// The regions and the geometry of the tower, if the batch has any vision.
    pub fn seen(&self) -> Option<Seen<'a>> {
        Some(Seen { r: self.regions.vision.as_ref()?, g: self.batch.vision.as_ref()? })
    }

    /// Patches to visual tokens and DeepStack features.
    pub fn vision_forward(&self, seen: Seen<'_>, source: Source<'_>, angles: Angles<'_>) -> Result<()> {
        let Seen { r, g } = seen;
        let (cos, sin) = (self.put(r.cos)?, self.put(r.sin)?);
        rotary::mrope_table(self.gpu, self.stream, g.positions.view(), angles.frequencies, angles.axes, cos, sin)?;
        self.embed(seen, source)?;
        for (i, (block, kept)) in self.layers.vision.iter().zip(&r.blocks).enumerate() {
            match i.checked_sub(1) {
                None => self.layer(block.norm1, kept.x, None, kept.h1, kept.stats1)?,
                Some(before) => {
                    self.layer(block.norm1, r.blocks[before].s2, Some([r.y, kept.x]), kept.h1, kept.stats1)?;
                    self.deepstack_forward(seen, before, kept.x)?;
                }
            }
            self.vision_block_inner(seen, *block, kept)?;
            self.linear(block.fc2, kept.act, r.y, None)?;
        }
        let last = r.blocks.last().ok_or_else(|| Error::internal("a vision tower without blocks"))?;
        let (merger, kept) = (self.layers.merger, merger_kept(r, 0)?);
        // The joined rows are the normalised patches: one region seen in two shapes.
        self.layer(merger.norm, last.s2, Some([r.y, r.last]), r.normed_wide, kept.stats)?;
        self.merge(r, merger, kept)?;
        self.deepstack_forward(seen, r.blocks.len() - 1, r.last)
    }

    /// Patches, their embedding and the position table.
    fn embed(&self, seen: Seen<'_>, source: Source<'_>) -> Result<()> {
        let Seen { r, g } = seen;
        let patches = self.put(r.patches)?;
        match source {
            Source::Patches(values_pe) => values::round_to_bf16(self.gpu, self.stream, values_pe, patches)?,
            Source::Frames(frames, shape) => vision::patchify(self.gpu, self.stream, frames, shape, patches)?,
        }
        let first = r.blocks.first().ok_or_else(|| Error::internal("a vision tower without blocks"))?;
        self.linear(self.layers.patch_embed, r.patches, first.x, None)?;
        let (x, table) = (self.put(first.x)?, self.weight(self.layers.positions)?);
        let (corners, weights) = (g.corners.view(), g.weights.view());
        let width = self.config.vision.hidden_size;
        Ok(vision::add_position_rows(self.gpu, self.stream, x, table, corners, weights, width)?)
    }

    /// From the normalised input to the activations of the MLP.
    fn vision_block_inner(&self, seen: Seen<'_>, block: VisionBlock, kept: &VisionKept) -> Result<()> {
        let (Seen { r, g }, w) = (seen, self.config.vision.hidden_size);
        self.linear(block.qkv, kept.h1, kept.qkv, None)?;
        let [q, k, _] = self.put(kept.qkv)?.split_columns_mut([w; 3])?;
        rotary::in_place(self.gpu, self.stream, self.vision_rotation(r)?, [q, k], false)?;
        let [q, k, v] = self.get(kept.qkv)?.split_columns([w; 3])?;
        let (out, lse, workspace) = (self.put(kept.attended)?, self.put(kept.lse)?, self.workspace()?);
        g.attention.forward(self.stream, q, k, v, out, lse, workspace)?;
        self.linear(block.out, kept.attended, r.projected, None)?;
        self.layer(block.norm2, kept.x, Some([r.projected, kept.s2]), kept.h2, kept.stats2)?;
        let after = GeluAfter { kind: block.kind, before: kept.before };
        self.linear(block.fc1, kept.h2, kept.act, Some(after))
    }

    fn vision_rotation(&self, r: &VisionRegions) -> Result<Rotation<'a>> {
        Ok(Rotation { head_dim: self.config.vision.head_dim(), cos: self.get(r.cos)?, sin: self.get(r.sin)? })
    }

    /// The features of the mergers that follow a block, from its result.
    fn deepstack_forward(&self, seen: Seen<'_>, after: usize, x: Region<bf16>) -> Result<()> {
        for (k, (_, merger)) in self.layers.deepstack.iter().enumerate().filter(|(_, (own, _))| *own == after) {
            let kept = merger_kept(seen.r, k + 1)?;
            self.layer(merger.norm, x, None, seen.r.normed_wide, kept.stats)?;
            self.merge(seen.r, *merger, kept)?;
        }
        Ok(())
    }

    /// Normalised joined rows to a feature.
    fn merge(&self, r: &VisionRegions, merger: Merger, kept: &MergerKept) -> Result<()> {
        self.linear(merger.fc1, r.normed_wide, kept.before, None)?;
        let (before, act) = (self.get(kept.before)?, self.put(r.act_wide)?);
        activation::gelu_forward(self.gpu, self.stream, before, act, merger.kind)?;
        self.linear(merger.fc2, r.act_wide, kept.feature, None)
    }

    /// From the gradients of visual tokens and features to those of all parameters of the tower.
    pub fn vision_backward(&self, seen: Seen<'_>) -> Result<()> {
        let Seen { r, g } = seen;
        self.merger_back(r, self.layers.merger, merger_kept(r, 0)?, r.last, false)?;
        for (i, (block, kept)) in self.layers.vision.iter().zip(&r.blocks).enumerate().rev() {
            let result = r.blocks.get(i + 1).map_or(r.last, |next| next.x);
            for (k, (_, merger)) in self.layers.deepstack.iter().enumerate().filter(|(_, (own, _))| *own == i) {
                self.merger_back(r, *merger, merger_kept(r, k + 1)?, result, true)?;
            }
            self.vision_again(seen, *block, kept)?;
            self.vision_mlp_back(r, *block, kept)?;
            self.vision_attention_back(seen, *block, kept)?;
        }
        let (table, d) = (self.grad(self.layers.positions)?, self.get(r.d)?);
        rows::accumulate(self.gpu, self.stream, table, d, &g.position_rows, self.config.vision.hidden_size)?;
        self.linear_weight_back(self.layers.patch_embed, r.d, r.patches)
    }

    /// Through a merger whose input was `x`; the gradient of that goes to `d`, on top of what is there if `onto`.
    fn merger_back(
        &self,
        r: &VisionRegions,
        merger: Merger,
        kept: &MergerKept,
        x: Region<bf16>,
        onto: bool,
    ) -> Result<()> {
        self.layer(merger.norm, x, None, r.normed_wide, kept.stats)?;
        let (before, act) = (self.get(kept.before)?, self.put(r.act_wide)?);
        activation::gelu_forward(self.gpu, self.stream, before, act, merger.kind)?;
        self.linear_weight_back(merger.fc2, kept.d_feature, r.act_wide)?;
        let after = |before| Some(GeluAfter { kind: merger.kind, before });
        self.linear_input_back(merger.fc2, kept.d_feature, self.put(r.d_act_wide)?, after(kept.before))?;
        self.linear_weight_back(merger.fc1, r.d_act_wide, r.normed_wide)?;
        self.linear_input_back(merger.fc1, r.d_act_wide, self.put(r.d_normed_wide)?, None)?;
        self.layer_back(merger.norm, r.d_normed_wide, x, kept.stats, r.d, onto)
    }

    /// What the block did not keep.
    fn vision_again(&self, seen: Seen<'_>, block: VisionBlock, kept: &VisionKept) -> Result<()> {
        match kept.remat {
            Remat::None => Ok(()),
            Remat::Selective => {
                self.layer(block.norm1, kept.x, None, kept.h1, kept.stats1)?;
                self.layer(block.norm2, kept.s2, None, kept.h2, kept.stats2)?;
                let (before, act) = (self.get(kept.before)?, self.put(kept.act)?);
                Ok(activation::gelu_forward(self.gpu, self.stream, before, act, block.kind)?)
            }
            Remat::Full => {
                self.layer(block.norm1, kept.x, None, kept.h1, kept.stats1)?;
                self.vision_block_inner(seen, block, kept)
            }
        }
    }

    /// Through the MLP and the norm before it.
    fn vision_mlp_back(&self, r: &VisionRegions, block: VisionBlock, kept: &VisionKept) -> Result<()> {
        self.linear_weight_back(block.fc2, r.d, kept.act)?;
        let after = GeluAfter { kind: block.kind, before: kept.before };
        self.linear_input_back(block.fc2, r.d, self.put(r.d_wide)?, Some(after))?;
        self.linear_weight_back(block.fc1, r.d_wide, kept.h2)?;
        self.linear_input_back(block.fc1, r.d_wide, self.put(r.d_h)?, None)?;
        self.layer_back(block.norm2, r.d_h, kept.s2, kept.stats2, r.d, true)
    }

    /// Through attention and the norm before it.
    fn vision_attention_back(&self, seen: Seen<'_>, block: VisionBlock, kept: &VisionKept) -> Result<()> {
        let (Seen { r, g }, w) = (seen, self.config.vision.hidden_size);
        self.linear_weight_back(block.out, r.d, kept.attended)?;
        self.linear_input_back(block.out, r.d, self.put(r.d_attended)?, None)?;
        let [q, k, v] = self.get(kept.qkv)?.split_columns([w; 3])?;
        let saved = AttentionSaved { q, k, v, out: self.get(kept.attended)?, lse: self.get(kept.lse)? };
        let [dq, dk, dv] = self.put(r.d_qkv)?.split_columns_mut([w; 3])?;
        let d_out = self.get(r.d_attended)?;
        g.attention.backward(self.stream, d_out, saved, dq, dk, dv, self.workspace()?)?;
        let [dq, dk, _] = self.put(r.d_qkv)?.split_columns_mut([w; 3])?;
        rotary::in_place(self.gpu, self.stream, self.vision_rotation(r)?, [dq, dk], true)?;
        self.linear_weight_back(block.qkv, r.d_qkv, kept.h1)?;
        self.linear_input_back(block.qkv, r.d_qkv, self.put(r.d_h)?, None)?;
        self.layer_back(block.norm1, r.d_h, kept.x, kept.stats1, r.d, true)
    }
}

fn merger_kept(r: &VisionRegions, index: usize) -> Result<&MergerKept> {
    r.mergers.get(index).ok_or_else(|| Error::internal("a merger without memory"))
}
