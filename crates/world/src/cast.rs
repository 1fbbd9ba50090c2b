//! Draws who else is on the road: people, the lead vehicle, other traffic, special vehicles.

use crate::dice::Dice;
use crate::draw::Plot;
use crate::motion::{self, Profile};
use crate::scene::*;

/// People on foot and their crosswalk.
pub(crate) fn people(scene: &mut Scene, plot: Plot, fleet: bool, dice: &mut Dice) {
    use PeopleAct::*;
    let crossing = [(CrossFromLeft, 50), (CrossFromRight, 50)];
    let standing = matches!(scene.ego.speed, Speed::Waits | Speed::Stops);
    let present = match (scene.road, fleet) {
        (Road::Highway, true) => 35,
        (_, true) => 66,
        (Road::Highway, false) => 20,
        (_, false) => 55,
    };
    let act = match plot {
        Plot::StopPeople => Some(dice.pick(&crossing)),
        Plot::StopLight | Plot::WaitLight if dice.chance(55) => Some(dice.pick(&crossing)),
        Plot::StopSign if standing && dice.chance(50) => Some(dice.pick(&crossing)),
        _ if dice.chance(present) => Some(dice.pick(&[(Walk, 45), (Wait, 55)])),
        _ => None,
    };
    let Some(act) = act else {
        scene.crosswalk = scene.junction != Junction::None && scene.junction != Junction::Ramp && dice.chance(60);
        return;
    };
    let near_left = scene.lanes <= 2 && scene.ego_lane == 0;
    let side = match act {
        CrossFromLeft => Side::Left,
        CrossFromRight => Side::Right,
        _ if near_left && dice.chance(72) => Side::Left,
        _ => Side::Right,
    };
    use Group::*;
    let group =
        dice.pick(&[(Adult, 22), (Child, 15), (TwoAdults, 20), (AdultChild, 15), (ThreeAdults, 14), (Family, 14)]);
    let umbrella = if scene.weather == Weather::Rain { 90 } else { 8 };
    let carried = dice.pick(&[(Carried::Nothing, 50), (Carried::Bag, 40), (Carried::Umbrella, umbrella)]);
    let at_s = match (act, scene.ego.speed) {
        (Walk | Wait, _) => 0.0,
        (_, Speed::Waits) => dice.seconds(1.0, 3.5),
        _ if scene.ego.reason == Reason::People => scene.ego.speed_at_s - 0.4,
        _ => scene.ego.speed_at_s + dice.seconds(1.5, 2.5),
    };
    scene.people = Some(People { side, act, group, carried, at_s });
    scene.crosswalk = match act {
        CrossFromLeft | CrossFromRight => true,
        Wait => scene.road != Road::Highway && dice.chance(75),
        Walk => matches!(scene.junction, Junction::FourWay | Junction::Tee) && dice.chance(60),
    };
}

