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

/// Adds validation data to a place and the settings that use it.
fn with_validation(place: &Place) -> [&'static str; 4] {
    std::fs::create_dir_all(place.path("data/validation")).unwrap();
    std::fs::copy(place.path("data/testsrc.mp4"), place.path("data/validation/testsrc.mp4")).unwrap();
    let text = r#"[{"id":"v1","media":"testsrc.mp4","conversation":[{"role":"user","content":"What is it?"},{"role":"assistant","content":"A test picture."}]},
        {"id":"v2","conversation":[{"role":"user","content":"Light?"},{"role":"assistant","content":"Red."}]},
        {"id":"v3","media":"none.mp4","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"x"}]}]"#;
    std::fs::write(place.path("data/validation/meta.json"), text).unwrap();
    ["validation.enable=true", "validation.freq=2", "validation.val_before_train=true", "train.ckpt.save_freq=2"]
}

#[test]
fn validation_changes_nothing_and_finds_the_best() {
    let place = Place::new();
    let settings = with_validation(&place);
    place.run("without", &["train.ckpt.save_freq=2"]);
    let (_, told) = place.run("with", &[&settings[..], &["train.ckpt.max_keep=1"]].concat());
    for file in
        ["metrics.jsonl", "samples.jsonl", "step_000008/model.safetensors", "step_000008/state/params.safetensors"]
    {
        assert!(place.read(&format!("without/{file}")) == place.read(&format!("with/{file}")), "{file}");
    }
    assert!(told.rejects.iter().any(|(id, _)| id == "validation/v3"), "{:?}", told.rejects);
    let rows = String::from_utf8(place.read("with/validation.jsonl")).unwrap();
    let rows: Vec<train::ValidationMetrics> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row.step).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
    assert!(rows.iter().all(|row| row.samples == 2 && row.rejected == 1));
    let best = rows[1..].iter().min_by(|a, b| a.avg_loss.unwrap().total_cmp(&b.avg_loss.unwrap())).unwrap();
    let recorded: serde_json::Value = serde_json::from_slice(&place.read("with/best.json")).unwrap();
    assert_eq!((recorded["step"].as_u64(), recorded["value"].as_f64()), (Some(best.step), best.avg_loss));
    let kept = train::Checkpoints::new(&place.path("with")).list().unwrap();
    let kept: Vec<u64> = kept.into_iter().map(|(step, _)| step).collect();
    assert!(kept.contains(&best.step) && kept.contains(&8) && kept.len() <= 2, "{kept:?}");
    // Interrupted and resumed it measures and keeps the same.
    place.run("halves", &[&settings[..], &["train.ckpt.max_keep=1", "train.stop_at_step=5"]].concat());
    place.run("halves", &[&settings[..], &["train.ckpt.max_keep=1"]].concat());
    for file in ["validation.jsonl", "best.json", "mix.json"] {
        assert!(place.read(&format!("with/{file}")) == place.read(&format!("halves/{file}")), "{file}");
    }
}

#[test]
fn decoded_frames_on_disk_change_nothing() {
    let place = Place::new();
    let cache = format!("custom.dataset.frame_cache={:?}", place.path("frames"));
    place.run("without", &["custom.dataset.frame_cache=false"]);
    place.run("first", &[&cache]);
    let entries = || {
        let mut paths: Vec<_> = std::fs::read_dir(place.path("frames")).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    };
    assert_eq!(entries().len(), 2, "two clips");
    // One entry is cut, one has a changed pixel: both are made anew.
    for (at, path) in entries().iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        if at == 0 {
            bytes.truncate(bytes.len() / 2);
        } else {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        std::fs::write(path, bytes).unwrap();
    }
    place.run("hurt", &[&cache]);
    let (_, told) = place.run("second", &[&cache]);
    // How often each was asked for depends on which worker was first.
    let all_found = "clips were found among the decoded frames, 0 were decoded";
    assert!(told.notes.iter().any(|note| note.ends_with(all_found)), "{:?}", told.notes);
    for out in ["first", "hurt", "second"] {
        for file in ["metrics.jsonl", "samples.jsonl", "step_000008/model.safetensors"] {
            assert!(place.read(&format!("without/{file}")) == place.read(&format!("{out}/{file}")), "{file} of {out}");
        }
    }
    // Another size of frames is another entry; a full folder takes none.
    place.run("smaller", &[&cache, "custom.vision.max_pixels=2048", "train.max_num_steps=2"]);
    assert_eq!(entries().len(), 4);
    place.run("full", &[&cache, "custom.vision.nframes=2", "custom.dataset.frame_cache_gb=0", "train.max_num_steps=2"]);
    assert_eq!(entries().len(), 4);
}

