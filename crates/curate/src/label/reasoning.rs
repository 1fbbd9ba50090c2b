//! Reasoning labels in the first person, with timed notices.

use serde_json::{Map, Value};

use super::{Notice, required_of};
use crate::json::At;
use crate::reason::Problem;

/// A reasoning label; the misspelt key of the source's files is accepted in any spelling.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reasoning {
    pub description: String,
    pub difficulty: String,
    pub notices: Vec<Notice>,
}

impl Reasoning {
    pub fn parse(at: &At<'_>) -> Result<Self, Problem> {
        let response = at.required("response")?;
        let notices = required_of(&response, &["notice", "notices"])?.elements()?;
        Ok(Self {
            description: required_of(&response, &["description", "general description"])?.text()?,
            difficulty: required_of(&response, &["driving difficulty explanation", "driving difficulty"])?.text()?,
            notices: notices.iter().map(Notice::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The answer as JSON, with keys spelled right.
    pub fn json(&self) -> Value {
        let notices = self.notices.iter().map(|notice| {
            let key = format!("Between {:.2}s and {:.2}s", notice.start_s, notice.end_s);
            Value::Object(Map::from_iter([(key, Value::from(notice.text.as_str()))]))
        });
        serde_json::json!({
            "description": self.description,
            "driving_difficulty_explanation": self.difficulty,
            "notice": notices.collect::<Vec<_>>(),
        })
    }

    /// The answer as prose: description, difficulty, a line a notice.
    pub fn prose(&self) -> String {
        let mut text = format!("{}\n\nDriving difficulty: {}", self.description, self.difficulty);
        for notice in &self.notices {
            text.push_str(&format!("\nBetween {:.2}s and {:.2}s: {}", notice.start_s, notice.end_s, notice.text));
        }
        text
    }
}
