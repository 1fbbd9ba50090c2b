//! Bicubic antialiased resizing, equal to what the Python stack computes.
//!
//! All three definitions use Keys' cubic with a = -0.5, widened by the scale when shrinking. They differ in precision:
//! f32 throughout, or fixed point with 8-bit values between the passes.

use crate::error::{Error, Result};
use crate::frame::RgbFrame;

/// Which definition of bicubic antialiased resizing to follow; all give 8-bit values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeKernel {
    /// torchvision v1 `functional.resize` on uint8 (what qwen_vl_utils calls): f32 arithmetic, rounded at the end.
    #[default]
    TorchF32,
    /// torchvision v2 uint8: 16-bit weights.
    TorchvisionU8,
    /// Pillow: 22-bit weights.
    Pil,
}

/// Resizes a frame, bicubic with antialiasing.
///
/// `TorchF32` sums rows before columns (torch does columns first), which changes a byte in about a million by 1.
///
/// # Errors
/// [`Error::InvalidPicture`] if a side is 0 or over 65535, or the frame's data does not fit its size.
pub fn resize(frame: &RgbFrame, width: u32, height: u32, kernel: ResizeKernel) -> Result<RgbFrame> {
    let sides = [frame.width, frame.height, width, height];
    let wrong_side = sides.iter().any(|side| !(1..=0xffff).contains(side));
    if wrong_side || frame.data.len() as u64 != 3 * u64::from(frame.width) * u64::from(frame.height) {
        return Err(Error::InvalidPicture(format!(
            "cannot resize {}x{} with {} bytes to {width}x{height}",
            frame.width,
            frame.height,
            frame.data.len()
        )));
    }
    let (to_width, to_height) = (width as usize, height as usize);
    let (from_width, from_height) = (frame.width as usize, frame.height as usize);
    // Compiled once per vector extension; the best one of this machine runs.
    let data = pulp::Arch::new().dispatch(|| match kernel {
        ResizeKernel::TorchF32 => {
            torch_f32(&frame.data, &taps_f32(from_width, to_width), &taps_f32(from_height, to_height), from_width)
        }
        ResizeKernel::TorchvisionU8 => {
            let columns = Fixed::new(&taps_f64(from_width, to_width), sixteen_bit_precision);
            let rows = Fixed::new(&taps_f64(from_height, to_height), sixteen_bit_precision);
            fixed_point(&frame.data, &columns, &rows, from_width)
        }
        ResizeKernel::Pil => {
            let columns = Fixed::new(&taps_f64(from_width, to_width), |_| 22);
            let rows = Fixed::new(&taps_f64(from_height, to_height), |_| 22);
            fixed_point(&frame.data, &columns, &rows, from_width)
        }
    });
    Ok(RgbFrame { width, height, data })
}

/// The source pixels that make one target pixel.
struct Taps<T> {
    /// First source pixel.
    start: usize,
    /// Weights of it and the next ones; they sum to 1.
    weights: Vec<T>,
}

