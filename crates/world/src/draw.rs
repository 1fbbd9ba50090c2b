//! Draws a scene: first the plot (what the ego vehicle does and why), then a road on which that can happen, then others.
//!
//! The plot comes first so that rare behaviour has the share it should have, and so that nothing has to be rejected:
//! whatever is drawn later fits what was drawn before.

use crate::cast;
use crate::dice::Dice;
use crate::scene::*;

/// What the ego vehicle does and why, in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plot {
    Cruise,
    Slow,
    SpeedUp,
    TurnLeft,
    TurnRight,
    LaneLeft,
    LaneRight,
    Nudge,
    StopLight,
    WaitLight,
    StartLight,
    StopSign,
    Paddle,
    StopLead,
    StopPeople,
}

const FLEET_PLOTS: &[(Plot, u32)] = &[
    (Plot::Cruise, 10),
    (Plot::Slow, 9),
    (Plot::SpeedUp, 4),
    (Plot::TurnLeft, 9),
    (Plot::TurnRight, 9),
    (Plot::LaneLeft, 19),
    (Plot::LaneRight, 19),
    (Plot::Nudge, 18),
    (Plot::StopLight, 11),
    (Plot::WaitLight, 15),
    (Plot::StartLight, 15),
    (Plot::StopSign, 5),
    (Plot::Paddle, 4),
    (Plot::StopLead, 13),
    (Plot::StopPeople, 6),
];

const GENERAL_PLOTS: &[(Plot, u32)] = &[
    (Plot::Cruise, 30),
    (Plot::Slow, 8),
    (Plot::SpeedUp, 7),
    (Plot::TurnLeft, 7),
    (Plot::TurnRight, 7),
    (Plot::LaneLeft, 6),
    (Plot::LaneRight, 6),
    (Plot::Nudge, 4),
    (Plot::StopLight, 7),
    (Plot::WaitLight, 5),
    (Plot::StartLight, 5),
    (Plot::StopSign, 4),
    (Plot::Paddle, 2),
    (Plot::StopLead, 8),
    (Plot::StopPeople, 4),
];

impl Scene {
    /// The scene of a seed: the same seed and domain always give the same scene.
    pub fn draw(seed: u64, domain: Domain) -> Self {
        let mut dice = Dice::new(seed ^ if domain == Domain::Fleet { 0x0f1e_e700 } else { 0 });
        let fleet = domain == Domain::Fleet;
        let plot = dice.pick(if fleet { FLEET_PLOTS } else { GENERAL_PLOTS });
        let mut scene = blank(seed, domain);
        place(&mut scene, plot, &mut dice);
        sky(&mut scene, fleet, &mut dice);
        junction(&mut scene, plot, &mut dice);
        ego(&mut scene, plot, &mut dice);
        control(&mut scene, plot, &mut dice);
        cast::people(&mut scene, plot, fleet, &mut dice);
        zone(&mut scene, plot, fleet, &mut dice);
        cast::lead(&mut scene, plot, &mut dice);
        cast::others(&mut scene, plot, fleet, &mut dice);
        cast::special_vehicles(&mut scene, plot, fleet, &mut dice);
        structures(&mut scene, fleet, &mut dice);
        scene
    }
}

fn blank(seed: u64, domain: Domain) -> Scene {
    Scene {
        seed,
        domain,
        road: Road::Urban,
        lanes: 1,
        ego_lane: 0,
        land: Land::Open,
        buildings: Sides::None,
        structure: Structure::None,
        bend: Bend::Straight,
        time: Time::Day,
        weather: Weather::Clear,
        surface: Surface::Dry,
        junction: Junction::None,
        crosswalk: false,
        light: None,
        light_at_s: 0.0,
        sign: None,
        zone: Zone::None,
        construction: None,
        hazard: Hazard::None,
        parked: Sides::None,
        kerb: Kerb::None,
        kerb_vehicle: None,
        lead: None,
        oncoming: Vec::new(),
        density: Density::None,
        neighbour: None,
        crosser: None,
        people: None,
        cyclist: Cyclist::None,
        ego: Ego {
            path: Path::Straight,
            path_at_s: 0.0,
            speed: Speed::Steady,
            speed_at_s: 0.0,
            reason: Reason::None,
            too_close: false,
        },
    }
}

