//! The seed's config, and every way a config can be wrong.

use std::path::Path;

use super::*;
use crate::{Error, known_keys, parse_config};

/// A recipe over data sets of the given weights, in batches of 4.
pub(crate) fn recipe_with(weights: &[Option<f64>], shuffle: bool) -> Recipe {
    let dataset = |(index, weight): (usize, &Option<f64>)| DatasetPlan {
        name: format!("set{index}"),
        weight: *weight,
        meta: ContentHash::of_text(""),
    };
    let schedule = Schedule {
        lr: 1e-3,
        warmup: Warmup::Steps(0),
        warmup_form: WarmupForm::V0_3_9,
        decay: Decay::None,
        decay_ratio: None,
        min_lr_factor: 0.0,
    };
    Recipe {
        model_config: ContentHash::of_text(""),
        datasets: weights.iter().enumerate().map(dataset).collect(),
        prompt: Prompt { system: String::new(), user: String::new() },
        nframes: Some(2),
        fps: None,
        min_pixels: None,
        max_pixels: None,
        total_pixels: None,
        max_length: 512,
        epochs: 1,
        epoch_samples: None,
        blend: None,
        max_num_steps: None,
        global_batch: 4,
        mini_batch: 2,
        schedule,
        weight_decay: 0.01,
        betas: [0.9, 0.999],
        epsilon: 1e-6,
        grad_norm_max: Some(1.0),
        non_finite: NonFinite::Stop,
        shuffle,
        seed: 42,
    }
}

/// The recipe's config, key for key, with the two paths filled in.
const SEED: &str = include_str!("../../tests/data/uber_sft_blended.toml");

/// A place with the recipe's three data folders and a downloaded model.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["cv_annotated", "human_annotated", "reason1_sft"] {
            std::fs::create_dir_all(dir.path().join("data").join(folder)).unwrap();
            std::fs::write(dir.path().join("data").join(folder).join("meta.json"), "[]").unwrap();
        }
        let model = dir.path().join("hub/models--nvidia--Cosmos-Reason2-8B");
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::create_dir_all(model.join("snapshots/abc")).unwrap();
        std::fs::write(model.join("refs/main"), "abc\n").unwrap();
        std::fs::write(model.join("snapshots/abc/config.json"), "{}").unwrap();
        Self { dir }
    }

    fn resolve(&self, text: &str, overrides: &[&str]) -> Result<Plan> {
        let path = |name: &str| self.dir.path().join(name).to_string_lossy().into_owned();
        let text = text.replace("DATA", &path("data")).replace("OUT", &path("out"));
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let (toml, source) = parse_config(Path::new("sft.toml"), &text, &overrides)?;
        Plan::resolve(&toml, &source, Some(&self.dir.path().join("hub")))
    }
}

#[test]
fn the_recipes_own_config() {
    let place = Place::new();
    let plan = place.resolve(SEED, &[]).unwrap();
    let recipe = &plan.recipe;
    assert_eq!(recipe.datasets.iter().map(|d| d.weight).collect::<Vec<_>>(), [Some(0.3), Some(0.5), Some(0.2)]);
    assert_eq!((recipe.nframes, recipe.fps), (Some(16), None));
    assert_eq!((recipe.global_batch, recipe.mini_batch), (256, 4));
    assert_eq!(recipe.schedule.warmup, Warmup::Fraction(0.03));
    assert_eq!(recipe.schedule.warmup_form, WarmupForm::V0_3_9);
    assert_eq!((recipe.betas, recipe.epsilon), ([0.9, 0.999], 1e-6));
    assert_eq!(plan.resume, ResumeFrom::Newest);
    assert_eq!(plan.checkpoint.save_freq, Some(20));
    assert!(plan.model_dir.ends_with("snapshots/abc"));
    assert_eq!(plan.notes.len(), 1, "eight ranks are spoken of: {:?}", plan.notes);
    assert_eq!(plan.loggers, [Logger::Console, Logger::Wandb]);
}

