//! Own kernels behind typed calls: one file a concern, its text in `kernels/` under the same name.
//!
//! Shape legend: `N` rows, `C` model width, `T` packed tokens, `H` query heads, `K` key/value heads, `D` head width, `F` MLP width,
//! `V` vocabulary, `P` patches. Widths are multiples of 8, so that every access has 16 bytes. Results are overwritten unless the doc
//! says "adds". Every sum has a fixed order: the same input gives the same bits.

pub mod activation;
pub mod loss;
pub mod norm;
pub mod optimizer;
pub mod reduce;
pub mod rotary;
pub mod rows;
pub mod values;
pub mod vision;

use super::kernel::{Args, Grid, Source};
use super::{Error, Gpu, Result, Stream};

macro_rules! source {
    ($name:literal) => {
        $crate::cuda::kernel::Source { file: $name, text: include_str!(concat!("../kernels/", $name)) }
    };
}
use source;

/// Every kernel file of the binary.
pub(super) const SOURCES: &[Source] = &[
    source!("activation.cu"),
    source!("loss.cu"),
    source!("norm.cu"),
    source!("optimizer.cu"),
    source!("reduce.cu"),
    source!("rotary.cu"),
    source!("rows.cu"),
    source!("values.cu"),
    source!("vision.cu"),
];

/// A kernel of one file, on one stream.
#[derive(Clone, Copy)]
struct Launcher<'a> {
    gpu: &'a Gpu,
    stream: &'a Stream,
    source: Source,
}

impl Launcher<'_> {
    /// # Safety
    /// As [`super::kernel::KernelCache::launch`].
    unsafe fn launch(&self, name: &'static str, grid: Grid, args: Args) -> Result<()> {
        // SAFETY: the caller vouches for the arguments.
        unsafe { self.gpu.kernels.launch(self.stream, self.source, name, grid, args) }
    }
}

/// Checks sizes: `(what, values there are, values needed)`.
pub(super) fn expect(op: &'static str, sizes: &[(&str, usize, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, got, want)| got != want) {
        None => Ok(()),
        Some((what, got, want)) => Err(Error::argument(op, format!("{what} has {got} values and needs {want}"))),
    }
}

/// Checks that a width is a positive multiple of 8 up to `most`, and that kernels can count the rows in 32 bits.
fn expect_width(op: &'static str, rows: usize, width: usize, most: usize) -> Result<()> {
    if width == 0 || !width.is_multiple_of(8) || width > most {
        return Err(Error::argument(op, format!("a width of {width} must be a multiple of 8 from 8 to {most}")));
    }
    if i32::try_from(rows).is_err() {
        return Err(Error::argument(op, format!("{rows} rows are more than a kernel counts")));
    }
    Ok(())
}
