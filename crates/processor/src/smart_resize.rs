//! The size to which frames are resized.

use crate::Error;

/// Height and width, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    /// Rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
}

/// How many pixels the model may see, and of what: the references count differently. Bounds are in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelBudget {
    /// Pixels of each frame, as the recipe's own stack counts (qwen_vl_utils 0.0.14 `fetch_video`).
    PerFrame {
        /// Fewest pixels of a frame; 128 tokens if absent.
        min_pixels: Option<u64>,
        /// Most pixels of a frame; capped by `total_pixels / nframes * 2` and by 768 tokens, if those leave at least 1.05 `min_pixels`.
        max_pixels: Option<u64>,
        /// Pixels of all frames; 90 % of 128,000 tokens if absent.
        total_pixels: Option<u64>,
    },
    /// Frames x height x width of the whole clip (transformers 4.57.6 `Qwen3VLVideoProcessor`).
    PerClip {
        /// `size.shortest_edge` there.
        min_pixels: u64,
        /// `size.longest_edge` there.
        max_pixels: u64,
    },
    /// Pixels of an image, or of each frame without a cap on the clip (transformers 4.57.6 `Qwen2VLImageProcessor`, `Qwen2VLVideoProcessor`).
    PerImage {
        /// `min_pixels` there.
        min_pixels: u64,
        /// `max_pixels` there.
        max_pixels: u64,
    },
    /// `resized_height` and `resized_width` of qwen_vl_utils: rounded to the grid, whatever the source's shape.
    Fixed {
        /// Wanted rows.
        height: u32,
        /// Wanted pixels in a row.
        width: u32,
    },
}

impl PixelBudget {
    /// Per frame, all bounds at the reference's defaults.
    pub const PER_FRAME_DEFAULT: Self = Self::PerFrame { min_pixels: None, max_pixels: None, total_pixels: None };
}

/// Tokens of a frame or an image in qwen_vl_utils: bounds of an image, bounds of a frame, and the sequence all frames share.
const IMAGE_MIN_TOKENS: u64 = 4;
const IMAGE_MAX_TOKENS: u64 = 16_384;
const FRAME_MIN_TOKENS: u64 = 128;
const FRAME_MAX_TOKENS: u64 = 768;
const MODEL_SEQ_LEN: u64 = 128_000;
/// A longer side may be at most this many times the shorter.
const MAX_RATIO: f64 = 200.0;
/// Largest side of a result, in pixels.
const SIDE_MAX: f64 = 65_536.0;

/// Height and width, in pixels, to which each of `nframes` frames of a clip is resized.
///
/// Both are multiples of `factor` (patch size x merge size); the pixels that `budget` counts lie within its bounds; the aspect
/// ratio is kept as nearly as that grid allows. Rounding is half to even, as in Python, in f64.
///
/// Source: the functions named in [`PixelBudget`]. Deviation: a result with an empty side is an error here, at once.
///
/// # Errors
/// [`Error::Resize`] if a side is 0, the longer side is more than 200 times the shorter, the bounds contradict each other, or
/// no size of the grid fits.
pub fn smart_resize(source: FrameSize, nframes: usize, factor: u32, budget: PixelBudget) -> Result<FrameSize, Error> {
    let fail = |what: String| Error::Resize { width: source.width, height: source.height, what };
    if source.height == 0 || source.width == 0 || nframes == 0 || factor == 0 {
        return Err(fail(format!("a side, the number of frames ({nframes}) or the factor ({factor}) is 0")));
    }
    let square = u64::from(factor) * u64::from(factor);
    let (size, bounds) = match budget {
        PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels } => {
            let min = min_pixels.unwrap_or(FRAME_MIN_TOKENS * square) as f64;
            (source, (min, frame_max_pixels(min, max_pixels, total_pixels, nframes, square)))
        }
        PixelBudget::PerImage { min_pixels, max_pixels } => (source, (min_pixels as f64, max_pixels as f64)),
        PixelBudget::Fixed { height, width } => {
            (FrameSize { height, width }, ((IMAGE_MIN_TOKENS * square) as f64, (IMAGE_MAX_TOKENS * square) as f64))
        }
        PixelBudget::PerClip { min_pixels, max_pixels } => (source, (min_pixels as f64, max_pixels as f64)),
    };
    if bounds.1 < bounds.0 {
        return Err(fail(format!("max_pixels {} is less than min_pixels {}", bounds.1, bounds.0)));
    }
    if size.height == 0 || size.width == 0 {
        return Err(fail("the wanted size has an empty side".into()));
    }
    let (long, short) = (size.height.max(size.width), size.height.min(size.width));
    if f64::from(long) / f64::from(short) > MAX_RATIO {
        return Err(fail(format!("the longer side is more than {MAX_RATIO} times the shorter")));
    }
    let (height, width) = match budget {
        PixelBudget::PerClip { .. } => fit_clip(size, nframes, factor, bounds).map_err(fail)?,
        PixelBudget::PerImage { .. } => fit(size, factor, bounds, f64::from(factor)),
        PixelBudget::PerFrame { .. } | PixelBudget::Fixed { .. } => fit(size, factor, bounds, 0.0),
    };
    if !(1.0..=SIDE_MAX).contains(&height) || !(1.0..=SIDE_MAX).contains(&width) {
        return Err(fail(format!("bounds of {} to {} pixels give {width}x{height}", bounds.0, bounds.1)));
    }
    Ok(FrameSize { height: height as u32, width: width as u32 })
}

