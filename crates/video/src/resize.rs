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
    let mut resized = RgbFrame { width: 0, height: 0, data: Vec::new() };
    Resizer::new(width, height, kernel).resize(frame, &mut resized)?;
    Ok(resized)
}

/// [`resize`] for the frames of a clip: weights and memory are kept from one frame to the next.
#[derive(Debug)]
pub struct Resizer {
    width: u32,
    height: u32,
    kernel: ResizeKernel,
    /// Width and height of the sources that `passes` is for.
    from: (u32, u32),
    passes: Passes,
}

impl Resizer {
    /// A resizer to this size.
    pub fn new(width: u32, height: u32, kernel: ResizeKernel) -> Self {
        Self { width, height, kernel, from: (0, 0), passes: Passes::None }
    }

    /// Resizes a frame into `resized`, whose memory is used again. Frames may differ in size; those like the one before
    /// are faster.
    ///
    /// # Errors
    /// As [`resize`]; `resized` is then as it was.
    pub fn resize(&mut self, frame: &RgbFrame, resized: &mut RgbFrame) -> Result<()> {
        let (width, height) = (self.width, self.height);
        let wrong_side = [frame.width, frame.height, width, height].iter().any(|side| !(1..=0xffff).contains(side));
        if wrong_side || frame.data.len() as u64 != 3 * u64::from(frame.width) * u64::from(frame.height) {
            return Err(Error::InvalidPicture(format!(
                "cannot resize {}x{} with {} bytes to {width}x{height}",
                frame.width,
                frame.height,
                frame.data.len()
            )));
        }
        let from = (frame.width, frame.height);
        if self.from != from {
            (self.from, self.passes) = (from, Passes::new(from, (width, height), self.kernel));
        }
        (resized.width, resized.height) = (width, height);
        resized.data.resize(width as usize * height as usize * 3, 0);
        dispatch(Job { source: &frame.data, passes: &mut self.passes, data: &mut resized.data });
        Ok(())
    }
}

/// The two passes of a kernel from one size to another.
#[derive(Debug)]
enum Passes {
    /// No frame has been seen.
    None,
    Float(Float),
    Fixed {
        columns: Fixed,
        rows: Fixed,
        from_width: usize,
    },
}

impl Passes {
    fn new(from: (u32, u32), to: (u32, u32), kernel: ResizeKernel) -> Self {
        let (from_width, from_height) = (from.0 as usize, from.1 as usize);
        let (width, height) = (to.0 as usize, to.1 as usize);
        let fixed = |precision: fn(f64) -> u32| Self::Fixed {
            columns: Fixed::new(&taps_f64(from_width, width), precision),
            rows: Fixed::new(&taps_f64(from_height, height), precision),
            from_width,
        };
        match kernel {
            ResizeKernel::TorchF32 => {
                Self::Float(Float::new(taps_f32(from_width, width), taps_f32(from_height, height), from_width))
            }
            ResizeKernel::TorchvisionU8 => fixed(sixteen_bit_precision),
            ResizeKernel::Pil => fixed(|_| 22),
        }
    }
}

/// Runs the work on the vector extension that is fastest for it: AVX2 even where there is AVX-512, which was slower here.
fn dispatch(job: Job<'_>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(avx2, job);
    }
    pulp::Arch::new().dispatch(job);
}

/// The work, as a type that `pulp` compiles once per vector extension.
struct Job<'a> {
    source: &'a [u8],
    passes: &'a mut Passes,
    data: &'a mut [u8],
}

impl pulp::WithSimd for Job<'_> {
    type Output = ();

    // Everything below must be inlined here to be compiled for the extension.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        match self.passes {
            Passes::None => {}
            Passes::Float(float) => float.run(self.source, self.data),
            Passes::Fixed { columns, rows, from_width } => {
                fixed_point(self.source, columns, rows, *from_width, self.data);
            }
        }
    }
}

/// The source pixels that make one target pixel.
#[derive(Debug)]
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

