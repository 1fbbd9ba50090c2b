//! M-RoPE positions: a temporal, a row and a column index for every token.
//!
//! Text moves all three together; the tokens of a vision block spread over its grid; what follows starts after the largest.

use crate::{Error, GridThw};

/// Ids of the tokens that bound and fill vision blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisionTokenIds {
    /// `<|vision_start|>`.
    pub vision_start: u32,
    /// `<|vision_end|>`.
    pub vision_end: u32,
    /// `<|image_pad|>`.
    pub image: u32,
    /// `<|video_pad|>`.
    pub video: u32,
}

/// Positions of one sample. Legend: `T` tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// t, h, w, each `(T,)`.
    pub position_ids: [Vec<i32>; 3],
    /// Largest position plus 1, minus the number of tokens: what decoding adds to a token's index.
    pub rope_delta: i32,
}

/// How the seconds of a temporal patch enter Qwen2.5-VL's temporal positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondsPerGrid {
    /// Cut to a whole number first, as transformers 4.57.6 does (its `as_tensor` takes an integer type): 0.5 s becomes 0.
    #[default]
    Truncated,
    /// `floor(i * seconds * tokens_per_second)` in f32, as vLLM and Qwen's own training code do.
    Exact,
}

/// Positions of Qwen3-VL: each temporal patch of a video is a block of its own, time is text.
///
/// `grids` lists videos and images in order of appearance; `merge_size` is patches a token side.
/// Source: transformers 4.57.6 `Qwen3VLModel.get_rope_index`.
///
/// # Errors
/// [`Error::VisionTokens`] if the placeholders in `ids` are not what the grids ask for.
pub fn qwen3_vl(ids: &[u32], grids: &[GridThw], tokens: &VisionTokenIds, merge_size: u32) -> Result<Positions, Error> {
    let blocks = grids.iter().flat_map(|grid| (0..grid.t).map(|_| (GridThw { t: 1, ..*grid }, 0.0)));
    lay_out(ids, blocks, tokens, merge_size, |_, _| 0)
}

/// Time in Qwen2.5-VL's positions.
#[derive(Clone, Copy, Debug)]
pub struct VideoTime<'a> {
    /// Seconds of a temporal patch for every video, in order of appearance; 1 where the list ends.
    pub second_per_grid_ts: &'a [f64],
    /// `vision_config.tokens_per_second`.
    pub tokens_per_second: f64,
    /// Which reference to follow.
    pub rounding: SecondsPerGrid,
}

/// Positions of Qwen2.5-VL: one block a video, whose temporal index follows the clock.
///
/// Arguments and source as for [`qwen3_vl`] (`Qwen2_5_VLModel.get_rope_index`), with the clock in `time`.
///
/// # Errors
/// [`Error::VisionTokens`] if the placeholders in `ids` are not what the grids ask for.
pub fn qwen2_5_vl(
    ids: &[u32],
    grids: &[GridThw],
    tokens: &VisionTokenIds,
    merge_size: u32,
    time: VideoTime<'_>,
) -> Result<Positions, Error> {
    // Images are not in the list of seconds: find which blocks are videos from their placeholders.
    let mut pads = ids
        .windows(2)
        .filter(|pair| pair[0] == tokens.vision_start && (pair[1] == tokens.video || pair[1] == tokens.image));
    let mut seconds = time.second_per_grid_ts.iter();
    let blocks: Vec<(GridThw, f64)> = grids
        .iter()
        .map(|&grid| match pads.next() {
            Some(pair) if pair[1] == tokens.video => (grid, seconds.next().copied().unwrap_or(1.0)),
            _ => (grid, 0.0),
        })
        .collect();
    lay_out(ids, blocks.into_iter(), tokens, merge_size, |index, seconds| {
        let (index, seconds, per_second) = (index as f32, seconds as f32, time.tokens_per_second as f32);
        let scaled = match time.rounding {
            SecondsPerGrid::Truncated => index * seconds.trunc() * per_second,
            SecondsPerGrid::Exact => index * seconds * per_second,
        };
        scaled as i64
    })
}

