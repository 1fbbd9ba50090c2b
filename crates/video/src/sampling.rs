//! Which frames of a clip a model sees.

use crate::error::{Error, Result};

/// A frame rate as numerator over denominator, both positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rational {
    /// Numerator.
    pub num: u64,
    /// Denominator.
    pub den: u64,
}

impl Rational {
    /// The rate in frames per second.
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// The same rate with the smallest numbers; a zero part becomes 1.
    #[must_use]
    pub(crate) fn reduced(self) -> Self {
        let (mut a, mut b) = (self.num, self.den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { num: (self.num / a.max(1)).max(1), den: (self.den / a.max(1)).max(1) }
    }
}

/// How many frames: a number, or a rate. Never both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameSampling {
    /// `nframes`: rounded to an even number.
    Count(u32),
    /// `fps`, with the reference's bounds on the number of frames.
    Rate {
        /// Frames per second of the sampled clip.
        fps: f64,
        /// Fewest frames (default 4).
        min_frames: u32,
        /// Most frames (default 768).
        max_frames: u32,
    },
}

/// Which part of a clip, and how densely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameRequest {
    /// Number or rate.
    pub sampling: FrameSampling,
    /// Start, in seconds from the first frame.
    pub video_start_s: Option<f64>,
    /// End, in seconds from the first frame.
    pub video_end_s: Option<f64>,
}

impl FrameRequest {
    /// A request over the whole clip.
    pub fn whole(sampling: FrameSampling) -> Self {
        Self { sampling, video_start_s: None, video_end_s: None }
    }
}

/// Every sampled clip has a multiple of this many frames (`FRAME_FACTOR`: one temporal patch).
const FRAME_FACTOR: f64 = 2.0;

/// The presentation-order indices of the frames that a model sees, increasing (a frame may repeat only by rounding).
///
/// Source: `qwen_vl_utils` 0.0.14, `smart_nframes` and `calculate_video_frame_range`, with `torch.linspace` in f32 as
/// torch computes it on a CPU with fused multiply-add (AVX2 and later), rounded half to even.
///
/// # Errors
/// [`Error::FrameCount`] if the rounded number is not in `[2, frames of the range]`; [`Error::TimeRange`] if the range
/// holds no two frames; [`Error::InvalidRequest`] if a rate or time is not a finite number, or the frame rate is not positive.
pub fn frame_indices(total_frames: u64, fps: Rational, request: &FrameRequest) -> Result<Vec<u64>> {
    let video_fps = fps.to_f64();
    if !(video_fps.is_finite() && video_fps > 0.0) {
        return Err(Error::InvalidRequest(format!(
            "the clip's frame rate is {}/{}; it must be positive",
            fps.num, fps.den
        )));
    }
    let (start_frame, end_frame) = frame_range(total_frames, video_fps, request)?;
    let range_frames = end_frame - start_frame + 1;
    let nframes = smart_nframes(range_frames, video_fps, request.sampling)?;
    Ok(linspace_rounded(start_frame, end_frame, nframes))
}

/// First and last frame of the requested part of the clip, both included.
fn frame_range(total_frames: u64, video_fps: f64, request: &FrameRequest) -> Result<(u64, u64)> {
    let too_few = Error::FrameCount { path: None, nframes: 2, total_frames };
    let Some(last) = total_frames.checked_sub(1) else { return Err(too_few) };
    if request.video_start_s.is_none() && request.video_end_s.is_none() {
        return Ok((0, last));
    }
    let duration_s = total_frames as f64 / video_fps;
    let frame_at = |seconds: f64| -> Result<f64> {
        if seconds.is_finite() {
            Ok(seconds.min(duration_s).max(0.0) * video_fps)
        } else {
            Err(Error::InvalidRequest(format!(
                "video_start and video_end must be finite numbers of seconds, not {seconds}"
            )))
        }
    };
    let start_frame = request.video_start_s.map_or(Ok(0.0), frame_at)?.ceil() as u64;
    let end_frame = match request.video_end_s {
        Some(seconds) => (frame_at(seconds)?.floor() as u64).min(last),
        None => last,
    };
    if start_frame >= end_frame {
        let (start_frame, end_frame) = (start_frame as i64, end_frame as i64);
        return Err(Error::TimeRange { path: None, start_frame, end_frame, duration_s, total_frames });
    }
    Ok((start_frame, end_frame))
}

