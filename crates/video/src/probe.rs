//! What a file says about itself, without decoding a frame.

use std::path::Path;

use crate::demux::{self, Codec, Opened, Track};
use crate::error::{Error, Result};
use crate::sampling::Rational;
use crate::{Limits, hevc_sps, pure};

/// Black to white of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourRange {
    /// Not said; treated as limited.
    #[default]
    Unspecified,
    /// 16 to 235 ("tv").
    Limited,
    /// 0 to 255 ("pc").
    Full,
}

/// How a stream's YUV is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// Matrix coefficients of ITU-T H.273: 1 is BT.709, 5 and 6 BT.601, 9 BT.2020, 2 unspecified (treated as BT.601).
    pub matrix: u8,
    /// Range of the samples.
    pub range: ColourRange,
}

impl Default for Colour {
    fn default() -> Self {
        Self { matrix: 2, range: ColourRange::Unspecified }
    }
}

/// What [`probe`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipInfo {
    /// `mp4`, `mov`, `mkv` or `webm`; with the `ffmpeg` back-end also its names for other containers.
    pub container: String,
    /// Codec of the video stream.
    pub codec: Codec,
    /// Width of a decoded frame in pixels, before rotation.
    pub width: u32,
    /// Height of a decoded frame in pixels, before rotation.
    pub height: u32,
    /// Bits of a sample, if known without decoding.
    pub bit_depth: u8,
    /// Average frame rate.
    pub fps: Rational,
    /// Number of frames shown (after the edit list).
    pub frames: u64,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// Presentation-order indices of the shown frames at which decoding can start.
    pub key_frames: Vec<u64>,
    /// Clockwise turn that `decode` applies, in degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Colour matrix and range.
    pub colour: Colour,
    /// Kinds of all streams, in order.
    pub streams: Vec<String>,
    /// Whether one of them is sound.
    pub has_audio: bool,
}

/// Reads a file's tables: quick, and no frame is decoded.
///
/// # Errors
/// [`Error`] that says what is wrong: empty file, no video file, cut short, no video stream, no frames, a limit exceeded.
pub fn probe(path: &Path, limits: &Limits) -> Result<ClipInfo> {
    let opened = open(path, limits)?;
    let stream = StreamHeader::new(&opened.track);
    check_pixels(path, &stream, limits)?;
    let track = opened.track;
    let order = track.display_order();
    if order.is_empty() {
        return Err(Error::NoFrames { path: path.into() });
    }
    let key_frames = (0..).zip(&order).filter(|&(_, &packet)| track.packets[packet].key).map(|(i, _)| i).collect();
    Ok(ClipInfo {
        container: track.container.to_owned(),
        width: stream.width,
        height: stream.height,
        bit_depth: stream.bit_depth,
        fps: track.fps,
        frames: order.len() as u64,
        duration_ms: track.duration_ms(),
        key_frames,
        rotation: track.rotation,
        colour: stream.colour,
        has_audio: track.streams.iter().any(|kind| kind == "audio"),
        streams: track.streams,
        codec: track.codec,
    })
}

/// By the Rust demuxers, or libavformat where those do not know the container.
fn open(path: &Path, limits: &Limits) -> Result<Opened> {
    match demux::open(path, limits) {
        #[cfg(feature = "ffmpeg")]
        Err(Error::NotAVideo { .. }) => crate::ffmpeg::open(path, limits).map(|(opened, _)| opened),
        other => other,
    }
}

/// The coded size can be larger than what the container says; both must be within the limit.
pub(crate) fn check_pixels(path: &Path, stream: &StreamHeader, limits: &Limits) -> Result<()> {
    let value = u64::from(stream.width) * u64::from(stream.height);
    if value > limits.frame_pixels_max {
        return Err(Error::LimitExceeded {
            path: path.into(),
            what: "the number of pixels of a frame",
            value,
            max: limits.frame_pixels_max,
        });
    }
    Ok(())
}

/// What the stream's own parameter sets say, or the container where they are silent.
#[derive(Clone, Debug)]
pub(crate) struct StreamHeader {
    pub width: u32,
    pub height: u32,
    pub bit_depth: u8,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u8,
    pub colour: Colour,
}

impl StreamHeader {
    /// From the decoder configuration record of the container.
    pub fn new(track: &Track) -> Self {
        let mut header =
            Self { width: track.width, height: track.height, bit_depth: 8, chroma_format: 1, colour: track.colour };
        match track.codec {
            Codec::H264 => header.read_avcc(&track.config),
            Codec::Hevc => header.read_hvcc(&track.config),
            _ => {}
        }
        header
    }

    fn read_avcc(&mut self, config: &[u8]) {
        let Ok(sets) = rust_h264::nal::parse_avcc_config(config) else { return };
        let info = sets.sps_nals.first().map(rust_h264::nal::parse_sps_info);
        let Some(Ok(info)) = info else { return };
        (self.width, self.height) = (info.width, info.height);
        self.bit_depth = info.bit_depth_luma as u8;
        self.chroma_format = info.chroma_format as u8;
        // This parser gives "limited" for streams that do not say; then the container's word stands.
        let range = if info.full_range { ColourRange::Full } else { ColourRange::Unspecified };
        self.say(Colour { matrix: info.matrix, range });
    }

    fn read_hvcc(&mut self, config: &[u8]) {
        if let Some([chroma_format, depth]) = config.get(16..18) {
            self.chroma_format = chroma_format & 3;
            self.bit_depth = 8 + (depth & 7);
        }
        let sps = pure::hevc_parameter_sets(config).into_iter().filter_map(rust_h265::parse_nal);
        let sps = sps
            .filter(|unit| unit.nal_unit_type == rust_h265::NalUnitType::Sps)
            .find_map(|unit| hevc_sps::parse(&unit.rbsp));
        let Some(sps) = sps else { return };
        (self.width, self.height) = (sps.width, sps.height);
        (self.chroma_format, self.bit_depth) = (sps.chroma_format, sps.bit_depth);
        self.say(sps.colour);
    }

    /// The stream's own word on its colour, where it has one.
    fn say(&mut self, colour: Colour) {
        if colour.matrix != 2 {
            self.colour.matrix = colour.matrix;
        }
        if colour.range != ColourRange::Unspecified {
            self.colour.range = colour.range;
        }
    }
}
