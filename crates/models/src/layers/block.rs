//! The pre-norm residual block of every tower, and a stack of them with optional recomputation.

use super::{Attention, AttentionSaved, LayerCache, Mlp, MlpSaved, Norm, NormSaved};
use crate::{Grads, Params, Remat, Result};
use tensor::{
    Segments, Tensor,
    ops::{elementwise, rotary::RotaryTable},
};

/// `h = x + attn(norm1(x))`, `y = h + mlp(norm2(h))`.
#[derive(Clone, Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: Norm,
    /// Self-attention.
    pub attention: Attention,
    /// Before the MLP.
    pub norm2: Norm,
    /// MLP.
    pub mlp: Mlp,
}

/// What a block reads beside its input: the angles of its rows and the segments it attends in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// cos and sin of every row.
    pub table: &'a RotaryTable,
    /// Attention boundaries.
    pub segments: &'a Segments,
}

/// What the backward of a [`Block`] needs.
#[derive(Clone, Debug)]
pub struct BlockSaved {
    x_nc: Tensor,
    norm1: NormSaved,
    normed1_nc: Tensor,
    attention: AttentionSaved,
    h_nc: Tensor,
    norm2: NormSaved,
    normed2_nc: Tensor,
    mlp: MlpSaved,
}

impl Block {
    /// `(N, C)` to `(N, C)`; with a cache, appends to it.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn forward(
        &self,
        params: &Params,
        x_nc: Tensor,
        context: Context,
        cache: Option<&mut LayerCache>,
    ) -> Result<(Tensor, BlockSaved)> {
        let (normed1_nc, norm1) = self.norm1.forward(params, &x_nc)?;
        let (attended, attention) =
            self.attention.forward(params, &normed1_nc, context.table, context.segments, cache)?;
        let h_nc = elementwise::add(&x_nc, &attended)?;
        let (normed2_nc, norm2) = self.norm2.forward(params, &h_nc)?;
        let (mut y_nc, mlp) = self.mlp.forward(params, &normed2_nc)?;
        elementwise::add_assign(&mut y_nc, &h_nc)?;
        Ok((y_nc, BlockSaved { x_nc, norm1, normed1_nc, attention, h_nc, norm2, normed2_nc, mlp }))
    }

    /// Adds the gradients of the parameters and returns that of the input.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        context: Context,
        saved: &BlockSaved,
        mut dy_nc: Tensor,
    ) -> Result<Tensor> {
        let d_normed2 = self.mlp.backward(params, grads, &saved.normed2_nc, &saved.mlp, &dy_nc)?;
        elementwise::add_assign(
            &mut dy_nc,
            &self.norm2.backward(params, grads, &saved.h_nc, &saved.norm2, &d_normed2)?,
        )?;
        let d_normed1 = self.attention.backward(
            params,
            grads,
            &saved.normed1_nc,
            context.table,
            context.segments,
            &saved.attention,
            &dy_nc,
        )?;
        elementwise::add_assign(
            &mut dy_nc,
            &self.norm1.backward(params, grads, &saved.x_nc, &saved.norm1, &d_normed1)?,
        )?;
        Ok(dy_nc)
    }
}

/// What a stack keeps of one block: everything, or its input to run it again.
#[derive(Clone, Debug)]
pub enum SavedBlock {
    /// [`Remat::None`].
    All(Box<BlockSaved>),
    /// [`Remat::Full`].
    Input(Tensor),
}

/// Runs one block for training and keeps what `remat` says.
///
/// # Errors
/// As [`Block::forward`].
pub fn forward_saving(
    block: &Block,
    params: &Params,
    x_nc: Tensor,
    context: Context,
    remat: Remat,
) -> Result<(Tensor, SavedBlock)> {
    match remat {
        Remat::None => {
            let (y, saved) = block.forward(params, x_nc, context, None)?;
            Ok((y, SavedBlock::All(Box::new(saved))))
        }
        Remat::Full => {
            let input = x_nc.clone();
            let (y, _) = block.forward(params, x_nc, context, None)?;
            Ok((y, SavedBlock::Input(input)))
        }
    }
}

/// The backward of [`forward_saving`]; runs the block again if only its input was kept.
///
/// # Errors
/// As [`Block::backward`].
pub fn backward_saved(
    block: &Block,
    params: &Params,
    grads: &mut Grads,
    context: Context,
    saved: SavedBlock,
    dy_nc: Tensor,
) -> Result<Tensor> {
    match saved {
        SavedBlock::All(saved) => block.backward(params, grads, context, &saved, dy_nc),
        SavedBlock::Input(x_nc) => {
            let (_, saved) = block.forward(params, x_nc, context, None)?;
            block.backward(params, grads, context, &saved, dy_nc)
        }
    }
}
