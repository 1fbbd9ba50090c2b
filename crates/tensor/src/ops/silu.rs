//! SiLU, `x * sigmoid(x)`.

use crate::cpu::{loops, math};
use crate::{Device, Result, Tensor};

const OP: &str = "silu";

/// Elementwise SiLU.
///
/// # Errors
/// None on the CPU.
pub fn forward(x: &Tensor) -> Result<Tensor> {
    let y = match x.device() {
        Device::Cpu => loops::map(x.cpu(), #[inline(always)] |x| x * math::sigmoid(x)),
    };
    Ok(Tensor::from_cpu(y, x.shape()))
}

/// Returns `dx`.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn backward(dy: &Tensor, x: &Tensor) -> Result<Tensor> {
    dy.expect(OP, "dy", x.shape())?;
    let dx = match x.device() {
        Device::Cpu => loops::map2(dy.cpu(), x.cpu(), #[inline(always)] |dy, x| dy * slope(x)),
    };
    Ok(Tensor::from_cpu(dx, x.shape()))
}

/// The derivative of SiLU.
#[inline(always)]
pub(super) fn slope(x: f32) -> f32 {
    let s = math::sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}
