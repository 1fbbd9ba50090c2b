//! `silu(gate) * up`.
use crate::{Result, Tensor, ops::missing};

/// `y = silu(gate) * up`, all of one shape.
pub fn forward(_gate: &Tensor, _up: &Tensor) -> Result<Tensor> { missing("swiglu") }
/// Returns `(d_gate, d_up)`.
pub fn backward(_dy: &Tensor, _gate: &Tensor, _up: &Tensor) -> Result<(Tensor, Tensor)> { missing("swiglu") }
