//! `roadscribe demo --general N`: the general part of the world as conversations, for pre-training the demo's base model.

use super::CLIP;
use super::test_set::caption_prompt;
use benchmark::{Pool, render_prompt};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use records::{BenchmarkItem, Category, Question};
use serde_json::{Value, json};
use std::path::Path;
use world::{Domain, Fact, Scene, general_caption, general_facts};

/// What asks for a caption, beside the prompt of curation.
const CAPTION_PROMPTS: [&str; 2] = ["Describe the video.", "What is in this video?"];
/// Questions of each clip: about plain facts without choices, the same with choices, of the pool, and about words alone.
const OPEN: usize = 6;
const CHOICES: usize = 4;
const POOL: usize = 4;
const WORDS: usize = 2;
/// The category of the pool that a general model knows something of; the others are left to fine-tuning.
const KNOWN: Category = Category::SceneDescription;
/// Share of clips with a label: a general model has read some, whatever the format.
const LABELLED: f64 = 0.3;

/// Samples without a video for each number of choices.
const LISTS: usize = 12_000;

/// Writes `clips/`, clips of the general part with conversations; `words_2/`, `words_3/`, `words_4/`, samples without a
/// video that teach to find words among so many choices; corpus.txt with the text of the clips, for a tokenizer.
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
        let name = format!("general_{n:06}");
        let turns = as_turns(conversation(scene, &asks)?);
        corpus.extend(turns.iter().filter_map(|turn| turn["content"].as_str()).flat_map(|text| [text, "\n"]));
        entries.push(json!({"id": name, "video": format!("videos/{name}.mp4"), "conversation": turns}));
    }
    write_meta(&out.join("clips"), entries)?;
    for choices in 2..=4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ choices as u64);
        let lists = (0..LISTS).map(|_| as_turns(vec![find_words(choices, &asks.phrases, &mut rng)]));
        let entries = lists.enumerate().map(|(n, turns)| json!({"id": format!("words_{n:06}"), "conversation": turns}));
        write_meta(&out.join(format!("words_{choices}")), entries.collect())?;
    }
    weights::write_file_atomic(&out.join("corpus.txt"), |file| file.write_all(corpus.as_bytes()))?;
    say!("{}: {clips} clips of the general part of the world with conversations, words, corpus.txt", out.display());
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
    let mut text: String = pool.questions.iter().map(|q| render_prompt(&q.text, &q.options) + "\n").collect();
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

/// Questions and answers about a scene: a caption, open questions, questions with choices; half of the scenes begin with
/// the choices, so that these are learnt from the picture and not only from the words before.
fn conversation(scene: &Scene, asks: &Asks) -> Result<Vec<(String, String)>, serde_json::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x6765_6e65_7261_6c00);
    let mut facts = general_facts(scene);
    facts.shuffle(&mut rng);
    let mut choices: Vec<_> = facts.iter().take(CHOICES).map(|fact| about_fact(fact, &mut rng)).collect();
    let mut asked: Vec<_> = asks.known.iter().filter_map(|q| Some((*q, world::answer(scene, &q.id)?))).collect();
    asked.shuffle(&mut rng);
    for (question, truth) in asked.into_iter().take(POOL) {
        choices.push(with_choices(&question.text, &question.options, usize::from(truth), &mut rng));
    }
    choices.extend((0..WORDS).map(|_| about_words(&asks.phrases, &mut rng)));
    choices.shuffle(&mut rng);
    facts.shuffle(&mut rng);
    let prompt = asks.captions[rng.random_range(0..asks.captions.len())];
    let mut turns = vec![(prompt.to_owned(), general_caption(scene))];
    for fact in facts.iter().take(OPEN) {
        let question = fact.questions[rng.random_range(0..3)];
        turns.push((question.to_owned(), format!("{}.", capitalised(fact.answers[fact.truth]))));
    }
    if rng.random_bool(LABELLED) {
        turns.push(label(scene, &mut rng)?);
    }
    turns.shuffle(&mut rng);
    let (mut first, mut then) = if rng.random_bool(0.5) { (turns, choices) } else { (choices, turns) };
    first.append(&mut then);
    Ok(first)
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

/// Different ones of the given texts.
fn different(count: usize, texts: &[&str], rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    while found.len() < count {
        let text = texts[rng.random_range(0..texts.len())];
        if found.iter().all(|other| other != text) {
            found.push(text.to_owned());
        }
    }
    found
}

/// A list of choices, to be found again in another order: single words, and where there are four, whole phrases. Few
/// choices come first: with four, a small model does not begin to find anything.
fn find_words(choices: usize, phrases: &[&str], rng: &mut ChaCha8Rng) -> (String, String) {
    let words: Vec<&str> =
        phrases.iter().flat_map(|phrase| phrase.split_whitespace()).filter(|w| w.len() > 2).collect();
    let options = different(choices, if choices < 4 { &words } else { phrases }, rng);
    let mut order: Vec<usize> = (0..choices).collect();
    order.shuffle(rng);
    let asked: Vec<&str> = order.iter().map(|place| options[*place].as_str()).collect();
    let lines = options.iter().zip(0..).map(|(option, place)| format!("\n({}) {option}", BenchmarkItem::letter(place)));
    let answers: Vec<String> = order.iter().map(|place| choice_answer(&options[*place], *place as u8)).collect();
    (format!("Find these: {}.{}", asked.join("; "), lines.collect::<String>()), answers.join("\n"))
}

/// Which of the choices is given: has nothing to do with the video, and teaches to find words and their letter.
fn about_words(phrases: &[&str], rng: &mut ChaCha8Rng) -> (String, String) {
    let options = different(4, phrases, rng);
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
    (render_prompt(question, &shown), choice_answer(&shown[place], place as u8))
}

/// The answer to a question with choices that the demo's models learn: the words of the choice, then its letter. A small
/// model names what it sees and then looks for it among the choices; the blank before the words makes them the tokens that
/// they are there.
pub fn choice_answer(option: &str, place: u8) -> String {
    format!("I see: {option} ({})", BenchmarkItem::letter(place))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_reads_every_answer_of_the_pool() {
        for question in Pool::built_in().unwrap().questions {
            for (place, option) in question.options.iter().enumerate() {
                let answer = choice_answer(option, place as u8);
                let reading = eval::mcq::read_answer(&answer, &question.options, false);
                assert_eq!(reading.verdict, eval::mcq::Verdict::Choice(place as u8), "{answer}");
                assert_eq!(reading.note, None, "{answer}");
            }
        }
    }
}