/// Road, lanes, land.
fn place(scene: &mut Scene, plot: Plot, dice: &mut Dice) {
    use Road::*;
    scene.road = match plot {
        Plot::StopLight | Plot::WaitLight | Plot::StartLight => {
            dice.pick(&[(Urban, 70), (Residential, 20), (Rural, 10)])
        }
        Plot::TurnLeft | Plot::TurnRight | Plot::StopSign => dice.pick(&[(Urban, 40), (Residential, 35), (Rural, 25)]),
        Plot::LaneLeft | Plot::LaneRight => dice.pick(&[(Urban, 45), (Highway, 55)]),
        Plot::Nudge | Plot::StopPeople => dice.pick(&[(Urban, 55), (Residential, 45)]),
        Plot::Paddle => dice.pick(&[(Urban, 40), (Residential, 30), (Rural, 30)]),
        _ => dice.pick(&[(Urban, 27), (Residential, 18), (Highway, 33), (Rural, 22)]),
    };
    scene.lanes = match scene.road {
        Urban => dice.pick(&[(1, 25), (2, 40), (3, 35)]),
        Residential => dice.pick(&[(1, 75), (2, 25)]),
        Highway => dice.pick(&[(2, 25), (3, 38), (4, 37)]),
        Rural => dice.pick(&[(1, 70), (2, 30)]),
    };
    if matches!(plot, Plot::LaneLeft | Plot::LaneRight) {
        scene.lanes = scene.lanes.max(2);
    }
    let right = scene.lanes - 1;
    scene.ego_lane = match plot {
        Plot::TurnLeft if scene.lanes > 2 => {
            scene.lanes = 2;
            0
        }
        Plot::TurnLeft => 0,
        Plot::LaneLeft | Plot::TurnRight | Plot::Nudge => right,
        Plot::LaneRight => right - 1,
        _ => right - u8::from(right > 0 && dice.chance(45)),
    };
    scene.land = match scene.road {
        Urban => dice.pick(&[(Land::Commercial, 78), (Land::Industry, 22)]),
        Residential => dice.pick(&[(Land::Homes, 88), (Land::Commercial, 12)]),
        Highway => dice.pick(&[(Land::Open, 50), (Land::Industry, 35), (Land::Commercial, 15)]),
        Rural => dice.pick(&[(Land::Open, 88), (Land::Homes, 12)]),
    };
    if scene.land != Land::Open {
        scene.buildings = dice.pick(&[(Sides::Both, 58), (Sides::Left, 20), (Sides::Right, 22)]);
    }
}

/// Time, weather, surface.
fn sky(scene: &mut Scene, fleet: bool, dice: &mut Dice) {
    let dark = match scene.road {
        Road::Urban | Road::Residential => 15,
        Road::Highway => 50,
        Road::Rural => 85,
    };
    scene.time = match dice.pick(if fleet { &[(0, 48), (1, 17), (2, 35)] } else { &[(0, 70), (1, 12), (2, 18)] }) {
        0 => Time::Day,
        1 => Time::Dusk,
        _ if dice.chance(dark) => Time::NightDark,
        _ => Time::NightLit,
    };
    use Weather::*;
    scene.weather = match (fleet, scene.time.is_night()) {
        (false, _) => dice.pick(&[(Clear, 50), (Cloudy, 25), (Rain, 15), (Fog, 10)]),
        (true, false) => dice.pick(&[(Clear, 33), (Cloudy, 27), (Rain, 24), (Fog, 16)]),
        (true, true) => dice.pick(&[(Clear, 42), (Cloudy, 30), (Rain, 18), (Fog, 10)]),
    };
    let unpaved = if scene.road == Road::Rural && scene.lanes == 1 { 45 } else { 0 };
    scene.surface = match scene.weather {
        Rain => Surface::Wet,
        _ if dice.chance(unpaved) => Surface::Unpaved,
        _ => dice.pick(&[(Surface::Dry, 68), (Surface::Wet, 10), (Surface::Patched, 22)]),
    };
}

/// Junction and bend.
fn junction(scene: &mut Scene, plot: Plot, dice: &mut Dice) {
    use Junction::{FourWay, None, Ramp, Tee};
    scene.junction = match plot {
        Plot::TurnLeft | Plot::TurnRight => dice.pick(&[(FourWay, 58), (Tee, 42)]),
        Plot::StopSign => dice.pick(&[(FourWay, 65), (Tee, 35)]),
        Plot::StopLight | Plot::WaitLight | Plot::StartLight => dice.pick(&[(FourWay, 85), (None, 15)]),
        Plot::StopPeople => dice.pick(&[(FourWay, 30), (None, 70)]),
        Plot::Nudge | Plot::Paddle | Plot::LaneLeft | Plot::LaneRight | Plot::StopLead => match scene.road {
            Road::Highway => dice.pick(&[(Ramp, 55), (None, 45)]),
            _ => None,
        },
        _ => match scene.road {
            Road::Highway => dice.pick(&[(Ramp, 55), (None, 45)]),
            Road::Rural => dice.pick(&[(FourWay, 25), (None, 75)]),
            _ => dice.pick(&[(FourWay, 60), (None, 40)]),
        },
    };
    if scene.junction == None
        && !matches!(plot, Plot::StopLight | Plot::WaitLight | Plot::StartLight)
        && dice.chance(68)
    {
        scene.bend = dice.pick(&[(Bend::Left, 50), (Bend::Right, 50)]);
    }
}