/// Pixels of a row that are taken through the vertical pass together, so that all they need stays in the first cache.
const STRIP: usize = 64;

/// Floats of a strip summed at once: several vector registers, so that sums do not wait for each other.
const LANES: usize = 64;

/// Target rows made at once, for the same reasons.
const ROWS: usize = 4;

/// A pixel of each of [`ROWS`] rows: red, green, blue and a value that is not used, as vector registers are powers of 2.
type Stack = [f32; ROWS * 4];

/// Both passes in f32, and the memory in between.
#[derive(Debug)]
struct Float {
    columns: Vec<Taps<f32>>,
    rows: Vec<Taps<f32>>,
    /// A strip of the source rows that make [`ROWS`] target rows.
    strip: Vec<[f32; STRIP * 3]>,
    /// [`ROWS`] rows after the vertical pass, one [`Stack`] for each source column.
    stacks: Vec<Stack>,
    /// The same rows after the horizontal pass, each with a byte that is not used, as four are written for a pixel.
    lines: Vec<u8>,
}

impl Float {
    fn new(columns: Vec<Taps<f32>>, rows: Vec<Taps<f32>>, from_width: usize) -> Self {
        let stacks = vec![[0.0; ROWS * 4]; from_width];
        let lines = vec![0; (columns.len() * 3 + 1) * ROWS];
        Self { columns, rows, strip: Vec::new(), stacks, lines }
    }

    /// Vertical pass, then horizontal; clamped and rounded half to even at the end.
    #[inline(always)]
    fn run(&mut self, source: &[u8], data: &mut [u8]) {
        let (from_len, to_len) = (self.stacks.len() * 3, self.columns.len() * 3);
        for (rows, out) in self.rows.chunks(ROWS).zip(data.chunks_mut(to_len * ROWS)) {
            let start = rows[0].start;
            let end = rows.iter().map(|taps| taps.start + taps.weights.len()).max().unwrap_or(start);
            self.strip.resize(end - start, [0.0; STRIP * 3]);
            let source = &source[start * from_len..end * from_len];
            for (nth, stacks) in self.stacks.chunks_mut(STRIP).enumerate() {
                for (line, source) in self.strip.iter_mut().zip(source.chunks_exact(from_len)) {
                    to_floats(&source[nth * STRIP * 3..], line);
                }
                for (nth, taps) in rows.iter().enumerate() {
                    let mut row = [0.0; STRIP * 3 + 1];
                    sum_rows(&self.strip[taps.start - start..], &taps.weights, &mut row);
                    for (stack, pixel) in stacks.iter_mut().zip(row.windows(4).step_by(3)) {
                        stack[nth * 4..nth * 4 + 4].copy_from_slice(pixel);
                    }
                }
            }
            sum_columns(&self.stacks, &self.columns, &mut self.lines);
            for (line, out) in self.lines.chunks_exact(to_len + 1).zip(out.chunks_exact_mut(to_len)) {
                out.copy_from_slice(&line[..to_len]);
            }
        }
    }
}

/// The start of `source` as floats; a source that is shorter than a strip leaves the end of `line` as it is.
#[inline(always)]
fn to_floats(source: &[u8], line: &mut [f32; STRIP * 3]) {
    match source.first_chunk::<{ STRIP * 3 }>() {
        Some(source) => {
            for (value, &byte) in line.iter_mut().zip(source) {
                *value = f32::from(byte);
            }
        }
        None => {
            for (value, &byte) in line.iter_mut().zip(source) {
                *value = f32::from(byte);
            }
        }
    }
}

/// `row[x] = sum over k of weights[k] * lines[k][x]`.
#[inline(always)]
fn sum_rows(lines: &[[f32; STRIP * 3]], weights: &[f32], row: &mut [f32; STRIP * 3 + 1]) {
    for (nth, row) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sums = [0f32; LANES];
        for (line, weight) in lines.iter().zip(weights) {
            if let Some(values) = line.as_chunks::<LANES>().0.get(nth) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += weight * value;
                }
            }
        }
        *row = sums;
    }
}

