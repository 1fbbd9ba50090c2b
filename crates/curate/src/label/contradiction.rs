//! Contradictions that can be seen in the label itself, without the video.
//!
//! Only what cannot be meant otherwise is called a contradiction: a false alarm costs a good clip.

use super::{Cv, Human};
use crate::reason::{Problem, Reason};
use crate::text::{contains, says, words};

/// What the text says about a thing that another field says is not there.
pub(crate) fn of_human(label: &Human) -> Option<Problem> {
    let text = words(&label.safety_analysis);
    let problem = |field: &str, value: &str, said: &str| {
        let message = format!("{value:?}, but safety_analysis says {said:?}");
        Some(Problem::at(Reason::Contradiction, &format!("/{field}"), message))
    };
    let weather = label.weather;
    let (night, rain) = (label.lighting.starts_with("Night"), weather.ends_with("rain"));
    let rules: [(&str, &str, bool, &[&str]); 6] = [
        (
            "traffic_light",
            label.traffic_light.as_deref().unwrap_or("null"),
            is_none(&label.traffic_light),
            &["red light", "green light", "yellow light", "red traffic light", "green traffic light", "red signal"],
        ),
        ("traffic_sign", label.traffic_sign.as_deref().unwrap_or("null"), is_none(&label.traffic_sign), &["stop sign"]),
        (
            "lighting",
            label.lighting,
            night,
            &["sunny", "sunlight", "bright sun", "sun glare", "in daylight", "daytime"],
        ),
        ("lighting", label.lighting, !night, &["at night", "nighttime", "in the dark"]),
        ("weather", weather, rain, &["clear skies", "clear sky", "sunny"]),
        (
            "weather",
            weather,
            weather == "Clear skies",
            &["heavy rain", "light rain", "raining", "snowing", "dense fog"],
        ),
    ];
    for (field, value, applies, phrases) in rules {
        if let Some(said) = phrases.iter().find(|phrase| applies && says(&text, phrase)) {
            return problem(field, value, said);
        }
    }
    let dry = label.road_conditions.as_deref().is_some_and(|road| says(&words(road), "dry"));
    if weather == "Heavy rain" && dry {
        let message = "\"dry\", but weather is \"Heavy rain\"";
        return Some(Problem::at(Reason::Contradiction, "/road_conditions", message));
    }
    let follows = label.meta_actions.as_ref().is_some_and(|actions| actions.contains(&"Vehicle following"));
    let alone = ["no vehicle ahead", "no lead vehicle", "no other vehicles", "no vehicles ahead"];
    match alone.iter().find(|phrase| follows && contains(&text, phrase)) {
        Some(said) => problem("interactive_expanded_metaaction", "Vehicle following", said),
        None => None,
    }
}

/// Cause and decision of an auto-label that turn to different sides.
pub(crate) fn of_cv(label: &Cv) -> Option<Problem> {
    let turns =
        |text: &[String], side: &str| says(text, &format!("turning {side}")) || says(text, &format!("turn {side}"));
    let sides = |text: &str| {
        let text = words(text);
        (turns(&text, "left"), turns(&text, "right"))
    };
    let differ = match (sides(&label.reasoning), sides(&label.effect)) {
        ((true, false), (false, true)) => ("left", "right"),
        ((false, true), (true, false)) => ("right", "left"),
        _ => return None,
    };
    let message = format!("turns {}, but ego_behavior_reasoning turns {}", differ.1, differ.0);
    Some(Problem::at(Reason::Contradiction, "/final_content/ego_behavior_schema/effect_on_ego_behavior", message))
}

/// Whether a field says that there is nothing of its kind. A sentence about several things does not.
fn is_none(field: &Option<String>) -> bool {
    let Some(text) = field else { return true };
    let text = text.trim().trim_end_matches('.').to_lowercase();
    let negated = ["no traffic light", "no traffic sign", "no sign", "no visible", "not visible", "there is no"];
    ["n/a", "none", "na", "", "no"].contains(&text.as_str())
        || (negated.iter().any(|start| text.starts_with(start)) && text.split_whitespace().count() <= 8)
}
