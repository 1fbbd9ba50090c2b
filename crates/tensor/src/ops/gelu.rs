//! GELU, exact (erf) and with the tanh approximation.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::cpu::{loops, math};
use crate::{Device, Result, Tensor};

const OP: &str = "gelu";

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `x/2 (1 + erf(x/sqrt 2))`.
    Erf,
    /// `gelu_pytorch_tanh`: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    Tanh,
}

/// Elementwise GELU.
///
/// # Errors
/// None on the CPU.
pub fn forward(x: &Tensor, kind: Kind) -> Result<Tensor> {
    let y = match (x.device(), kind) {
        (Device::Cpu, Kind::Erf) => loops::map(
            x.cpu(),
            #[inline(always)]
            |x| x * normal_cdf(x),
        ),
        (Device::Cpu, Kind::Tanh) => loops::map(
            x.cpu(),
            #[inline(always)]
            |x| x * math::sigmoid(twice_inner(x)),
        ),
    };
    Ok(Tensor::from_cpu(y, x.shape()))
}

/// Returns `dx`.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn backward(dy: &Tensor, x: &Tensor, kind: Kind) -> Result<Tensor> {
    dy.expect(OP, "dy", x.shape())?;
    let dx = match (x.device(), kind) {
        (Device::Cpu, Kind::Erf) => loops::map2(
            dy.cpu(),
            x.cpu(),
            #[inline(always)]
            |dy, x| dy * (normal_cdf(x) + x * normal_pdf(x)),
        ),
        (Device::Cpu, Kind::Tanh) => loops::map2(
            dy.cpu(),
            x.cpu(),
            #[inline(always)]
            |dy, x| dy * tanh_slope(x),
        ),
    };
    Ok(Tensor::from_cpu(dx, x.shape()))
}

#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * libm::erfcf(-x * FRAC_1_SQRT_2)
}

#[inline(always)]
fn normal_pdf(x: f32) -> f32 {
    0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * math::exp(-0.5 * x * x)
}

/// `(1 + tanh u) / 2` is `sigmoid(2u)`; this is `2u`.
#[inline(always)]
fn twice_inner(x: f32) -> f32 {
    2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (x + 0.044_715 * x * x * x)
}

#[inline(always)]
fn tanh_slope(x: f32) -> f32 {
    let s = math::sigmoid(twice_inner(x));
    let inner_slope = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (1.0 + 3.0 * 0.044_715 * x * x);
    s + x * s * (1.0 - s) * inner_slope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, tensor, wide};

    fn naive(x: f64, kind: Kind) -> f64 {
        match kind {
            Kind::Erf => 0.5 * x * libm::erfc(-x / 2f64.sqrt()),
            Kind::Tanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        }
    }

    #[test]
    fn forward_and_gradients() {
        for kind in [Kind::Erf, Kind::Tanh] {
            let x = Tensor::from_cpu(random(&[3, 65], 1).cpu().iter().map(|v| 5.0 * v).collect(), &[3, 65]);
            let (dy, wx) = (random(&[3, 65], 2), wide(&x));
            check_close(
                "y",
                &forward(&x, kind).unwrap(),
                &wx.iter().map(|&x| naive(x, kind)).collect::<Vec<_>>(),
                2e-7,
            );
            let dx = gradient(&wx, |x| x.iter().zip(dy.cpu()).map(|(&x, &dy)| naive(x, kind) * f64::from(dy)).sum());
            check_close("dx", &backward(&dy, &x, kind).unwrap(), &dx, 1e-6);
        }
    }

    #[test]
    fn far_from_zero_it_is_the_identity_or_zero() {
        for kind in [Kind::Erf, Kind::Tanh] {
            let y = forward(&tensor(&[-1e4, -40.0, 0.0, 40.0, 1e4], &[5]), kind).unwrap();
            assert_eq!(y.to_vec(), [0.0, 0.0, 0.0, 40.0, 1e4]);
            let dx = backward(&tensor(&[1.0; 4], &[4]), &tensor(&[-1e4, -40.0, 40.0, 1e4], &[4]), kind).unwrap();
            assert_eq!(dx.to_vec(), [0.0, 0.0, 1.0, 1.0]);
        }
    }
}