/// Weights in f32, as ATen's `_compute_indices_weights_aa` for float tensors.
fn taps_f32(from: usize, to: usize) -> Vec<Taps<f32>> {
    let scale = from as f32 / to as f32;
    let (support, inverse) = if scale >= 1.0 { (2.0 * scale, 1.0 / scale) } else { (2.0, 1.0) };
    let taps = |i: usize| {
        let center = scale * (i as f32 + 0.5);
        let start = ((center - support + 0.5) as i64).max(0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights = (start..end).map(|j| cubic_f32((j as f32 - center + 0.5) * inverse)).collect::<Vec<_>>();
        let total: f32 = weights.iter().sum();
        Taps { start, weights: weights.iter().map(|weight| weight / total).collect() }
    };
    (0..to).map(taps).collect()
}

/// The same in f64, as Pillow's `precompute_coeffs` and ATen's uint8 kernels.
fn taps_f64(from: usize, to: usize) -> Vec<Taps<f64>> {
    let scale = from as f64 / to as f64;
    let (support, inverse) = (2.0 * scale.max(1.0), 1.0 / scale.max(1.0));
    let taps = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let start = ((center - support + 0.5) as i64).max(0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights = (start..end).map(|j| cubic_f64((j as f64 - center + 0.5) * inverse)).collect::<Vec<_>>();
        let total: f64 = weights.iter().sum();
        Taps { start, weights: weights.iter().map(|weight| weight / total).collect() }
    };
    (0..to).map(taps).collect()
}

/// Keys' cubic with a = -0.5.
fn cubic_f32(x: f32) -> f32 {
    const A: f32 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Keys' cubic with a = -0.5.
fn cubic_f64(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Floats summed at once: several vector registers, so that sums do not wait for each other.
const LANES: usize = 64;

/// Vertical pass, then horizontal, all in f32; clamped and rounded half to even at the end.
#[inline(always)]
fn torch_f32(source: &[u8], columns: &[Taps<f32>], rows: &[Taps<f32>], from_width: usize) -> Vec<u8> {
    let row_len = from_width * 3;
    // Floats beyond the row, so that four can be read at its last pixel and the last block is whole.
    let mut row = vec![0f32; row_len.next_multiple_of(LANES) + LANES];
    let mut data = vec![0u8; rows.len() * columns.len() * 3];
    for (taps, out) in rows.iter().zip(data.chunks_exact_mut(columns.len() * 3)) {
        sum_rows(&source[taps.start * row_len..], row_len, &taps.weights, &mut row);
        for (taps, pixel) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
            let mut sums = [0f32; 4];
            for (k, weight) in taps.weights.iter().enumerate() {
                let at = (taps.start + k) * 3;
                let four: &[f32; 4] = row[at..].first_chunk().unwrap_or(&[0.0; 4]);
                for (sum, value) in sums.iter_mut().zip(four) {
                    *sum += weight * value;
                }
            }
            for (byte, sum) in pixel.iter_mut().zip(sums) {
                *byte = round_f32(sum);
            }
        }
    }
    data
}

/// Clamps to a byte and rounds half to even.
#[inline(always)]
fn round_f32(value: f32) -> u8 {
    // Adding 2^23 leaves no fraction bits, so the sum is rounded half to even by the arithmetic itself: this is
    // `round_ties_even` without a library call on machines before SSE4.1.
    const WHOLE: f32 = 8_388_608.0;
    ((value.clamp(0.0, 255.0) + WHOLE) - WHOLE) as u8
}

/// `row[x] = sum over k of weights[k] * source[k * row_len + x]`.
#[inline(always)]
fn sum_rows(source: &[u8], row_len: usize, weights: &[f32], row: &mut [f32]) {
    let (blocks, _) = row.as_chunks_mut::<LANES>();
    for (nth, block) in blocks.iter_mut().enumerate().take(row_len.div_ceil(LANES)) {
        let x = nth * LANES;
        let mut sums = [0f32; LANES];
        for (k, &weight) in weights.iter().enumerate() {
            let line = &source[k * row_len..(k + 1) * row_len];
            match line[x..].first_chunk::<LANES>() {
                Some(values) => {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum += weight * f32::from(value);
                    }
                }
                None => {
                    for (sum, &value) in sums.iter_mut().zip(&line[x..]) {
                        *sum += weight * f32::from(value);
                    }
                }
            }
        }
        *block = sums;
    }
}

/// Weights as integers, times two to the power of `precision`.
struct Fixed {
    taps: Vec<Taps<i32>>,
    precision: u32,
}

impl Fixed {
    /// Rounds weights half away from zero; `precision` is chosen from the largest.
    fn new(taps: &[Taps<f64>], precision: impl Fn(f64) -> u32) -> Self {
        let largest = taps.iter().flat_map(|taps| &taps.weights).copied().fold(0.0, f64::max);
        let precision = precision(largest);
        let scale = f64::from(1u32 << precision);
        let fixed = |taps: &Taps<f64>| Taps {
            start: taps.start,
            weights: taps.weights.iter().map(|weight| (weight * scale).round() as i32).collect(),
        };
        Self { taps: taps.iter().map(fixed).collect(), precision }
    }
}

/// The most bits with which the largest weight still fits 16 bits (ATen's uint8 kernels), at most 22.
fn sixteen_bit_precision(largest: f64) -> u32 {
    (0..22).find(|&bits| (0.5 + largest * f64::from(1u32 << (bits + 1))) as i64 >= 1 << 15).unwrap_or(22)
}

/// Horizontal pass, then vertical, each rounded to bytes.
#[inline(always)]
fn fixed_point(source: &[u8], columns: &Fixed, rows: &Fixed, from_width: usize) -> Vec<u8> {
    let to_byte = |sum: i32, precision: u32| (sum >> precision).clamp(0, 255) as u8;
    let row_len = columns.taps.len() * 3;
    let mut narrow = Vec::with_capacity(source.len() / (from_width * 3) * row_len);
    for line in source.chunks_exact(from_width * 3) {
        for taps in &columns.taps {
            let mut sums = [1i32 << (columns.precision - 1); 3];
            for (&weight, pixel) in taps.weights.iter().zip(line[taps.start * 3..].as_chunks::<3>().0) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(value);
                }
            }
            narrow.extend(sums.map(|sum| to_byte(sum, columns.precision)));
        }
    }
    let mut data = Vec::with_capacity(rows.taps.len() * row_len);
    let mut sums = vec![0i32; row_len];
    for taps in &rows.taps {
        sums.fill(1 << (rows.precision - 1));
        for (&weight, line) in taps.weights.iter().zip(narrow[taps.start * row_len..].chunks_exact(row_len)) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += weight * i32::from(value);
            }
        }
        data.extend(sums.iter().map(|&sum| to_byte(sum, rows.precision)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture of `tests/data/make_reference.py`: a linear congruential sequence, top byte.
    fn noise(width: u32, height: u32) -> RgbFrame {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        RgbFrame { width, height, data: (0..width * height * 3).map(|_| next()).collect() }
    }

    /// `expect` holds the picture as `make_reference.py` wrote it; `off_max` bytes may differ, by 1.
    fn check(kernel: ResizeKernel, from: (u32, u32), to: (u32, u32), expect: &[u8], off_max: usize) {
        let got = resize(&noise(from.0, from.1), to.0, to.1, kernel).unwrap().data;
        assert_eq!(got.len(), expect.len());
        assert!(got.iter().zip(expect).all(|(a, b)| a.abs_diff(*b) <= 1), "{kernel:?} {from:?} {to:?}");
        let off = got.iter().zip(expect).filter(|(a, b)| a != b).count();
        assert!(off <= off_max, "{kernel:?} {from:?} {to:?}: {off} bytes differ");
    }

    macro_rules! reference {
        ($name:literal) => {
            include_bytes!(concat!("../tests/data/resize_", $name, ".rgb"))
        };
    }

    #[test]
    fn kernels_equal_the_reference() {
        check(ResizeKernel::TorchF32, (37, 23), (16, 12), reference!("torch_f32_16x12"), 0);
        check(ResizeKernel::TorchF32, (37, 23), (50, 41), reference!("torch_f32_50x41"), 1);
        check(ResizeKernel::TorchvisionU8, (37, 23), (16, 12), reference!("torchvision_u8_16x12"), 0);
        check(ResizeKernel::TorchvisionU8, (37, 23), (50, 41), reference!("torchvision_u8_50x41"), 0);
        check(ResizeKernel::Pil, (37, 23), (16, 12), reference!("pil_16x12"), 0);
        check(ResizeKernel::Pil, (37, 23), (50, 41), reference!("pil_50x41"), 0);
    }

    #[test]
    fn same_size_is_the_identity_and_bad_sizes_are_errors() {
        for kernel in [ResizeKernel::TorchF32, ResizeKernel::TorchvisionU8, ResizeKernel::Pil] {
            let frame = noise(70, 5);
            assert_eq!(resize(&frame, 70, 5, kernel).unwrap(), frame);
            assert_eq!(resize(&frame, 1, 1, kernel).unwrap().data.len(), 3);
            assert!(resize(&frame, 0, 5, kernel).is_err());
            assert!(resize(&RgbFrame { width: 70, height: 6, data: frame.data.clone() }, 8, 8, kernel).is_err());
        }
    }

    #[test]
    fn rounding_is_half_to_even() {
        assert_eq!([0.5, 1.5, 2.5, -3.0, 254.5, 255.4, 300.0, 7.49].map(round_f32), [0, 2, 2, 0, 254, 255, 255, 7]);
    }
}
