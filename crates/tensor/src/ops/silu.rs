//! SiLU, `x * sigmoid(x)`.

use crate::cpu::{loops, math};
use crate::{Device, Result, Tensor};

const OP: &str = "silu";

/// Elementwise SiLU.
///
/// # Errors
/// None on the CPU.
pub fn forward(x: &Tensor) -> Result<Tensor> {
    let mut y = x.unset_like();
    match x.device() {
        Device::Cpu => loops::map(y.cpu_mut(), x.cpu(), silu),
    }
    Ok(y)
}

/// Returns `dx`.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn backward(dy: &Tensor, x: &Tensor) -> Result<Tensor> {
    dy.expect(OP, "dy", x.shape())?;
    let mut dx = x.unset_like();
    match x.device() {
        Device::Cpu => loops::map2(dx.cpu_mut(), dy.cpu(), x.cpu(), d_silu),
    }
    Ok(dx)
}

#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x * math::sigmoid(x)
}

#[inline(always)]
pub(super) fn d_silu(dy: f32, x: f32) -> f32 {
    let s = math::sigmoid(x);
    dy * (s * (1.0 + x * (1.0 - s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, tensor, wide};

    #[test]
    fn forward_and_gradients() {
        let naive = |x: f64| x / (1.0 + (-x).exp());
        let x = tensor(random(&[3, 65], 1).cpu().iter().map(|v| 9.0 * v).collect::<Vec<_>>(), &[3, 65]);
        let (dy, wx) = (random(&[3, 65], 2), wide(&x));
        check_close("y", &forward(&x).unwrap(), &wx.iter().map(|&x| naive(x)).collect::<Vec<_>>(), 2e-7);
        let dx = gradient(&wx, |x| x.iter().zip(dy.cpu()).map(|(&x, &dy)| naive(x) * f64::from(dy)).sum());
        check_close("dx", &backward(&dy, &x).unwrap(), &dx, 1e-6);
        assert!(backward(&random(&[3], 1), &x).is_err());
    }
}
