//! What stands still at the roadside and on the road: lights, signs, works, structures, a bus shelter, debris.

use crate::canvas::{Canvas, Rgb};
use crate::ground;
use crate::lettering;
use crate::motion::{CROSS_HALF_M, Layout, Pose};
use crate::scene::*;
use crate::solids::{self, Board};

const POLE: Rgb = [112.0, 116.0, 122.0];
const BLACK: Rgb = [22.0, 22.0, 24.0];
const WHITE: Rgb = [246.0, 246.0, 242.0];
const ORANGE: Rgb = [255.0, 120.0, 10.0];

/// A thing to be painted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing {
    /// A traffic light; high over the road or at its side.
    Light {
        high: bool,
    },
    Sign(Sign),
    Cone,
    Barrier,
    Machine,
    Overpass,
    Rail,
    Wall,
    Shelter,
    Goods,
    Debris,
    /// The board of arrows where a road ends.
    EndBoard,
    Lamp {
        lit: bool,
        side: Side,
    },
}

/// A thing and its place on the map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) x: f32,
    pub(crate) z: f32,
    pub(crate) thing: Thing,
}

/// Where the sign stands.
pub(crate) fn sign_at(scene: &Scene, layout: &Layout) -> (f32, f32) {
    let out = if scene.parked.right() || scene.kerb != Kerb::None { 3.2 } else { 1.7 };
    // Not behind the traffic light.
    let aside = scene.light.is_some() && layout.stands && layout.own.1 < 3.0;
    let out = if aside { out + 1.4 } else { out };
    let z = match scene.sign {
        Some(Sign::Stop | Sign::Yield) => layout.crosswalk_z - 1.5,
        _ => layout.key_z + 1.0,
    };
    (layout.own.1 + out, z)
}

/// Everything that stands still, between `from` and `to` metres along the road.
pub(crate) fn all(scene: &Scene, layout: &Layout, from: f32, to: f32) -> Vec<Placed> {
    let mut things = Vec::new();
    let mut put = |x: f32, z: f32, thing: Thing| things.push(Placed { x, z, thing });
    if scene.light.is_some() {
        put(-0.4, layout.junction_z + CROSS_HALF_M + 0.8, Thing::Light { high: true });
        put(layout.own.1 + 1.2, layout.crosswalk_z + 1.0, Thing::Light { high: false });
    }
    if let Some(sign) = scene.sign {
        let (x, z) = sign_at(scene, layout);
        put(x, z, Thing::Sign(sign));
        if !matches!(sign, Sign::Stop | Sign::Yield) && !layout.crosses {
            put(x, z + 22.0, Thing::Sign(sign));
        }
    }
    match scene.structure {
        Structure::None => {}
        Structure::Overpass => {
            let first = if layout.way < 20.0 { layout.way + 17.0 } else { 0.55 * layout.way + 14.0 };
            put(0.0, first, Thing::Overpass);
        }
        Structure::Guardrail => spaced(from, to, 4.0, |z| put(layout.own.1 + 1.0, z, Thing::Rail)),
        Structure::MedianBarrier => {
            let clear = |z: f32| !layout.crosses || (z - layout.junction_z).abs() > CROSS_HALF_M + 3.0;
            spaced(from, to, 4.0, |z| {
                if clear(z) {
                    put((layout.own.0 + layout.back.1) / 2.0, z, Thing::Wall)
                }
            });
        }
    }
    if let Some(construction) = &scene.construction {
        works(construction, layout, from, to, &mut put);
    }
    match scene.kerb {
        Kerb::BusStop => put(layout.own.1 + 3.6, layout.kerb_z - 1.0, Thing::Shelter),
        Kerb::Loading => put(layout.own.1 + 1.5, layout.kerb_z - 3.9, Thing::Goods),
        _ => {}
    }
    if scene.hazard == Hazard::Debris {
        let first = ground::hazard_z(layout, from);
        for number in 0..4 {
            put(0.9, first + number as f32 * ground::HAZARD_EVERY_M, Thing::Debris);
        }
    }
    if scene.junction == Junction::Tee {
        put(0.0, layout.junction_z + CROSS_HALF_M + 1.6, Thing::EndBoard);
    }
    if matches!(scene.road, Road::Urban | Road::Residential) || scene.time == Time::NightLit {
        let lit = scene.time == Time::NightLit;
        let (left, right) = layout.edges();
        let clear = |z: f32| !layout.crosses || (z - layout.junction_z).abs() > CROSS_HALF_M + 2.0;
        let past = |z: f32| scene.junction == Junction::Tee && z > layout.junction_z;
        spaced(from, to, 18.0, |z| {
            if clear(z) && !past(z) && lit {
                put(left - 3.0, z, Thing::Lamp { lit, side: Side::Left });
                put(right + 3.0, z, Thing::Lamp { lit, side: Side::Right });
            }
        });
    }
    things
}

