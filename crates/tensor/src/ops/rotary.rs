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
                axis if axis > 0 && j / 3 < section[axis] => axis,
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
/// [`Error::Argument`] if the head width is odd, if the section of a chunked layout does not add up to half of it (an
/// interleaved one only bounds H and W), or if the lists differ in length.
pub fn mrope_table(
    device: &Device,
    positions: &[Vec<i32>; 3],
    head_dim: usize,
    theta: f64,
    section: [usize; 3],
    layout: MropeLayout,
) -> Result<RotaryTable> {
    let sum = section.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if !head_dim.is_multiple_of(2) || (layout == MropeLayout::Chunked && sum != Some(head_dim / 2)) {
        return Err(Error::argument(
            OP,
            format!("mrope section {section:?} does not add up to half of head_dim {head_dim}"),
        ));
    }
    let tokens = positions[0].len();
    if positions.iter().any(|axis| axis.len() != tokens) {
        let lengths: Vec<usize> = positions.iter().map(Vec::len).collect();
        return Err(Error::argument(
            OP,
            format!("the position lists of t, h and w have different lengths: {lengths:?}"),
        ));
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

/// Inverse frequency and position axis (0 t, 1 h, 2 w) of every angle of [`mrope_table`].
pub fn mrope_frequencies(
    head_dim: usize,
    theta: f64,
    section: [usize; 3],
    layout: MropeLayout,
) -> (Vec<f32>, Vec<i32>) {
    let axes = (0..head_dim / 2).map(|j| layout.axis(j, section) as i32).collect();
    (inverse_frequencies(head_dim, theta), axes)
}

/// Inverse frequency and position axis (0 row, 1 column) of every angle of [`vision_table`].
pub fn vision_frequencies(head_dim: usize, theta: f64) -> (Vec<f32>, Vec<i32>) {
    let own = inverse_frequencies(head_dim / 2, theta);
    let axes = [vec![0; own.len()], vec![1; own.len()]].concat();
    ([own.clone(), own].concat(), axes)
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

/// `1 / theta^(2j/dim)` for `j` in `0..dim/2`: exponent, power and reciprocal each rounded to f32.
///
/// The power is taken in f64, which comes closer to torch's f32 power than the f32 one of the C library.
fn inverse_frequencies(dim: usize, theta: f64) -> Vec<f32> {
    (0..dim / 2).map(|j| 1.0 / theta.powf(f64::from((2 * j) as f32 / dim as f32)) as f32).collect()
}

fn table(device: &Device, tokens: usize, half: usize, angle: impl Fn(usize, usize) -> f32 + Sync) -> RotaryTable {
    let unset = || Tensor::unset(device, &[tokens, half]);
    let mut table = RotaryTable { cos: unset(), sin: unset() };
    match device {
        Device::Cpu if half > 0 => {
            // Sines cost about 16 times what other values do.
            let rows = loops::task_rows(16 * half);
            let tasks =
                table.cos.cpu_mut().par_chunks_mut(rows * half).zip(table.sin.cpu_mut().par_chunks_mut(rows * half));
            tasks.enumerate().for_each(|(task, (cos, sin))| {
                for (i, (cos, sin)) in cos.iter_mut().zip(sin).enumerate() {
                    (*sin, *cos) = angle(task * rows + i / half, i % half).sin_cos();
                }
            });
        }
        Device::Cpu => {}
    }
    table
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, random, weigh, wide};

    #[test]
    fn frequencies_have_the_bits_of_torch() {
        let got = inverse_frequencies(128, 5e6);
        // From `1.0 / (5e6 ** (torch.arange(0, 128, 2).float() / 128))`.
        for (j, bits) in [
            (0, 0x3f80_0000),
            (1, 0x3f49_2c28),
            (2, 0x3f1e_165d),
            (10, 0x3db7_ea1a),
            (31, 0x3a15_2f76),
            (63, 0x3488_a34f),
        ] {
            assert_eq!(got[j].to_bits(), bits, "frequency {j}");
        }
    }

    /// The axis of every frequency, read off positions that differ by axis.
    fn axes(half: usize, section: [usize; 3], layout: MropeLayout) -> Vec<usize> {
        let table = |axis: usize| {
            let positions = [0, 1, 2].map(|a| vec![i32::from(a == axis)]);
            mrope_table(&Device::Cpu, &positions, 2 * half, 1e4, section, layout).unwrap().sin.to_vec()
        };
        let sines = [table(0), table(1), table(2)];
        (0..half).map(|j| (0..3).find(|&axis| sines[axis][j] != 0.0).unwrap()).collect()
    }

    #[test]
    fn axes_share_the_frequencies() {
        assert_eq!(axes(8, [4, 2, 2], MropeLayout::Chunked), [0, 0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(axes(8, [4, 2, 2], MropeLayout::Interleaved), [0, 1, 2, 0, 1, 2, 0, 0]);
        assert_eq!(axes(8, [3, 3, 2], MropeLayout::Interleaved), [0, 1, 2, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn vision_angles_use_the_row_then_the_column() {
        let table = vision_table(&Device::Cpu, &[[3, 5]], 8, 1e4).unwrap();
        let want = [3.0f32, 3.0 * 0.01, 5.0, 5.0 * 0.01];
        for (j, angle) in want.into_iter().enumerate() {
            assert!((table.cos.cpu()[j] - angle.cos()).abs() < 1e-6 && (table.sin.cpu()[j] - angle.sin()).abs() < 1e-6);
        }
    }

    #[test]
    fn pairs_turn_by_their_angle_and_gradients_turn_back() {
        let positions = [vec![0, 7, 2000], vec![1, 7, 3], vec![2, 8, 5]];
        let table = mrope_table(&Device::Cpu, &positions, 12, 1e4, [2, 2, 2], MropeLayout::Interleaved).unwrap();
        let x = random(&[3, 24], 1);
        let mut y = x.clone();
        forward(&mut y, &table).unwrap();
        let want = |i: usize| {
            let (token, head, lane) = (i / 24, i % 24 / 12, i % 12);
            let (cos, sin) =
                (f64::from(table.cos.cpu()[token * 6 + lane % 6]), f64::from(table.sin.cpu()[token * 6 + lane % 6]));
            let at = |lane: usize| f64::from(x.cpu()[token * 24 + head * 12 + lane]);
            if lane < 6 { at(lane) * cos - at(lane + 6) * sin } else { at(lane) * cos + at(lane - 6) * sin }
        };
        check_close("y", &y, &(0..72).map(want).collect::<Vec<_>>(), 1e-6);
        // The transposed rotation: <y, dy> = <x, dx>.
        let dy = random(&[3, 24], 2);
        let mut dx = dy.clone();
        backward(&mut dx, &table).unwrap();
        assert!((weigh(&wide(&y), &wide(&dy)) - weigh(&wide(&x), &wide(&dx))).abs() < 1e-5);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let position = [vec![0], vec![0], vec![0]];
        let table = |positions: &[Vec<i32>; 3], head_dim, section| {
            mrope_table(&Device::Cpu, positions, head_dim, 1e4, section, MropeLayout::Chunked)
        };
        assert!(table(&position, 7, [1, 1, 1]).is_err());
        assert!(table(&position, 8, [1, 1, 1]).is_err());
        assert!(table(&position, 8, [usize::MAX, 1, 4]).is_err());
        assert!(table(&[vec![0], vec![], vec![0]], 8, [2, 1, 1]).is_err());
        assert!(vision_table(&Device::Cpu, &[[0, 0]], 6, 1e4).is_err());
        let table = table(&position, 8, [2, 1, 1]).unwrap();
        assert!(forward(&mut random(&[2, 8], 1), &table).is_err());
        assert!(forward(&mut random(&[1, 12], 1), &table).is_err());
    }
}
