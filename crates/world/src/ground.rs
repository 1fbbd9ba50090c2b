//! The ground, pixel by pixel: road, markings, crosswalk, hazards, what lies beside the road; and the sky.

use crate::canvas::{CAMERA_M, Canvas, HORIZON, Rgb};
use crate::motion::{CROSS_HALF_M, Layout, Pose};
use crate::scene::*;

const WHITE: Rgb = [232.0, 232.0, 226.0];
const YELLOW: Rgb = [240.0, 190.0, 40.0];

/// Distance between hazards along the road, in metres.
pub(crate) const HAZARD_EVERY_M: f32 = 15.0;

/// Even chance in 0..1 of a cell of the map.
fn noise(a: i32, b: i32) -> f32 {
    let mut h = (a as u32).wrapping_mul(0x9e37_79b1) ^ (b as u32).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    ((h ^ (h >> 12)) & 0xffff) as f32 / 65536.0
}

/// Paints the sky above the horizon and all ground below it.
pub(crate) fn paint(canvas: &mut Canvas, scene: &Scene, layout: &Layout, camera: Pose) {
    let (width, height) = (canvas.pixmap.width(), canvas.pixmap.height());
    let horizon = HORIZON * height as f32;
    let mut pixels = vec![0u8; (width * height * 4) as usize];
    for row in 0..height {
        let middle = row as f32 + 0.5;
        let line = &mut pixels[(row * width * 4) as usize..((row + 1) * width * 4) as usize];
        if middle <= horizon {
            let up = 1.0 - middle / horizon;
            let sky: Rgb = std::array::from_fn(|i| {
                canvas.look.sky_low[i] + (canvas.look.sky_top[i] - canvas.look.sky_low[i]) * up
            });
            line.chunks_exact_mut(4).for_each(|pixel| put(pixel, sky));
            continue;
        }
        let far = CAMERA_M * canvas.eye.scale(1.0) / (middle - horizon);
        // Along a row the map place is linear, and light and haze are the same.
        let (x0, z0, _) = canvas.eye.ground_at(0.5, middle);
        let (x1, z1, _) = canvas.eye.ground_at(1.5, middle);
        let (gain, veil) = canvas.look.gain(far, false);
        for (column, pixel) in line.chunks_exact_mut(4).enumerate() {
            let (x, z) = (x0 + column as f32 * (x1 - x0), z0 + column as f32 * (z1 - z0));
            let colour = ground(scene, layout, x, z, far / canvas.eye.scale(1.0));
            let lamp = if scene.time == Time::NightLit { lamp_light(x, z, layout) } else { 1.0 };
            put(pixel, std::array::from_fn(|i| colour[i] * lamp * gain + veil[i]));
        }
    }
    canvas.pixmap.data_mut().copy_from_slice(&pixels);
    sky_things(canvas, scene, camera);
}

fn put(pixel: &mut [u8], colour: Rgb) {
    for (byte, value) in pixel.iter_mut().zip(colour) {
        *byte = value.clamp(0.0, 255.0) as u8;
    }
    pixel[3] = 255;
}

/// Pools of light under street lamps.
fn lamp_light(x: f32, z: f32, layout: &Layout) -> f32 {
    let along = (z / 18.0 - (z / 18.0).round()) * 18.0;
    let across = (x - layout.edges().1).abs().min((x - layout.edges().0).abs());
    1.0 + 0.7 / (1.0 + (along * along + across * across) / 22.0)
}

