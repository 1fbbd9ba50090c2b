//! What the user typed: the keys of `sft.toml`, their types, nothing resolved.
//!
//! Names and meanings are cosmos-rl's (its `policy/config/__init__.py`), plus `custom.*`, which the recipe's own data
//! loader reads. Keys of ours say so. Every table refuses unknown keys; defaults are filled in by [`crate::Plan`].

use serde::Deserialize;

use crate::schedule::{Decay, Warmup};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftToml {
    /// Data and frames.
    pub custom: Custom,
    /// Optimisation.
    pub train: Train,
    /// Model.
    pub policy: Policy,
    /// Loss on data that is not trained on.
    pub validation: Validation,
    /// Names of the run.
    pub logging: Logging,
}

/// `[custom]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Custom {
    /// Where samples come from.
    pub dataset: Dataset,
    /// Which frames, how large.
    pub vision: Vision,
}

/// `[custom.dataset]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dataset {
    /// Folder of the data; required.
    pub dataset_root: Option<String>,
    /// Folders below the root that hold a meta file each; none means the root itself.
    pub subdirectories: Option<Vec<String>>,
    /// Probability of drawing from each folder, normalised; none means by number of samples.
    pub weights: Option<Vec<f64>>,
    /// Name of the meta file (default `meta.json`).
    pub meta_file: Option<String>,
    /// System text of samples that bring only an answer (default none). Ours.
    pub system_prompt: Option<String>,
    /// User text of samples that bring only an answer. Ours.
    pub user_prompt: Option<String>,
    /// Draws of a virtual epoch (default: the samples of all folders together). Ours.
    pub epoch_samples: Option<u64>,
    /// Folders below the root for `[validation]` (default `validation/<subdirectory>`, those that exist). Ours.
    pub validation_subdirectories: Option<Vec<String>>,
    /// Folder of decoded frames, or `false` for none (default `frame_cache` in the output folder). Ours.
    pub frame_cache: Option<FrameCacheKey>,
    /// Largest size of the folder of decoded frames, in GB of 10^9 bytes (default 20). Ours.
    pub frame_cache_gb: Option<f64>,
}

/// `custom.dataset.frame_cache`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum FrameCacheKey {
    /// Whether to keep decoded frames in the output folder.
    Default(bool),
    /// A folder.
    Dir(String),
}

/// `[custom.vision]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vision {
    /// Fewest pixels of a frame.
    pub min_pixels: Option<u64>,
    /// Most pixels of a frame.
    pub max_pixels: Option<u64>,
    /// Most pixels of all frames of a clip.
    pub total_pixels: Option<u64>,
    /// Number of frames; excludes `fps`.
    pub nframes: Option<u32>,
    /// Frames per second; excludes `nframes`.
    pub fps: Option<f64>,
}

/// `[train]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Folder of logs and checkpoints; required.
    pub output_dir: Option<String>,
    /// `true`: from the newest verified checkpoint of `output_dir`, if there is one. A path: from that checkpoint.
    pub resume: Option<Resume>,
    /// Accepted for the recipe's sake; there is nothing to compile.
    pub compile: Option<bool>,
    /// Passes over the data (default 1).
    pub epoch: Option<u64>,
    /// Most steps.
    pub max_num_steps: Option<u64>,
    /// Stop, save and exit after this step, as a signal would; the schedule does not change. Ours.
    pub stop_at_step: Option<u64>,
    /// Samples of a step for each data-parallel rank (default 8).
    pub train_batch_per_replica: Option<u64>,
    /// `AdamW`, the only one.
    pub optm_name: Option<String>,
    /// Peak learning rate (default 1e-6).
    pub optm_lr: Option<f64>,
    /// Decoupled decay of all parameters (default 0.01).
    pub optm_weight_decay: Option<f64>,
    /// Decay of the two moments (default 0.9, 0.999).
    pub optm_betas: Option<[f64; 2]>,
    /// Added to the root of the second moment (default 1e-6).
    pub epsilon: Option<f64>,
    /// An integer is steps, a float in 0..=1 a share of all steps (default 20).
    pub optm_warmup_steps: Option<Warmup>,
    /// `0.3.9` (default) or `head`, after cosmos-rl's two warm-up forms. Ours.
    pub optm_warmup_form: Option<String>,
    /// Factor at the first step, form `head` only (default 0).
    pub optm_warmup_start_factor: Option<f64>,
    /// Shape of the decay (default `none`).
    pub optm_decay_type: Option<Decay>,
    /// Share of all steps that the decay takes.
    pub optm_decay_ratio: Option<f64>,
    /// Factor at the end of the decay (default 0).
    pub optm_min_lr_factor: Option<f64>,
    /// Largest global gradient norm (default 1); 0 or less only measures.
    pub optm_grad_norm_clip: Option<f64>,
    /// Element type of exported weights: `bfloat16` (default) or `float32`. The CPU computes in f32.
    pub param_dtype: Option<String>,
    /// Seed of the sample order (default 0).
    pub seed: Option<u64>,
    /// What to do when loss or gradient norm is not finite: `stop` (default) or `skip` the update. Ours.
    pub non_finite: Option<NonFinite>,
    /// Batching and loading.
    pub train_policy: TrainPolicy,
    /// Checkpoints.
    pub ckpt: Ckpt,
}

