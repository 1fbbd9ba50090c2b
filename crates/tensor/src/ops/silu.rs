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
        Device::Cpu => loops::map(
            x.cpu(),
            #[inline(always)]
            |x| x * math::sigmoid(x),
        ),
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
        Device::Cpu => loops::map2(
            dy.cpu(),
            x.cpu(),
            #[inline(always)]
            |dy, x| dy * slope(x),
        ),
    };
    Ok(Tensor::from_cpu(dx, x.shape()))
}

/// The derivative of SiLU.
#[inline(always)]
pub(super) fn slope(x: f32) -> f32 {
    let s = math::sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, wide};

    #[test]
    fn forward_and_gradients() {
        let naive = |x: f64| x / (1.0 + (-x).exp());
        let x = Tensor::from_cpu(random(&[3, 65], 1).cpu().iter().map(|v| 9.0 * v).collect(), &[3, 65]);
        let (dy, wx) = (random(&[3, 65], 2), wide(&x));
        check_close("y", &forward(&x).unwrap(), &wx.iter().map(|&x| naive(x)).collect::<Vec<_>>(), 2e-7);
        let dx = gradient(&wx, |x| x.iter().zip(dy.cpu()).map(|(&x, &dy)| naive(x) * f64::from(dy)).sum());
        check_close("dx", &backward(&dy, &x).unwrap(), &dx, 1e-6);
        assert!(backward(&random(&[3], 1), &x).is_err());
    }
}
