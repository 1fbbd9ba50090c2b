//! The back-end `pure`: Rust demuxers and Rust H.264 and HEVC decoders.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::decode::{Output, PictureDecoder};
use crate::demux::{Codec, Track};
use crate::error::{Error, Result};
use crate::frame::RgbFrame;
use crate::probe::StreamHeader;
use crate::yuv::{Yuv420, to_rgb};
use crate::{Colour, nal};

/// What became of one packet.
struct Decoded {
    /// The picture, if it was wanted and could be decoded.
    frame: Option<RgbFrame>,
    /// Something in the packet could not be decoded as written.
    damaged: bool,
}

/// Refuses, before anything is decoded, what the Rust decoders or the conversion to RGB cannot do.
pub(crate) fn check_supported(path: &Path, codec: &Codec, stream: &StreamHeader) -> Result<()> {
    let chroma = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"][usize::from(stream.chroma_format & 3)];
    let codec = match codec {
        Codec::H264 | Codec::Hevc if stream.bit_depth == 8 && stream.chroma_format == 1 => return Ok(()),
        Codec::H264 | Codec::Hevc => format!("{codec} with {} bits {chroma}", stream.bit_depth),
        other => other.to_string(),
    };
    let hint = "use the `ffmpeg` back-end (build with `--features ffmpeg`) or convert the clip to 8-bit 4:2:0 H.264";
    Err(Error::UnsupportedCodec { path: path.into(), codec, backend: PureDecoder::NAME, hint })
}

/// A decoder that takes packets in decoding order and gives each packet's picture at once.
pub(crate) enum PureDecoder {
    H264 { decoder: Box<rust_h264::decoder::Decoder>, length_size: usize, colour: Colour, config: Vec<u8> },
    Hevc { decoder: Box<rust_h265::Decoder>, length_size: usize, colour: Colour, config: Vec<u8> },
}

impl PureDecoder {
    /// A decoder for the track, or what is wrong with its configuration.
    pub fn new(track: &Track, colour: Colour) -> std::result::Result<Self, String> {
        let length_size = nal::length_size(&track.codec, &track.config);
        let config = track.config.clone();
        let mut decoder = match track.codec {
            Codec::H264 => Self::H264 { decoder: Box::default(), length_size, colour, config },
            Codec::Hevc => Self::Hevc { decoder: Box::default(), length_size, colour, config },
            ref other => return Err(format!("no Rust decoder for {other}")),
        };
        decoder.restart()?;
        Ok(decoder)
    }

    /// Forgets all pictures; the next packet is a key frame.
    fn restart(&mut self) -> std::result::Result<(), String> {
        // The decoders are young; on garbage they may panic, which must cost this clip and not the run.
        catch_unwind(AssertUnwindSafe(|| self.restart_inner()))
            .unwrap_or_else(|_| Err("the decoder panicked on the stream's parameter sets".into()))
    }

