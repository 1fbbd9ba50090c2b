//! The three kinds of annotation of the recipe, filled in truthfully.

use records::annotation::{
    BoxXyxy, CriticalObject, CvAnnotation, CvContent, EgoBehavior, HumanAnnotation, ReasoningAnnotation,
    ReasoningResponse,
};
use std::collections::BTreeMap;

use crate::answer;
use crate::caption::caption;
use crate::outline;
use crate::scene::*;
use crate::words;

/// How hard the drive is, 1 (very easy) to 4 (very difficult).
pub(crate) fn difficulty(scene: &Scene) -> i64 {
    let hard = [
        scene.time.is_night(),
        matches!(scene.weather, Weather::Rain | Weather::Fog),
        scene.construction.is_some(),
        scene.people.is_some_and(|people| people.crosses()),
        scene.lead.is_some_and(|lead| lead.act.cuts_in() || lead.act == LeadAct::Stops),
        scene.ego.path != Path::Straight,
    ];
    1 + (hard.iter().filter(|is_hard| **is_hard).count() as i64).min(3)
}

/// What makes the drive hard, as a sentence.
fn difficulty_reason(scene: &Scene) -> String {
    let mut reasons: Vec<String> = Vec::new();
    if scene.time.is_night() {
        reasons.push("at night".into());
    }
    match scene.weather {
        Weather::Rain => reasons.push("in rain".into()),
        Weather::Fog => reasons.push("in fog".into()),
        Weather::Clear | Weather::Cloudy => {}
    }
    if scene.construction.is_some() {
        reasons.push("through a construction zone".into());
    }
    if reasons.is_empty() {
        return "I'm driving in easy conditions.".into();
    }
    format!("I'm driving {}.", words::list(&reasons))
}

/// The human label: all 17 fields. Boxes are in pixels of a source frame 3840 wide and 2304 high.
pub fn human_annotation(scene: &Scene) -> HumanAnnotation {
    let text = |text: &str| Some(text.to_owned());
    let sign = scene.sign.map_or("No traffic sign is visible.".into(), |sign| {
        format!("{} is visible on the right side of the road.", words::capital(&words::a(words::sign(sign))))
    });
    let lanes = words::number(usize::from(scene.lanes));
    HumanAnnotation {
        weather: text(match scene.weather {
            Weather::Clear => "Clear skies",
            Weather::Cloudy => "Overcast",
            Weather::Rain => "Light rain",
            Weather::Fog => "Dense fog",
        }),
        lighting: text(match (scene.time, scene.weather) {
            (Time::Day, Weather::Clear) => "Daytime (direct sunlight)",
            (Time::Day, _) => "Daytime (diffused light)",
            (Time::Dusk, _) => "Daytime (low-contrast daylight)",
            (Time::NightLit, _) => "Night (well-lit by streetlights)",
            (Time::NightDark, _) => "Night (poorly lit; few/no streetlights)",
        }),
        road_conditions: text(match scene.surface {
            Surface::Dry => "Dry, clean asphalt",
            Surface::Wet => "Wet asphalt",
            Surface::Patched => "Dry, patched and cracked asphalt",
            Surface::Unpaved => "Dry, unpaved gravel",
        }),
        traffic_light: Some(match scene.light {
            None => "No traffic light is visible.".into(),
            light => format!("{}. The ego vehicle {}.", words::light(light), words::ego_act(scene)),
        }),
        traffic_sign: Some(sign),
        additional_traffic_rules: additional_rules(scene),
        road_type: text(match scene.road {
            Road::Urban => "Arterial - city street.",
            Road::Residential => "Local street - residential access.",
            Road::Highway => "Highway/freeway.",
            Road::Rural => "Country road.",
        }),
        junction_type: Some(match (scene.junction, scene.bend) {
            (Junction::None, Bend::Left) => "Curve to the left.".into(),
            (Junction::None, Bend::Right) => "Curve to the right.".into(),
            (junction, _) => format!("{}.", words::capital(words::junction(junction))),
        }),
        lane_type: Some(match scene.lanes {
            1 => "A single lane in each direction.".into(),
            _ => format!("{} lanes in the direction of the ego vehicle.", words::capital(lanes)),
        }),
        additional_map_rules: map_rules(scene),
        interactive_expanded_metaaction: interactive(scene),
        noninteractive_expanded_metaaction: noninteractive(scene).map(|act| vec![act.to_owned()]),
        safety_analysis: Some(caption(scene)),
        driving_difficulty: Some(difficulty(scene)),
        rule_violation: text("False"),
        interesting_scenario: text(if difficulty(scene) > 2 { "True" } else { "False" }),
        critical_object: Some(critical_objects(scene)),
    }
}

