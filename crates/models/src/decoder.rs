//! The decoder of both families: embedding, blocks with DeepStack, final norm and head.
//!
//! Shape legend: `T` packed tokens, `C` width, `M` visual tokens, `N` labelled rows, `V` vocabulary.

use crate::{
    Error, Grads, ParamId, Params, Remat, Result,
    layers::{Block, Context, LayerCache, Norm, SavedBlock, backward_saved, forward_saving},
    tower::VisionOutput,
};
use tensor::{
    Device, Indices, Tensor,
    ops::{
        embedding, linear, linear_cross_entropy,
        rotary::{self, MropeLayout, RotaryTable},
        rows,
    },
};

/// A decoder.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub embedding: ParamId,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    /// The embedding itself if tied.
    pub head: ParamId,
    pub rope_theta: f64,
    pub section: [usize; 3],
    pub layout: MropeLayout,
}

/// Tokens of a packed batch and where the visual ones are.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub ids: Indices,
    pub visual_rows: Indices,
}

/// What the backward of the decoder needs.
pub(crate) struct DecoderSaved {
    blocks: Vec<SavedBlock>,
    hidden_tc: Tensor,
}

/// The rows that carry a loss and what they should predict.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub rows: Indices,
    pub targets: Indices,
}

impl Decoder {
    /// Angles of the given positions.
    pub fn rotary_table(&self, device: &Device, positions: &[Vec<i32>; 3]) -> Result<RotaryTable> {
        let head_dim = 2 * self.section.iter().sum::<usize>();
        Ok(rotary::mrope_table(device, positions, head_dim, self.rope_theta, self.section, self.layout)?)
    }

    fn embed(&self, params: &Params, tokens: &Tokens, vision: Option<&VisionOutput>) -> Result<Tensor> {
        let mut x_tc = embedding::forward(params.get(self.embedding), &tokens.ids)?;
        if let Some(vision) = vision {
            rows::scatter(&mut x_tc, &tokens.visual_rows, &vision.embeds)?;
        }
        Ok(x_tc)
    }

    fn add_deepstack(
        &self,
        layer: usize,
        x_tc: &mut Tensor,
        tokens: &Tokens,
        vision: Option<&VisionOutput>,
    ) -> Result<()> {
        if let Some(feature) = vision.and_then(|v| v.deepstack.get(layer)) {
            rows::scatter_add(x_tc, &tokens.visual_rows, feature)?;
        }
        Ok(())
    }

    /// Hidden states `(T, C)` before the final norm; fills the caches, one per layer, if there are any.
    pub fn forward(
        &self,
        params: &Params,
        tokens: &Tokens,
        vision: Option<&VisionOutput>,
        context: Context,
        mut caches: Option<&mut [LayerCache]>,
    ) -> Result<Tensor> {
        let mut x_tc = self.embed(params, tokens, vision)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let cache = caches.as_deref_mut().and_then(|caches| caches.get_mut(i));
            x_tc = block.forward(params, x_tc, context, cache)?.0;
            self.add_deepstack(i, &mut x_tc, tokens, vision)?;
        }
        Ok(x_tc)
    }

    /// As [`Decoder::forward`], keeping what backward needs.
    pub fn forward_saving(
        &self,
        params: &Params,
        tokens: &Tokens,
        vision: Option<&VisionOutput>,
        context: Context,
        remat: Remat,
    ) -> Result<DecoderSaved> {
        let mut x_tc = self.embed(params, tokens, vision)?;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, saved) = forward_saving(block, params, x_tc, context, remat)?;
            blocks.push(saved);
            x_tc = y;
            self.add_deepstack(i, &mut x_tc, tokens, vision)?;
        }
        Ok(DecoderSaved { blocks, hidden_tc: x_tc })
    }

    /// Logits `(N, V)` of chosen rows of the hidden states.
    pub fn logits(&self, params: &Params, hidden_tc: &Tensor, rows_n: &Indices) -> Result<Tensor> {
        let (normed, _) = self.norm.forward(params, &rows::gather(hidden_tc, rows_n)?)?;
        Ok(linear::forward(&normed, params.get(self.head), None)?)
    }

    /// Sum of the losses of the labelled rows.
    pub fn loss(&self, params: &Params, hidden_tc: &Tensor, labelled: &Labelled) -> Result<f64> {
        let (normed, _) = self.norm.forward(params, &rows::gather(hidden_tc, &labelled.rows)?)?;
        Ok(linear_cross_entropy::forward(&normed, params.get(self.head), &labelled.targets)?)
    }

    /// Adds the gradients of `scale` times the summed loss; returns the sum and the gradient of the vision output.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        tokens: &Tokens,
        context: Context,
        saved: DecoderSaved,
        labelled: &Labelled,
        scale: f32,
        vision: Option<&VisionOutput>,
    ) -> Result<(f64, Option<VisionOutput>)> {
        let DecoderSaved { mut blocks, hidden_tc } = saved;
        let picked = rows::gather(&hidden_tc, &labelled.rows)?;
        let (normed, norm_saved) = self.norm.forward(params, &picked)?;
        let (loss, d_normed) = linear_cross_entropy::forward_backward(
            &normed,
            params.get(self.head),
            &labelled.targets,
            scale,
            grads.get_mut(self.head),
        )?;
        let d_picked = self.norm.backward(params, grads, &picked, &norm_saved, &d_normed)?;
        let mut dx = hidden_tc.zeros_like();
        rows::scatter(&mut dx, &labelled.rows, &d_picked)?;
        let mut d_features = Vec::new();
        for (i, block) in self.blocks.iter().enumerate().rev() {
            if vision.is_some_and(|v| i < v.deepstack.len()) {
                d_features.push(rows::gather(&dx, &tokens.visual_rows)?);
            }
            let saved = blocks.pop().ok_or_else(|| Error::internal("a saved decoder block is missing"))?;
            dx = backward_saved(block, params, grads, context, saved, dx)?;
        }
        d_features.reverse();
        let d_vision = match vision {
            None => None,
            Some(_) => {
                let embeds = rows::gather(&dx, &tokens.visual_rows)?;
                rows::zero(&mut dx, &tokens.visual_rows)?;
                Some(VisionOutput { embeds, deepstack: d_features })
            }
        };
        embedding::backward(&dx, &tokens.ids, grads.get_mut(self.embedding))?;
        Ok((loss, d_vision))
    }
}
