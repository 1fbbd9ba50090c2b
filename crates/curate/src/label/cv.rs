//! Auto-labels of driving decisions with their causes.

use crate::json::At;
use crate::reason::Problem;

/// What is learnt from an auto-label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cv {
    pub event_start_frame: i64,
    pub reasoning: String,
    pub effect: String,
}

impl Cv {
    pub fn parse(at: &At<'_>) -> Result<Self, Problem> {
        let schema = at.required("final_content")?.required("ego_behavior_schema")?;
        at.required("event_start_timestamp")?.integer_in(0, i64::MAX)?;
        schema.required("difficulty_score")?.integer_in(1, 4)?;
        Ok(Self {
            event_start_frame: at.required("event_start_frame")?.integer_in(0, i64::MAX)?,
            reasoning: schema.required("ego_behavior_reasoning")?.text()?,
            effect: schema.required("effect_on_ego_behavior")?.text()?,
        })
    }

    /// The cause, then the decision.
    pub fn caption(&self) -> String {
        match self.effect.is_empty() {
            true => self.reasoning.clone(),
            false => format!("{}\n\nEffect on ego behavior: {}", self.reasoning, self.effect),
        }
    }
}