fn additional_rules(scene: &Scene) -> Option<String> {
    match scene.zone {
        Zone::Construction => {
            let objects = scene.construction.map_or("cones", |c| words::work_objects(c.objects));
            Some(format!("A construction zone with {objects} is on the road."))
        }
        Zone::School => Some("A school zone is signed.".into()),
        Zone::Parking => Some("A parking zone is signed.".into()),
        Zone::None => None,
    }
}

fn map_rules(scene: &Scene) -> Option<String> {
    match (scene.surface, scene.crosswalk) {
        (Surface::Unpaved, _) => None,
        (_, true) => Some("Crosswalk markings are visible ahead.".into()),
        _ if scene.lanes > 1 => Some("Dashed lane markings are visible.".into()),
        _ => Some("Solid center line markings are visible.".into()),
    }
}

/// From the closed list of the 15-field rubric.
fn interactive(scene: &Scene) -> Option<Vec<String>> {
    let act = scene.lead.map(|lead| lead.act);
    let mut acts = Vec::new();
    if scene.ego.path == Path::Nudge {
        acts.push("In-lane nudging");
    }
    if scene.ego.reason == Reason::People {
        acts.push("Yield to VRUs");
    }
    if scene.sign == Some(Sign::Yield) && scene.crosser.is_some() {
        acts.push("Yield to vehicles");
    }
    if act.is_some_and(LeadAct::cuts_in) {
        acts.push("Vehicle cut-in ahead");
    }
    if scene.ego.path.changes_lane() && act == Some(LeadAct::Slows) {
        acts.push("Overtake vehicles");
    } else if matches!(act, Some(LeadAct::Steady | LeadAct::Slows | LeadAct::Stops)) {
        acts.push("Vehicle following");
    }
    (!acts.is_empty()).then(|| acts.into_iter().map(str::to_owned).collect())
}

fn noninteractive(scene: &Scene) -> Option<&'static str> {
    match (scene.ego.path, scene.ego.reason) {
        (Path::TurnLeft, _) => Some("Turn left"),
        (Path::TurnRight, _) => Some("Turn right"),
        (Path::LaneLeft, _) => Some("Lane change to the left"),
        (Path::LaneRight, _) => Some("Lane change to the right"),
        (_, Reason::Light) if scene.ego.speed == Speed::Starts => Some("Start at the green light"),
        (_, Reason::Light) => Some("Stop at the red light"),
        (_, Reason::Sign) => Some("Stop at the stop sign"),
        _ => None,
    }
}

fn critical_objects(scene: &Scene) -> Vec<CriticalObject> {
    let mut objects = Vec::new();
    let mut put = |bounds: Option<BoxXyxy>, box_time: f64, critical_reasoning: String, object_type: &str| {
        if let Some(bounds) = bounds {
            objects.push(CriticalObject { bounds, box_time, critical_reasoning, object_type: object_type.into() });
        }
    };
    if let Some(lead) = &scene.lead {
        let why = match lead.act {
            LeadAct::CutsInLeft | LeadAct::CutsInRight => "cuts in ahead of the ego vehicle",
            LeadAct::Stops | LeadAct::Slows => "slows down ahead of the ego vehicle",
            _ => "is followed by the ego vehicle",
        };
        let why = format!("The {} {why}, and thus it is a critical object.", words::vehicle(lead.vehicle));
        put(outline::lead(scene, 2.0), 2.0, why, object_type(lead.vehicle.kind));
    }
    if let Some(people) = scene.people.filter(People::crosses) {
        let time = (people.at_s + 1.5).min(CLIP_S).round();
        let why = "The ego vehicle must wait for the people who cross, and thus they are critical objects.".to_owned();
        let class = if people.group == Group::Child { "Pedestrians - Children" } else { "Pedestrians - Adults" };
        put(outline::people(scene, time), f64::from(time), why, class);
    }
    objects
}

