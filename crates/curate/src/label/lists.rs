//! Closed lists of the rubric, and the forgiving comparison with them.
//!
//! Source: the 15-field rubric of cosmos-cookbook's `av_video_caption_vqa`.

use crate::json::At;
use crate::reason::{Problem, Reason};

/// `weather`
pub(crate) const WEATHER: &[&str] =
    &["Clear skies", "Overcast", "Partly cloudy", "Light rain", "Heavy rain", "Light snow", "Dense fog", "N/A"];

/// `lighting`
pub(crate) const LIGHTING: &[&str] = &[
    "Daytime (diffused light)",
    "Daytime (low-contrast daylight)",
    "Daytime (direct sunlight)",
    "Night (poorly lit; few/no streetlights)",
    "Night (well-lit by streetlights)",
];

/// `interactive_expanded_metaaction`
pub(crate) const META_ACTIONS: &[&str] = &[
    "In-lane nudging",
    "Yield to VRUs",
    "Vehicle following",
    "Out-of-lane nudging",
    "Yield to vehicles",
    "Overtake VRUs",
    "Vehicle cut-in ahead",
    "React to animals",
    "Overtake vehicles",
];

/// The value of a closed list that the text means: case, white space and kinds of hyphen do not matter.
pub(crate) fn closed(at: &At<'_>, list: &'static [&'static str]) -> Result<&'static str, Problem> {
    let text = at.text()?;
    let wanted = folded(&text);
    if let Some(value) = list.iter().find(|value| folded(value) == wanted) {
        return Ok(value);
    }
    let near = list.iter().max_by(|a, b| {
        let close = |value: &str| strsim::jaro_winkler(&folded(value), &wanted);
        close(a).total_cmp(&close(b))
    });
    let hint = near.map(|near| format!("; the nearest is {near:?}")).unwrap_or_default();
    Err(at.problem(Reason::UnknownValue, format!("{text:?} is not one of the {} values{hint}", list.len())))
}

/// Lower case, one kind of hyphen, of quote and of space.
fn folded(text: &str) -> String {
    let plain = text.chars().filter_map(|c| match c {
        '\u{ad}' | '\u{200b}' | '\u{feff}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '\u{2018}' | '\u{2019}' => Some('\''),
        c if c.is_whitespace() => Some(' '),
        c => Some(c),
    });
    let plain: String = plain.collect::<String>().to_lowercase();
    let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    plain.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_spellings_are_the_value() {
        let check = |text: &str, list: &'static [&'static str], expect: Option<&str>| {
            let value = serde_json::Value::from(text);
            assert_eq!(closed(&At::root(&value), list).ok(), expect, "{text:?}");
        };
        check("Light rain", WEATHER, Some("Light rain"));
        check(" light  rain. ", WEATHER, Some("Light rain"));
        check("Daytime (low\u{2011}contrast\u{a0}daylight)", LIGHTING, Some("Daytime (low-contrast daylight)"));
        check("In\u{2013}lane nudging", META_ACTIONS, Some("In-lane nudging"));
        check("Hail", WEATHER, None);
        check("", WEATHER, None);
    }
}
