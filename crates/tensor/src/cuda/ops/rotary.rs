//! q/k-norm with rotation in one pass, rotation alone, and the table of M-RoPE angles.
//!
//! References: [`crate::ops::rms_norm`] over heads followed by [`crate::ops::rotary`].

use half::bf16;

use super::super::columns::{Columns, ColumnsMut};
use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, reduce, source};

const OP: &str = "rotary";

/// Heads that a block walks over; `GROUP` of the kernel.
const GROUP: usize = 8;

/// Heads and angles.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// Width of a head: a multiple of 8 (with norms 32, 64 or 128).
    pub head_dim: usize,
    /// `(T, D/2)`
    pub cos: View<'a, f32>,
    /// `(T, D/2)`
    pub sin: View<'a, f32>,
}

/// Weights of the norms of queries and keys.
#[derive(Clone, Copy, Debug)]
pub struct QkNorm<'a> {
    /// `(D,)`
    pub q_weight: View<'a, bf16>,
    /// `(D,)`
    pub k_weight: View<'a, bf16>,
    /// Added to the mean square.
    pub eps: f32,
}

/// Rotates queries `(T, H*D)` and keys `(T, K*D)`. Outputs may be the memory of the inputs.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match or the width of a head is not served.
pub fn forward(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    input: [Columns<'_>; 2],
    output: [ColumnsMut<'_>; 2],
) -> Result<()> {
    turn(gpu, stream, rotation, input, output, 1.0)
}

/// Rotates gradients back. Outputs may be the memory of the inputs.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    input: [Columns<'_>; 2],
    output: [ColumnsMut<'_>; 2],
) -> Result<()> {
    turn(gpu, stream, rotation, input, output, -1.0)
}

/// Rotates columns in place, forward or (if `back`) backward.
///
/// # Errors
/// As [`forward`].
pub fn in_place(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    mut heads: [ColumnsMut<'_>; 2],
    back: bool,
) -> Result<()> {
    let sign = if back { -1.0 } else { 1.0 };
    // A block reads its whole token before it writes any of it, so the two sides of the call may be one memory.
    let output = heads.each_ref().map(ColumnsMut::alias);
    let input = heads.each_mut().map(|x| x.reborrow().into_columns());
    turn(gpu, stream, rotation, input, output, sign)
}

fn turn(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    input: [Columns<'_>; 2],
    output: [ColumnsMut<'_>; 2],
    sign: f32,
) -> Result<()> {
    let shape = Shape::new(rotation, &input, &output, None)?;
    let widths = input.map(|x| x.width);
    let vectors = (widths[0] + widths[1]) / 8;
    if !rotation.head_dim.is_multiple_of(8) || vectors > 512 {
        let message =
            format!("heads of {} columns, {} in all: multiples of 8, at most 4096", rotation.head_dim, 8 * vectors);
        return Err(Error::argument(OP, message));
    }
    let args = Args::new()
        .columns(input[0])
        .columns(input[1])
        .columns_mut(&output[0])
        .columns_mut(&output[1])
        .read(rotation.cos)
        .read(rotation.sin)
        .int(shape.tokens)
        .int(widths[0])
        .int(widths[1])
        .int(rotation.head_dim)
        .float(sign);
    let grid = Grid::line(shape.tokens.div_ceil(4), vectors.next_multiple_of(32));
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("rotary.cu") }.launch("rotate", grid, args) }
}

/// Normalises every query and key head, then rotates it.
///
/// # Errors
/// As [`forward`]; only widths 32, 64 and 128 are served.
pub fn norm_forward(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    norm: QkNorm<'_>,
    input: [Columns<'_>; 2],
    output: [ColumnsMut<'_>; 2],
) -> Result<()> {
    let shape = Shape::new(rotation, &input, &output, Some(norm))?;
    let (name, lanes) = match rotation.head_dim {
        32 => ("norm_rotate_32", 2),
        64 => ("norm_rotate_64", 4),
        128 => ("norm_rotate_128", 8),
        other => return Err(no_norm(other)),
    };
    let grid = Grid { blocks: [shape.tokens.div_ceil(256 / lanes), shape.groups(), 1], threads: 256 };
    let args = shape.args(rotation, &input, &output, norm);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("rotary.cu") }.launch(name, grid, args) }
}

/// f32 values of scratch that [`norm_backward`] needs.
pub fn norm_backward_scratch(gpu: &Gpu, head_dim: usize) -> usize {
    4 * gpu.info().multiprocessors as usize * head_dim
}

/// Gradients of [`norm_forward`]: `gradient` are those behind the rotation, `input` the values before the norm; adds to
/// `d_weights`, `(D,)` of q and k. `output` may be the memory of `gradient`.
///
/// # Errors
/// As [`norm_forward`].
#[allow(clippy::too_many_arguments)]
pub fn norm_backward(
    gpu: &Gpu,
    stream: &Stream,
    rotation: Rotation<'_>,
    norm: QkNorm<'_>,
    gradient: [Columns<'_>; 2],
    input: [Columns<'_>; 2],
    output: [ColumnsMut<'_>; 2],
    d_weights: [ViewMut<'_, f32>; 2],
    scratch: ViewMut<'_, f32>,
) -> Result<()> {
    let shape = Shape::new(rotation, &input, &output, Some(norm))?;
    Shape::new(rotation, &gradient, &output, Some(norm))?;
    let width = rotation.head_dim;
    let (name, lanes) = match width {
        32 => ("norm_rotate_backward_32", 2),
        64 => ("norm_rotate_backward_64", 4),
        128 => ("norm_rotate_backward_128", 8),
        other => return Err(no_norm(other)),
    };
    let [dq_weight, dk_weight] = d_weights;
    expect(OP, &[("d_weight of q", dq_weight.len(), width), ("d_weight of k", dk_weight.len(), width)])?;
    let per_block = 256 / lanes;
    // Two blocks of 256 threads run on a multiprocessor at once; more would leave a tail.
    let fit = (2 * gpu.info().multiprocessors as usize / shape.groups()).max(1);
    let blocks = shape.tokens.div_ceil(per_block).min(fit).max(1);
    let partial = scratch.part(0, blocks * shape.groups() * width)?;
    let args = shape.args(rotation, &input, &output, norm).columns(gradient[0]).columns(gradient[1]).write(&partial);
    let grid = Grid { blocks: [blocks, shape.groups(), 1], threads: 256 };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("rotary.cu") }.launch(name, grid, args)? };
    let (partial, q_rows) = (partial.as_view(), blocks * shape.heads.div_ceil(GROUP) * width);
    reduce::add_column_sums(gpu, stream, partial.part(0, q_rows)?, dq_weight, true)?;
    reduce::add_column_sums(gpu, stream, partial.part(q_rows, partial.len() - q_rows)?, dk_weight, true)
}

/// Whether there is a kernel that normalises and rotates heads of this width.
pub fn serves_norm(head_dim: usize) -> bool {
    [32, 64, 128].contains(&head_dim)
}

fn no_norm(width: usize) -> Error {
    Error::argument(OP, format!("no kernel normalises and rotates heads of width {width} (32, 64, 128)"))
}

/// Angles of M-RoPE: `positions (3, T)`, `frequencies (D/2,)`, `axes (D/2,)` (0 t, 1 h, 2 w) to `cos`, `sin (T, D/2)`.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn mrope_table(
    gpu: &Gpu,
    stream: &Stream,
    positions: View<'_, i32>,
    frequencies: View<'_, f32>,
    axes: View<'_, i32>,
    cos: ViewMut<'_, f32>,
    sin: ViewMut<'_, f32>,
) -> Result<()> {
    let (tokens, half) = (positions.len() / 3, frequencies.len());
    let size = tokens * half;
    expect(OP, &[("positions", positions.len(), 3 * tokens), ("axes", axes.len(), half)])?;
    expect(OP, &[("cos", cos.len(), size), ("sin", sin.len(), size)])?;
    let args = Args::new().read(positions).read(frequencies).read(axes).write(&cos).write(&sin).int(tokens).int(half);
    let grid = Grid::line(size.div_ceil(256), 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("rotary.cu") }.launch("mrope_table", grid, args) }
}

/// Tokens and heads of a call.
struct Shape {
    tokens: usize,
    heads: usize,
    kv_heads: usize,
}

impl Shape {
    fn new(
        rotation: Rotation<'_>,
        input: &[Columns<'_>; 2],
        output: &[ColumnsMut<'_>; 2],
        norm: Option<QkNorm<'_>>,
    ) -> Result<Self> {
        let (tokens, width) = (input[0].rows, rotation.head_dim);
        for (i, name) in ["q", "k"].into_iter().enumerate() {
            let (x, y) = (&input[i], &output[i]);
            if x.rows != tokens || y.rows != tokens || x.width != y.width || !x.width.is_multiple_of(width) {
                let message = format!(
                    "{name} has {} rows of {} columns, and its result {} of {}",
                    x.rows, x.width, y.rows, y.width
                );
                return Err(Error::argument(OP, message));
            }
        }
        let angles = tokens * width / 2;
        expect(OP, &[("cos", rotation.cos.len(), angles), ("sin", rotation.sin.len(), angles)])?;
        if let Some(norm) = norm {
            expect(OP, &[("q_weight", norm.q_weight.len(), width), ("k_weight", norm.k_weight.len(), width)])?;
        }
        Ok(Self { tokens, heads: input[0].width / width, kv_heads: input[1].width / width })
    }

    fn groups(&self) -> usize {
        self.heads.div_ceil(GROUP) + self.kv_heads.div_ceil(GROUP)
    }

    fn args(
        &self,
        rotation: Rotation<'_>,
        input: &[Columns<'_>; 2],
        output: &[ColumnsMut<'_>; 2],
        norm: QkNorm<'_>,
    ) -> Args {
        Args::new()
            .columns(input[0])
            .columns(input[1])
            .columns_mut(&output[0])
            .columns_mut(&output[1])
            .read(norm.q_weight)
            .read(norm.k_weight)
            .read(rotation.cos)
            .read(rotation.sin)
            .int(self.tokens)
            .int(self.heads)
            .int(self.kv_heads)
            .float(norm.eps)
    }
}
