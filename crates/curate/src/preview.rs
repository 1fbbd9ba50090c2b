//! The preview: a grid of training clips as a short video and as a picture.

use std::path::Path;

use rayon::prelude::*;
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, Mp4Writer, Rational, ResizeKernel, RgbFrame};

use crate::config::Config;
use crate::run::{Clip, Steps};
use crate::split::keyed;
use crate::{Error, Result};

/// Frames per second of the preview.
const FPS: u32 = 10;
/// Encoder quality, of 100.
const QUALITY: u8 = 60;
/// Colour of a cell without a picture.
const EMPTY: u8 = 24;
/// Clips decoded at once: their frames are large.
const AT_ONCE: usize = 4;

/// Writes `preview.mp4` and `preview.png`; returns a note for the card.
pub(crate) fn write(folder: &Path, config: &Config, clips: &[Clip], steps: &mut Steps<'_>) -> Result<Option<String>> {
    let mut train: Vec<&Clip> = clips.iter().filter(|clip| !clip.is_validation && clip.media.is_some()).collect();
    if train.is_empty() {
        return Ok(Some("no preview: there is no training clip with a video".into()));
    }
    train.sort_by_cached_key(|clip| (keyed(config.seed, &clip.annotation.id), clip.annotation.source));
    // The side of the largest full square.
    let side = train.len().min(config.preview.clips).isqrt().max(1);
    train.truncate(side * side);
    let [width, height] = config.preview.cell;
    let count = (config.preview.seconds * FPS) as usize;
    let mut grid = Grid::new(side, width as usize, height as usize, count);
    for (done, stretch) in train.chunks(AT_ONCE).enumerate() {
        steps.at("preview", done * AT_ONCE, train.len())?;
        let cells: Vec<_> = stretch.par_iter().map(|clip| cell(clip, config)).collect();
        for (nth, frames) in cells.into_iter().enumerate() {
            grid.put(done * AT_ONCE + nth, &frames);
        }
    }
    let rate = Rational { num: u64::from(FPS), den: 1 };
    let size = grid.size();
    let mut writer = Mp4Writer::create(&folder.join("preview.mp4"), size.0, size.1, rate, QUALITY)?;
    for frame in &grid.frames {
        writer.write(frame)?;
    }
    writer.finish()?;
    if let Some(middle) = grid.frames.get(count / 2) {
        write_png(&folder.join("preview.png"), middle)?;
    }
    let wanted = config.preview.clips.isqrt();
    let note =
        format!("the preview is a grid of {side} x {side}, not {wanted} x {wanted}: there are no more training clips");
    Ok((side < wanted).then_some(note))
}

/// The frames of the whole grid.
struct Grid {
    side: usize,
    width: usize,
    height: usize,
    frames: Vec<RgbFrame>,
}

impl Grid {
    fn new(side: usize, width: usize, height: usize, count: usize) -> Self {
        let (w, h) = (side * width, side * height);
        let blank = RgbFrame { width: w as u32, height: h as u32, data: vec![EMPTY; w * h * 3] };
        Self { side, width, height, frames: vec![blank; count] }
    }

    fn size(&self) -> (u32, u32) {
        ((self.side * self.width) as u32, (self.side * self.height) as u32)
    }

    /// Copies a clip's frames into its cell; a clip that is shorter than the preview begins again.
    fn put(&mut self, number: usize, cell: &[RgbFrame]) {
        if cell.is_empty() {
            return;
        }
        let (left, top) = (number % self.side * self.width, number / self.side * self.height);
        let row_bytes = self.width * 3;
        let grid_bytes = self.side * row_bytes;
        for (frame, small) in self.frames.iter_mut().zip(cell.iter().cycle()) {
            for (y, row) in small.data.chunks_exact(row_bytes).enumerate() {
                let start = (top + y) * grid_bytes + left * 3;
                if let Some(place) = frame.data.get_mut(start..start + row_bytes) {
                    place.copy_from_slice(row);
                }
            }
        }
    }
}

/// Frames of a clip at the preview's rate, from its start; none if it cannot be decoded.
fn cell(clip: &Clip, config: &Config) -> Vec<RgbFrame> {
    let (Some(path), Some(media)) = (&clip.annotation.video, &clip.media) else { return Vec::new() };
    let seconds = f64::from(config.preview.seconds).min(media.duration_s);
    let fps = media.frames as f64 / media.duration_s.max(1e-3);
    // A second at a time: frames of full size are large.
    let mut frames = Vec::new();
    let mut start_s = 0.0;
    while start_s + 0.25 < seconds {
        let end_s = (start_s + 1.0).min(seconds);
        let there = ((end_s - start_s) * fps).floor() as u32;
        let wanted = (((end_s - start_s) * f64::from(FPS)).round() as u32).min(there) / 2 * 2;
        let request = FrameRequest {
            sampling: FrameSampling::Count(wanted.max(2)),
            video_start_s: Some(start_s),
            video_end_s: Some(end_s - 0.5 / fps),
        };
        let Ok(decoded) = video::decode(path, &request, BackendChoice::Auto, &Limits::default()) else { break };
        let [width, height] = config.preview.cell;
        let small = decoded.frames.iter().map_while(|f| video::resize(f, width, height, ResizeKernel::TorchF32).ok());
        frames.extend(small);
        start_s = end_s;
    }
    frames
}

fn write_png(path: &Path, frame: &RgbFrame) -> Result<()> {
    let mut bytes = Vec::new();
    let failed = |e: png::EncodingError| Error::io(path, "encode", std::io::Error::other(e));
    let mut encoder = png::Encoder::new(&mut bytes, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&frame.data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(records::write_atomic(path, &bytes)?)
}
