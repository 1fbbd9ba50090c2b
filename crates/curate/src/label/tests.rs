//! Labels of the three sources: what is read, and why something is refused.

use super::*;
use serde_json::json;

const FRAME: BoxFrame = BoxFrame { width: 3840.0, height: 2440.0 };

fn human() -> Value {
    json!({
        "weather": "Overcast", "lighting": "Daytime (diffused light)", "road_conditions": "Dry asphalt",
        "traffic_light": "No traffic light is visible.", "traffic_sign": null, "additional_traffic_rules": null,
        "road_type": "Local street", "junction_type": "Straight segment", "lane_type": "One lane",
        "additional_map_rules": null, "interactive_expanded_metaaction": ["Vehicle following"],
        "noninteractive_expanded_metaaction": null,
        "safety_analysis": "The ego vehicle follows a gray SUV on a local street.",
        "driving_difficulty": 2, "rule_violation": "False", "interesting_scenario": "True",
        "critical_object": [{"box": {"x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0}, "box_time": 2,
            "critical_reasoning": "It is followed.", "object_type": "Vehicles"}]
    })
}

/// A label with one value at a pointer set, or removed.
fn with(mut label: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = label.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(object), Some(value)) => drop(object.insert(key.into(), value)),
        (Value::Object(object), None) => drop(object.remove(key)),
        _ => panic!("no object at {pointer}"),
    }
    label
}

fn check(kind: SourceKind, label: &Value, expect: Option<(Reason, &str)>) {
    let got = Label::parse(kind, label, FRAME).err().map(|problem| (problem.reason, problem.pointer));
    assert_eq!(got.as_ref().map(|(reason, at)| (*reason, at.as_str())), expect, "{label}");
}

#[test]
fn human_labels() {
    use Reason::*;
    let check = |pointer: &str, value: Option<Value>, expect: Option<Reason>| {
        let expect = expect.map(|reason| (reason, pointer));
        check(SourceKind::Human, &with(human(), pointer, value), expect);
    };
    check("/extra", Some(json!(1)), None);
    check("/weather", None, Some(MissingField));
    check("/weather", Some(json!("Hail")), Some(UnknownValue));
    check("/weather", Some(json!(3)), Some(WrongType));
    check("/traffic_light", None, Some(MissingField));
    check("/traffic_light", Some(Value::Null), None);
    check("/critical_object", None, None);
    check("/noninteractive_expanded_metaaction", None, None);
    check("/interactive_expanded_metaaction", Some(json!("Vehicle following")), Some(WrongType));
    check("/driving_difficulty", Some(json!(9)), Some(OutOfRange));
    check("/driving_difficulty", Some(json!("2")), Some(WrongType));
    check("/rule_violation", Some(json!(false)), None);
    check("/rule_violation", Some(json!("maybe")), Some(UnknownValue));
    check("/critical_object/0/box/x1", Some(json!("1")), Some(WrongType));
}

#[test]
fn boxes() {
    let check = |text: &str, expect: Option<(Reason, &str)>| {
        let bounds = crate::json::parse(text).unwrap();
        let mut label = human();
        *label.pointer_mut("/critical_object/0/box").unwrap() = bounds;
        super::tests::check(SourceKind::Human, &label, expect);
    };
    let place = "/critical_object/0/box";
    check(r#"{"x1": 1, "y1": 2, "x2": 3, "y2": 4}"#, None);
    check(r#"{"x1": NaN, "y1": 2, "x2": 3, "y2": 4}"#, Some((Reason::NanBox, "/critical_object/0/box/x1")));
    check(r#"{"x1": 3, "y1": 2, "x2": 1, "y2": 4}"#, Some((Reason::InvertedBox, place)));
    check(r#"{"x1": 3, "y1": 2, "x2": 9000, "y2": 4}"#, Some((Reason::BoxOutside, place)));
    check(r#"{"x1": 3, "y1": 2, "x2": 9}"#, Some((Reason::MissingField, "/critical_object/0/box/y2")));
}

#[test]
fn three_components_in_any_spelling() {
    let check = |label: Value| {
        let Ok(Label::ThreePart(label)) = Label::parse(SourceKind::Human, &label, FRAME) else { panic!("{label}") };
        assert_eq!(label.caption(), "I drive.\n\nDriving difficulty: Rain.\n\nNotice: A light.");
    };
    check(json!({"general_description": "I drive.", "driving_difficulty": "Rain.", "notice": "A light."}));
    check(json!({"General Description": "I drive.", "driving difficulity": "Rain.", "Notice": ["A light."]}));
    check(
        json!({"general description": "I drive.", "driving difficulity explanation": "Rain.", "notices": ["A light.", ""]}),
    );
}

#[test]
fn cv_and_reasoning_labels() {
    let cv = json!({"event_start_frame": 40, "event_start_timestamp": 1635960777652742i64, "final_content":
        {"ego_behavior_schema": {"ego_behavior_reasoning": "A.", "effect_on_ego_behavior": "B.", "difficulty_score": 3}}});
    check(SourceKind::Cv, &cv, None);
    let inner = "/final_content/ego_behavior_schema/difficulty_score";
    check(SourceKind::Cv, &with(cv.clone(), inner, Some(json!(7))), Some((Reason::OutOfRange, inner)));
    check(SourceKind::Cv, &with(cv, "/final_content", None), Some((Reason::MissingField, "/final_content")));
    let reasoning = json!({"response": {"description": "I drive.", "driving difficulity explanation": "Rain.",
        "notice": [{"Between time 10.18s and 17.07s": "A light."}]}});
    check(SourceKind::Reasoning, &reasoning, None);
    let label = Label::parse(SourceKind::Reasoning, &reasoning, FRAME).unwrap();
    let outside = |seconds| label.outside(ClipLength { duration_s: seconds, frames: None }, 0.1).is_some();
    assert_eq!((outside(None), outside(Some(17.0)), outside(Some(16.0))), (false, false, true));
    check(
        SourceKind::Reasoning,
        &json!({"response": {"description": 1}}),
        Some((Reason::MissingField, "/response/notice")),
    );
    check(SourceKind::Reasoning, &json!([]), Some((Reason::WrongType, "")));
}

#[test]
fn contradictions() {
    let check = |pointer: &str, value: &str, text: &str, expect: bool| {
        let label = with(with(human(), pointer, Some(json!(value))), "/safety_analysis", Some(json!(text)));
        let label = Label::parse(SourceKind::Human, &label, FRAME).unwrap();
        assert_eq!(label.contradiction().is_some(), expect, "{pointer} {value:?} {text:?}");
    };
    check("/traffic_light", "No traffic light", "The ego vehicle stops for a red light.", true);
    check("/traffic_light", "Red light, the ego vehicle stops.", "The ego vehicle stops for a red light.", false);
    check("/traffic_light", "N/A", "There is no red light ahead.", false);
    check("/lighting", "Night (well-lit by streetlights)", "It is sunny and the road is free.", true);
    check("/lighting", "Night (well-lit by streetlights)", "The lamps are lit.", false);
    check("/lighting", "Daytime (direct sunlight)", "The ego vehicle drives at night.", true);
    check("/weather", "Light rain", "A sunny street.", true);
    check("/weather", "Heavy rain", "The ego vehicle drives slowly.", true);
    check("/weather", "Clear skies", "No vehicle ahead, no lead vehicle.", true);
    check("/weather", "Clear skies", "The ego vehicle follows a bus.", false);
}
