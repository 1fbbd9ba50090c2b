//! mp4, m4v and mov: finds the movie box and the fragments, and makes the packet list.

use super::mp4_boxes::{
    Edit, SampleEntry, child, children, descend, edit_list, sample_entry, timescale_duration, track_header,
};
use super::mp4_samples::{Sample, TableError, add_fragment, from_sample_table, track_extends};
use super::{Codec, Opened, Packet, PacketReader, Source, Track};
use crate::Limits;
use crate::error::{Error, Result};
use crate::sampling::Rational;

/// Top-level boxes that a file may start with.
const FIRST_BOXES: [&[u8; 4]; 8] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"];

/// Whether the first bytes are those of an ISO or QuickTime file.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.get(4..8).is_some_and(|name| FIRST_BOXES.iter().any(|first| first.as_slice() == name))
}

/// Opens the file and reads its tables.
pub(super) fn open(mut source: Source, limits: &Limits) -> Result<Opened> {
    let top = top_level(&mut source)?;
    let movie = &top.movie;
    let streams = stream_kinds(movie);
    let mut best: Option<(Vec<Sample>, VideoTrack)> = None;
    for (_, trak) in children(movie).flatten().filter(|(name, _)| name == b"trak") {
        let Some(track) = video_track(trak) else { continue };
        let samples = track_samples(&source, &top, &track, limits)?;
        if best.as_ref().is_none_or(|(longest, _)| samples.len() > longest.len()) {
            best = Some((samples, track));
        }
    }
    let Some((samples, track)) = best else {
        let found = if streams.is_empty() { "none".to_owned() } else { streams.join(", ") };
        return Err(Error::NoVideoStream { path: source.path, found });
    };
    check_extent(&source, &samples)?;
    let entry = track.entry;
    let movie_scale = child(movie, b"mvhd").and_then(timescale_duration).map_or(1, |(scale, _)| scale.max(1));
    let track = Track {
        container: if source.head()?.get(8..10) == Some(b"qt") { "mov" } else { "mp4" },
        codec: codec(&entry.format),
        config: entry.config,
        width: entry.width,
        height: entry.height,
        rotation: track.rotation,
        colour: entry.colour,
        timescale: u64::from(track.timescale),
        fps: average_rate(&samples, track.timescale),
        packets: packets(&samples, &track.edits, track.timescale, movie_scale),
        streams,
    };
    let offsets = track.packets.iter().map(|packet| (packet.offset, packet.size)).collect();
    Ok(Opened { track, reader: Box::new(Mp4Reader { source, offsets }) })
}

/// The parts of the file that say where pictures are.
struct TopLevel {
    movie: Vec<u8>,
    /// File offset of `moov`'s body, for messages.
    movie_at: u64,
    /// Fragment headers with their file offsets.
    fragments: Vec<(u64, Vec<u8>)>,
}

/// Walks the top-level boxes, loading `moov` and every `moof`.
fn top_level(source: &mut Source) -> Result<TopLevel> {
    let (mut movie, mut fragments, mut at, mut cut) = (None, Vec::new(), 0u64, None);
    while source.len - at >= 8 {
        let head = source.read_at(at, (source.len - at).min(16) as usize)?;
        let mut b = super::bytes::Bytes::new(&head);
        let (Some(size), Some(name)) = (b.u32(), b.fourcc()) else { break };
        let left = source.len - at;
        let (header, size) = match size {
            0 => (8, left),
            // A 64-bit size that is itself cut off is as good as one past the end.
            1 => b.u64().map_or((8, u64::MAX), |size| (16, size)),
            _ => (8, u64::from(size)),
        };
        if size < header {
            return Err(source.malformed(at, format!("box `{}` says it is {size} bytes long", name.escape_ascii())));
        }
        if size > left {
            cut = Some(format!(
                "box `{}` at byte {at} says it is {size} bytes long, but only {left} are left",
                name.escape_ascii()
            ));
        }
        if size <= left && (&name == b"moov" || &name == b"moof") {
            let body = source.read_at(at + header, (size - header) as usize)?;
            match &name {
                b"moov" => movie = Some((at + header, body)),
                _ => fragments.push((at, body)),
            }
        }
        at += size.min(left);
    }
    match (movie, cut) {
        (Some((movie_at, movie)), _) => Ok(TopLevel { movie, movie_at, fragments }),
        (None, Some(what)) => Err(Error::Truncated {
            path: source.path.clone(),
            what: format!("{what}, and there is no `moov` box (the index)"),
        }),
        (None, None) => Err(Error::Truncated {
            path: source.path.clone(),
            what: "there is no `moov` box (the index), so the recording was never finished".into(),
        }),
    }
}

/// What kind of stream each `trak` is.
fn stream_kinds(movie: &[u8]) -> Vec<String> {
    let kind = |trak: &[u8]| match handler(trak) {
        Some(name) if &name == b"vide" => "video".to_owned(),
        Some(name) if &name == b"soun" => "audio".to_owned(),
        Some(name) => name.escape_ascii().to_string(),
        None => "unknown".to_owned(),
    };
    children(movie).flatten().filter(|(name, _)| name == b"trak").map(|(_, trak)| kind(trak)).collect()
}