/// The even number of frames to take from `total_frames`.
fn smart_nframes(total_frames: u64, video_fps: f64, sampling: FrameSampling) -> Result<u64> {
    let nframes = match sampling {
        FrameSampling::Count(count) => (f64::from(count) / FRAME_FACTOR).round_ties_even() * FRAME_FACTOR,
        FrameSampling::Rate { fps, min_frames, max_frames } => {
            if !(fps.is_finite() && fps > 0.0) {
                return Err(Error::InvalidRequest(format!("fps must be a positive number, not {fps}")));
            }
            let min_frames = (f64::from(min_frames) / FRAME_FACTOR).ceil() * FRAME_FACTOR;
            let max_frames = (f64::from(max_frames) / FRAME_FACTOR).floor() * FRAME_FACTOR;
            let wanted = total_frames as f64 / video_fps * fps;
            let bounded = wanted.max(min_frames).min(max_frames).min(total_frames as f64);
            (bounded / FRAME_FACTOR).floor() * FRAME_FACTOR
        }
    } as u64;
    if nframes < 2 || nframes > total_frames {
        return Err(Error::FrameCount { path: None, nframes, total_frames });
    }
    Ok(nframes)
}

/// `torch.linspace(start, end, count).round()`: the step in f32, each half computed from its own end with a fused
/// multiply-add. `count` is at least 2.
fn linspace_rounded(start: u64, end: u64, count: u64) -> Vec<u64> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (count - 1) as f32;
    let value = |i: u64| match i < count / 2 {
        true => step.mul_add(i as f32, start),
        false => (-step).mul_add((count - 1 - i) as f32, end),
    };
    (0..count).map(|i| value(i).round_ties_even() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(total_frames: u64, sampling: FrameSampling, range_s: (Option<f64>, Option<f64>), expect: &str) {
        let request = FrameRequest { sampling, video_start_s: range_s.0, video_end_s: range_s.1 };
        let got = match frame_indices(total_frames, Rational { num: 30, den: 1 }, &request) {
            Ok(indices) => indices.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
            Err(Error::FrameCount { nframes, total_frames, .. }) => format!("count {nframes} of {total_frames}"),
            Err(Error::TimeRange { start_frame, end_frame, .. }) => format!("range {start_frame} {end_frame}"),
            Err(error) => error.to_string().split(':').next().unwrap_or_default().to_owned(),
        };
        assert_eq!(got, expect, "{total_frames} {request:?}");
    }

    fn rate(fps: f64) -> FrameSampling {
        FrameSampling::Rate { fps, min_frames: 4, max_frames: 768 }
    }

    #[test]
    fn indices_follow_the_reference() {
        use FrameSampling::Count;
        let whole = (None, None);
        check(900, Count(16), whole, "0 60 120 180 240 300 360 420 479 539 599 659 719 779 839 899");
        check(600, Count(16), whole, "0 40 80 120 160 200 240 280 319 359 399 439 479 519 559 599");
        check(150, Count(16), whole, "0 10 20 30 40 50 60 70 79 89 99 109 119 129 139 149");
        check(60, rate(1.0), whole, "0 20 39 59");
        check(7, rate(2.0), whole, "0 2 4 6");
        check(7, rate(60.0), whole, "0 1 2 4 5 6");
        check(10, Count(5), whole, "0 3 6 9");
        check(10, Count(7), whole, "0 1 3 4 5 6 8 9");
        check(90, Count(4), (Some(1.0), Some(2.0)), "30 40 50 60");
        check(90, Count(4), (Some(0.05), None), "2 31 60 89");
        check(90, Count(4), (Some(-3.0), Some(99.0)), "0 30 59 89");
    }

    #[test]
    fn requests_that_cannot_be_met_are_errors() {
        use FrameSampling::Count;
        check(10, Count(16), (None, None), "count 16 of 10");
        check(10, Count(1), (None, None), "count 0 of 10");
        check(1, rate(2.0), (None, None), "count 0 of 1");
        check(0, Count(2), (None, None), "count 2 of 0");
        check(90, Count(64), (Some(1.0), Some(2.0)), "count 64 of 31");
        check(90, Count(4), (Some(2.0), Some(1.0)), "range 60 30");
        check(90, Count(4), (Some(9.0), None), "range 90 89");
        check(90, Count(4), (Some(f64::NAN), None), "invalid request");
        check(90, rate(0.0), (None, None), "invalid request");
    }

    /// `tests/data/linspace.txt` is written by `tests/data/make_reference.py`: start, end, count, then the indices.
    #[test]
    fn linspace_equals_torch() {
        for line in include_str!("../tests/data/linspace.txt").lines() {
            let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            assert_eq!(linspace_rounded(numbers[0], numbers[1], numbers[2]), numbers[3..], "{:?}", &numbers[..3]);
        }
    }
}
