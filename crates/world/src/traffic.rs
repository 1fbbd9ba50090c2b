//! Vehicles: boxes with windows, lights and marks by which a kind is told even when it is small.

use crate::canvas::{Canvas, Rgb};
use crate::motion::{self, Actor, Pose};
use crate::scene::{Colour, Kind};
use crate::solids::{self, Face, Seen};

const GLASS: Rgb = [38.0, 48.0, 62.0];
const BLACK: Rgb = [20.0, 20.0, 22.0];
const BRAKE: Rgb = [255.0, 30.0, 20.0];
const LAMP: Rgb = [255.0, 246.0, 214.0];
const AMBER: Rgb = [255.0, 160.0, 20.0];

/// Paint of a colour.
pub(crate) fn rgb(colour: Colour) -> Rgb {
    match colour {
        Colour::White => [238.0, 238.0, 236.0],
        Colour::Gray => [150.0, 154.0, 160.0],
        Colour::Black => [36.0, 36.0, 42.0],
        Colour::Red => [212.0, 28.0, 30.0],
        Colour::Yellow => [246.0, 206.0, 30.0],
        Colour::Blue => [34.0, 80.0, 214.0],
        Colour::Green => [30.0, 138.0, 66.0],
    }
}

/// Paints a vehicle at second `t`.
pub(crate) fn paint(canvas: &mut Canvas, actor: &Actor, is_dark: bool, t: f32) {
    let pose = actor.pose;
    let (length, width, height) = motion::size(actor.vehicle.kind);
    let colour = match actor.vehicle.kind {
        Kind::Police | Kind::Ambulance => rgb(Colour::White),
        _ => rgb(actor.vehicle.colour),
    };
    shadow(canvas, pose, length, width);
    let lights = Lights { brakes: actor.brakes, warns: actor.flashes, is_dark, beat: (t * 2.0).rem_euclid(1.0) < 0.5 };
    match actor.vehicle.kind {
        Kind::Car | Kind::Suv | Kind::Taxi | Kind::Police => {
            car(canvas, actor, colour, (length, width, height), &lights)
        }
        _ => large(canvas, actor, colour, (length, width, height), &lights),
    }
    if matches!(actor.vehicle.kind, Kind::Police | Kind::Ambulance | Kind::FireTruck) {
        beacons(canvas, pose, height, (t * 3.0) as i32 % 2 == 0);
    }
}

struct Lights {
    brakes: bool,
    warns: bool,
    is_dark: bool,
    beat: bool,
}

fn shadow(canvas: &mut Canvas, pose: Pose, length: f32, width: f32) {
    let (sin, cos) = pose.yaw.sin_cos();
    let corners = [(-0.55, -0.52), (0.55, -0.52), (0.55, 0.52), (-0.55, 0.52)];
    let points = corners.map(|(w, l): (f32, f32)| {
        let (right, ahead) = (w * width, l * length);
        [pose.x + right * cos + ahead * sin, 0.02, pose.z - right * sin + ahead * cos]
    });
    canvas.shape(&points, [26.0, 26.0, 28.0], false);
}

fn car(canvas: &mut Canvas, actor: &Actor, colour: Rgb, (length, width, height): (f32, f32, f32), lights: &Lights) {
    let belt = 0.62 * height;
    let body = solids::block(canvas, actor.pose, (length, width), 0.22, belt, colour);
    wheels(canvas, &body);
    let (sin, cos) = actor.pose.yaw.sin_cos();
    let back = if actor.vehicle.kind == Kind::Suv { 0.5 } else { 0.35 };
    let cabin_pose = Pose { x: actor.pose.x - back * sin, z: actor.pose.z - back * cos, ..actor.pose };
    let long = if actor.vehicle.kind == Kind::Suv { 0.72 } else { 0.55 };
    let cabin = solids::block(canvas, cabin_pose, (long * length, 0.86 * width), belt, height, colour);
    for face in [cabin.rear, cabin.front].into_iter().flatten() {
        face.paint(canvas, [0.08, 0.04, 0.92, 0.8], GLASS, false);
    }
    if let Some(face) = cabin.side {
        face.paint(canvas, [0.06, 0.06, 0.46, 0.8], GLASS, false);
        face.paint(canvas, [0.54, 0.06, 0.94, 0.8], GLASS, false);
    }
    ends(canvas, &body, lights, 0.42);
    match actor.vehicle.kind {
        Kind::Taxi => {
            let sign = solids::block(canvas, cabin_pose, (0.4, 0.8), height, height + 0.3, [250.0, 250.0, 250.0]);
            for face in [sign.rear, sign.front, sign.side].into_iter().flatten() {
                face.paint(canvas, [0.1, 0.2, 0.9, 0.8], BLACK, false);
            }
            for face in [body.rear, body.front, body.side].into_iter().flatten() {
                checks(canvas, &face);
            }
        }
        Kind::Police => {
            for face in [body.rear, body.front, body.side].into_iter().flatten() {
                face.paint(canvas, [0.0, 0.3, 1.0, 0.62], [20.0, 60.0, 190.0], false);
            }
            ends(canvas, &body, lights, 0.42);
        }
        _ => {}
    }
}

