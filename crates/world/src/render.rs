//! The picture: a pin-hole camera over a flat road, painted pixel by pixel.

use crate::{Colour, Ego, Scene, Sky, Vehicle};
use video::RgbFrame;

/// Height of the horizon, as a share of the frame.
const HORIZON: f32 = 0.45;
/// Width of a lane, in metres.
const LANE_M: f32 = 3.6;
/// Height of the camera above the road, in metres.
const CAMERA_M: f32 = 1.4;
/// Length of a dash and of the gap after it, in metres.
const DASH_M: f32 = 4.0;
/// Cruising speed, in metres per second.
const SPEED_M_S: f32 = 14.0;
/// Half the width of a painted line, in metres.
const LINE_M: f32 = 0.12;

type Rgb = [f32; 3];

/// Where the camera and the vehicle ahead are at a moment.
struct Moment {
    /// Distance driven, in metres.
    driven_m: f32,
    /// Offset of the camera to the left of its first lane's middle, in metres.
    left_m: f32,
    /// Distance to the vehicle ahead, in metres.
    gap_m: f32,
}

fn moment(scene: &Scene, seconds: f32) -> Moment {
    let eased = (seconds / 2.0).clamp(0.0, 1.0);
    match scene.ego {
        Ego::Follow => Moment { driven_m: SPEED_M_S * seconds, left_m: 0.0, gap_m: 16.0 },
        // Braking evenly to a stand within two seconds.
        Ego::Stop => Moment {
            driven_m: SPEED_M_S * (eased - 0.5 * eased * eased) * 2.0,
            left_m: 0.0,
            gap_m: 20.0 - 12.0 * eased,
        },
        Ego::LaneChange => Moment {
            driven_m: SPEED_M_S * seconds,
            left_m: LANE_M * eased * eased * (3.0 - 2.0 * eased),
            gap_m: 18.0 - 8.0 * eased,
        },
    }
}

/// The frame that the camera sees `seconds` after the start.
pub fn render(scene: &Scene, width: u32, height: u32, seconds: f32) -> RgbFrame {
    let now = moment(scene, seconds);
    let light = if scene.sky == Sky::Night { 0.3 } else { 1.0 };
    let mut data = Vec::with_capacity((width * height * 3) as usize);
    for row in 0..height {
        for column in 0..width {
            let x = (column as f32 + 0.5) / width as f32 - 0.5;
            let y = (row as f32 + 0.5) / height as f32 - HORIZON;
            let aspect = width as f32 / height as f32;
            let colour = vehicle(scene, &now, x * aspect, y).unwrap_or_else(|| match y <= 0.0 {
                true => sky(scene.sky, -y / HORIZON),
                false => ground(scene, &now, x * aspect, y).map(|c| c * light),
            });
            data.extend(colour.map(|c| c.clamp(0.0, 255.0) as u8));
        }
    }
    RgbFrame { width, height, data }
}

fn sky(sky: Sky, up: f32) -> Rgb {
    match sky {
        Sky::Clear => [150.0 - 80.0 * up, 190.0 - 50.0 * up, 235.0],
        Sky::Overcast => [185.0 - 25.0 * up, 188.0 - 25.0 * up, 192.0 - 25.0 * up],
        Sky::Night => [12.0, 14.0, 30.0 + 10.0 * up],
    }
}

/// Colour of the ground at a direction below the horizon; `x` and `y` in frame heights.
fn ground(scene: &Scene, now: &Moment, x: f32, y: f32) -> Rgb {
    let ahead_m = CAMERA_M / y;
    // Metres to the right of the left edge of the leftmost lane; the camera starts in the rightmost lane.
    let across_m = x * ahead_m - now.left_m + LANE_M * (scene.lanes as f32 - 0.5);
    let road_m = LANE_M * scene.lanes as f32;
    if !(0.0..=road_m).contains(&across_m) {
        let patch = ((ahead_m + now.driven_m) / 6.0).floor() as i64 % 2 == 0;
        return if patch { [92.0, 120.0, 62.0] } else { [84.0, 110.0, 56.0] };
    }
    let edge = across_m < 2.0 * LINE_M || across_m > road_m - 2.0 * LINE_M;
    let from_line = (across_m / LANE_M - (across_m / LANE_M).round()).abs() * LANE_M;
    let dash = ((ahead_m + now.driven_m) / DASH_M).floor() as i64 % 2 == 0;
    if edge || (from_line < LINE_M && dash) { [225.0, 225.0, 215.0] } else { [88.0, 88.0, 92.0] }
}

/// Colour of the vehicle ahead where it covers this direction.
fn vehicle(scene: &Scene, now: &Moment, x: f32, y: f32) -> Option<Rgb> {
    let (half_width_m, tall_m) = match scene.vehicle {
        Vehicle::Car => (0.9, 1.45),
        Vehicle::Truck => (1.2, 3.2),
    };
    // It stays in the rightmost lane, so a camera that moves left sees it move right.
    let across_m = x * now.gap_m - now.left_m;
    let up_m = CAMERA_M - y * now.gap_m;
    if across_m.abs() > half_width_m || !(0.0..=tall_m).contains(&up_m) {
        return None;
    }
    let paint = match scene.colour {
        Colour::Red => [190.0, 30.0, 30.0],
        Colour::White => [235.0, 235.0, 235.0],
        Colour::Blue => [40.0, 70.0, 180.0],
        Colour::Yellow => [225.0, 190.0, 40.0],
    };
    let light = if scene.sky == Sky::Night { 0.45 } else { 1.0 };
    let side = across_m.abs() / half_width_m;
    Some(match up_m / tall_m {
        part if part < 0.18 => [25.0, 25.0, 25.0],
        // Tail lights shine when it is dark.
        part if part < 0.4 && side > 0.7 => [230.0, 40.0, 30.0],
        part if part > 0.6 && part < 0.9 && side < 0.8 && scene.vehicle == Vehicle::Car => {
            [45.0, 55.0, 65.0].map(|c| c * light)
        }
        _ => paint.map(|c| c * light),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: Scene =
        Scene { sky: Sky::Clear, lanes: 3, vehicle: Vehicle::Truck, colour: Colour::Red, ego: Ego::LaneChange };

    /// Average column of the pixels that are as red as the truck.
    fn truck_column(frame: &RgbFrame) -> f32 {
        let red = |p: &[u8]| p[0] > 170 && p[1] < 60;
        let columns: Vec<usize> =
            frame.data.chunks(3).enumerate().filter(|(_, p)| red(p)).map(|(i, _)| i % frame.width as usize).collect();
        columns.iter().sum::<usize>() as f32 / columns.len() as f32
    }

    #[test]
    fn a_lane_change_to_the_left_moves_the_truck_to_the_right() {
        let (before, after) = (render(&SCENE, 96, 64, 0.0), render(&SCENE, 96, 64, 2.0));
        assert!(truck_column(&after) > truck_column(&before) + 5.0);
    }

    #[test]
    fn night_is_darker_than_day() {
        let brightness = |frame: RgbFrame| frame.data.iter().map(|v| u64::from(*v)).sum::<u64>();
        let night = Scene { sky: Sky::Night, ..SCENE };
        assert!(2 * brightness(render(&night, 64, 48, 1.0)) < brightness(render(&SCENE, 64, 48, 1.0)));
    }

    #[test]
    fn a_clip_is_read_back_with_its_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        crate::write_clip(&SCENE, 96, 64, 12, 8, &path).unwrap();
        let info = video::probe(&path, &video::Limits::default()).unwrap();
        assert_eq!((info.width, info.height, info.frames, info.duration_ms), (96, 64, 12, 1500));
    }
}
