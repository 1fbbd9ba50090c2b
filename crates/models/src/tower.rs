//! The vision tower of both families: patch embedding, blocks, mergers; forward and backward.
//!
//! Shape legend: `P` patches, `M` visual tokens (`P / merge^2`), `E` values of a patch, `C` tower width, `O` decoder width.

use crate::{
    Error, Grads, ParamId, Params, Remat, Result,
    config::VisionConfig,
    grid,
    layers::{Block, Context, Linear, Mlp, MlpSaved, Norm, NormSaved, SavedBlock, backward_saved, forward_saving},
};
use processor::GridThw;
use tensor::{
    Device, Indices, Segments, Tensor,
    ops::{
        elementwise, position_table,
        rotary::{self, RotaryTable},
        rows,
    },
};

/// Base of the rotary frequencies of both towers.
pub(crate) const VISION_ROPE_THETA: f64 = 10_000.0;

/// A vision tower.
#[derive(Clone, Debug)]
pub(crate) struct Tower {
    pub patch_embed: Linear,
    /// Learned position table `(side^2, C)` and its side.
    pub positions: Option<(ParamId, usize)>,
    pub blocks: Vec<Block>,
    pub merger: Merger,
    /// Block after which each DeepStack feature is taken, in order of blocks.
    pub deepstack: Vec<(usize, Merger)>,
    pub windows: Option<Windows>,
}

/// Windowed attention: side of a window in tokens, and the blocks that ignore windows.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub side_tokens: usize,
    pub full_blocks: Vec<usize>,
}

/// Where a merger normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormPlace {
    /// Every patch on its own, before `merge^2` of them are joined.
    BeforeShuffle,
    /// The joined row.
    AfterShuffle,
}

/// Joins `merge^2` patches into one visual token of the decoder's width.
#[derive(Clone, Debug)]
pub(crate) struct Merger {
    pub norm: Norm,
    pub place: NormPlace,
    pub mlp: Mlp,
    /// `merge^2 * C`.
    pub wide: usize,
}

/// What the tower gives to the decoder.
#[derive(Clone, Debug)]
pub struct VisionOutput {
    /// Visual tokens `(M, O)`.
    pub embeds: Tensor,
    /// DeepStack features `(M, O)`, one per early decoder layer.
    pub deepstack: Vec<Tensor>,
}

/// Everything that depends on the grids alone.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    table: RotaryTable,
    full: Segments,
    windowed: Option<Segments>,
    corners: Option<([Indices; 4], Tensor)>,
    /// Patch order of windows, token order back, and both inverses.
    order: Option<WindowOrder>,
}

#[derive(Clone, Debug)]
struct WindowOrder {
    patches: Indices,
    patches_back: Indices,
    tokens: Indices,
    tokens_back: Indices,
}

struct MergerSaved {
    x: Tensor,
    norm: NormSaved,
    normed_wide: Tensor,
    mlp: MlpSaved,
}

/// What the backward of a [`Tower`] needs.
pub(crate) struct TowerSaved {
    pixels_pe: Tensor,
    geometry: Geometry,
    blocks: Vec<SavedBlock>,
    merger: MergerSaved,
    deepstack: Vec<MergerSaved>,
}

impl Geometry {
    pub fn new(device: &Device, tower: &Tower, config: &VisionConfig, grids: &[GridThw]) -> Result<Self> {
        let merge = config.spatial_merge_size;
        let mut positions = grid::patch_positions(grids, merge);
        let corners = match tower.positions {
            None => None,
            Some((_, side)) => {
                let (corners, weights) = grid::position_corners(grids, side, merge);
                let count = positions.len();
                Some((corners.map(|c| Indices::new(device, c)), Tensor::from_vec(device, weights, &[4, count])?))
            }
        };
        let (mut windowed, mut order) = (None, None);
        if let Some(windows) = &tower.windows {
            let (tokens, cu_window) = grid::window_order(grids, merge, windows.side_tokens);
            let patches = grid::expand(&tokens, config.merge_unit());
            positions = patches.iter().map(|&p| positions[p as usize]).collect();
            windowed = Some(Segments::packed(device, &cu_window)?);
            order = Some(WindowOrder {
                patches_back: Indices::new(device, grid::inverse(&patches)),
                tokens_back: Indices::new(device, grid::inverse(&tokens)),
                patches: Indices::new(device, patches),
                tokens: Indices::new(device, tokens),
            });
        }
        let table = rotary::vision_table(device, &positions, config.head_dim(), VISION_ROPE_THETA)?;
        Ok(Self { table, full: Segments::packed(device, &grid::frame_boundaries(grids))?, windowed, corners, order })
    }
}

impl Merger {
    fn forward(&self, params: &Params, x_pc: &Tensor) -> Result<(Tensor, MergerSaved)> {
        let tokens = x_pc.len() / self.wide;
        let shape = [tokens, self.wide];
        let (x, norm, normed_wide) = match self.place {
            NormPlace::BeforeShuffle => {
                let (normed, saved) = self.norm.forward(params, x_pc)?;
                (x_pc.clone(), saved, normed.reshape(&shape)?)
            }
            NormPlace::AfterShuffle => {
                let x = x_pc.clone().reshape(&shape)?;
                let (normed, saved) = self.norm.forward(params, &x)?;
                (x, saved, normed)
            }
        };
        let (y_mo, mlp) = self.mlp.forward(params, &normed_wide)?;
        Ok((y_mo, MergerSaved { x, norm, normed_wide, mlp }))
    }