fn ground(scene: &Scene, layout: &Layout, x: f32, z: f32, pixel_m: f32) -> Rgb {
    let (left, right) = layout.edges();
    let margin = if scene.road == Road::Highway { 1.6 } else { 2.5 };
    let past_end = scene.junction == Junction::Tee && z > layout.junction_z + CROSS_HALF_M;
    let crossing = layout.crosses && (z - layout.junction_z).abs() < CROSS_HALF_M;
    let on_road = x > left - margin && x < right + margin && !past_end;
    if crossing || on_road {
        let base = surface(scene, x, z);
        return match (crossing, marking(scene, layout, x, z, pixel_m)) {
            (false, Some(paint)) if scene.surface != Surface::Unpaved => paint,
            (true, _) => cross_marking(layout, x, z).unwrap_or(base),
            _ => hazard(scene, layout, x, z).unwrap_or(base),
        };
    }
    if scene.junction == Junction::Ramp && on_ramp(layout, x, z) {
        return surface(scene, x, z);
    }
    let town = matches!(scene.road, Road::Urban | Road::Residential);
    let beside = (x - right - margin).max(left - margin - x);
    if town && beside < 2.6 && !past_end {
        let tile = ((x * 0.6).floor() + (z * 0.6).floor()) as i32 & 1;
        return if tile == 0 { [176.0, 172.0, 164.0] } else { [166.0, 162.0, 154.0] };
    }
    let grain = 0.9 + 0.2 * noise((x * 0.5).floor() as i32, (z * 0.25).floor() as i32);
    let soil: Rgb = match scene.land {
        Land::Commercial => [148.0, 144.0, 138.0],
        Land::Homes => [96.0, 150.0, 72.0],
        Land::Industry => [150.0, 136.0, 112.0],
        Land::Open => [122.0, 146.0, 58.0],
    };
    soil.map(|c| c * grain)
}

fn surface(scene: &Scene, x: f32, z: f32) -> Rgb {
    let grain = 0.95 + 0.1 * noise((x * 2.0).floor() as i32, z.floor() as i32);
    let base: Rgb = match scene.surface {
        Surface::Dry => [96.0, 96.0, 100.0],
        Surface::Wet => {
            // Streaks of reflected sky.
            let shine = noise((x * 1.6).floor() as i32, (z * 0.15).floor() as i32);
            if shine > 0.55 { [112.0, 128.0, 152.0] } else { [56.0, 62.0, 76.0] }
        }
        Surface::Patched => {
            let patch = noise((x * 0.7).floor() as i32, (z * 0.35).floor() as i32);
            match patch {
                p if p > 0.72 => [44.0, 44.0, 48.0],
                p if p < 0.16 => [136.0, 134.0, 130.0],
                _ => [100.0, 99.0, 100.0],
            }
        }
        Surface::Unpaved => [166.0, 126.0, 82.0],
    };
    base.map(|c| c * grain)
}

/// A lane that comes in from the right and merges.
fn on_ramp(layout: &Layout, x: f32, z: f32) -> bool {
    let out = ((layout.junction_z - 6.0 - z) * 0.4).max(0.0);
    let taper = ((z - layout.junction_z - 8.0) * 0.3).max(0.0);
    let middle = layout.own.1 + 2.6 + out - taper;
    (x - middle).abs() < 2.2 && x > layout.own.1
}

fn marking(scene: &Scene, layout: &Layout, x: f32, z: f32, pixel_m: f32) -> Option<Rgb> {
    let half = (0.11f32).max(0.55 * pixel_m);
    let near_junction = layout.crosses && (z - layout.junction_z).abs() < CROSS_HALF_M + 1.0;
    let (left, right) = layout.edges();
    if scene.crosswalk && (z - layout.crosswalk_z).abs() < 1.6 && x > left - 1.0 && x < right + 1.0 {
        return (x.rem_euclid(1.3) < 0.72).then_some(WHITE);
    }
    let stop_z = layout.crosswalk_z - 2.5;
    let stops = scene.light.is_some() || matches!(scene.sign, Some(Sign::Stop | Sign::Yield));
    if stops && (z - stop_z).abs() < 0.32f32.max(pixel_m) && x > layout.own.0 && x < layout.own.1 {
        return Some(WHITE);
    }
    if near_junction {
        return None;
    }
    let between = (layout.own.0 + layout.back.1) / 2.0;
    let wide = layout.own.0 - layout.back.1 > 1.0;
    if wide && x > layout.back.1 && x < layout.own.0 {
        return Some([128.0, 124.0, 116.0]);
    }
    if (x - between).abs() < 3.0 * half && (x - between).abs() > 0.6 * half && !wide {
        return Some(YELLOW);
    }
    if wide && ((x - layout.own.0).abs() < half || (x - layout.back.1).abs() < half) {
        return Some(YELLOW);
    }
    if (x - right).abs() < half || (x - left).abs() < half {
        let open = scene.junction == Junction::Ramp && x > 0.0 && on_ramp(layout, right + 0.5, z);
        return (!open || z.rem_euclid(3.0) < 1.5).then_some(WHITE);
    }
    let dash = z.rem_euclid(6.0) < 3.0;
    let lane = |from: f32, x: f32| ((x - from) / LANE_M - ((x - from) / LANE_M).round()).abs() * LANE_M < half;
    let own = x > layout.own.0 + 0.5 && x < layout.own.1 - 0.5 && lane(layout.own.0, x);
    let back = x > layout.back.0 + 0.5 && x < layout.back.1 - 0.5 && lane(layout.back.0, x);
    ((own || back) && dash).then_some(WHITE)
}

