//! Human labels: the 17 fields, or the three components that the recipe's page describes.

use serde_json::Value;

use super::lists::{LIGHTING, META_ACTIONS, WEATHER, closed};
use super::{BoxFrame, field_of, required_of};
use crate::json::At;
use crate::reason::{Problem, Reason};

/// The fields of the 17 that are learnt or checked, values of closed lists in their canonical spelling.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Human {
    pub weather: &'static str,
    pub lighting: &'static str,
    pub road_conditions: Option<String>,
    pub traffic_light: Option<String>,
    pub traffic_sign: Option<String>,
    pub additional_traffic_rules: Option<String>,
    pub road_type: Option<String>,
    pub junction_type: Option<String>,
    pub lane_type: Option<String>,
    pub additional_map_rules: Option<String>,
    pub meta_actions: Option<Vec<&'static str>>,
    pub safety_analysis: String,
    pub driving_difficulty: i64,
    pub rule_violation: bool,
    pub interesting_scenario: bool,
    /// `box_time` of every critical object, in seconds.
    pub box_times_s: Vec<f64>,
}

impl Human {
    /// Checks a label of the 17 fields; `noninteractive_expanded_metaaction` is only checked for its type.
    pub fn parse(at: &At<'_>, frame: BoxFrame) -> Result<Self, Problem> {
        let text = |key: &str| at.optional(key)?.map(|field| field.text()).transpose();
        // These may say "nothing" by null, but a label without the key was not filled in.
        let present = |key: &str| match at.value.get(key) {
            None => at.required(key).map(|_| None),
            Some(_) => text(key),
        };
        let meta_actions = match at.optional("interactive_expanded_metaaction")? {
            Some(list) => {
                Some(list.elements()?.iter().map(|e| closed(e, META_ACTIONS)).collect::<Result<Vec<_>, _>>()?)
            }
            None => None,
        };
        if let Some(list) = at.optional("noninteractive_expanded_metaaction")? {
            list.elements()?.iter().try_for_each(|element| element.text().map(drop))?;
        }
        let objects = at.optional("critical_object")?.map(|list| list.elements()).transpose()?.unwrap_or_default();
        Ok(Self {
            weather: closed(&at.required("weather")?, WEATHER)?,
            lighting: closed(&at.required("lighting")?, LIGHTING)?,
            road_conditions: present("road_conditions")?,
            traffic_light: present("traffic_light")?,
            traffic_sign: present("traffic_sign")?,
            additional_traffic_rules: text("additional_traffic_rules")?,
            road_type: present("road_type")?,
            junction_type: present("junction_type")?,
            lane_type: present("lane_type")?,
            additional_map_rules: text("additional_map_rules")?,
            meta_actions,
            safety_analysis: at.required("safety_analysis")?.text()?,
            driving_difficulty: at.required("driving_difficulty")?.integer_in(1, 4)?,
            rule_violation: truth(&at.required("rule_violation")?)?,
            interesting_scenario: truth(&at.required("interesting_scenario")?)?,
            box_times_s: objects.iter().map(|object| box_time(object, frame)).collect::<Result<_, _>>()?,
        })
    }

    /// The 15 fields of the rubric in its order: boxes and non-interactive actions are not asked for.
    pub fn rubric(&self) -> Value {
        let truth = |value: bool| if value { "True" } else { "False" };
        serde_json::json!({
            "weather": self.weather,
            "lighting": self.lighting,
            "road_conditions": self.road_conditions,
            "traffic_light": self.traffic_light,
            "traffic_sign": self.traffic_sign,
            "additional_traffic_rules": self.additional_traffic_rules,
            "road_type": self.road_type,
            "junction_type": self.junction_type,
            "lane_type": self.lane_type,
            "additional_map_rules": self.additional_map_rules,
            "interactive_expanded_metaaction": self.meta_actions,
            "safety_analysis": self.safety_analysis,
            "driving_difficulty": self.driving_difficulty,
            "rule_violation": truth(self.rule_violation),
            "interesting_scenario": truth(self.interesting_scenario),
        })
    }
}

