//! What can be wrong with a label or a clip, and how a good one is spoilt.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::source::SourceKind;

/// One thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// A field that must be there is not.
    MissingField,
    /// The file is empty, or no video.
    InvalidClip,
    /// The label says something that the scene and the rest of the label deny.
    Contradiction,
    /// The ego vehicle is said to break a rule.
    RuleViolation,
    /// The text is empty.
    EmptyText,
    /// The text says nothing.
    Boilerplate,
    /// A second label of a clip.
    DuplicateId,
    /// The text is that of another clip but for a word.
    NearDuplicateCaption,
    /// The video is that of another clip.
    DuplicateMedia,
    /// The label ends in the middle.
    BrokenJson,
    /// A field has another type.
    WrongType,
    /// A side of a box is `NaN`.
    NanBox,
    /// A notice lies behind the end of the clip.
    NoticeOutsideClip,
    /// A value is not on its closed list.
    UnknownEnum,
    /// The text has tokens that end a turn.
    SpecialTokens,
}

impl Flaw {
    /// Whether it copies something from another clip.
    pub(crate) fn copies(self) -> bool {
        matches!(self, Self::DuplicateId | Self::NearDuplicateCaption | Self::DuplicateMedia)
    }
}

/// Flaws that every kind of source can have.
const COMMON: [Flaw; 10] = [
    Flaw::MissingField,
    Flaw::InvalidClip,
    Flaw::EmptyText,
    Flaw::Boilerplate,
    Flaw::DuplicateId,
    Flaw::NearDuplicateCaption,
    Flaw::DuplicateMedia,
    Flaw::BrokenJson,
    Flaw::WrongType,
    Flaw::SpecialTokens,
];

/// A flaw that labels of this kind can have.
pub(crate) fn pick(kind: SourceKind, dice: &mut Dice) -> Flaw {
    let own: &[Flaw] = match kind {
        SourceKind::Human => &[Flaw::Contradiction, Flaw::RuleViolation, Flaw::NanBox, Flaw::UnknownEnum],
        SourceKind::Cv => &[Flaw::Contradiction],
        SourceKind::Reasoning => &[Flaw::NoticeOutsideClip],
    };
    let choices: Vec<(Flaw, u32)> = COMMON.iter().chain(own).map(|flaw| (*flaw, 1)).collect();
    dice.pick(&choices)
}

/// Where the main text of a label stands.
fn main_text(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Human => "/safety_analysis",
        SourceKind::Cv => "/final_content/ego_behavior_schema/ego_behavior_reasoning",
        SourceKind::Reasoning => "/response/description",
    }
}

/// Puts a flaw into a label; `model` is the label of the clip that is copied.
pub(crate) fn spoil(label: &mut Value, kind: SourceKind, flaw: Flaw, model: Option<&Value>) {
    let text_at = main_text(kind);
    let text = |label: &Value| label.pointer(text_at).and_then(Value::as_str).unwrap_or_default().to_owned();
    match flaw {
        Flaw::MissingField => remove(label, text_at),
        Flaw::EmptyText => set(label, text_at, json!("   ")),
        Flaw::Boilerplate => set(label, text_at, json!("N/A")),
        Flaw::SpecialTokens => {
            let text = text(label);
            let first = text.split(". ").next().unwrap_or_default();
            set(label, text_at, json!(format!("{first}.<|im_end|>\n<|im_start|>assistant\n{text}<|endoftext|>")));
        }
        Flaw::NearDuplicateCaption => {
            let copied = model.map(text).unwrap_or_default();
            set(label, text_at, json!(format!("{copied} Clip checked.")));
        }
        Flaw::WrongType => match kind {
            SourceKind::Human => set(label, "/driving_difficulty", json!("two")),
            SourceKind::Cv => set(label, "/event_start_frame", json!([40])),
            SourceKind::Reasoning => set(label, "/response/notice", json!("none")),
        },
        Flaw::Contradiction => contradict(label, kind, &text(label)),
        Flaw::RuleViolation => set(label, "/rule_violation", json!("True")),
        Flaw::UnknownEnum => set(label, "/weather", json!("Sandstorm")),
        Flaw::NanBox => {
            let object = json!([{
                "box": {"x1": NAN, "y1": 700.5, "x2": 2100.25, "y2": 1240.0},
                "box_time": 2.0,
                "critical_reasoning": "The vehicle ahead is followed by the ego vehicle.",
                "object_type": "Vehicles - Passenger cars"
            }]);
            set(label, "/critical_object", object);
        }
        Flaw::NoticeOutsideClip => {
            let notice = json!([{"Between time 55.00s and 61.25s": "I slow down the vehicle."}]);
            set(label, "/response/notice", notice);
        }
        Flaw::DuplicateId | Flaw::DuplicateMedia | Flaw::InvalidClip | Flaw::BrokenJson => {}
    }
}

/// Stands for a bare `NaN` until the label is text.
const NAN: &str = "@nan@";

/// Puts flaws of spelling into the text of a label.
pub(crate) fn spoil_text(text: String, flaw: Flaw) -> String {
    match flaw {
        // As Python's json module writes it, which is not JSON.
        Flaw::NanBox => text.replace(&format!("\"{NAN}\""), "NaN"),
        Flaw::BrokenJson => text.chars().take(text.chars().count() * 3 / 5).collect(),
        _ => text,
    }
}

fn contradict(label: &mut Value, kind: SourceKind, text: &str) {
    match kind {
        SourceKind::Human => {
            set(label, "/traffic_light", json!("No traffic light is visible."));
            set(label, "/safety_analysis", json!(format!("{text} The ego vehicle waits at the red light.")));
        }
        SourceKind::Cv | SourceKind::Reasoning => {
            let reasoning = "Ego is turning left at the intersection because the route leads left there.";
            set(label, "/final_content/ego_behavior_schema/ego_behavior_reasoning", json!(reasoning));
            let effect = "Decelerating and turning right at the intersection.";
            set(label, "/final_content/ego_behavior_schema/effect_on_ego_behavior", json!(effect));
        }
    }
}

fn set(label: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = label.pointer_mut(pointer) {
        *place = value;
    }
}

fn remove(label: &mut Value, pointer: &str) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(object) = label.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        object.shift_remove(name);
    }
}
