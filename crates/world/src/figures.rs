//! People: walkers, workers, cyclists. They are a little larger than life, to be seen in small frames.

use crate::canvas::{Canvas, Rgb};
use crate::motion::{CROSS_HALF_M, Layout, Profile};
use crate::scene::*;
use crate::solids::Board;

const SKIN: Rgb = [224.0, 172.0, 138.0];
const DARK: Rgb = [34.0, 36.0, 52.0];
const COATS: [Rgb; 5] =
    [[206.0, 36.0, 52.0], [38.0, 92.0, 206.0], [236.0, 196.0, 48.0], [126.0, 54.0, 158.0], [36.0, 150.0, 112.0]];

/// A figure to be painted: what it is and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) x: f32,
    pub(crate) z: f32,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Walker {
        is_child: bool,
        coat: usize,
        carried: Carried,
        walks: bool,
    },
    Worker(WorkerAct),
    /// Seen from behind or, when it crosses, from the side.
    Cyclist {
        crosses: bool,
    },
}

/// Where people on foot are at a moment: the middle of their party.
pub(crate) fn party_at(scene: &Scene, people: &People, profile: &Profile, layout: &Layout, t: f32) -> (f32, f32) {
    let (left, right) = (layout.own.0.min(layout.back.0), layout.own.1);
    match people.act {
        PeopleAct::CrossFromLeft | PeopleAct::CrossFromRight => {
            let ahead = if people.act == PeopleAct::CrossFromLeft { 1.0 } else { -1.0 };
            let (start, end) = ((left - 1.0).max(-5.5), (right + 1.0).min(5.5));
            let from = if ahead > 0.0 { start } else { end };
            let walked = 1.7 * (t - people.at_s).max(0.0);
            let x = (from + ahead * walked).clamp(start - 2.0, end + 2.0);
            (x, layout.crosswalk_z)
        }
        _ => {
            let extra = match (people.side, scene.parked.left(), scene.parked.right() || scene.kerb != Kerb::None) {
                (Side::Left, true, _) | (Side::Right, _, true) => 2.9,
                _ => 1.2,
            };
            let x = if people.side == Side::Left { left - extra } else { right + extra };
            let x = if layout.stands { x.clamp(-6.2, 6.2) } else { x };
            if matches!(scene.kerb, Kerb::Loading | Kerb::BusStop) {
                return (right + 2.9, layout.kerb_z - 4.2);
            }
            match people.act {
                // Beside a crosswalk that is near, they would be out of the picture: they wait on its far side.
                PeopleAct::Wait if scene.crosswalk && layout.stands && layout.crosses => {
                    (x, layout.junction_z + CROSS_HALF_M + 0.6)
                }
                PeopleAct::Wait if scene.crosswalk && layout.stands => (x, layout.crosswalk_z + 5.0),
                PeopleAct::Wait if scene.crosswalk => (x, layout.crosswalk_z),
                PeopleAct::Wait => (x, layout.key_z),
                // Slower than the ego vehicle and on the same way, until it passes them.
                _ => (x, layout.key_z - 4.0 + 0.35 * profile.way(t).min(layout.key_z) + 0.5 * t),
            }
        }
    }
}

/// All figures at a moment.
pub(crate) fn all(scene: &Scene, profile: &Profile, layout: &Layout, t: f32) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(people) = &scene.people {
        let (x, z) = party_at(scene, people, profile, layout, t);
        let walks = people.act != PeopleAct::Wait && t >= people.at_s;
        let size = people.group.size();
        for number in 0..size {
            let apart = (number as f32 - (size - 1) as f32 / 2.0) * 0.95;
            let (dx, dz) = if people.crosses() { (apart, 0.2 * number as f32) } else { (apart * 0.85, apart * 0.5) };
            let is_child = match people.group {
                Group::Child => true,
                Group::AdultChild | Group::Family => number + 1 == size,
                _ => false,
            };
            let carried = if number == 0 { people.carried } else { Carried::Nothing };
            let coat = (scene.seed as usize + number * 2) % COATS.len();
            figures.push(Figure { x: x + dx, z: z + dz, what: What::Walker { is_child, coat, carried, walks } });
        }
    }
    if let Some((act, x, z)) = scene.construction.and_then(|c| worker_at(scene, &c, profile, layout, t)) {
        figures.push(Figure { x, z, what: What::Worker(act) });
        if act != WorkerAct::Directs {
            figures.push(Figure { x: x + 0.9 * (x.signum()), z: z + 1.5, what: What::Worker(act) });
            figures.push(Figure { x, z: z + 22.0, what: What::Worker(act) });
        }
    }
    let way = profile.way(t);
    match scene.cyclist {
        Cyclist::None => {}
        Cyclist::Left | Cyclist::Right => {
            let side = if scene.cyclist == Cyclist::Left { -1.0 } else { 1.0 };
            let gap = 12.0 - 0.3 * t;
            figures.push(Figure { x: side * 2.6, z: way + gap, what: What::Cyclist { crosses: false } });
        }
        Cyclist::Crosses => {
            let at = if scene.ego.speed == Speed::Waits { 2.0 } else { scene.ego.speed_at_s + 1.0 };
            let x = -7.0 + 2.2 * (t - at).max(0.0);
            figures.push(Figure { x, z: layout.crosswalk_z + 2.2, what: What::Cyclist { crosses: true } });
        }
    }
    figures
}

