//! RMSNorm over the last `weight.len()` values of each row: `y = x / sqrt(mean(x^2) + eps) * weight`.
//!
//! With a `(T, H*D)` input and a `(D,)` weight it normalises every head on its own (q_norm, k_norm).

use rayon::prelude::*;

use crate::cpu::{loops, math};
use crate::{Device, Error, Result, Tensor};

const OP: &str = "rms_norm";

/// Returns `y` (shape of `x`) and the reciprocal RMS of every normalised group, `(groups,)`, for backward.
///
/// # Errors
/// [`Error::Shape`] if the last dimension of `x` is no multiple of the weight's length.
pub fn forward(x: &Tensor, weight_d: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    let groups = groups(x, weight_d)?;
    let (mut y, mut inv_rms) = (x.unset_like(), Tensor::unset(&x.device(), &[groups]));
    match x.device() {
        Device::Cpu => forward_cpu(x.cpu(), weight_d.cpu(), eps, y.cpu_mut(), inv_rms.cpu_mut()),
    }
    Ok((y, inv_rms))
}

/// Returns `dx`; adds to `d_weight`.
///
/// With `n = x * inv_rms` and `g = dy * weight`: `dx = inv_rms (g - n mean(g n))`, `d_weight += sum of dy n`.
///
/// # Errors
/// [`Error::Shape`] if the operands do not have the shapes of [`forward`].
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weight_d: &Tensor,
    inv_rms: &Tensor,
    d_weight_d: &mut Tensor,
) -> Result<Tensor> {
    let groups = groups(x, weight_d)?;
    dy.expect(OP, "dy", x.shape())?;
    inv_rms.expect(OP, "inv_rms", &[groups])?;
    d_weight_d.expect(OP, "d_weight", weight_d.shape())?;
    let mut dx = x.unset_like();
    match x.device() {
        Device::Cpu => {
            backward_cpu(dy.cpu(), x.cpu(), weight_d.cpu(), inv_rms.cpu(), dx.cpu_mut(), d_weight_d.cpu_mut())
        }
    }
    Ok(dx)
}

fn groups(x: &Tensor, weight: &Tensor) -> Result<usize> {
    let width = weight.len();
    if weight.shape().len() != 1 || width == 0 {
        return Err(Error::shape(OP, "weight", "(D,) with D > 0", weight.shape()));
    }
    if !x.cols().is_multiple_of(width) {
        return Err(Error::shape(OP, "x", format!("a last dimension that is a multiple of {width}"), x.shape()));
    }
    Ok(x.len() / width)
}

fn forward_cpu(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], inv_rms: &mut [f32]) {
    let width = weight.len();
    let rows = loops::task_rows(width);
    let tasks = y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width)).zip(inv_rms.par_chunks_mut(rows));
    tasks.for_each(|((y, x), inv_rms)| {
        loops::vectorized(
            #[inline(always)]
            || {
                for ((y, x), inv) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(inv_rms) {
                    let squares = math::sum_map([x], |[x]| x * x);
                    *inv = (1.0 / (squares / width as f64 + f64::from(eps)).sqrt()) as f32;
                    let inv = *inv;
                    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                        *y = x * inv * w;
                    }
                }
            },
        );
    });
}

fn backward_cpu(dy: &[f32], x: &[f32], weight: &[f32], inv_rms: &[f32], dx: &mut [f32], d_weight: &mut [f32]) {
    let width = weight.len();
    let rows = loops::task_rows(width);
    let size = rows * width;
    let tasks = dx.par_chunks_mut(size).zip(dy.par_chunks(size)).zip(x.par_chunks(size)).zip(inv_rms.par_chunks(rows));
    let partials: Vec<Vec<f64>> = tasks
        .map(|(((dx, dy), x), inv_rms)| {
            let mut sums = vec![0f64; width];
            loops::vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
                    for (((dx, dy), x), &inv) in rows.zip(inv_rms) {
                        backward_row(dx, dy, x, weight, inv, &mut sums);
                    }
                },
            );
            sums
        })
        .collect();
    loops::add_partial_sums(d_weight, &partials);
}

#[inline(always)]
fn backward_row(dx: &mut [f32], dy: &[f32], x: &[f32], weight: &[f32], inv: f32, d_weight: &mut [f64]) {
    let mean = math::sum_map([dy, weight, x], |[dy, w, x]| dy * w * x) / weight.len() as f64;
    let slope = (mean * f64::from(inv) * f64::from(inv)) as f32;
    for (((dx, &dy), &x), &w) in dx.iter_mut().zip(dy).zip(x).zip(weight) {
        *dx = inv * (dy * w - x * slope);
    }
    for ((sum, &dy), &x) in d_weight.iter_mut().zip(dy).zip(x) {
        *sum += f64::from(dy * (x * inv));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, weigh, wide};

    fn naive(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
        let normalised = |x: &[f64]| -> Vec<f64> {
            let inv = 1.0 / (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + eps).sqrt();
            x.iter().zip(weight).map(|(x, w)| x * inv * w).collect()
        };
        x.chunks(weight.len()).flat_map(normalised).collect()
    }

    #[test]
    fn forward_and_gradients() {
        for (shape, width) in [([1, 1], 1), ([3, 17], 17), ([4, 12], 4), ([2, 65], 65)] {
            let (x, weight, dy) = (random(&shape, 1), random(&[width], 2), random(&shape, 3));
            let (wx, ww, wdy) = (wide(&x), wide(&weight), wide(&dy));
            let (y, inv_rms) = forward(&x, &weight, 1e-3).unwrap();
            check_close("y", &y, &naive(&wx, &ww, 1e-3), 1e-6);
            let mut d_weight = Tensor::zeros(&Device::Cpu, &[width]);
            let dx = backward(&dy, &x, &weight, &inv_rms, &mut d_weight).unwrap();
            check_close("dx", &dx, &gradient(&wx, |x| weigh(&naive(x, &ww, 1e-3), &wdy)), 1e-6);
            check_close("d_weight", &d_weight, &gradient(&ww, |w| weigh(&naive(&wx, w, 1e-3), &wdy)), 1e-6);
        }
    }

    #[test]
    fn many_tasks_give_the_sum_over_all_rows() {
        let (x, weight, dy) = (random(&[3000, 64], 1), random(&[64], 2), random(&[3000, 64], 3));
        let (y, inv_rms) = forward(&x, &weight, 1e-6).unwrap();
        let mut d_weight = Tensor::zeros(&Device::Cpu, &[64]);
        backward(&dy, &x, &weight, &inv_rms, &mut d_weight).unwrap();
        let (y, dy, w) = (wide(&y), wide(&dy), wide(&weight));
        let want: Vec<f64> = (0..64).map(|c| (0..3000).map(|r| dy[r * 64 + c] * y[r * 64 + c] / w[c]).sum()).collect();
        check_close("d_weight", &d_weight, &want, 1e-5);
    }

    #[test]
    fn widths_that_do_not_divide_are_errors() {
        assert!(forward(&random(&[2, 6], 1), &random(&[4], 2), 1e-6).is_err());
        assert!(forward(&random(&[2, 6], 1), &random(&[0], 2), 1e-6).is_err());
    }
}