fn cross_marking(layout: &Layout, x: f32, z: f32) -> Option<Rgb> {
    let outside = x < layout.edges().0 - 2.0 || x > layout.edges().1 + 2.0;
    (outside && (z - layout.junction_z).abs() < 0.2).then_some(YELLOW)
}

/// Places of hazards along the road; the last one lies before the place where the ego vehicle ends.
pub(crate) fn hazard_z(layout: &Layout, z: f32) -> f32 {
    let phase = layout.way + 6.0;
    phase + ((z - phase) / HAZARD_EVERY_M).round() * HAZARD_EVERY_M
}

fn hazard(scene: &Scene, layout: &Layout, x: f32, z: f32) -> Option<Rgb> {
    let dz = z - hazard_z(layout, z);
    match scene.hazard {
        Hazard::None | Hazard::Debris => None,
        Hazard::Pothole => {
            let r = ((x - 0.5) / 0.85).hypot(dz / 1.3);
            match r {
                r if r < 0.8 => Some([16.0, 14.0, 14.0]),
                r if r < 1.0 => Some([168.0, 150.0, 126.0]),
                _ => None,
            }
        }
        Hazard::Water => {
            let r = ((x - 0.3) / 1.5).hypot(dz / 2.8);
            match r {
                r if r < 0.9 => Some([92.0, 160.0, 226.0]),
                r if r < 1.0 => Some([220.0, 236.0, 250.0]),
                _ => None,
            }
        }
    }
}

/// Sun, moon, stars, clouds.
fn sky_things(canvas: &mut Canvas, scene: &Scene, camera: Pose) {
    let (width, height) = (canvas.pixmap.width() as f32, canvas.pixmap.height() as f32);
    let shift = camera.yaw * canvas.eye.scale(1.0);
    match (scene.weather, scene.time.is_night()) {
        (Weather::Clear, true) => {
            for star in 0..40 {
                let column = noise(star, 7) * 3.0 * width - width - shift;
                canvas.spot(column, noise(star, 8) * 0.4 * height, 0.004 * width, [235.0, 235.0, 255.0], 0.9);
            }
            canvas.spot(0.78 * width - shift, 0.1 * height, 0.032 * width, [244.0, 240.0, 214.0], 1.0);
        }
        (Weather::Clear, false) => {
            let low = if scene.time == Time::Dusk { 0.34 } else { 0.12 };
            canvas.spot(0.8 * width - shift, low * height, 0.06 * width, [255.0, 226.0, 140.0], 0.35);
            canvas.spot(0.8 * width - shift, low * height, 0.036 * width, [255.0, 244.0, 190.0], 1.0);
        }
        (Weather::Cloudy, _) => {
            let tone = if scene.time.is_night() { 12.0 } else { 38.0 };
            let cloud = canvas.look.sky_top.map(|c| c + tone);
            for number in 0..9 {
                let column = noise(number, 3) * 2.4 * width - 0.7 * width - shift;
                let row = (0.04 + 0.24 * noise(number, 4)) * height;
                for part in 0..3 {
                    let radius = (0.05 + 0.03 * noise(number, part + 5)) * width;
                    canvas.spot(column + (part - 1) as f32 * 0.06 * width, row, radius, cloud, 0.8);
                }
            }
        }
        _ => {}
    }
}

/// What falls in front of everything.
pub(crate) fn rain(canvas: &mut Canvas, scene: &Scene, t: f32) {
    if scene.weather != Weather::Rain {
        return;
    }
    let (width, height) = (canvas.pixmap.width() as f32, canvas.pixmap.height() as f32);
    let tone = if scene.time.is_night() { [120.0, 130.0, 150.0] } else { [205.0, 215.0, 230.0] };
    for drop in 0..70 {
        let column = noise(drop, 21) * width;
        let row = (noise(drop, 22) * height + t * 1.7 * height * (1.0 + noise(drop, 23))).rem_euclid(height);
        canvas.rectangle(column, row, 0.0045 * width, 0.06 * height, tone, 0.45);
    }
}
