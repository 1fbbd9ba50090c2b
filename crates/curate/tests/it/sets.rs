//! What a good run writes.

use std::collections::BTreeSet;
use std::path::Path;

use curate::{Error, Hooks, SourceKind, Task};
use serde_json::json;

use crate::fixture::{World, cv, human, name, reasoning, write};

/// Three sources of six clips each, in three drives.
fn three_sources(world: &World) {
    for i in 0..6 {
        world.human("human", &name(i / 2, i), i);
        world.label("cv", &name(10 + i / 2, i), &cv(i).to_string());
        world.video("cv", &name(10 + i / 2, i), 100 + i, 20);
        world.label("reason", &name(20 + i / 2, i), &reasoning(i, "Between time 0.50s and 1.50s").to_string());
        world.video("reason", &name(20 + i / 2, i), 200 + i, 20);
    }
    let questions =
        json!([{"question": "Is it raining?", "answer": "No."}, {"question": "How many lanes?", "answer": "One."}]);
    write(&world.path(&format!("human/metas/{}.vqa.json", name(0, 0))), questions.to_string().as_bytes());
}

fn config(world: &World) -> curate::Config {
    world.config(&[
        (SourceKind::Human, "human", &[Task::Caption, Task::Rubric, Task::Vqa]),
        (SourceKind::Cv, "cv", &[]),
        (SourceKind::Reasoning, "reason", &[]),
    ])
}

/// All files of a folder with their bytes.
fn bytes_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(bytes_of(&path)),
            false => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_whole_set() {
    let world = World::new();
    three_sources(&world);
    let config = config(&world);
    let card = world.run(&config).unwrap();
    assert_eq!((card.read, card.kept, card.rejected), (18, 18, 0));
    let drive = |entry: &serde_json::Value| entry["drive"].as_str().unwrap().to_owned();
    for source in ["human_annotated", "cv_annotated", "reason1_sft"] {
        let (train, validation) = (world.meta(source), world.meta(&format!("validation/{source}")));
        assert!(!train.is_empty() && !validation.is_empty(), "{source}");
        let (train, validation): (BTreeSet<_>, BTreeSet<_>) =
            (train.iter().map(drive).collect(), validation.iter().map(drive).collect());
        assert!(train.is_disjoint(&validation), "{source}");
        for entry in world.meta(source) {
            assert!(world.out().join(source).join(entry["video"].as_str().unwrap()).is_file());
        }
    }
    let all: Vec<_> = [world.meta("human_annotated"), world.meta("validation/human_annotated")].concat();
    assert_eq!(all.len(), 6 * 2 + 1);
    let of = |task: &str| all.iter().find(|e| e["id"] == format!("{}/{task}", name(0, 0))).unwrap();
    let rubric = of("rubric")["conversation"][2]["content"].as_str().unwrap();
    assert!(
        rubric.starts_with(
            "```json\n{\n  \"weather\": \"Overcast\",\n  \"lighting\": \"Daytime (low-contrast daylight)\""
        ),
        "{rubric}"
    );
    let fields: serde_json::Value =
        serde_json::from_str(rubric.trim_start_matches("```json\n").trim_end_matches("\n```")).unwrap();
    assert_eq!(fields.as_object().unwrap().len(), 15);
    let vqa = of("vqa");
    assert_eq!(vqa["conversation"].as_array().unwrap().len(), 4);
    assert_eq!(vqa["conversation"][2]["content"], "How many lanes?");
    assert_eq!(of("caption")["prompt"], "caption/human@1");
    for file in ["card.md", "card.json", "rejects.jsonl", "preview.mp4", "preview.png"] {
        assert!(world.out().join(file).is_file(), "{file}");
    }
    assert_eq!(video::probe(&world.out().join("preview.mp4"), &video::Limits::default()).unwrap().frames, 40);
}

#[test]
fn a_rerun_gives_the_same_bytes() {
    let world = World::new();
    three_sources(&world);
    let config = config(&world);
    world.run(&config).unwrap();
    let first = bytes_of(&world.out());
    world.run(&config).unwrap();
    assert!(first == bytes_of(&world.out()));
    assert!(first.len() > 18 + 6);
}

#[test]
fn an_interrupted_run_leaves_what_was_there() {
    let world = World::new();
    three_sources(&world);
    let config = config(&world);
    let stop_at = |stage: &str| {
        let mut hooks = Hooks { progress: &mut |progress| progress.stage != stage, count_tokens: None };
        let stopped = curate::run(&config, &world.out(), &mut hooks);
        assert!(matches!(stopped, Err(Error::Stopped)), "{stage}");
    };
    for stage in ["human_annotated", "videos", "writing", "preview"] {
        stop_at(stage);
        assert!(!world.out().exists(), "{stage}");
    }
    world.run(&config).unwrap();
    let before = bytes_of(&world.out());
    stop_at("preview");
    assert!(before == bytes_of(&world.out()));
    let left: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("out.")), "{left:?}");
}

#[test]
fn other_files_are_never_replaced() {
    let world = World::new();
    world.human("human", &name(1, 1), 1);
    write(&world.out().join("thesis.txt"), b"x");
    let config = world.config(&[(SourceKind::Human, "human", &[])]);
    assert!(matches!(world.run(&config), Err(Error::Occupied { .. })));
    assert!(world.out().join("thesis.txt").is_file());
}

#[test]
fn rows_of_a_file_are_a_source() {
    let world = World::new();
    let folder = world.video("rows", "a", 1, 20).parent().unwrap().parent().unwrap().to_path_buf();
    world.video("rows", "b", 2, 20);
    let row = |id: &str, look: u32| {
        json!({"id": id, "video": format!("videos/{id}.camera_front_wide_120fov.mp4"), "annotation": human(look)})
            .to_string()
    };
    let check = |file: &str, text: String| {
        write(&folder.join(file), text.as_bytes());
        let config = world.config(&[(SourceKind::Human, &format!("rows/{file}"), &[])]);
        let card = world.run(&config).unwrap();
        assert_eq!((card.read, card.kept), (4, 2), "{file}: {:?}", world.rejects());
        let lines: Vec<(usize, &str)> = card.sources[0].rejects.keys().map(|code| (0, *code)).collect();
        assert_eq!(lines, [(0, "broken_json"), (0, "missing_video")], "{file}");
        let broken = world.rejects().into_iter().find(|r| r.code.code() == "broken_json").unwrap();
        assert_eq!((broken.line, broken.id), (2, None), "{file}");
    };
    check("rows.jsonl", format!("{}\n{{\"id\": \"x\", \n{}\n{}\n", row("a", 1), row("b", 2), row("c", 3)));
    check("rows.json", format!("[{},\n{{\"id\": }},\n{},\n{}]", row("a", 1), row("b", 2), row("c", 3)));
}

#[test]
fn videos_may_be_left_alone() {
    let world = World::new();
    world.label("human", &name(1, 1), &human(1).to_string());
    world.label("human", &name(2, 2), &human(2).to_string());
    let config = curate::Config { decode: false, ..world.config(&[(SourceKind::Human, "human", &[])]) };
    let card = world.run(&config).unwrap();
    assert_eq!((card.kept, card.sources[0].videos_missing), (2, 2));
    assert!(!world.out().join("preview.mp4").exists());
}
