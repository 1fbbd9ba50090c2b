//! The camera and its canvas: shapes in metres become pixels, with the light and the haze of the scene.

use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, Transform};

use crate::motion::Pose;
use crate::scene::{Bend, Scene, Time, Weather};

pub(crate) type Rgb = [f32; 3];

/// Height of the camera above the road, in metres.
pub(crate) const CAMERA_M: f32 = 1.4;
/// Height of the horizon, as a share of the frame.
pub(crate) const HORIZON: f32 = 0.45;
/// Focal length in widths of the frame: 64 degrees across.
const FOCAL: f32 = 0.8;
/// Frames at least this wide have hard edges: most of the time of a frame would go into edges, and models see frames
/// scaled down, which smooths them.
const SMOOTH_BELOW: u32 = 240;
/// Nothing nearer than this is drawn, in metres.
const NEAR_M: f32 = 0.6;
/// Sideways way of a bend at one metre ahead, in metres: a circle of 70 m.
const BEND: f32 = 0.5 / 70.0;

/// Light and haze of a scene.
pub(crate) struct Look {
    pub(crate) sky_top: Rgb,
    pub(crate) sky_low: Rgb,
    ambient: f32,
    /// Share of the view that haze takes in a metre.
    haze: f32,
    headlights: bool,
}

impl Look {
    pub(crate) fn of(scene: &Scene) -> Self {
        let (top, low): (Rgb, Rgb) = match (scene.time, scene.weather) {
            (Time::Day, Weather::Clear) => ([52.0, 120.0, 220.0], [176.0, 212.0, 242.0]),
            (Time::Day, Weather::Cloudy) => ([140.0, 146.0, 156.0], [198.0, 200.0, 204.0]),
            (Time::Day, Weather::Rain) => ([92.0, 100.0, 114.0], [142.0, 150.0, 160.0]),
            (Time::Day, Weather::Fog) => ([198.0, 202.0, 204.0], [206.0, 208.0, 208.0]),
            (Time::Dusk, Weather::Clear) => ([70.0, 62.0, 130.0], [250.0, 150.0, 70.0]),
            (Time::Dusk, Weather::Cloudy) => ([84.0, 76.0, 104.0], [214.0, 140.0, 100.0]),
            (Time::Dusk, Weather::Rain) => ([64.0, 62.0, 84.0], [160.0, 112.0, 96.0]),
            (Time::Dusk, Weather::Fog) => ([160.0, 138.0, 132.0], [186.0, 148.0, 128.0]),
            (_, Weather::Clear) => ([6.0, 8.0, 34.0], [18.0, 22.0, 58.0]),
            (_, Weather::Cloudy) => ([22.0, 22.0, 26.0], [38.0, 36.0, 40.0]),
            (_, Weather::Rain) => ([14.0, 16.0, 24.0], [26.0, 30.0, 40.0]),
            (_, Weather::Fog) => ([52.0, 54.0, 58.0], [70.0, 72.0, 76.0]),
        };
        Self {
            sky_top: top,
            sky_low: low,
            ambient: match scene.time {
                Time::Day if scene.weather == Weather::Clear => 1.0,
                Time::Day => 0.86,
                Time::Dusk => 0.66,
                Time::NightLit => 0.4,
                Time::NightDark => 0.16,
            },
            haze: match scene.weather {
                Weather::Fog => 0.034,
                Weather::Rain => 0.010,
                _ => 0.002,
            },
            headlights: scene.time.is_night(),
        }
    }

    /// What a colour is multiplied with at a distance in metres, and the haze added; what glows needs no light.
    pub(crate) fn gain(&self, far_m: f32, glows: bool) -> (f32, Rgb) {
        let light = match (glows, self.headlights) {
            (true, _) => 1.0,
            (false, false) => self.ambient,
            (false, true) => (self.ambient + 0.75 / (1.0 + (far_m / 12.0).powi(2))).min(1.0),
        };
        let through = (-far_m * self.haze * if glows { 0.4 } else { 1.0 }).exp();
        (light * through, self.sky_low.map(|c| c * (1.0 - through)))
    }