fn worker_at(
    scene: &Scene,
    construction: &Construction,
    profile: &Profile,
    layout: &Layout,
    t: f32,
) -> Option<(WorkerAct, f32, f32)> {
    let act = construction.workers?;
    if act == WorkerAct::Directs {
        // In front of the ego vehicle while it stands, then at the edge.
        let goes = match scene.ego.speed {
            Speed::StopsAndGoes => scene.ego.speed_at_s + 4.0,
            Speed::Stops => CLIP_S + 1.0,
            _ => 0.0,
        };
        let stand = profile.way(goes.min(CLIP_S)) + if goes > 0.0 { 7.5 } else { layout.key_z };
        let aside = ((t - goes).max(0.0) * 2.0).min(layout.own.1 - 0.6);
        return Some((act, 1.0 + aside, stand));
    }
    let x = match construction.side {
        Side::Left => (layout.own.0 + layout.back.1) / 2.0,
        Side::Right => layout.own.1 + 1.9,
    };
    Some((act, x, layout.key_z + 1.0))
}

/// Paints a figure at second `t`.
pub(crate) fn paint(canvas: &mut Canvas, figure: &Figure, t: f32) {
    let board = Board::at(canvas, figure.x, figure.z);
    if board.ahead() < 1.0 {
        return;
    }
    match figure.what {
        What::Walker { is_child, coat, carried, walks } => walker(canvas, &board, is_child, coat, carried, walks, t),
        What::Worker(act) => worker(canvas, &board, act, t),
        What::Cyclist { crosses } => cyclist(canvas, &board, crosses, t),
    }
}

/// Legs, trunk and head, `tall` metres high.
fn body(canvas: &mut Canvas, board: &Board, tall: f32, coat: Rgb, swing: f32) {
    let wide = 0.17 * tall;
    for side in [-1.0f32, 1.0] {
        let foot = side * 0.4 * wide + side * swing * 0.16 * tall;
        let (hip, half) = (side * 0.4 * wide, 0.3 * wide);
        let points = [(foot - half, 0.0), (foot + half, 0.0), (hip + half, 0.48 * tall), (hip - half, 0.48 * tall)];
        board.shape(canvas, &points, DARK);
    }
    board.rect(canvas, [-wide, 0.44 * tall, wide, 0.83 * tall], coat);
    for side in [-1.0f32, 1.0] {
        let hand = side * (1.25 * wide + swing * 0.06 * tall);
        let points = [
            (side * wide, 0.82 * tall),
            (side * 0.7 * wide, 0.82 * tall),
            (hand, 0.45 * tall),
            (hand + side * 0.1, 0.45 * tall),
        ];
        board.shape(canvas, &points, coat.map(|c| 0.75 * c));
    }
    board.disc(canvas, 0.0, 0.92 * tall, 0.095 * tall, SKIN, false);
    board.rect(canvas, [-0.09 * tall, 0.95 * tall, 0.09 * tall, 1.02 * tall], DARK);
}

