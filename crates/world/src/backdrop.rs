//! Buildings and trees beside the road, and at the end of a road that ends.

use crate::canvas::{Canvas, Rgb};
use crate::furniture::spaced;
use crate::motion::{CROSS_HALF_M, Layout, Pose};
use crate::scene::*;
use crate::solids::{self, Board};

/// A building or a tree and its place on the map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) x: f32,
    pub(crate) z: f32,
    /// Draws the looks.
    number: u32,
    is_building: bool,
    yaw: f32,
}

/// Everything near a camera, whose road runs along z and, at a junction, along x.
pub(crate) fn all(scene: &Scene, layout: &Layout, camera: Pose) -> Vec<Standing> {
    let mut all = Vec::new();
    let (left, right) = layout.edges();
    let town = matches!(scene.road, Road::Urban | Road::Residential);
    let set_back = if town { 8.5 } else { 10.0 };
    let past_end = |z: f32| scene.junction == Junction::Tee && z > layout.junction_z - 3.0;
    let in_crossing = |z: f32| layout.crosses && (z - layout.junction_z).abs() < CROSS_HALF_M + 7.0;
    for side in [Side::Left, Side::Right] {
        let built = if side == Side::Left { scene.buildings.left() } else { scene.buildings.right() };
        let edge = if side == Side::Left { left } else { right };
        let step = if built { 12.0 } else { 9.0 };
        let mut put = |x: f32, z: f32, yaw: f32| {
            let number = (x.abs() as u32).wrapping_mul(31) ^ (z as i32 as u32).wrapping_mul(17) ^ scene.seed as u32;
            all.push(Standing { x, z, number, is_building: built, yaw });
        };
        let out = if built { set_back } else { 5.5 };
        spaced(camera.z - 8.0, camera.z + 80.0, step, |z| {
            if !past_end(z) && !in_crossing(z) {
                put(edge + side.sign() * out, z, 0.0);
            }
        });
        if layout.crosses {
            // Along the road that crosses; beyond a road that ends, all the way.
            let from = if scene.junction == Junction::Tee { 0.0 } else { right.max(-left) + 12.0 };
            spaced(from + step / 2.0, 64.0, step, |x| {
                put(side.sign() * x, layout.junction_z + CROSS_HALF_M + out, 0.0);
            });
            spaced(right.max(-left) + 14.0, 64.0, step, |x| {
                put(side.sign() * x, layout.junction_z - CROSS_HALF_M - out, 0.0);
            });
        }
    }
    all
}

/// Paints it.
pub(crate) fn paint(canvas: &mut Canvas, scene: &Scene, standing: &Standing) {
    if !standing.is_building {
        return tree(canvas, standing);
    }
    let pose = Pose { x: standing.x, z: standing.z, yaw: standing.yaw };
    match scene.land {
        Land::Homes => home(canvas, standing, pose, scene.time.is_night()),
        Land::Industry => hall(canvas, standing, pose),
        Land::Commercial | Land::Open => tower(canvas, standing, pose, scene.time.is_night()),
    }
}

fn tree(canvas: &mut Canvas, standing: &Standing) {
    let board = Board::at(canvas, standing.x, standing.z);
    if board.ahead() < 2.0 {
        return;
    }
    board.rect(canvas, [-0.22, 0.0, 0.22, 2.2], [96.0, 66.0, 40.0]);
    if standing.number.is_multiple_of(3) {
        board.shape(canvas, &[(-1.8, 1.2), (1.8, 1.2), (0.0, 6.4)], [24.0, 96.0, 52.0]);
    } else {
        board.disc(canvas, 0.0, 3.6, 1.9, [46.0, 118.0, 48.0], false);
        board.disc(canvas, -0.5, 4.1, 1.0, [70.0, 144.0, 62.0], false);
    }
}

