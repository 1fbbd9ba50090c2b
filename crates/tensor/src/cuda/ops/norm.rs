//! RMSNorm and LayerNorm with the residual sum before them and its gradient behind them.
//!
//! References: [`crate::ops::rms_norm`], [`crate::ops::layer_norm`].

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Gpu, Result, Stream};
use super::{Launcher, expect, expect_width, reduce, source};

const OP: &str = "norm";

/// Widest row: two vectors of 8 values for each of 512 threads.
const WIDEST: usize = 8192;

/// A residual sum in front of a norm.
pub struct Residual<'a> {
    /// What is added to the stream, `(N, C)`.
    pub delta: View<'a, bf16>,
    /// The sum, rounded to bf16, `(N, C)`; the norm is of it.
    pub sum: ViewMut<'a, bf16>,
}

/// Gradients of a norm's backward.
pub struct NormGradients<'a> {
    /// Gradient of the sum, `(N, C)`.
    pub dx: ViewMut<'a, bf16>,
    /// Whether `dx` holds the gradient that arrives by the residual path, to be added to; else it is overwritten.
    pub accumulate: bool,
    /// Gradient of the weight `(C,)`; added to.
    pub d_weight: ViewMut<'a, f32>,
}

/// Threads of a block, vectors a thread, blocks an SM.
#[derive(Clone, Copy)]
struct Split {
    threads: usize,
    vectors: usize,
}

fn split(cols: usize) -> Split {
    let vectors = if cols <= WIDEST / 2 { 1 } else { 2 };
    Split { threads: (cols / 8).div_ceil(vectors).next_multiple_of(32), vectors }
}

/// Blocks of a backward: as many as run at once, so that each sums over many rows.
fn backward_blocks(gpu: &Gpu, rows: usize, cols: usize, registers: usize) -> usize {
    let Split { threads, .. } = split(cols);
    let resident = (65536 / (registers * threads)).clamp(1, 2048 / threads);
    (gpu.info().multiprocessors as usize * resident).min(rows.max(1))
}

/// f32 values of scratch that a backward needs.
pub fn backward_scratch(gpu: &Gpu, cols: usize) -> usize {
    2 * backward_blocks(gpu, usize::MAX, cols, REGISTERS) * cols
}

/// Registers of a thread of a backward with one vector, which the kernels' launch bounds hold to.
const REGISTERS: usize = 64;

/// `y = s * inv_rms * weight` with `s = x + delta` (or `x`), and `inv_rms (N,) = 1 / sqrt(mean(s^2) + eps)`.
///
/// # Errors
/// [`crate::cuda::Error::Argument`] if sizes do not match or `C` is no multiple of 8 up to 8192.
#[allow(clippy::too_many_arguments)]
pub fn rms_forward(
    gpu: &Gpu,
    stream: &Stream,
    x_nc: View<'_, bf16>,
    residual: Option<Residual<'_>>,
    weight_c: View<'_, bf16>,
    eps: f32,
    y_nc: ViewMut<'_, bf16>,
    inv_rms_n: ViewMut<'_, f32>,
) -> Result<()> {
    let (rows, cols) = (inv_rms_n.len(), weight_c.len());
    check(rows, cols, x_nc.len(), y_nc.len(), residual.as_ref())?;
    let Split { threads, vectors } = split(cols);
    let args = Args::new()
        .read(x_nc)
        .read_option(residual.as_ref().map(|r| r.delta))
        .read(weight_c)
        .read_option(residual.as_ref().map(|r| r.sum.as_view()))
        .write(&y_nc)
        .write(&inv_rms_n)
        .int(cols)
        .float(eps);
    let name = if vectors == 1 { "rms_forward_1" } else { "rms_forward_2" };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("norm.cu") }.launch(name, Grid::line(rows, threads), args) }
}

/// Gradients of [`rms_forward`]; `s_nc` is the sum it normalised. `scratch` has [`backward_scratch`] values.
///
/// # Errors
/// As [`rms_forward`].
#[allow(clippy::too_many_arguments)]
pub fn rms_backward(
    gpu: &Gpu,
    stream: &Stream,
    dy_nc: View<'_, bf16>,
    s_nc: View<'_, bf16>,
    weight_c: View<'_, bf16>,
    inv_rms_n: View<'_, f32>,
    gradients: NormGradients<'_>,
    scratch: ViewMut<'_, f32>,
) -> Result<()> {
    let (rows, cols) = (inv_rms_n.len(), weight_c.len());
    check_backward(rows, cols, dy_nc.len(), s_nc.len(), &gradients)?;
    let Split { threads, vectors } = split(cols);
    let blocks = backward_blocks(gpu, rows, cols, REGISTERS * vectors);
    let partial = scratch.part(0, blocks * cols)?;
    let args = Args::new()
        .read(dy_nc)
        .read(s_nc)
        .read(weight_c)
        .read(inv_rms_n)
        .read_option(gradients.accumulate.then(|| gradients.dx.as_view()))
        .write(&gradients.dx)
        .write(&partial)
        .int(rows)
        .int(cols);
    let name = if vectors == 1 { "rms_backward_1" } else { "rms_backward_2" };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("norm.cu") }.launch(name, Grid::line(blocks, threads), args)? };
    reduce::add_column_sums(gpu, stream, partial.as_view(), gradients.d_weight, true)
}

