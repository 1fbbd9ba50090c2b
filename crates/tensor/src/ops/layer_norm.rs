//! LayerNorm over the last dimension with weight and bias.
use crate::{Result, Tensor, ops::missing};

/// Mean and reciprocal standard deviation of every row, kept for backward.
#[derive(Clone, Debug)]
pub struct Stats { /// `(N,)`
 pub mean_n: Tensor, /// `(N,)`
 pub inv_std_n: Tensor }
/// `y = (x - mean) / sqrt(var + eps) * weight + bias` (biased variance).
pub fn forward(_x_nc: &Tensor, _weight_c: &Tensor, _bias_c: &Tensor, _eps: f32) -> Result<(Tensor, Stats)> { missing("layer_norm") }
/// Returns `dx`; adds to `d_weight` and `d_bias`.
pub fn backward(_dy_nc: &Tensor, _x_nc: &Tensor, _weight_c: &Tensor, _stats: &Stats, _d_weight_c: &mut Tensor, _d_bias_c: &mut Tensor) -> Result<Tensor> { missing("layer_norm") }
