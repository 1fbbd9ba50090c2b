//! Runs over two clips with several questions each.

use std::path::{Path, PathBuf};

use infer::{Progress, Request, RunSummary, Settings};
use processor::{PixelBudget, SpecialIds, builtin_tokenizer_json};
use records::{Outcome, Prediction, Prompt, Sampling};
use video::{BackendChoice, FrameRequest, FrameSampling, Limits};

struct Place {
    dir: tempfile::TempDir,
}

/// A line of a frozen benchmark, with all that a request does not need.
fn item(id: &str, clip: &str, prompt: &str) -> String {
    format!(
        r#"{{"id":"{id}","clip":"c","video":"{clip}","question_id":"q","category":"key_objects","required":true,"question":"q?",
        "options":["a","b","c","d"],"permutation":[0,1,2,3],"answer":0,"answer_source":"world","system":"","prompt":"{prompt}",
        "prompt_version":"1"}}"#
    )
    .replace('\n', "")
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/tests/data");
        for clip in ["testsrc.mp4", "mandelbrot.mp4"] {
            std::fs::copy(tests.join(clip), place.path(clip)).unwrap();
        }
        place.write_list(&[
            item("a/1", "testsrc.mp4", "What is it?"),
            item("b/1", "mandelbrot.mp4", "What is it?"),
            item("a/2", "testsrc.mp4", "Which colours are there?"),
            item("b/2", "mandelbrot.mp4", "Is it a road?"),
            item("a/3", "testsrc.mp4", "Yes or no?"),
        ]);
        place.write_model("model", 7);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_list(&self, lines: &[String]) {
        std::fs::write(self.path("items.jsonl"), lines.join("\n")).unwrap();
    }

    fn requests(&self) -> Vec<Request> {
        infer::read_requests(&self.path("items.jsonl"), &Prompt { system: String::new(), user: "?".into() }).unwrap()
    }

    fn write_model(&self, name: &str, seed: u64) {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).unwrap();
        let tokenizer_json = builtin_tokenizer_json(SpecialIds::Compact);
        let tokenizer = processor::Tokenizer::from_bytes(&tokenizer_json).unwrap();
        let id = |token: &str| tokenizer.special_id(token).unwrap();
        let tokens = models::SpecialTokens {
            vocab_size: tokenizer.id_max() as usize + 1,
            endoftext: id("<|endoftext|>"),
            im_end: id("<|im_end|>"),
            vision_start: id("<|vision_start|>"),
            vision_end: id("<|vision_end|>"),
            image_pad: id("<|image_pad|>"),
            video_pad: id("<|video_pad|>"),
        };
        let text = models::preset_config(models::Preset::Debug, tokens).to_string();
        let config = models::VlmConfig::parse(&text).unwrap();
        std::fs::write(dir.join("config.json"), &text).unwrap();
        let vlm = models::Vlm::random(config.clone(), seed, &tensor::Device::Cpu).unwrap();
        let options = weights::ExportOptions { dtype: tensor::DType::F32, ..Default::default() };
        weights::export(&dir, &vlm.entries(), &options).unwrap();
        processor::write_files(&dir, config.family, &tokenizer_json).unwrap();
    }

    fn run(&self, model: &str, out: &str, settings: &Settings) -> (RunSummary, Vec<Prediction>) {
        self.run_until(model, out, settings, usize::MAX)
    }

    /// Stops after so many records.
    fn run_until(&self, model: &str, out: &str, settings: &Settings, records: usize) -> (RunSummary, Vec<Prediction>) {
        let mut left = records;
        let mut progress = |progress: Progress| {
            if matches!(progress, Progress::Record(_)) {
                left -= 1;
            }
            left > 0
        };
        let out = self.path(out);
        let summary = infer::run(&self.path(model), &self.requests(), settings, &out, &mut progress).unwrap();
        (summary, records::jsonl::read(&out).unwrap().records)
    }
}

fn settings() -> Settings {
    Settings {
        model_name: "tiny".into(),
        task: "vqa".into(),
        frames: FrameRequest::whole(FrameSampling::Count(4)),
        budget: PixelBudget::PerFrame { min_pixels: Some(1024), max_pixels: Some(4096), total_pixels: None },
        sampling: Sampling {
            guided: records::Guided::Free,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            max_new_tokens: 6,
            seed: 1,
        },
        prompt_tokens_max: 4096,
        backend: BackendChoice::Pure,
        limits: Limits::default(),
        retry_failed: false,
        workers: 1,
    }
}

