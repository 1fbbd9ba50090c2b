//! A run that was interrupted ends in the same bits as one that was not.

use std::path::PathBuf;

use crate::place::{Place, Told};

/// Weights, moments, state and the logs that hold no times.
const SAME: [&str; 7] = [
    "step_000008/state/params.safetensors",
    "step_000008/state/first_moments.safetensors",
    "step_000008/state/second_moments.safetensors",
    "step_000008/model.safetensors",
    "samples.jsonl",
    "metrics.jsonl",
    "rejects.jsonl",
];

fn assert_same_run(place: &Place, a: &str, b: &str) {
    for file in SAME {
        assert!(place.read(&format!("{a}/{file}")) == place.read(&format!("{b}/{file}")), "{file} of {b} differs");
    }
}

#[test]
fn interrupted_anywhere() {
    let place = Place::new();
    let (summary, _) = place.run("whole", &[]);
    // 6 samples in batches of 4 are 2 steps an epoch.
    assert_eq!((summary.step, summary.steps_total), (8, 8));
    for stop in [1, 3, 4, 7] {
        let out = format!("stopped_{stop}");
        let mut told = Told { stop_after: Some(stop), ..Told::default() };
        let summary = place.try_run(&out, &[], &mut told).unwrap();
        assert_eq!(summary.step, stop, "a stop is saved");
        // Another number of loader threads and of steps between saves must not matter.
        place.run(&out, &["train.train_policy.dataloader_num_workers=3", "train.ckpt.save_freq=2"]);
        assert_same_run(&place, "whole", &out);
    }
}

#[test]
fn step_by_step() {
    let place = Place::new();
    place.run("whole", &[]);
    for step in 1..=8 {
        place.run("steps", &[&format!("train.stop_at_step={step}")]);
    }
    assert_same_run(&place, "whole", "steps");
}

#[test]
fn damaged_checkpoints_and_late_log_lines_are_passed_over() {
    let place = Place::new();
    place.run("whole", &[]);
    place.run("hurt", &["train.stop_at_step=7"]);
    let state = place.path("hurt/step_000007/state/params.safetensors");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::create_dir_all(place.path("hurt/.tmp-step_000008/state")).unwrap();
    let (_, told) = place.run("hurt", &[]);
    let notes = told.notes.join("\n");
    assert!(notes.contains("step_000007") && notes.contains(".tmp-step_000008"), "{notes}");
    assert_eq!(told.metrics.first().map(|m| m.step), Some(7), "goes on after step 6");
    assert_same_run(&place, "whole", "hurt");
}

#[test]
fn from_a_named_checkpoint() {
    let place = Place::new();
    place.run("whole", &[]);
    let copy = |from: &str, to: &str| {
        let copied = std::process::Command::new("cp").arg("-r").arg(place.path(from)).arg(place.path(to)).status();
        assert!(copied.unwrap().success());
    };
    copy("whole", "again");
    let checkpoint: PathBuf = place.path("again/step_000003");
    place.run("again", &[&format!("train.resume={checkpoint:?}")]);
    assert_same_run(&place, "whole", "again");
}

#[test]
fn all_damaged_is_no_fresh_start() {
    let place = Place::new();
    place.run("out", &["train.stop_at_step=1"]);
    std::fs::write(place.path("out/step_000001/manifest.json"), "{").unwrap();
    let error = place.try_run("out", &[], &mut Told::default()).unwrap_err();
    assert!(error.to_string().contains("no checkpoint of this folder verifies"), "{error}");
    assert!(!place.read("out/samples.jsonl").is_empty());
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let place = Place::new();
    place.run("out", &[]);
    let before = place.read("out/metrics.jsonl");
    let (summary, told) = place.run("out", &[]);
    assert_eq!((summary.step, told.metrics.len()), (8, 0));
    assert_eq!(place.read("out/metrics.jsonl"), before);
}

#[test]
fn another_recipe_is_refused() {
    let place = Place::new();
    place.run("out", &["train.stop_at_step=3"]);
    let refused = |overrides: &[&str]| place.try_run("out", overrides, &mut Told::default()).unwrap_err().to_string();
    let message = refused(&["train.optm_lr=5e-4"]);
    assert!(message.contains("schedule.lr: was 0.001, is 0.0005"), "{message}");
    assert!(refused(&["train.epoch=5"]).contains("epochs"));
    assert!(refused(&["train.resume=false"]).contains("already holds checkpoints"));
    place.write_meta(r#"{"id":"a","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"!"}]}"#);
    assert!(refused(&[]).contains("datasets"));
}
