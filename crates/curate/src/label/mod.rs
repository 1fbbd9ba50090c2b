//! Annotations of the three kinds, checked field by field.

mod contradiction;
mod cv;
mod human;
mod lists;
mod notice;
mod reasoning;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use cv::Cv;
pub(crate) use human::{Human, ThreePart};
#[cfg(test)]
pub(crate) use lists::{LIGHTING, META_ACTIONS, WEATHER};
pub(crate) use notice::Notice;
pub(crate) use reasoning::Reasoning;

use crate::json::At;
use crate::reason::{Problem, Reason};

/// Which of the recipe's annotation formats a source holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Human labels: 17 fields, or the three components.
    Human,
    /// Auto-labels of driving decisions.
    Cv,
    /// Reasoning labels with timed notices.
    Reasoning,
}

impl SourceKind {
    /// The name in configurations and prompt names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Cv => "cv",
            Self::Reasoning => "reasoning",
        }
    }
}

/// A label that passed the checks of its format.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Label {
    Human(Box<Human>),
    ThreePart(Box<ThreePart>),
    Cv(Cv),
    Reasoning(Reasoning),
}

/// Frame in which boxes of human labels are drawn, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoxFrame {
    pub width: f64,
    pub height: f64,
}

/// What is known of a clip's length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClipLength {
    pub duration_s: Option<f64>,
    pub frames: Option<u64>,
}

impl Label {
    /// Checks a label of a source's kind.
    pub fn parse(kind: SourceKind, value: &Value, frame: BoxFrame) -> Result<Self, Problem> {
        let at = At::root(value);
        match kind {
            SourceKind::Human if human::is_three_part(&at)? => Ok(Self::ThreePart(Box::new(ThreePart::parse(&at)?))),
            SourceKind::Human => Ok(Self::Human(Box::new(Human::parse(&at, frame)?))),
            SourceKind::Cv => Cv::parse(&at).map(Self::Cv),
            SourceKind::Reasoning => Reasoning::parse(&at).map(Self::Reasoning),
        }
    }

    /// The field that describes the clip: what may not be empty or boilerplate.
    pub fn main_text(&self) -> &str {
        match self {
            Self::Human(label) => &label.safety_analysis,
            Self::ThreePart(label) => &label.description,
            Self::Cv(label) => &label.reasoning,
            Self::Reasoning(label) => &label.description,
        }
    }

    /// The whole description: what is learnt as a caption and compared between clips.
    pub fn caption(&self) -> String {
        match self {
            Self::Human(label) => label.safety_analysis.clone(),
            Self::ThreePart(label) => label.caption(),
            Self::Cv(label) => label.caption(),
            Self::Reasoning(label) => label.description.clone(),
        }
    }

    /// Whether the label says that the ego vehicle breaks a rule.
    pub fn is_rule_violation(&self) -> bool {
        matches!(self, Self::Human(label) if label.rule_violation)
    }

    /// Two fields that deny each other, if there are such.
    pub fn contradiction(&self) -> Option<Problem> {
        match self {
            Self::Human(label) => contradiction::of_human(label),
            Self::Cv(label) => contradiction::of_cv(label),
            Self::ThreePart(_) | Self::Reasoning(_) => None,
        }
    }

    /// The first time in the label that lies outside the clip, by more than `slack_s`.
    pub fn outside(&self, clip: ClipLength, slack_s: f64) -> Option<Problem> {
        let problem = |pointer: String, message: String| Problem::at(Reason::NoticeOutsideClip, &pointer, message);
        match self {
            Self::Human(label) => {
                let end = clip.duration_s? + slack_s;
                let late = label.box_times_s.iter().enumerate().find(|(_, time)| **time > end)?;
                let message = format!("box_time {} s is after the end of the clip at {:.2} s", late.1, end - slack_s);
                Some(problem(format!("/critical_object/{}/box_time", late.0), message))
            }
            Self::Cv(label) => {
                let frames = clip.frames?;
                let late = label.event_start_frame as u64 >= frames;
                let message = format!("frame {} of a clip of {frames} frames", label.event_start_frame);
                late.then(|| problem("/event_start_frame".into(), message))
            }
            Self::Reasoning(label) => {
                let end = clip.duration_s? + slack_s;
                let (i, late) = label.notices.iter().enumerate().find(|(_, notice)| notice.end_s > end)?;
                let message =
                    format!("{:.2} s to {:.2} s in a clip of {:.2} s", late.start_s, late.end_s, end - slack_s);
                Some(problem(format!("/response/notice/{i}"), message))
            }
            Self::ThreePart(_) => None,
        }
    }
}

/// A key for comparison: lower case, one space between words, the source's misspelling mended.
pub(crate) fn plain_key(key: &str) -> String {
    let spaced: String = key.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ").replace("difficulity", "difficulty")
}

/// The field of an object whose key is one of `names`, however it is written.
pub(crate) fn field_of<'v>(at: &At<'v>, names: &[&str]) -> Result<Option<At<'v>>, Problem> {
    let mut found = at.fields()?.filter(|(key, field)| !field.value.is_null() && names.contains(&&*plain_key(key)));
    Ok(found.next().map(|(_, field)| field))
}

/// As [`field_of`]; its absence is a problem.
pub(crate) fn required_of<'v>(at: &At<'v>, names: &[&str]) -> Result<At<'v>, Problem> {
    field_of(at, names)?.ok_or_else(|| {
        let pointer = format!("{}/{}", at.pointer, names.first().unwrap_or(&""));
        Problem::at(Reason::MissingField, &pointer, "is missing")
    })
}

#[cfg(test)]
mod tests;