    /// A colour as the camera sees it at a distance in metres.
    pub(crate) fn shade(&self, colour: Rgb, far_m: f32, glows: bool) -> Rgb {
        let (gain, veil) = self.gain(far_m, glows);
        std::array::from_fn(|i| colour[i] * gain + veil[i])
    }
}

/// Where the camera is and how it sees.
pub(crate) struct Eye {
    camera: Pose,
    bend: f32,
    focal: f32,
    center: (f32, f32),
}

impl Eye {
    pub(crate) fn of(scene: &Scene, camera: Pose, width: u32, height: u32) -> Self {
        let bend = match scene.bend {
            Bend::Straight => 0.0,
            Bend::Left => -BEND,
            Bend::Right => BEND,
        };
        let center = (0.5 * width as f32, HORIZON * height as f32);
        Self { camera, bend, focal: FOCAL * width as f32, center }
    }

    /// From a place on the map to metres right of and ahead of the camera.
    pub(crate) fn to_camera(&self, x: f32, z: f32) -> (f32, f32) {
        let (dx, dz) = (x - self.camera.x, z - self.camera.z);
        let (sin, cos) = self.camera.yaw.sin_cos();
        let ahead = dx * sin + dz * cos;
        (dx * cos - dz * sin + self.bend * ahead * ahead.max(0.0), ahead)
    }

    /// Map place under a pixel below the horizon, and its distance; metres.
    pub(crate) fn ground_at(&self, column: f32, row: f32) -> (f32, f32, f32) {
        let ahead = CAMERA_M * self.focal / (row - self.center.1).max(0.3);
        let right = (column - self.center.0) * ahead / self.focal - self.bend * ahead * ahead;
        let (sin, cos) = self.camera.yaw.sin_cos();
        (self.camera.x + right * cos + ahead * sin, self.camera.z - right * sin + ahead * cos, ahead)
    }

    /// Pixels a metre takes at a distance.
    pub(crate) fn scale(&self, ahead_m: f32) -> f32 {
        self.focal / ahead_m.max(NEAR_M)
    }

    /// Pixel of a point: metres right, up, ahead.
    pub(crate) fn pixel(&self, right: f32, up: f32, ahead: f32) -> (f32, f32) {
        let scale = self.scale(ahead);
        (self.center.0 + right * scale, self.center.1 + (CAMERA_M - up) * scale)
    }
}

/// A frame in the making.
pub(crate) struct Canvas {
    pub(crate) pixmap: Pixmap,
    pub(crate) look: Look,
    pub(crate) eye: Eye,
}

impl Canvas {
    /// An empty frame; none if a side is 0.
    pub(crate) fn new(scene: &Scene, camera: Pose, width: u32, height: u32) -> Option<Self> {
        let eye = Eye::of(scene, camera, width, height);
        Some(Self { pixmap: Pixmap::new(width, height)?, look: Look::of(scene), eye })
    }

    /// Fills a flat shape given as points (x, up, z) on the map.
    pub(crate) fn shape(&mut self, points: &[[f32; 3]], colour: Rgb, glows: bool) {
        let seen: Vec<[f32; 3]> = points
            .iter()
            .map(|[x, up, z]| {
                let (right, ahead) = self.eye.to_camera(*x, *z);
                [right, *up, ahead]
            })
            .collect();
        self.seen_shape(&seen, colour, glows);
    }