fn walker(canvas: &mut Canvas, board: &Board, is_child: bool, coat: usize, carried: Carried, walks: bool, t: f32) {
    let tall = if is_child { 1.2 } else { 1.95 };
    let swing = if walks { (t * 6.0).sin() } else { 0.0 };
    // Children wear bright orange, so that size is not the only mark of them.
    let coat = if is_child { [255.0, 130.0, 30.0] } else { COATS[coat % COATS.len()] };
    body(canvas, board, tall, coat, swing);
    match carried {
        Carried::Nothing => {}
        Carried::Bag => {
            let x = 0.3 * tall;
            board.rect(canvas, [x - 0.08, 0.14 * tall, x + 0.42, 0.44 * tall], [122.0, 74.0, 34.0]);
            board.rect(canvas, [x + 0.06, 0.44 * tall, x + 0.28, 0.5 * tall], [80.0, 46.0, 20.0]);
        }
        Carried::Umbrella => {
            let colour = [20.0, 170.0, 210.0];
            board.rect(canvas, [0.2, 0.6 * tall, 0.26, 1.2 * tall], DARK);
            let points: Vec<(f32, f32)> = (0..=8)
                .map(|n| {
                    let (sin, cos) = (n as f32 * std::f32::consts::PI / 8.0).sin_cos();
                    (0.2 + 0.85 * cos, 1.1 * tall + 0.5 * sin)
                })
                .collect();
            board.shape(canvas, &points, colour);
        }
    }
}

fn worker(canvas: &mut Canvas, board: &Board, act: WorkerAct, t: f32) {
    let tall = 1.95;
    body(canvas, board, tall, [255.0, 110.0, 10.0], 0.0);
    board.rect(canvas, [-0.33, 0.55 * tall, 0.33, 0.62 * tall], [230.0, 255.0, 80.0]);
    board.rect(canvas, [-0.33, 0.72 * tall, 0.33, 0.78 * tall], [230.0, 255.0, 80.0]);
    board.disc(canvas, 0.0, 1.0 * tall, 0.11 * tall, [255.0, 226.0, 20.0], false);
    match act {
        WorkerAct::Stands => {}
        WorkerAct::Works => {
            let lift = 0.4 * (t * 4.0).sin();
            let points = [(0.3, 1.1), (0.42, 1.1), (1.15, 0.2 + lift), (1.02, 0.15 + lift)];
            board.shape(canvas, &points, [150.0, 100.0, 50.0]);
            board.rect(canvas, [0.95, lift - 0.1, 1.4, 0.28 + lift], [180.0, 184.0, 190.0]);
        }
        WorkerAct::Directs => {
            board.rect(canvas, [0.5, 0.8, 0.58, 1.8], DARK);
            let points: Vec<(f32, f32)> = (0..8)
                .map(|n| {
                    let (sin, cos) = ((n as f32 + 0.5) * std::f32::consts::FRAC_PI_4).sin_cos();
                    (0.54 + 0.56 * cos, 2.2 + 0.56 * sin)
                })
                .collect();
            board.fill(canvas, &points, [230.0, 20.0, 24.0], true);
            board.glow_rect(canvas, [0.16, 2.1, 0.92, 2.3], [250.0, 250.0, 250.0], true);
        }
    }
}

fn cyclist(canvas: &mut Canvas, board: &Board, crosses: bool, t: f32) {
    let coat = [180.0, 255.0, 40.0];
    let swing = (t * 5.0).sin() * 0.12;
    if crosses {
        for x in [-0.6, 0.6] {
            board.disc(canvas, x, 0.38, 0.38, DARK, false);
            board.disc(canvas, x, 0.38, 0.25, [200.0, 200.0, 204.0], false);
        }
        board.shape(canvas, &[(-0.6, 0.36), (0.5, 0.36), (0.5, 0.85), (0.4, 0.85)], [210.0, 30.0, 130.0]);
        board.shape(canvas, &[(-0.2, 0.9), (0.0, 0.9), (0.1 + swing, 0.35), (-0.05 + swing, 0.35)], DARK);
        board.shape(canvas, &[(-0.35, 0.9), (-0.05, 0.85), (0.4, 1.5), (0.05, 1.6)], coat);
        board.disc(canvas, 0.32, 1.72, 0.2, [240.0, 240.0, 240.0], false);
        return;
    }
    board.rect(canvas, [-0.09, 0.0, 0.09, 0.75], DARK);
    board.rect(canvas, [-0.36, 0.95, 0.36, 1.03], DARK);
    for side in [-1.0f32, 1.0] {
        let foot = 0.25 + side * swing;
        board.shape(canvas, &[(side * 0.1, foot), (side * 0.28, foot), (side * 0.26, 0.95), (side * 0.06, 0.95)], DARK);
    }
    board.rect(canvas, [-0.32, 0.85, 0.32, 1.5], coat);
    board.disc(canvas, 0.0, 1.7, 0.2, [240.0, 240.0, 240.0], false);
    board.glow_rect(canvas, [-0.08, 0.6, 0.08, 0.76], [255.0, 20.0, 20.0], true);
}
