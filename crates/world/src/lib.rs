//! A synthetic driving world: scenes drawn from a seed, seen by a camera in a car, with captions that are true.
//!
//! First form, for machines without clips: a road to the horizon, one vehicle ahead, day or night.

#![forbid(unsafe_code)]

mod render;
mod scene;

pub use render::render;
pub use scene::{Colour, Ego, Scene, Sky, Vehicle};

use std::path::Path;
use video::{Mp4Writer, Rational};

/// Encoder quality of clips, of 100.
const QUALITY: u8 = 75;

/// Renders `frames` frames of a scene at `fps` frames per second into an H.264 mp4 file.
///
/// # Errors
/// [`video::Error`] if the size cannot be encoded or the file not written.
pub fn write_clip(
    scene: &Scene,
    width: u32,
    height: u32,
    frames: u32,
    fps: u32,
    path: &Path,
) -> Result<(), video::Error> {
    let mut writer = Mp4Writer::create(path, width, height, Rational { num: u64::from(fps), den: 1 }, QUALITY)?;
    for frame in 0..frames {
        writer.write(&render(scene, width, height, frame as f32 / fps as f32))?;
    }
    writer.finish()
}