/// `train.resume`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Resume {
    /// Whether to look for a checkpoint.
    Newest(bool),
    /// A checkpoint.
    From(String),
}

/// `train.non_finite`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NonFinite {
    /// End the run with an error; the weights stay as they were before the step.
    Stop,
    /// Leave out the update and go on; ten in a row end the run.
    Skip,
}

/// `[train.train_policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainPolicy {
    /// `sft`, the only one.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Samples of a micro-batch (default 2); divides `train_batch_per_replica`.
    pub mini_batch: Option<u64>,
    /// Whether to shuffle (default true).
    pub dataloader_shuffle: Option<bool>,
    /// Threads that decode (default 1).
    pub dataloader_num_workers: Option<u64>,
    /// Samples that each thread prepares ahead (default 2).
    pub dataloader_prefetch_factor: Option<u64>,
}

/// `[train.ckpt]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ckpt {
    /// Whether to save on the way (default false); the end of a run is always saved.
    pub enable_checkpoint: Option<bool>,
    /// Steps between saves (default 20).
    pub save_freq: Option<u64>,
    /// Epochs between saves; above 0 it replaces `save_freq` (default 0).
    pub save_freq_in_epoch: Option<u64>,
    /// Newest checkpoints kept; -1 (default) keeps all. The best by validation loss and those in use stay too.
    pub max_keep: Option<i64>,
}

/// `[validation]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// Whether to measure (default false).
    pub enable: Option<bool>,
    /// Whether to measure before the first step too (default false).
    pub val_before_train: Option<bool>,
    /// Steps between measurements (default 20); the end of the run is always measured.
    pub freq: Option<u64>,
    /// Samples of a forward pass (default `train.train_policy.mini_batch`); the result does not depend on it.
    pub batch_size: Option<u64>,
}

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A model folder, or the name of one in the hub cache; required.
    pub model_name_or_path: Option<String>,
    /// Most tokens of a sample (default 4096).
    pub model_max_length: Option<u64>,
    /// Run blocks again in the backward instead of keeping activations (default true).
    pub model_gradient_checkpointing: Option<bool>,
    /// How the model is spread.
    pub parallelism: Parallelism,
}

/// `[policy.parallelism]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parallelism {
    /// Tensor parallelism: 1.
    pub tp_size: Option<i64>,
    /// Context parallelism: 1.
    pub cp_size: Option<i64>,
    /// Pipeline parallelism: 1.
    pub pp_size: Option<i64>,
    /// Data-parallel shards; a step covers `train_batch_per_replica` samples of each, -1 is as many as there are devices.
    pub dp_shard_size: Option<i64>,
    /// Data-parallel copies, likewise.
    pub dp_replicate_size: Option<i64>,
}

/// `[logging]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// Where metrics go: `console`, `jsonl`, `tensorboard`, `wandb`; the first two always.
    pub logger: Option<Vec<String>>,
    /// Name of the project.
    pub project_name: Option<String>,
    /// Name of a group of runs.
    pub group_name: Option<String>,
    /// Name of the run.
    pub experiment_name: Option<String>,
}