fn object_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Car | Kind::Taxi => "Vehicles - Passenger cars",
        Kind::Suv | Kind::Van => "Vehicles - Light trucks & SUVs",
        Kind::Truck => "Vehicles - Heavy trucks",
        Kind::Bus => "Vehicles - Buses",
        Kind::Police | Kind::Ambulance | Kind::FireTruck => "Vehicles - Emergency vehicles",
    }
}

/// When the ego vehicle's decision falls, in seconds.
pub(crate) fn decision_s(scene: &Scene) -> f32 {
    match scene.ego.path {
        Path::Straight if scene.ego.speed_at_s > 0.0 => scene.ego.speed_at_s,
        Path::Straight => scene.lead.map_or(1.0, |lead| lead.at_s.max(1.0)),
        _ => scene.ego.path_at_s,
    }
}

/// Decision and cause of the ego vehicle: `(Decelerating and turning right, because ...)`.
fn decision(scene: &Scene) -> (String, String) {
    let lead = scene.lead.map(|lead| (words::vehicle(lead.vehicle), lead.act));
    let junction = words::junction(scene.junction);
    match (scene.ego.path, scene.ego.speed, &lead) {
        (Path::TurnLeft, ..) => {
            ("decelerating and turning left".into(), format!("the route leads left at the {junction}"))
        }
        (Path::TurnRight, ..) => {
            ("decelerating and turning right".into(), format!("the route leads right at the {junction}"))
        }
        (Path::LaneLeft | Path::LaneRight, _, lead) => {
            let side = if scene.ego.path == Path::LaneLeft { "left" } else { "right" };
            let why = match lead {
                Some((vehicle, LeadAct::Slows)) => format!("the {vehicle} ahead slows down"),
                _ => "the next lane is free".into(),
            };
            (format!("changing to the {side} lane"), why)
        }
        (Path::Nudge, ..) => {
            ("moving to the left within the lane".into(), "a car is double-parked on the right".into())
        }
        (_, Speed::Starts, _) => ("accelerating".into(), "the traffic light turns green".into()),
        (_, Speed::Waits, _) => ("standing".into(), "the traffic light is red".into()),
        (_, Speed::SpeedsUp, _) => ("accelerating".into(), "the road ahead is free".into()),
        (_, Speed::Steady, Some((vehicle, act))) => {
            ("keeping a steady speed".into(), format!("the {vehicle} ahead {}", words::lead_act(*act)))
        }
        (_, Speed::Steady, None) => ("keeping a steady speed".into(), "the road ahead is free".into()),
        (_, speed, lead) => {
            let what = if speed == Speed::Slows { "decelerating" } else { "decelerating and stopping" };
            let why = match (scene.ego.reason, lead) {
                (Reason::Light, _) => "the traffic light is red".into(),
                (Reason::Sign, _) => "there is a stop sign".into(),
                (Reason::Paddle, _) => "a worker holds a stop paddle".into(),
                (Reason::People, _) => "people cross the road".into(),
                (_, Some((vehicle, act))) => format!("the {vehicle} ahead {}", words::lead_act(*act)),
                _ => "the road ahead needs care".into(),
            };
            (what.into(), why)
        }
    }
}

/// The auto-label of a clip of `fps` frames per second that starts at `start_us`, in microseconds of the epoch.
pub fn cv_annotation(scene: &Scene, fps: u32, start_us: i64) -> CvAnnotation {
    let (what, why) = decision(scene);
    let at_s = decision_s(scene);
    let mut reasoning = format!("Ego is {what} because {why}.");
    if scene.light.is_some() && scene.ego.reason != Reason::Light {
        reasoning += &format!(" {}.", words::light(scene.light));
    }
    if let Some(people) = &scene.people {
        reasoning += &format!(" {} {}.", words::capital(&words::party(people)), words::people_act(people));
    }
    let sights = words::sights(scene);
    reasoning += &match sights.first() {
        Some(sight) => format!(" The presence of {sight} needs attention."),
        None => " No other road users affect the current driving behavior.".to_owned(),
    };
    CvAnnotation {
        event_start_frame: (at_s * fps as f32).round() as i64,
        event_start_timestamp: start_us + (f64::from(at_s) * 1e6).round() as i64,
        final_content: CvContent {
            ego_behavior_schema: EgoBehavior {
                ego_behavior_reasoning: reasoning,
                effect_on_ego_behavior: format!("{}, because {why}.", words::capital(&what)),
                difficulty_score: difficulty(scene),
            },
        },
    }
}

