//! Timed notices: `Between time 10.18s and 17.07s`, as reasoning labels write them.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use crate::json::At;
use crate::reason::{Problem, Reason};

/// An event with its time, in seconds from the start of the clip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub start_s: f64,
    pub end_s: f64,
    pub text: String,
}

impl Notice {
    /// One element of the list: an object of one key, or a text that begins with the times.
    pub fn parse(at: &At<'_>) -> Result<Self, Problem> {
        match at.value {
            Value::Object(object) if object.len() == 1 => {
                let (key, field) = at.fields()?.next().ok_or_else(|| bad_key(at, ""))?;
                let (start_s, end_s, _) = times(key, at)?;
                Ok(Self { start_s, end_s, text: field.text()? })
            }
            Value::Object(_) => Err(at.problem(Reason::NoticeKey, "expected an object of exactly one key")),
            _ => {
                let text = at.text()?;
                let (start_s, end_s, rest) = times(&text, at)?;
                Ok(Self { start_s, end_s, text: rest.trim().to_owned() })
            }
        }
    }
}

/// Start, end and what follows them.
fn times<'t>(text: &'t str, at: &At<'_>) -> Result<(f64, f64, &'t str), Problem> {
    let found = pattern().and_then(|pattern| pattern.captures(text)).ok_or_else(|| bad_key(at, text))?;
    let number = |group: usize| found.get(group).and_then(|m| m.as_str().parse::<f64>().ok());
    let (Some(start), Some(end)) = (number(1), number(2)) else { return Err(bad_key(at, text)) };
    if end <= start {
        let message = format!("{start} s to {end} s: the end is not after the start");
        return Err(at.problem(Reason::NoticeOutsideClip, message));
    }
    let rest = found.get(0).map_or("", |whole| text.get(whole.end()..).unwrap_or_default());
    Ok((start, end, rest))
}

fn bad_key(at: &At<'_>, text: &str) -> Problem {
    let shown: String = text.chars().take(60).collect();
    at.problem(Reason::NoticeKey, format!("expected `Between time A s and B s`, got {shown:?}"))
}

fn pattern() -> Option<&'static Regex> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let text = r"(?i)^\s*between\s+(?:time\s+)?(\d+(?:\.\d+)?)\s*s?\s*(?:and|to|[-\u{2010}-\u{2015}])\s*(\d+(?:\.\d+)?)\s*s?\s*:?";
    PATTERN.get_or_init(|| Regex::new(text).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_of_times() {
        let check = |value: Value, expect: Result<(f64, f64, &str), Reason>| {
            let got = Notice::parse(&At::root(&value));
            let got = got.as_ref().map(|n| (n.start_s, n.end_s, n.text.as_str())).map_err(|p| p.reason);
            assert_eq!(got, expect, "{value}");
        };
        check(json!({"Between time 10.18s and 17.07s": "A."}), Ok((10.18, 17.07, "A.")));
        check(json!({"Between 8.3s\u{2013}11.3s": "A."}), Ok((8.3, 11.3, "A.")));
        check(json!({"between 8s and 9 s:": "A."}), Ok((8.0, 9.0, "A.")));
        check(json!("Between 8.3s\u{2013}11.3s: Crossing."), Ok((8.3, 11.3, "Crossing.")));
        check(json!({"At 8 s": "A."}), Err(Reason::NoticeKey));
        check(json!({"Between -1s and 3s": "A."}), Err(Reason::NoticeKey));
        check(json!({"Between 9s and 3s": "A."}), Err(Reason::NoticeOutsideClip));
        check(json!({"Between 1s and 3s": 5}), Err(Reason::WrongType));
        check(json!({}), Err(Reason::NoticeKey));
        check(json!(3), Err(Reason::WrongType));
    }
}
