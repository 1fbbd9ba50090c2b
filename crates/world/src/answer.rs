//! Answers to the pool's questions, read off the scene.
//!
//! A place counts the choices of `crates/benchmark/pool/av_vqa.toml`, from 0. The pool is another crate's file; a test
//! here reads it, so that a question that is added there without an answer here is noticed.

use crate::motion::{self, Layout, Profile, Role};
use crate::scene::*;

/// Place of the right choice of a question of the pool; none if the question is not known, or the scene does not decide it.
pub fn answer(scene: &Scene, question_id: &str) -> Option<u8> {
    match question_id.split('_').next() {
        Some("scene") => about_scene(scene, question_id),
        Some("objects") => about_objects(scene, question_id),
        Some("people") => about_people(scene, question_id),
        Some("actions") => about_actions(scene, question_id),
        Some("ego") => about_ego(scene, question_id),
        Some("spatial") => about_space(scene, question_id),
        _ => None,
    }
}

fn about_scene(scene: &Scene, question_id: &str) -> Option<u8> {
    Some(match question_id {
        "scene_environment" => scene.road as u8,
        "scene_buildings" => match scene.buildings {
            Sides::Both => 0,
            Sides::Left => 1,
            Sides::Right => 2,
            Sides::None => 3,
        },
        "scene_structure" => match scene.structure {
            Structure::Overpass => 0,
            Structure::MedianBarrier => 1,
            Structure::Guardrail => 2,
            Structure::None => 3,
        },
        "scene_time" => scene.time as u8,
        "scene_weather" => scene.weather as u8,
        "scene_lanes" => scene.lanes - 1,
        "scene_surface" => scene.surface as u8,
        "scene_sign" => match scene.sign {
            Some(Sign::Stop) => 0,
            Some(Sign::Yield) => 1,
            Some(Sign::Speed25 | Sign::Speed35 | Sign::Speed55) => 2,
            _ => 3,
        },
        "scene_crosswalk" => match (scene.crosswalk, scene.people.map(|people| people.act)) {
            (false, _) => 3,
            (true, Some(PeopleAct::CrossFromLeft | PeopleAct::CrossFromRight)) => 1,
            (true, Some(PeopleAct::Wait)) => 2,
            (true, _) => 0,
        },
        "scene_intersection" => match scene.junction {
            Junction::FourWay => 0,
            Junction::Tee => 1,
            Junction::Ramp => 2,
            Junction::None => 3,
        },
        "scene_control" if scene.light.is_some() => 0,
        "scene_control" if matches!(scene.sign, Some(Sign::Stop | Sign::Yield)) => 1,
        "scene_control" => {
            if directs(scene) {
                2
            } else {
                3
            }
        }
        "scene_land_use" => scene.land as u8,
        "scene_zone" => match scene.zone {
            Zone::Construction => 0,
            Zone::School => 1,
            Zone::Parking => 2,
            Zone::None => 3,
        },
        _ => return None,
    })
}

/// Whether a worker directs traffic.
pub(crate) fn directs(scene: &Scene) -> bool {
    scene.construction.is_some_and(|c| c.workers == Some(WorkerAct::Directs))
}

/// Every vehicle that can be seen, but for parked ones, which are plain cars.
fn seen(scene: &Scene) -> impl Iterator<Item = Vehicle> {
    let lead = scene.lead.map(|lead| lead.vehicle);
    lead.into_iter().chain(scene.kerb_vehicle).chain(scene.oncoming.iter().copied())
}

