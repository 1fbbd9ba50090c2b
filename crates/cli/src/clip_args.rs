//! Flags that several verbs share: which frames of a clip, at what size, by which decoder.

use clap::ValueEnum;
use processor::PixelBudget;
use video::{BackendChoice, FrameRequest, FrameSampling};

/// Frames of the recipe.
const NFRAMES: u32 = 16;

/// Which frames, at what size, by which decoder.
#[derive(clap::Args, Clone, Debug)]
pub struct ClipArgs {
    /// Number of frames, evenly spaced, rounded to an even number [default: 16]
    #[arg(long, value_name = "N", conflicts_with = "fps")]
    nframes: Option<u32>,
    /// Frames per second instead of a number of frames
    #[arg(long, value_name = "F")]
    fps: Option<f64>,
    /// With --fps: fewest frames
    #[arg(long, value_name = "N", default_value_t = 4, requires = "fps")]
    min_frames: u32,
    /// With --fps: most frames
    #[arg(long, value_name = "N", default_value_t = 768, requires = "fps")]
    max_frames: u32,
    /// Start of the part that is looked at, in seconds
    #[arg(long, value_name = "SECONDS")]
    video_start: Option<f64>,
    /// End of the part that is looked at, in seconds
    #[arg(long, value_name = "SECONDS")]
    video_end: Option<f64>,
    /// Fewest pixels of a frame shown to the model
    #[arg(long, value_name = "PIXELS", default_value_t = 3136)]
    min_pixels: u64,
    /// Most pixels of a frame shown to the model
    #[arg(long, value_name = "PIXELS", default_value_t = 360_000)]
    max_pixels: u64,
    /// Decoder
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub backend: Backend,
}

/// Decoders by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// ffmpeg if this binary was built with it and it can open the clip, else pure
    Auto,
    /// The Rust decoders: H.264 and HEVC, 8 bit
    Pure,
    /// libav, if this binary was built with it
    Ffmpeg,
}

impl From<Backend> for BackendChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Pure => Self::Pure,
            Backend::Ffmpeg => Self::Ffmpeg,
        }
    }
}

impl ClipArgs {
    /// The frames asked for.
    pub fn request(&self) -> FrameRequest {
        let sampling = match self.fps {
            Some(fps) => FrameSampling::Rate { fps, min_frames: self.min_frames, max_frames: self.max_frames },
            None => FrameSampling::Count(self.nframes.unwrap_or(NFRAMES)),
        };
        FrameRequest { sampling, video_start_s: self.video_start, video_end_s: self.video_end }
    }

    /// The size asked for.
    pub fn budget(&self) -> PixelBudget {
        PixelBudget::PerFrame {
            min_pixels: Some(self.min_pixels),
            max_pixels: Some(self.max_pixels),
            total_pixels: None,
        }
    }
}
