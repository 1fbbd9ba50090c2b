//! Open questions about a scene with two answers each, in the manner of LingoQA.

use crate::scene::*;
use crate::words;

/// An open question with two answers that say the same in other words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OpenQuestion {
    /// Name, unique in a scene.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answers.
    pub answers: [String; 2],
}

/// Five questions: what the ego vehicle does, the vehicle ahead, the light, the people, weather and time.
pub fn open_questions(scene: &Scene) -> Vec<OpenQuestion> {
    let ask = |id: &str, question: &str, answers: [String; 2]| OpenQuestion {
        id: id.into(),
        question: question.into(),
        answers,
    };
    vec![
        ask("ego", "What is the ego vehicle doing?", ego(scene)),
        ask("lead", "What does the vehicle ahead do?", lead(scene)),
        ask("light", "What does the traffic light show?", light(scene)),
        ask("people", "Are there pedestrians, and what do they do?", people(scene)),
        ask("weather", "What time of day is it, and what is the weather?", weather(scene)),
    ]
}

fn ego(scene: &Scene) -> [String; 2] {
    let act = words::ego_act(scene);
    [format!("The ego vehicle {act}."), format!("It {act}.")]
}

fn lead(scene: &Scene) -> [String; 2] {
    match &scene.lead {
        None => ["There is no vehicle ahead.".into(), "No vehicle is ahead.".into()],
        Some(lead) => {
            let (vehicle, act) = (words::vehicle(lead.vehicle), words::lead_act(lead.act));
            [format!("The {vehicle} ahead {act}."), format!("{} {act}.", words::capital(&words::a(&vehicle)))]
        }
    }
}

fn light(scene: &Scene) -> [String; 2] {
    let short = match scene.light {
        None => "No traffic light is visible.",
        Some(Light::Red) => "It is red.",
        Some(Light::Green) => "It is green.",
        Some(Light::TurnsGreen) => "It is red, then green.",
        Some(Light::TurnsRed) => "It is green, then red.",
    };
    [format!("{}.", words::light(scene.light)), short.into()]
}

fn people(scene: &Scene) -> [String; 2] {
    match &scene.people {
        None => ["No, there are no pedestrians.".into(), "No pedestrians are visible.".into()],
        Some(people) => {
            let (party, act) = (words::party(people), words::people_act(people));
            [format!("Yes, {party} {act}."), format!("{} {act}.", words::capital(&party))]
        }
    }
}

fn weather(scene: &Scene) -> [String; 2] {
    let (time, weather) = (words::time(scene.time), words::weather(scene.weather));
    [format!("The drive is {time} {weather}."), format!("It is {time} and {weather}.")]
}