/// The vehicle ahead: one that fits the plot.
pub(crate) fn lead(scene: &mut Scene, plot: Plot, dice: &mut Dice) {
    use LeadAct::*;
    let lanes = scene.lanes > 1;
    let room_left = scene.ego_lane > 0;
    let room_right = scene.ego_lane + 1 < scene.lanes;
    let at_junction = scene.junction == Junction::FourWay;
    let leaves = if room_left { LeavesLeft } else { LeavesRight };
    let cuts = match (room_left, room_right) {
        (true, true) => dice.pick(&[(CutsInLeft, 1), (CutsInRight, 1)]),
        (true, false) => CutsInLeft,
        _ => CutsInRight,
    };
    let turn = dice.pick(&[(TurnsLeft, 50), (TurnsRight, 50)]);
    let (in_lane, at_turn) = (u32::from(lanes), u32::from(at_junction));
    let choices: Vec<(Option<LeadAct>, u32)> = match plot {
        Plot::Cruise => vec![
            (Some(Steady), 34),
            (Some(turn), 70 * at_turn),
            (Some(leaves), 16 * in_lane),
            (Some(cuts), 40 * in_lane),
            (None, 10),
        ],
        Plot::SpeedUp => vec![(None, 40), (Some(leaves), 40 * in_lane), (Some(turn), 60 * at_turn)],
        Plot::Slow => vec![(Some(Slows), 40), (Some(cuts), 90 * in_lane)],
        Plot::StopLead => vec![(Some(Stops), 1)],
        Plot::TurnLeft | Plot::TurnRight => match scene.junction {
            Junction::FourWay => vec![(Some(Steady), 30), (Some(turn), 40), (None, 30)],
            _ => vec![(Some(turn), 50), (None, 50)],
        },
        Plot::LaneLeft | Plot::LaneRight => vec![(Some(Steady), 45), (Some(Slows), 30), (None, 25)],
        Plot::Nudge => vec![(Some(Steady), 60), (None, 40)],
        Plot::StopLight | Plot::WaitLight => vec![(Some(Stops), 40), (None, 60)],
        Plot::StartLight => vec![(Some(turn), 75), (None, 25)],
        Plot::StopSign => vec![(Some(turn), 50), (None, 50)],
        Plot::Paddle | Plot::StopPeople => vec![(None, 1)],
    };
    // Behind a vehicle that stops nobody could see who crosses.
    let hidden = scene.people.is_some_and(|people| people.crosses());
    let Some(act) = dice.pick(&choices).filter(|act| !(hidden && *act == Stops)) else {
        if plot == Plot::Slow {
            scene.ego.reason = Reason::None;
        }
        return;
    };
    let colour = paint(dice);
    let kind = dice.pick(&[(Kind::Car, 55), (Kind::Suv, 45)]);
    let at_s = match act {
        Steady => 0.0,
        Slows if scene.ego.path.changes_lane() => scene.ego.path_at_s - 1.5,
        Stops if scene.ego.speed == Speed::Waits => 0.0,
        Slows | Stops | CutsInLeft | CutsInRight if plot != Plot::Cruise => scene.ego.speed_at_s - 0.8,
        LeavesLeft | LeavesRight if plot == Plot::SpeedUp => scene.ego.speed_at_s - 1.0,
        _ => dice.seconds(2.0, 4.5),
    };
    scene.lead = Some(Lead { vehicle: Vehicle { kind, colour }, act, at_s });
    scene.ego.too_close = act == Steady && plot != Plot::TurnLeft && plot != Plot::TurnRight && dice.chance(45);
    if act.turns() {
        let profile = Profile::of(scene);
        let at_s = motion::lead_turn_s(scene, &profile);
        match at_s {
            Some(at_s) if at_s <= 7.0 => {
                scene.lead = Some(Lead { at_s, ..Lead { vehicle: Vehicle { kind, colour }, act, at_s } })
            }
            _ if scene.junction == Junction::Tee || scene.ego.speed != Speed::Steady => scene.lead = None,
            _ => scene.lead = Some(Lead { vehicle: Vehicle { kind, colour }, act: Steady, at_s: 0.0 }),
        }
    }
}

fn paint(dice: &mut Dice) -> Colour {
    use Colour::*;
    dice.pick(&[(White, 20), (Gray, 14), (Black, 13), (Red, 20), (Yellow, 9), (Blue, 15), (Green, 9)])
}

fn any_car(dice: &mut Dice) -> Vehicle {
    Vehicle { kind: dice.pick(&[(Kind::Car, 60), (Kind::Suv, 40)]), colour: paint(dice) }
}