/// Most pixels of a frame under the cap that all frames share.
fn frame_max_pixels(
    min_pixels: f64,
    max_pixels: Option<u64>,
    total_pixels: Option<u64>,
    nframes: usize,
    square: u64,
) -> f64 {
    let total = total_pixels.map_or((MODEL_SEQ_LEN * square) as f64 * 0.9, |total| total as f64);
    let shared = ((FRAME_MAX_TOKENS * square) as f64).min(total / nframes as f64 * 2.0);
    let cap = shared.max((min_pixels * 1.05).trunc());
    max_pixels.map_or(cap, |max| cap.min(max as f64))
}

/// One frame into bounds, as qwen_vl_utils and the image processor do; `floor` is the least side after shrinking.
fn fit(size: FrameSize, factor: u32, (min, max): (f64, f64), floor: f64) -> (f64, f64) {
    let (factor, height, width) = (f64::from(factor), f64::from(size.height), f64::from(size.width));
    let nearest = |side: f64| ((side / factor).round_ties_even() * factor).max(factor);
    let area = nearest(height) * nearest(width);
    if area > max {
        let beta = (height * width / max).sqrt();
        let shrink = |side: f64| ((side / beta / factor).floor() * factor).max(floor);
        (shrink(height), shrink(width))
    } else if area < min {
        let beta = (min / (height * width)).sqrt();
        let grow = |side: f64| (side * beta / factor).ceil() * factor;
        (grow(height), grow(width))
    } else {
        (nearest(height), nearest(width))
    }
}

/// A clip into bounds on frames x height x width.
fn fit_clip(size: FrameSize, nframes: usize, factor: u32, (min, max): (f64, f64)) -> Result<(f64, f64), String> {
    const TEMPORAL_FACTOR: usize = 2;
    if nframes < TEMPORAL_FACTOR {
        return Err(format!("{nframes} frames are fewer than {TEMPORAL_FACTOR}"));
    }
    if size.height < factor || size.width < factor {
        return Err(format!("a side is less than {factor} pixels"));
    }
    let (factor, height, width, frames) =
        (f64::from(factor), f64::from(size.height), f64::from(size.width), nframes as f64);
    let nearest = |side: f64| (side / factor).round_ties_even() * factor;
    let volume =
        (frames / TEMPORAL_FACTOR as f64).round_ties_even() * TEMPORAL_FACTOR as f64 * nearest(height) * nearest(width);
    if volume > max {
        let beta = (frames * height * width / max).sqrt();
        let shrink = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
        Ok((shrink(height), shrink(width)))
    } else if volume < min {
        let beta = (min / (frames * height * width)).sqrt();
        let grow = |side: f64| (side * beta / factor).ceil() * factor;
        Ok((grow(height), grow(width)))
    } else {
        Ok((nearest(height), nearest(width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(height: u32, width: u32, nframes: usize, factor: u32, budget: PixelBudget, expect: Option<(u32, u32)>) {
        let size = smart_resize(FrameSize { height, width }, nframes, factor, budget).ok().map(|s| (s.height, s.width));
        assert_eq!(size, expect, "{height}x{width}, {nframes} frames, factor {factor}, {budget:?}");
    }

    #[test]
    fn recipe() {
        let recipe = PixelBudget::PerFrame { min_pixels: Some(3136), max_pixels: Some(360_000), total_pixels: None };
        check(1220, 1936, 16, 32, recipe, Some((448, 736)));
        check(1220, 1936, 0, 32, recipe, None);
        check(0, 1936, 16, 32, recipe, None);
        check(10, 2001, 16, 32, recipe, None);
    }

    #[test]
    fn contradicting_bounds() {
        check(
            720,
            1280,
            4,
            32,
            PixelBudget::PerFrame { min_pixels: Some(9000), max_pixels: Some(8000), total_pixels: None },
            None,
        );
        check(
            720,
            1280,
            4,
            32,
            PixelBudget::PerFrame { min_pixels: Some(u64::MAX), max_pixels: None, total_pixels: None },
            None,
        );
        check(720, 1280, 4, 32, PixelBudget::Fixed { height: 0, width: 64 }, None);
        check(30, 1280, 4, 32, PixelBudget::PerClip { min_pixels: 1, max_pixels: 1 << 30 }, None);
    }
}
