//! `roadscribe demo --general N`: the general part of the world as conversations, for pre-training the demo's base model.

use super::test_set::caption_prompt;
use super::{CLIP, PROMPT};
use benchmark::Pool;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use records::{Category, Question};
use serde_json::{Value, json};
use std::path::Path;
use world::{ClipForm, Domain, Fact, Scene, general_caption, general_facts};

/// Form of the clips: the fleet's length with half its frames, which cost half as much to render and to decode.
const FORM: ClipForm = ClipForm { frames: CLIP.frames / 2, fps: CLIP.fps / 2, ..CLIP };
/// What asks for everything there is to say.
const LIST_PROMPT: &str = "List what is seen.";
/// What asks for a caption, beside the prompt of curation.
const CAPTION_PROMPTS: [&str; 2] = ["Describe the video.", "What is in this video?"];
/// Open questions and questions with choices of a conversation.
const OPEN: usize = 5;
const CHOICES: usize = 4;
/// The category of the pool whose required questions a general model knows; all others are left to fine-tuning.
const KNOWN: Category = Category::SceneDescription;
/// Facts with choices, and questions about words alone, in a conversation of questions.json.
const FACTS: usize = 3;
const WORDS: usize = 3;

/// Writes `videos/`, clips of the general part of the world, `meta.json` with three conversations about each, `questions.json`
/// with questions of the pool, and corpus.txt with the text, for a tokenizer.
pub fn write(out: &Path, clips: u64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(out.join("videos")).map_err(|e| format!("{}: {e}", out.display()))?;
    let bar = super::bar(clips, "clips");
    let scenes: Vec<Scene> = (0..clips).map(|n| Scene::draw(seed.wrapping_add(n), Domain::General)).collect();
    super::render_all(&scenes, &|n| out.join(format!("videos/general_{n:06}.mp4")), FORM, &bar)?;
    let pool = Pool::built_in()?;
    let caption = caption_prompt()?.user;
    let captions = [CAPTION_PROMPTS[0], CAPTION_PROMPTS[1], &caption];
    let mut corpus = prompts(&pool)?.repeat(scenes.len().div_ceil(20));
    let known = pool.questions.iter().filter(|q| q.category == KNOWN && q.required).collect();
    let phrases = pool.questions.iter().flat_map(|q| q.options.iter().map(String::as_str)).collect();
    let exam = Exam { known, phrases };
    let (mut entries, mut questions) = (Vec::new(), Vec::new());
    for (n, scene) in scenes.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x6765_6e65_7261_6c00);
        let name = format!("general_{n:06}");
        corpus += &labels(scene, n)?;
        let video = format!("videos/{name}.mp4");
        for (number, conversation) in conversations(scene, &captions, &mut rng).into_iter().enumerate() {
            let turns = as_turns(conversation);
            corpus.extend(turns.iter().filter_map(|turn| turn["content"].as_str()).flat_map(|text| [text, "\n"]));
            let id = format!("{name}_{number}");
            entries.push(json!({"id": id, "video": video, "conversation": turns}));
        }
        let turns = as_turns(exam.about(scene, &mut rng));
        questions.push(json!({"id": name, "video": video, "conversation": turns}));
    }
    for (file, entries) in [("meta.json", entries), ("questions.json", questions)] {
        let text = serde_json::to_string(&Value::Array(entries))?;
        weights::write_file_atomic(&out.join(file), |file| writeln!(file, "{text}"))?;
    }
    weights::write_file_atomic(&out.join("corpus.txt"), |file| file.write_all(corpus.as_bytes()))?;
    say!("{}: {clips} clips of the general part of the world, meta.json, questions.json, corpus.txt", out.display());
    Ok(())
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

/// A label of one of the three kinds, in turn, for the tokenizer alone.
fn labels(scene: &Scene, number: usize) -> Result<String, serde_json::Error> {
    let value = match number % 20 {
        0 => serde_json::to_value(world::human_annotation(scene))?,
        1 => serde_json::to_value(world::cv_annotation(scene, CLIP.fps, 0).final_content)?,
        2 => serde_json::to_value(world::reasoning_annotation(scene))?,
        _ => return Ok(String::new()),
    };
    Ok(format!("{value:#}\n"))
}

