//! A linear layer.

use crate::{Grads, ParamId, Params, Result};
use tensor::{Tensor, ops::linear};

/// `y = x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `(O, I)`.
    pub weight: ParamId,
    /// `(O,)`.
    pub bias: Option<ParamId>,
}

impl Linear {
    /// `(N, I)` to `(N, O)`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the width of `x` is not `I`.
    pub fn forward(&self, params: &Params, x_ni: &Tensor) -> Result<Tensor> {
        Ok(linear::forward(x_ni, params.get(self.weight), self.bias.map(|id| params.get(id)))?)
    }

    /// Adds the gradients of weight and bias and returns that of the input, `(N, I)`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn backward(&self, params: &Params, grads: &mut Grads, x_ni: &Tensor, dy_no: &Tensor) -> Result<Tensor> {
        self.backward_params(grads, x_ni, dy_no)?;
        Ok(linear::backward_input(dy_no, params.get(self.weight))?)
    }

    /// Adds the gradients of weight and bias only (the input is data).
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn backward_params(&self, grads: &mut Grads, x_ni: &Tensor, dy_no: &Tensor) -> Result<()> {
        linear::backward_weight(dy_no, x_ni, grads.get_mut(self.weight))?;
        if let Some(bias) = self.bias {
            linear::backward_bias(dy_no, grads.get_mut(bias))?;
        }
        Ok(())
    }
}
