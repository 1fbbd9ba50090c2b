//! `roadscribe demo --general N`: the general part of the world as conversations, for pre-training the demo's base model.

use super::test_set::caption_prompt;
use super::{CLIP, PROMPT};
use benchmark::Pool;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use records::{Category, Question};
use serde_json::{Value, json};
use std::path::Path;
use world::{Domain, Fact, Scene, general_caption, general_facts};

/// What asks for a caption, beside the prompt of curation.
const CAPTION_PROMPTS: [&str; 2] = ["Describe the video.", "What is in this video?"];
/// Conversations about each clip.
const CONVERSATIONS: usize = 3;
/// Open questions and questions with choices of a conversation.
const OPEN: usize = 4;
const CHOICES: usize = 3;
/// The category of the pool that a general model knows something of; the others are left to fine-tuning.
const KNOWN: Category = Category::SceneDescription;
/// Shares of conversations with a caption and with a label: a general model has read some, whatever the format.
const CAPTIONED: f64 = 0.5;
const LABELLED: f64 = 0.1;
/// Samples about words alone, without a video.
const LISTS: usize = 24_000;

/// Writes `clips/`, clips of the general part with conversations about them; `words/`, samples without a video that teach to
/// find words among choices; and corpus.txt with the text of the clips, for a tokenizer.
pub fn write(out: &Path, clips: u64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(out.join("clips/videos")).map_err(|e| format!("{}: {e}", out.display()))?;
    let bar = super::bar(clips, "clips");
    let scenes: Vec<Scene> = (0..clips).map(|n| Scene::draw(seed.wrapping_add(n), Domain::General)).collect();
    super::render_all(&scenes, &|n| out.join(format!("clips/videos/general_{n:06}.mp4")), CLIP, &bar)?;
    let pool = Pool::built_in()?;
    let known: Vec<&Question> = pool.questions.iter().filter(|q| q.category == KNOWN).collect();
    let phrases: Vec<&str> = pool.questions.iter().flat_map(|q| q.options.iter().map(String::as_str)).collect();
    let caption = caption_prompt()?.user;
    let asks = Asks { known, phrases, captions: vec![CAPTION_PROMPTS[0], CAPTION_PROMPTS[1], &caption] };
    let mut corpus = prompts(&pool)?.repeat(scenes.len().div_ceil(20));
    let mut entries = Vec::new();
    for (n, scene) in scenes.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x6765_6e65_7261_6c00);
        let name = format!("general_{n:06}");
        for number in 0..CONVERSATIONS {
            let turns = as_turns(conversation(scene, &asks, &mut rng)?);
            corpus.extend(turns.iter().filter_map(|turn| turn["content"].as_str()).flat_map(|text| [text, "\n"]));
            let id = format!("{name}_{number}");
            entries.push(json!({"id": id, "video": format!("videos/{name}.mp4"), "conversation": turns}));
        }
    }
    write_meta(&out.join("clips"), entries)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x776f_7264_7300);
    let lists = (0..LISTS).map(|_| as_turns(vec![about_words(&asks.phrases, &mut rng)])).enumerate();
    let lists = lists.map(|(n, turns)| json!({"id": format!("words_{n:06}"), "conversation": turns}));
    write_meta(&out.join("words"), lists.collect())?;
    weights::write_file_atomic(&out.join("corpus.txt"), |file| file.write_all(corpus.as_bytes()))?;
    say!("{}: {clips} clips of the general part of the world, words, corpus.txt", out.display());
    Ok(())
}

fn write_meta(folder: &Path, entries: Vec<Value>) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let text = serde_json::to_string(&Value::Array(entries))?;
    Ok(weights::write_file_atomic(&folder.join("meta.json"), |file| writeln!(file, "{text}"))?)
}

/// The turns of a conversation.
fn as_turns(conversation: Vec<(String, String)>) -> Vec<Value> {
    let turns = |(question, answer)| {
        [json!({"role": "user", "content": question}), json!({"role": "assistant", "content": answer})]
    };
    conversation.into_iter().flat_map(turns).collect()
}

/// What fine-tuning and evaluation will ask, for the tokenizer alone.
fn prompts(pool: &Pool) -> Result<String, Box<dyn std::error::Error>> {
    let mut text: String = pool.questions.iter().map(|q| PROMPT.render(&q.text, &q.options) + "\n").collect();
    for prompt in curate::Prompts::read(None)?.all() {
        text.push_str(&format!("{}\n{}\n", prompt.system, prompt.user));
    }
    Ok(text)
}

