//! Which frames of a clip a model sees.

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
