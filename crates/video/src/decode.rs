//! Decodes the chosen frames of a clip: opens it, chooses frames, runs the packet plan on a back-end.

use std::collections::HashMap;
use std::path::Path;

#[cfg(feature = "ffmpeg")]
use crate::demux::Codec;
use crate::demux::{self, Opened};
use crate::error::{Error, Result};
use crate::frame::RgbFrame;
use crate::plan::Plan;
use crate::probe::{StreamHeader, check_pixels};
use crate::pure::{self, PureDecoder};
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

impl BackendChoice {
    /// The choice in words that name one behaviour of this build: `auto` differs with what is compiled in.
    pub fn in_this_build(self) -> &'static str {
        match self {
            Self::Auto if cfg!(feature = "ffmpeg") => "auto with ffmpeg",
            Self::Auto | Self::Pure => "pure",
            Self::Ffmpeg => "ffmpeg",
        }
    }
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

/// Pictures on their way from a decoder to the caller.
#[derive(Default)]
pub(crate) struct Output {
    /// Wanted pictures by packet number.
    pub pictures: HashMap<usize, RgbFrame>,
    /// Packets and pictures that were damaged.
    pub damaged: u64,
}

/// A back-end's decoder: it gets the packets of the plan, in order, and gives pictures by packet number.
pub(crate) trait PictureDecoder {
    /// The back-end's name.
    const NAME: &'static str;

    /// Decodes one packet; the first of a run is a key frame. Pictures that `wanted` names go to `output`, now or later.
    fn decode(&mut self, number: usize, packet: &[u8], wanted: &[bool], output: &mut Output);

    /// The run is over: the pictures still inside come out, and all is forgotten.
    fn finish_run(&mut self, wanted: &[bool], output: &mut Output);
}

/// Decodes the frames that `request` chooses.
///
/// # Errors
/// [`Error`] if the file is not a readable clip, breaks a limit, has too few frames for the request, or is of a codec
/// that the back-end cannot decode.
pub fn decode(path: &Path, request: &FrameRequest, backend: BackendChoice, limits: &Limits) -> Result<SampledClip> {
    match backend {
        BackendChoice::Pure => decode_pure(path, request, limits),
        #[cfg(feature = "ffmpeg")]
        BackendChoice::Auto | BackendChoice::Ffmpeg => decode_ffmpeg(path, request, limits),
        #[cfg(not(feature = "ffmpeg"))]
        BackendChoice::Auto => decode_pure(path, request, limits),
        #[cfg(not(feature = "ffmpeg"))]
        BackendChoice::Ffmpeg => Err(Error::BackendMissing("ffmpeg")),
    }
}

fn decode_pure(path: &Path, request: &FrameRequest, limits: &Limits) -> Result<SampledClip> {
    let opened = demux::open(path, limits)?;
    let stream = StreamHeader::new(&opened.track);
    check_pixels(path, &stream, limits)?;
    pure::check_supported(path, &opened.track.codec, &stream)?;
    let decoder = PureDecoder::new(&opened.track, stream.colour).map_err(|what| failed::<PureDecoder>(path, what))?;
    run(path, opened, decoder, request)
}

#[cfg(feature = "ffmpeg")]
fn decode_ffmpeg(path: &Path, request: &FrameRequest, limits: &Limits) -> Result<SampledClip> {
    use crate::ffmpeg::{FfmpegDecoder, open};
    let (opened, parameters) = match demux::open(path, limits) {
        Ok(opened) if !matches!(opened.track.codec, Codec::Other(_)) => (opened, None),
        Ok(_) | Err(Error::NotAVideo { .. }) => {
            open(path, limits).map(|(opened, parameters)| (opened, Some(parameters)))?
        }
        Err(error) => return Err(error),
    };
    let stream = StreamHeader::new(&opened.track);
    check_pixels(path, &stream, limits)?;
    let decoder = FfmpegDecoder::new(&opened.track, parameters, stream.colour)
        .map_err(|what| failed::<FfmpegDecoder>(path, what))?;
    let decoder = decoder.ok_or_else(|| Error::UnsupportedCodec {
        path: path.into(),
        codec: opened.track.codec.to_string(),
        backend: FfmpegDecoder::NAME,
        hint: "this libav was built without a decoder for it; convert the clip to H.264",
    })?;
    run(path, opened, decoder, request)
}

fn failed<D: PictureDecoder>(path: &Path, what: String) -> Error {
    Error::Decode { path: path.into(), backend: D::NAME, what }
}

/// Chooses frames, plans, feeds the decoder and collects.
fn run<D: PictureDecoder>(path: &Path, opened: Opened, mut decoder: D, request: &FrameRequest) -> Result<SampledClip> {
    let Opened { track, mut reader } = opened;
    let order = track.display_order();
    let total_frames = order.len() as u64;
    if order.is_empty() {
        return Err(Error::NoFrames { path: path.into() });
    }
    let indices = frame_indices(total_frames, track.fps, request).map_err(|e| e.at(path))?;
    let packet_of = |index: u64| order[index as usize];
    let plan = Plan::new(&track.packets, &indices.iter().map(|&index| packet_of(index)).collect::<Vec<_>>());
    let disposal = nal::Disposal::new(&track);
    let (mut output, mut frames_decoded, mut data) = (Output::default(), 0, Vec::new());
    for stretch in &plan.runs {
        for (number, &wanted) in plan.wanted.iter().enumerate().take(stretch.end + 1).skip(stretch.start) {
            reader.read(number, &mut data)?;
            if wanted || !disposal.is_disposable(&data) {
                decoder.decode(number, &data, &plan.wanted, &mut output);
                frames_decoded += 1;
            }
        }
        decoder.finish_run(&plan.wanted, &mut output);
    }
    let Output { mut pictures, damaged } = output;
    let mut frames: Vec<RgbFrame> = Vec::with_capacity(indices.len());
    for (nth, &index) in indices.iter().enumerate() {
        // Indices do not fall, so a repeated one is next to its twin.
        let picture = match frames.last() {
            Some(last) if nth > 0 && indices[nth - 1] == index => Some(last.clone()),
            _ => pictures.remove(&packet_of(index)).map(|picture| picture.rotated(track.rotation)),
        };
        frames.push(picture.ok_or_else(|| {
            failed::<D>(path, format!("frame {index} could not be decoded ({damaged} damaged packets)"))
        })?);
    }
    Ok(SampledClip {
        frames,
        frame_indices: indices,
        total_frames,
        fps: track.fps,
        backend: D::NAME,
        frames_decoded,
        frames_decoded_min: frames_decoded,
        damaged,
    })
}
