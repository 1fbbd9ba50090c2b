//! Matroska and WebM, by the crate `matroska-demuxer`: it reads forward, so packets are listed once and read again.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use matroska_demuxer::{ContentCompAlgo, ContentEncodingValue, DemuxError, Frame, MatroskaFile, TrackEntry, TrackType};

use super::{Codec, Opened, Packet, PacketReader, Source, Track};
use crate::error::{Error, Result};
use crate::sampling::Rational;
use crate::{Colour, Limits, nal};

/// Whether the first bytes are an EBML header.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
}

/// Opens the file and lists the packets of its first video track.
pub(super) fn open(source: Source, head: &[u8], limits: &Limits) -> Result<Opened> {
    let mut reader = Forward::open(source)?;
    let streams: Vec<String> = reader.matroska.tracks().iter().map(kind).collect();
    let Some(entry) = reader.matroska.tracks().iter().find(|track| track.track_type() == TrackType::Video) else {
        let found = if streams.is_empty() { "none".to_owned() } else { streams.join(", ") };
        return Err(Error::NoVideoStream { path: reader.source.path, found });
    };
    reader.track = entry.track_number().get();
    reader.prefix = stripped_header(entry)
        .map_err(|what| Error::NotAVideo { path: reader.source.path.clone(), reason: what.into() })?;
    let (width, height) = entry.video().map_or((0, 0), |video| (video.pixel_width().get(), video.pixel_height().get()));
    let default_duration_ns = entry.default_duration().map(std::num::NonZeroU64::get);
    let mut track = Track {
        container: if head.windows(4).any(|word| word == b"webm") { "webm" } else { "mkv" },
        codec: codec(entry.codec_id()),
        config: entry.codec_private().unwrap_or_default().to_vec(),
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        rotation: 0,
        colour: Colour::default(),
        timescale: (1_000_000_000 / reader.matroska.info().timestamp_scale().get()).max(1),
        fps: Rational { num: 25, den: 1 },
        packets: Vec::new(),
        streams,
    };
    let mut data = Vec::new();
    while let Some((pts, key)) = reader.next_packet(&mut data)? {
        let key = key.unwrap_or_else(|| {
            nal::is_random_access(&track.codec, &data, nal::length_size(&track.codec, &track.config))
        });
        track.packets.push(Packet { pts, offset: 0, size: data.len() as u32, key, shown: true });
        if track.packets.len() as u64 > limits.frames_max {
            let value = track.packets.len() as u64;
            return Err(Error::LimitExceeded {
                path: reader.source.path,
                what: "the number of frames",
                value,
                max: limits.frames_max,
            });
        }
    }
    if track.packets.is_empty() {
        return Err(Error::NoFrames { path: reader.source.path });
    }
    track.fps = default_duration_ns
        .map_or_else(|| measured_rate(&track), |ns| approximate(Rational { num: 1_000_000_000, den: ns }, 30_000));
    reader.rewind()?;
    Ok(Opened { track, reader: Box::new(reader) })
}

fn kind(track: &TrackEntry) -> String {
    match track.track_type() {
        TrackType::Video => "video".to_owned(),
        TrackType::Audio => "audio".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn codec(id: &str) -> Codec {
    match id {
        "V_MPEG4/ISO/AVC" => Codec::H264,
        "V_MPEGH/ISO/HEVC" => Codec::Hevc,
        "V_AV1" => Codec::Av1,
        "V_VP9" => Codec::Vp9,
        other => Codec::Other(other.to_owned()),
    }
}

/// The bytes that the muxer took off every packet, or what this reader cannot undo.
fn stripped_header(track: &TrackEntry) -> std::result::Result<Vec<u8>, &'static str> {
    let mut prefix = Vec::new();
    for encoding in track.content_encodings().unwrap_or_default() {
        match encoding.encoding() {
            ContentEncodingValue::Compression(how) if how.algo() == ContentCompAlgo::Stripping => {
                prefix = [how.settings().unwrap_or_default(), &prefix].concat();
            }
            ContentEncodingValue::Encryption(_) => return Err("its video is encrypted"),
            _ => return Err("its packets are compressed; the `ffmpeg` back-end may read it"),
        }
    }
    Ok(prefix)
}

/// Frames over the time from the first to the last.
fn measured_rate(track: &Track) -> Rational {
    let times = || track.packets.iter().map(|packet| packet.pts);
    let span = times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0));
    match u64::try_from(span) {
        Ok(span @ 1..) => {
            approximate(Rational { num: (track.packets.len() as u64 - 1) * track.timescale, den: span }, 30_000)
        }
        _ => Rational { num: 25, den: 1 },
    }
}

