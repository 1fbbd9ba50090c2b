//! What a run computes, and what it does with bad input.

use train::Error;

use crate::place::{Place, Told};

#[test]
fn learns_and_exports() {
    let place = Place::new();
    let (summary, told) =
        place.run("out", &["train.epoch=30", "train.optm_lr=1e-2", "train.ckpt.enable_checkpoint=false"]);
    let losses: Vec<f64> = told.metrics.iter().filter_map(|m| m.loss_avg).collect();
    assert_eq!(losses.len(), 60);
    assert!(losses[59] < losses[0] / 2.0, "{losses:?}");
    let checkpoint = summary.checkpoint.unwrap();
    assert!(checkpoint.ends_with("step_000060"), "the end of a run is always saved");
    assert_eq!(train::Checkpoints::new(&place.path("out")).list().unwrap().len(), 1);
    processor::Processor::open(&checkpoint).unwrap();
    models::Vlm::open(&checkpoint, &tensor::Device::Cpu).unwrap();
    // The weights of one run are the start of another.
    let model = format!("policy.model_name_or_path={checkpoint:?}");
    let (_, told) = place.run("second", &[&model, "train.max_num_steps=1"]);
    assert!(told.metrics[0].loss_avg.unwrap() < losses[0] / 2.0);
}

#[test]
fn micro_batches_do_not_matter() {
    let place = Place::new();
    let mut runs = Vec::new();
    for mini_batch in [1, 2, 4] {
        let out = format!("mini_{mini_batch}");
        let overrides = [format!("train.train_policy.mini_batch={mini_batch}"), "train.epoch=2".to_owned()];
        runs.push(place.run(&out, &overrides.each_ref().map(String::as_str)).1.metrics);
    }
    for run in &runs[1..] {
        for (a, b) in runs[0].iter().zip(run) {
            let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() <= 1e-5 * a.unwrap().abs();
            assert!(close(a.loss_avg, b.loss_avg) && close(a.grad_norm, b.grad_norm), "{a:?} {b:?}");
            assert_eq!((a.labelled_tokens, a.tokens), (b.labelled_tokens, b.tokens));
        }
    }
}

#[test]
fn bad_samples_are_left_out_and_recorded() {
    let place = Place::new();
    std::fs::write(place.path("data/broken.mp4"), "this is no clip").unwrap();
    place.write_meta(
        r#"{"id":"good","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"Yes."}]},
        {"id":"broken","media":"broken.mp4","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"x"}]},
        {"id":"absent","media":"none.mp4","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"x"}]},
        {"id":"no answer","media":"testsrc.mp4","text":"none.txt"},
        {"id":"picture","media":"a.png","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"x"}]}"#,
    );
    let (summary, told) = place.run("out", &["train.epoch=1", "train.train_batch_per_replica=2"]);
    assert_eq!((summary.step, summary.samples, summary.rejected), (3, 1, 4));
    for (id, reason) in &told.rejects {
        let word = match id.as_str() {
            "broken" => "broken.mp4",
            "absent" => "none.mp4",
            "no answer" => "none.txt",
            _ => "not available yet",
        };
        assert!(reason.contains(word), "{id}: {reason}");
    }
    let log = String::from_utf8(place.read("out/rejects.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 4);
    let updates: Vec<bool> = told.metrics.iter().map(|m| m.updated).collect();
    assert_eq!(updates.iter().filter(|updated| **updated).count(), 1, "steps without samples update nothing");
}

#[test]
fn the_blend_does_not_depend_on_workers() {
    let place = Place::new();
    for (set, ids) in [("a", ["a0", "a1", "a2"]), ("b", ["b0", "b1", "b2"])] {
        std::fs::create_dir_all(place.path("data").join(set)).unwrap();
        let entry = |id: &&str| {
            format!(
                r#"{{"id":"{id}","conversation":[{{"role":"user","content":"?"}},{{"role":"assistant","content":"{id}"}}]}}"#
            )
        };
        let text = ids.iter().map(entry).collect::<Vec<_>>().join(",");
        std::fs::write(place.path("data").join(set).join("meta.json"), format!("[{text}]")).unwrap();
    }
    let blend = [
        "custom.dataset.subdirectories=[\"a\",\"b\"]",
        "custom.dataset.weights=[3, 1]",
        "custom.dataset.epoch_samples=10",
        "train.epoch=2",
    ];
    let run = |workers: u32| {
        let (out, workers) =
            (format!("workers_{workers}"), format!("train.train_policy.dataloader_num_workers={workers}"));
        place.run(&out, &[&blend[..], &[&workers]].concat());
        (place.read(&format!("{out}/samples.jsonl")), place.read(&format!("{out}/metrics.jsonl")))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(4));
    // 10 draws an epoch: within one of 7.5 and 2.5 in each.
    let text = String::from_utf8(one.0).unwrap();
    let drawn = text.matches("\"a/").count();
    assert!((14..=16).contains(&drawn) && text.matches("\"b/").count() == 20 - drawn, "{text}");
}

#[test]
fn no_usable_sample_ends_the_run() {
    let place = Place::new();
    place.write_meta(r#"{"id":"absent","media":"none.mp4","text":"answer.txt"}"#);
    let error = place.try_run("out", &[], &mut Told::default()).unwrap_err();
    assert!(error.to_string().contains("none.mp4"), "{error}");
    place.write_meta("");
    let error = place.try_run("empty", &[], &mut Told::default()).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error}");
}

#[test]
fn steps_that_are_not_finite_change_nothing() {
    let place = Place::new();
    // A learning rate that sends the weights beyond f32 at the first update.
    let lr = [
        "train.optm_lr=1e38",
        "train.optm_warmup_steps=0",
        "train.optm_decay_type=none",
        "train.optm_weight_decay=1.0",
    ];
    let error = place.try_run("stop", &lr, &mut Told::default()).unwrap_err();
    assert!(matches!(error, Error::NonFinite { step: 2, .. }), "{error}");
    let message = error.to_string();
    assert!(["red", "green", "rain", "road", "bars", "fractal"].iter().any(|id| message.contains(id)), "{message}");
    let (summary, told) = place.run("skip", &[&lr[..], &["train.non_finite=skip"]].concat());
    assert_eq!(summary.step, 8);
    assert!(told.metrics[1..].iter().all(|m| !m.updated));
}

#[test]
fn two_processes_cannot_share_an_output_folder() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("out")).unwrap();
    let lock = std::fs::File::create(place.path("out/.lock")).unwrap();
    lock.lock().unwrap();
    let error = place.try_run("out", &[], &mut Told::default()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}
