//! Where everything is at a moment: metres from where the camera was at the start, x to the right, z ahead.

use crate::scene::*;
use std::f32::consts::FRAC_PI_2;

/// How long a turn takes, in seconds.
const TURN_S: f32 = 3.2;
/// How long a lane change takes, in seconds.
const LANE_CHANGE_S: f32 = 2.6;
/// Sideways way around an obstacle, in metres.
const NUDGE_M: f32 = 1.4;
/// Half the width of the crossing road, in metres.
pub(crate) const CROSS_HALF_M: f32 = 4.2;
/// Speed of a lead vehicle that goes its own way, in metres per second.
const LEAD_M_S: f32 = 4.5;

/// Speed of the ego vehicle over time: points (second, metres per second), straight lines between.
pub(crate) struct Profile(Vec<(f32, f32)>);

impl Profile {
    /// The profile of a scene.
    pub(crate) fn of(scene: &Scene) -> Self {
        // Slower than real traffic, so that what stands beside the road is seen in more than one of a few frames.
        let v = match scene.road {
            Road::Urban => 4.5,
            Road::Residential => 4.0,
            Road::Highway => 7.5,
            Road::Rural => 5.5,
        };
        let at = scene.ego.speed_at_s;
        Self(match scene.ego.speed {
            Speed::Steady => vec![(0.0, v)],
            Speed::Slows if scene.ego.path.turns() => vec![(at, v), (at + 2.3, 0.55 * v)],
            Speed::Slows => vec![(at, v), (at + 3.0, 0.3 * v)],
            Speed::SpeedsUp => vec![(at, 0.4 * v), (at + 3.0, 1.3 * v)],
            Speed::Stops => vec![(at, v), (at + 3.0, 0.0)],
            Speed::StopsAndGoes => vec![(at, v), (at + 2.5, 0.0), (at + 4.3, 0.0), (at + 6.3, v)],
            Speed::Starts => vec![(at, 0.0), (at + 2.5, v)],
            Speed::Waits => vec![(0.0, 0.0)],
        })
    }

    /// Speed at a second, in metres per second.
    pub(crate) fn speed(&self, t: f32) -> f32 {
        let mut before = (0.0, self.0[0].1);
        for &(at, v) in &self.0 {
            if t < at {
                return before.1 + (v - before.1) * (t - before.0) / (at - before.0);
            }
            before = (at, v);
        }
        before.1
    }

    /// Way driven until a second, in metres.
    pub(crate) fn way(&self, t: f32) -> f32 {
        let mut before = (0.0, self.0[0].1);
        let mut way = 0.0;
        for &(at, v) in &self.0 {
            if t < at {
                break;
            }
            way += (at - before.0) * (before.1 + v) / 2.0;
            before = (at, v);
        }
        way + (t - before.0) * (before.1 + self.speed(t)) / 2.0
    }
}

/// Place and direction; yaw is in radians to the right of straight ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pose {
    pub(crate) x: f32,
    pub(crate) z: f32,
    pub(crate) yaw: f32,
}

/// 0 before, 1 after, smooth between.
pub(crate) fn ease(t: f32, from: f32, seconds: f32) -> f32 {
    let part = ((t - from) / seconds).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}

/// Where the camera is.
pub(crate) fn camera(scene: &Scene, profile: &Profile, t: f32) -> Pose {
    let ego = &scene.ego;
    let way = profile.way(t);
    match ego.path {
        Path::Straight => Pose { x: 0.0, z: way, yaw: 0.0 },
        Path::LaneLeft => Pose { x: -LANE_M * ease(t, ego.path_at_s, LANE_CHANGE_S), z: way, yaw: 0.0 },
        Path::LaneRight => Pose { x: LANE_M * ease(t, ego.path_at_s, LANE_CHANGE_S), z: way, yaw: 0.0 },
        Path::Nudge => {
            let out = ease(t, ego.path_at_s, 1.3) - ease(t, ego.path_at_s + 3.0, 1.3);
            Pose { x: -NUDGE_M * out, z: way, yaw: 0.0 }
        }
        Path::TurnLeft => arc(-1.0, way, profile.way(ego.path_at_s), turn_radius(scene, profile)),
        Path::TurnRight => arc(1.0, way, profile.way(ego.path_at_s), turn_radius(scene, profile)),
    }
}

fn turn_radius(scene: &Scene, profile: &Profile) -> f32 {
    profile.speed(scene.ego.path_at_s + 0.5) * TURN_S / FRAC_PI_2
}

/// Straight to `start`, a quarter circle, straight on.
fn arc(side: f32, way: f32, start: f32, radius: f32) -> Pose {
    let along = ((way - start) / radius).clamp(0.0, FRAC_PI_2);
    let rest = (way - start - radius * FRAC_PI_2).max(0.0);
    Pose {
        x: side * (radius * (1.0 - along.cos()) + rest),
        z: way.min(start) + radius * along.sin(),
        yaw: side * along,
    }
}