/// `lines[row][x] = sum over k of weights[x][k] * stacks[start[x] + k][row]`, every channel by itself.
#[inline(always)]
fn sum_columns(stacks: &[Stack], columns: &[Taps<f32>], lines: &mut [u8]) {
    for (x, taps) in columns.iter().enumerate() {
        let mut sums = Stack::default();
        for (stack, weight) in stacks[taps.start..].iter().zip(&taps.weights) {
            for (sum, value) in sums.iter_mut().zip(stack) {
                *sum += weight * value;
            }
        }
        let bytes = sums.map(round_f32);
        // The fourth byte falls where the next pixel will be.
        for (line, pixel) in lines.chunks_exact_mut(columns.len() * 3 + 1).zip(bytes.as_chunks::<4>().0) {
            line[x * 3..x * 3 + 4].copy_from_slice(pixel);
        }
    }
}

/// Clamps to a byte and rounds half to even.
#[inline(always)]
fn round_f32(value: f32) -> u8 {
    // Adding 2^23 leaves no fraction bits, so the sum is rounded half to even by the arithmetic itself, and its last
    // byte is the integer: this is `round_ties_even` without a library call on machines before SSE4.1.
    const WHOLE: f32 = 8_388_608.0;
    (value.clamp(0.0, 255.0) + WHOLE).to_bits() as u8
}

/// Weights as integers, times two to the power of `precision`.
#[derive(Debug)]
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
fn fixed_point(source: &[u8], columns: &Fixed, rows: &Fixed, from_width: usize, data: &mut [u8]) {
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
    let mut sums = vec![0i32; row_len];
    for (taps, out) in rows.taps.iter().zip(data.chunks_exact_mut(row_len)) {
        sums.fill(1 << (rows.precision - 1));
        for (&weight, line) in taps.weights.iter().zip(narrow[taps.start * row_len..].chunks_exact(row_len)) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += weight * i32::from(value);
            }
        }
        for (byte, &sum) in out.iter_mut().zip(&sums) {
            *byte = to_byte(sum, rows.precision);
        }
    }
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

    /// The definition of `TorchF32` in plain loops: rows, then columns, every sum in the order of its taps.
    fn plain_f32(frame: &RgbFrame, width: usize, height: usize) -> Vec<u8> {
        let row_len = frame.width as usize * 3;
        let sum = |taps: &Taps<f32>, value: &dyn Fn(usize) -> f32| {
            taps.weights.iter().enumerate().fold(0.0, |sum, (k, weight)| sum + weight * value(taps.start + k))
        };
        let mut data = Vec::new();
        for rows in taps_f32(frame.height as usize, height) {
            let row: Vec<f32> = (0..row_len).map(|x| sum(&rows, &|y| f32::from(frame.data[y * row_len + x]))).collect();
            for columns in taps_f32(frame.width as usize, width) {
                data.extend((0..3).map(|c| round_f32(sum(&columns, &|x| row[x * 3 + c]))));
            }
        }
        data
    }

    #[test]
    fn vectors_and_kept_memory_change_no_byte() {
        for to in [(16, 12), (1, 1), (50, 41), (37, 23), (3, 70)] {
            let mut resizer = Resizer::new(to.0, to.1, ResizeKernel::TorchF32);
            let mut resized = noise(90, 60);
            for from in [(37, 23), (37, 23), (1, 1), (130, 9), (37, 23)] {
                let frame = noise(from.0, from.1);
                resizer.resize(&frame, &mut resized).unwrap();
                assert_eq!((resized.width, resized.height), to);
                assert_eq!(resized.data, plain_f32(&frame, to.0 as usize, to.1 as usize), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn rounding_is_half_to_even() {
        assert_eq!([0.5, 1.5, 2.5, -3.0, 254.5, 255.4, 300.0, 7.49].map(round_f32), [0, 2, 2, 0, 254, 255, 255, 7]);
    }
}
