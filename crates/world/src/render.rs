//! The picture of a moment: sky and ground, then everything that stands on it, the farthest first.

use std::path::Path;

use video::{Mp4Writer, Rational, RgbFrame};

use crate::backdrop::{self, Standing};
use crate::canvas::Canvas;
use crate::figures::{self, Figure};
use crate::furniture::{self, Placed};
use crate::ground;
use crate::motion::{self, Actor, Layout, Pose, Profile};
use crate::scene::Scene;
use crate::traffic;

/// Encoder quality of clips, of 100.
const QUALITY: u8 = 75;
/// Nothing farther than this is drawn, in metres.
const FAR_M: f32 = 85.0;

enum Item {
    Vehicle(Actor),
    Figure(Figure),
    Thing(Placed),
    Standing(Standing),
}

/// The frame that the camera sees `seconds` after the start; black if a side is 0.
pub fn render(scene: &Scene, width: u32, height: u32, seconds: f32) -> RgbFrame {
    let profile = Profile::of(scene);
    let layout = Layout::of(scene, &profile);
    let t = seconds.clamp(0.0, crate::CLIP_S);
    let camera = motion::camera(scene, &profile, t);
    let Some(mut canvas) = Canvas::new(scene, camera, width, height) else {
        return RgbFrame { width, height, data: Vec::new() };
    };
    ground::paint(&mut canvas, scene, &layout, camera);
    for (_, item) in &items(scene, &profile, &layout, camera, &canvas, t) {
        match item {
            Item::Vehicle(actor) => traffic::paint(&mut canvas, actor, scene.time.is_night(), t),
            Item::Figure(figure) => figures::paint(&mut canvas, figure, t),
            Item::Thing(placed) => furniture::paint(&mut canvas, scene, placed, t),
            Item::Standing(standing) => backdrop::paint(&mut canvas, scene, standing),
        }
    }
    ground::rain(&mut canvas, scene, t);
    let data = canvas.pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbFrame { width, height, data }
}

/// Everything in front of the camera, the farthest first.
fn items(scene: &Scene, profile: &Profile, layout: &Layout, camera: Pose, canvas: &Canvas, t: f32) -> Vec<(f32, Item)> {
    let mut items = Vec::new();
    let mut put = |x: f32, z: f32, item: Item| {
        let (right, ahead) = canvas.eye.to_camera(x, z);
        if ahead > -8.0 && ahead < FAR_M && right.abs() < 12.0 + 1.2 * ahead.max(0.0) {
            items.push((ahead, item));
        }
    };
    backdrop::all(scene, layout, camera).into_iter().for_each(|s| put(s.x, s.z, Item::Standing(s)));
    furniture::all(scene, layout, camera.z - 4.0, camera.z + 60.0)
        .into_iter()
        .for_each(|p| put(p.x, p.z, Item::Thing(p)));
    motion::vehicles(scene, profile, layout, t).into_iter().for_each(|a| put(a.pose.x, a.pose.z, Item::Vehicle(a)));
    figures::all(scene, profile, layout, t).into_iter().for_each(|f| put(f.x, f.z, Item::Figure(f)));
    items.sort_by(|a, b| b.0.total_cmp(&a.0));
    items
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Domain, Road, Time, Weather};

    fn plain(time: Time) -> Scene {
        let mut scene = (0..)
            .map(|seed| Scene::draw(seed, Domain::General))
            .find(|scene| scene.road == Road::Rural && scene.lead.is_some())
            .unwrap();
        (scene.time, scene.weather) = (time, Weather::Clear);
        scene
    }

    #[test]
    fn night_is_darker_than_day() {
        let brightness = |time| render(&plain(time), 64, 48, 1.0).data.iter().map(|v| u64::from(*v)).sum::<u64>();
        assert!(2 * brightness(Time::NightDark) < brightness(Time::Day));
    }

    #[test]
    fn every_scene_can_be_rendered_at_any_time_and_size() {
        for seed in 0..80 {
            for domain in Domain::ALL {
                let scene = Scene::draw(seed, *domain);
                for (t, width, height) in [(0.0, 64, 48), (5.5, 96, 64), (40.0, 33, 21)] {
                    assert_eq!(render(&scene, width, height, t).data.len(), (width * height * 3) as usize);
                }
            }
        }
        assert!(render(&plain(Time::Day), 0, 10, 0.0).data.is_empty());
    }

    #[test]
    fn a_clip_is_read_back_with_its_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        write_clip(&plain(Time::Day), 96, 64, 12, 8, &path).unwrap();
        let info = video::probe(&path, &video::Limits::default()).unwrap();
        assert_eq!((info.width, info.height, info.frames, info.duration_ms), (96, 64, 12, 1500));
    }
}