    fn restart_inner(&mut self) -> std::result::Result<(), String> {
        match self {
            Self::H264 { decoder, config, .. } => {
                **decoder = rust_h264::decoder::Decoder::new();
                if !config.is_empty() {
                    let sets = rust_h264::nal::parse_avcc_config(config).map_err(str::to_owned)?;
                    for unit in sets.sps_nals.iter().chain(&sets.pps_nals) {
                        decoder.decode_nal(unit).map_err(|e| e.to_string())?;
                    }
                }
            }
            Self::Hevc { decoder, config, .. } => {
                **decoder = rust_h265::Decoder::new();
                for unit in hevc_parameter_sets(config).iter().filter_map(|unit| rust_h265::parse_nal(unit)) {
                    decoder.decode_nal(&unit).map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Decodes a packet; the picture is converted only if it is wanted.
    fn decode_packet(&mut self, packet: &[u8], wanted: bool) -> Decoded {
        // As in `restart`: a panic inside the decoder is damage of the clip. The decoder is made anew after it.
        let outcome = catch_unwind(AssertUnwindSafe(|| match self {
            Self::H264 { decoder, length_size, colour, .. } => {
                decode_h264(decoder, packet, *length_size, wanted, *colour)
            }
            Self::Hevc { decoder, length_size, colour, .. } => {
                decode_hevc(decoder, packet, *length_size, wanted, *colour)
            }
        }));
        outcome.unwrap_or_else(|_| {
            let _ = self.restart();
            Decoded { frame: None, damaged: true }
        })
    }
}

impl PictureDecoder for PureDecoder {
    const NAME: &'static str = "pure";

    fn decode(&mut self, number: usize, packet: &[u8], wanted: &[bool], output: &mut Output) {
        let decoded = self.decode_packet(packet, wanted.get(number) == Some(&true));
        output.damaged += u64::from(decoded.damaged);
        if let Some(frame) = decoded.frame {
            output.pictures.insert(number, frame);
        }
    }

    fn finish_run(&mut self, _wanted: &[bool], output: &mut Output) {
        if self.restart().is_err() {
            output.damaged += 1;
        }
    }
}

fn decode_h264(
    decoder: &mut rust_h264::decoder::Decoder,
    packet: &[u8],
    length_size: usize,
    wanted: bool,
    colour: Colour,
) -> Decoded {
    let mut damaged = nal::units(packet, length_size).any(|unit| unit.is_err());
    let mut picture = None;
    for unit in rust_h264::nal::parse_avcc(packet, length_size) {
        match decoder.decode_nal(&unit) {
            Ok(frame) => picture = frame.or(picture),
            Err(_) => damaged = true,
        }
    }
    // A packet is a whole picture, so it can be finished now instead of at the start of the next.
    picture = decoder.flush().or(picture);
    let frame = match &picture {
        Some(picture) if wanted => to_rgb(
            &Yuv420 {
                width: picture.width as usize,
                height: picture.height as usize,
                y: &picture.y,
                u: &picture.u,
                v: &picture.v,
                y_stride: picture.width as usize,
                uv_stride: picture.chroma_width() as usize,
            },
            colour,
        ),
        _ => None,
    };
    let lost = picture.as_ref().is_none_or(has_missing_macroblocks);
    Decoded { frame, damaged: damaged || lost }
}

/// Whether macroblocks of the picture were never decoded.
///
/// The decoder reports few errors: after flipped bits the entropy decoder runs on until it meets an accidental end of
/// the slice, and the rest of the picture stays as it was allocated, all zero. Real video never has zero in all three
/// planes (a green that no camera gives).
fn has_missing_macroblocks(picture: &rust_h264::decoder::Frame) -> bool {
    const CHROMA_BLOCK: usize = 8;
    let (width, chroma_width) = (picture.width as usize, picture.chroma_width() as usize);
    let zero = |plane: &[u8], stride: usize, x: usize, y: usize, size: usize| {
        (y..y + size).all(|y| {
            plane.get(y * stride + x..y * stride + x + size).is_some_and(|line| line.iter().all(|&value| value == 0))
        })
    };
    // Inner parts only: the deblocking filter may have touched the rims.
    let missing = |x: usize, y: usize| {
        zero(&picture.u, chroma_width, x + 2, y + 2, 4)
            && zero(&picture.v, chroma_width, x + 2, y + 2, 4)
            && zero(&picture.y, width, 2 * x + 4, 2 * y + 4, 8)
    };
    let (columns, rows) = (chroma_width / CHROMA_BLOCK, picture.chroma_height() as usize / CHROMA_BLOCK);
    (0..rows).any(|row| (0..columns).any(|column| missing(column * CHROMA_BLOCK, row * CHROMA_BLOCK)))
}

fn decode_hevc(
    decoder: &mut rust_h265::Decoder,
    packet: &[u8],
    length_size: usize,
    wanted: bool,
    colour: Colour,
) -> Decoded {
    let mut damaged = nal::units(packet, length_size).any(|unit| unit.is_err());
    let mut picture = None;
    for unit in nal::units(packet, length_size).flatten().filter_map(rust_h265::parse_nal) {
        match decoder.decode_nal(&unit) {
            Ok(frame) => picture = frame.or(picture),
            Err(_) => damaged = true,
        }
    }
    // An access unit delimiter (type 35) ends the picture, so that it comes out with its own packet.
    if let Some(delimiter) = rust_h265::parse_nal(&[35 << 1, 1, 0x50]) {
        match decoder.decode_nal(&delimiter) {
            Ok(frame) => picture = frame.or(picture),
            Err(_) => damaged = true,
        }
    }
    let frame = match &picture {
        Some(picture) if wanted => {
            picture.y.as_u8().zip(picture.u.as_u8()).zip(picture.v.as_u8()).and_then(|((y, u), v)| {
                let (width, height) = (picture.width as usize, picture.height as usize);
                to_rgb(&Yuv420 { width, height, y, u, v, y_stride: width, uv_stride: width / 2 }, colour)
            })
        }
        _ => None,
    };
    Decoded { frame, damaged: damaged || picture.is_none() }
}

/// The NAL units of an `hvcC` record (ISO/IEC 14496-15); what does not fit is left out.
pub(crate) fn hevc_parameter_sets(config: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = config.get(22..).unwrap_or_default();
    let mut number = |size: usize| {
        let (head, tail) = rest.split_at_checked(size)?;
        rest = tail;
        Some(head)
    };
    let arrays = number(1).map_or(0, |bytes| bytes[0]);
    for _ in 0..arrays {
        let Some([_, high, low]) = number(3) else { break };
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let Some([high, low]) = number(2) else { break };
            let Some(unit) = number(u16::from_be_bytes([*high, *low]).into()) else { break };
            units.push(unit);
        }
    }
    units
}
