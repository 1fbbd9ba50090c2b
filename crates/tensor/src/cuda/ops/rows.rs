//! Rows picked, placed and summed by number: embeddings, visual features, DeepStack, labelled rows.
//!
//! References: [`crate::ops::rows`], [`crate::ops::embedding`], [`crate::ops::position_table`].

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{Buffer, View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, expect_width, source};

const OP: &str = "rows";

/// Row numbers on the GPU that were checked against the number of rows they select from.
pub struct RowList {
    rows: Buffer<i32>,
    /// One past the largest legal row of the first table, and of the second.
    bounds: [usize; 2],
}

impl RowList {
    /// Rows of one table.
    ///
    /// # Errors
    /// [`Error::Argument`] if one lies outside `0..bound`.
    pub fn new(gpu: &Gpu, stream: &Stream, rows: &[i32], bound: usize) -> Result<Self> {
        Self::of_two(gpu, stream, rows, [bound, 0])
    }

    /// Rows of two tables: `r >= 0` is row `r` of the first, else row `-1 - r` of the second.
    ///
    /// # Errors
    /// [`Error::Argument`] if one lies outside its table.
    pub fn of_two(gpu: &Gpu, stream: &Stream, rows: &[i32], bounds: [usize; 2]) -> Result<Self> {
        let outside = |&row: &i32| {
            let (table, row) = if row >= 0 { (0, row as usize) } else { (1, (-1 - i64::from(row)) as usize) };
            row >= bounds[table]
        };
        if let Some(position) = rows.iter().position(outside) {
            let message = format!("row {} at position {position} is outside tables of {bounds:?} rows", rows[position]);
            return Err(Error::argument(OP, message));
        }
        Ok(Self { rows: gpu.upload(stream, rows, "row numbers")?, bounds })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// `y (M, C) = table[rows]`, or rows of `other` where the list says so.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn gather(
    gpu: &Gpu,
    stream: &Stream,
    table_nc: View<'_, bf16>,
    other: Option<View<'_, bf16>>,
    rows: &RowList,
    y_mc: ViewMut<'_, bf16>,
    cols: usize,
) -> Result<()> {
    expect_width(OP, rows.len(), cols, 1 << 20)?;
    let second = other.map_or(0, |other| other.len());
    expect(OP, &[("table", table_nc.len(), rows.bounds[0] * cols), ("other", second, rows.bounds[1] * cols)])?;
    expect(OP, &[("y", y_mc.len(), rows.len() * cols)])?;
    let args = Args::new().read(table_nc).read_option(other).read(rows.rows.view()).write(&y_mc).int(cols);
    launch(gpu, stream, "gather_rows", rows.len(), cols, args)
}

/// `x[rows] = src`; rows must be distinct.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn scatter(
    gpu: &Gpu,
    stream: &Stream,
    x_nc: ViewMut<'_, bf16>,
    rows: &RowList,
    src_mc: View<'_, bf16>,
    cols: usize,
) -> Result<()> {
    place(gpu, stream, "scatter_rows", x_nc, rows, src_mc, cols)
}

/// `x[rows] += src`; rows must be distinct.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn scatter_add(
    gpu: &Gpu,
    stream: &Stream,
    x_nc: ViewMut<'_, bf16>,
    rows: &RowList,
    src_mc: View<'_, bf16>,
    cols: usize,
) -> Result<()> {
    place(gpu, stream, "scatter_add_rows", x_nc, rows, src_mc, cols)
}

fn place(
    gpu: &Gpu,
    stream: &Stream,
    name: &'static str,
    x: ViewMut<'_, bf16>,
    rows: &RowList,
    src: View<'_, bf16>,
    cols: usize,
) -> Result<()> {
    expect_width(OP, rows.len(), cols, 1 << 20)?;
    expect(OP, &[("x", x.len(), rows.bounds[0] * cols), ("src", src.len(), rows.len() * cols)])?;
    let args = Args::new().write(&x).read(rows.rows.view()).read(src).int(cols);
    launch(gpu, stream, name, rows.len(), cols, args)
}