/// Calls `each` with every multiple of `step` from `from` to `to`.
pub(crate) fn spaced(from: f32, to: f32, step: f32, mut each: impl FnMut(f32)) {
    ((from / step).floor() as i64..=(to / step).ceil() as i64).for_each(|number| each(number as f32 * step));
}

fn works(construction: &Construction, layout: &Layout, from: f32, to: f32, put: &mut impl FnMut(f32, f32, Thing)) {
    let (x, edge) = match construction.side {
        Side::Left => ((layout.own.0 + layout.back.1) / 2.0, layout.own.0 - 0.4),
        Side::Right => (layout.own.1 + 1.4, layout.own.1 + 0.5),
    };
    let clear = |z: f32| !layout.crosses || (z - layout.junction_z).abs() > CROSS_HALF_M + 3.0;
    let thing = if construction.objects == WorkObjects::Barriers { Thing::Barrier } else { Thing::Cone };
    let step = if construction.objects == WorkObjects::Barriers { 5.0 } else { 3.5 };
    spaced(from, to, step, |z| {
        if clear(z) {
            put(edge, z, thing)
        }
    });
    if construction.objects == WorkObjects::Machine {
        put(x + 0.5, layout.key_z + 4.0, Thing::Machine);
        put(x + 0.5, layout.key_z + 26.0, Thing::Machine);
    }
}

/// Paints a thing at second `t`.
pub(crate) fn paint(canvas: &mut Canvas, scene: &Scene, placed: &Placed, t: f32) {
    let board = Board::at(canvas, placed.x, placed.z);
    if board.ahead() < 1.0 {
        return;
    }
    match placed.thing {
        Thing::Light { high } => light(canvas, scene, &board, high, t),
        Thing::Sign(sign) => self::sign(canvas, &board, sign),
        Thing::Cone => {
            board.rect(canvas, [-0.32, 0.0, 0.32, 0.1], ORANGE);
            board.shape(canvas, &[(-0.26, 0.1), (0.26, 0.1), (0.05, 1.0), (-0.05, 1.0)], ORANGE);
            board.shape(canvas, &[(-0.17, 0.42), (0.17, 0.42), (0.11, 0.66), (-0.11, 0.66)], WHITE);
        }
        Thing::Barrier => barrier(canvas, &board),
        Thing::Machine => machine(canvas, &board),
        Thing::Overpass => overpass(canvas, &board),
        Thing::Rail | Thing::Wall => {
            let long = Pose { x: placed.x, z: placed.z, yaw: 0.0 };
            if matches!(placed.thing, Thing::Wall) {
                solids::block(canvas, long, (4.0, 0.5), 0.0, 1.0, [206.0, 202.0, 194.0]);
            } else {
                board.rect(canvas, [-0.07, 0.0, 0.07, 0.6], POLE);
                solids::block(canvas, long, (4.0, 0.08), 0.42, 0.86, [214.0, 220.0, 228.0]);
            }
        }
        Thing::Shelter => shelter(canvas, &board),
        Thing::Goods => {
            board.rect(canvas, [-0.8, 0.0, 0.1, 0.8], [176.0, 120.0, 60.0]);
            board.rect(canvas, [0.15, 0.0, 0.85, 0.6], [150.0, 98.0, 44.0]);
            board.rect(canvas, [-0.6, 0.8, 0.0, 1.3], [196.0, 142.0, 80.0]);
        }
        Thing::Debris => {
            solids::block(
                canvas,
                Pose { x: placed.x, z: placed.z, yaw: 0.5 },
                (0.8, 0.9),
                0.0,
                0.6,
                [186.0, 132.0, 70.0],
            );
        }
        Thing::EndBoard => end_board(canvas, &board),
        Thing::Lamp { lit, side } => street_lamp(canvas, &board, lit, side),
    }
}

