//! The language-model head fused with its loss, chunk by chunk over rows, so that `(N, V)` logits never exist.

use rayon::prelude::*;

use crate::cpu::buffer::Buffer;
use crate::cpu::gemm::{Threads, Write, gemm};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::{loops, math};
use crate::{Device, Error, Indices, Result, Tensor};

const OP: &str = "linear_cross_entropy";

/// Logits that exist at one time (64 MiB of f32).
const CHUNK_LOGITS: usize = 16 << 20;

/// Sum over rows of `-log softmax(x_NC · head_VC^T)[target]`, accumulated in f64 in row order.
///
/// # Errors
/// [`Error::Shape`] if the widths or counts do not match, [`Error::Index`] if a target is outside the vocabulary.
pub fn forward(x_nc: &Tensor, head_vc: &Tensor, targets_n: &Indices) -> Result<f64> {
    Ok(forward_per_row(x_nc, head_vc, targets_n)?.iter().sum())
}

/// `-log softmax(x_NC · head_VC^T)[target]` of every row.
///
/// # Errors
/// As [`forward`].
pub fn forward_per_row(x_nc: &Tensor, head_vc: &Tensor, targets_n: &Indices) -> Result<Vec<f64>> {
    check(x_nc, head_vc, targets_n)?;
    match x_nc.device() {
        Device::Cpu => {
            let head = Mat::new(head_vc.cpu(), head_vc.rows(), head_vc.cols());
            let x = Mat::new(x_nc.cpu(), x_nc.rows(), x_nc.cols());
            let mut losses = Vec::with_capacity(x.rows);
            for_each_chunk(x, head, targets_n.cpu(), |_, targets, logits| {
                let chunk = logits.par_chunks(head.rows).zip(targets);
                losses.par_extend(
                    chunk.map(|(logits, &target)| log_sum_exp(logits) - f64::from(logits[target as usize])),
                );
            });
            Ok(losses)
        }
    }
}

/// The same sum, with the gradients of `scale * sum`: returns `(sum, dx_NC)` and adds to `d_head_VC`.
///
/// # Errors
/// As [`forward`].
pub fn forward_backward(
    x_nc: &Tensor,
    head_vc: &Tensor,
    targets_n: &Indices,
    scale: f32,
    d_head_vc: &mut Tensor,
) -> Result<(f64, Tensor)> {
    check(x_nc, head_vc, targets_n)?;
    d_head_vc.expect(OP, "d_head", head_vc.shape())?;
    let mut dx = x_nc.unset_like();
    let sum = match x_nc.device() {
        Device::Cpu => {
            let head = Mat::new(head_vc.cpu(), head_vc.rows(), head_vc.cols());
            let x = Mat::new(x_nc.cpu(), x_nc.rows(), x_nc.cols());
            let mut dx = MatMut::new(dx.cpu_mut(), x.rows, x.cols);
            let mut d_head = MatMut::new(d_head_vc.cpu_mut(), head.rows, head.cols);
            let mut losses: Vec<f64> = Vec::with_capacity(x.rows);
            for_each_chunk(x, head, targets_n.cpu(), |row0, targets, logits| {
                let rows = targets.len();
                let chunk = logits.par_chunks_mut(head.rows).zip(targets);
                losses.par_extend(chunk.map(|(logits, &target)| loss_and_gradient(logits, target as usize, scale)));
                let d_logits = Mat::new(logits, rows, head.rows);
                gemm(dx.row_block(row0, rows), Write::Set, 1.0, d_logits, head, Threads::Pool);
                gemm(d_head.reborrow(), Write::Add, 1.0, d_logits.t(), x.block(row0, rows, 0, x.cols), Threads::Pool);
            });
            losses.iter().sum()
        }
    };
    Ok((sum, dx))
}

fn check(x: &Tensor, head: &Tensor, targets: &Indices) -> Result<()> {
    if head.shape().len() != 2 {
        return Err(Error::shape(OP, "head", "(V, C)", head.shape()));
    }
    x.expect(OP, "x", &[targets.len(), head.cols()])?;
    targets.check_below(OP, head.rows())
}

/// Computes the logits of some rows at a time and calls `f(first row, targets, logits)`.
fn for_each_chunk(x: Mat<'_>, head: Mat<'_>, targets: &[i32], mut f: impl FnMut(usize, &[i32], &mut [f32])) {
    let vocabulary = head.rows.max(1);
    let chunk_rows = (CHUNK_LOGITS / vocabulary).clamp(1, x.rows.max(1));
    let mut logits = Buffer::unset(chunk_rows * vocabulary);
    for (chunk, targets) in targets.chunks(chunk_rows).enumerate() {
        let (row0, rows) = (chunk * chunk_rows, targets.len());
        let logits = &mut logits[..rows * vocabulary];
        let dst = MatMut::new(logits, rows, vocabulary);
        gemm(dst, Write::Set, 1.0, x.block(row0, rows, 0, x.cols), head.t(), Threads::Pool);
        f(row0, targets, logits);
    }
}

