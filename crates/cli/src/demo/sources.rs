//! The demo's training data: three annotated sources with realistic flaws, answered questions beside the labels, and the
//! configurations of curation and training.

use super::{CLIP, Demo, MAX_PIXELS, MIN_PIXELS, NFRAMES, PROMPT};
use benchmark::{DrawSettings, Pool, draw};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::path::Path;
use world::{Scene, SourceKind, WrittenClip, write_source};

/// Share of labels with a flaw.
const FLAW_RATE: f64 = 0.12;
/// Questions of the pool that are asked about a training clip.
const QUESTIONS: usize = 18;

/// Writes `RUN/world/{human,cv,reasoning}`, `RUN/curate.toml` and `RUN/sft.toml`.
pub fn write(demo: &Demo) -> Result<(), Box<dyn std::error::Error>> {
    let root = demo.out.join("world");
    let sources = [
        ("human", SourceKind::Human, demo.sizes.human),
        ("cv", SourceKind::Cv, demo.sizes.cv),
        ("reasoning", SourceKind::Reasoning, demo.sizes.reasoning),
    ];
    for (number, (name, kind, clips)) in sources.into_iter().enumerate() {
        let folder = root.join(name);
        if folder.exists() {
            // Left half-made by a run that was stopped.
            std::fs::remove_dir_all(&folder)?;
        }
        let seed = demo.seed.wrapping_mul(1_000_000_007).wrapping_add(1_000_000 * (number as u64 + 1));
        let written = write_source(&folder, kind, seed, clips, FLAW_RATE, CLIP, true)?;
        write_questions(&folder, &written, demo.seed)?;
    }
    let out = demo.out.display().to_string();
    let (curate, sft) = (curate_toml(&out, demo.seed), sft_toml(demo, &out));
    records::write_atomic(&demo.out.join("curate.toml"), curate.as_bytes())?;
    Ok(records::write_atomic(&demo.out.join("sft.toml"), sft.as_bytes())?)
}

/// Questions of the pool beside each label, drawn and permuted like the benchmark's, and open questions, with the
/// world's answers: what a fleet's annotators answer when they label a clip.
fn write_questions(folder: &Path, written: &[WrittenClip], seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::built_in()?;
    // Another key than the benchmark's.
    let settings = DrawSettings { per_clip: QUESTIONS, seed: seed ^ 0x7472_6169_6e00, prompt: PROMPT };
    for (number, clip) in written.iter().enumerate() {
        let mut turns: Vec<Value> = Vec::new();
        for drawn in draw(&pool, &clip.name, &settings)? {
            let Some(place) = right_place(&clip.scene, &drawn.question.id, drawn.permutation) else { continue };
            let options = drawn.permutation.map(|place| drawn.question.options[usize::from(place)].clone());
            let question = PROMPT.render(&drawn.question.text, &options);
            turns.push(json!({"question": question, "answer": options[usize::from(place)]}));
        }
        let open = world::open_questions(&clip.scene).into_iter();
        let mut open: Vec<Value> =
            open.map(|open| json!({"question": open.question, "answer": open.answers[0]})).collect();
        // The evaluation asks each question alone: every kind must have been the first of a conversation.
        let mut rng = ChaCha8Rng::seed_from_u64(clip.scene.seed ^ 0x6f70_656e_0000);
        open.shuffle(&mut rng);
        turns.shuffle(&mut rng);
        let turns = if number % 2 == 0 { [open, turns].concat() } else { [turns, open].concat() };
        let path = folder.join(format!("metas/{}.vqa.json", clip.name));
        records::write_atomic(&path, format!("{:#}\n", Value::Array(turns)).as_bytes())?;
    }
    Ok(())
}

/// Place of the right choice in the order shown.
fn right_place(scene: &Scene, question_id: &str, permutation: [u8; 4]) -> Option<u8> {
    let place = world::answer(scene, question_id)?;
    permutation.iter().position(|shown| *shown == place).map(|shown| shown as u8)
}

fn curate_toml(out: &str, seed: u64) -> String {
    format!(
        r#"# Three sources into one training set. Every key: docs/curate.md
seed = {seed}
# The world plants a flaw in one label of eight; a real set should stay well below.
reject_budget = 0.3
model = "{out}/base"

[[source]]
kind = "cv"
path = "{out}/world/cv"
tasks = ["caption", "vqa"]

[[source]]
kind = "human"
path = "{out}/world/human"
tasks = ["caption", "rubric", "vqa"]

[[source]]
kind = "reasoning"
path = "{out}/world/reasoning"
tasks = ["reasoning", "vqa"]

[eval_set]
files = ["{out}/benchmark/items.jsonl", "{out}/benchmark/captions.jsonl", "{out}/benchmark/references.jsonl"]

[split]
validation_share = 0.1
drive_characters = 8

[blend]
weights = [0.3, 0.5, 0.2]
"#
    )
}

fn sft_toml(demo: &Demo, out: &str) -> String {
    let (steps, save, seed) = (demo.sizes.steps, demo.sizes.save_every, demo.seed);
    format!(
        r#"# The recipe's uber_sft_blended.toml, sized for a 2.8 M model and a laptop. Every key: docs/train.md
[custom.dataset]
dataset_root = "{out}/curated"
subdirectories = ["cv_annotated", "human_annotated", "reason1_sft"]
weights = [0.3, 0.5, 0.2]
meta_file = "meta.json"

[custom.vision]
min_pixels = {MIN_PIXELS}
max_pixels = {MAX_PIXELS}
nframes = {NFRAMES}

[train]
output_dir = "{out}/train"
resume = true
compile = false
epoch = 1000
max_num_steps = {steps}
train_batch_per_replica = 8
optm_lr = 1.5e-3
optm_betas = [0.9, 0.98]
optm_weight_decay = 0.01
optm_warmup_steps = 0.05
optm_decay_type = "cosine"
optm_grad_norm_clip = 1.0
seed = {seed}

[policy]
model_name_or_path = "{out}/base"
model_max_length = 4096
model_gradient_checkpointing = false

[logging]
logger = ["console", "tensorboard", "wandb"]
project_name = "roadscribe_demo"
experiment_name = "sft_blended"

[train.train_policy]
type = "sft"
mini_batch = 8
dataloader_num_workers = 1

[train.ckpt]
enable_checkpoint = true
save_freq = {save}

[validation]
enable = true
freq = {save}

[policy.parallelism]
tp_size = 1
cp_size = 1
dp_shard_size = 1
pp_size = 1
"#
    )
}
