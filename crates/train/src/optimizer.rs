//! Global gradient norm, clip, and AdamW over all parameters.

use models::{Grads, Params};
use tensor::Tensor;
pub use tensor::ops::optimizer::AdamW;
use tensor::ops::optimizer::{adamw, sum_of_squares};

use crate::Result;

/// The two moments of every parameter, in the order of the parameters.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Running means of gradients (`exp_avg` in torch).
    pub first: Vec<Tensor>,
    /// Running means of squared gradients (`exp_avg_sq`).
    pub second: Vec<Tensor>,
}

impl Moments {
    /// Zero moments.
    pub fn zeros(params: &Params) -> Self {
        let zeros = || params.tensors().iter().map(Tensor::zeros_like).collect();
        Self { first: zeros(), second: zeros() }
    }
}

/// L2 norm over all gradients, in a fixed order.
///
/// # Errors
/// [`crate::Error::Tensor`] if the device fails.
pub fn grad_norm(grads: &Grads) -> Result<f64> {
    let mut sum = 0.0;
    for grad in grads.tensors() {
        sum += sum_of_squares(grad)?;
    }
    Ok(sum.sqrt())
}

/// Factor that brings a norm under its bound: `min(1, max / (norm + 1e-6))` (source: `torch.nn.utils.clip_grad_norm_`).
pub fn clip_factor(norm: f64, norm_max: Option<f64>) -> f64 {
    norm_max.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

/// One AdamW update of all parameters: decay hits norms, biases and embeddings too, as in the reference trainer.
///
/// # Errors
/// [`crate::Error::Tensor`] if shapes do not fit.
pub fn update(params: &mut Params, grads: &Grads, moments: &mut Moments, settings: AdamW) -> Result<()> {
    let moments = moments.first.iter_mut().zip(&mut moments.second);
    for ((param, grad), (first, second)) in params.tensors_mut().iter_mut().zip(grads.tensors()).zip(moments) {
        adamw(param, grad, first, second, settings)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::clip_factor;

    #[test]
    fn clip() {
        let check = |norm: f64, max: Option<f64>, expect: f64| {
            let got = clip_factor(norm, max);
            assert!((got - expect).abs() < 1e-6, "{norm} {max:?}: {got}");
        };
        check(0.5, Some(1.0), 1.0);
        check(4.0, Some(1.0), 0.25);
        check(4.0, None, 1.0);
        check(0.0, Some(1.0), 1.0);
    }
}
