//! `roadscribe demo --general N`: the general part of the world as conversations, for pre-training the demo's base model.

use super::CLIP;
use benchmark::{Pool, render_prompt};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use records::{Category, Question};
use serde_json::{Value, json};
use std::path::Path;
use world::{Domain, Fact, Scene, general_facts, plain_caption};

/// What asks for a caption.
const CAPTION_PROMPTS: [&str; 3] = ["Describe the video.", "What is in this video?", "Caption the video in detail."];
/// Questions of each clip: about plain facts with choices, the same without, of the pool, and about words alone.
const CHOICES: usize = 5;
const OPEN: usize = 3;
const POOL: usize = 5;
const WORDS: usize = 3;
/// Categories of the pool that a general model knows something of; the others are left to fine-tuning.
const KNOWN: [Category; 2] = [Category::SceneDescription, Category::KeyObjects];

/// Writes `clips` clips of the general part with conversations, meta.json, and corpus.txt with all text, for a tokenizer.
pub fn write(out: &Path, clips: u64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(out.join("videos")).map_err(|e| format!("{}: {e}", out.display()))?;
    let bar = super::bar(clips, "clips");
    let scenes: Vec<Scene> = (0..clips).map(|n| Scene::draw(seed.wrapping_add(n), Domain::General)).collect();
    super::render_all(&scenes, &|n| out.join(format!("videos/general_{n:06}.mp4")), CLIP, &bar)?;
    let pool = Pool::built_in()?;
    let known: Vec<&Question> = pool.questions.iter().filter(|q| KNOWN.contains(&q.category)).collect();
    let phrases: Vec<&str> = pool.questions.iter().flat_map(|q| q.options.iter().map(String::as_str)).collect();
    let (mut entries, mut corpus) = (Vec::new(), String::new());
    for (n, scene) in scenes.iter().enumerate() {
        let mut turns = Vec::new();
        for (question, answer) in conversation(scene, &known, &phrases) {
            corpus.push_str(&format!("{question}\n{answer}\n"));
            turns.push(json!({"role": "user", "content": question}));
            turns.push(json!({"role": "assistant", "content": answer}));
        }
        let name = format!("general_{n:06}");
        entries.push(json!({"id": name, "video": format!("videos/{name}.mp4"), "conversation": turns}));
    }
    let text = serde_json::to_string(&Value::Array(entries))?;
    weights::write_file_atomic(&out.join("corpus.txt"), |file| file.write_all(corpus.as_bytes()))?;
    weights::write_file_atomic(&out.join("meta.json"), |file| writeln!(file, "{text}"))?;
    say!("{}: {clips} clips of the general part of the world, meta.json, corpus.txt", out.display());
    Ok(())
}

/// Questions and answers about a scene: a caption, open questions, questions with choices; half of the scenes begin with
/// the choices, so that these are learnt from the picture and not only from the words before.
fn conversation(scene: &Scene, known: &[&Question], phrases: &[&str]) -> Vec<(String, String)> {
    let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x6765_6e65_7261_6c00);
    let mut facts = general_facts(scene);
    facts.shuffle(&mut rng);
    let mut choices: Vec<_> = facts.iter().take(CHOICES).map(|fact| about_fact(fact, &mut rng)).collect();
    let mut asked: Vec<_> = known.iter().filter_map(|q| Some((*q, world::answer(scene, &q.id)?))).collect();
    asked.shuffle(&mut rng);
    for (question, truth) in asked.into_iter().take(POOL) {
        let options: Vec<&str> = question.options.iter().map(String::as_str).collect();
        choices.push(with_choices(&question.text, &options, usize::from(truth), &mut rng));
    }
    choices.extend((0..WORDS).map(|_| about_words(phrases, &mut rng)));
    choices.shuffle(&mut rng);
    facts.shuffle(&mut rng);
    let prompt = CAPTION_PROMPTS[rng.random_range(0..CAPTION_PROMPTS.len())];
    let mut turns = vec![(prompt.to_owned(), plain_caption(scene))];
    for fact in facts.iter().take(OPEN) {
        let question = fact.questions[rng.random_range(0..3)];
        turns.push((question.to_owned(), format!("{}.", fact.answers[fact.truth])));
    }
    let (mut first, mut then) = if rng.random_bool(0.5) { (turns, choices) } else { (choices, turns) };
    first.append(&mut then);
    first
}

/// Which of the choices is given: has nothing to do with the video, and teaches to find words and their letter.
fn about_words(phrases: &[&str], rng: &mut ChaCha8Rng) -> (String, String) {
    let mut options: Vec<&str> = Vec::new();
    while options.len() < 4 {
        let phrase = phrases[rng.random_range(0..phrases.len())];
        if !options.contains(&phrase) {
            options.push(phrase);
        }
    }
    with_choices(&format!("Which choice says: {}?", options[0]), &options.clone(), 0, rng)
}

/// A plain fact with two to four choices.
fn about_fact(fact: &Fact, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut others: Vec<usize> = (0..fact.answers.len()).filter(|place| *place != fact.truth).collect();
    others.shuffle(rng);
    others.truncate(3);
    let options: Vec<String> =
        std::iter::once(&fact.truth).chain(&others).map(|place| capitalised(fact.answers[*place])).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    with_choices(fact.questions[rng.random_range(0..3)], &options, 0, rng)
}

/// A question in the benchmark's form, its choices shuffled; the answer is the choice and its letter. The words come
/// first: a small model learns to name what it sees, then to find it among the choices.
fn with_choices(question: &str, options: &[&str], truth: usize, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut order: Vec<usize> = (0..options.len()).collect();
    order.shuffle(rng);
    let shown: Vec<String> = order.iter().map(|place| options[*place].to_owned()).collect();
    let place = order.iter().position(|place| *place == truth).unwrap_or(0);
    let letter = records::BenchmarkItem::letter(place as u8);
    (render_prompt(question, &shown), format!("{} ({letter})", shown[place]))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