fn ego(scene: &mut Scene, plot: Plot, dice: &mut Dice) {
    let ego = &mut scene.ego;
    (ego.path, ego.speed, ego.reason) = match plot {
        Plot::Cruise => (Path::Straight, Speed::Steady, Reason::None),
        Plot::Slow => (Path::Straight, Speed::Slows, Reason::Lead),
        Plot::SpeedUp => (Path::Straight, Speed::SpeedsUp, Reason::None),
        Plot::TurnLeft => (Path::TurnLeft, Speed::Slows, Reason::Turn),
        Plot::TurnRight => (Path::TurnRight, Speed::Slows, Reason::Turn),
        Plot::LaneLeft => (Path::LaneLeft, Speed::Steady, Reason::None),
        Plot::LaneRight => (Path::LaneRight, Speed::Steady, Reason::None),
        Plot::Nudge => (Path::Nudge, Speed::Steady, Reason::None),
        Plot::StopLight => (Path::Straight, Speed::Stops, Reason::Light),
        Plot::WaitLight => (Path::Straight, Speed::Waits, Reason::Light),
        Plot::StartLight => (Path::Straight, Speed::Starts, Reason::Light),
        Plot::StopSign if scene.junction == Junction::Tee => (Path::Straight, Speed::Stops, Reason::Sign),
        Plot::StopSign => (Path::Straight, Speed::StopsAndGoes, Reason::Sign),
        Plot::Paddle => (Path::Straight, dice.pick(&[(Speed::Stops, 80), (Speed::StopsAndGoes, 20)]), Reason::Paddle),
        Plot::StopLead => (Path::Straight, dice.pick(&[(Speed::Stops, 75), (Speed::StopsAndGoes, 25)]), Reason::Lead),
        Plot::StopPeople => {
            (Path::Straight, dice.pick(&[(Speed::Stops, 75), (Speed::StopsAndGoes, 25)]), Reason::People)
        }
    };
    ego.path_at_s = match ego.path {
        Path::Straight => 0.0,
        Path::TurnLeft | Path::TurnRight => dice.seconds(5.2, 6.2),
        Path::LaneLeft | Path::LaneRight => dice.seconds(2.5, 5.0),
        Path::Nudge => dice.seconds(3.0, 4.5),
    };
    ego.speed_at_s = match ego.speed {
        Speed::Steady | Speed::Waits => 0.0,
        Speed::Slows if ego.path.turns() => ego.path_at_s - 2.5,
        Speed::Slows | Speed::SpeedsUp | Speed::Starts => dice.seconds(2.0, 4.5),
        Speed::Stops => dice.seconds(2.0, 4.0),
        Speed::StopsAndGoes => dice.seconds(1.0, 2.2),
    };
}

/// Light, sign at the junction, flagger.
fn control(scene: &mut Scene, plot: Plot, dice: &mut Dice) {
    match plot {
        Plot::StopLight => scene.light = Some(dice.pick(&[(Light::Red, 50), (Light::TurnsRed, 50)])),
        Plot::WaitLight => scene.light = Some(Light::Red),
        Plot::StartLight => scene.light = Some(Light::TurnsGreen),
        Plot::StopSign => scene.sign = Some(Sign::Stop),
        Plot::TurnLeft | Plot::TurnRight => match dice.pick(&[(0, 55), (1, 27), (2, 18)]) {
            0 => scene.light = Some(dice.pick(&[(Light::Green, 55), (Light::TurnsGreen, 45)])),
            1 => scene.sign = Some(Sign::Yield),
            _ => {}
        },
        Plot::Nudge | Plot::StopPeople | Plot::Paddle => {}
        _ if matches!(scene.junction, Junction::FourWay) && dice.chance(90) => scene.light = Some(Light::Green),
        // Lights also stand at crossings between junctions and meter the flow of ramps.
        _ if scene.junction == Junction::None && scene.road != Road::Rural && dice.chance(25) => {
            scene.light = Some(Light::Green);
        }
        _ => {}
    }
    // Before the turn and before the ego vehicle goes.
    scene.light_at_s = match scene.light {
        Some(Light::TurnsGreen) if scene.ego.path.turns() => scene.ego.speed_at_s + 0.5,
        Some(Light::TurnsGreen) => scene.ego.speed_at_s - 0.6,
        Some(Light::TurnsRed) => scene.ego.speed_at_s - 0.4,
        _ => 0.0,
    };
}

