//! Decodes the chosen frames of a clip: opens it, chooses frames, runs the packet plan on a back-end.

use std::path::Path;

use crate::demux::{self, Codec, Opened};
use crate::error::{Error, Result};
use crate::frame::RgbFrame;
use crate::plan::Plan;
use crate::probe::{StreamHeader, check_pixels};
use crate::pure::PureDecoder;
use crate::sampling::{FrameRequest, Rational, frame_indices};
use crate::{Limits, nal};

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
    /// Number of frames that any decoder must see: from each key frame to the wanted frame, without non-reference frames.
    pub frames_decoded_min: u64,
    /// Number of damaged packets or frames that the decoder concealed; a clip with any is marked damaged.
    pub damaged: u64,
}

/// Decodes the frames that `request` chooses.
///
/// # Errors
/// [`Error`] if the file is not a readable clip, breaks a limit, or has too few frames for the request.
pub fn decode(path: &Path, request: &FrameRequest, backend: BackendChoice, limits: &Limits) -> Result<SampledClip> {
    match backend {
        BackendChoice::Auto | BackendChoice::Pure => decode_pure(path, request, limits),
        BackendChoice::Ffmpeg => Err(Error::BackendMissing("ffmpeg")),
    }
}

fn decode_pure(path: &Path, request: &FrameRequest, limits: &Limits) -> Result<SampledClip> {
    const BACKEND: &str = "pure";
    let Opened { track, mut reader } = demux::open(path, limits)?;
    let order = track.display_order();
    if order.is_empty() {
        return Err(Error::NoFrames { path: path.into() });
    }
    let total_frames = order.len() as u64;
    let indices = frame_indices(total_frames, track.fps, request).map_err(|e| e.at(path))?;
    let stream = StreamHeader::new(&track);
    check_pixels(path, &stream, limits)?;
    let unsupported = |codec: String| Error::UnsupportedCodec {
        path: path.into(),
        codec,
        backend: BACKEND,
        hint: "use the `ffmpeg` back-end (build with `--features ffmpeg`) or convert the clip to 8-bit H.264",
    };
    if !matches!(track.codec, Codec::H264 | Codec::Hevc) {
        return Err(unsupported(track.codec.to_string()));
    }
    if stream.bit_depth != 8 || stream.chroma_format != 1 {
        let chroma = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"][usize::from(stream.chroma_format & 3)];
        return Err(unsupported(format!("{} with {} bits {chroma}", track.codec, stream.bit_depth)));
    }
    let packet_of = |index: u64| order[index as usize];
    let wanted: Vec<usize> = indices.iter().map(|&index| packet_of(index)).collect();
    let plan = Plan::new(&track.packets, &wanted);
    let failed = |what: String| Error::Decode { path: path.into(), backend: BACKEND, what };
    let mut decoder = PureDecoder::new(&track, stream.colour).map_err(failed)?;
    let length_size = nal::length_size(&track.codec, &track.config);
    let mut pictures: Vec<Option<RgbFrame>> = vec![None; track.packets.len()];
    let (mut frames_decoded, mut damaged, mut data) = (0, 0, Vec::new());
    for (nth, run) in plan.runs.iter().enumerate() {
        if nth > 0 {
            decoder.restart().map_err(failed)?;
        }
        for number in run.start..=run.end {
            reader.read(number, &mut data)?;
            let wanted = plan.wanted[number];
            if !wanted && nal::is_disposable(&track.codec, &data, length_size, 0) {
                continue;
            }
            let decoded = decoder.decode(&data, wanted);
            frames_decoded += 1;
            damaged += u64::from(decoded.damaged);
            pictures[number] = decoded.frame.map(|frame| frame.rotated(track.rotation));
        }
    }
    let mut frames = Vec::with_capacity(indices.len());
    for &index in &indices {
        let picture = pictures[packet_of(index)].clone();
        frames.push(picture.ok_or_else(|| failed(format!("frame {index} could not be decoded ({damaged} damaged packets)")))?);
    }
    Ok(SampledClip { frames, frame_indices: indices, total_frames, fps: track.fps, backend: BACKEND, frames_decoded, frames_decoded_min: frames_decoded, damaged })
}