fn barrier(canvas: &mut Canvas, board: &Board) {
    for n in 0..6 {
        let left = -1.0 + n as f32 / 3.0;
        let colour = if n % 2 == 0 { [240.0, 60.0, 20.0] } else { WHITE };
        let (right, lean) = (left + 1.0 / 3.0, 0.16);
        for low in [0.35, 0.85] {
            let points = [(left, low), (right, low), (right + lean, low + 0.36), (left + lean, low + 0.36)];
            board.shape(canvas, &points, colour);
        }
    }
    board.rect(canvas, [-0.9, 0.0, -0.76, 0.9], BLACK);
    board.rect(canvas, [0.76, 0.0, 0.9, 0.9], BLACK);
}

fn end_board(canvas: &mut Canvas, board: &Board) {
    board.rect(canvas, [-3.2, 0.7, 3.2, 2.0], [250.0, 204.0, 20.0]);
    for n in 0..4 {
        for side in [-1.0f32, 1.0] {
            let x = side * (0.5 + 0.75 * n as f32);
            let (tip, back) = (x + side * 0.45, x);
            let points = [(back, 0.8), (back + side * 0.22, 0.8), (tip + side * 0.22, 1.35), (tip, 1.35)];
            board.shape(canvas, &points, BLACK);
            let points = [(tip, 1.35), (tip + side * 0.22, 1.35), (back + side * 0.22, 1.9), (back, 1.9)];
            board.shape(canvas, &points, BLACK);
        }
    }
}

fn street_lamp(canvas: &mut Canvas, board: &Board, lit: bool, side: Side) {
    board.rect(canvas, [-0.09, 0.0, 0.09, 6.0], POLE);
    let arm = -side.sign();
    board.rect(canvas, [(0.0f32).min(arm * 1.6), 5.9, (0.0f32).max(arm * 1.6), 6.05], POLE);
    let colour = if lit { [255.0, 224.0, 150.0] } else { POLE };
    board.glow_rect(canvas, [arm * 1.6 - 0.5, 5.6, arm * 1.6 + 0.5, 5.95], colour, lit);
}

fn overpass(canvas: &mut Canvas, board: &Board) {
    board.rect(canvas, [-22.0, 5.0, 22.0, 6.9], [120.0, 118.0, 114.0]);
    board.rect(canvas, [-22.0, 6.9, 22.0, 7.4], [84.0, 84.0, 84.0]);
    board.rect(canvas, [-9.4, 0.0, -8.0, 5.0], [104.0, 102.0, 98.0]);
    board.rect(canvas, [8.4, 0.0, 9.8, 5.0], [104.0, 102.0, 98.0]);
}

fn shelter(canvas: &mut Canvas, board: &Board) {
    board.rect(canvas, [-1.4, 0.0, -1.3, 2.5], BLACK);
    board.rect(canvas, [1.3, 0.0, 1.4, 2.5], BLACK);
    board.rect(canvas, [-1.3, 0.5, 1.3, 2.3], [150.0, 190.0, 214.0]);
    board.rect(canvas, [-1.7, 2.4, 1.7, 2.75], [20.0, 70.0, 180.0]);
}

fn machine(canvas: &mut Canvas, board: &Board) {
    let yellow = [250.0, 190.0, 0.0];
    board.rect(canvas, [-1.3, 0.0, 1.3, 0.6], BLACK);
    board.rect(canvas, [-1.2, 0.6, 1.2, 1.5], yellow);
    board.rect(canvas, [-1.1, 1.5, 0.0, 2.6], yellow);
    board.rect(canvas, [-0.95, 1.65, -0.2, 2.4], [60.0, 80.0, 96.0]);
    board.shape(canvas, &[(0.2, 1.4), (0.6, 1.4), (1.7, 3.6), (1.4, 3.8)], yellow);
    board.shape(canvas, &[(1.4, 3.8), (1.75, 3.7), (2.3, 1.7), (2.0, 1.6)], yellow);
    board.shape(canvas, &[(1.7, 1.7), (2.5, 1.7), (2.3, 1.0), (1.6, 1.2)], BLACK);
}

/// Which lamp is lit: 0 red, 1 yellow, 2 green.
pub(crate) fn lamp(scene: &Scene, t: f32) -> usize {
    match scene.light {
        Some(Light::Red) | None => 0,
        Some(Light::Green) => 2,
        Some(Light::TurnsGreen) => {
            if t < scene.light_at_s {
                0
            } else {
                2
            }
        }
        Some(Light::TurnsRed) if t < scene.light_at_s - 0.9 => 2,
        Some(Light::TurnsRed) => usize::from(t < scene.light_at_s),
    }
}