/// What stands where: all of it follows from the scene.
pub(crate) struct Layout {
    /// Left and right end of the lanes that lead ahead.
    pub(crate) own: (f32, f32),
    /// Left and right end of the lanes that come back; empty on a road without.
    pub(crate) back: (f32, f32),
    /// Middle of the junction, or of what stands in for one at a lonely crosswalk or light.
    pub(crate) junction_z: f32,
    /// Whether a road crosses there.
    pub(crate) crosses: bool,
    /// Middle of the crosswalk.
    pub(crate) crosswalk_z: f32,
    /// Place where a thing at the roadside is seen well.
    pub(crate) key_z: f32,
    /// Place of the vehicle at the right edge.
    pub(crate) kerb_z: f32,
    /// Whole way of the ego vehicle.
    pub(crate) way: f32,
    /// Whether the ego vehicle stands at the start or the end.
    pub(crate) stands: bool,
}

impl Layout {
    pub(crate) fn of(scene: &Scene, profile: &Profile) -> Self {
        let left = -(f32::from(scene.ego_lane) + 0.5) * LANE_M;
        let right = left + f32::from(scene.lanes) * LANE_M;
        let wide =
            scene.structure == Structure::MedianBarrier || scene.construction.is_some_and(|c| c.side == Side::Left);
        let gap = if wide { 2.2 } else { 0.3 };
        let back_lanes = if scene.lanes > 2 { 2.0 } else { 1.0 };
        let way = profile.way(CLIP_S);
        let stands = matches!(scene.ego.speed, Speed::Waits | Speed::Stops);
        let lead_stands = scene.lead.is_some_and(|lead| lead.act == LeadAct::Stops || lead.act.turns());
        let front = if lead_stands { 23.0 } else { 13.5 };
        let at = scene.ego.speed_at_s;
        let junction_z = match (scene.ego.path, scene.ego.speed) {
            (Path::TurnLeft, _) => profile.way(scene.ego.path_at_s) + turn_radius(scene, profile) - 1.6,
            (Path::TurnRight, _) => profile.way(scene.ego.path_at_s) + turn_radius(scene, profile) + 1.6,
            (_, Speed::Stops) => way + front,
            (_, Speed::StopsAndGoes) => profile.way(at + 2.5) + front,
            (_, Speed::Starts | Speed::Waits) => front,
            _ => 0.58 * way + 10.0,
        };
        let kerb_z = match scene.ego.path {
            Path::Nudge => profile.way(scene.ego.path_at_s + 2.2),
            _ if stands => way + 13.0,
            _ => 0.6 * way + 6.0,
        };
        let crosses = matches!(scene.junction, Junction::FourWay | Junction::Tee);
        // Near enough to be large, far enough to be in the picture, and not in the middle of a junction.
        let key_z = match 0.55 * way + 8.0 {
            _ if scene.ego.path.turns() => profile.way(scene.ego.path_at_s) + 1.5,
            _ if stands && crosses && !lead_stands => junction_z + CROSS_HALF_M + 1.3,
            _ if stands => way + (1.75 * (right + 3.4)).clamp(11.0, 15.0),
            z if crosses && (z - junction_z).abs() < 6.5 => junction_z - 8.0,
            z => z,
        };
        // Nobody stands in the junction, or where the ego vehicle turns.
        let kerb_z = match kerb_z {
            z if !crosses || (z - junction_z).abs() > 13.0 => z,
            _ if junction_z > 27.0 || scene.junction == Junction::Tee => junction_z - 11.0,
            _ => junction_z + 13.0,
        };
        Self {
            own: (left, right),
            back: (left - gap - back_lanes * LANE_M, left - gap),
            junction_z,
            crosses,
            crosswalk_z: junction_z - CROSS_HALF_M - 3.0,
            key_z,
            kerb_z,
            way,
            stands: stands || scene.ego.speed == Speed::Starts,
        }
    }

    /// Left and right end of everything that is paved for driving.
    pub(crate) fn edges(&self) -> (f32, f32) {
        (self.back.0, self.own.1)
    }
}

/// What a vehicle is in the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Lead,
    Neighbour,
    Oncoming,
    Crosser,
    Kerb,
    Parked,
}

/// A vehicle at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    pub(crate) vehicle: Vehicle,
    /// Of its middle.
    pub(crate) pose: Pose,
    pub(crate) brakes: bool,
    /// Whether beacons or warning lights flash.
    pub(crate) flashes: bool,
}