fn tower(canvas: &mut Canvas, standing: &Standing, pose: Pose, is_night: bool) {
    const WALLS: [Rgb; 4] =
        [[156.0, 120.0, 102.0], [150.0, 152.0, 158.0], [188.0, 170.0, 138.0], [112.0, 124.0, 142.0]];
    let high = 9.0 + (standing.number % 4) as f32 * 2.5;
    let seen = solids::block(canvas, pose, (10.5, 8.0), 0.0, high, WALLS[(standing.number / 4) as usize % 4]);
    let lit: Rgb = [255.0, 214.0, 120.0];
    let dull: Rgb = [70.0, 92.0, 120.0];
    for face in [seen.rear, seen.side].into_iter().flatten() {
        // Far away, rows of windows are bands.
        let is_far = canvas.eye.to_camera(pose.x, pose.z).1 > 38.0;
        for row in 0..3u32 {
            if is_far {
                let low = 0.36 + 0.21 * row as f32;
                face.paint(
                    canvas,
                    [0.08, low, 0.9, low + 0.13],
                    if is_night { lit.map(|c| 0.6 * c) } else { dull },
                    is_night,
                );
                continue;
            }
            for column in 0..3u32 {
                let (left, low) = (0.08 + 0.3 * column as f32, 0.36 + 0.21 * row as f32);
                let on = is_night && (standing.number >> (row * 3 + column)) & 1 == 1;
                face.paint(canvas, [left, low, left + 0.22, low + 0.13], if on { lit } else { dull }, on);
            }
        }
        // The shop on the ground floor, with its awning.
        face.paint(canvas, [0.06, 0.02, 0.94, 0.18], if is_night { lit } else { [90.0, 120.0, 140.0] }, is_night);
        let awning = if standing.number.is_multiple_of(2) { [200.0, 40.0, 40.0] } else { [30.0, 110.0, 90.0] };
        face.paint(canvas, [0.02, 0.18, 0.98, 0.27], awning, false);
    }
}

fn home(canvas: &mut Canvas, standing: &Standing, pose: Pose, is_night: bool) {
    const WALLS: [Rgb; 3] = [[236.0, 222.0, 190.0], [214.0, 190.0, 160.0], [206.0, 212.0, 214.0]];
    let seen = solids::block(canvas, pose, (8.0, 6.5), 0.0, 3.4, WALLS[standing.number as usize % 3]);
    let (lit, dull): (Rgb, Rgb) = ([255.0, 214.0, 120.0], [80.0, 100.0, 124.0]);
    for face in [seen.rear, seen.side].into_iter().flatten() {
        face.paint(canvas, [0.12, 0.4, 0.36, 0.75], if is_night { lit } else { dull }, is_night);
        face.paint(canvas, [0.64, 0.4, 0.88, 0.75], dull, false);
        face.paint(canvas, [0.43, 0.0, 0.57, 0.6], [120.0, 60.0, 40.0], false);
    }
    let board = Board::at(canvas, pose.x, pose.z - 2.0);
    if board.ahead() > 2.0 {
        board.shape(canvas, &[(-4.0, 3.3), (4.0, 3.3), (0.0, 6.2)], [170.0, 62.0, 44.0]);
    }
}

fn hall(canvas: &mut Canvas, standing: &Standing, pose: Pose) {
    let wall = if standing.number.is_multiple_of(2) { [138.0, 158.0, 172.0] } else { [172.0, 168.0, 150.0] };
    let seen = solids::block(canvas, pose, (11.8, 8.0), 0.0, 5.6, wall);
    for face in [seen.rear, seen.side].into_iter().flatten() {
        face.paint(canvas, [0.28, 0.0, 0.72, 0.62], [84.0, 90.0, 96.0], false);
        face.paint(canvas, [0.0, 0.84, 1.0, 1.0], [60.0, 80.0, 110.0], false);
    }
    if standing.number.is_multiple_of(3) {
        let board = Board::at(canvas, pose.x, pose.z);
        if board.ahead() > 2.0 {
            board.rect(canvas, [-0.6, 5.0, 0.6, 11.0], [158.0, 150.0, 146.0]);
            board.rect(canvas, [-0.62, 9.6, 0.62, 10.4], [200.0, 40.0, 40.0]);
        }
    }
}