fn ids(records: &[Prediction]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

#[test]
fn nothing_is_computed_twice_and_the_file_is_in_order() {
    let place = Place::new();
    let (summary, whole) = place.run("model", "whole.jsonl", &settings());
    assert_eq!((summary.done, summary.failed, summary.skipped), (5, 0, 0));
    assert_eq!(ids(&whole), ["a/1", "b/1", "a/2", "b/2", "a/3"], "in the order of the requests");
    let bytes = std::fs::read(place.path("whole.jsonl")).unwrap();
    // Again, with other numbers of threads, and interrupted after every record: the same bytes.
    for (out, workers) in [("whole.jsonl", 1), ("two.jsonl", 2), ("auto.jsonl", 0)] {
        let (summary, _) = place.run("model", out, &Settings { workers, ..settings() });
        assert_eq!(summary.skipped, if out == "whole.jsonl" { 5 } else { 0 });
        assert!(std::fs::read(place.path(out)).unwrap() == bytes, "{out}");
    }
    for round in 0..5 {
        let (summary, records) = place.run_until("model", "steps.jsonl", &settings(), 1);
        assert_eq!((summary.done, summary.skipped, records.len()), (1, round, round + 1));
    }
    assert!(std::fs::read(place.path("steps.jsonl")).unwrap() == bytes);
    // A line cut short by a kill is asked again.
    std::fs::write(place.path("torn.jsonl"), &bytes[..bytes.len() - 20]).unwrap();
    let (summary, _) = place.run("model", "torn.jsonl", &settings());
    assert_eq!((summary.done, summary.skipped), (1, 4));
    assert!(std::fs::read(place.path("torn.jsonl")).unwrap() == bytes);
}

#[test]
fn whatever_decides_an_answer_has_it_computed_again() {
    let place = Place::new();
    place.write_model("other", 8);
    place.run("model", "out.jsonl", &settings());
    let check = |model: &str, settings: &Settings, again: usize, what: &str| {
        let (summary, records) = place.run(model, "out.jsonl", settings);
        assert_eq!((summary.done, summary.skipped), (again, 5 - again), "{what}");
        assert_eq!(ids(&records), ["a/1", "b/1", "a/2", "b/2", "a/3"], "{what}: one record a request");
    };
    check("model", &settings(), 0, "nothing");
    check("other", &settings(), 5, "weights");
    check("model", &settings(), 0, "weights back: their answers are still there");
    check("model", &Settings { model_name: "renamed".into(), ..settings() }, 0, "a name");
    let base = settings();
    check("model", &Settings { frames: FrameRequest::whole(FrameSampling::Count(2)), ..base.clone() }, 5, "frames");
    check(
        "model",
        &Settings { sampling: Sampling { max_new_tokens: 5, ..base.sampling }, ..base.clone() },
        5,
        "sampling",
    );
    check("model", &base, 0, "settings back");
    // A clip's bytes.
    let clip = place.path("testsrc.mp4");
    std::fs::copy(place.path("mandelbrot.mp4"), &clip).unwrap();
    check("model", &base, 3, "a clip");
    // One prompt.
    let mut lines: Vec<String> =
        std::fs::read_to_string(place.path("items.jsonl")).unwrap().lines().map(str::to_owned).collect();
    lines[3] = item("b/2", "mandelbrot.mp4", "Is it a street?");
    place.write_list(&lines);
    check("model", &base, 1, "a prompt");
    // A file of the model folder that decides what its tokens mean.
    let config = place.path("model/tokenizer_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n")).unwrap();
    check("model", &base, 5, "the tokenizer's settings");
    let kept = records::jsonl::read::<Prediction>(&infer::superseded(&place.path("out.jsonl"))).unwrap();
    assert_eq!(kept.records.len(), 5 + 5 + 5 + 5 + 3 + 1, "all that was replaced is kept, once");
}

#[test]
fn failures_are_records_and_retried_on_request() {
    let place = Place::new();
    let good = std::fs::read(place.path("testsrc.mp4")).unwrap();
    std::fs::write(place.path("testsrc.mp4"), "this is no clip").unwrap();
    let (summary, records) = place.run("model", "out.jsonl", &settings());
    assert_eq!((summary.done, summary.failed, records.len()), (2, 3, 5));
    assert!(records.iter().filter(|r| r.id.starts_with('a')).all(|r| matches!(r.outcome, Outcome::Failed { .. })));
    let retry = Settings { retry_failed: true, ..settings() };
    assert_eq!(place.run("model", "out.jsonl", &settings()).0.skipped, 5);
    assert_eq!(place.run("model", "out.jsonl", &retry).0.failed, 3);
    std::fs::write(place.path("testsrc.mp4"), good).unwrap();
    let (summary, records) = place.run("model", "out.jsonl", &settings());
    assert_eq!((summary.done, summary.skipped, records.len()), (3, 2, 5));
}

#[test]
fn guided_answers_are_choices() {
    let place = Place::new();
    let sampling = Sampling { guided: records::Guided::Choice, max_new_tokens: 24, ..settings().sampling };
    let (summary, records) = place.run("model", "out.jsonl", &Settings { sampling, ..settings() });
    assert_eq!(summary.done, 5);
    for record in &records {
        let Outcome::Done { text, finish_reason, .. } = &record.outcome else { panic!("{record:?}") };
        assert!(["a", "b", "c", "d"].contains(&text.as_str()), "{text}");
        assert_eq!(*finish_reason, records::FinishReason::Stop);
    }
    let (free, _) = place.run("model", "out.jsonl", &settings());
    assert_eq!(free.done, 5, "free answers are others");
}
