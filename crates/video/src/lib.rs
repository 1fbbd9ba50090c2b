//! Driving video in: probe, frame choice, decode of chosen frames only, resize; and out: H.264 mp4.
//!
//! The one crate that knows a codec library.

mod bench;
mod decode;
mod demux;
mod encode;
mod error;
#[cfg(feature = "ffmpeg")]
mod ffmpeg;
mod frame;
mod hevc_sps;
mod limits;
mod nal;
mod plan;
mod probe;
mod pure;
mod resize;
mod sampling;
mod yuv;

pub use bench::{DecodeReport, bench_decode};
pub use decode::{BackendChoice, SampledClip, decode};
pub use demux::Codec;
pub use encode::Mp4Writer;
pub use error::{Error, Result};
pub use frame::RgbFrame;
pub use limits::Limits;
pub use probe::{ClipInfo, Colour, ColourRange, probe};
pub use resize::{ResizeKernel, Resizer, resize};
pub use sampling::{FrameRequest, FrameSampling, Rational, frame_indices};
