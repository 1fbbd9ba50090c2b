//! Containers by libavformat: AVI, MPEG-TS and all else that the Rust demuxers do not read.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;

use super::{Parameters, initialise};
use crate::demux::{Codec, Opened, Packet, PacketReader, Source, Track, check_limits};
use crate::error::{Error, Result};
use crate::sampling::Rational;
use crate::{Colour, ColourRange, Limits};

/// Opens a file with libavformat and lists all packets of its best video stream.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<(Opened, Parameters)> {
    // Checks existence and size with this crate's errors.
    Source::open(path, limits)?;
    let not_a_video = |reason: String| Error::NotAVideo { path: path.into(), reason };
    initialise().map_err(&not_a_video)?;
    let mut input = ff::format::input(path).map_err(|e| not_a_video(format!("libavformat says: {e}")))?;
    let format = input.format().name().to_owned();
    // libavformat also "plays" still pictures and text.
    if format.ends_with("_pipe") || format.starts_with("image2") || format == "tty" {
        return Err(not_a_video(format!("it is no clip but `{format}`")));
    }
    let streams: Vec<String> = input.streams().map(|stream| kind(&stream)).collect();
    let Some(stream) = input.streams().best(ff::media::Type::Video) else {
        return Err(Error::NoVideoStream { path: path.into(), found: streams.join(", ") });
    };
    let (index, parameters) = (stream.index(), stream.parameters());
    let rate = [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .find(|rate| rate.numerator() > 0 && rate.denominator() > 0);
    let time_base = stream.time_base();
    // SAFETY: the parameters are valid and only read; sizes and colour codes are plain numbers.
    let (width, height, colour, config) = unsafe {
        let p = parameters.as_ptr();
        let range = if (*p).color_range as i32 == 2 { ColourRange::Full } else { ColourRange::Unspecified };
        let config = match (*p).extradata.is_null() {
            true => Vec::new(),
            false => {
                std::slice::from_raw_parts((*p).extradata, usize::try_from((*p).extradata_size).unwrap_or(0)).to_vec()
            }
        };
        ((*p).width, (*p).height, Colour { matrix: (*p).color_space as i32 as u8, range }, config)
    };
    let mut track = Track {
        container: "libavformat",
        codec: codec(parameters.id()),
        config,
        width: u32::try_from(width).unwrap_or(0),
        height: u32::try_from(height).unwrap_or(0),
        rotation: 0,
        colour,
        timescale: u64::try_from(time_base.denominator() / time_base.numerator().max(1)).unwrap_or(1).max(1),
        fps: rate.map_or(Rational { num: 25, den: 1 }, |rate| Rational {
            num: rate.numerator() as u64,
            den: rate.denominator() as u64,
        }),
        packets: Vec::new(),
        streams,
    };
    let mut next_pts = 0;
    for (stream, packet) in input.packets() {
        if stream.index() != index {
            continue;
        }
        let pts = packet.pts().or(packet.dts()).unwrap_or(next_pts);
        next_pts = pts + 1;
        let shown = packet.flags().bits() & ff::ffi::AV_PKT_FLAG_DISCARD == 0;
        track.packets.push(Packet { pts, offset: 0, size: packet.size() as u32, key: packet.is_key(), shown });
        if track.packets.len() as u64 > limits.frames_max {
            break;
        }
    }
    if track.packets.is_empty() {
        return Err(Error::NoFrames { path: path.into() });
    }
    check_limits(path, &track, limits)?;
    let reader = Reader { path: path.into(), index, input: None, next: 0 };
    Ok((Opened { track, reader: Box::new(reader) }, parameters))
}

fn kind(stream: &ff::Stream<'_>) -> String {
    match stream.parameters().medium() {
        ff::media::Type::Video => "video".into(),
        ff::media::Type::Audio => "audio".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn codec(id: ff::codec::Id) -> Codec {
    match id {
        ff::codec::Id::H264 => Codec::H264,
        ff::codec::Id::HEVC => Codec::Hevc,
        ff::codec::Id::AV1 => Codec::Av1,
        ff::codec::Id::VP9 => Codec::Vp9,
        other => Codec::Other(other.name().to_owned()),
    }
}

/// Reads forward; the plan never asks for an earlier packet than the last.
struct Reader {
    path: PathBuf,
    index: usize,
    input: Option<ff::format::context::Input>,
    next: usize,
}

impl PacketReader for Reader {
    fn read(&mut self, number: usize, data: &mut Vec<u8>) -> Result<()> {
        let failed = |what: String| Error::Decode { path: self.path.clone(), backend: "ffmpeg", what };
        if number < self.next || self.input.is_none() {
            self.input = Some(ff::format::input(&self.path).map_err(|e| failed(e.to_string()))?);
            self.next = 0;
        }
        let Some(input) = &mut self.input else { return Err(failed("the file is closed".into())) };
        for (stream, packet) in input.packets() {
            if stream.index() != self.index {
                continue;
            }
            self.next += 1;
            if self.next == number + 1 {
                data.clear();
                data.extend_from_slice(packet.data().unwrap_or_default());
                return Ok(());
            }
        }
        Err(failed(format!("packet {number} is gone")))
    }
}
