//! Frames to normalised patches in the order of the vision tower.

use video::RgbFrame;

use crate::{Error, GridThw, VisionConfig};

/// The value of every 8-bit level of every channel after normalisation.
#[derive(Clone, Debug)]
pub struct Normalizer {
    levels: [[f32; 256]; 3],
}

impl Normalizer {
    /// `(level - 255 mean) / (255 std)` in f32: the fused form that the reference's fast processors compute, and not
    /// `(level / 255 - mean) / std`, which differs in the last bit.
    pub fn new(image_mean: [f32; 3], image_std: [f32; 3]) -> Self {
        let channel = |c: usize| {
            let (mean, std) = (image_mean[c] * 255.0, image_std[c] * 255.0);
            std::array::from_fn(|level| (level as f32 - mean) / std)
        };
        Self { levels: [channel(0), channel(1), channel(2)] }
    }
}

/// Cuts resized frames into patches. Legend: `P` patches, `E` values of a patch.
///
/// Returns `(P, E)` with `P = t h w` of the grid and `E = 3 temporal_patch_size patch_size^2`. Patches run over t, then rows of
/// merged blocks, blocks of a row, then rows and columns inside a block; values run over channel, frame, row, column. A short
/// last temporal patch repeats the last frame.
///
/// Source: transformers 4.57.6 `Qwen3VLVideoProcessor._preprocess`. Deviation: every missing frame of a short last patch is filled (the reference fills
/// `temporal_patch_size - 1` frames; the same for the published size of 2).
///
/// # Errors
/// [`Error::Frames`] if there is no frame, the frames differ in size, or a side is not a multiple of `patch_size * merge_size`.
pub fn patchify(frames: &[RgbFrame], config: &VisionConfig) -> Result<(Vec<f32>, GridThw), Error> {
    let first = frames.first().ok_or_else(|| Error::Frames("there is none".into()))?;
    let grid = grid_of(frames.len(), first.height, first.width, config)?;
    let mut patches = vec![0.0; values_of(grid, config)?];
    let normalizer = Normalizer::new(config.image_mean, config.image_std);
    let groups = frames.chunks(config.temporal_patch_size as usize);
    for (group, out) in groups.zip(patches.chunks_exact_mut(group_values(grid, config))) {
        patchify_group(group, grid, config, &normalizer, out)?;
    }
    Ok((patches, grid))
}

/// The grid of a clip of `nframes` frames of this size.
///
/// # Errors
/// [`Error::Frames`] if a side is not a multiple of `patch_size * merge_size`.
pub(crate) fn grid_of(nframes: usize, height: u32, width: u32, config: &VisionConfig) -> Result<GridThw, Error> {
    let factor = config.factor();
    if height == 0 || width == 0 || !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
        return Err(Error::Frames(format!("{width}x{height} is not a multiple of {factor}")));
    }
    let t = u32::try_from(nframes.div_ceil(config.temporal_patch_size as usize));
    let t = t.map_err(|_| Error::Frames(format!("{nframes} frames are too many")))?;
    Ok(GridThw { t, h: height / config.patch_size, w: width / config.patch_size })
}

/// Values of all patches of a grid.
///
/// # Errors
/// [`Error::Frames`] if there are more than a machine can hold.
pub(crate) fn values_of(grid: GridThw, config: &VisionConfig) -> Result<usize, Error> {
    let values = grid.patches().checked_mul(config.patch_values()).filter(|values| *values < isize::MAX as usize / 4);
    values.ok_or_else(|| Error::Frames(format!("a grid of {}x{}x{} is too large", grid.t, grid.h, grid.w)))
}

/// Values of one temporal patch of a grid.
pub(crate) fn group_values(grid: GridThw, config: &VisionConfig) -> usize {
    grid.h as usize * grid.w as usize * config.patch_values()
}

