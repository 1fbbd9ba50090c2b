//! Captions: what an annotator would write about a clip, and a plainer kind for pre-training.

use crate::dice::Dice;
use crate::scene::*;
use crate::words;

/// No caption is longer, in words.
const WORDS_MAX: usize = 60;

/// The reference caption: what the ego vehicle does, where, who else is there. True; 25 to 60 words; one of three forms.
pub fn caption(scene: &Scene) -> String {
    let place = format!("{} {}", words::time(scene.time), words::weather(scene.weather));
    let road = words::a(&words::road_with_lanes(scene));
    let ego = words::ego_act(scene);
    let lead = |none: &str, subject: &str| match &scene.lead {
        None => format!("{none}."),
        Some(lead) => {
            let close = if scene.ego.too_close { " It is followed too closely." } else { "" };
            let vehicle = words::vehicle(lead.vehicle);
            format!("{} {} {}.{close}", words::capital(&words::a(&vehicle)), subject, words::lead_act(lead.act))
        }
    };
    let mut sentences = match form(scene) {
        0 => vec![format!("The ego vehicle {ego} on {road} {place}."), lead("No lead vehicle is ahead", "ahead")],
        1 => vec![
            format!("{}, the ego vehicle drives on {road}.", words::capital(&place)),
            format!("It {ego}."),
            lead("There is no lead vehicle", "in front"),
        ],
        _ => vec![format!("On {road}, {place}, the ego vehicle {ego}."), lead("The lane ahead is free", "ahead")],
    };
    if scene.light.is_some() && scene.ego.speed != Speed::Starts && scene.ego.speed != Speed::Waits {
        sentences.push(format!("{}.", words::light(scene.light)));
    }
    sentences.push(people(scene));
    if let Some(crosser) = &scene.crosser {
        let vehicle = words::capital(&words::a(&words::vehicle(crosser.vehicle)));
        sentences.push(format!("{vehicle} crosses from the {}.", words::side(crosser.from)));
    }
    if sentences.iter().map(|s| s.split_whitespace().count()).sum::<usize>() > WORDS_MAX {
        sentences.pop();
    }
    fill(sentences, scene)
}

/// Which of the three forms a scene's caption has.
pub(crate) fn form(scene: &Scene) -> u64 {
    Dice::new(scene.seed ^ 0xca97_1011).below(3)
}

fn people(scene: &Scene) -> String {
    match &scene.people {
        None => "No pedestrians are visible.".into(),
        Some(people) => format!("{} {}.", words::capital(&words::party(people)), words::people_act(people)),
    }
}

/// Adds what else is there, as far as the words allow.
fn fill(mut sentences: Vec<String>, scene: &Scene) -> String {
    let count = |text: &str| text.split_whitespace().count();
    let mut left = WORDS_MAX.saturating_sub(sentences.iter().map(|s| count(s)).sum::<usize>() + 3);
    let mut named = Vec::new();
    for sight in words::sights(scene).into_iter().take(6) {
        let Some(rest) = left.checked_sub(count(&sight)) else { break };
        left = rest;
        named.push(sight);
    }
    if !named.is_empty() {
        let verb =
            if named.len() == 1 && (named[0].starts_with("a ") || named[0].starts_with("an ")) { "is" } else { "are" };
        sentences.push(format!("{} {verb} visible.", words::capital(&words::list(&named))));
    }
    let text = sentences.join(" ");
    // A quiet road: say what lies beside it and what it is like.
    if count(&text) < 40 {
        let quiet = format!("The road is {} and runs past {}.", words::surface(scene.surface), words::land(scene.land));
        return format!("{text} {quiet}");
    }
    text
}

/// A caption for pre-training: what is visible, in the order of the picture, without why.
pub fn general_caption(scene: &Scene) -> String {
    let mut text = format!(
        "A front camera shows {} {} {}. The surface is {}. Beside the road are {}.",
        words::a(words::road(scene.road)),
        words::time(scene.time),
        words::weather(scene.weather),
        words::surface(scene.surface),
        words::land(scene.land),
    );
    let lanes = words::number(usize::from(scene.lanes));
    text += &format!(" The road has {lanes} {} ahead.", if scene.lanes == 1 { "lane" } else { "lanes" });
    match &scene.lead {
        Some(lead) => {
            let vehicle = words::a(&words::vehicle(lead.vehicle));
            text += &format!(" {} is in front and {}.", words::capital(&vehicle), words::lead_act(lead.act));
        }
        None => text += " Nobody is in front.",
    }
    if scene.light.is_some() {
        text += &format!(" {}.", words::light(scene.light));
    }
    if scene.people.is_some() {
        text += &format!(" {}", people(scene));
    }
    let sights = words::sights(scene);
    if let [first, rest @ ..] = &sights[..] {
        let named = [std::slice::from_ref(first), &rest[..rest.len().min(1)]].concat();
        text += &format!(" One can see {}.", words::list(&named));
    }
    text += &format!(" The car with the camera {}.", words::ego_act(scene));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    #[test]
    fn captions_have_25_to_60_words() {
        let mut lengths = BTreeMap::new();
        for seed in 0..800 {
            for domain in Domain::ALL {
                let text = caption(&Scene::draw(seed, *domain));
                let count = text.split_whitespace().count();
                *lengths.entry(count).or_insert(0) += 1;
                assert!((25..=60).contains(&count), "{count} words: {text}");
            }
        }
    }

    #[test]
    fn captions_tell_scenes_apart_and_use_few_words() {
        let texts: Vec<String> = (0..500).map(|seed| caption(&Scene::draw(seed, Domain::Fleet))).collect();
        assert!(texts.iter().collect::<HashSet<_>>().len() > 490);
        let words: HashSet<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
        assert!(words.len() < 500, "{} words", words.len());
    }
}
