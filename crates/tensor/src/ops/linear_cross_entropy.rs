//! The language-model head fused with its loss, chunk by chunk over rows, so that `(N, V)` logits never exist.
use crate::{Indices, Result, Tensor, ops::missing};

/// Sum over rows of `-log softmax(x_NC · head_VC^T)[target]`, accumulated in f64 in row order.
pub fn forward(_x_nc: &Tensor, _head_vc: &Tensor, _targets_n: &Indices) -> Result<f64> { missing("linear_cross_entropy") }
/// The same sum, with the gradients of `scale * sum`: returns `(sum, dx_NC)` and adds to `d_head_VC`.
pub fn forward_backward(_x_nc: &Tensor, _head_vc: &Tensor, _targets_n: &Indices, _scale: f32, _d_head_vc: &mut Tensor) -> Result<(f64, Tensor)> { missing("linear_cross_entropy") }