/// Walks the ids, giving each block of placeholders its grid. `t_index(i, seconds)` is the offset of temporal patch `i`.
fn lay_out(
    ids: &[u32],
    mut blocks: impl Iterator<Item = (GridThw, f64)>,
    tokens: &VisionTokenIds,
    merge_size: u32,
    t_index: impl Fn(u32, f64) -> i64,
) -> Result<Positions, Error> {
    let fail = |what: String| Err(Error::VisionTokens(what));
    if merge_size == 0 {
        return fail("merge_size is 0".into());
    }
    let mut axes: [Vec<i64>; 3] = std::array::from_fn(|_| Vec::with_capacity(ids.len()));
    let mut next: i64 = 0;
    let mut at = 0;
    while let Some(&id) = ids.get(at) {
        if id != tokens.video && id != tokens.image {
            axes.iter_mut().for_each(|axis| axis.push(next));
            next += 1;
            at += 1;
            continue;
        }
        let Some((grid, seconds)) = blocks.next() else {
            return fail(format!("placeholder {id} at token {at} has no grid left"));
        };
        let (h, w) = (grid.h / merge_size, grid.w / merge_size);
        let length = u64::from(grid.t).saturating_mul(u64::from(h)).saturating_mul(u64::from(w));
        let run = ids[at..].iter().take_while(|&&other| other == id).count() as u64;
        if run < length || length == 0 {
            return fail(format!(
                "{run} placeholders at token {at}, but a grid of {}x{}x{} asks for {length}",
                grid.t, grid.h, grid.w
            ));
        }
        let mut most = next;
        for t in 0..grid.t {
            let t = next + t_index(t, seconds);
            for y in 0..i64::from(h) {
                for x in 0..i64::from(w) {
                    axes[0].push(t);
                    axes[1].push(next + y);
                    axes[2].push(next + x);
                }
            }
            most = most.max(t);
        }
        next = most.max(next + i64::from(h) - 1).max(next + i64::from(w) - 1) + 1;
        at += length as usize;
    }
    if blocks.next().is_some() {
        return fail("there are more grids than vision blocks".into());
    }
    let too_far = |_| Error::VisionTokens("a position does not fit 32 bits".into());
    let narrow =
        |axis: &Vec<i64>| axis.iter().map(|&p| i32::try_from(p)).collect::<Result<Vec<i32>, _>>().map_err(too_far);
    let [t, h, w] = &axes;
    let rope_delta = i32::try_from(next - ids.len() as i64).map_err(too_far)?;
    Ok(Positions { position_ids: [narrow(t)?, narrow(h)?, narrow(w)?], rope_delta })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: VisionTokenIds = VisionTokenIds { vision_start: 90, vision_end: 91, image: 92, video: 93 };

    fn grid(t: u32, h: u32, w: u32) -> GridThw {
        GridThw { t, h, w }
    }

    #[test]
    fn qwen3_blocks_are_flat_in_time() {
        let ids = [1, 90, 93, 93, 91, 2, 90, 93, 93, 91, 3];
        let positions = qwen3_vl(&ids, &[grid(2, 2, 4)], &TOKENS, 2).unwrap();
        assert_eq!(positions.position_ids[0], [0, 1, 2, 2, 4, 5, 6, 7, 7, 9, 10]);
        assert_eq!(positions.position_ids[1], positions.position_ids[0]);
        assert_eq!(positions.position_ids[2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(positions.rope_delta, 0);
    }

    #[test]
    fn qwen2_5_follows_the_clock() {
        let ids = [1, 90, 93, 93, 93, 91, 2];
        let time = |seconds: &'static [f64], rounding| VideoTime {
            second_per_grid_ts: seconds,
            tokens_per_second: 2.0,
            rounding,
        };
        for (seconds, rounding, expect) in [
            (&[1.0][..], SecondsPerGrid::Truncated, [0, 1, 2, 4, 6, 7, 8]),
            (&[], SecondsPerGrid::Truncated, [0, 1, 2, 4, 6, 7, 8]),
            (&[0.75], SecondsPerGrid::Truncated, [0, 1, 2, 2, 2, 3, 4]),
            (&[0.75], SecondsPerGrid::Exact, [0, 1, 2, 3, 5, 6, 7]),
        ] {
            let positions = qwen2_5_vl(&ids, &[grid(3, 2, 2)], &TOKENS, 2, time(seconds, rounding)).unwrap();
            assert_eq!(positions.position_ids[0], expect, "{seconds:?} {rounding:?}");
            assert_eq!(positions.rope_delta, expect[6] + 1 - 7);
        }
    }

    #[test]
    fn mismatch_is_an_error() {
        for (ids, grids) in [
            (&[90, 93, 91][..], &[][..]),
            (&[90, 93, 91], &[grid(1, 2, 4)]),
            (&[90, 93, 91], &[grid(2, 2, 2)]),
            (&[1, 2], &[grid(1, 2, 2)]),
            (&[90, 93, 91], &[grid(1, 1, 2)]),
            (&[90, 93, 91], &[grid(u32::MAX, u32::MAX, u32::MAX)]),
        ] {
            assert!(qwen3_vl(ids, grids, &TOKENS, 2).is_err(), "{ids:?} {grids:?}");
        }
    }
}