/// The best fraction with no part over `max`, by continued fractions: nanoseconds per frame are themselves rounded.
fn approximate(exact: Rational, max: u64) -> Rational {
    let (mut n, mut d) = (exact.num, exact.den);
    let (mut before, mut best) = ((0u64, 1u64), (1u64, 0u64));
    while d != 0 {
        let whole = n / d;
        let next = (
            whole.saturating_mul(best.0).saturating_add(before.0),
            whole.saturating_mul(best.1).saturating_add(before.1),
        );
        if next.0 > max || next.1 > max {
            break;
        }
        (before, best) = (best, next);
        (n, d) = (d, n % d);
    }
    Rational { num: best.0.max(1), den: best.1.max(1) }
}

/// A file read front to back.
struct Forward {
    source: Source,
    matroska: MatroskaFile<BufReader<File>>,
    track: u64,
    prefix: Vec<u8>,
    frame: Frame,
    /// Number of the packet that `next_packet` gives.
    next: usize,
}

impl Forward {
    fn open(source: Source) -> Result<Self> {
        let matroska = parse(&source)?;
        Ok(Self { source, matroska, track: 0, prefix: Vec::new(), frame: Frame::default(), next: 0 })
    }

    /// Back to the first packet.
    fn rewind(&mut self) -> Result<()> {
        self.matroska = parse(&self.source)?;
        self.next = 0;
        Ok(())
    }

    /// The next packet of the track: its time and key flag, its bytes in `data`; `None` at the end.
    fn next_packet(&mut self, data: &mut Vec<u8>) -> Result<Option<(i64, Option<bool>)>> {
        loop {
            // The demuxer is third-party code on outside data: a panic must cost this clip only.
            let more = catch_unwind(AssertUnwindSafe(|| self.matroska.next_frame(&mut self.frame)));
            match more.map_err(|_| self.source.malformed(0, "the Matroska reader panicked"))? {
                Ok(true) if self.frame.track == self.track => {}
                Ok(true) => continue,
                Ok(false) => return Ok(None),
                Err(error) => return Err(broken(&self.source, &error)),
            }
            data.clear();
            data.extend_from_slice(&self.prefix);
            data.extend_from_slice(&self.frame.data);
            self.next += 1;
            return Ok(Some((i64::try_from(self.frame.timestamp).unwrap_or(i64::MAX), self.frame.is_keyframe)));
        }
    }
}

/// Reads the headers.
fn parse(source: &Source) -> Result<MatroskaFile<BufReader<File>>> {
    let io = |error| Error::Io { path: source.path.clone(), source: error };
    let mut file = source.file.try_clone().map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let reader = BufReader::with_capacity(1 << 16, file);
    // As in `next_packet`.
    let parsed = catch_unwind(AssertUnwindSafe(|| MatroskaFile::open(reader)));
    parsed.map_err(|_| source.malformed(0, "the Matroska reader panicked"))?.map_err(|error| broken(source, &error))
}

fn broken(source: &Source, error: &DemuxError) -> Error {
    match error {
        DemuxError::ElementSizeExceedsStream { declared, available } => {
            let what = format!("an element says it is {declared} bytes long, but only {available} are left");
            Error::Truncated { path: source.path.clone(), what }
        }
        DemuxError::IoError(_) => {
            Error::Truncated { path: source.path.clone(), what: "the file ends inside its headers".into() }
        }
        other => Error::NotAVideo { path: source.path.clone(), reason: format!("damaged Matroska structure: {other}") },
    }
}

impl PacketReader for Forward {
    fn read(&mut self, number: usize, data: &mut Vec<u8>) -> Result<()> {
        if number < self.next {
            self.rewind()?;
        }
        while self.next <= number {
            if self.next_packet(data)?.is_none() {
                return Err(self.source.malformed(self.source.len, format!("packet {number} is gone")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame_ns: u64, num: u64, den: u64) {
        assert_eq!(approximate(Rational { num: 1_000_000_000, den: frame_ns }, 30_000), Rational { num, den });
    }

    #[test]
    fn rates_are_recovered_from_nanoseconds() {
        check(33_333_333, 30, 1);
        check(33_366_667, 30_000, 1001);
        check(41_708_333, 24_000, 1001);
        check(40_000_000, 25, 1);
        check(250_000_000, 4, 1);
    }
}
