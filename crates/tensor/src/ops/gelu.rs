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
        (Device::Cpu, Kind::Erf) => loops::map(x.cpu(), #[inline(always)] |x| x * normal_cdf(x)),
        (Device::Cpu, Kind::Tanh) => loops::map(x.cpu(), #[inline(always)] |x| x * math::sigmoid(twice_inner(x))),
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
        (Device::Cpu, Kind::Erf) => loops::map2(dy.cpu(), x.cpu(), #[inline(always)] |dy, x| dy * (normal_cdf(x) + x * normal_pdf(x))),
        (Device::Cpu, Kind::Tanh) => loops::map2(dy.cpu(), x.cpu(), #[inline(always)] |dy, x| dy * tanh_slope(x)),
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
