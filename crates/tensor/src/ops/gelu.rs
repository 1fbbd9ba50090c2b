//! GELU, exact (erf) and with the tanh approximation.
use crate::{Result, Tensor, ops::missing};

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind { /// `x/2 (1 + erf(x/sqrt 2))`.
 Erf, /// `gelu_pytorch_tanh`.
 Tanh }
/// Elementwise GELU.
pub fn forward(_x: &Tensor, _kind: Kind) -> Result<Tensor> { missing("gelu") }
/// Returns `dx`.
pub fn backward(_dy: &Tensor, _x: &Tensor, _kind: Kind) -> Result<Tensor> { missing("gelu") }
