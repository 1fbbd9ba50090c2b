//! Names of what is in a scene, as captions, labels and answers say them. Few words, each always for the same thing.

use crate::answer;
use crate::scene::*;

/// `a` or `an`, and the word.
pub(crate) fn a(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u', 'S']) && !word.starts_with("St") && !word.starts_with("Sp");
    if vowel { format!("an {word}") } else { format!("a {word}") }
}

/// The text with a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(crate) fn number(count: usize) -> &'static str {
    ["no", "one", "two", "three", "four"].get(count).copied().unwrap_or("many")
}

pub(crate) fn road(road: Road) -> &'static str {
    match road {
        Road::Urban => "city street",
        Road::Residential => "residential street",
        Road::Highway => "highway",
        Road::Rural => "rural road",
    }
}

/// The road with its lanes.
pub(crate) fn road_with_lanes(scene: &Scene) -> String {
    let lanes = if scene.lanes == 1 { "lane" } else { "lanes" };
    format!("{} with {} {lanes}", road(scene.road), number(usize::from(scene.lanes)))
}

pub(crate) fn time(time: Time) -> &'static str {
    match time {
        Time::Day => "by day",
        Time::Dusk => "at dusk",
        Time::NightLit => "at night under street lights",
        Time::NightDark => "at night without street lights",
    }
}

pub(crate) fn weather(weather: Weather) -> &'static str {
    match weather {
        Weather::Clear => "in clear weather",
        Weather::Cloudy => "under a cloudy sky",
        Weather::Rain => "in rain",
        Weather::Fog => "in fog",
    }
}

pub(crate) fn surface(surface: Surface) -> &'static str {
    match surface {
        Surface::Dry => "dry",
        Surface::Wet => "wet",
        Surface::Patched => "patched",
        Surface::Unpaved => "unpaved",
    }
}

pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Car => "car",
        Kind::Suv => "SUV",
        Kind::Van => "delivery van",
        Kind::Truck => "freight truck",
        Kind::Bus => "bus",
        Kind::Taxi => "taxi",
        Kind::Police => "police car",
        Kind::Ambulance => "ambulance",
        Kind::FireTruck => "fire truck",
    }
}

pub(crate) fn colour(colour: Colour) -> &'static str {
    match colour {
        Colour::White => "white",
        Colour::Gray => "gray",
        Colour::Black => "black",
        Colour::Red => "red",
        Colour::Yellow => "yellow",
        Colour::Blue => "blue",
        Colour::Green => "green",
    }
}

/// Colour and kind; those whose paint is part of the kind have no colour.
pub(crate) fn vehicle(vehicle: Vehicle) -> String {
    match vehicle.kind {
        Kind::Police | Kind::Ambulance | Kind::FireTruck | Kind::Taxi => kind(vehicle.kind).into(),
        _ => format!("{} {}", colour(vehicle.colour), kind(vehicle.kind)),
    }
}

pub(crate) fn side(side: Side) -> &'static str {
    if side == Side::Left { "left" } else { "right" }
}

pub(crate) fn sides(sides: Sides) -> &'static str {
    match sides {
        Sides::None => "on neither side",
        Sides::Left => "on the left",
        Sides::Right => "on the right",
        Sides::Both => "on both sides",
    }
}

/// The traffic light, as a sentence without its end.
pub(crate) fn light(light: Option<Light>) -> &'static str {
    match light {
        None => "There is no traffic light",
        Some(Light::Red) => "The traffic light is red",
        Some(Light::Green) => "The traffic light is green",
        Some(Light::TurnsGreen) => "The traffic light turns from red to green",
        Some(Light::TurnsRed) => "The traffic light turns from green to red",
    }
}

pub(crate) fn sign(sign: Sign) -> &'static str {
    match sign {
        Sign::Stop => "stop sign",
        Sign::Yield => "yield sign",
        Sign::Speed25 => "speed limit sign of 25",
        Sign::Speed35 => "speed limit sign of 35",
        Sign::Speed55 => "speed limit sign of 55",
        Sign::Work => "work sign",
        Sign::School => "school sign",
        Sign::Parking => "parking sign",
    }
}

pub(crate) fn junction(junction: Junction) -> &'static str {
    match junction {
        Junction::None => "straight segment",
        Junction::FourWay => "four-way intersection",
        Junction::Tee => "T-intersection",
        Junction::Ramp => "ramp that merges from the right",
    }
}

pub(crate) fn land(land: Land) -> &'static str {
    match land {
        Land::Commercial => "shops and offices",
        Land::Homes => "homes",
        Land::Industry => "industry",
        Land::Open => "fields and trees",
    }
}

pub(crate) fn group(group: Group) -> &'static str {
    match group {
        Group::Adult => "an adult",
        Group::Child => "a child",
        Group::TwoAdults => "two adults",
        Group::AdultChild => "an adult and a child",
        Group::ThreeAdults => "three adults",
        Group::Family => "two adults and a child",
    }
}

/// Who they are, and what they carry.
pub(crate) fn party(people: &People) -> String {
    let carried = match people.carried {
        Carried::Nothing => "",
        Carried::Bag => " with a bag",
        Carried::Umbrella => " under an umbrella",
    };
    match people.group {
        Group::AdultChild if !carried.is_empty() => format!("an adult{carried} and a child"),
        other => format!("{}{carried}", group(other)),
    }
}

