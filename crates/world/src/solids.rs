//! Boxes and flat boards that stand on the map, with details painted on their faces.

use crate::canvas::{Canvas, Rgb};
use crate::motion::Pose;

/// A rectangle in space: a corner, and its two sides.
#[derive(Clone, Copy)]
pub(crate) struct Face {
    corner: [f32; 3],
    u: [f32; 3],
    v: [f32; 3],
}

impl Face {
    fn at(&self, u: f32, v: f32) -> [f32; 3] {
        std::array::from_fn(|i| self.corner[i] + u * self.u[i] + v * self.v[i])
    }

    /// Paints a part of the face: `left`, `low`, `right`, `high` in shares of it, from its lower left corner.
    pub(crate) fn paint(&self, canvas: &mut Canvas, part: [f32; 4], colour: Rgb, glows: bool) {
        let [left, low, right, high] = part;
        let points = [self.at(left, low), self.at(right, low), self.at(right, high), self.at(left, high)];
        canvas.shape(&points, colour, glows);
    }

    /// Paints a disc on the face; `radius` is a share of its width, `squeeze` its width in heights.
    pub(crate) fn disc(&self, canvas: &mut Canvas, center: (f32, f32), radius: f32, squeeze: f32, colour: Rgb) {
        let points: Vec<_> = (0..10)
            .map(|n| {
                let (sin, cos) = (n as f32 * std::f32::consts::TAU / 10.0).sin_cos();
                self.at(center.0 + radius * cos, center.1 + radius * squeeze * sin)
            })
            .collect();
        canvas.shape(&points, colour, false);
    }
}

/// The faces of a box that the camera sees.
pub(crate) struct Seen {
    pub(crate) rear: Option<Face>,
    pub(crate) front: Option<Face>,
    /// The left or the right side.
    pub(crate) side: Option<Face>,
}

/// Fills a box: its middle and direction, its length and width, from `low` to `high` above the road; metres.
pub(crate) fn block(canvas: &mut Canvas, pose: Pose, size: (f32, f32), low: f32, high: f32, colour: Rgb) -> Seen {
    let (sin, cos) = pose.yaw.sin_cos();
    let (half_l, half_w) = (size.0 / 2.0, size.1 / 2.0);
    let place = |right: f32, ahead: f32| (pose.x + right * cos + ahead * sin, pose.z - right * sin + ahead * cos);
    let face = |from: (f32, f32), to: (f32, f32)| {
        let (a, b) = (place(from.0, from.1), place(to.0, to.1));
        // Seen from outside, a face runs from left to right; it is hidden where the camera stands behind its plane.
        let (ra, za) = canvas.eye.to_camera(a.0, a.1);
        let (rb, zb) = canvas.eye.to_camera(b.0, b.1);
        (rb * za - ra * zb > 0.0).then_some(Face {
            corner: [a.0, low, a.1],
            u: [b.0 - a.0, 0.0, b.1 - a.1],
            v: [0.0, high - low, 0.0],
        })
    };
    let rear = face((-half_w, -half_l), (half_w, -half_l));
    let front = face((half_w, half_l), (-half_w, half_l));
    let right = face((half_w, -half_l), (half_w, half_l));
    let left = face((-half_w, half_l), (-half_w, -half_l));
    let side = right.or(left);
    let fill = |canvas: &mut Canvas, face: Option<Face>, tone: f32| {
        if let Some(face) = face {
            face.paint(canvas, [0.0, 0.0, 1.0, 1.0], colour.map(|c| c * tone), false);
        }
    };
    fill(canvas, side, 0.72);
    fill(canvas, front, 1.0);
    fill(canvas, rear, 1.0);
    if high < crate::canvas::CAMERA_M {
        let corners = [(-half_w, -half_l), (half_w, -half_l), (half_w, half_l), (-half_w, half_l)];
        let points = corners.map(|(right, ahead)| {
            let (x, z) = place(right, ahead);
            [x, high, z]
        });
        canvas.shape(&points, colour.map(|c| (c * 1.1).min(255.0)), false);
    }
    Seen { rear, front, side }
}

/// A flat figure that always faces the camera: metres right of and above its foot.
pub(crate) struct Board {
    right: f32,
    ahead: f32,
}

impl Board {
    /// A board whose foot is at a place of the map.
    pub(crate) fn at(canvas: &Canvas, x: f32, z: f32) -> Self {
        let (right, ahead) = canvas.eye.to_camera(x, z);
        Self { right, ahead }
    }

    /// Distance in metres; negative behind the camera.
    pub(crate) fn ahead(&self) -> f32 {
        self.ahead
    }

    /// Fills a shape.
    pub(crate) fn shape(&self, canvas: &mut Canvas, points: &[(f32, f32)], colour: Rgb) {
        self.fill(canvas, points, colour, false);
    }

    /// Fills a shape that may glow.
    pub(crate) fn fill(&self, canvas: &mut Canvas, points: &[(f32, f32)], colour: Rgb, glows: bool) {
        let points: Vec<_> = points.iter().map(|(x, y)| [self.right + x, *y, self.ahead]).collect();
        canvas.seen_shape(&points, colour, glows);
    }

    /// Fills a rectangle: left, low, right, high.
    pub(crate) fn rect(&self, canvas: &mut Canvas, part: [f32; 4], colour: Rgb) {
        self.glow_rect(canvas, part, colour, false);
    }

    /// Fills a rectangle that may glow.
    pub(crate) fn glow_rect(&self, canvas: &mut Canvas, [l, b, r, t]: [f32; 4], colour: Rgb, glows: bool) {
        self.fill(canvas, &[(l, b), (r, b), (r, t), (l, t)], colour, glows);
    }

    /// Fills a circle.
    pub(crate) fn disc(&self, canvas: &mut Canvas, x: f32, y: f32, radius: f32, colour: Rgb, glows: bool) {
        canvas.disc([self.right + x, y, self.ahead], radius, colour, glows);
    }
}
