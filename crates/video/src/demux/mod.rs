//! Containers: from a file to a list of packets, and the bytes of each.

mod bytes;
mod mkv;
mod mp4;
mod mp4_boxes;
mod mp4_samples;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sampling::Rational;
use crate::{Colour, Limits};

/// A video codec, as far as this crate tells them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// AVC.
    H264,
    /// H.265.
    Hevc,
    /// AOMedia Video 1.
    Av1,
    /// VP9.
    Vp9,
    /// Anything else, by the container's name for it.
    Other(String),
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Av1 => "av1",
            Self::Vp9 => "vp9",
            Self::Other(name) => name,
        })
    }
}

/// One coded picture in its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Presentation time, in units of the track's time scale.
    pub pts: i64,
    /// Where the bytes are in the file; unused by demuxers that read forward only.
    pub offset: u64,
    /// Number of bytes.
    pub size: u32,
    /// Decoding can start here.
    pub key: bool,
    /// Part of the presentation: false for packets that an edit list cuts away but decoding needs.
    pub shown: bool,
}

/// Everything the container says about the video stream.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub container: &'static str,
    pub codec: Codec,
    /// Decoder configuration: the `avcC` or `hvcC` record, or empty.
    pub config: Vec<u8>,
    /// Size from the container; the stream's own parameter sets overrule it.
    pub width: u32,
    pub height: u32,
    /// Clockwise turn for display, in degrees: 0, 90, 180, 270.
    pub rotation: u16,
    pub colour: Colour,
    /// Units of `pts` in a second.
    pub timescale: u64,
    /// Average frame rate.
    pub fps: Rational,
    /// All packets in decoding order.
    pub packets: Vec<Packet>,
    /// Kinds of all streams of the file, in order: `video`, `audio`, or the container's name.
    pub streams: Vec<String>,
}

impl Track {
    /// Packet numbers of the shown frames in presentation order: entry `i` is the packet of frame `i`.
    pub fn display_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.packets.len()).filter(|&i| self.packets[i].shown).collect();
        order.sort_by_key(|&i| self.packets[i].pts);
        order
    }
}

/// Reads packets of the video track.
pub(crate) trait PacketReader {
    /// Replaces `data` by the bytes of packet `number`.
    fn read(&mut self, number: usize, data: &mut Vec<u8>) -> Result<()>;
}

/// A clip opened by one of the Rust demuxers.
pub(crate) struct Opened {
    pub track: Track,
    pub reader: Box<dyn PacketReader>,
}

/// Opens a file with the Rust demuxers, checking every limit that the container lets us check.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Opened> {
    let mut source = Source::open(path, limits)?;
    let head = source.head()?;
    let opened = if mp4::looks_like(&head) {
        mp4::open(source, limits)?
    } else if mkv::looks_like(&head) {
        mkv::open(source, &head, limits)?
    } else {
        return Err(not_a_video(path, &head));
    };
    check_limits(path, &opened.track, limits)?;
    Ok(opened)
}

/// Limits on what the container declares.
pub(crate) fn check_limits(path: &Path, track: &Track, limits: &Limits) -> Result<()> {
    let over = |what, value, max| {
        if value > max { Err(Error::LimitExceeded { path: path.into(), what, value, max }) } else { Ok(()) }
    };
    over("the number of streams", track.streams.len() as u64, u64::from(limits.streams_max))?;
    over("the number of frames", track.packets.len() as u64, limits.frames_max)?;
    over("the number of pixels of a frame", u64::from(track.width) * u64::from(track.height), limits.frame_pixels_max)?;
    over("the duration in milliseconds", track.duration_ms(), limits.duration_max_ms)
}

impl Track {
    /// Length of the shown part, from the first frame to the end of the last.
    pub fn duration_ms(&self) -> u64 {
        let shown = || self.packets.iter().filter(|packet| packet.shown).map(|packet| packet.pts);
        let (Some(first), Some(last)) = (shown().min(), shown().max()) else { return 0 };
        let span_s = last.saturating_sub(first) as f64 / self.timescale as f64;
        ((span_s + 1.0 / self.fps.to_f64()) * 1000.0).round() as u64
    }
}

/// Says what the first bytes are, for a file that no demuxer takes.
fn not_a_video(path: &Path, head: &[u8]) -> Error {
    let text = head.iter().take(64).all(|&b| b == b'\n' || b == b'\r' || b == b'\t' || (0x20..0x7f).contains(&b));
    let known: [(&[u8], &str); 6] = [
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"RIFF", "a RIFF file (AVI or WAV); the `ffmpeg` back-end may read it"),
        (b"OggS", "an Ogg file; the `ffmpeg` back-end may read it"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x47\x40", "an MPEG transport stream; the `ffmpeg` back-end may read it"),
    ];
    let reason = match known.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, name)) => format!("it is {name}"),
        None if text => "it is a text file".to_owned(),
        None => format!("no mp4, mov, mkv or webm signature (first bytes: {:02x?})", head.get(..8).unwrap_or(head)),
    };
    Error::NotAVideo { path: path.into(), reason }
}

/// A file with its path and length, for errors that say where.
pub(crate) struct Source {
    pub path: PathBuf,
    pub file: File,
    pub len: u64,
}

impl Source {
    /// Opens a regular file and checks its size.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(Error::NotAVideo { path: path.into(), reason: "it is not a regular file".into() });
        }
        let len = meta.len();
        if len == 0 {
            return Err(Error::Empty { path: path.into() });
        }
        if len > limits.file_bytes_max {
            return Err(Error::LimitExceeded {
                path: path.into(),
                what: "the size of the file in bytes",
                value: len,
                max: limits.file_bytes_max,
            });
        }
        Ok(Self { path: path.into(), file, len })
    }

    /// The first bytes of the file, at most 64.
    pub fn head(&mut self) -> Result<Vec<u8>> {
        self.read_at(0, self.len.min(64) as usize)
    }

    /// `size` bytes from `offset`; the caller has checked that they are inside the file.
    pub fn read_at(&mut self, offset: u64, size: usize) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.read_into(offset, size, &mut data)?;
        Ok(data)
    }

    /// As [`read_at`](Self::read_at), into a buffer that is used again.
    pub fn read_into(&mut self, offset: u64, size: usize, data: &mut Vec<u8>) -> Result<()> {
        if offset.checked_add(size as u64).is_none_or(|end| end > self.len) {
            return Err(Error::Truncated {
                path: self.path.clone(),
                what: format!("{size} bytes at {offset} are past the end at {}", self.len),
            });
        }
        data.resize(size, 0);
        let mut read = || {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(data)
        };
        read().map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    pub fn malformed(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.clone(), offset, what: what.into() }
    }
}
