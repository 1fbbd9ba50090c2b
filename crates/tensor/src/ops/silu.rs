//! SiLU, `x * sigmoid(x)`.
use crate::{Result, Tensor, ops::missing};

/// Elementwise SiLU.
pub fn forward(_x: &Tensor) -> Result<Tensor> { missing("silu") }
/// Returns `dx`.
pub fn backward(_dy: &Tensor, _x: &Tensor) -> Result<Tensor> { missing("silu") }
