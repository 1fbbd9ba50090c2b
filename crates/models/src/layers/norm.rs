//! RMSNorm and LayerNorm behind one type.

use crate::{Grads, ParamId, Params, Result};
use tensor::{
    Tensor,
    ops::{layer_norm, rms_norm},
};

/// A normalisation over the last dimension.
#[derive(Clone, Debug)]
pub enum Norm {
    /// RMSNorm; with a weight narrower than the row it normalises every group of that width (a head).
    Rms {
        /// `(D,)`.
        weight: ParamId,
        /// Added to the mean square.
        eps: f32,
    },
    /// LayerNorm with bias.
    Layer {
        /// `(C,)`.
        weight: ParamId,
        /// `(C,)`.
        bias: ParamId,
        /// Added to the variance.
        eps: f32,
    },
}

/// What the backward of a [`Norm`] needs beside its input.
#[derive(Clone, Debug)]
pub enum NormSaved {
    /// Reciprocal RMS of every group.
    Rms(Tensor),
    /// Mean and reciprocal deviation of every row.
    Layer(layer_norm::Stats),
}

impl Norm {
    /// Normalises `x`; the shape stays.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Result<(Tensor, NormSaved)> {
        match *self {
            Norm::Rms { weight, eps } => {
                let (y, inv_rms) = rms_norm::forward(x, params.get(weight), eps)?;
                Ok((y, NormSaved::Rms(inv_rms)))
            }
            Norm::Layer { weight, bias, eps } => {
                let (y, stats) = layer_norm::forward(x, params.get(weight), params.get(bias), eps)?;
                Ok((y, NormSaved::Layer(stats)))
            }
        }
    }

    /// Adds the gradients of the parameters and returns that of the input.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        x: &Tensor,
        saved: &NormSaved,
        dy: &Tensor,
    ) -> Result<Tensor> {
        match (self, saved) {
            (Norm::Rms { weight, .. }, NormSaved::Rms(inv_rms)) => {
                Ok(rms_norm::backward(dy, x, params.get(*weight), inv_rms, grads.get_mut(*weight))?)
            }
            (Norm::Layer { weight, bias, .. }, NormSaved::Layer(stats)) => {
                let (d_weight, d_bias) = grads.pair_mut(*weight, *bias)?;
                Ok(layer_norm::backward(dy, x, params.get(*weight), stats, d_weight, d_bias)?)
            }
            _ => Err(crate::Error::internal("a norm met what another kind of norm saved")),
        }
    }
}