/// Mean and reciprocal deviation of every row, `(N,)` each.
pub struct LayerStats<'a> {
    /// `(N,)`
    pub mean: ViewMut<'a, f32>,
    /// `(N,)`
    pub inv_std: ViewMut<'a, f32>,
}

/// `y = (s - mean) inv_std weight + bias` with `s = x + delta` (or `x`).
///
/// # Errors
/// As [`rms_forward`].
#[allow(clippy::too_many_arguments)]
pub fn layer_forward(
    gpu: &Gpu,
    stream: &Stream,
    x_nc: View<'_, bf16>,
    residual: Option<Residual<'_>>,
    weight_c: View<'_, bf16>,
    bias_c: View<'_, bf16>,
    eps: f32,
    y_nc: ViewMut<'_, bf16>,
    stats: LayerStats<'_>,
) -> Result<()> {
    let (rows, cols) = (stats.mean.len(), weight_c.len());
    check(rows, cols, x_nc.len(), y_nc.len(), residual.as_ref())?;
    expect(OP, &[("bias", bias_c.len(), cols), ("inv_std", stats.inv_std.len(), rows)])?;
    let Split { threads, vectors } = split(cols);
    let args = Args::new()
        .read(x_nc)
        .read_option(residual.as_ref().map(|r| r.delta))
        .read(weight_c)
        .read(bias_c)
        .read_option(residual.as_ref().map(|r| r.sum.as_view()))
        .write(&y_nc)
        .write(&stats.mean)
        .write(&stats.inv_std)
        .int(cols)
        .float(eps);
    let name = if vectors == 1 { "layer_forward_1" } else { "layer_forward_2" };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("norm.cu") }.launch(name, Grid::line(rows, threads), args) }
}

/// Gradients of [`layer_forward`]; adds to `d_bias_c` too. `scratch` has [`backward_scratch`] values.
///
/// # Errors
/// As [`rms_forward`].
#[allow(clippy::too_many_arguments)]
pub fn layer_backward(
    gpu: &Gpu,
    stream: &Stream,
    dy_nc: View<'_, bf16>,
    s_nc: View<'_, bf16>,
    weight_c: View<'_, bf16>,
    stats: [View<'_, f32>; 2],
    gradients: NormGradients<'_>,
    d_bias_c: ViewMut<'_, f32>,
    scratch: ViewMut<'_, f32>,
) -> Result<()> {
    let [mean_n, inv_std_n] = stats;
    let (rows, cols) = (mean_n.len(), weight_c.len());
    check_backward(rows, cols, dy_nc.len(), s_nc.len(), &gradients)?;
    expect(OP, &[("inv_std", inv_std_n.len(), rows), ("d_bias", d_bias_c.len(), cols)])?;
    let Split { threads, vectors } = split(cols);
    let blocks = backward_blocks(gpu, rows, cols, REGISTERS * vectors);
    let partial = scratch.part(0, 2 * blocks * cols)?;
    let args = Args::new()
        .read(dy_nc)
        .read(s_nc)
        .read(weight_c)
        .read(mean_n)
        .read(inv_std_n)
        .read_option(gradients.accumulate.then(|| gradients.dx.as_view()))
        .write(&gradients.dx)
        .write(&partial)
        .int(rows)
        .int(cols);
    let name = if vectors == 1 { "layer_backward_1" } else { "layer_backward_2" };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("norm.cu") }.launch(name, Grid::line(blocks, threads), args)? };
    let partial = partial.as_view();
    reduce::add_column_sums(gpu, stream, partial.part(0, blocks * cols)?, gradients.d_weight, true)?;
    reduce::add_column_sums(gpu, stream, partial.part(blocks * cols, blocks * cols)?, d_bias_c, true)
}

fn check(rows: usize, cols: usize, x: usize, y: usize, residual: Option<&Residual<'_>>) -> Result<()> {
    expect_width(OP, rows, cols, WIDEST)?;
    expect(OP, &[("x", x, rows * cols), ("y", y, rows * cols)])?;
    match residual {
        None => Ok(()),
        Some(r) => expect(OP, &[("delta", r.delta.len(), rows * cols), ("sum", r.sum.len(), rows * cols)]),
    }
}

fn check_backward(rows: usize, cols: usize, dy: usize, s: usize, gradients: &NormGradients<'_>) -> Result<()> {
    expect_width(OP, rows, cols, WIDEST)?;
    let size = rows * cols;
    expect(OP, &[("dy", dy, size), ("s", s, size), ("dx", gradients.dx.len(), size)])?;
    expect(OP, &[("d_weight", gradients.d_weight.len(), cols)])
}
