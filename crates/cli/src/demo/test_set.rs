//! The demo's evaluation data, `RUN/benchmark`: clips of the fleet's part of the world with the world's answers,
//! captions and open questions. The benchmark itself is then drawn and frozen by the verb `benchmark`.

use super::{CLIP, Demo, bar, render_all};
use curate::{LabelForm, Prompts, Task, TaskPrompt};
use eval::lingoqa::{Question, write_references};
use serde_json::{Value, json};
use std::path::Path;
use world::{Domain, Scene};

/// First seed of evaluation scenes; training scenes are drawn far from it.
const FIRST_SEED: u64 = 9_000_000;
/// Open questions of a clip.
const OPEN_QUESTIONS: usize = 3;

/// Renders the evaluation clips; writes answers.jsonl, captions.jsonl with references.jsonl, lingoqa.jsonl with val.parquet.
pub fn write(demo: &Demo) -> Result<(), Box<dyn std::error::Error>> {
    let set = demo.out.join("benchmark");
    std::fs::create_dir_all(set.join("videos"))?;
    let first = FIRST_SEED + demo.seed.wrapping_mul(1_000_000_007);
    let scenes: Vec<Scene> = (0..demo.sizes.eval).map(|n| Scene::draw(first.wrapping_add(n), Domain::Fleet)).collect();
    let names: Vec<String> = (0..scenes.len()).map(|n| format!("eval_{n:03}")).collect();
    let bar = bar(scenes.len() as u64, "clips");
    render_all(&scenes, &|n| set.join(video(&names[n])), CLIP, &bar)?;
    write_answers(&set, &names, &scenes)?;
    write_captions(&set, &names, &scenes)?;
    write_open_questions(&set, &names, &scenes)
}

/// Path of an evaluation clip in the folder of the benchmark.
fn video(name: &str) -> String {
    format!("videos/{name}.mp4")
}

/// What the world knows about every question of the pool; null where a scene does not decide it.
fn write_answers(set: &Path, names: &[String], scenes: &[Scene]) -> Result<(), Box<dyn std::error::Error>> {
    let pool = benchmark::Pool::built_in()?;
    let mut answers: Vec<Value> = Vec::new();
    for (name, scene) in names.iter().zip(scenes) {
        let of = |question: &records::Question| json!({"clip": name, "question_id": question.id, "answer": world::answer(scene, &question.id)});
        answers.extend(pool.questions.iter().map(of));
    }
    Ok(records::write_jsonl_atomic(&set.join("answers.jsonl"), &answers)?)
}

fn write_captions(set: &Path, names: &[String], scenes: &[Scene]) -> Result<(), Box<dyn std::error::Error>> {
    let prompt = caption_prompt()?;
    let request =
        |name: &String| json!({"id": name, "video": video(name), "system": prompt.system, "prompt": prompt.user});
    let requests: Vec<Value> = names.iter().map(request).collect();
    let reference = |(name, scene): (&String, &Scene)| json!({"clip": name, "text": world::caption(scene)});
    let references: Vec<Value> = names.iter().zip(scenes).map(reference).collect();
    records::write_jsonl_atomic(&set.join("captions.jsonl"), &requests)?;
    Ok(records::write_jsonl_atomic(&set.join("references.jsonl"), &references)?)
}

/// What asks for a caption: the question that human captions are taught with.
pub fn caption_prompt() -> Result<TaskPrompt, Box<dyn std::error::Error>> {
    let prompts = Prompts::read(None)?;
    Ok(prompts.get(Task::Caption, LabelForm::Human).cloned().ok_or("there is no prompt for captions")?)
}

fn write_open_questions(set: &Path, names: &[String], scenes: &[Scene]) -> Result<(), Box<dyn std::error::Error>> {
    let (mut requests, mut references) = (Vec::new(), Vec::new());
    for (name, scene) in names.iter().zip(scenes) {
        for open in world::open_questions(scene).into_iter().take(OPEN_QUESTIONS) {
            let id = format!("{name}/{}", open.id);
            requests.push(json!({"id": id, "video": video(name), "prompt": open.question}));
            references.push(Question {
                question_id: id,
                segment_id: name.clone(),
                images: Vec::new(),
                question: open.question,
                answers: open.answers.to_vec(),
            });
        }
    }
    records::write_jsonl_atomic(&set.join("lingoqa.jsonl"), &requests)?;
    Ok(write_references(&set.join("val.parquet"), &references)?)
}