/// Zone, construction, signs away from junctions, hazard.
fn zone(scene: &mut Scene, plot: Plot, fleet: bool, dice: &mut Dice) {
    let signed = scene.sign.is_some();
    let calm = matches!(scene.road, Road::Urban | Road::Residential) && !signed;
    let works = if fleet { 40 } else { 24 };
    let zones = [(Zone::Construction, works), (Zone::School, 12), (Zone::Parking, 12), (Zone::None, 100 - works - 24)];
    scene.zone = match dice.pick(&zones) {
        _ if plot == Plot::Paddle => Zone::Construction,
        Zone::School | Zone::Parking if !calm && fleet && dice.chance(50) => Zone::Construction,
        Zone::School | Zone::Parking if !calm => Zone::None,
        zone => zone,
    };
    match scene.zone {
        Zone::School => scene.sign = Some(Sign::School),
        Zone::Parking => scene.sign = Some(Sign::Parking),
        Zone::None | Zone::Construction => {}
    }
    if scene.zone == Zone::Construction {
        let workers = dice.pick(&[(None, 6), (Some(WorkerAct::Stands), 47), (Some(WorkerAct::Works), 47)]);
        let may_direct = scene.light.is_none() && scene.sign.is_none() && plot != Plot::StopPeople;
        let directs = plot == Plot::Paddle || may_direct && plot == Plot::Slow;
        scene.construction = Some(Construction {
            objects: dice.pick(&[(WorkObjects::Cones, 34), (WorkObjects::Barriers, 36), (WorkObjects::Machine, 30)]),
            workers: if directs { Some(WorkerAct::Directs) } else { workers },
            side: Side::Left,
        });
        if scene.sign.is_none() && dice.chance(22) {
            scene.sign = Some(Sign::Work);
        }
    }
    let stopping = matches!(plot, Plot::Paddle | Plot::StopPeople);
    if scene.sign.is_none() && !stopping && dice.chance(if fleet { 66 } else { 40 }) {
        let low = [(Sign::Speed25, 60), (Sign::Speed35, 40)];
        let high = [(Sign::Speed35, 30), (Sign::Speed55, 70)];
        let calm = matches!(scene.road, Road::Urban | Road::Residential);
        scene.sign = Some(if scene.junction == Junction::FourWay && scene.light.is_none() {
            dice.pick(&[(Sign::Yield, 1)])
        } else {
            dice.pick(if calm { &low } else { &high })
        });
    }
    if dice.chance(if fleet { 45 } else { 30 }) {
        scene.hazard = dice.pick(&[(Hazard::Debris, 36), (Hazard::Pothole, 34), (Hazard::Water, 30)]);
    }
}

/// Bridge, wall or rail; the side of the construction.
fn structures(scene: &mut Scene, fleet: bool, dice: &mut Dice) {
    let left_people = scene.people.is_some_and(|people| people.side == Side::Left && !people.crosses());
    let right_busy = scene.kerb != Kerb::None || scene.parked.right();
    let strip = !left_people && scene.cyclist != Cyclist::Left && scene.junction != Junction::Tee;
    if let Some(construction) = scene.construction.as_mut() {
        let right = !right_busy && scene.people.is_none_or(|people| people.side == Side::Left || people.crosses());
        construction.side = if right || !strip { Side::Right } else { Side::Left };
    }
    let center_free = strip && scene.construction.is_none_or(|c| c.side == Side::Right);
    let through = matches!(scene.junction, Junction::None | Junction::Ramp);
    let right_free = !right_busy && through && scene.construction.is_none_or(|c| c.side == Side::Left);
    let share = if fleet { 1 } else { 0 };
    scene.structure = dice.pick(&[
        (Structure::None, 30),
        (Structure::Overpass, (24 + 10 * share) * u32::from(through && scene.light.is_none())),
        (Structure::MedianBarrier, 30 * u32::from(center_free)),
        (Structure::Guardrail, 44 * u32::from(right_free)),
    ]);
}
