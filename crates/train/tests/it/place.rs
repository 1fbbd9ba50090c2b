//! A folder with a tiny model, two clips and a data set, and a config over them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use models::{Preset, SpecialTokens, Vlm, VlmConfig, preset_config};
use processor::{SpecialIds, Tokenizer, builtin_tokenizer_json};
use tensor::{DType, Device};
use train::{Error, MetricSink, Plan, RunSummary, StepMetrics, StepTiming, Timeline, parse_config};

pub struct Place {
    dir: tempfile::TempDir,
}

/// What a run told.
#[derive(Default)]
pub struct Told {
    pub metrics: Vec<StepMetrics>,
    pub rejects: Vec<(String, String)>,
    pub notes: Vec<String>,
    /// Sets `stop` once this step is done.
    pub stop_after: Option<u64>,
    pub stop: AtomicBool,
}

struct Ear<'a>(&'a mut Told, &'a AtomicBool);

impl MetricSink for Ear<'_> {
    fn start(&mut self, _: &Plan, _: &Timeline, _: u64) {}
    fn step(&mut self, metrics: &StepMetrics, _: &StepTiming) {
        if self.0.stop_after == Some(metrics.step) {
            self.1.store(true, Ordering::Relaxed);
        }
        self.0.metrics.push(metrics.clone());
    }
    fn reject(&mut self, id: &str, reason: &str) {
        self.0.rejects.push((id.to_owned(), reason.to_owned()));
    }
    fn saved(&mut self, _: &Path) {}
    fn note(&mut self, message: &str) {
        self.0.notes.push(message.to_owned());
    }
}

impl Place {
    /// Six samples: four of words alone, two with clips.
    pub fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        write_model(&place.path("model"));
        std::fs::create_dir(place.path("data")).unwrap();
        for clip in ["testsrc.mp4", "mandelbrot.mp4"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(clip);
            std::fs::copy(from, place.path("data").join(clip)).unwrap();
        }
        std::fs::write(place.path("data/answer.txt"), "A fractal.\n").unwrap();
        place.write_meta(
            r#"{"id":"red","conversation":[{"role":"user","content":"Light?"},{"role":"assistant","content":"Red."}]},
            {"id":"green","conversation":[{"role":"user","content":"Light?"},{"role":"assistant","content":"Green, so drive."}]},
            {"id":"rain","conversation":[{"role":"system","content":"Be brief."},{"role":"user","content":"Weather?"},
              {"role":"assistant","content":"Rain."},{"role":"user","content":"Sure?"},{"role":"assistant","content":"Yes."}]},
            {"id":"road","conversation":[{"role":"user","content":"Road?"},{"role":"assistant","content":"A wide road with two lanes."}]},
            {"id":"bars","media":"testsrc.mp4","conversation":[{"role":"user","content":"What is it?"},{"role":"assistant","content":"A test picture."}]},
            {"id":"fractal","media":"mandelbrot.mp4","text":"answer.txt"}"#,
        );
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write_meta(&self, entries: &str) {
        std::fs::write(self.path("data/meta.json"), format!("[{entries}]")).unwrap();
    }

    pub fn plan(&self, out: &str, overrides: &[&str]) -> Plan {
        let text = format!(
            "[custom.dataset]\ndataset_root = {:?}\n[custom.vision]\nnframes = 4\nmin_pixels = 1024\nmax_pixels = 4096\n\
             [train]\noutput_dir = {:?}\nresume = true\nepoch = 4\ntrain_batch_per_replica = 4\noptm_lr = 1e-3\n\
             optm_warmup_steps = 2\noptm_decay_type = \"cosine\"\nseed = 3\n[policy]\nmodel_name_or_path = {:?}\n\
             [train.train_policy]\nmini_batch = 2\ndataloader_num_workers = 2\n\
             [train.ckpt]\nenable_checkpoint = true\nsave_freq = 3\n",
            self.path("data"),
            self.path(out),
            self.path("model"),
        );
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let (toml, source) = parse_config(Path::new("sft.toml"), &text, &overrides).unwrap();
        Plan::resolve(&toml, &source, None).unwrap()
    }

    pub fn run(&self, out: &str, overrides: &[&str]) -> (RunSummary, Told) {
        let mut told = Told::default();
        (self.try_run(out, overrides, &mut told).unwrap(), told)
    }

    pub fn try_run(&self, out: &str, overrides: &[&str], told: &mut Told) -> Result<RunSummary, Error> {
        self.run_plan(&self.plan(out, overrides), told)
    }

    pub fn run_plan(&self, plan: &Plan, told: &mut Told) -> Result<RunSummary, Error> {
        let stop = std::mem::take(&mut told.stop);
        train::run(plan, &train::Accelerator::Cpu, &stop, &mut Ear(told, &stop))
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// A Qwen3-VL of two layers with the built-in tokenizer.
fn write_model(dir: &Path) {
    let tokenizer_json = builtin_tokenizer_json(SpecialIds::Compact);
    let tokenizer = Tokenizer::from_bytes(&tokenizer_json).unwrap();
    let id = |token: &str| tokenizer.special_id(token).unwrap();
    let tokens = SpecialTokens {
        vocab_size: tokenizer.id_max() as usize + 1,
        endoftext: id("<|endoftext|>"),
        im_end: id("<|im_end|>"),
        vision_start: id("<|vision_start|>"),
        vision_end: id("<|vision_end|>"),
        image_pad: id("<|image_pad|>"),
        video_pad: id("<|video_pad|>"),
    };
    let mut config = preset_config(Preset::Debug, tokens);
    for (part, key, value) in [
        ("text_config", "hidden_size", 32),
        ("text_config", "num_hidden_layers", 2),
        ("text_config", "num_attention_heads", 2),
        ("text_config", "num_key_value_heads", 1),
        ("text_config", "head_dim", 32),
        ("text_config", "intermediate_size", 64),
        ("vision_config", "hidden_size", 32),
        ("vision_config", "depth", 2),
        ("vision_config", "num_heads", 2),
        ("vision_config", "intermediate_size", 64),
        ("vision_config", "out_hidden_size", 32),
    ] {
        config[part][key] = value.into();
    }
    config["text_config"]["rope_scaling"]["mrope_section"] = vec![6, 5, 5].into();
    config["vision_config"]["deepstack_visual_indexes"] = vec![0, 1].into();
    let text = config.to_string();
    let config = VlmConfig::parse(&text).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), &text).unwrap();
    let vlm = Vlm::random(config.clone(), 7, &Device::Cpu).unwrap();
    weights::export(dir, &vlm.entries(), &weights::ExportOptions { dtype: DType::F32, ..Default::default() }).unwrap();
    processor::write_files(dir, config.family, &tokenizer_json).unwrap();
}
