//! Multiple-choice questions: the pool's, and those drawn for a clip.

use serde::{Deserialize, Serialize};

/// What a question is about: the recipe's six areas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Environment, weather, time of day, lanes, signs, junctions.
    SceneDescription,
    /// Vehicles, lights, construction, hazards.
    KeyObjects,
    /// People and where they are.
    CharactersInteractions,
    /// What others do.
    ActionsMotion,
    /// What the ego vehicle does.
    EgoVehicleBehavior,
    /// Positions, order of events, absence.
    SpatialTemporal,
}

impl Category {
    /// All of them, in the order of the recipe's scope table.
    pub const ALL: [Self; 6] = [
        Self::SceneDescription,
        Self::KeyObjects,
        Self::CharactersInteractions,
        Self::ActionsMotion,
        Self::EgoVehicleBehavior,
        Self::SpatialTemporal,
    ];

    /// Name in tables and figures.
    pub fn title(self) -> &'static str {
        match self {
            Self::SceneDescription => "Scene Description",
            Self::KeyObjects => "Key Objects",
            Self::CharactersInteractions => "Characters & Interactions",
            Self::ActionsMotion => "Actions & Motion",
            Self::EgoVehicleBehavior => "Ego Vehicle Behavior",
            Self::SpatialTemporal => "Spatial & Temporal",
        }
    }
}

/// A question of the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Name, unique in the pool, such as `scene_weather`.
    pub id: String,
    /// Area.
    pub category: Category,
    /// Whether every clip gets it.
    #[serde(default)]
    pub required: bool,
    /// The question.
    pub text: String,
    /// The choices, in the pool's order.
    pub options: [String; 4],
}

/// One question about one clip, as it is shown: a line of a frozen benchmark, and a request that `infer` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchmarkItem {
    /// `<clip>/<question id>`.
    pub id: String,
    /// Name of the clip; items of a clip are one cluster.
    pub clip: String,
    /// Path of the video, relative to the folder of the file.
    pub video: String,
    /// Name of the question in the pool.
    pub question_id: String,
    /// Area of the question.
    pub category: Category,
    /// Whether every clip has this question.
    pub required: bool,
    /// The question.
    pub question: String,
    /// The choices in the order shown; the first is A.
    pub options: [String; 4],
    /// For each choice shown, its place in the pool's order.
    pub permutation: [u8; 4],
    /// Place of the right choice in the order shown, 0 to 3.
    pub answer: u8,
    /// Where the answer comes from, such as `world`.
    pub answer_source: String,
    /// System text of the request; none if empty.
    #[serde(default)]
    pub system: String,
    /// User text of the request: question, choices, what to answer.
    pub prompt: String,
    /// Name and version of the form that made the prompt.
    pub prompt_version: String,
}

impl BenchmarkItem {
    /// Letter of a place: A for 0.
    pub fn letter(place: u8) -> char {
        char::from(b'A' + place.min(25))
    }
}