/// Oncoming, neighbours, crossing traffic, cyclists, parked vehicles.
pub(crate) fn others(scene: &mut Scene, plot: Plot, fleet: bool, dice: &mut Dice) {
    scene.density = dice.pick(if fleet {
        &[(Density::None, 36), (Density::Light, 34), (Density::Dense, 30)]
    } else {
        &[(Density::None, 40), (Density::Light, 40), (Density::Dense, 20)]
    });
    let count = match scene.density {
        Density::None => 0,
        Density::Light => 1 + dice.below(2),
        Density::Dense => 4,
    };
    scene.oncoming = (0..count).map(|_| any_car(dice)).collect();
    let cut_in = scene.lead.is_some_and(|lead| lead.act.cuts_in() || lead.act.leaves());
    let side = if scene.ego_lane > 0 { Side::Left } else { Side::Right };
    let share = if scene.density == Density::Dense { 90 } else { 30 };
    if scene.lanes > 1 && !cut_in && !scene.ego.path.changes_lane() && plot != Plot::Nudge && dice.chance(share) {
        scene.neighbour = Some((side, any_car(dice)));
    }
    let crossing = matches!(scene.junction, Junction::FourWay | Junction::Tee);
    let when = match scene.ego.speed {
        Speed::Waits => Some((2.0, 7.0)),
        Speed::Stops => Some((scene.ego.speed_at_s + 0.5, 8.5)),
        Speed::Starts => Some((0.7, scene.ego.speed_at_s)),
        Speed::StopsAndGoes => Some((scene.ego.speed_at_s, scene.ego.speed_at_s + 3.0)),
        Speed::Slows if scene.ego.path.turns() => Some((1.0, scene.ego.path_at_s - 1.0)),
        _ => None,
    };
    let turning = scene.lead.is_some_and(|lead| lead.act.turns());
    if let Some((low, high)) = when.filter(|_| crossing && !turning && dice.chance(if fleet { 97 } else { 60 })) {
        let from = dice.pick(&[(Side::Left, 50), (Side::Right, 50)]);
        scene.crosser = Some(Crosser { from, vehicle: any_car(dice), at_s: dice.seconds(low, high.max(low)) });
    }
    let stands = matches!(scene.ego.speed, Speed::Waits | Speed::Stops | Speed::StopsAndGoes);
    if dice.chance(if fleet { 46 } else { 30 }) {
        let alone =
            scene.lead.is_none_or(|lead| lead.act != LeadAct::Stops) && scene.people.is_none_or(|p| !p.crosses());
        scene.cyclist = match scene.neighbour.map(|(side, _)| side) {
            _ if stands && alone && dice.chance(60) => Cyclist::Crosses,
            Some(Side::Left) => Cyclist::Right,
            Some(Side::Right) => Cyclist::Left,
            None if cut_in => Cyclist::None,
            None if plot == Plot::Nudge || scene.ego.path == Path::LaneLeft => Cyclist::Right,
            None if scene.ego.path == Path::LaneRight => Cyclist::Left,
            None => dice.pick(&[(Cyclist::Left, 45), (Cyclist::Right, 55)]),
        };
    }
    let left_free = scene.people.is_none_or(|people| people.side == Side::Right || people.crosses());
    scene.parked = match scene.road {
        Road::Highway => Sides::None,
        _ if !left_free => dice.pick(&[(Sides::None, 40), (Sides::Right, 60)]),
        _ => dice.pick(&[(Sides::None, 36), (Sides::Left, 25), (Sides::Right, 18), (Sides::Both, 21)]),
    };
}

