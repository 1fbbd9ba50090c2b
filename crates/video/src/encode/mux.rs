//! The boxes of a plain mp4 file with one H.264 track (ISO/IEC 14496-12 and -15): data first, index at the end.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use crate::sampling::Rational;

/// What the index needs to know about the frames.
#[derive(Default)]
pub(super) struct Samples {
    /// Bytes of every frame.
    pub sizes: Vec<u32>,
    /// Numbers of the key frames, from 1.
    pub keys: Vec<u32>,
}

/// Everything that the index describes.
pub(super) struct Movie<'a> {
    pub width: u16,
    pub height: u16,
    pub fps: Rational,
    /// SPS and PPS.
    pub parameter_sets: &'a [Vec<u8>; 2],
    pub samples: &'a Samples,
}

/// No rotation, in the formats of `mvhd` and `tkhd`.
const IDENTITY: [u32; 9] = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30];

/// The file type, and the head of the data box with its 64-bit size still 0.
pub(super) fn file_header() -> Vec<u8> {
    let mut out = Vec::new();
    boxed(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"isom");
        words(out, &[0x200]);
        out.extend_from_slice(b"isomiso2avc1mp41");
    });
    words(&mut out, &[1]);
    out.extend_from_slice(b"mdat");
    words(&mut out, &[0, 0]);
    out
}

/// Where frame data starts.
fn data_offset() -> u64 {
    file_header().len() as u64
}

/// Writes the size of the data box, now that it is known.
pub(super) fn patch_data_size(file: &mut File, samples: &Samples) -> std::io::Result<()> {
    let size = 16 + samples.sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
    file.seek(SeekFrom::Start(data_offset() - 8))?;
    file.write_all(&size.to_be_bytes())
}

/// The index.
pub(super) fn movie(movie: &Movie<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // One frame lasts `den` units of a clock with `num` units a second.
    let (timescale, duration) = (movie.fps.num as u32, movie.samples.sizes.len() as u64 * movie.fps.den);
    let duration = u32::try_from(duration).unwrap_or(u32::MAX);
    boxed(&mut out, b"moov", |out| {
        boxed(out, b"mvhd", |out| {
            words(out, &[0, 0, 0, timescale, duration, 1 << 16, 1 << 24, 0, 0]);
            words(out, &IDENTITY);
            words(out, &[0, 0, 0, 0, 0, 0, 2]);
        });
        boxed(out, b"trak", |out| {
            boxed(out, b"tkhd", |out| {
                words(out, &[7, 0, 0, 1, 0, duration, 0, 0, 0, 0]);
                words(out, &IDENTITY);
                words(out, &[u32::from(movie.width) << 16, u32::from(movie.height) << 16]);
            });
            boxed(out, b"mdia", |out| {
                boxed(out, b"mdhd", |out| words(out, &[0, 0, 0, timescale, duration, 0x55c4_0000]));
                boxed(out, b"hdlr", |out| {
                    words(out, &[0, 0]);
                    out.extend_from_slice(b"vide");
                    words(out, &[0, 0, 0]);
                    out.extend_from_slice(b"video\0");
                });
                boxed(out, b"minf", |out| {
                    boxed(out, b"vmhd", |out| words(out, &[1, 0, 0]));
                    boxed(out, b"dinf", |out| {
                        boxed(out, b"dref", |out| {
                            words(out, &[0, 1]);
                            boxed(out, b"url ", |out| words(out, &[1]));
                        });
                    });
                    boxed(out, b"stbl", |out| sample_table(out, movie));
                });
            });
        });
    });
    out
}

fn sample_table(out: &mut Vec<u8>, movie: &Movie<'_>) {
    let samples = movie.samples;
    let count = samples.sizes.len() as u32;
    boxed(out, b"stsd", |out| {
        words(out, &[0, 1]);
        boxed(out, b"avc1", |out| sample_entry(out, movie));
    });
    boxed(out, b"stts", |out| words(out, &[0, 1, count, movie.fps.den as u32]));
    boxed(out, b"stss", |out| {
        words(out, &[0, samples.keys.len() as u32]);
        words(out, &samples.keys);
    });
    // All frames lie in one chunk.
    boxed(out, b"stsc", |out| words(out, &[0, 1, 1, count, 1]));
    boxed(out, b"stsz", |out| {
        words(out, &[0, 0, count]);
        words(out, &samples.sizes);
    });
    boxed(out, b"stco", |out| words(out, &[0, 1, data_offset() as u32]));
}

fn sample_entry(out: &mut Vec<u8>, movie: &Movie<'_>) {
    let [sps, pps] = movie.parameter_sets;
    words(out, &[0, 1, 0, 0, 0, 0]);
    out.extend_from_slice(&movie.width.to_be_bytes());
    out.extend_from_slice(&movie.height.to_be_bytes());
    words(out, &[72 << 16, 72 << 16, 0]);
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&[0; 32]);
    out.extend_from_slice(&[0, 24, 0xff, 0xff]);
    boxed(out, b"avcC", |out| {
        out.push(1);
        out.extend_from_slice(sps.get(1..4).unwrap_or(&[66, 0, 52]));
        out.extend_from_slice(&[0xff, 0xe1]);
        out.extend_from_slice(&(sps.len() as u16).to_be_bytes());
        out.extend_from_slice(sps);
        out.push(1);
        out.extend_from_slice(&(pps.len() as u16).to_be_bytes());
        out.extend_from_slice(pps);
    });
    boxed(out, b"colr", |out| {
        out.extend_from_slice(b"nclx");
        for code in [6u16, 6, 6] {
            out.extend_from_slice(&code.to_be_bytes());
        }
        out.push(0);
    });
}

/// Appends a box: its size, its name, and what `body` appends.
fn boxed(out: &mut Vec<u8>, name: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    words(out, &[0]);
    out.extend_from_slice(name);
    body(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}
