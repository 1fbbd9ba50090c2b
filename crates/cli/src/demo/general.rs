//! `roadscribe demo --general N`: the general part of the world as conversations, for pre-training the demo's base model.

use super::CLIP;
use benchmark::render_prompt;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::path::Path;
use world::{Domain, Fact, Scene, general_facts, plain_caption};

/// What asks for a caption.
const CAPTION_PROMPTS: [&str; 3] = ["Describe the video.", "What is in this video?", "Caption the video in detail."];
/// Questions of each clip with choices, and without.
const CHOICES: usize = 12;
const OPEN: usize = 4;

/// Writes `clips` clips of the general part with conversations, meta.json, and corpus.txt with all text, for a tokenizer.
pub fn write(out: &Path, clips: u64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(out.join("videos")).map_err(|e| format!("{}: {e}", out.display()))?;
    let bar = super::bar(clips, "clips");
    let scenes: Vec<Scene> = (0..clips).map(|n| Scene::draw(seed.wrapping_add(n), Domain::General)).collect();
    super::render_all(&scenes, &|n| out.join(format!("videos/general_{n:06}.mp4")), CLIP, &bar)?;
    let (mut entries, mut corpus) = (Vec::new(), String::new());
    for (n, scene) in scenes.iter().enumerate() {
        let mut turns = Vec::new();
        for (question, answer) in conversation(scene) {
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
fn conversation(scene: &Scene) -> Vec<(String, String)> {
    let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x6765_6e65_7261_6c00);
    let mut facts = general_facts(scene);
    facts.shuffle(&mut rng);
    let mut choices: Vec<_> = facts.iter().cycle().take(CHOICES).map(|fact| with_choices(fact, &mut rng)).collect();
    facts.shuffle(&mut rng);
    let open = facts.iter().take(OPEN).map(|fact| {
        let question = fact.questions[rng.random_range(0..3)];
        (question.to_owned(), format!("{}.", fact.answers[fact.truth]))
    });
    let open: Vec<_> = open.collect();
    let prompt = CAPTION_PROMPTS[rng.random_range(0..CAPTION_PROMPTS.len())];
    let mut turns = vec![(prompt.to_owned(), plain_caption(scene))];
    turns.extend(open);
    if rng.random_bool(0.5) {
        turns.append(&mut choices);
        return turns;
    }
    choices.append(&mut turns);
    choices
}

/// A question with two to four choices, in the benchmark's form; the answer is the choice and its letter.
fn with_choices(fact: &Fact, rng: &mut ChaCha8Rng) -> (String, String) {
    let mut others: Vec<usize> = (0..fact.answers.len()).filter(|place| *place != fact.truth).collect();
    others.shuffle(rng);
    others.truncate(3);
    let place = rng.random_range(0..=others.len());
    others.insert(place, fact.truth);
    let options: Vec<String> = others.iter().map(|other| capitalised(fact.answers[*other])).collect();
    let letter = char::from(b'A' + place as u8);
    // The words before the letter: a small model first learns to name what it sees, then to find it among the choices.
    let answer = format!("{} ({letter})", options[place]);
    (render_prompt(fact.questions[rng.random_range(0..3)], &options), answer)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