fn light(canvas: &mut Canvas, scene: &Scene, board: &Board, high: bool, t: f32) {
    let base = if high { 3.4 } else { 1.4 };
    let tall = 2.7;
    if high {
        board.rect(canvas, [0.0, base + tall - 0.5, 12.0, base + tall - 0.3], POLE);
    } else {
        board.rect(canvas, [-0.1, 0.0, 0.1, base], POLE);
    }
    board.rect(canvas, [-0.62, base - 0.08, 0.62, base + tall + 0.08], [236.0, 186.0, 20.0]);
    board.rect(canvas, [-0.52, base, 0.52, base + tall], BLACK);
    let lit = lamp(scene, t);
    let colours: [Rgb; 3] = [[255.0, 28.0, 24.0], [255.0, 210.0, 30.0], [30.0, 255.0, 110.0]];
    for (number, colour) in colours.into_iter().enumerate() {
        let y = base + tall - 0.45 - 0.9 * number as f32;
        let on = number == lit;
        let (radius, colour) = if on { (0.5, colour) } else { (0.34, colour.map(|c| 0.16 * c)) };
        board.disc(canvas, 0.0, y, radius, colour, on);
    }
}

fn sign(canvas: &mut Canvas, board: &Board, sign: Sign) {
    let red = [214.0, 18.0, 30.0];
    board.rect(canvas, [-0.08, 0.0, 0.08, 2.4], POLE);
    let middle = 2.75;
    let octagon = |radius: f32| -> Vec<(f32, f32)> {
        (0..8)
            .map(|n| {
                let (sin, cos) = ((n as f32 + 0.5) * std::f32::consts::FRAC_PI_4).sin_cos();
                (radius * cos, middle + radius * sin)
            })
            .collect()
    };
    match sign {
        Sign::Stop => {
            board.shape(canvas, &octagon(1.15), WHITE);
            board.shape(canvas, &octagon(1.05), red);
            write(canvas, board, "STOP", 0.0, middle, 1.7, WHITE);
        }
        Sign::Yield => {
            board.shape(canvas, &[(0.0, 1.5), (1.3, 3.7), (-1.3, 3.7)], red);
            board.shape(canvas, &[(0.0, 2.15), (0.8, 3.42), (-0.8, 3.42)], WHITE);
            write(canvas, board, "YIELD", 0.0, 3.15, 1.1, red);
        }
        Sign::Speed25 | Sign::Speed35 | Sign::Speed55 => {
            board.rect(canvas, [-0.95, 1.6, 0.95, 4.0], BLACK);
            board.rect(canvas, [-0.86, 1.69, 0.86, 3.91], WHITE);
            write(canvas, board, "SPEED", 0.0, 3.6, 1.4, BLACK);
            write(canvas, board, "LIMIT", 0.0, 3.1, 1.4, BLACK);
            let number = match sign {
                Sign::Speed25 => "25",
                Sign::Speed35 => "35",
                _ => "55",
            };
            write(canvas, board, number, 0.0, 2.3, 1.15, BLACK);
        }
        Sign::Work | Sign::School => {
            let colour = if sign == Sign::Work { ORANGE } else { [250.0, 226.0, 20.0] };
            board.shape(canvas, &[(0.0, 1.2), (1.6, 2.8), (0.0, 4.4), (-1.6, 2.8)], BLACK);
            board.shape(canvas, &[(0.0, 1.34), (1.46, 2.8), (0.0, 4.26), (-1.46, 2.8)], colour);
            write(canvas, board, if sign == Sign::Work { "WORK" } else { "SCHOOL" }, 0.0, 2.8, 2.0, BLACK);
        }
        Sign::Parking => {
            board.rect(canvas, [-0.95, 1.8, 0.95, 3.7], WHITE);
            board.rect(canvas, [-0.87, 1.88, 0.87, 3.62], [20.0, 70.0, 200.0]);
            write(canvas, board, "P", 0.0, middle, 0.75, WHITE);
        }
    }
}

/// Writes a line whose middle is at a place of the board, `wide` metres wide.
fn write(canvas: &mut Canvas, board: &Board, text: &str, x: f32, y: f32, wide: f32, colour: Rgb) {
    // Smaller than this, dots are noise.
    if canvas.eye.scale(board.ahead()) * wide < 7.0 {
        return;
    }
    let dot = wide / lettering::width(text);
    for [left, low, right, high] in lettering::runs(text) {
        let (from, down) = (x - wide / 2.0, y - 2.5 * dot);
        board.rect(canvas, [from + left * dot, down + low * dot, from + right * dot, down + high * dot], colour);
    }
}
