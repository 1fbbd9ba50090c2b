//! From clips to a frozen set, through files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]

use std::fs;
use std::path::Path;

use benchmark::{
    AnswerFile, ClipList, DrawSettings, Pool, PromptForm, attach_answers, freeze, read_clips, read_draft, stats,
    verify, verify_media, write_draft,
};

fn clips(dir: &Path, count: usize) -> ClipList {
    fs::create_dir_all(dir.join("videos")).unwrap();
    let rows: Vec<String> = (0..count)
        .map(|n| {
            fs::write(dir.join(format!("videos/{n}.mp4")), format!("video {n}")).unwrap();
            format!(r#"{{"clip": "clip_{n}", "video": "videos/{n}.mp4"}}"#)
        })
        .collect();
    fs::write(dir.join("clips.jsonl"), rows.join("\n")).unwrap();
    read_clips(&dir.join("clips.jsonl")).unwrap()
}

/// Answers with letters, texts and numbers in turn: always the second choice of the pool's order.
fn answers(dir: &Path) -> AnswerFile {
    let (_, items) = read_draft(dir).unwrap();
    let mut rows = vec!["{broken".to_owned()];
    for (n, item) in items.iter().enumerate() {
        let shown = item.permutation.iter().position(|&p| p == 1).unwrap();
        let answer = match n % 6 {
            0 => format!("\"{}\"", ["A", "B", "C", "D"][shown]),
            1 => serde_json::to_string(&item.options[shown]).unwrap(),
            2 => "1".to_owned(),
            3 => "null".to_owned(),
            4 => "\"Purple\"".to_owned(),
            _ => continue,
        };
        rows.push(format!(
            r#"{{"clip": "{}", "question_id": "{}", "answer": {answer}, "note": 1}}"#,
            item.clip, item.question_id
        ));
    }
    fs::write(dir.join("answers.jsonl"), rows.join("\n")).unwrap();
    AnswerFile::read(&dir.join("answers.jsonl")).unwrap()
}

#[test]
fn from_clips_to_a_frozen_set() {
    let source = tempfile::tempdir().unwrap();
    let list = clips(source.path(), 4);
    let pool = Pool::built_in().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let summary = write_draft(dir, &pool, &list, &DrawSettings::default()).unwrap();
    assert_eq!((summary.clips, summary.items), (4, 48));
    let draft = fs::read(dir.join("draft.jsonl")).unwrap();
    write_draft(dir, &pool, &list, &DrawSettings::default()).unwrap();
    assert_eq!(fs::read(dir.join("draft.jsonl")).unwrap(), draft, "the same draw is the same file");

    let given = answers(dir);
    assert_eq!(given.rejects.len(), 1);
    let summary = attach_answers(dir, &given, "test").unwrap();
    assert_eq!(summary.answered, 24);
    let dropped: Vec<_> = summary.dropped.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(dropped, [("cannot_be_determined", 8), ("no_answer", 8), ("no_such_choice", 8)]);

    let manifest = freeze(dir, "AV_VQA").unwrap();
    assert_eq!((manifest.items, manifest.clips.len()), (24, 4));
    assert_eq!(manifest.categories.values().sum::<usize>(), 24);
    let frozen = verify(dir).unwrap();
    verify_media(dir, &frozen).unwrap();
    for item in &frozen.items {
        let right = &item.options[usize::from(item.answer)];
        let question = pool.questions.iter().find(|q| q.id == item.question_id).unwrap();
        assert_eq!(right, &question.options[1], "letter, text and number mean the same");
        assert!(item.prompt.starts_with(&format!("{}\n(A) {}\n(B) ", item.question, item.options[0])));
        assert_eq!(item.prompt_version, "mcq/1");
    }
    let stats = stats(&frozen.items);
    assert_eq!(stats.prior_accuracy, 1.0);
    assert!(stats.questions.iter().all(|q| q.entropy_bits == 0.0));
    assert!(stats.to_string().contains("24 questions about 4 clips"));
}

#[test]
fn the_form_of_the_prompts_is_that_of_the_draw() {
    let source = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let settings = DrawSettings { prompt: PromptForm::Words, ..DrawSettings::default() };
    write_draft(dir, &Pool::built_in().unwrap(), &clips(source.path(), 1), &settings).unwrap();
    attach_answers(dir, &answers(dir), "test").unwrap();
    assert_eq!(freeze(dir, "X").unwrap().prompt_version, PromptForm::Words);
    for item in verify(dir).unwrap().items {
        assert!(item.prompt.starts_with(&format!("{}\n- {}\n", item.question, item.options[0])));
        assert_eq!(item.prompt_version, "mcq_words/1");
    }
}

#[test]
fn a_frozen_set_never_changes() {
    let source = tempfile::tempdir().unwrap();
    let list = clips(source.path(), 2);
    let pool = Pool::built_in().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let make = |seed| {
        write_draft(dir, &pool, &list, &DrawSettings { seed, ..DrawSettings::default() }).unwrap();
        attach_answers(dir, &answers(dir), "test").unwrap();
    };
    make(1);
    let first = freeze(dir, "AV_VQA").unwrap();
    assert_eq!(freeze(dir, "AV_VQA").unwrap(), first, "again is nothing new");
    make(2);
    let error = freeze(dir, "AV_VQA").unwrap_err().to_string();
    assert!(error.contains("never changes"), "{error}");
    assert_eq!(verify(dir).unwrap().manifest, first);

    let items = fs::read_to_string(dir.join("items.jsonl")).unwrap();
    fs::write(dir.join("items.jsonl"), items.replacen("\"answer\":", "\"answer\": ", 1)).unwrap();
    assert!(verify(dir).unwrap_err().to_string().contains("items.jsonl"));
    fs::write(dir.join("items.jsonl"), items).unwrap();
    let manifest = fs::read_to_string(dir.join("benchmark.json")).unwrap();
    fs::write(dir.join("benchmark.json"), manifest.replace("\"seed\": 1", "\"seed\": 3")).unwrap();
    assert!(verify(dir).unwrap_err().to_string().contains("changed after"));
    fs::write(dir.join("benchmark.json"), manifest).unwrap();
    fs::remove_file(dir.join("videos/clip_0.mp4")).unwrap();
    fs::write(dir.join("videos/clip_0.mp4"), "another").unwrap();
    let error = verify_media(dir, &verify(dir).unwrap()).unwrap_err().to_string();
    assert!(error.contains("clip_0"), "{error}");
}

#[test]
fn letters_are_tested_against_chance() {
    let folder = tempfile::tempdir().unwrap();
    let list = clips(folder.path(), 1);
    write_draft(folder.path(), &Pool::built_in().unwrap(), &list, &DrawSettings::default()).unwrap();
    attach_answers(folder.path(), &answers(folder.path()), "test").unwrap();
    freeze(folder.path(), "X").unwrap();
    let template = verify(folder.path()).unwrap().items[0].clone();
    let items: Vec<_> = (0..100u8)
        .map(|n| {
            let mut item = template.clone();
            item.id = format!("{n}");
            item.answer = if n < 40 { 0 } else { 1 + n % 3 };
            item
        })
        .collect();
    let stats = stats(&items);
    assert_eq!(stats.letters.counts, [40, 20, 20, 20]);
    assert!((stats.letters.chi_square - 12.0).abs() < 1e-12);
    // Upper tail of chi-square(3) at 12.
    assert!((stats.letters.p_value - 0.007_383_160_5).abs() < 1e-9, "{}", stats.letters.p_value);
    assert_eq!(stats.duplicates.len(), 99);
}
