//! What a video file itself says: hash, length, and a perceptual print of four frames.

use std::f32::consts::PI;
use std::path::Path;
use std::sync::OnceLock;

use records::ContentHash;
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, ResizeKernel, RgbFrame};

use crate::config::Filters;
use crate::label::ClipLength;
use crate::reason::{Problem, Reason};

/// Frames of a print: at 0, 1/4, 1/2 and 3/4 of the clip.
const PRINT_FRAMES: usize = 4;
/// Side of the picture that a frame hash is computed from, in pixels.
const HASH_SIDE: usize = 32;
/// Frequencies of each direction in a frame hash.
const HASH_WAVES: usize = 8;
/// What a wave of half a grey level adds up to: weaker ones are noise of the codec, not content.
const ENERGY_MIN: f32 = 128.0;
/// Width and height of the thumbnail that confirms a match.
const THUMB: (u32, u32) = (8, 5);
/// Largest mean difference of two thumbnails of the same scene, in levels of 255.
const THUMB_MEAN_MAX: u64 = 5;
/// Largest difference of one value of two thumbnails of the same scene.
const THUMB_VALUE_MAX: u8 = 24;

/// A video that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub hash: ContentHash,
    pub duration_s: f64,
    pub frames: u64,
    pub width: u32,
    pub height: u32,
    pub print: FramePrint,
}

/// What four frames of a clip look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FramePrint {
    pub hashes: [u64; PRINT_FRAMES],
    /// RGB thumbnails, one after the other.
    thumbs: Vec<u8>,
}

/// The name of a video file without its extension; `None` for other files.
pub(crate) fn video_stem(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let known = ["mp4", "mov", "mkv", "webm", "m4v"].contains(&extension.to_ascii_lowercase().as_str());
    (known && !stem.is_empty()).then_some(stem)
}