/// `True` or `False` as the data spell it, or a boolean as the rubric calls it.
fn truth(at: &At<'_>) -> Result<bool, Problem> {
    if let Value::Bool(value) = at.value {
        return Ok(*value);
    }
    match at.text()?.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(at.problem(Reason::UnknownValue, format!("{other:?} is neither \"True\" nor \"False\""))),
    }
}

/// Checks a critical object; returns its time in seconds.
fn box_time(object: &At<'_>, frame: BoxFrame) -> Result<f64, Problem> {
    let bounds = object.required("box")?;
    let side = |key: &str| bounds.required(key)?.number();
    let (x1, y1, x2, y2) = (side("x1")?, side("y1")?, side("x2")?, side("y2")?);
    if x2 <= x1 || y2 <= y1 {
        return Err(bounds.problem(Reason::InvertedBox, format!("({x1}, {y1}) to ({x2}, {y2}) has no area")));
    }
    if x1 < -1.0 || y1 < -1.0 || x2 > frame.width + 1.0 || y2 > frame.height + 1.0 {
        let message =
            format!("({x1}, {y1}) to ({x2}, {y2}) leaves the annotated frame of {} x {}", frame.width, frame.height);
        return Err(bounds.problem(Reason::BoxOutside, message));
    }
    for key in ["critical_reasoning", "object_type"] {
        object.required(key)?.text()?;
    }
    let time = object.required("box_time")?;
    match time.number()? {
        seconds if seconds >= 0.0 => Ok(seconds),
        seconds => Err(time.problem(Reason::NoticeOutsideClip, format!("{seconds} s is before the clip"))),
    }
}

/// A label of three components.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ThreePart {
    pub description: String,
    pub difficulty: String,
    pub notices: Vec<String>,
}

const DESCRIPTION: &[&str] = &["general description"];
const DIFFICULTY: &[&str] = &["driving difficulty", "driving difficulty explanation"];
const NOTICE: &[&str] = &["notice", "notices"];

/// Which of the two human formats a label is.
pub(crate) fn is_three_part(at: &At<'_>) -> Result<bool, Problem> {
    Ok(field_of(at, DESCRIPTION)?.is_some())
}

impl ThreePart {
    /// Checks a label whose keys may be written with spaces, underscores, or the source's misspelling.
    pub fn parse(at: &At<'_>) -> Result<Self, Problem> {
        let notice = required_of(at, NOTICE)?;
        let notices = match notice.value {
            Value::Array(_) => notice.elements()?.iter().map(words_of).collect::<Result<Vec<_>, _>>()?,
            _ => vec![words_of(&notice)?],
        };
        let difficulty = required_of(at, DIFFICULTY)?;
        Ok(Self {
            description: required_of(at, DESCRIPTION)?.text()?,
            difficulty: match difficulty.value {
                Value::Number(number) => number.to_string(),
                _ => difficulty.text()?,
            },
            notices: notices.into_iter().filter(|notice| !notice.is_empty()).collect(),
        })
    }

    /// The three components as one text.
    pub fn caption(&self) -> String {
        let mut text = self.description.clone();
        if !self.difficulty.is_empty() {
            text.push_str(&format!("\n\nDriving difficulty: {}", self.difficulty));
        }
        if !self.notices.is_empty() {
            text.push_str(&format!("\n\nNotice: {}", self.notices.join(" ")));
        }
        text
    }
}

/// A notice: a text, or an object of one key and a text.
fn words_of(at: &At<'_>) -> Result<String, Problem> {
    match at.value {
        Value::Object(_) => {
            let parts = at.fields()?.map(|(key, field)| Ok(format!("{key}: {}", field.text()?)));
            Ok(parts.collect::<Result<Vec<_>, Problem>>()?.join(" "))
        }
        _ => at.text(),
    }
}