#[test]
fn the_cost_of_a_run_is_told_before() {
    let place = Place::new();
    let forecast = train::forecast(&place.plan("out", &[])).unwrap();
    assert_eq!((forecast.steps_total, forecast.probed, forecast.unusable), (8, 6, 0));
    assert_eq!(forecast.mix.iter().map(|source| source.draws).collect::<Vec<_>>(), [24]);
    let (_, told) = place.run("out", &[]);
    let tokens: u64 = told.metrics.iter().map(|metrics| metrics.tokens).sum();
    assert!((forecast.sample_tokens * 24.0 - tokens as f64).abs() < 1e-6, "exact, for every sample was probed");
    assert!(forecast.step_flop > 0.0 && forecast.activation_bytes > 0.0 && !place.path("out/frame_cache/x").exists());
    let mix: serde_json::Value = serde_json::from_slice(&place.read("out/mix.json")).unwrap();
    assert_eq!((mix["sources"][0]["used"].as_u64(), mix["sources"][0]["draws"].as_u64()), (Some(24), Some(24)));
}

#[test]
fn logs_for_other_tools_are_written_by_every_attempt() {
    let place = Place::new();
    let settings = ["logging.logger=[\"tensorboard\", \"wandb\"]", "logging.project_name=test"];
    place.run("out", &[&settings[..], &["train.stop_at_step=3"]].concat());
    place.run("out", &settings);
    let files = |folder: &str| std::fs::read_dir(place.path("out").join(folder)).unwrap().count();
    assert_eq!((files("tensorboard"), files("wandb")), (2, 2));
}

#[test]
fn the_recipes_own_config_runs_with_only_its_paths_set() {
    let place = Place::new();
    let hub = place.path("hub/models--nvidia--Cosmos-Reason2-8B");
    std::fs::create_dir_all(hub.join("refs")).unwrap();
    std::fs::create_dir_all(hub.join("snapshots")).unwrap();
    std::fs::write(hub.join("refs/main"), "abc").unwrap();
    std::fs::rename(place.path("model"), hub.join("snapshots/abc")).unwrap();
    for (set, size) in [("cv_annotated", 12), ("human_annotated", 2), ("reason1_sft", 3)] {
        let dir = place.path("data").join(set);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::copy(place.path("data/testsrc.mp4"), dir.join("a.mp4")).unwrap();
        let turns = r#""conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"A road."}]}"#;
        let words = (1..size).map(|i| format!(r#"{{"id":"{i}",{turns}"#));
        let entries: Vec<String> = words.chain([format!(r#"{{"id":"clip","media":"a.mp4",{turns}"#)]).collect();
        std::fs::write(dir.join("meta.json"), format!("[{}]", entries.join(","))).unwrap();
    }
    let path = |name: &str| place.path(name).to_string_lossy().into_owned();
    let text =
        include_str!("../data/uber_sft_blended.toml").replace("DATA", &path("data")).replace("OUT", &path("out"));
    let (toml, source) = train::parse_config(std::path::Path::new("sft.toml"), &text, &[]).unwrap();
    let plan = train::Plan::resolve(&toml, &source, Some(&place.path("hub"))).unwrap();
    let mut told = Told::default();
    let summary = place.run_plan(&plan, &mut told).unwrap();
    // 17 samples an epoch fit into one batch of 32 x 8.
    assert_eq!((summary.step, summary.steps_total, summary.samples + summary.rejected), (3, 3, 51));
    let mix: serde_json::Value = serde_json::from_slice(&place.read("out/mix.json")).unwrap();
    for (source, weight) in mix["sources"].as_array().unwrap().iter().zip([0.3, 0.5, 0.2]) {
        let epoch = source["epoch_draws"].as_f64().unwrap();
        assert!((epoch - weight * 17.0).abs() < 1.0, "{source}");
        assert_eq!(source["draws"].as_f64(), Some(3.0 * epoch));
    }
    assert_eq!(std::fs::read_dir(place.path("out/wandb")).unwrap().count(), 1);
}
