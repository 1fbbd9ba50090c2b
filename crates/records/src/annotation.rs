//! Annotations of the recipe's three sources, spelled as its files spell them.
//!
//! Formats: the examples of the recipe's page (human captions, computer-vision auto-captions, reasoning SFT); the human
//! fields are also those of cosmos-cookbook's `av_video_caption_vqa` labels. Fields are optional where real files lack them;
//! what a stage needs, it checks itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A human label: 17 fields, all written, null where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HumanAnnotation {
    /// Weather, from a closed list.
    pub weather: Option<String>,
    /// Light, from a closed list.
    pub lighting: Option<String>,
    /// Condition and surface of the road.
    pub road_conditions: Option<String>,
    /// State of the traffic light and what the ego vehicle does about it.
    pub traffic_light: Option<String>,
    /// All signs that matter.
    pub traffic_sign: Option<String>,
    /// Construction, school zone, crosswalk.
    pub additional_traffic_rules: Option<String>,
    /// Kind of road.
    pub road_type: Option<String>,
    /// Kind of junction, or that there is none.
    pub junction_type: Option<String>,
    /// Number and kinds of lanes.
    pub lane_type: Option<String>,
    /// Road markings.
    pub additional_map_rules: Option<String>,
    /// What the ego vehicle does because of others, from a closed list.
    pub interactive_expanded_metaaction: Option<Vec<String>>,
    /// What the ego vehicle does on its own account.
    pub noninteractive_expanded_metaaction: Option<Vec<String>>,
    /// A paragraph: situation, actions, safety.
    pub safety_analysis: Option<String>,
    /// 1 (very easy) to 4 (very difficult).
    pub driving_difficulty: Option<i64>,
    /// `True` or `False`, as text.
    pub rule_violation: Option<String>,
    /// `True` or `False`, as text.
    pub interesting_scenario: Option<String>,
    /// Objects that decide what the ego vehicle does.
    pub critical_object: Option<Vec<CriticalObject>>,
}

/// An object that decides what the ego vehicle does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriticalObject {
    /// Where it is in the picture.
    #[serde(rename = "box")]
    pub bounds: BoxXyxy,
    /// When the box holds, in seconds from the start of the clip.
    pub box_time: f64,
    /// Why it is critical.
    pub critical_reasoning: String,
    /// Class, such as `Vehicles - Light trucks & SUVs`.
    pub object_type: String,
}

/// A box in pixels of the annotated frame, which may be larger than the clip's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxXyxy {
    /// Left.
    pub x1: f64,
    /// Top.
    pub y1: f64,
    /// Right.
    pub x2: f64,
    /// Bottom.
    pub y2: f64,
}

/// An auto-label of one driving decision, with its cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CvAnnotation {
    /// Frame of the decision.
    pub event_start_frame: i64,
    /// Time of the decision, in microseconds of the epoch.
    pub event_start_timestamp: i64,
    /// The label.
    pub final_content: CvContent,
}

/// `final_content` of a [`CvAnnotation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CvContent {
    /// The decision.
    pub ego_behavior_schema: EgoBehavior,
}

/// A driving decision and what caused it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EgoBehavior {
    /// What is seen and why it matters.
    pub ego_behavior_reasoning: String,
    /// What the ego vehicle does about it.
    pub effect_on_ego_behavior: String,
    /// Difficulty, 1 to 4.
    pub difficulty_score: i64,
}

/// A reasoning label in the first person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasoningAnnotation {
    /// The label.
    pub response: ReasoningResponse,
}

/// `response` of a [`ReasoningAnnotation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasoningResponse {
    /// What the driver does and why.
    pub description: String,
    /// Why the drive is hard; the key is misspelt in the recipe's files.
    #[serde(rename = "driving difficulity explanation")]
    pub driving_difficulty_explanation: String,
    /// Events, each an object of one key such as `Between time 10.18s and 17.07s`.
    pub notice: Vec<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_spelling() {
        let human = serde_json::to_value(HumanAnnotation::default()).unwrap();
        assert_eq!(human.as_object().unwrap().len(), 17);
        let reasoning = ReasoningAnnotation {
            response: ReasoningResponse {
                description: "I stop.".into(),
                driving_difficulty_explanation: "Rain.".into(),
                notice: vec![BTreeMap::from([("Between time 1.00s and 2.50s".into(), "A light.".into())])],
            },
        };
        let text = serde_json::to_string(&reasoning).unwrap();
        assert!(text.contains("driving difficulity explanation"), "{text}");
        assert_eq!(serde_json::from_str::<ReasoningAnnotation>(&text).unwrap(), reasoning);
    }
}
