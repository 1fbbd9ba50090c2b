//! From uint8 frames to patches, and the interpolated position table.
//!
//! References: the processor's `patchify` (transformers `Qwen3VLVideoProcessor._preprocess`), [`crate::ops::position_table`].

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, expect_width, source};

const OP: &str = "vision";

/// Side of a patch and frames of a temporal patch: those of every published Qwen3-VL.
const SIDE: usize = 16;
const FRAMES: usize = 2;

/// Size of the frames and how they are normalised.
#[derive(Clone, Copy, Debug)]
pub struct FrameShape {
    /// Frames, a multiple of 2.
    pub frames: usize,
    /// Rows, a multiple of 16 times `merge_size`.
    pub height: usize,
    /// Columns, likewise.
    pub width: usize,
    /// Patches along a side of a merged block.
    pub merge_size: usize,
    /// Per channel, for values in 0..1.
    pub image_mean: [f32; 3],
    /// Per channel, for values in 0..1.
    pub image_std: [f32; 3],
}

impl FrameShape {
    /// Patches of the frames, `P`.
    pub fn patches(&self) -> usize {
        self.frames / FRAMES * (self.height / SIDE) * (self.width / SIDE)
    }
}

/// `frames (frames, height, width, 3)` bytes to normalised `patches (P, 1536)` in the order of the vision tower.
///
/// # Errors
/// [`Error::Argument`] if a side is no multiple of 16 times `merge_size`, or sizes do not match.
pub fn patchify(
    gpu: &Gpu,
    stream: &Stream,
    frames: View<'_, u8>,
    shape: FrameShape,
    patches: ViewMut<'_, bf16>,
) -> Result<()> {
    let factor = SIDE * shape.merge_size.max(1);
    let fits = shape.height.is_multiple_of(factor) && shape.width.is_multiple_of(factor);
    if !fits || !shape.frames.is_multiple_of(FRAMES) || shape.patches() > i32::MAX as usize / 64 {
        let FrameShape { frames, height, width, .. } = shape;
        let message = format!("{frames} frames of {width}x{height}: an even number, sides multiples of {factor}");
        return Err(Error::argument(OP, message));
    }
    let values = 3 * FRAMES * SIDE * SIDE;
    let bytes = shape.frames * shape.height * shape.width * 3;
    expect(OP, &[("frames", frames.len(), bytes), ("patches", patches.len(), shape.patches() * values)])?;
    let mut args = Args::new()
        .read(frames)
        .write(&patches)
        .int(shape.patches())
        .int(shape.height)
        .int(shape.width)
        .int(shape.merge_size);
    let scale = shape.image_std.map(|std| 1.0 / (std * 255.0));
    for value in shape.image_mean.map(|mean| mean * 255.0).into_iter().chain(scale) {
        args = args.float(value);
    }
    let grid = Grid::line((shape.patches() * FRAMES * SIDE * 2).div_ceil(256), 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("vision.cu") }.launch("patchify", grid, args) }
}

/// `x (P, C) +=` the sum over four corners of `weights (4, P)` times the rows `corners (4, P)` of `table (S, C)`.
///
/// The caller vouches for the corners: they come from the grid and lie inside the table. The gradient of the table is
/// [`super::rows::accumulate`].
///
/// # Errors
/// [`Error::Argument`] if sizes do not match.
pub fn add_position_rows(
    gpu: &Gpu,
    stream: &Stream,
    x_pc: ViewMut<'_, bf16>,
    table_sc: View<'_, bf16>,
    corners_4p: View<'_, i32>,
    weights_4p: View<'_, f32>,
    cols: usize,
) -> Result<()> {
    let patches = corners_4p.len() / 4;
    expect_width(OP, patches, cols, 1 << 16)?;
    expect(OP, &[("x", x_pc.len(), patches * cols), ("weights", weights_4p.len(), 4 * patches)])?;
    let args = Args::new().write(&x_pc).read(table_sc).read(corners_4p).read(weights_4p).int(patches).int(cols);
    let grid = Grid::line(patches, (cols / 8).clamp(32, 256).next_multiple_of(32));
    // SAFETY: the sizes were checked; the caller vouches for the corners.
    unsafe { Launcher { gpu, stream, source: source!("vision.cu") }.launch("add_position_rows", grid, args) }
}
