//! The table of a small benchmark, every number of it counted by hand.

use super::*;
use crate::{Answers, Label};
use records::{BenchmarkItem, Category, ContentHash, ItemStatus};

fn item(clip: &str, question: &str, category: Category, answer: u8) -> BenchmarkItem {
    BenchmarkItem {
        id: format!("{clip}/{question}"),
        clip: clip.into(),
        video: format!("{clip}.mp4"),
        question_id: question.into(),
        category,
        required: true,
        question: "?".into(),
        options: ["Red", "Green", "Dark blue", "None"].map(str::to_owned),
        permutation: [3, 2, 1, 0],
        answer,
        answer_source: "world".into(),
        system: String::new(),
        prompt: String::new(),
        prompt_version: "1".into(),
    }
}

fn items() -> Vec<BenchmarkItem> {
    let (scene, objects) = (Category::SceneDescription, Category::KeyObjects);
    vec![item("a", "q1", scene, 1), item("a", "q2", objects, 2), item("b", "q1", scene, 1), item("b", "q2", objects, 0)]
}

fn scored(rows: &str, blind: Option<&str>) -> (records::Score, Answers) {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Answers::read(&path, &["id"]).unwrap()
    };
    let label = Label {
        dataset: "AV_VQA".into(),
        model_name: "m".into(),
        checkpoint: "step_000020".into(),
        step: Some(20),
        weight_hash: None,
    };
    let blind = blind.map(|rows| read("blind.jsonl", rows));
    let items = items();
    let answers = read("predictions.jsonl", rows);
    score(McqInput { items: &items, references_hash: ContentHash::of_text("r"), answers, blind }, &label)
}

const ROWS: &str = "{\"id\":\"a/q1\",\"text\":\"B. Green\"}\n{\"id\":\"a/q2\",\"text\":\"A or B\"}\n\
    {\"id\":\"b/q1\",\"text\":\"b\"}\n{\"id\":\"b/q2\",\"status\":\"failed\",\"error\":\"no frames\"}\n{\"id\":\"c/q1\",\"text\":\"A\"}\n";

#[test]
fn the_table_counts_what_it_says() {
    let (score, answers) = scored(ROWS, Some("{\"id\":\"a/q1\",\"text\":\"B\"}\n"));
    assert_eq!((score.value, score.items_scored, score.clips), (Some(0.5), 4, 2));
    assert_eq!(answers.rejects.len(), 1, "an answer to an unknown item");
    let number = |pointer: &str| serde_json::json!(score.details).pointer(pointer).unwrap().as_f64().unwrap();
    assert_eq!(number("/counts/ok"), 2.0);
    assert_eq!(number("/counts/parse_error"), 1.0);
    assert_eq!(number("/counts/failed"), 1.0);
    assert_eq!(number("/total_predictions"), 3.0);
    assert!((number("/parseable_rate") - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!((number("/bounds/acc_low"), number("/bounds/acc_high"), number("/bounds/acc_valid")), (0.5, 1.0, 1.0));
    assert_eq!((number("/mean_per_video_accuracy"), number("/sd_per_video_accuracy")), (0.5, 0.0));
    assert_eq!((number("/macro_by_category"), number("/blind/accuracy")), (0.5, 0.25));
    assert_eq!(number("/baselines/majority_letter/accuracy"), 0.5);
    assert_eq!(number("/baselines/longest_option/accuracy"), 0.25);
    assert_eq!(number("/baselines/prior/accuracy"), 0.75);
    assert_eq!(
        score.groups.iter().map(|g| (g.name.as_str(), g.value)).collect::<Vec<_>>(),
        [("Scene Description", Some(1.0)), ("Key Objects", Some(0.0))]
    );
    assert_eq!(score.items[1].status, ItemStatus::ParseError);
    assert_eq!(score.items[0].decision["span"], serde_json::json!([0, 1]));
    assert_eq!(score.items[0].decision["pool_option"], serde_json::json!(2));
    let table = table(&score);
    assert!(table.contains("Parseable rate") && table.contains("66.7%"), "{table}");
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let bytes = || serde_json::to_vec(&scored(ROWS, None).0).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn guided_answers_are_another_metric() {
    let (free, _) = scored(ROWS, None);
    let (guided, _) =
        scored(&ROWS.replace("\"b\"}", "\"b\",\"sampling\":{\"temperature\":0.0,\"guided\":\"choice\"}}"), None);
    assert_eq!(guided.signature, format!("{}|guided-choice", free.signature));
    assert!(guided.caveats[0].contains("guided choice") && !free.caveats.iter().any(|c| c.contains("guided")));
    assert_eq!(guided.value, free.value);
}