    /// Gradient of the merger's input, in the shape `(P, C)` of `like`.
    fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        saved: &MergerSaved,
        dy_mo: &Tensor,
        shape_pc: &[usize],
    ) -> Result<Tensor> {
        let d_wide = self.mlp.backward(params, grads, &saved.normed_wide, &saved.mlp, dy_mo)?;
        let d_normed = d_wide.reshape(saved.x.shape())?;
        Ok(self.norm.backward(params, grads, &saved.x, &saved.norm, &d_normed)?.reshape(shape_pc)?)
    }
}

impl Tower {
    /// Patches `(P, E)` to visual tokens and DeepStack features.
    pub fn forward(&self, params: &Params, geometry: &Geometry, pixels_pe: &Tensor) -> Result<VisionOutput> {
        let mut x = self.embed(params, geometry, pixels_pe)?;
        let mut deepstack = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(params, x, self.context(geometry, i), None)?.0;
            for (_, merger) in self.deepstack.iter().filter(|(after, _)| *after == i) {
                deepstack.push(merger.forward(params, &x)?.0);
            }
        }
        let embeds = restore_order(geometry, self.merger.forward(params, &x)?.0)?;
        Ok(VisionOutput { embeds, deepstack })
    }

    /// As [`Tower::forward`], keeping what backward needs.
    pub fn forward_saving(
        &self,
        params: &Params,
        geometry: Geometry,
        pixels_pe: Tensor,
        remat: Remat,
    ) -> Result<(VisionOutput, TowerSaved)> {
        let mut x = self.embed(params, &geometry, &pixels_pe)?;
        let (mut features, mut blocks, mut deepstack) = (Vec::new(), Vec::new(), Vec::new());
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, saved) = forward_saving(block, params, x, self.context(&geometry, i), remat)?;
            blocks.push(saved);
            x = y;
            for (_, merger) in self.deepstack.iter().filter(|(after, _)| *after == i) {
                let (feature, saved) = merger.forward(params, &x)?;
                features.push(feature);
                deepstack.push(saved);
            }
        }
        let (embeds, merger) = self.merger.forward(params, &x)?;
        let embeds = restore_order(&geometry, embeds)?;
        Ok((
            VisionOutput { embeds, deepstack: features },
            TowerSaved { pixels_pe, geometry, blocks, merger, deepstack },
        ))
    }

    /// Adds the gradients of all parameters of the tower, given those of its output.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        saved: TowerSaved,
        d_output: VisionOutput,
    ) -> Result<()> {
        let TowerSaved { pixels_pe, geometry, mut blocks, merger, mut deepstack } = saved;
        let shape_pc = [pixels_pe.rows(), merger.x.len() / pixels_pe.rows()];
        let d_embeds = match &geometry.order {
            None => d_output.embeds,
            Some(order) => rows::gather(&d_output.embeds, &order.tokens)?,
        };
        let mut dx = self.merger.backward(params, grads, &merger, &d_embeds, &shape_pc)?;
        let mut d_features = d_output.deepstack;
        for (i, block) in self.blocks.iter().enumerate().rev() {
            for (_, merger) in self.deepstack.iter().rev().filter(|(after, _)| *after == i) {
                let (Some(d_feature), Some(saved)) = (d_features.pop(), deepstack.pop()) else {
                    return Err(Error::internal("a DeepStack gradient is missing"));
                };
                elementwise::add_assign(&mut dx, &merger.backward(params, grads, &saved, &d_feature, &shape_pc)?)?;
            }
            let saved = blocks.pop().ok_or_else(|| Error::internal("a saved vision block is missing"))?;
            dx = backward_saved(block, params, grads, self.context(&geometry, i), saved, dx)?;
        }
        if let Some(order) = &geometry.order {
            dx = rows::gather(&dx, &order.patches_back)?;
        }
        if let (Some((table, _)), Some((corners, weights))) = (self.positions, &geometry.corners) {
            position_table::backward(&dx, corners, weights, grads.get_mut(table))?;
        }
        self.patch_embed.backward_params(grads, &pixels_pe, &dx)
    }

    fn embed(&self, params: &Params, geometry: &Geometry, pixels_pe: &Tensor) -> Result<Tensor> {
        let mut x = self.patch_embed.forward(params, pixels_pe)?;
        if let (Some((table, _)), Some((corners, weights))) = (self.positions, &geometry.corners) {
            elementwise::add_assign(&mut x, &position_table::forward(params.get(table), corners, weights)?)?;
        }
        match &geometry.order {
            None => Ok(x),
            Some(order) => Ok(rows::gather(&x, &order.patches)?),
        }
    }

    fn context<'a>(&self, geometry: &'a Geometry, block: usize) -> Context<'a> {
        let segments = match (&self.windows, &geometry.windowed) {
            (Some(windows), Some(windowed)) if !windows.full_blocks.contains(&block) => windowed,
            _ => &geometry.full,
        };
        Context { table: &geometry.table, segments }
    }
}

fn restore_order(geometry: &Geometry, embeds: Tensor) -> Result<Tensor> {
    match &geometry.order {
        None => Ok(embeds),
        Some(order) => Ok(rows::gather(&embeds, &order.tokens_back)?),
    }
}
