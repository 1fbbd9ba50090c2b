//! Values made, rounded and summed: random weights, f32 to bf16, the sum of the losses.

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, source};

const OP: &str = "values";

/// `y` normal with mean 0; the same seed gives the same values. [`normal_reference`] says which.
///
/// # Errors
/// [`Error::Argument`] if the size is no multiple of 8.
pub fn fill_normal(gpu: &Gpu, stream: &Stream, y: ViewMut<'_, bf16>, seed: u64, deviation: f32) -> Result<()> {
    let vectors = vectors(y.len())?;
    let args = Args::new().write(&y).int(vectors).word(seed).float(deviation);
    // SAFETY: the size was checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("values.cu") }.launch("fill_normal", grid(vectors), args) }
}

/// The values of [`fill_normal`], before they are rounded to bf16.
pub fn normal_reference(len: usize, seed: u64, deviation: f32) -> Vec<f32> {
    let mixed = |number: u64| {
        let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let pair = |i: u64| {
        let bits = mixed(mixed(seed).wrapping_add(i));
        let unit = 1.0 / f64::from(1u32 << 24);
        let (a, b) = (((bits >> 40) + 1) as f64 * unit, (bits & 0xff_ffff) as f64 * unit);
        let (radius, angle) = (f64::from(deviation) * (-2.0 * a.ln()).sqrt(), std::f64::consts::TAU * b);
        [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
    };
    (0..len.div_ceil(2) as u64).flat_map(pair).take(len).collect()
}

/// Every value of `y` becomes `value`, rounded.
///
/// # Errors
/// [`Error::Argument`] if the size is no multiple of 8.
pub fn fill_value(gpu: &Gpu, stream: &Stream, y: ViewMut<'_, bf16>, value: f32) -> Result<()> {
    let vectors = vectors(y.len())?;
    let args = Args::new().write(&y).int(vectors).float(value);
    // SAFETY: the size was checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("values.cu") }.launch("fill_value", grid(vectors), args) }
}

/// `y = x`, rounded to nearest even.
///
/// # Errors
/// [`Error::Argument`] if sizes differ or are no multiple of 8.
pub fn round_to_bf16(gpu: &Gpu, stream: &Stream, x: View<'_, f32>, y: ViewMut<'_, bf16>) -> Result<()> {
    expect(OP, &[("x", x.len(), y.len())])?;
    let vectors = vectors(y.len())?;
    let args = Args::new().read(x).write(&y).int(vectors);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("values.cu") }.launch("round_to_bf16", grid(vectors), args) }
}

/// `out (1,) += sum of values`, or `=` if not `accumulate`, in f64 and a fixed order.
///
/// # Errors
/// [`Error::Argument`] if `out` is not one value or there are more than 2^31.
pub fn add_sum(
    gpu: &Gpu,
    stream: &Stream,
    values: View<'_, f32>,
    out: ViewMut<'_, f64>,
    accumulate: bool,
) -> Result<()> {
    expect(OP, &[("out", out.len(), 1)])?;
    if i32::try_from(values.len()).is_err() {
        return Err(Error::argument(OP, format!("{} values are more than a kernel counts", values.len())));
    }
    let args = Args::new().read(values).write(&out).int(values.len()).int(usize::from(accumulate));
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("values.cu") }.launch("add_sum", Grid::line(1, 512), args) }
}

fn grid(vectors: usize) -> Grid {
    Grid::line(vectors.div_ceil(256), 256)
}

fn vectors(len: usize) -> Result<usize> {
    if len.is_multiple_of(8) {
        return Ok(len / 8);
    }
    Err(Error::argument(OP, format!("{len} values are no multiple of 8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_are_normal() {
        let values = normal_reference(100_001, 7, 0.5);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / values.len() as f64;
        assert_eq!(values.len(), 100_001);
        assert!(mean.abs() < 0.01 && (variance - 0.25).abs() < 0.01, "mean {mean}, variance {variance}");
        assert_ne!(values[..8], normal_reference(8, 8, 0.5)[..]);
    }
}