fn about_objects(scene: &Scene, question_id: &str) -> Option<u8> {
    let first = |kinds: [Kind; 3]| {
        let mut places = seen(scene).filter_map(|v| kinds.iter().position(|kind| *kind == v.kind));
        let place = places.next();
        // Two kinds at once: the question has no single answer.
        (!places.any(|other| Some(other) != place)).then(|| place.map_or(3, |place| place as u8))
    };
    Some(match question_id {
        "objects_lead_type" => match scene.lead.map(|lead| lead.vehicle.kind) {
            Some(Kind::Van | Kind::Truck) => 1,
            Some(Kind::Bus) => 2,
            Some(_) => 0,
            None => 3,
        },
        "objects_emergency" => return first([Kind::Police, Kind::Ambulance, Kind::FireTruck]),
        "objects_parked" => {
            let beside = scene.kerb_vehicle.is_some() && scene.kerb != Kerb::BusStop && !scene.parked.right();
            match scene.parked {
                _ if beside => return None,
                Sides::Left => 0,
                Sides::Right => 1,
                Sides::Both => 2,
                Sides::None => 3,
            }
        }
        "objects_lead_color" => match scene.lead.map(|lead| lead.vehicle.colour) {
            Some(Colour::White | Colour::Gray) => 0,
            Some(Colour::Red | Colour::Yellow) => 1,
            Some(Colour::Blue | Colour::Green | Colour::Black) => 2,
            None => 3,
        },
        "objects_light" => match scene.light {
            Some(Light::Red) => 0,
            Some(Light::Green) => 1,
            Some(Light::TurnsGreen | Light::TurnsRed) => 2,
            None => 3,
        },
        "objects_construction" => match scene.construction.map(|c| c.objects) {
            Some(WorkObjects::Cones) => 0,
            Some(WorkObjects::Barriers) => 1,
            Some(WorkObjects::Machine) => 2,
            None => 3,
        },
        "objects_transit" if scene.kerb == Kerb::BusStop => 2,
        "objects_transit" if scene.lead.is_some_and(|lead| lead.vehicle.kind == Kind::Bus) => 0,
        "objects_transit" => {
            if scene.oncoming.iter().any(|v| v.kind == Kind::Bus) {
                1
            } else {
                3
            }
        }
        "objects_sign_color" => match scene.sign {
            Some(Sign::Stop | Sign::Yield) => 0,
            Some(Sign::Work | Sign::School) => 1,
            Some(Sign::Speed25 | Sign::Speed35 | Sign::Speed55 | Sign::Parking) => 2,
            None => 3,
        },
        "objects_commercial" => return first([Kind::Van, Kind::Truck, Kind::Taxi]),
        "objects_hazard" => match scene.hazard {
            Hazard::Debris => 0,
            Hazard::Pothole => 1,
            Hazard::Water => 2,
            Hazard::None => 3,
        },
        _ => return None,
    })
}

fn about_people(scene: &Scene, question_id: &str) -> Option<u8> {
    let people = scene.people;
    Some(match question_id {
        "people_location" => match people {
            Some(people) if people.crosses() => 2,
            Some(people) => people.side as u8,
            None => 3,
        },
        "people_cyclist" => match scene.cyclist {
            Cyclist::Left => 0,
            Cyclist::Right => 1,
            Cyclist::Crosses => 2,
            Cyclist::None => 3,
        },
        "people_workers" => scene.construction.and_then(|c| c.workers).map_or(3, |act| act as u8),
        "people_child" => match people.map(|people| people.group) {
            Some(Group::Child) => 0,
            Some(group) if group.has_child() => 1,
            Some(_) => 2,
            None => 3,
        },
        "people_group" => people.map_or(3, |people| people.group.size() as u8 - 1),
        "people_carried" => match people.map(|people| people.carried) {
            Some(Carried::Bag) => 0,
            Some(Carried::Umbrella) => 1,
            Some(Carried::Nothing) => 2,
            None => 3,
        },
        _ => return None,
    })
}