/// `log(sum of e^logit)`; the largest logit is subtracted first.
fn log_sum_exp(logits: &[f32]) -> f64 {
    loops::vectorized(
        #[inline(always)]
        || {
            let max = math::max(logits);
            f64::from(max) + math::sum_map([logits], |[v]| math::softmax_term(v - max)).ln()
        },
    )
}

/// Returns the row's loss and turns its logits into `scale * (softmax - one_hot(target))`.
fn loss_and_gradient(logits: &mut [f32], target: usize, scale: f32) -> f64 {
    let target_logit = f64::from(logits[target]);
    let log_sum_exp = loops::vectorized(
        #[inline(always)]
        || {
            let max = math::max(logits);
            let sum = math::softmax_terms(logits, max);
            math::scale(logits, (f64::from(scale) / sum) as f32);
            f64::from(max) + sum.ln()
        },
    );
    logits[target] -= scale;
    log_sum_exp - target_logit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, tensor, weigh, wide};

    fn naive(x: &[f64], head: &[f64], targets: &[i32], width: usize) -> f64 {
        let row = |(x, &target): (&[f64], &i32)| {
            let logits: Vec<f64> = head.chunks(width).map(|head| weigh(x, head)).collect();
            logits.iter().map(|v| v.exp()).sum::<f64>().ln() - logits[target as usize]
        };
        x.chunks(width).zip(targets).map(row).sum()
    }

    #[test]
    fn loss_and_gradients() {
        for (rows, vocabulary, width) in [(1, 1, 1), (3, 17, 5), (5, 65, 3)] {
            let (x, head) = (random(&[rows, width], 1), random(&[vocabulary, width], 2));
            let list: Vec<i32> = (0..rows).map(|i| (i * 7 % vocabulary) as i32).collect();
            let targets = Indices::new(&Device::Cpu, list.clone());
            let (wx, wh) = (wide(&x), wide(&head));
            let want = naive(&wx, &wh, &list, width);
            let close = |loss: f64| assert!((loss - want).abs() <= 1e-6 * (1.0 + want), "{loss} for {want}");
            close(forward(&x, &head, &targets).unwrap());
            assert_eq!(forward_per_row(&x, &head, &targets).unwrap().len(), rows);
            let mut d_head = head.clone();
            let (loss, dx) = forward_backward(&x, &head, &targets, 0.5, &mut d_head).unwrap();
            close(loss);
            check_close("dx", &dx, &gradient(&wx, |x| 0.5 * naive(x, &wh, &list, width)), 1e-6);
            let d_head_want: Vec<f64> = gradient(&wh, |head| 0.5 * naive(&wx, head, &list, width))
                .iter()
                .zip(&wh)
                .map(|(new, old)| old + new)
                .collect();
            check_close("d_head", &d_head, &d_head_want, 1e-6);
        }
    }

    #[test]
    fn chunks_do_not_change_the_result() {
        // A vocabulary so large that a chunk holds three rows.
        let (rows, vocabulary) = (7, CHUNK_LOGITS / 3 - 5);
        let (x, head) = (random(&[rows, 1], 1), random(&[vocabulary, 1], 2));
        let targets = Indices::new(&Device::Cpu, (0..rows).map(|i| (i * 1_000_003 % vocabulary) as i32).collect());
        let all = forward_per_row(&x, &head, &targets).unwrap();
        let one_by_one: Vec<f64> = (0..rows)
            .map(|i| {
                let x = tensor(vec![x.cpu()[i]], &[1, 1]);
                forward(&x, &head, &Indices::new(&Device::Cpu, vec![targets.cpu()[i]])).unwrap()
            })
            .collect();
        assert!(all.iter().zip(&one_by_one).all(|(a, b)| (a - b).abs() < 1e-6 * b), "{all:?} {one_by_one:?}");
    }

    #[test]
    fn large_logits_and_bad_operands() {
        let big = tensor(vec![300.0, -300.0], &[2, 1]);
        let head = tensor(vec![1.0, 0.0, -1.0], &[3, 1]);
        let targets = |list: &[i32]| Indices::new(&Device::Cpu, list.to_vec());
        assert_eq!(forward_per_row(&big, &head, &targets(&[0, 0])).unwrap(), [0.0, 600.0]);
        assert!(forward(&big, &head, &targets(&[0, 3])).is_err());
        assert!(forward(&big, &head, &targets(&[0])).is_err());
        assert_eq!(forward(&random(&[0, 1], 1), &head, &targets(&[])).unwrap(), 0.0);
    }
}
