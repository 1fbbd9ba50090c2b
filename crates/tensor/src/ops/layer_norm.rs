//! LayerNorm over the last dimension with weight and bias.

use rayon::prelude::*;

use crate::cpu::{loops, math};
use crate::{Device, Error, Result, Tensor};

const OP: &str = "layer_norm";

/// Mean and reciprocal standard deviation of every row, kept for backward.
#[derive(Clone, Debug)]
pub struct Stats {
    /// `(N,)`
    pub mean_n: Tensor,
    /// `(N,)`
    pub inv_std_n: Tensor,
}

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` (biased variance).
///
/// # Errors
/// [`Error::Shape`] if weight or bias are not `(C,)` with `C` the last dimension of `x`.
pub fn forward(x_nc: &Tensor, weight_c: &Tensor, bias_c: &Tensor, eps: f32) -> Result<(Tensor, Stats)> {
    check(x_nc, weight_c)?;
    bias_c.expect(OP, "bias", weight_c.shape())?;
    let per_row = Tensor::unset(&x_nc.device(), &[x_nc.rows()]);
    let (mut y, mut stats) = (x_nc.unset_like(), Stats { mean_n: per_row.clone(), inv_std_n: per_row });
    match x_nc.device() {
        Device::Cpu => {
            let (mean, inv_std) = (stats.mean_n.cpu_mut(), stats.inv_std_n.cpu_mut());
            forward_cpu(x_nc.cpu(), weight_c.cpu(), bias_c.cpu(), eps, y.cpu_mut(), mean, inv_std);
        }
    }
    Ok((y, stats))
}

/// Returns `dx`; adds to `d_weight` and `d_bias`.
///
/// With `n = (x - mean) * inv_std` and `g = dy * weight`: `dx = inv_std (g - mean(g) - n mean(g n))`.
///
/// # Errors
/// [`Error::Shape`] if the operands do not have the shapes of [`forward`].
pub fn backward(
    dy_nc: &Tensor,
    x_nc: &Tensor,
    weight_c: &Tensor,
    stats: &Stats,
    d_weight_c: &mut Tensor,
    d_bias_c: &mut Tensor,
) -> Result<Tensor> {
    check(x_nc, weight_c)?;
    dy_nc.expect(OP, "dy", x_nc.shape())?;
    stats.mean_n.expect(OP, "mean", &[x_nc.rows()])?;
    stats.inv_std_n.expect(OP, "inv_std", &[x_nc.rows()])?;
    d_weight_c.expect(OP, "d_weight", weight_c.shape())?;
    d_bias_c.expect(OP, "d_bias", weight_c.shape())?;
    let mut dx = x_nc.unset_like();
    match x_nc.device() {
        Device::Cpu => {
            let partials = backward_cpu(dy_nc.cpu(), x_nc.cpu(), weight_c.cpu(), stats, dx.cpu_mut());
            loops::add_partial_sums(
                d_weight_c.cpu_mut(),
                &partials.iter().map(|p| p.weight.as_slice()).collect::<Vec<_>>(),
            );
            loops::add_partial_sums(
                d_bias_c.cpu_mut(),
                &partials.iter().map(|p| p.bias.as_slice()).collect::<Vec<_>>(),
            );
        }
    }
    Ok(dx)
}

fn check(x: &Tensor, weight: &Tensor) -> Result<()> {
    if x.cols() == 0 {
        return Err(Error::shape(OP, "x", "(N, C) with C > 0", x.shape()));
    }
    weight.expect(OP, "weight", &[x.cols()])
}

fn forward_cpu(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    y: &mut [f32],
    mean: &mut [f32],
    inv_std: &mut [f32],
) {
    let width = weight.len();
    let rows = loops::task_rows(width);
    let matrices = y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width));
    matrices.zip(mean.par_chunks_mut(rows)).zip(inv_std.par_chunks_mut(rows)).for_each(|(((y, x), mean), inv_std)| {
        loops::vectorized(
            #[inline(always)]
            || {
                let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for (((y, x), mean), inv) in rows.zip(mean).zip(inv_std) {
                    *mean = (math::sum(x) / width as f64) as f32;
                    let m = *mean;
                    let squares = math::sum_map([x], |[x]| (x - m) * (x - m));
                    *inv = (1.0 / (squares / width as f64 + f64::from(eps)).sqrt()) as f32;
                    let inv = *inv;
                    for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        *y = (x - m) * inv * w + b;
                    }
                }
            },
        );
    });
}

/// What one task adds to the gradients of weight and bias.
struct Partial {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

fn backward_cpu(dy: &[f32], x: &[f32], weight: &[f32], stats: &Stats, dx: &mut [f32]) -> Vec<Partial> {
    let width = weight.len();
    let rows = loops::task_rows(width);
    let size = rows * width;
    let matrices = dx.par_chunks_mut(size).zip(dy.par_chunks(size)).zip(x.par_chunks(size));
    let tasks = matrices.zip(stats.mean_n.cpu().par_chunks(rows)).zip(stats.inv_std_n.cpu().par_chunks(rows));
    tasks
        .map(|((((dx, dy), x), mean), inv_std)| {
            let mut partial = Partial { weight: vec![0.0; width], bias: vec![0.0; width] };
            loops::vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
                    for ((((dx, dy), x), &mean), &inv) in rows.zip(mean).zip(inv_std) {
                        backward_row(dx, dy, x, weight, mean, inv, &mut partial);
                    }
                },
            );
            partial
        })
        .collect()
}

#[inline(always)]
fn backward_row(dx: &mut [f32], dy: &[f32], x: &[f32], weight: &[f32], mean: f32, inv: f32, partial: &mut Partial) {
    let width = weight.len() as f64;
    let mean_g = (math::sum_map([dy, weight], |[dy, w]| dy * w) / width) as f32;
    let sum_gn = math::sum_map([dy, weight, x], |[dy, w, x]| dy * w * (x - mean));
    let slope = (sum_gn / width * f64::from(inv)) as f32;
    for (((dx, &dy), &x), &w) in dx.iter_mut().zip(dy).zip(x).zip(weight) {
        *dx = inv * (dy * w - mean_g - (x - mean) * inv * slope);
    }
    for ((sum, &dy), &x) in partial.weight.iter_mut().zip(dy).zip(x) {
        *sum += f64::from(dy * ((x - mean) * inv));
    }
    for (sum, &dy) in partial.bias.iter_mut().zip(dy) {
        *sum += f64::from(dy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, tensor, weigh, wide};

    fn naive(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
        let normalised = |x: &[f64]| -> Vec<f64> {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let inv = 1.0 / (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64 + eps).sqrt();
            x.iter().zip(weight.iter().zip(bias)).map(|(x, (w, b))| (x - mean) * inv * w + b).collect()
        };
        x.chunks(weight.len()).flat_map(normalised).collect()
    }

    #[test]
    fn forward_and_gradients() {
        const EPS: f64 = 1e-3;
        for shape in [[1, 1], [3, 17], [4, 12], [2, 65]] {
            let [x, dy] = [1, 2].map(|seed| random(&shape, seed));
            let [weight, bias] = [3, 4].map(|seed| random(&shape[1..], seed));
            let (wx, ww, wb, wdy) = (wide(&x), wide(&weight), wide(&bias), wide(&dy));
            let (y, stats) = forward(&x, &weight, &bias, EPS as f32).unwrap();
            check_close("y", &y, &naive(&wx, &ww, &wb, EPS), 1e-6);
            let (mut d_weight, mut d_bias) = (weight.zeros_like(), bias.zeros_like());
            let dx = backward(&dy, &x, &weight, &stats, &mut d_weight, &mut d_bias).unwrap();
            check_close("dx", &dx, &gradient(&wx, |x| weigh(&naive(x, &ww, &wb, EPS), &wdy)), 2e-6);
            check_close("d_weight", &d_weight, &gradient(&ww, |w| weigh(&naive(&wx, w, &wb, EPS), &wdy)), 1e-6);
            check_close("d_bias", &d_bias, &gradient(&wb, |b| weigh(&naive(&wx, &ww, b, EPS), &wdy)), 1e-6);
        }
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        let x = tensor(random(&[2, 64], 1).cpu().iter().map(|v| 1000.0 + v).collect::<Vec<_>>(), &[2, 64]);
        let (weight, bias) = (random(&[64], 2), random(&[64], 3));
        let (y, _) = forward(&x, &weight, &bias, 1e-6).unwrap();
        check_close("y", &y, &naive(&wide(&x), &wide(&weight), &wide(&bias), 1e-6), 1e-4);
    }

    #[test]
    fn wrong_widths_are_errors() {
        let x = random(&[2, 6], 1);
        assert!(forward(&x, &random(&[4], 2), &random(&[4], 2), 1e-6).is_err());
        assert!(forward(&x, &random(&[6], 2), &random(&[4], 2), 1e-6).is_err());
        assert!(forward(&random(&[2, 0], 1), &random(&[0], 2), &random(&[0], 2), 1e-6).is_err());
    }
}