/// The handler type of a track.
fn handler(trak: &[u8]) -> Option<[u8; 4]> {
    descend(trak, &[b"mdia", b"hdlr"])?.get(8..12)?.try_into().ok()
}

/// What a video track's headers say.
struct VideoTrack<'a> {
    id: u32,
    rotation: u16,
    timescale: u32,
    entry: SampleEntry,
    edits: Vec<Edit>,
    stbl: &'a [u8],
}

/// The headers of a track, if it is a video track with a sample description.
fn video_track(trak: &[u8]) -> Option<VideoTrack<'_>> {
    if handler(trak)? != *b"vide" {
        return None;
    }
    let (id, rotation) = track_header(child(trak, b"tkhd")?)?;
    let (timescale, _) = timescale_duration(descend(trak, &[b"mdia", b"mdhd"])?)?;
    let stbl = descend(trak, &[b"mdia", b"minf", b"stbl"])?;
    let entry = sample_entry(child(stbl, b"stsd")?)?;
    let edits = descend(trak, &[b"edts", b"elst"]).and_then(edit_list).unwrap_or_default();
    Some(VideoTrack { id, rotation, timescale: timescale.max(1), entry, edits, stbl })
}

/// All samples of a track: those of `stbl`, then those of the fragments.
fn track_samples(source: &Source, top: &TopLevel, track: &VideoTrack<'_>, limits: &Limits) -> Result<Vec<Sample>> {
    let mut samples =
        from_sample_table(track.stbl, limits.frames_max).map_err(|e| table_error(source, top.movie_at, e, limits))?;
    let defaults = child(&top.movie, b"mvex").and_then(|mvex| track_extends(mvex, track.id)).unwrap_or_default();
    for (at, moof) in &top.fragments {
        add_fragment(&mut samples, moof, *at, track.id, defaults, limits.frames_max)
            .map_err(|e| table_error(source, *at, e, limits))?;
    }
    Ok(samples)
}

fn table_error(source: &Source, at: u64, error: TableError, limits: &Limits) -> Error {
    match error {
        TableError::Bad(what) => source.malformed(at, what),
        TableError::TooMany(value) => Error::LimitExceeded {
            path: source.path.clone(),
            what: "the number of frames",
            value,
            max: limits.frames_max,
        },
    }
}

/// Checks that every sample lies inside the file.
fn check_extent(source: &Source, samples: &[Sample]) -> Result<()> {
    if samples.is_empty() {
        return Err(Error::NoFrames { path: source.path.clone() });
    }
    let inside = |sample: &Sample| sample.offset.checked_add(sample.size.into()).is_some_and(|end| end <= source.len);
    let Some(first_bad) = samples.iter().position(|sample| !inside(sample)) else { return Ok(()) };
    let what = format!(
        "frame data {first_bad} of {} should be at byte {}, but the file ends at {}",
        samples.len(),
        samples[first_bad].offset,
        source.len
    );
    Err(Error::Truncated { path: source.path.clone(), what })
}

/// Samples over their total duration, as libavformat's `avg_frame_rate`; 25 if the file has no durations.
fn average_rate(samples: &[Sample], timescale: u32) -> Rational {
    let total: u64 = samples.iter().map(|sample| u64::from(sample.duration)).sum();
    match total {
        0 => Rational { num: 25, den: 1 },
        _ => Rational { num: u64::from(timescale) * samples.len() as u64, den: total }.reduced(),
    }
}

fn codec(format: &[u8; 4]) -> Codec {
    match format {
        b"avc1" | b"avc3" => Codec::H264,
        b"hvc1" | b"hev1" => Codec::Hevc,
        b"av01" => Codec::Av1,
        b"vp09" => Codec::Vp9,
        other => Codec::Other(other.escape_ascii().to_string()),
    }
}

/// Applies the edit list: a packet is shown if an edit covers its presentation time. Without edits all are shown.
///
/// Packets outside are kept, because shown ones may refer to them (a cut that does not start at a key frame).
fn packets(samples: &[Sample], edits: &[Edit], timescale: u32, movie_scale: u32) -> Vec<Packet> {
    let spans: Vec<(i64, i64)> = edits
        .iter()
        .filter(|edit| edit.media_time >= 0)
        .map(|edit| {
            let length = u128::from(edit.duration) * u128::from(timescale);
            let length =
                i64::try_from((length + u128::from(movie_scale) / 2) / u128::from(movie_scale)).unwrap_or(i64::MAX);
            (edit.media_time, if edit.duration == 0 { i64::MAX } else { edit.media_time.saturating_add(length) })
        })
        .collect();
    let shown = |pts: i64| spans.is_empty() || spans.iter().any(|(start, end)| (*start..*end).contains(&pts));
    samples
        .iter()
        .map(|s| Packet { pts: s.pts, offset: s.offset, size: s.size, key: s.key, shown: shown(s.pts) })
        .collect()
}

/// Reads samples anywhere in the file.
struct Mp4Reader {
    source: Source,
    offsets: Vec<(u64, u32)>,
}

impl PacketReader for Mp4Reader {
    fn read(&mut self, number: usize, data: &mut Vec<u8>) -> Result<()> {
        let (offset, size) =
            self.offsets.get(number).copied().ok_or_else(|| self.source.malformed(0, format!("no packet {number}")))?;
        self.source.read_into(offset, size as usize, data)
    }
}