/// Everything about a scene in one list; questions about it, with choices and without; a caption and some questions.
///
/// The list says most about a clip in the fewest tokens: it is what teaches to see.
fn conversations(scene: &Scene, captions: &[&str], rng: &mut ChaCha8Rng) -> [Vec<(String, String)>; 3] {
    let mut facts = general_facts(scene);
    let list: Vec<&str> = facts.iter().map(|fact| fact.answers[fact.truth]).collect();
    let list = list.join("; ");
    facts.shuffle(rng);
    let mut asked: Vec<(String, String)> = facts.iter().take(OPEN).map(|fact| open(fact, rng)).collect();
    asked.extend(facts.iter().skip(OPEN).take(CHOICES).map(|fact| with_choices(fact, rng)));
    asked.shuffle(rng);
    let mut told: Vec<(String, String)> = facts.iter().rev().take(2).map(|fact| open(fact, rng)).collect();
    told.push((captions[rng.random_range(0..captions.len())].to_owned(), general_caption(scene)));
    told.shuffle(rng);
    [vec![(LIST_PROMPT.to_owned(), list)], asked, told]
}

/// What questions with choices are made of, beside the facts of a scene.
struct Exam<'a> {
    /// Questions of the pool that are asked.
    known: Vec<&'a Question>,
    /// Choices of the whole pool.
    phrases: Vec<&'a str>,
}

impl Exam<'_> {
    /// A conversation of questions with choices: of the pool, about facts, about words.
    fn about(&self, scene: &Scene, rng: &mut ChaCha8Rng) -> Vec<(String, String)> {
        let mut facts = general_facts(scene);
        facts.shuffle(rng);
        let mut asked: Vec<(String, String)> = facts.iter().take(FACTS).map(|fact| with_choices(fact, rng)).collect();
        for question in &self.known {
            let Some(truth) = world::answer(scene, &question.id) else { continue };
            let answer = question.options[usize::from(truth)].clone();
            let mut options = question.options.to_vec();
            options.shuffle(rng);
            asked.push((PROMPT.render(&question.text, &options), answer));
        }
        asked.extend((0..WORDS).map(|_| self.about_words(rng)));
        asked.shuffle(rng);
        asked
    }

    /// Which of the choices is given: has nothing to do with the video, and teaches to spell what the pool's choices say.
    fn about_words(&self, rng: &mut ChaCha8Rng) -> (String, String) {
        let mut options: Vec<String> = Vec::new();
        while options.len() < 4 {
            let phrase = self.phrases[rng.random_range(0..self.phrases.len())];
            if options.iter().all(|other| other != phrase) {
                options.push(phrase.to_owned());
            }
        }
        let asked = options[0].clone();
        options.shuffle(rng);
        (PROMPT.render(&format!("Which choice says: {asked}?"), &options), asked)
    }
}

/// A question about a fact, and its answer.
fn open(fact: &Fact, rng: &mut ChaCha8Rng) -> (String, String) {
    let question = fact.questions[rng.random_range(0..3)];
    (question.to_owned(), format!("{}.", capitalised(fact.answers[fact.truth])))
}

/// A question about a fact in the benchmark's form, with two to four choices, and the words of the right one.
fn with_choices(fact: &Fact, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut shown: Vec<usize> = (0..fact.answers.len()).filter(|place| *place != fact.truth).collect();
    shown.shuffle(rng);
    shown.truncate(3);
    shown.push(fact.truth);
    shown.shuffle(rng);
    let options: Vec<String> = shown.iter().map(|place| capitalised(fact.answers[*place])).collect();
    (PROMPT.render(fact.questions[rng.random_range(0..3)], &options), capitalised(fact.answers[fact.truth]))
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