/// The reasoning label: first person, with notices in the clip's own seconds.
pub fn reasoning_annotation(scene: &Scene) -> ReasoningAnnotation {
    let (what, why) = decision(scene);
    let mut description = format!(
        "I'm driving on {} {} {}.",
        words::a(&words::road_with_lanes(scene)),
        words::time(scene.time),
        words::weather(scene.weather)
    );
    match &scene.lead {
        Some(lead) => {
            let vehicle = words::a(&words::vehicle(lead.vehicle));
            description += &format!(" I see {vehicle} ahead. It {}.", words::lead_act(lead.act));
        }
        None => description += " There is no vehicle ahead of me.",
    }
    if scene.light.is_some() {
        description += &format!(" {}.", words::light(scene.light));
    }
    description += &match &scene.people {
        Some(people) => format!(" I notice {}.", words::party(people)),
        None => " I see no pedestrians.".to_owned(),
    };
    let sights: Vec<String> = words::sights(scene).into_iter().take(4).collect();
    if !sights.is_empty() {
        description += &format!(" I notice {}.", words::list(&sights));
    }
    description += &format!(" I am {what} because {why}.");
    ReasoningAnnotation {
        response: ReasoningResponse {
            description,
            driving_difficulty_explanation: difficulty_reason(scene),
            notice: notices(scene),
        },
    }
}

fn notices(scene: &Scene) -> Vec<BTreeMap<String, String>> {
    let [lead, crossing, shift] = answer::events(scene);
    let mut all: Vec<(f32, f32, String)> = Vec::new();
    if let (Some(at), Some(lead)) = (lead, &scene.lead) {
        all.push((at, 3.0, format!("The {} ahead {}.", words::vehicle(lead.vehicle), words::lead_act(lead.act))));
    }
    if let (Some(at), Some(people)) = (crossing, &scene.people) {
        all.push((at, 4.0, format!("{} {}.", words::capital(words::group(people.group)), words::people_act(people))));
    }
    if shift.is_some() || scene.ego.speed_at_s > 0.0 {
        let (what, why) = decision(scene);
        all.push((decision_s(scene), 3.2, format!("I am {what} because {why}.")));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let key = |from: f32, long: f32| format!("Between time {:.2}s and {:.2}s", from, (from + long).min(CLIP_S));
    all.into_iter().map(|(from, long, text)| BTreeMap::from([(key(from, long), text)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_full_and_boxes_lie_in_the_frame() {
        let mut boxes = 0;
        for seed in 0..300 {
            let scene = Scene::draw(seed, Domain::Fleet);
            let human = human_annotation(&scene);
            assert!((1..=4).contains(&human.driving_difficulty.unwrap()));
            for object in human.critical_object.unwrap() {
                let BoxXyxy { x1, y1, x2, y2 } = object.bounds;
                assert!(0.0 <= x1 && x1 < x2 && x2 <= 3840.0 && 0.0 <= y1 && y1 < y2 && y2 <= 2304.0, "{object:?}");
                boxes += 1;
            }
            let cv = cv_annotation(&scene, 30, 1_700_000_000_000_000);
            assert!((0..300).contains(&cv.event_start_frame));
            for notice in reasoning_annotation(&scene).response.notice {
                let key = notice.keys().next().unwrap();
                let times: Vec<f32> = key.split(['s', ' ']).filter_map(|word| word.parse().ok()).collect();
                assert!(times.len() == 2 && times[0] < times[1] && times[1] <= CLIP_S, "{key}");
            }
        }
        assert!(boxes > 150, "{boxes} boxes");
    }
}