/// Writes the patches of one temporal patch into `out`, each value once; `group` holds 1 to `temporal_patch_size` frames.
///
/// # Errors
/// [`Error::Frames`] if a frame has not the grid's size.
pub(crate) fn patchify_group(
    group: &[RgbFrame],
    grid: GridThw,
    config: &VisionConfig,
    normalizer: &Normalizer,
    out: &mut [f32],
) -> Result<(), Error> {
    let (height, width) = (grid.h * config.patch_size, grid.w * config.patch_size);
    for frame in group {
        let bytes = u64::from(frame.width) * u64::from(frame.height) * 3;
        if (frame.width, frame.height) != (width, height) || frame.data.len() as u64 != bytes {
            return Err(Error::Frames(format!(
                "a frame of {}x{} among frames of {width}x{height}",
                frame.width, frame.height
            )));
        }
    }
    let last = group.last().ok_or_else(|| Error::Frames("an empty temporal patch".into()))?;
    let (side, temporal) = (config.patch_size as usize, config.temporal_patch_size as usize);
    let row_bytes = width as usize * 3;
    let patches = out.chunks_exact_mut(config.patch_values());
    for (patch, (row, column)) in patches.zip(merge_order(grid, config.merge_size)) {
        let (red, rest) = patch.split_at_mut(temporal * side * side);
        let (green, blue) = rest.split_at_mut(temporal * side * side);
        for k in 0..temporal {
            let frame = group.get(k).unwrap_or(last);
            for y in 0..side {
                let from = (row * side + y) * row_bytes + column * side * 3;
                let pixels = &frame.data[from..from + side * 3];
                let to = (k * side + y) * side..(k * side + y + 1) * side;
                let lines = red[to.clone()].iter_mut().zip(&mut green[to.clone()]).zip(&mut blue[to]);
                for (pixel, ((red, green), blue)) in pixels.chunks_exact(3).zip(lines) {
                    *red = normalizer.levels[0][pixel[0] as usize];
                    *green = normalizer.levels[1][pixel[1] as usize];
                    *blue = normalizer.levels[2][pixel[2] as usize];
                }
            }
        }
    }
    Ok(())
}

/// Row and column of every patch of one temporal patch, block of `merge_size` squared after block.
fn merge_order(grid: GridThw, merge_size: u32) -> impl Iterator<Item = (usize, usize)> {
    let (rows, columns, merge) = (grid.h as usize, grid.w as usize, merge_size as usize);
    let blocks =
        (0..rows / merge).flat_map(move |row| (0..columns / merge).map(move |column| (row * merge, column * merge)));
    blocks.flat_map(move |(row, column)| (0..merge).flat_map(move |y| (0..merge).map(move |x| (row + y, column + x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    fn frame(height: u32, width: u32, value: impl Fn(usize, usize, usize) -> u8) -> RgbFrame {
        let (rows, columns) = (height as usize, width as usize);
        let mut data = Vec::new();
        for y in 0..rows {
            for x in 0..columns {
                data.extend((0..3).map(|c| value(y, x, c)));
            }
        }
        RgbFrame { width, height, data }
    }

    #[test]
    fn order_of_patches_and_values() {
        let config = VisionConfig::of_family(Family::Qwen3Vl);
        let frames: Vec<RgbFrame> =
            (0..3).map(|t| frame(32, 64, move |y, x, c| (t * 80 + y * 2 + x + c * 7) as u8)).collect();
        let (patches, grid) = patchify(&frames, &config).unwrap();
        assert_eq!(grid, GridThw { t: 2, h: 2, w: 4 });
        // Value of patch p, entry e, from the definition.
        let order = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)];
        for (p, patch) in patches.chunks_exact(1536).enumerate() {
            let (row, column) = order[p % 8];
            for (e, &got) in patch.iter().enumerate() {
                let (c, k, y, x) = (e / 512, e / 256 % 2, e / 16 % 16, e % 16);
                let t = (p / 8 * 2 + k).min(2);
                let level = (t * 80 + (row * 16 + y) * 2 + column * 16 + x + c * 7) as u8;
                assert_eq!(got, (f32::from(level) - 127.5) / 127.5);
            }
        }
    }

    #[test]
    fn bad_frames_are_errors() {
        let config = VisionConfig::of_family(Family::Qwen3Vl);
        let good = frame(32, 32, |_, _, _| 0);
        assert!(patchify(&[], &config).is_err());
        assert!(patchify(&[frame(33, 32, |_, _, _| 0)], &config).is_err());
        assert!(patchify(&[good.clone(), frame(64, 32, |_, _, _| 0)], &config).is_err());
        assert!(patchify(&[RgbFrame { data: vec![0; 5], ..good }], &config).is_err());
    }
}