/// Length, width, height in metres.
pub(crate) fn size(kind: Kind) -> (f32, f32, f32) {
    match kind {
        Kind::Car | Kind::Taxi | Kind::Police => (4.2, 1.8, 1.45),
        Kind::Suv => (4.4, 1.9, 1.75),
        Kind::Van => (5.0, 2.0, 2.3),
        Kind::Ambulance => (5.4, 2.1, 2.5),
        Kind::Truck => (7.0, 2.4, 3.3),
        Kind::FireTruck => (7.0, 2.4, 2.9),
        Kind::Bus => (9.0, 2.5, 3.1),
    }
}

/// All vehicles but the ego vehicle, at a moment.
pub(crate) fn vehicles(scene: &Scene, profile: &Profile, layout: &Layout, t: f32) -> Vec<Actor> {
    let mut all = Vec::new();
    if let Some(lead) = &scene.lead {
        all.push(lead_actor(scene, lead, profile, layout, t));
    }
    let still = |role, vehicle, pose| Actor { role, vehicle, pose, brakes: false, flashes: false };
    let way = profile.way(t);
    if let Some((side, vehicle)) = scene.neighbour {
        let half = size(vehicle.kind).0 / 2.0;
        let pose = Pose { x: side.sign() * LANE_M, z: way + 7.5 + half, yaw: 0.0 };
        all.push(Actor { brakes: profile.speed(t) < 0.2, ..still(Role::Neighbour, vehicle, pose) });
    }
    for (number, vehicle) in scene.oncoming.iter().enumerate() {
        let z = match scene.ego.path {
            _ if scene.junction == Junction::Tee => layout.junction_z - 6.0 + 6.0 * number as f32 - 1.5 * t,
            // They let the ego vehicle turn.
            Path::TurnLeft => layout.junction_z + 10.0 + 9.0 * number as f32 + (8.0 - 2.5 * t).max(0.0),
            // Seen before it leaves the picture on the left, however many lanes lie between.
            _ => 22.0 + 1.8 * (layout.back.1 - LANE_M / 2.0).abs() + 20.0 * number as f32 - 2.5 * t,
        };
        if scene.junction == Junction::Tee && z > layout.junction_z - CROSS_HALF_M {
            // It has not come round the corner yet.
            continue;
        }
        let pose = Pose { x: layout.back.1 - LANE_M / 2.0, z, yaw: 2.0 * FRAC_PI_2 };
        let emergency = matches!(vehicle.kind, Kind::Police | Kind::Ambulance | Kind::FireTruck);
        all.push(Actor { flashes: emergency, ..still(Role::Oncoming, *vehicle, pose) });
    }
    if let Some(crosser) = &scene.crosser {
        let ahead = -crosser.from.sign();
        let z = layout.junction_z - 1.7 * ahead;
        let pose = Pose { x: ahead * 5.0 * (t - crosser.at_s), z, yaw: ahead * FRAC_PI_2 };
        all.push(still(Role::Crosser, crosser.vehicle, pose));
    }
    if let Some(vehicle) = scene.kerb_vehicle {
        let out = match scene.kerb {
            Kerb::DoubleParked if scene.ego.path == Path::Nudge => -0.5,
            Kerb::DoubleParked => 0.1,
            _ => 1.3,
        };
        let pose = Pose { x: layout.own.1 + out, z: layout.kerb_z, yaw: 0.0 };
        let flashes = matches!(scene.kerb, Kerb::DoubleParked | Kerb::Emergency);
        all.push(Actor { flashes, ..still(Role::Kerb, vehicle, pose) });
    }
    all.extend(parked(scene, layout));
    all
}

fn parked(scene: &Scene, layout: &Layout) -> Vec<Actor> {
    let edges = layout.edges();
    let mut all = Vec::new();
    for number in 0..((layout.way + 50.0) / 9.0) as u64 {
        let z = 15.5 + 9.0 * number as f32;
        let past_end = scene.junction == Junction::Tee && z > layout.junction_z;
        if past_end || layout.crosses && (z - layout.junction_z).abs() < 6.6 {
            continue;
        }
        let pick = (scene.seed ^ (number * 0x9e37)) as usize;
        for (side, x) in [(Side::Left, edges.0 - 1.2), (Side::Right, edges.1 + 1.2)] {
            let here = if side == Side::Left { scene.parked.left() } else { scene.parked.right() };
            let taken = side == Side::Right && scene.kerb_vehicle.is_some() && (z - layout.kerb_z).abs() < 8.0;
            let taken = taken && scene.kerb != Kerb::DoubleParked;
            if !here || taken {
                continue;
            }
            let colour = Colour::ALL[(pick + usize::from(side == Side::Left) * 3) % Colour::ALL.len()];
            let kind = if pick.is_multiple_of(3) { Kind::Suv } else { Kind::Car };
            let pose = Pose { x, z, yaw: 0.0 };
            all.push(Actor {
                role: Role::Parked,
                vehicle: Vehicle { kind, colour },
                pose,
                brakes: false,
                flashes: false,
            });
        }
    }
    all
}