fn checks(canvas: &mut Canvas, face: &Face) {
    for number in 0..8 {
        let left = number as f32 / 8.0;
        let low = if number % 2 == 0 { 0.2 } else { 0.3 };
        face.paint(canvas, [left, low, left + 0.125, low + 0.1], BLACK, false);
    }
}

fn large(canvas: &mut Canvas, actor: &Actor, colour: Rgb, (length, width, height): (f32, f32, f32), lights: &Lights) {
    let body = solids::block(canvas, actor.pose, (length, width), 0.35, height, colour);
    wheels(canvas, &body);
    match actor.vehicle.kind {
        Kind::Bus => {
            if let Some(face) = body.rear {
                face.paint(canvas, [0.1, 0.5, 0.9, 0.78], GLASS, false);
                face.paint(canvas, [0.2, 0.84, 0.8, 0.95], [255.0, 190.0, 40.0], true);
                face.paint(canvas, [0.25, 0.14, 0.75, 0.34], BLACK, false);
            }
            if let Some(face) = body.front {
                face.paint(canvas, [0.06, 0.32, 0.94, 0.78], GLASS, false);
                face.paint(canvas, [0.15, 0.83, 0.85, 0.95], [255.0, 190.0, 40.0], true);
            }
            if let Some(face) = body.side {
                (0..6).for_each(|n| {
                    let left = 0.04 + n as f32 * 0.16;
                    face.paint(canvas, [left, 0.45, left + 0.13, 0.8], GLASS, false);
                });
                face.paint(canvas, [0.0, 0.3, 1.0, 0.36], [245.0, 245.0, 245.0], false);
            }
        }
        Kind::Truck => {
            if let Some(face) = body.rear {
                face.paint(canvas, [0.48, 0.1, 0.52, 0.98], BLACK, false);
                (0..6).for_each(|n| {
                    let stripe = if n % 2 == 0 { [230.0, 30.0, 30.0] } else { [245.0, 245.0, 245.0] };
                    face.paint(canvas, [n as f32 / 6.0, 0.0, (n + 1) as f32 / 6.0, 0.09], stripe, false);
                });
                face.paint(canvas, [0.0, 0.92, 1.0, 1.0], colour.map(|c| 0.6 * c), false);
            }
            if let Some(face) = body.front {
                face.paint(canvas, [0.08, 0.4, 0.92, 0.66], GLASS, false);
                face.paint(canvas, [0.15, 0.1, 0.85, 0.3], BLACK, false);
            }
        }
        Kind::Van => {
            if let Some(face) = body.rear {
                face.paint(canvas, [0.1, 0.6, 0.46, 0.88], GLASS, false);
                face.paint(canvas, [0.54, 0.6, 0.9, 0.88], GLASS, false);
                face.paint(canvas, [0.36, 0.2, 0.64, 0.48], [150.0, 96.0, 44.0], false);
            }
            if let Some(face) = body.front {
                face.paint(canvas, [0.08, 0.52, 0.92, 0.86], GLASS, false);
            }
            if let Some(face) = body.side {
                face.paint(canvas, [0.3, 0.35, 0.6, 0.75], [150.0, 96.0, 44.0], false);
            }
        }
        kind => rescue(canvas, &body, kind == Kind::Ambulance),
    }
    ends(canvas, &body, lights, 0.16);
}

