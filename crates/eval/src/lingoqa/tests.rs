//! Both layouts, the strict rule, and what is told of a subset.

use super::*;
use crate::{Error, Label};
use std::path::Path;

fn questions(count: usize) -> Vec<Question> {
    let question = |i: usize| Question {
        question_id: format!("q{i}"),
        segment_id: format!("s{}", i / 5),
        images: (0..i % 3).map(|frame| format!("images/val/s{}/{frame}.jpg", i / 5)).collect(),
        question: if i.is_multiple_of(2) { "Is the light green?" } else { "What does ego do?" }.into(),
        answers: vec![format!("Yes, light {i}"), "It is.".into()],
    };
    (0..count).map(question).collect()
}

fn label() -> Label {
    Label { dataset: "LINGOQA".into(), model_name: "m".into(), checkpoint: "m".into(), step: None, weight_hash: None }
}

fn run(dir: &Path, csv: &str, subset: bool) -> crate::Result<records::Score> {
    let path = dir.join("val.parquet");
    write_references(&path, &questions(20)).unwrap();
    let references = References::read(&path).unwrap();
    let predictions = dir.join("predictions.csv");
    std::fs::write(&predictions, csv).unwrap();
    let (answers, doubtful_lines) = read_predictions(&predictions)?;
    let input = LingoInput { references: &references, answers, doubtful_lines, subset };
    Ok(score(input, &mut OfflineStandIn, &label(), &mut |_, _| {})?.0)
}

fn rows(count: usize) -> String {
    let row = |i: usize| format!("q{i},s{},\"yes, light {i}\"\n", i / 5);
    format!("question_id,segment_id,answer\n{}", (0..count).map(row).collect::<String>())
}

#[test]
fn parquet_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("val.parquet");
    write_references(&path, &questions(20)).unwrap();
    assert_eq!(References::read(&path).unwrap().questions, questions(20));
    let first = std::fs::read(&path).unwrap();
    write_references(&path, &questions(20)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    std::fs::write(&path, &first[..first.len() / 2]).unwrap();
    assert!(matches!(References::read(&path), Err(Error::File { .. })));
}

#[test]
fn a_whole_set_is_scored() {
    let dir = tempfile::tempdir().unwrap();
    let score = run(dir.path(), &rows(20), false).unwrap();
    assert_eq!((score.value, score.items_scored, score.clips), (Some(1.0), 20, 4));
    let [low, high] = score.ci95.unwrap();
    assert!(low < 0.6 && high == 1.0, "four clips without a mistake are no certainty: {low}");
    assert!(score.signature.starts_with("OFFLINE-STAND-IN|"), "{}", score.signature);
    assert!(score.caveats[0].contains("not Lingo-Judge"), "{:?}", score.caveats);
    assert_eq!(score.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["yes/no", "what"]);
    assert_eq!(score.items[0].decision["logits"].as_array().unwrap().len(), 2);
}

#[test]
fn anything_but_the_whole_set_is_an_error_or_a_subset() {
    let dir = tempfile::tempdir().unwrap();
    let error = |csv: &str| run(dir.path(), csv, false).unwrap_err().to_string();
    let missing = error(&rows(19));
    assert!(missing.contains("19 of 20") && missing.contains("q19") && missing.contains("--subset"), "{missing}");
    let duplicate = error(&format!("{}q3,s0,again\n", rows(20)));
    assert!(duplicate.contains("line 22") && duplicate.contains("duplicates"), "{duplicate}");
    let unknown = error(&format!("{}q3,s9,x\nq99,s1\n", rows(20)));
    assert!(unknown.contains("2 rows cannot be used, the first: line 22"), "{unknown}");
    assert!(error("id,answer\n1,2\n").contains("no column question_id"));
    let subset = run(dir.path(), &rows(7), true).unwrap();
    assert!(subset.signature.ends_with("|subset n=7"), "{}", subset.signature);
    assert!(subset.caveats.iter().any(|caveat| caveat.starts_with("subset n=7")));
}

#[test]
fn words_for_nothing_are_text() {
    let dir = tempfile::tempdir().unwrap();
    let csv = rows(20).replace("\"yes, light 4\"", "NA").replace("\"yes, light 5\"", "");
    let score = run(dir.path(), &csv, false).unwrap();
    assert_eq!(score.details["empty_or_none_lines"], serde_json::json!([6, 7]));
    assert_eq!(score.value, Some(0.9));
}

#[test]
fn our_own_records_are_read_too() {
    let dir = tempfile::tempdir().unwrap();
    let references = dir.path().join("references.jsonl");
    let row = |i: usize, answer: &str| {
        format!("{{\"question_id\":\"q{i}\",\"segment_id\":\"s\",\"question\":\"Why?\",\"answer\":\"{answer}\"}}\n")
    };
    std::fs::write(&references, row(0, "rain") + &row(1, "fog") + &row(0, "it rains") + "{}\n").unwrap();
    let references = References::read(&references).unwrap();
    assert_eq!((references.questions.len(), references.questions[0].answers.len()), (2, 2));
    assert_eq!(references.rejects[0].line, 4);
    let predictions = dir.path().join("predictions.jsonl");
    let text = "{\"id\":\"q0\",\"status\":\"done\",\"text\":\"rain\"}\n{\"id\":\"q1\",\"status\":\"failed\",\"error\":\"no frames\"}\n";
    std::fs::write(&predictions, text).unwrap();
    let (answers, doubtful_lines) = read_predictions(&predictions).unwrap();
    let input = LingoInput { references: &references, answers, doubtful_lines, subset: false };
    let (score, _) = score(input, &mut OfflineStandIn, &label(), &mut |_, _| {}).unwrap();
    assert_eq!((score.value, score.items[1].status), (Some(0.5), records::ItemStatus::Failed));
}

#[test]
fn types_follow_the_published_rule() {
    for (question, expect) in [
        ("Is there a car?", "yes/no"),
        ("Aren't you stopping?", "yes/no"),
        ("How many lanes?", "how many"),
        ("How fast?", "how"),
        ("What colour is it?", "what"),
        ("Where is it?", "where/who/when"),
        ("Describe it.", "other"),
        ("", "other"),
    ] {
        assert_eq!(question_type(question), expect, "{question}");
    }
}