fn about_actions(scene: &Scene, question_id: &str) -> Option<u8> {
    let act = scene.lead.map(|lead| lead.act);
    Some(match question_id {
        "actions_lead" => match act {
            Some(LeadAct::Steady) => 0,
            Some(LeadAct::Slows | LeadAct::Stops) => 1,
            Some(_) => 2,
            None => 3,
        },
        "actions_turn" => match act {
            Some(LeadAct::TurnsLeft) => 0,
            Some(LeadAct::TurnsRight) => 1,
            _ if scene.crosser.is_some() => 2,
            _ => 3,
        },
        "actions_lane_change" => match act {
            Some(act) if act.cuts_in() => 0,
            Some(act) if act.leaves() => 1,
            _ if scene.lanes > 1 => 2,
            _ => 3,
        },
        "actions_crossing" => match scene.people.map(|people| people.act) {
            Some(PeopleAct::CrossFromLeft) => 0,
            Some(PeopleAct::CrossFromRight) => 1,
            Some(PeopleAct::Wait) => 2,
            _ => 3,
        },
        "actions_flow" => match (act, scene.density) {
            (Some(LeadAct::Stops), _) => 2,
            (_, Density::Dense) => 1,
            (None, Density::None) if scene.crosser.is_none() && scene.neighbour.is_none() => 3,
            _ => 0,
        },
        "actions_loading" => match scene.kerb {
            Kerb::Loading => 0,
            Kerb::BusStop => 1,
            Kerb::DoubleParked => 2,
            Kerb::None | Kerb::Emergency => 3,
        },
        "actions_unusual" => {
            let controlled =
                matches!(scene.light, Some(Light::Red | Light::TurnsRed)) || scene.sign == Some(Sign::Stop);
            match act {
                Some(LeadAct::Stops) if !controlled => 0,
                Some(act) if act.cuts_in() => 1,
                _ if scene.kerb == Kerb::DoubleParked => 2,
                _ => 3,
            }
        }
        "actions_people" => match scene.people {
            Some(people) if people.crosses() => 2,
            Some(people) => u8::from(people.act == PeopleAct::Wait),
            None => 3,
        },
        _ => return None,
    })
}

fn about_ego(scene: &Scene, question_id: &str) -> Option<u8> {
    let ego = &scene.ego;
    let stops = matches!(ego.speed, Speed::Stops | Speed::StopsAndGoes | Speed::Waits);
    Some(match question_id {
        "ego_maneuver" => match (ego.path, ego.speed) {
            // Around an obstacle and back is neither straight on nor a change of lane.
            (Path::Nudge, _) => return None,
            (path, _) if path.turns() => 1,
            (path, _) if path.changes_lane() => 2,
            (_, Speed::Steady | Speed::SpeedsUp | Speed::Starts) => 0,
            _ => 3,
        },
        "ego_turn" => match (ego.path, scene.bend) {
            (Path::TurnLeft, _) => 0,
            (Path::TurnRight, _) => 1,
            (_, Bend::Straight) => 3,
            _ => 2,
        },
        "ego_stop" if ego.speed == Speed::Starts => 0,
        "ego_stop" if !stops => 3,
        "ego_stop" => match ego.reason {
            Reason::Light | Reason::Sign | Reason::Paddle => 0,
            Reason::Lead => 1,
            Reason::People => 2,
            Reason::None | Reason::Turn => return None,
        },
        "ego_speed" => match ego.speed {
            Speed::Steady | Speed::Waits => 0,
            Speed::Slows | Speed::Stops => 1,
            Speed::SpeedsUp | Speed::Starts => 2,
            Speed::StopsAndGoes => 3,
        },
        "ego_lane" => match ego.path {
            Path::LaneLeft => 0,
            Path::LaneRight => 1,
            Path::Nudge => 2,
            Path::Straight => 3,
            // A turn leaves the lane in another sense.
            Path::TurnLeft | Path::TurnRight => return None,
        },
        "ego_following" => match scene.lead.map(|lead| lead.act) {
            Some(_) if ego.too_close => 1,
            Some(LeadAct::Stops) => 2,
            Some(_) => 0,
            None => 3,
        },
        "ego_intersection" => match scene.junction {
            Junction::None | Junction::Ramp => 3,
            _ if ego.path.turns() => 1,
            _ if stops || ego.speed == Speed::Starts => 2,
            _ => 0,
        },
        _ => return None,
    })
}

