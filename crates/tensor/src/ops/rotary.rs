//! Rotary position embedding in rotate-half layout: pairs are `(x[j], x[j + D/2])`.
//!
//! Angles are computed as transformers does: inverse frequency, product with the position, cosine and sine all in f32.

use rayon::prelude::*;

use crate::cpu::loops;
use crate::{Device, Error, Result, Tensor};

const OP: &str = "rotary";

/// cos and sin of every token's angles, `(T, D/2)` each.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    /// `(T, D/2)`
    pub cos: Tensor,
    /// `(T, D/2)`
    pub sin: Tensor,
}

/// How the three position axes share the frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MropeLayout {
    /// Qwen3-VL: frequency `j` takes H if `j % 3 == 1 && j < 3*section[1]`, W if `j % 3 == 2 && j < 3*section[2]`, else T.
    Interleaved,
    /// Qwen2.5-VL: the first `section[0]` frequencies take T, the next `section[1]` H, the rest W.
    Chunked,
}

impl MropeLayout {
    /// Which of the axes (0 T, 1 H, 2 W) frequency `j` takes.
    fn axis(self, j: usize, section: [usize; 3]) -> usize {
        match self {
            Self::Interleaved => match j % 3 {
                axis if axis > 0 && j < 3 * section[axis] => axis,
                _ => 0,
            },
            Self::Chunked if j < section[0] => 0,
            Self::Chunked if j < section[0] + section[1] => 1,
            Self::Chunked => 2,
        }
    }
}

/// Table for a decoder: `positions` is (t, h, w), each `(T,)`; inverse frequency `theta^(-2j/D)`, f32 as in HF.
///
/// # Errors
/// [`Error::Argument`] if the head width is odd, the section does not add up to half of it, or the lists differ in length.
pub fn mrope_table(
    device: &Device,
    positions: &[Vec<i32>; 3],
    head_dim: usize,
    theta: f64,
    section: [usize; 3],
    layout: MropeLayout,
) -> Result<RotaryTable> {
    let sum = section.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if !head_dim.is_multiple_of(2) || sum != Some(head_dim / 2) {
        return Err(Error::argument(OP, format!("mrope section {section:?} does not add up to half of head_dim {head_dim}")));
    }
    let tokens = positions[0].len();
    if positions.iter().any(|axis| axis.len() != tokens) {
        let lengths: Vec<usize> = positions.iter().map(Vec::len).collect();
        return Err(Error::argument(OP, format!("the position lists of t, h and w have different lengths: {lengths:?}")));
    }
    let frequencies = inverse_frequencies(head_dim, theta);
    let axes: Vec<usize> = (0..head_dim / 2).map(|j| layout.axis(j, section)).collect();
    Ok(table(device, tokens, head_dim / 2, |token, j| positions[axes[j]][token] as f32 * frequencies[j]))
}

/// Table for a vision tower: each patch has a (row, column) position; the first half of the `D/2` angles use the row,
/// the second the column, each with inverse frequencies `theta^(-2j/(D/2))`, j in 0..D/4.
///
/// # Errors
/// [`Error::Argument`] if the head width is no multiple of 4.
pub fn vision_table(device: &Device, positions_hw: &[[u32; 2]], head_dim: usize, theta: f64) -> Result<RotaryTable> {
    if !head_dim.is_multiple_of(4) {
        return Err(Error::argument(OP, format!("a vision head_dim must be a multiple of 4, got {head_dim}")));
    }
    let frequencies = inverse_frequencies(head_dim / 2, theta);
    let quarter = head_dim / 4;
    Ok(table(device, positions_hw.len(), head_dim / 2, |patch, j| {
        let axis = usize::from(j >= quarter);
        positions_hw[patch][axis] as f32 * frequencies[j - axis * quarter]
    }))
}

/// Rotates every head of `x` `(T, heads*D)` in place by its token's angles.
///
/// # Errors
/// [`Error::Shape`] if the rows of `x` are not the table's, or its columns no multiple of the head width.
pub fn forward(x: &mut Tensor, table: &RotaryTable) -> Result<()> {
    rotate(x, table, 1.0)
}

/// Rotates the gradient back in place (the transposed rotation).
///
/// # Errors
/// As [`forward`].
pub fn backward(dy: &mut Tensor, table: &RotaryTable) -> Result<()> {
    rotate(dy, table, -1.0)
}

/// `1 / theta^(2j/dim)` for `j` in `0..dim/2`.
fn inverse_frequencies(dim: usize, theta: f64) -> Vec<f32> {
    (0..dim / 2).map(|j| 1.0 / (theta as f32).powf((2 * j) as f32 / dim as f32)).collect()
}

fn table(device: &Device, tokens: usize, half: usize, angle: impl Fn(usize, usize) -> f32 + Sync) -> RotaryTable {
    let mut cos = vec![0.0; tokens * half];
    let mut sin = vec![0.0; tokens * half];
    if half > 0 {
        let rows = loops::task_rows(half * 16);
        let tasks = cos.par_chunks_mut(rows * half).zip(sin.par_chunks_mut(rows * half)).enumerate();
        tasks.for_each(|(task, (cos, sin))| {
            for (i, (cos, sin)) in cos.iter_mut().zip(sin).enumerate() {
                (*sin, *cos) = angle(task * rows + i / half, i % half).sin_cos();
            }
        });
    }
    match device {
        Device::Cpu => RotaryTable { cos: Tensor::from_cpu(cos, &[tokens, half]), sin: Tensor::from_cpu(sin, &[tokens, half]) },
    }
}

/// `(a, b) -> (a cos - b sin, b cos + a sin)` with `sin` multiplied by `sign`.
fn rotate(x: &mut Tensor, table: &RotaryTable, sign: f32) -> Result<()> {
    let half = table.cos.cols();
    table.sin.expect(OP, "sin", table.cos.shape())?;
    if half == 0 || x.rows() != table.cos.rows() || !x.cols().is_multiple_of(2 * half) {
        return Err(Error::shape(OP, "x", format!("({}, a multiple of {})", table.cos.rows(), 2 * half), x.shape()));
    }
    match x.device() {
        Device::Cpu => {
            let cols = x.cols();
            rotate_cpu(x.cpu_mut(), cols, table.cos.cpu(), table.sin.cpu(), half, sign);
        }
    }
    Ok(())
}

fn rotate_cpu(x: &mut [f32], cols: usize, cos: &[f32], sin: &[f32], half: usize, sign: f32) {
    if cols == 0 {
        return;
    }
    let rows = loops::task_rows(cols);
    let tasks = x.par_chunks_mut(rows * cols).zip(cos.par_chunks(rows * half)).zip(sin.par_chunks(rows * half));
    tasks.for_each(|((x, cos), sin)| {
        loops::vectorized(
            #[inline(always)]
            || {
                let rows = x.chunks_exact_mut(cols).zip(cos.chunks_exact(half)).zip(sin.chunks_exact(half));
                for ((x, cos), sin) in rows {
                    for head in x.chunks_exact_mut(2 * half) {
                        let (a, b) = head.split_at_mut(half);
                        for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                            let (old_a, old_b) = (*a, *b);
                            *a = old_a * cos - old_b * (sign * sin);
                            *b = old_b * cos + old_a * (sign * sin);
                        }
                    }
                }
            },
        );
    });
}