/// Opens a video, checks its length and decodes the frames of its print.
pub(crate) fn look(path: Option<&Path>, filters: &Filters) -> Result<Media, Problem> {
    let Some(path) = path.filter(|path| path.is_file()) else {
        return Err(Problem::new(Reason::MissingVideo, "there is no video of this name"));
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Messages of the codec crate begin with the whole path, which differs from machine to machine.
    let whole = format!("{}: ", path.display());
    let bad = |e: &dyn std::fmt::Display| {
        let told = e.to_string().replace(&whole, "");
        Problem::new(Reason::BadVideo, format!("{name}: {told}"))
    };
    let info = video::probe(path, &Limits::default()).map_err(|e| bad(&e))?;
    let duration_s = info.duration_ms as f64 / 1000.0;
    let shown = |limit: &str, value: f64| format!("{duration_s:.2} s; {limit} is {value} s");
    if duration_s < filters.duration_min_s {
        return Err(Problem::new(Reason::DurationShort, shown("duration_min_s", filters.duration_min_s)));
    }
    if duration_s > filters.duration_max_s {
        return Err(Problem::new(Reason::DurationLong, shown("duration_max_s", filters.duration_max_s)));
    }
    let request = FrameRequest {
        sampling: FrameSampling::Count(PRINT_FRAMES as u32),
        video_start_s: Some(0.0),
        // The last frame would force the decoder through the last stretch of the file for nothing.
        video_end_s: Some(0.75 * info.frames as f64 / info.fps.to_f64()),
    };
    let request = if info.frames < 12 { FrameRequest::whole(request.sampling) } else { request };
    let clip = video::decode(path, &request, BackendChoice::Auto, &Limits::default()).map_err(|e| bad(&e))?;
    if clip.damaged > 0 {
        return Err(bad(&format_args!("{} damaged packets", clip.damaged)));
    }
    let print = FramePrint::of(&clip.frames).map_err(|e| bad(&e))?;
    let hash = ContentHash::of_file(path).map_err(|e| Problem::new(Reason::UnreadableFile, e.to_string()))?;
    Ok(Media { hash, duration_s, frames: info.frames, width: info.width, height: info.height, print })
}

impl Media {
    pub fn length(&self) -> ClipLength {
        ClipLength { duration_s: Some(self.duration_s), frames: Some(self.frames) }
    }
}

impl FramePrint {
    fn of(frames: &[RgbFrame]) -> video::Result<Self> {
        let (mut hashes, mut thumbs) = ([0; PRINT_FRAMES], Vec::new());
        for (slot, frame) in hashes.iter_mut().zip(frames) {
            *slot = frame_hash(frame)?;
            thumbs.extend(video::resize(frame, THUMB.0, THUMB.1, ResizeKernel::TorchF32)?.data);
        }
        Ok(Self { hashes, thumbs })
    }

    /// Whether every frame differs in at most `bits` bits, and the thumbnails agree in colour.
    pub fn is_near(&self, other: &Self, bits: u32) -> bool {
        let hashes = self.hashes.iter().zip(&other.hashes).all(|(a, b)| (a ^ b).count_ones() <= bits);
        hashes && {
            let differences = self.thumbs.iter().zip(&other.thumbs).map(|(a, b)| a.abs_diff(*b));
            let sum: u64 = differences.clone().map(u64::from).sum();
            let most = differences.max().unwrap_or(0);
            sum <= THUMB_MEAN_MAX * self.thumbs.len() as u64 && most <= THUMB_VALUE_MAX
        }
    }
}

/// The perceptual hash of a frame: signs of its 64 lowest frequencies against their median (the usual "pHash").
fn frame_hash(frame: &RgbFrame) -> video::Result<u64> {
    let small = video::resize(frame, HASH_SIDE as u32, HASH_SIDE as u32, ResizeKernel::TorchF32)?;
    let grey: Vec<f32> = small
        .data
        .chunks_exact(3)
        .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
        .collect();
    let waves = cosines();
    let mut rows = [[0f32; HASH_WAVES]; HASH_SIDE];
    for (row, pixels) in rows.iter_mut().zip(grey.chunks_exact(HASH_SIDE)) {
        for (value, wave) in row.iter_mut().zip(waves) {
            *value = pixels.iter().zip(wave).map(|(pixel, cosine)| pixel * cosine).sum();
        }
    }
    let mut energies = [0f32; HASH_WAVES * HASH_WAVES];
    for (v, wave) in waves.iter().enumerate() {
        for u in 0..HASH_WAVES {
            energies[v * HASH_WAVES + u] = rows.iter().zip(wave).map(|(row, cosine)| row[u] * cosine).sum();
        }
    }
    let mut sorted = energies;
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    let bit = |hash: u64, energy: &f32| hash << 1 | u64::from(*energy > median + ENERGY_MIN);
    Ok(energies.iter().fold(0, bit))
}

/// `cos((2x + 1) u pi / 64)` for the lowest frequencies.
fn cosines() -> &'static [[f32; HASH_SIDE]; HASH_WAVES] {
    static TABLE: OnceLock<[[f32; HASH_SIDE]; HASH_WAVES]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let angle = |u: usize, x: usize| (2 * x + 1) as f32 * u as f32 * PI / (2 * HASH_SIDE) as f32;
        std::array::from_fn(|u| std::array::from_fn(|x| angle(u, x).cos()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, value: impl Fn(f32, f32) -> u8) -> RgbFrame {
        let at = |i: u32| (((i % width) as f32) / width as f32, ((i / width) as f32) / height as f32);
        let data = (0..width * height).map(at).flat_map(|(x, y)| [value(x, y); 3]).collect();
        RgbFrame { width, height, data }
    }

    #[test]
    fn size_does_not_change_a_print_and_content_does() {
        let road = |x: f32, y: f32| (200.0 * y + 40.0 * (9.0 * x).sin().abs()) as u8;
        let house = |x: f32, y: f32| if x < 0.4 && y < 0.6 { 230 } else { road(x, y) };
        let print = |w, h, f: &dyn Fn(f32, f32) -> u8| FramePrint::of(&vec![picture(w, h, f); PRINT_FRAMES]).unwrap();
        let (large, small, other) = (print(320, 192, &road), print(160, 96, &road), print(320, 192, &house));
        assert!(large.is_near(&small, 6));
        assert!(!large.is_near(&other, 6));
    }

    #[test]
    fn video_names() {
        assert_eq!(video_stem("a.b.mp4"), Some("a.b"));
        assert_eq!(video_stem("a.MOV"), Some("a"));
        assert_eq!(video_stem("a.txt"), None);
        assert_eq!(video_stem(".mp4"), None);
    }
}

/// A print of given hashes, for tests of what finds them.
#[cfg(test)]
pub(crate) fn print_of(hashes: [u64; PRINT_FRAMES]) -> FramePrint {
    FramePrint { hashes, thumbs: Vec::new() }
}
