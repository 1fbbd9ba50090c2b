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
    let mut y = x.unset_like();
    match (x.device(), kind) {
        (Device::Cpu, Kind::Erf) => loops::map(y.cpu_mut(), x.cpu(), gelu_erf),
        (Device::Cpu, Kind::Tanh) => loops::map(y.cpu_mut(), x.cpu(), gelu_tanh),
    }
    Ok(y)
}

/// Returns `dx`.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn backward(dy: &Tensor, x: &Tensor, kind: Kind) -> Result<Tensor> {
    dy.expect(OP, "dy", x.shape())?;
    let mut dx = x.unset_like();
    match (x.device(), kind) {
        (Device::Cpu, Kind::Erf) => loops::map2(dx.cpu_mut(), dy.cpu(), x.cpu(), d_gelu_erf),
        (Device::Cpu, Kind::Tanh) => loops::map2(dx.cpu_mut(), dy.cpu(), x.cpu(), d_gelu_tanh),
    }
    Ok(dx)
}

#[inline(always)]
fn gelu_erf(x: f32) -> f32 {
    x * normal(x).0
}

#[inline(always)]
fn d_gelu_erf(dy: f32, x: f32) -> f32 {
    let (cdf, pdf) = normal(x);
    dy * (cdf + x * pdf)
}

/// Distribution function and density of the standard normal distribution.
///
/// The upper tail is `e^(-z^2) erfcx(z) / 2` with `z = |x| / sqrt 2` and, for `t = 1 / (1 + z/2)`, `erfcx(z) = t P(t)`;
/// `P` is a minimax fit of degree 9 over `z` in 0..10.3 (relative error 2e-8, 3.5e-7 with the rounding of f32).
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let e = math::exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.5 * FRAC_1_SQRT_2 * x.abs());
    let mut p = 0.011_390_061;
    p = p * t - 0.118_510_686;
    p = p * t + 0.418_067_54;
    p = p * t - 0.655_984_9;
    p = p * t + 0.410_019_8;
    p = p * t - 0.092_531_405;
    p = p * t + 0.223_640_25;
    p = p * t + 0.239_028_89;
    p = p * t + 0.282_813_9;
    p = p * t + 0.282_066_55;
    let tail = 0.5 * e * (p * t);
    (if x < 0.0 { tail } else { 1.0 - tail }, 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * e)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    x * math::sigmoid(twice_inner(x))
}

#[inline(always)]
fn d_gelu_tanh(dy: f32, x: f32) -> f32 {
    let s = math::sigmoid(twice_inner(x));
    let inner_slope = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (1.0 + 3.0 * 0.044_715 * x * x);
    dy * (s + x * s * (1.0 - s) * inner_slope)
}

/// `(1 + tanh u) / 2` is `sigmoid(2u)`; this is `2u`.
#[inline(always)]
fn twice_inner(x: f32) -> f32 {
    2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (x + 0.044_715 * x * x * x)
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
            let x = tensor(random(&[3, 65], 1).cpu().iter().map(|v| 5.0 * v).collect::<Vec<_>>(), &[3, 65]);
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
            let y = forward(&tensor([-1e4, -40.0, 0.0, 40.0, 1e4], &[5]), kind).unwrap();
            assert_eq!(y.to_vec(), [0.0, 0.0, 0.0, 40.0, 1e4]);
            let dx = backward(&tensor([1.0; 4], &[4]), &tensor([-1e4, -40.0, 40.0, 1e4], &[4]), kind).unwrap();
            assert_eq!(dx.to_vec(), [0.0, 0.0, 1.0, 1.0]);
        }
    }
}
