//! Column sums of fixed order. Reference: [`crate::ops::linear::backward_bias`].

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect_width, source};

const OP: &str = "column sums";

/// Blocks that share the rows of a matrix at most.
const MOST_BLOCKS: usize = 256;

/// `out_c += sum over rows of partial (R, C)`, or `=` if not `accumulate`; `R` follows from the sizes.
///
/// # Errors
/// [`Error::Argument`] if `partial` is no whole number of rows.
pub fn add_column_sums(
    gpu: &Gpu,
    stream: &Stream,
    partial: View<'_, f32>,
    out_c: ViewMut<'_, f32>,
    accumulate: bool,
) -> Result<()> {
    let cols = out_c.len();
    if cols == 0 || !partial.len().is_multiple_of(cols) {
        return Err(Error::argument(OP, format!("{} values are no rows of {cols}", partial.len())));
    }
    let args = Args::new().read(partial).write(&out_c).int(partial.len() / cols).int(cols).int(usize::from(accumulate));
    let grid = Grid::line(cols.div_ceil(32), 1024);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("reduce.cu") }.launch("add_column_sums", grid, args) }
}

/// f32 values of scratch that [`bias_gradient`] needs.
pub fn bias_scratch(cols: usize) -> usize {
    MOST_BLOCKS * cols
}

/// `d_bias_c += sum over rows of dy (N, C)`. `scratch` has [`bias_scratch`] values.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match or `C` is no multiple of 8.
pub fn bias_gradient(
    gpu: &Gpu,
    stream: &Stream,
    dy_nc: View<'_, bf16>,
    d_bias_c: ViewMut<'_, f32>,
    scratch: ViewMut<'_, f32>,
) -> Result<()> {
    let cols = d_bias_c.len();
    expect_width(OP, dy_nc.len() / cols.max(1), cols, 1 << 20)?;
    if !dy_nc.len().is_multiple_of(cols) {
        return Err(Error::argument(OP, format!("{} values are no rows of {cols}", dy_nc.len())));
    }
    let rows = dy_nc.len() / cols;
    let stripes = cols.div_ceil(256);
    // Eight blocks of 256 threads fill a multiprocessor.
    let wanted = (8 * gpu.info().multiprocessors as usize).div_ceil(stripes).clamp(1, MOST_BLOCKS);
    let rows_per_block = rows.div_ceil(wanted).max(8);
    let blocks = rows.div_ceil(rows_per_block).max(1);
    let partial = scratch.part(0, blocks * cols)?;
    let args = Args::new().read(dy_nc).write(&partial).int(rows).int(cols).int(rows_per_block);
    let grid = Grid { blocks: [stripes, blocks, 1], threads: 256 };
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("reduce.cu") }.launch("column_partials", grid, args)? };
    add_column_sums(gpu, stream, partial.as_view(), d_bias_c, true)
}