/// Which rows of a gradient go to which row of a table, sorted by the table's row: the plan of [`accumulate`].
pub struct Accumulation {
    targets: Buffer<i32>,
    starts: Buffer<i32>,
    sources: Buffer<i32>,
    weights: Option<Buffer<f32>>,
    table_rows: usize,
    source_rows: usize,
}

impl Accumulation {
    /// Source row `i` goes to table row `rows[i]`, or nowhere if that is negative; with `weights`, that many times. Several lists
    /// over the same source rows (the corners of an interpolation) lie behind one another: entry `i` is source row `i % source_rows`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a row lies outside the table or the lists do not fit.
    pub fn new(
        gpu: &Gpu,
        stream: &Stream,
        rows: &[i32],
        weights: Option<&[f32]>,
        source_rows: usize,
        table_rows: usize,
    ) -> Result<Self> {
        let fits = source_rows > 0 && rows.len().is_multiple_of(source_rows);
        if !fits || rows.iter().any(|&row| row >= 0 && row as usize >= table_rows) {
            let message =
                format!("{} rows over {source_rows} source rows do not fit a table of {table_rows}", rows.len());
            return Err(Error::argument(OP, message));
        }
        expect(OP, &[("weights", weights.map_or(rows.len(), <[f32]>::len), rows.len())])?;
        let mut order: Vec<usize> = (0..rows.len()).filter(|&i| rows[i] >= 0).collect();
        // Stable: the entries of a row keep their order, and with it the bits of the sum.
        order.sort_by_key(|&i| rows[i]);
        let (mut targets, mut starts) = (Vec::new(), Vec::new());
        for (at, &i) in order.iter().enumerate() {
            if targets.last() != Some(&rows[i]) {
                targets.push(rows[i]);
                starts.push(at as i32);
            }
        }
        starts.push(order.len() as i32);
        let sources: Vec<i32> = order.iter().map(|&i| (i % source_rows) as i32).collect();
        let upload = |list: &[i32]| gpu.upload(stream, list, "row numbers");
        let weights: Option<Vec<f32>> = weights.map(|weights| order.iter().map(|&i| weights[i]).collect());
        let weights = weights.map(|list| gpu.upload(stream, &list, "row weights")).transpose()?;
        let (targets, starts, sources) = (upload(&targets)?, upload(&starts)?, upload(&sources)?);
        Ok(Self { targets, starts, sources, weights, table_rows, source_rows })
    }
}

/// `d_table (S, C) += ` the rows of `dy (N, C)` by plan, in a fixed order.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn accumulate(
    gpu: &Gpu,
    stream: &Stream,
    d_table_sc: ViewMut<'_, f32>,
    dy_nc: View<'_, bf16>,
    plan: &Accumulation,
    cols: usize,
) -> Result<()> {
    expect_width(OP, plan.source_rows, cols, 1 << 20)?;
    expect(OP, &[("d_table", d_table_sc.len(), plan.table_rows * cols), ("dy", dy_nc.len(), plan.source_rows * cols)])?;
    let args = Args::new()
        .write(&d_table_sc)
        .read(dy_nc)
        .read(plan.targets.view())
        .read(plan.starts.view())
        .read(plan.sources.view())
        .read_option(plan.weights.as_ref().map(Buffer::view))
        .int(cols);
    launch(gpu, stream, "accumulate_rows", plan.targets.len(), cols, args)
}

fn launch(gpu: &Gpu, stream: &Stream, name: &'static str, rows: usize, cols: usize, args: Args) -> Result<()> {
    let grid = Grid::line(rows, (cols / 8).clamp(32, 256).next_multiple_of(32));
    // SAFETY: every caller has checked the sizes, and the row numbers were checked when their list was made.
    unsafe { Launcher { gpu, stream, source: source!("rows.cu") }.launch(name, grid, args) }
}