/// What conversations are made of beside the facts of a scene.
struct Asks<'a> {
    /// Questions of the pool that are asked.
    known: Vec<&'a Question>,
    /// Choices of the whole pool.
    phrases: Vec<&'a str>,
    /// What asks for a caption.
    captions: Vec<&'a str>,
}

/// Some questions and answers about a scene; half of the conversations begin with the choices, so that these are learnt
/// from the picture and not only from the words before.
fn conversation(scene: &Scene, asks: &Asks, rng: &mut ChaCha8Rng) -> Result<Vec<(String, String)>, serde_json::Error> {
    let mut facts = general_facts(scene);
    facts.shuffle(rng);
    let mut turns = Vec::new();
    for fact in facts.iter().take(OPEN) {
        let question = fact.questions[rng.random_range(0..3)];
        turns.push((question.to_owned(), format!("{}.", capitalised(fact.answers[fact.truth]))));
    }
    if rng.random_bool(CAPTIONED) {
        turns.push((asks.captions[rng.random_range(0..asks.captions.len())].to_owned(), general_caption(scene)));
    }
    if rng.random_bool(LABELLED) {
        turns.push(label(scene, rng)?);
    }
    turns.shuffle(rng);
    facts.shuffle(rng);
    let choices: Vec<_> = facts.iter().take(CHOICES).map(|fact| with_a_choice(scene, fact, asks, rng)).collect();
    let both = if rng.random_bool(0.5) { [turns, choices] } else { [choices, turns] };
    Ok(both.concat())
}

/// A question with choices: about a fact, of the pool, or about words alone.
fn with_a_choice(scene: &Scene, fact: &Fact, asks: &Asks, rng: &mut ChaCha8Rng) -> (String, String) {
    let question = asks.known[rng.random_range(0..asks.known.len())];
    match (rng.random_range(0..4), world::answer(scene, &question.id)) {
        (0, _) => about_words(&asks.phrases, rng),
        (1 | 2, Some(truth)) => with_choices(&question.text, &question.options, usize::from(truth), rng),
        _ => about_fact(fact, rng),
    }
}

/// A label of one of the three kinds, in the words of its format.
fn label(scene: &Scene, rng: &mut ChaCha8Rng) -> Result<(String, String), serde_json::Error> {
    let (what, value) = match rng.random_range(0..3) {
        0 => {
            let mut label = serde_json::to_value(world::human_annotation(scene))?;
            // Boxes are pixels of a picture that the model does not see.
            label.as_object_mut().map(|fields| fields.remove("critical_object"));
            ("human", label)
        }
        1 => ("automatic", serde_json::to_value(world::cv_annotation(scene, CLIP.fps, 0).final_content)?),
        _ => ("reasoning", serde_json::to_value(world::reasoning_annotation(scene))?),
    };
    Ok((format!("Write a {what} label."), format!("```json\n{value:#}\n```")))
}

/// Which of the choices is given: has nothing to do with the video, and teaches to find words.
fn about_words(phrases: &[&str], rng: &mut ChaCha8Rng) -> (String, String) {
    let mut options: Vec<String> = Vec::new();
    while options.len() < 4 {
        let phrase = phrases[rng.random_range(0..phrases.len())];
        if options.iter().all(|other| other != phrase) {
            options.push(phrase.to_owned());
        }
    }
    with_choices(&format!("Which choice says: {}?", options[0]), &options, 0, rng)
}

/// A plain fact with two to four choices.
fn about_fact(fact: &Fact, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut others: Vec<usize> = (0..fact.answers.len()).filter(|place| *place != fact.truth).collect();
    others.shuffle(rng);
    others.truncate(3);
    let options: Vec<String> =
        std::iter::once(&fact.truth).chain(&others).map(|place| capitalised(fact.answers[*place])).collect();
    with_choices(fact.questions[rng.random_range(0..3)], &options, 0, rng)
}

/// A question in the benchmark's form with its choices shuffled, and the answer to it.
fn with_choices(question: &str, options: &[String], truth: usize, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut order: Vec<usize> = (0..options.len()).collect();
    order.shuffle(rng);
    let shown: Vec<String> = order.iter().map(|place| options[*place].clone()).collect();
    let place = order.iter().position(|place| *place == truth).unwrap_or(0);
    (PROMPT.render(question, &shown), shown[place].clone())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What guided answers say.
    #[test]
    fn the_parser_reads_every_choice_of_the_pool() {
        for question in Pool::built_in().unwrap().questions {
            for (option, place) in question.options.iter().zip(0..) {
                let reading = eval::mcq::read_answer(option, &question.options, false);
                assert_eq!((reading.verdict, reading.note), (eval::mcq::Verdict::Choice(place), None), "{option}");
            }
        }
    }
}
