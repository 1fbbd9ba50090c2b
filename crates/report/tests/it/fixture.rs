//! A small run folder, the same at every call: a benchmark, a card, a training log, scores of a base model and four
//! checkpoints, captions.

use std::fs;
use std::path::Path;

use records::{
    BenchmarkItem, Category, ContentHash, FinishReason, ItemStatus, Outcome, PixelBudget, Prediction, Sampling, Score,
    ScoreGroup, ScoredItem,
};
use serde_json::{Map, Value, json};

pub const BASE: &str = "debug-base";
const CLIPS: usize = 24;
const QUESTIONS: usize = 12;

/// Name and step of the checkpoints, and the share of questions that each gets right beyond a quarter.
const CHECKPOINTS: [(&str, Option<u64>, f64); 5] = [
    (BASE, None, 0.05),
    ("step_000020", Some(20), 0.25),
    ("step_000040", Some(40), 0.45),
    ("step_000060", Some(60), 0.5),
    ("step_000080", Some(80), 0.35),
];

/// A number in 0..1 that depends on its key only.
fn draw(key: &str) -> f64 {
    let hash = ContentHash::of_text(key);
    u32::from_str_radix(&hash.as_str()[..8], 16).map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

fn write(path: &Path, value: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value).unwrap();
}

fn jsonl(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

fn clip(at: usize) -> String {
    format!("eval_{at:03}")
}

/// Writes the whole run.
pub fn write_run(dir: &Path) {
    write_benchmark(dir);
    write_curated(dir);
    write_training(dir);
    for (name, step, skill) in CHECKPOINTS {
        let scores = [choice_score(name, step, skill), bleu_score(name, step, skill), lingoqa_score(name, step, skill)];
        for score in scores {
            let path = dir.join(format!("outputs/{name}/{}/{}.json", score.dataset, score.metric));
            write(&path, &serde_json::to_string(&score).unwrap());
        }
        let rows = (0..CLIPS).map(|at| serde_json::to_value(prediction(name, at)).unwrap());
        write(&dir.join(format!("outputs/{name}/AV_CAPTION/predictions.jsonl")), &jsonl(rows));
    }
}

fn item(at: usize, question: usize) -> BenchmarkItem {
    let options = ["On the left", "On the right", "Straight ahead", "None visible"].map(str::to_owned);
    let answer = (draw(&format!("gold {at} {question}")) * 3.999) as u8;
    BenchmarkItem {
        id: format!("{}/q{question}", clip(at)),
        clip: clip(at),
        video: format!("videos/{}.mp4", clip(at)),
        question_id: format!("q{question}"),
        category: Category::ALL[question % 6],
        required: question < 6,
        question: format!("Where is the thing that question {question} asks about?"),
        prompt: "rendered".into(),
        prompt_version: "mcq/1".into(),
        options,
        permutation: [0, 1, 2, 3],
        answer,
        answer_source: "world".into(),
        system: String::new(),
    }
}

fn items() -> impl Iterator<Item = BenchmarkItem> {
    (0..CLIPS).flat_map(|at| (0..QUESTIONS).map(move |question| item(at, question)))
}

fn write_benchmark(dir: &Path) {
    let clips: Map<String, Value> = (0..CLIPS).map(|at| (clip(at), json!(ContentHash::of_text(&clip(at))))).collect();
    let manifest = json!({
        "format": 1, "name": "AV_VQA", "pool": {"name": "av_vqa", "version": "1.0.0"}, "seed": 42, "per_clip": 12,
        "prompt_version": "mcq/1", "items": CLIPS * QUESTIONS, "answer_sources": {"world": CLIPS * QUESTIONS},
        "dropped": {"cannot_be_determined": 7}, "clips": clips, "id": ContentHash::of_text("benchmark"),
    });
    write(&dir.join("benchmark/benchmark.json"), &manifest.to_string());
    write(&dir.join("benchmark/items.jsonl"), &jsonl(items().map(|item| serde_json::to_value(item).unwrap())));
    let requests = (0..CLIPS).map(|at| json!({"id": clip(at), "video": format!("videos/{}.mp4", clip(at))}));
    write(&dir.join("benchmark/captions.jsonl"), &jsonl(requests));
    let references = (0..CLIPS).map(|at| {
        json!({"clip": clip(at), "text": format!("The ego vehicle follows a grey van on a wet city street, clip {at}. A cyclist rides on the right.")})
    });
    write(&dir.join("benchmark/references.jsonl"), &jsonl(references));
}

fn write_curated(dir: &Path) {
    let source = |name: &str, read: usize, kept: usize| {
        json!({"name": name, "read": read, "kept": kept, "rejected": read - kept,
               "train": {"samples": kept - 9, "hours": 0.85, "mean_answer_words": 61.25}, "validation": {"samples": 9}})
    };
    let sources = [source("human_annotated", 100, 96), source("cv_annotated", 400, 391), source("reason1_sft", 80, 77)];
    let card = json!({"sources": sources, "read": 580, "kept": 564, "rejected": 16, "notes": ["half of the draws come from 87 samples: 55 passes over each"]});
    write(&dir.join("curated/card.json"), &card.to_string());
    let codes = ["missing_field", "notice_outside_clip", "rule_violation", "duplicate_media"];
    let rejects = (0..16)
        .map(|n| json!({"source": "cv_annotated", "file": "a", "line": n, "code": codes[n % 4], "message": "m"}));
    write(&dir.join("curated/rejects.jsonl"), &jsonl(rejects));
}

fn write_training(dir: &Path) {
    let rows = (1..=80u32).map(|step| {
        let falling = 0.6 + 2.4 * (-f64::from(step) / 25.0).exp();
        let mut row = json!({"step": step, "train/loss_avg": falling + 0.1 * draw(&format!("loss {step}")),
            "optimizer/lr": 2e-4 * (1.0 - f64::from(step) / 80.0), "optimizer/grad_norm": 0.5 + draw(&format!("norm {step}"))});
        if step % 20 == 0 {
            row["val/avg_loss"] = json!(falling + 0.15);
        }
        row
    });
    write(&dir.join("train/metrics.jsonl"), &jsonl(rows));
}

fn score(metric: &str, dataset: &str, name: &str, step: Option<u64>, items: Vec<ScoredItem>) -> Score {
    let value = mean(items.iter());
    let spread = 1.5 / (items.len() as f64).sqrt() * (value * (1.0 - value)).sqrt();
    Score {
        metric: metric.into(),
        signature: format!("{metric}|fixture:1"),
        dataset: dataset.into(),
        model_name: BASE.into(),
        checkpoint: name.into(),
        step,
        weight_hash: None,
        predictions_hash: ContentHash::of_text(name),
        references_hash: ContentHash::of_text(dataset),
        value: Some(value),
        items_scored: items.len(),
        items_expected: items.len(),
        clips: CLIPS,
        standard_error: Some(spread / 2.0),
        ci95: Some([(value - spread).max(0.0), (value + spread).min(1.0)]),
        groups: Vec::new(),
        details: Map::new(),
        caveats: Vec::new(),
        items,
    }
}

fn mean<'a>(items: impl Iterator<Item = &'a ScoredItem>) -> f64 {
    let scores: Vec<f64> = items.map(|item| item.score).collect();
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

fn choice_score(name: &str, step: Option<u64>, skill: f64) -> Score {
    let scored = |item: BenchmarkItem| {
        let hard = if item.category == Category::SpatialTemporal { 0.6 } else { 1.0 };
        let right = draw(&format!("answer {}", item.id)) < 0.25 + skill * hard
            || draw(&format!("luck {name} {}", item.id)) < 0.05;
        let letter = if right { item.answer } else { (item.answer + 1) % 4 };
        ScoredItem {
            group: Some(item.category.title().to_owned()),
            status: ItemStatus::Ok,
            score: f64::from(u8::from(right)),
            decision: Map::from_iter([("letter".to_owned(), json!(BenchmarkItem::letter(letter).to_string()))]),
            id: item.id,
            clip: item.clip,
        }
    };
    let mut score = score("vqa_accuracy", "AV_VQA", name, step, items().map(scored).collect());
    for category in Category::ALL {
        let of_group: Vec<&ScoredItem> =
            score.items.iter().filter(|item| item.group.as_deref() == Some(category.title())).collect();
        let value = mean(of_group.iter().copied());
        score.groups.push(ScoreGroup {
            name: category.title().into(),
            value: Some(value),
            items_scored: of_group.len(),
            ci95: Some([(value - 0.13).max(0.0), (value + 0.13).min(1.0)]),
        });
    }
    score.details = json!({"total_predictions": 288, "videos": CLIPS, "parseable_rate": 1.0, "mean_per_video_accuracy": score.value,
        "sd_per_video_accuracy": 0.129, "counts": {"ok": 288, "parse_error": 0, "refused": 0, "truncated": 0, "failed": 0}})
        .as_object()
        .cloned()
        .unwrap();
    score
}

fn bleu_score(name: &str, step: Option<u64>, skill: f64) -> Score {
    let items = (0..CLIPS).map(|at| ScoredItem {
        id: clip(at),
        clip: clip(at),
        group: None,
        status: ItemStatus::Ok,
        score: 0.05 + 0.6 * skill * (0.5 + draw(&format!("bleu {at}"))) * (0.9 + 0.2 * draw(&format!("{name} {at}"))),
        decision: Map::new(),
    });
    let mut score = score("bleu", "AV_CAPTION", name, step, items.collect());
    let value = score.value.unwrap();
    score.ci95 = Some([value - 0.03, value + 0.03]);
    score
}

fn lingoqa_score(name: &str, step: Option<u64>, skill: f64) -> Score {
    let items = (0..CLIPS * 3).map(|at| ScoredItem {
        id: format!("{}/o{}", clip(at / 3), at % 3),
        clip: clip(at / 3),
        group: None,
        status: ItemStatus::Ok,
        score: f64::from(u8::from(draw(&format!("open {at}")) < 0.2 + skill)),
        decision: Map::new(),
    });
    let mut score = score("lingoqa", "LINGOQA", name, step, items.collect());
    score.signature = format!("{}|fixture:1", eval::lingoqa::STAND_IN);
    score.caveats.push("scored by an offline stand-in, which is not Lingo-Judge".into());
    score
}

fn prediction(name: &str, at: usize) -> Prediction {
    let text =
        format!("{name} says: the ego vehicle drives. <script>alert({at})</script> <|im_end|> \"quoted\" & more.");
    let outcome = if at % 2 == 0 && name == BASE {
        Outcome::Failed { error: "no frames".into() }
    } else {
        Outcome::Done { text, prompt_tokens: 100, generated_tokens: 20, finish_reason: FinishReason::Stop }
    };
    Prediction {
        id: clip(at),
        media: format!("videos/{}.mp4", clip(at)),
        request_hash: ContentHash::of_text("r"),
        media_hash: None,
        model_name: BASE.into(),
        weight_hash: ContentHash::of_text(name),
        task: "caption".into(),
        frame_indices: vec![0],
        resized_size: None,
        pixel_budget: PixelBudget::Fixed { height: 96, width: 160 },
        prompt_hash: ContentHash::of_text("p"),
        sampling: Sampling {
            guided: records::Guided::Free,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            max_new_tokens: 64,
            seed: 0,
        },
        outcome,
    }
}