fn rescue(canvas: &mut Canvas, body: &Seen, is_ambulance: bool) {
    for face in [body.rear, body.side].into_iter().flatten() {
        if is_ambulance {
            face.paint(canvas, [0.0, 0.2, 1.0, 0.32], [220.0, 20.0, 30.0], false);
            face.paint(canvas, [0.43, 0.44, 0.57, 0.92], [220.0, 20.0, 30.0], false);
            face.paint(canvas, [0.27, 0.6, 0.73, 0.76], [220.0, 20.0, 30.0], false);
        } else {
            face.paint(canvas, [0.0, 0.24, 1.0, 0.36], [250.0, 240.0, 120.0], false);
            face.paint(canvas, [0.1, 0.84, 0.9, 0.9], [210.0, 210.0, 214.0], false);
            face.paint(canvas, [0.3, 0.44, 0.7, 0.76], [120.0, 14.0, 18.0], false);
        }
    }
    if let Some(face) = body.front {
        face.paint(canvas, [0.08, 0.5, 0.92, 0.82], GLASS, false);
        let stripe = if is_ambulance { [220.0, 20.0, 30.0] } else { [250.0, 240.0, 120.0] };
        face.paint(canvas, [0.0, 0.2, 1.0, 0.34], stripe, false);
    }
}

fn wheels(canvas: &mut Canvas, body: &Seen) {
    if let Some(face) = body.side {
        for center in [0.2, 0.8] {
            face.disc(canvas, (center, 0.0), 0.085, 4.2, BLACK);
        }
    }
    for face in [body.rear, body.front].into_iter().flatten() {
        face.paint(canvas, [0.04, -0.22, 0.2, 0.02], BLACK, false);
        face.paint(canvas, [0.8, -0.22, 0.96, 0.02], BLACK, false);
    }
}

/// Lights of both ends; `low` is where they begin, in shares of the height.
fn ends(canvas: &mut Canvas, body: &Seen, lights: &Lights, low: f32) {
    let high = low + if low > 0.3 { 0.34 } else { 0.1 };
    if let Some(face) = body.rear {
        let (red, glows, grow) = match (lights.brakes, lights.is_dark) {
            (true, _) => (BRAKE, true, 0.06),
            (false, true) => ([168.0, 16.0, 12.0], true, 0.0),
            _ => ([150.0, 12.0, 14.0], false, 0.0),
        };
        for [left, right] in [[0.02, 0.2 + grow], [0.8 - grow, 0.98]] {
            face.paint(canvas, [left, low - grow, right, high + grow], red, glows);
            if lights.warns {
                let part = if lights.beat { [left, low, right, high + 0.1] } else { [left, low, right, low + 0.16] };
                face.paint(canvas, part, AMBER, true);
            }
        }
        if lights.brakes {
            face.paint(canvas, [0.3, 0.94, 0.7, 1.04], BRAKE, true);
        }
        face.paint(canvas, [0.38, low - 0.1, 0.62, low + 0.08], [236.0, 236.0, 226.0], false);
    }
    if let Some(face) = body.front {
        for [left, right] in [[0.04, 0.24], [0.76, 0.96]] {
            face.paint(canvas, [left, low, right, high], LAMP, lights.is_dark);
        }
        face.paint(canvas, [0.3, low - 0.1, 0.7, low + 0.1], BLACK, false);
    }
}

fn beacons(canvas: &mut Canvas, pose: Pose, height: f32, swap: bool) {
    let (sin, cos) = pose.yaw.sin_cos();
    let colours: [Rgb; 2] = [[255.0, 30.0, 40.0], [50.0, 90.0, 255.0]];
    for (number, right) in [-0.45f32, 0.45].into_iter().enumerate() {
        let (x, z) = (pose.x + right * cos, pose.z - right * sin);
        let (right, ahead) = canvas.eye.to_camera(x, z);
        let colour = colours[(number + usize::from(swap)) % 2];
        canvas.seen_shape(&rectangle(right, height, ahead, 0.42, 0.42), colour, true);
        let halo: [f32; 3] = colour.map(|c| c.max(90.0));
        canvas.disc([right, height + 0.22, ahead], 0.16, halo, true);
    }
}

fn rectangle(right: f32, low: f32, ahead: f32, half: f32, tall: f32) -> [[f32; 3]; 4] {
    [[right - half, low], [right + half, low], [right + half, low + tall], [right - half, low + tall]]
        .map(|[x, y]| [x, y, ahead])
}