    /// Fills a flat shape given as points (right, up, ahead) of the camera.
    pub(crate) fn seen_shape(&mut self, points: &[[f32; 3]], colour: Rgb, glows: bool) {
        let near = clip_near(points);
        if near.len() < 3 {
            return;
        }
        let far = near.iter().map(|p| p[2]).sum::<f32>() / near.len() as f32;
        let mut builder = PathBuilder::new();
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for (number, [right, up, ahead]) in near.into_iter().enumerate() {
            let (column, row) = self.eye.pixel(right, up, ahead);
            let (column, row) = (column.clamp(-9e3, 9e3), row.clamp(-9e3, 9e3));
            low = (low.0.min(column), low.1.min(row));
            high = (high.0.max(column), high.1.max(row));
            if number == 0 { builder.move_to(column, row) } else { builder.line_to(column, row) }
        }
        // What is outside the frame, or too small to be seen, costs nothing.
        let (width, height) = (self.pixmap.width() as f32, self.pixmap.height() as f32);
        let outside = high.0 < 0.0 || high.1 < 0.0 || low.0 > width || low.1 > height;
        if outside || (high.0 - low.0) * (high.1 - low.1) < 0.4 {
            return;
        }
        builder.close();
        self.fill(builder.finish(), self.look.shade(colour, far, glows), 1.0);
    }

    /// Fills a circle around a point of the camera's space; the radius is in metres.
    pub(crate) fn disc(&mut self, at: [f32; 3], radius_m: f32, colour: Rgb, glows: bool) {
        if at[2] < NEAR_M {
            return;
        }
        let (column, row) = self.eye.pixel(at[0], at[1], at[2]);
        let colour = self.look.shade(colour, at[2], glows);
        self.spot(column, row, radius_m * self.eye.scale(at[2]), colour, 1.0);
    }

    /// Fills a circle in pixels, `cover` of 1 covering what is below.
    pub(crate) fn spot(&mut self, column: f32, row: f32, radius: f32, colour: Rgb, cover: f32) {
        self.fill(PathBuilder::from_circle(column, row, radius.clamp(0.3, 4e3)), colour, cover);
    }

    /// Fills a rectangle in pixels.
    pub(crate) fn rectangle(&mut self, left: f32, top: f32, width: f32, height: f32, colour: Rgb, cover: f32) {
        if let Some(rect) = tiny_skia::Rect::from_xywh(left, top, width.max(0.1), height.max(0.1)) {
            self.pixmap.fill_rect(rect, &paint(colour, cover, true), Transform::identity(), None);
        }
    }

    fn fill(&mut self, path: Option<Path>, colour: Rgb, cover: f32) {
        if let Some(path) = path {
            let smooth = self.pixmap.width() < SMOOTH_BELOW;
            self.pixmap.fill_path(&path, &paint(colour, cover, smooth), FillRule::Winding, Transform::identity(), None);
        }
    }
}

fn paint(colour: Rgb, cover: f32, smooth: bool) -> Paint<'static> {
    let [r, g, b] = colour.map(|c| c.clamp(0.0, 255.0) as u8);
    let mut paint = Paint { anti_alias: smooth, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, (cover * 255.0) as u8);
    paint
}

/// The part of a shape that is in front of the camera.
fn clip_near(points: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let mut kept = Vec::with_capacity(points.len() + 2);
    for (number, to) in points.iter().enumerate() {
        let from = points[(number + points.len() - 1) % points.len()];
        if (from[2] < NEAR_M) != (to[2] < NEAR_M) {
            let part = (NEAR_M - from[2]) / (to[2] - from[2]);
            kept.push(std::array::from_fn(|i| from[i] + part * (to[i] - from[i])));
        }
        if to[2] >= NEAR_M {
            kept.push(*to);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Domain;

    #[test]
    fn ground_and_pixel_are_inverse() {
        for seed in 0..20 {
            let scene = Scene::draw(seed, Domain::Fleet);
            let canvas = Canvas::new(&scene, Pose { x: 1.0, z: 20.0, yaw: 0.4 }, 160, 96).unwrap();
            for (x, z) in [(5.0, 30.0), (9.0, 28.0), (3.0, 45.0)] {
                let (right, ahead) = canvas.eye.to_camera(x, z);
                let (column, row) = canvas.eye.pixel(right, 0.0, ahead);
                let (back_x, back_z, _) = canvas.eye.ground_at(column, row);
                assert!((back_x - x).abs() < 0.1 && (back_z - z).abs() < 0.1, "{x} {z}: {back_x} {back_z}");
            }
        }
    }
}