/// Way of a lead vehicle that turns off, before its turn.
fn own_way(scene: &Scene, profile: &Profile, t: f32) -> f32 {
    if matches!(scene.ego.speed, Speed::Starts | Speed::Waits) {
        // It stands at the light, then goes before the ego vehicle does.
        return 7.0 + LEAD_M_S * (t - (scene.ego.speed_at_s - 1.0)).max(0.0);
    }
    (12.0 + profile.way(t)).max(12.0 + LEAD_M_S * t)
}

/// When a lead vehicle that turns off reaches the junction, in seconds; none if it does not within the clip.
pub(crate) fn lead_turn_s(scene: &Scene, profile: &Profile) -> Option<f32> {
    let end = Layout::of(scene, profile).junction_z - 4.5;
    (0..100).map(|tenth| tenth as f32 / 10.0).find(|t| own_way(scene, profile, *t) + 2.0 >= end)
}

fn lead_actor(scene: &Scene, lead: &Lead, profile: &Profile, layout: &Layout, t: f32) -> Actor {
    let half = size(lead.vehicle.kind).0 / 2.0;
    let way = profile.way(t);
    let at = lead.at_s;
    let mut brakes = false;
    let mut pose = Pose { x: 0.0, z: 0.0, yaw: 0.0 };
    let gap = match lead.act {
        LeadAct::Steady => {
            if scene.ego.too_close {
                5.5
            } else {
                11.5
            }
        }
        LeadAct::Slows => {
            brakes = t >= at && t < at + 3.5;
            14.0 - 5.0 * ease(t, at, 3.0)
        }
        LeadAct::Stops => {
            let again = if scene.ego.speed == Speed::StopsAndGoes { scene.ego.speed_at_s + 3.6 } else { CLIP_S + 9.0 };
            brakes = t >= at && t < again;
            let stand = if scene.ego.speed == Speed::Waits { 1.0 } else { ease(t, at, 3.0) };
            14.0 - 7.0 * stand + 6.0 * ease(t, again, 3.0)
        }
        LeadAct::LeavesLeft | LeadAct::LeavesRight => {
            let side = if lead.act == LeadAct::LeavesLeft { -1.0 } else { 1.0 };
            pose.x = side * LANE_M * ease(t, at, LANE_CHANGE_S);
            11.0 + 2.0 * (t - at - 2.0).max(0.0)
        }
        LeadAct::CutsInLeft | LeadAct::CutsInRight => {
            let side = if lead.act == LeadAct::CutsInLeft { -1.0 } else { 1.0 };
            pose.x = side * LANE_M * (1.0 - ease(t, at, LANE_CHANGE_S));
            7.5 + 0.4 * t
        }
        LeadAct::TurnsLeft | LeadAct::TurnsRight => {
            let side = if lead.act == LeadAct::TurnsLeft { -1.0 } else { 1.0 };
            let reach = own_way(scene, profile, t.min(at));
            let radius = (layout.junction_z - (reach + half) - 1.7 * side).max(3.0);
            let pose = arc(side, (t - at).max(0.0) * LEAD_M_S, 0.0, radius);
            let pose = Pose { z: reach + half + pose.z, ..pose };
            let brakes = t < at && t > at - 1.5;
            return Actor { role: Role::Lead, vehicle: lead.vehicle, pose, brakes, flashes: false };
        }
    };
    pose.z = way + gap + half;
    Actor { role: Role::Lead, vehicle: lead.vehicle, pose, brakes, flashes: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_is_the_integral_of_speed() {
        for seed in 0..60 {
            let profile = Profile::of(&Scene::draw(seed, Domain::Fleet));
            let mut way = 0.0;
            for step in 0..1000 {
                way += profile.speed(step as f32 * 0.01 + 0.005) * 0.01;
            }
            assert!((way - profile.way(CLIP_S)).abs() < 0.05, "seed {seed}: {way} and {}", profile.way(CLIP_S));
        }
    }

    #[test]
    fn nobody_drives_through_the_vehicle_ahead() {
        for seed in 0..400 {
            let scene = Scene::draw(seed, Domain::Fleet);
            let profile = Profile::of(&scene);
            let layout = Layout::of(&scene, &profile);
            for tenth in 0..100 {
                let t = tenth as f32 / 10.0;
                let camera = camera(&scene, &profile, t);
                for actor in vehicles(&scene, &profile, &layout, t).iter().filter(|a| a.role == Role::Lead) {
                    let (dx, dz) = (actor.pose.x - camera.x, actor.pose.z - camera.z);
                    let near = dx.abs() < 1.6 && dz.abs() < size(actor.vehicle.kind).0 / 2.0 + 2.0;
                    assert!(!near, "seed {seed} at {t} s: {dx} {dz} {:?} {:?}", scene.lead, scene.ego);
                }
            }
        }
    }
}
