//! Driving video in: probe, frame choice, decode of chosen frames only, resize; and out: H.264 mp4.
//!
//! The one crate that knows a codec library.

mod frame;
mod sampling;

pub use frame::RgbFrame;
pub use sampling::{FrameRequest, FrameSampling, Rational};

use std::path::Path;

/// A failure of this crate (the `video` helper replaces this by a typed enum that names file, offset, cause).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Caps that are checked before any frame is decoded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest width times height of a coded frame.
    pub frame_pixels_max: u64,
    /// Largest number of frames of the stream.
    pub frames_max: u64,
    /// Longest duration, in milliseconds.
    pub duration_max_ms: u64,
    /// Largest file, in bytes.
    pub file_bytes_max: u64,
    /// Largest number of streams in the container.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_pixels_max: 8192 * 8192, frames_max: 1_000_000, duration_max_ms: 6 * 3600 * 1000, file_bytes_max: 64 << 30, streams_max: 64 }
    }
}

/// Which decoder to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// `ffmpeg` if compiled in and it can open the codec, else `pure`.
    #[default]
    Auto,
    /// The Rust decoders, always compiled.
    Pure,
    /// libav, with the cargo feature `ffmpeg`.
    Ffmpeg,
}

/// The chosen frames of a clip, at source size, with what is needed to say where they came from.
#[derive(Clone, Debug)]
pub struct SampledClip {
    /// Decoded frames in display order, rotation applied; one per entry of `frame_indices`.
    pub frames: Vec<RgbFrame>,
    /// Presentation-order index of every frame.
    pub frame_indices: Vec<u64>,
    /// Number of frames of the stream.
    pub total_frames: u64,
    /// Average frame rate of the stream.
    pub fps: Rational,
    /// The decoder that ran: `pure` or `ffmpeg`.
    pub backend: &'static str,
    /// Number of frames that the decoder was fed.
    pub frames_decoded: u64,
    /// Number of damaged packets or frames that the decoder concealed; a clip with any is marked damaged.
    pub damaged: u64,
}

/// Decodes the frames that `request` chooses.
///
/// # Errors
/// [`Error`] if the file is not a readable clip, breaks a limit, or has too few frames for the request.
pub fn decode(_path: &Path, _request: &FrameRequest, _backend: BackendChoice, _limits: &Limits) -> Result<SampledClip, Error> {
    Err(Error("not written yet".into()))
}

/// Which definition of bicubic antialiased resizing to follow; all give 8-bit values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeKernel {
    /// torchvision v1 `functional.resize` on uint8 (what qwen_vl_utils calls): f32 arithmetic, rounded at the end.
    #[default]
    TorchF32,
    /// torchvision v2 uint8 fixed point.
    TorchvisionU8,
    /// Pillow.
    Pil,
}

/// Resizes a frame, bicubic with antialiasing.
///
/// # Errors
/// [`Error`] if a target side is 0.
pub fn resize(_frame: &RgbFrame, _width: u32, _height: u32, _kernel: ResizeKernel) -> Result<RgbFrame, Error> {
    Err(Error("not written yet".into()))
}
