//! SwiGLU over a fused projection, and GELU where no product carries it.
//!
//! References: [`crate::ops::swiglu`], [`crate::ops::gelu`].

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, expect_width, source};
use crate::ops::gelu::Kind;

const OP: &str = "activation";

/// `y (N, F) = silu(gate) up` with `gate_up (N, 2F) = [gate | up]`.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match or `F` is no multiple of 8.
pub fn swiglu_forward(
    gpu: &Gpu,
    stream: &Stream,
    gate_up: View<'_, bf16>,
    y_nf: ViewMut<'_, bf16>,
    width: usize,
) -> Result<()> {
    let rows = rows(y_nf.len(), width)?;
    expect(OP, &[("gate_up", gate_up.len(), 2 * rows * width)])?;
    let args = Args::new().read(gate_up).write(&y_nf).int(width);
    let grid = Grid::line(rows, 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("activation.cu") }.launch("swiglu_forward", grid, args) }
}

/// Turns `gate_up (N, 2F)` into its own gradient; with `y`, also writes the forward result again (remat).
///
/// # Errors
/// As [`swiglu_forward`].
pub fn swiglu_backward(
    gpu: &Gpu,
    stream: &Stream,
    dy_nf: View<'_, bf16>,
    gate_up: ViewMut<'_, bf16>,
    y_nf: Option<ViewMut<'_, bf16>>,
    width: usize,
) -> Result<()> {
    let rows = rows(dy_nf.len(), width)?;
    let y_len = y_nf.as_ref().map_or(dy_nf.len(), ViewMut::len);
    expect(OP, &[("gate_up", gate_up.len(), 2 * rows * width), ("y", y_len, dy_nf.len())])?;
    let args = Args::new()
        .read(dy_nf)
        .write(&gate_up)
        .write(&gate_up)
        .read_option(y_nf.as_ref().map(ViewMut::as_view))
        .int(width);
    let grid = Grid::line(rows, 256);
    // SAFETY: the sizes were checked; the kernel reads each value before it writes its gradient there.
    unsafe { Launcher { gpu, stream, source: source!("activation.cu") }.launch("swiglu_backward", grid, args) }
}

/// `y = gelu(x)`.
///
/// # Errors
/// [`Error::Argument`] if sizes differ or are no multiple of 8.
pub fn gelu_forward(gpu: &Gpu, stream: &Stream, x: View<'_, bf16>, y: ViewMut<'_, bf16>, kind: Kind) -> Result<()> {
    expect(OP, &[("x", x.len(), y.len())])?;
    let vectors = vectors(y.len())?;
    let args = Args::new().read(x).write(&y).int(vectors).int(usize::from(kind == Kind::Erf));
    let grid = Grid::line(vectors.div_ceil(256), 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("activation.cu") }.launch("gelu_forward", grid, args) }
}

/// Turns `d`, the gradient of the result, into that of `x`.
///
/// # Errors
/// As [`gelu_forward`].
pub fn gelu_backward(gpu: &Gpu, stream: &Stream, x: View<'_, bf16>, d: ViewMut<'_, bf16>, kind: Kind) -> Result<()> {
    expect(OP, &[("x", x.len(), d.len())])?;
    let vectors = vectors(d.len())?;
    let args = Args::new().write(&d).read(x).write(&d).int(vectors).int(usize::from(kind == Kind::Erf));
    let grid = Grid::line(vectors.div_ceil(256), 256);
    // SAFETY: the sizes were checked; the kernel reads each value before it writes there.
    unsafe { Launcher { gpu, stream, source: source!("activation.cu") }.launch("gelu_backward", grid, args) }
}

fn rows(len: usize, width: usize) -> Result<usize> {
    expect_width(OP, len / width.max(1), width, 1 << 20)?;
    if len.is_multiple_of(width) {
        return Ok(len / width);
    }
    Err(Error::argument(OP, format!("{len} values are no rows of {width}")))
}

fn vectors(len: usize) -> Result<usize> {
    if len.is_multiple_of(8) {
        return Ok(len / 8);
    }
    Err(Error::argument(OP, format!("{len} values are no multiple of 8")))
}