/// Buses, emergency and commercial vehicles, and what goes on at the kerb.
pub(crate) fn special_vehicles(scene: &mut Scene, plot: Plot, fleet: bool, dice: &mut Dice) {
    let percent = |share: u32| if fleet { share } else { share / 2 };
    let sudden = scene.lead.is_some_and(|lead| lead.act.cuts_in() || lead.act == LeadAct::Stops);
    let free_kerb = scene.road != Road::Highway;
    scene.kerb = match dice.pick(&[(0, 100 - percent(62)), (1, percent(16)), (2, percent(17)), (3, percent(29))]) {
        _ if plot == Plot::Nudge => Kerb::DoubleParked,
        1 if free_kerb => Kerb::Loading,
        2 if free_kerb => Kerb::BusStop,
        3 if free_kerb && !sudden => Kerb::DoubleParked,
        _ => Kerb::None,
    };
    kerb_people(scene, dice);
    let emergency = dice.chance(percent(46)).then(|| {
        let kind = dice.pick(&[(Kind::Police, 38), (Kind::Ambulance, 34), (Kind::FireTruck, 28)]);
        Vehicle { kind, colour: if kind == Kind::FireTruck { Colour::Red } else { Colour::White } }
    });
    match emergency {
        Some(vehicle) if scene.kerb == Kerb::None && dice.chance(60) => {
            (scene.kerb, scene.kerb_vehicle) = (Kerb::Emergency, Some(vehicle));
        }
        Some(vehicle) => put_oncoming(scene, vehicle, 0),
        None => {}
    }
    let van =
        Vehicle { kind: Kind::Van, colour: dice.pick(&[(Colour::White, 50), (Colour::Blue, 25), (Colour::Green, 25)]) };
    scene.kerb_vehicle = match scene.kerb {
        Kerb::None | Kerb::Emergency => scene.kerb_vehicle,
        Kerb::Loading => Some(van),
        Kerb::BusStop => Some(Vehicle { kind: Kind::Bus, colour: Colour::Blue }),
        Kerb::DoubleParked => Some(any_car(dice)),
    };
    // A large vehicle that stands at a light would hide the light.
    let hides = |lead: &Lead| lead.act.turns() || lead.act == LeadAct::Stops && scene.light.is_some();
    let lead_fits = scene.lead.is_some_and(|lead| !hides(&lead));
    let slot = usize::from(scene.oncoming.first().is_some_and(|v| v.kind != Kind::Car && v.kind != Kind::Suv));
    if scene.kerb != Kerb::BusStop && dice.chance(percent(36)) {
        let colour = dice.pick(&[(Colour::Blue, 40), (Colour::Red, 30), (Colour::White, 30)]);
        let bus = Vehicle { kind: Kind::Bus, colour };
        match scene.lead.as_mut() {
            Some(lead) if lead_fits && dice.chance(62) => lead.vehicle = bus,
            _ => put_oncoming(scene, bus, slot),
        }
    }
    if scene.kerb != Kerb::Loading && dice.chance(percent(38)) {
        let kind = dice.pick(&[(Kind::Van, 24), (Kind::Truck, 44), (Kind::Taxi, 32)]);
        let colour = if kind == Kind::Taxi { Colour::Yellow } else { paint(dice) };
        let vehicle = Vehicle { kind, colour };
        match scene.lead.as_mut() {
            Some(lead) if lead.vehicle.kind != Kind::Bus && (lead_fits || kind == Kind::Taxi) => lead.vehicle = vehicle,
            _ => put_oncoming(scene, vehicle, slot + 1),
        }
    }
    // A vehicle at the right edge stands among parked ones, or nobody could say whether it is parked.
    if scene.kerb_vehicle.is_some() && scene.kerb != Kerb::BusStop && scene.road != Road::Highway && dice.chance(64) {
        scene.parked = if scene.parked.left() { Sides::Both } else { Sides::Right };
    }
}

/// Who loads or boards are the pedestrians of the scene: they stand at the right.
fn kerb_people(scene: &mut Scene, dice: &mut Dice) {
    if !matches!(scene.kerb, Kerb::Loading | Kerb::BusStop) {
        return;
    }
    let group = dice.pick(&[(Group::Adult, 40), (Group::TwoAdults, 35), (Group::AdultChild, 25)]);
    let carried = if scene.kerb == Kerb::Loading { Carried::Bag } else { Carried::Nothing };
    match scene.people.as_mut() {
        Some(people) if people.side == Side::Left || people.crosses() => scene.kerb = Kerb::None,
        Some(people) => people.act = PeopleAct::Wait,
        None => {
            scene.people = Some(People { side: Side::Right, act: PeopleAct::Wait, group, carried, at_s: 0.0 });
        }
    }
    if scene.kerb != Kerb::None {
        scene.crosswalk = false;
    }
}

/// Makes the oncoming vehicle number `slot` this one.
fn put_oncoming(scene: &mut Scene, vehicle: Vehicle, slot: usize) {
    let slot = slot.min(scene.oncoming.len());
    match scene.oncoming.get_mut(slot) {
        Some(place) => *place = vehicle,
        None => scene.oncoming.push(vehicle),
    }
    if scene.density == Density::None {
        scene.density = Density::Light;
    }
}
