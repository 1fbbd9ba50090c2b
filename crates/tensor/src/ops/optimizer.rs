//! Global norm and AdamW.
use crate::{Result, Tensor, ops::missing};

/// Sum of squares of all values, in f64, in a fixed order whatever the thread count.
pub fn sum_of_squares(_x: &Tensor) -> Result<f64> { missing("optimizer") }

/// Coefficients of one AdamW update (decoupled weight decay, as `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug)]
pub struct AdamW { /// Learning rate of this step.
 pub lr: f32, /// First-moment decay.
 pub beta1: f32, /// Second-moment decay.
 pub beta2: f32, /// Added to the root of the second moment.
 pub eps: f32, /// Decoupled decay, multiplied by `lr`.
 pub weight_decay: f32, /// 1-based number of this step.
 pub step: u64, /// Factor on every gradient (the clip).
 pub grad_scale: f32 }
/// Updates `param`, `moment1`, `moment2` in place.
pub fn adamw(_param: &mut Tensor, _grad: &Tensor, _moment1: &mut Tensor, _moment2: &mut Tensor, _adamw: AdamW) -> Result<()> { missing("optimizer") }