#[test]
fn overrides_are_typed() {
    let place = Place::new();
    let plan = |overrides: &[&str]| place.resolve(SEED, overrides).unwrap();
    assert_eq!(plan(&["train.optm_warmup_steps=10"]).recipe.schedule.warmup, Warmup::Steps(10));
    assert_eq!(plan(&["train.optm_warmup_steps=1.0"]).recipe.schedule.warmup, Warmup::Fraction(1.0));
    assert_eq!(plan(&["train.optm_lr=1"]).recipe.schedule.lr, 1.0);
    assert_eq!(plan(&["custom.dataset.weights=[1, 2, 1]"]).recipe.datasets[1].weight, Some(0.5));
    assert_eq!(plan(&["logging.experiment_name=a = b"]).experiment_name, "a = b");
    assert_eq!(plan(&["train.ckpt.max_keep=-1"]).checkpoint.max_keep, None);
    assert_eq!(plan(&["train.ckpt.max_keep=3"]).checkpoint.max_keep, Some(3));
    assert_eq!(plan(&["train.resume=false"]).resume, ResumeFrom::Nothing);
}

/// Replaces a line of the seed's config and checks that the message names the place and helps.
fn check_error(from: &str, to: &str, words: &[&str]) {
    assert!(SEED.contains(from), "{from}");
    let message = Place::new().resolve(&SEED.replace(from, to), &[]).unwrap_err().to_string();
    let line = SEED[..SEED.find(from).unwrap()].matches('\n').count() + 1;
    for word in words.iter().map(|word| word.replace("LINE", &format!("sft.toml:{line}:"))) {
        assert!(message.contains(&word), "{to}: {message:?} lacks {word:?}");
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    check_error("optm_lr = 2e-7", "optm_lrr = 2e-7", &["LINE", "`train.optm_lrr`", "`train.optm_lr`"]);
    check_error("save_freq = 20", "save_frequency = 20", &["LINE", "`train.ckpt.save_freq`"]);
    check_error("mini_batch = 4", "nframes = 4", &["LINE", "did you mean `custom.vision.nframes`?"]);
    check_error("[logging]", "[loging]", &["LINE", "did you mean `logging`?"]);
    check_error("compile = false", "zzzzzzzzzzzz = 1", &["LINE", "unknown key `train.zzzzzzzzzzzz`"]);
}

#[test]
fn contradictions_are_found_before_any_work() {
    check_error("nframes = 16", "nframes = 16\nfps = 2", &["nframes and fps exclude each other", "sft.toml:12:"]);
    check_error("weights = [0.3, 0.5, 0.2]", "weights = [0.3, 0.7]", &["LINE", "2 numbers for 3 folder(s)"]);
    check_error("weights = [0.3, 0.5, 0.2]", "weights = [0.3, -1, 2]", &["LINE", "holds -1"]);
    check_error("train_batch_per_replica = 32", "train_batch_per_replica = 30", &["LINE", "30", "mini_batch = 4"]);
    check_error("tp_size = 1", "tp_size = 2", &["LINE", "not available; set it to 1"]);
    check_error("cp_size = 1", "cp_size = 2", &["LINE", "not available; set it to 1"]);
    check_error("pp_size = 1", "pp_size = 2", &["LINE", "not available; set it to 1"]);
    check_error("\"DATA\"", "\"/no/such/place\"", &["LINE", "no folder /no/such/place"]);
    check_error("\"DATA\"", "...", &["LINE", "not valid TOML", "`dataset_root`"]);
    check_error("dataset_root = \"DATA\"", "", &["custom.dataset.dataset_root", "is missing"]);
    check_error("\"reason1_sft\"]", "\"other\"]", &["LINE", "other/meta.json"]);
    check_error("\"nvidia/Cosmos-Reason2-8B\"", "\"nvidia/Cosmos\"", &["LINE", "no folder \"nvidia/Cosmos\""]);
    check_error("\"sft\"", "\"grpo\"", &["LINE", "only \"sft\""]);
    check_error("max_pixels = 360000", "max_pixels = 36", &["LINE", "less than min_pixels"]);
    check_error("save_freq = 20", "save_freq = 0", &["LINE", "at least 1"]);
    check_error("optm_warmup_steps = 0.03", "optm_warmup_steps = 1.5", &["LINE", "share of all steps"]);
    check_error("resume = true", "resume = \"/no/such/step_1\"", &["LINE", "no checkpoint folder"]);
}

/// A line of the seed's config, what a user wrote instead, and what the message must hold.
const MALFORMED: &[(&str, &str, &[&str])] = &[
    ("nframes = 16", "nframes = 16\nfps = 2.0", &["sft.toml:12:", "exclude each other; remove one of them"]),
    ("weights = [0.3, 0.5, 0.2]", "weights = [0.3, 0.7]", &["LINE", "2 numbers for 3 folder(s)", "one for each"]),
    ("weights = [0.3, 0.5, 0.2]", "weights = [0.3, -0.5, 0.2]", &["LINE", "holds -0.5", "0 leaves a folder out"]),
    ("weights = [0.3, 0.5, 0.2]", "weights = [0, 0.0, 0]", &["LINE", "all 0", "nothing would be drawn"]),
    ("weights = [0.3, 0.5, 0.2]", "weights = [0.3, nan, 0.2]", &["LINE", "NaN", "finite"]),
    ("train_batch_per_replica = 32", "train_batch_per_replica = 30", &["LINE", "not a multiple", "mini_batch = 4"]),
    ("train_batch_per_replica = 32", "train_batch_per_replica = 0", &["LINE", "train_batch_per_replica", "at least 1"]),
    ("\"DATA\"", "...", &["LINE", "replace the `...` of `dataset_root`"]),
    ("\"DATA\"", "\"...\"", &["LINE", "dataset_root: is still `...`"]),
    ("output_dir = \"OUT\"", "", &["train.output_dir: is missing", "--set train.output_dir="]),
    ("\"DATA\"", "\"/no/such/place\"", &["LINE", "no folder /no/such/place"]),
    ("\"reason1_sft\"]", "\"other\"]", &["LINE", "no file", "other/meta.json"]),
    ("\"reason1_sft\"]", "\"cv_annotated\"]", &["LINE", "\"cv_annotated\" twice", "raise its weight"]),
    ("['console', 'wandb']", "['console', 'mlflow']", &["LINE", "\"mlflow\" is not a logger", "\"tensorboard\""]),
    ("\"cosine\"", "\"cosinus\"", &["LINE", "cosinus", "`cosine`, `linear`"]),
    ("optm_lr = 2e-7", "optm_lr = 0.0", &["LINE", "optm_lr", "above 0"]),
    ("optm_lr = 2e-7", "optm_lr = \"2e-7\"", &["LINE", "optm_lr", "string"]),
    ("optm_lr = 2e-7", "optm_lr = 2e-7\nlearning_rate = 2e-7", &["sft.toml:20:", "another name of train.optm_lr"]),
    ("optm_lr = 2e-7", "optm_lrr = 2e-7", &["LINE", "unknown key `train.optm_lrr`", "did you mean `train.optm_lr`?"]),
    ("tp_size = 1", "tp_size = 2", &["LINE", "tp_size", "tensor", "set it to 1"]),
    ("pp_size = 1", "pp_size = 1\nep_size = 4", &["ep_size", "no experts", "set it to 1"]),
    ("dp_shard_size = 8", "dp_shard_size = 0", &["LINE", "dp_shard_size", "-1 (all devices)"]),
    ("seed = 42", "seed = -1", &["LINE", "train.seed"]),
    ("epoch = 3", "epoch = 3.0", &["LINE", "train.epoch", "float"]),
    ("epoch = 3", "epoch = 0", &["LINE", "train.epoch", "at least 1"]),
    ("optm_warmup_steps = 0.03", "optm_warmup_steps = 1.5", &["LINE", "share of all steps"]),
    ("\"nvidia/Cosmos-Reason2-8B\"", "\"nvidia/Cosmos\"", &["LINE", "no downloaded model of that name"]),
    ("max_pixels = 360000", "max_pixels = 36", &["LINE", "36 is less than min_pixels = 3136"]),
    ("nframes = 16", "nframes = 1", &["LINE", "nframes", "2..=100000"]),
    ("save_freq = 20", "save_freq = 20\nmax_keep = 0", &["max_keep", "-1 (keep all)"]),
    ("save_freq = 20", "save_freq = 20\nupload_hf = true", &["upload_hf", "nothing is uploaded"]),
    ("\"sft\"", "\"grpo\"", &["LINE", "only \"sft\" is available"]),
    ("[policy]", "[policy.lora]\nr = 8\n[policy]", &["policy.lora", "LoRA is not available", "train all parameters"]),
    ("[logging]", "[validation]\nenable = true\n[logging]", &["validation.enable", "roadscribe curate"]),
    ("seed = 42", "seed = 42\nseed = 43", &["sft.toml", "not valid TOML", "duplicate key"]),
    ("[custom.vision]", "[custom.vision", &["LINE", "not valid TOML"]),
];

#[test]
fn malformed_configs_get_different_helpful_errors() {
    let mut messages = std::collections::HashSet::new();
    for (from, to, words) in MALFORMED {
        check_error(from, to, words);
        let message = Place::new().resolve(&SEED.replace(from, to), &[]).unwrap_err().to_string();
        messages.insert(message.split_once(": ").map_or(message.clone(), |(_, message)| message.to_owned()));
    }
    assert_eq!(messages.len(), MALFORMED.len(), "two variants get the same message");
    assert!(MALFORMED.len() >= 20);
}

#[test]
fn keys_of_cosmos_rl_without_a_setting_here() {
    let notes = |from: &str, to: &str| Place::new().resolve(&SEED.replace(from, to), &[]).unwrap().notes.join("\n");
    let check = |from: &str, to: &str, word: &str| {
        let notes = notes(from, to);
        assert!(if word.is_empty() { notes.matches('\n').count() == 0 } else { notes.contains(word) }, "{to}: {notes}");
    };
    check("seed = 42", "seed = 42\noptm_impl = \"fused\"", "train.optm_impl has no effect");
    check("seed = 42", "seed = 42\nmaster_dtype = \"float32\"", "");
    check("save_freq = 20", "save_freq = 20\nsave_mode = \"async\"", "train.ckpt.save_mode has no effect");
    check("compile = false", "compile = true", "nothing to compile");
    check("[logging]", "[profiler]\nenable_profiler = false\n[logging]", "");
    check("[logging]", "[rollout]\nbackend = \"vllm\"\n[rollout.parallelism]\ntp_size = 4\n[logging]", "reinforcement");
    check("tp_size = 1", "n_init_replicas = 1\ntp_size = 1", "");
}

#[test]
fn own_names_of_settings() {
    let place = Place::new();
    let written = SEED.replace("optm_lr = 2e-7", "learning_rate = 2e-7").replace("optm_decay_type", "decay_type");
    assert_eq!(place.resolve(&written, &[]).unwrap().recipe.hash(), place.resolve(SEED, &[]).unwrap().recipe.hash());
    let wrong = place.resolve(&SEED.replace("optm_lr = 2e-7", "learning_rate = true"), &[]).unwrap_err().to_string();
    assert!(wrong.contains("learning_rate") && wrong.contains(":19"), "{wrong}");
    assert_eq!(place.resolve(SEED, &["train.learning_rate=0.5"]).unwrap().recipe.schedule.lr, 0.5);
}

#[test]
fn wrong_types_name_line_and_key() {
    check_error("epoch = 3", "epoch = \"3\"", &["LINE", "train.epoch", "string"]);
    check_error("seed = 42", "seed = -1", &["LINE", "train.seed"]);
    check_error("optm_decay_type = \"cosine\"", "optm_decay_type = \"cos\"", &["LINE", "`cosine`, `linear`"]);
}

#[test]
fn wrong_overrides_name_themselves() {
    let check = |value: &str, words: &[&str]| {
        let message = Place::new().resolve(SEED, &[value]).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    check("train.epoch", &["--set train.epoch", "key=value"]);
    check("train.epoch=x", &["--set train.epoch=x", "train.epoch"]);
    check("train.epochs=3", &["--set train.epochs", "did you mean `train.epoch`?"]);
    check("train.epoch=0", &["--set train.epoch", "at least 1"]);
    check("custom.vision.fps=2", &["--set custom.vision.fps", "exclude"]);
}

#[test]
fn the_hash_is_that_of_what_decides_the_numbers() {
    let place = Place::new();
    let hash = |overrides: &[&str]| place.resolve(SEED, overrides).unwrap().recipe.hash();
    let base = hash(&[]);
    for same in ["train.ckpt.save_freq=5", "train.train_policy.dataloader_num_workers=1", "train.stop_at_step=3"] {
        assert_eq!(hash(&[same]), base, "{same}");
    }
    for other in ["train.seed=1", "train.optm_lr=1e-7", "train.train_policy.mini_batch=8", "custom.vision.nframes=8"] {
        assert_ne!(hash(&[other]), base, "{other}");
    }
}

/// The surface of the config; a change here is a change of the contract.
#[test]
fn known_keys_are_frozen() {
    let leaves: Vec<&str> = known_keys().iter().map(String::as_str).collect();
    let expected = [
        "custom",
        "custom.dataset",
        "custom.dataset.dataset_root",
        "custom.dataset.epoch_samples",
        "custom.dataset.frame_cache",
        "custom.dataset.frame_cache_gb",
        "custom.dataset.meta_file",
        "custom.dataset.subdirectories",
        "custom.dataset.system_prompt",
        "custom.dataset.user_prompt",
        "custom.dataset.validation_subdirectories",
        "custom.dataset.weights",
        "custom.vision",
        "custom.vision.fps",
        "custom.vision.max_pixels",
        "custom.vision.min_pixels",
        "custom.vision.nframes",
        "custom.vision.total_pixels",
        "logging",
        "logging.experiment_name",
        "logging.group_name",
        "logging.logger",
        "logging.project_name",
        "policy",
        "policy.model_gradient_checkpointing",
        "policy.model_max_length",
        "policy.model_name_or_path",
        "policy.parallelism",
        "policy.parallelism.cp_size",
        "policy.parallelism.dp_replicate_size",
        "policy.parallelism.dp_shard_size",
        "policy.parallelism.pp_size",
        "policy.parallelism.tp_size",
        "train",
        "train.ckpt",
        "train.ckpt.enable_checkpoint",
        "train.ckpt.max_keep",
        "train.ckpt.save_freq",
        "train.ckpt.save_freq_in_epoch",
        "train.compile",
        "train.epoch",
        "train.epsilon",
        "train.max_num_steps",
        "train.non_finite",
        "train.optm_betas",
        "train.optm_decay_ratio",
        "train.optm_decay_type",
        "train.optm_grad_norm_clip",
        "train.optm_lr",
        "train.optm_min_lr_factor",
        "train.optm_name",
        "train.optm_warmup_form",
        "train.optm_warmup_start_factor",
        "train.optm_warmup_steps",
        "train.optm_weight_decay",
        "train.output_dir",
        "train.param_dtype",
        "train.resume",
        "train.seed",
        "train.stop_at_step",
        "train.train_batch_per_replica",
        "train.train_policy",
        "train.train_policy.dataloader_num_workers",
        "train.train_policy.dataloader_prefetch_factor",
        "train.train_policy.dataloader_shuffle",
        "train.train_policy.mini_batch",
        "train.train_policy.type",
        "validation",
        "validation.batch_size",
        "validation.enable",
        "validation.freq",
        "validation.val_before_train",
    ];
    assert_eq!(leaves, expected);
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_config_or_an_error(text in "[\\[\\]a-z_.=\"'0-9 \n{},#-]{0,200}") {
        match parse_config(Path::new("sft.toml"), &text, &[]) {
            Ok(_) | Err(Error::Config { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn any_override_is_applied_or_an_error(key in "[a-z_.]{0,30}", value in ".{0,30}") {
        let _ = parse_config(Path::new("sft.toml"), "", &[format!("{key}={value}")]);
        let _ = parse_config(Path::new("sft.toml"), "", &[format!("train.epoch={value}")]);
    }
}
