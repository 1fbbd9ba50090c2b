//! RMSNorm over the last `weight.len()` values of each row: `y = x / sqrt(mean(x^2) + eps) * weight`.
//! With a `(T, H*D)` input and a `(D,)` weight it normalises every head on its own (q_norm, k_norm).
use crate::{Result, Tensor, ops::missing};

/// Returns `y` (shape of `x`) and the reciprocal RMS of every normalised group, `(groups,)`, for backward.
pub fn forward(_x: &Tensor, _weight_d: &Tensor, _eps: f32) -> Result<(Tensor, Tensor)> { missing("rms_norm") }
/// Returns `dx`; adds to `d_weight`.
pub fn backward(_dy: &Tensor, _x: &Tensor, _weight_d: &Tensor, _inv_rms: &Tensor, _d_weight_d: &mut Tensor) -> Result<Tensor> { missing("rms_norm") }