fn about_space(scene: &Scene, question_id: &str) -> Option<u8> {
    Some(match question_id {
        "spatial_nearest" => return nearest(scene),
        "spatial_direction" => match (scene.junction, scene.bend) {
            (Junction::Tee, _) => 3,
            (_, bend) => bend as u8,
        },
        "spatial_visibility" => {
            let hazy = matches!(scene.weather, Weather::Rain | Weather::Fog);
            let large = scene.lead.is_some_and(|lead| {
                matches!(lead.vehicle.kind, Kind::Bus | Kind::Truck) && !lead.act.cuts_in() && !lead.act.leaves()
            });
            match (large, hazy, scene.time.is_night()) {
                (true, ..) => 3,
                (_, true, true) => return None,
                (_, true, false) => 1,
                (_, false, true) => 2,
                _ => 0,
            }
        }
        "spatial_sequence" => return first_event(scene),
        "spatial_states" => match scene.ego.speed {
            Speed::Stops => 1,
            Speed::Starts => 2,
            Speed::Waits => 3,
            _ => 0,
        },
        "spatial_absence" => match (scene.people.is_some(), scene.lead.is_some()) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        },
        _ => return None,
    })
}

/// Times at which a lead vehicle acts, a pedestrian crosses, the ego vehicle turns or shifts; in seconds.
pub(crate) fn events(scene: &Scene) -> [Option<f32>; 3] {
    [
        scene.lead.filter(|lead| lead.act != LeadAct::Steady && lead.at_s > 0.0).map(|lead| lead.at_s),
        scene.people.filter(People::crosses).map(|people| people.at_s),
        (scene.ego.path != Path::Straight).then_some(scene.ego.path_at_s),
    ]
}

fn first_event(scene: &Scene) -> Option<u8> {
    let mut times: Vec<(f32, u8)> = (0..).zip(events(scene)).filter_map(|(place, at)| Some((at?, place))).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    match times[..] {
        [] => Some(3),
        // Too close to call.
        [first, second, ..] if second.0 - first.0 < 0.8 => None,
        [first, ..] => Some(first.1),
    }
}

fn nearest(scene: &Scene) -> Option<u8> {
    let profile = Profile::of(scene);
    let layout = Layout::of(scene, &profile);
    let mut all: Vec<(f32, u8)> = motion::vehicles(scene, &profile, &layout, 0.0)
        .iter()
        .filter(|actor| actor.role != Role::Crosser)
        .map(|actor| {
            let (x, z) = (actor.pose.x, actor.pose.z - motion::size(actor.vehicle.kind).0 / 2.0);
            let place = match x {
                x if x < -1.6 => 1,
                x if x > 1.6 => 2,
                _ => 0,
            };
            (x.hypot(z), place)
        })
        .filter(|(far, _)| *far < 24.0)
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    match all[..] {
        [] => Some(3),
        [first, second, ..] if first.1 != second.1 && second.0 < 1.1 * first.0 => None,
        [first, ..] => Some(first.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Vec<records::Question> {
        let text = include_str!("../../benchmark/pool/av_vqa.toml");
        let table: toml::Table = text.parse().unwrap();
        table["question"].clone().try_into().unwrap()
    }

    #[test]
    fn every_question_is_decided_and_every_choice_occurs() {
        let scenes: Vec<Scene> = (0..500).map(|seed| Scene::draw(seed, Domain::Fleet)).collect();
        let mut wrong = Vec::new();
        for question in pool() {
            let mut counts = [0; 5];
            for scene in &scenes {
                counts[answer(scene, &question.id).map_or(4, usize::from)] += 1;
            }
            let decided = 500 - counts[4];
            let most = *counts[..4].iter().max().unwrap();
            if decided < 400 || counts[..4].contains(&0) || 100 * most > 65 * decided {
                wrong.push(format!("{}: {counts:?}", question.id));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn an_unknown_question_has_no_answer() {
        for id in ["", "scene", "scene_colour", "weather", "people_"] {
            assert_eq!(answer(&Scene::draw(1, Domain::Fleet), id), None, "{id}");
        }
    }
}