/// What people do, after a subject; `many` if the subject is more than one.
pub(crate) fn people_act(people: &People) -> String {
    let s = if people.group.size() == 1 { "s" } else { "" };
    let es = if people.group.size() == 1 { "es" } else { "" };
    match people.act {
        PeopleAct::Walk => format!("walk{s} on the {}", side(people.side)),
        PeopleAct::Wait => format!("wait{s} on the {}", side(people.side)),
        PeopleAct::CrossFromLeft => format!("cross{es} from the left"),
        PeopleAct::CrossFromRight => format!("cross{es} from the right"),
    }
}

/// What the lead vehicle does, after a subject.
pub(crate) fn lead_act(act: LeadAct) -> &'static str {
    match act {
        LeadAct::Steady => "keeps a steady speed",
        LeadAct::Slows => "slows down",
        LeadAct::Stops => "stops",
        LeadAct::TurnsLeft => "turns left",
        LeadAct::TurnsRight => "turns right",
        LeadAct::LeavesLeft => "moves out to the left lane",
        LeadAct::LeavesRight => "moves out to the right lane",
        LeadAct::CutsInLeft => "cuts in from the left",
        LeadAct::CutsInRight => "cuts in from the right",
    }
}

/// Why the ego vehicle stops or waits: at or behind what.
pub(crate) fn stop_place(scene: &Scene) -> &'static str {
    match scene.ego.reason {
        Reason::Light => "at the red light",
        Reason::Sign => "at the stop sign",
        Reason::Paddle => "for a worker with a stop paddle",
        Reason::Lead => "behind the lead vehicle",
        Reason::People => "for people who cross",
        Reason::None | Reason::Turn => "on the road",
    }
}

/// What the ego vehicle does, after a subject in the third person.
pub(crate) fn ego_act(scene: &Scene) -> String {
    let at = match scene.junction {
        Junction::None | Junction::Ramp => String::new(),
        other => format!(" at the {}", junction(other)),
    };
    match scene.ego.path {
        Path::TurnLeft => format!("slows down and turns left{at}"),
        Path::TurnRight => format!("slows down and turns right{at}"),
        Path::LaneLeft => "moves one lane to the left".into(),
        Path::LaneRight => "moves one lane to the right".into(),
        Path::Nudge => "moves around a double-parked car".into(),
        Path::Straight => straight_act(scene),
    }
}

fn straight_act(scene: &Scene) -> String {
    let along = match scene.bend {
        Bend::Straight => "drives straight",
        Bend::Left => "follows a bend to the left",
        Bend::Right => "follows a bend to the right",
    };
    match scene.ego.speed {
        Speed::Steady => format!("{along} at a steady speed"),
        Speed::SpeedsUp => format!("{along} and speeds up"),
        Speed::Slows => format!("{along} and slows down"),
        Speed::Stops => format!("slows down and stops {}", stop_place(scene)),
        Speed::StopsAndGoes => format!("stops {} and then drives on", stop_place(scene)),
        Speed::Starts => "waits at the red light and starts when it turns green".into(),
        Speed::Waits => "waits at the red light".into(),
    }
}

/// What marks the works.
pub(crate) fn work_objects(objects: WorkObjects) -> &'static str {
    match objects {
        WorkObjects::Cones => "cones",
        WorkObjects::Barriers => "striped barriers",
        WorkObjects::Machine => "a work machine",
    }
}

/// Everything that lines or blocks the road, each as a noun phrase, the most important first.
pub(crate) fn sights(scene: &Scene) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    if let Some(construction) = &scene.construction {
        let workers = match construction.workers {
            _ if answer::directs(scene) => " and a worker who directs traffic",
            Some(_) => " and workers",
            None => "",
        };
        all.push(format!("{}{workers}", work_objects(construction.objects)));
    }
    match (scene.kerb, scene.kerb_vehicle) {
        (Kerb::Emergency, Some(vehicle)) => all.push(format!("{} with flashing lights", a(kind(vehicle.kind)))),
        (Kerb::Loading, _) => all.push("a delivery van that is loaded".into()),
        (Kerb::BusStop, _) => all.push("a bus at its stop".into()),
        (Kerb::DoubleParked, _) if scene.ego.path != Path::Nudge => all.push("a double-parked car".into()),
        _ => {}
    }
    if let Some(sign) = scene.sign {
        all.push(a(self::sign(sign)));
    }
    match scene.cyclist {
        Cyclist::None => {}
        Cyclist::Left => all.push("a cyclist on the left".into()),
        Cyclist::Right => all.push("a cyclist on the right".into()),
        Cyclist::Crosses => all.push("a cyclist who crosses".into()),
    }
    let special = |v: &&Vehicle| !matches!(v.kind, Kind::Car | Kind::Suv);
    all.extend(scene.oncoming.iter().filter(special).map(|v| format!("an oncoming {}", kind(v.kind))));
    match scene.hazard {
        Hazard::None => {}
        Hazard::Debris => all.push("debris on the road".into()),
        Hazard::Pothole => all.push("potholes".into()),
        Hazard::Water => all.push("standing water".into()),
    }
    if scene.parked != Sides::None {
        all.push(format!("parked cars {}", sides(scene.parked)));
    }
    if scene.crosswalk {
        all.push("a crosswalk".into());
    }
    match scene.structure {
        Structure::None => {}
        Structure::Overpass => all.push("an overpass".into()),
        Structure::MedianBarrier => all.push("a median barrier".into()),
        Structure::Guardrail => all.push("a guardrail".into()),
    }
    all
}

/// `x, y and z`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
