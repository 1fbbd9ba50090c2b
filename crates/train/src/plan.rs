//! What the config means: every default filled in, every path checked, every contradiction refused.

use std::path::{Path, PathBuf};

use records::{ContentHash, Prompt};
use serde::Serialize;

use crate::schedule::{Decay, Schedule, Warmup, WarmupForm};
use crate::sft_toml::{NonFinite, Resume, SftToml};
use crate::{Result, Source};

mod extras;

/// Prompt of samples that bring only an answer; the text is that of cosmos-reason2's `prompts/caption.yaml`.
const USER_PROMPT: &str = "Caption the video in detail.";
/// Frames per second where the config gives neither `nframes` nor `fps` (qwen_vl_utils).
const FPS_DEFAULT: f64 = 2.0;

/// Version of the order of weighted data sets: a change of it is another recipe.
const BLEND: &str = "stratified 1";
/// Largest virtual epoch.
const EPOCH_SAMPLES_MAX: u64 = 10_000_000_000;

/// A run, resolved.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Everything that decides the run's numbers; a resumed run must have the same.
    pub recipe: Recipe,
    /// The folder of the model to start from.
    pub model_dir: PathBuf,
    /// Meta file of every data set of the recipe, in its order.
    pub meta_files: Vec<PathBuf>,
    /// Folder of logs and checkpoints.
    pub output_dir: PathBuf,
    /// Where to go on from.
    pub resume: ResumeFrom,
    /// Step after which to save and exit.
    pub stop_at_step: Option<u64>,
    /// When to save.
    pub checkpoint: CheckpointPlan,
    /// Threads that prepare samples, at least 1.
    pub loader_threads: usize,
    /// Samples that each thread prepares ahead, at least 1.
    pub prefetch: usize,
    /// Whether blocks run again in the backward.
    pub recompute: bool,
    /// Loss on other data; none measures none.
    pub validation: Option<ValidationPlan>,
    /// Where decoded frames are kept; none decodes a clip at every use.
    pub frame_cache: Option<FrameCachePlan>,
    /// Where metrics go beside the logs of the output folder.
    pub loggers: Vec<Logger>,
    /// Name of the project.
    pub project_name: String,
    /// Name of a group of runs; empty is none.
    pub group_name: String,
    /// Name of the run, for people.
    pub experiment_name: String,
    /// What in the config has no effect here, for people.
    pub notes: Vec<String>,
}

/// Everything that decides the numbers of a run, its weights apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// Hash of the model's config.json.
    pub model_config: ContentHash,
    /// Data sets and how often each is drawn from.
    pub datasets: Vec<DatasetPlan>,
    /// Prompt of samples that bring only an answer.
    pub prompt: Prompt,
    /// Number of frames of a clip, or none.
    pub nframes: Option<u32>,
    /// Frames per second, or none; exactly one of the two is given.
    pub fps: Option<f64>,
    /// Fewest pixels of a frame; none is the reference's default.
    pub min_pixels: Option<u64>,
    /// Most pixels of a frame; none is the reference's default.
    pub max_pixels: Option<u64>,
    /// Most pixels of a clip; none is 90 % of what `max_length` tokens hold.
    pub total_pixels: Option<u64>,
    /// Most tokens of a sample.
    pub max_length: usize,
    /// Virtual epochs.
    pub epochs: u64,
    /// Draws of a virtual epoch; none is the samples of all data sets together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_samples: Option<u64>,
    /// How positions are dealt to weighted data sets; none without weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blend: Option<&'static str>,
    /// Most steps.
    pub max_num_steps: Option<u64>,
    /// Samples of a step.
    pub global_batch: u64,
    /// Samples of a forward and backward pass.
    pub mini_batch: usize,
    /// Learning rate over the run.
    pub schedule: Schedule,
    /// Decoupled decay of all parameters.
    pub weight_decay: f64,
    /// Decay of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest global gradient norm; none only measures.
    pub grad_norm_max: Option<f64>,
    /// What to do when a step is not finite.
    pub non_finite: NonFinite,
    /// Whether samples are shuffled.
    pub shuffle: bool,
    /// Seed of the sample order.
    pub seed: u64,
}

/// One folder of samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetPlan {
    /// Name of the folder below the root; empty for the root itself.
    pub name: String,
    /// Probability of drawing from it, normalised; none is by number of samples.
    pub weight: Option<f64>,
    /// Hash of its meta file.
    pub meta: ContentHash,
}

/// Where a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ResumeFrom {
    /// A new run; checkpoints in the output folder are an error.
    Nothing,
    /// The newest checkpoint of the output folder that verifies, if there is one.
    Newest,
    /// This checkpoint of the output folder.
    Checkpoint(PathBuf),
}

/// When and on what the validation loss is measured; it changes nothing of the training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationPlan {
    /// Steps between measurements.
    pub freq: u64,
    /// Whether to measure before the first step.
    pub before_train: bool,
    /// Samples of a forward pass, at least 1.
    pub batch_size: usize,
    /// Folders of samples.
    pub datasets: Vec<DatasetPlan>,
    /// Their meta files.
    pub meta_files: Vec<PathBuf>,
}

/// Where decoded frames are kept, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameCachePlan {
    /// The folder.
    pub dir: PathBuf,
    /// Once it holds so many bytes, nothing is added.
    pub bytes_max: u64,
}

/// A place for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Logger {
    /// Lines on the terminal.
    Console,
    /// metrics.jsonl, which is always written.
    Jsonl,
    /// TensorBoard event files.
    Tensorboard,
    /// An offline run of Weights & Biases.
    Wandb,
}

/// When to save, what to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointPlan {
    /// Steps between saves; none saves at the end only.
    pub save_freq: Option<u64>,
    /// Epochs between saves, instead of `save_freq`.
    pub save_freq_epochs: Option<u64>,
    /// Checkpoints kept; none keeps all.
    pub max_keep: Option<usize>,
    /// Element type of the exported weights.
    pub export_dtype: ExportDType,
}

/// Element type of exported weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportDType {
    /// bf16.
    Bfloat16,
    /// f32.
    Float32,
}

impl Plan {
    /// Resolves a config. `hub_cache` is the folder of downloaded models (`.../huggingface/hub`), if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with the line of the key, what is wrong and the way out.
    pub fn resolve(toml: &SftToml, source: &Source, hub_cache: Option<&Path>) -> Result<Self> {
        let model_dir = model_dir(toml, source, hub_cache)?;
        let (datasets, meta_files) = datasets(toml, source)?;
        let mut notes = source.notes.clone();
        check_fixed_choices(toml, source)?;
        let global_batch = global_batch(toml, source, &mut notes)?;
        let output_dir = required(&toml.train.output_dir, source, "train.output_dir", "runs/sft")?;
        let output_dir = PathBuf::from(output_dir);
        if output_dir.exists() && !output_dir.is_dir() {
            return Err(source.error("train.output_dir", format!("{} is not a folder", output_dir.display())));
        }
        let recipe = recipe(toml, source, &model_dir, datasets, global_batch)?;
        note_idle_keys(toml, &mut notes);
        let policy = &toml.train.train_policy;
        let stop_at_step = toml.train.stop_at_step;
        at_least_one(stop_at_step, source, "train.stop_at_step")?;
        Ok(Self {
            recipe,
            model_dir,
            meta_files,
            resume: resume(toml, source, &output_dir)?,
            stop_at_step,
            checkpoint: checkpoint(toml, source)?,
            // As in the reference 0 means "no thread of its own"; here the work still leaves the training thread.
            loader_threads: policy.dataloader_num_workers.unwrap_or(1).clamp(1, 256) as usize,
            prefetch: policy.dataloader_prefetch_factor.unwrap_or(2).clamp(1, 1024) as usize,
            recompute: toml.policy.model_gradient_checkpointing.unwrap_or(true),
            validation: extras::validation(toml, source)?,
            frame_cache: extras::frame_cache(toml, source, &output_dir)?,
            loggers: extras::loggers(toml, source)?,
            project_name: toml.logging.project_name.clone().unwrap_or_else(|| "roadscribe".into()),
            group_name: toml.logging.group_name.clone().unwrap_or_default(),
            experiment_name: toml.logging.experiment_name.clone().unwrap_or_default(),
            output_dir,
            notes,
        })
    }
}

impl Recipe {
    /// Hash of the recipe's JSON.
    pub fn hash(&self) -> ContentHash {
        // A struct of numbers and texts always has a JSON form; were it not so, no two plans would be equal.
        ContentHash::of_text(&serde_json::to_string(self).unwrap_or_default())
    }
}

fn required(value: &Option<String>, source: &Source, key: &str, example: &str) -> Result<String> {
    match value.as_deref() {
        Some("") => Err(source.error(key, "is empty")),
        Some("...") => Err(source.error(key, format!("is still `...`; set it, such as {example:?}"))),
        Some(value) => Ok(value.to_owned()),
        None => Err(source.error(key, format!("is missing; set it in the file or with --set {key}={example}"))),
    }
}

fn at_least_one(value: Option<u64>, source: &Source, key: &str) -> Result<()> {
    if value == Some(0) { Err(source.error(key, "must be at least 1")) } else { Ok(()) }
}

fn model_dir(toml: &SftToml, source: &Source, hub_cache: Option<&Path>) -> Result<PathBuf> {
    let key = "policy.model_name_or_path";
    let name = required(&toml.policy.model_name_or_path, source, key, "models/Cosmos-Reason2-2B")?;
    let local = PathBuf::from(&name);
    if local.is_dir() {
        return match local.join("config.json").is_file() {
            true => Ok(local),
            false => Err(source.error(key, format!("{} has no config.json", local.display()))),
        };
    }
    let cached = hub_cache.and_then(|cache| hub_snapshot(cache, &name));
    cached.ok_or_else(|| {
        let message = format!(
            "there is no folder {name:?}, and no downloaded model of that name; give the path of a folder with \
             config.json and *.safetensors"
        );
        source.error(key, message)
    })
}

/// Folder of the main revision of a downloaded model, as the hub's cache lays it out.
fn hub_snapshot(cache: &Path, name: &str) -> Option<PathBuf> {
    let (organisation, model) = name.split_once('/').filter(|(_, model)| !model.contains('/'))?;
    let folder = cache.join(format!("models--{organisation}--{model}"));
    let revision = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    let snapshot = folder.join("snapshots").join(revision.trim());
    snapshot.join("config.json").is_file().then_some(snapshot)
}

fn datasets(toml: &SftToml, source: &Source) -> Result<(Vec<DatasetPlan>, Vec<PathBuf>)> {
    let keys = &toml.custom.dataset;
    let root_key = "custom.dataset.dataset_root";
    let root = PathBuf::from(required(&keys.dataset_root, source, root_key, "data")?);
    if !root.is_dir() {
        return Err(source.error(root_key, format!("there is no folder {}", root.display())));
    }
    let names = keys.subdirectories.clone().unwrap_or_else(|| vec![String::new()]);
    if names.is_empty() {
        return Err(source.error("custom.dataset.subdirectories", "is empty; name a folder or leave the key out"));
    }
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name) {
        let message = format!("names {twice:?} twice; name it once and raise its weight");
        return Err(source.error("custom.dataset.subdirectories", message));
    }
    let weights = weights(toml, source, names.len())?;
    let meta_name = keys.meta_file.as_deref().unwrap_or("meta.json");
    let mut plans = Vec::new();
    let mut meta_files = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let meta_file = root.join(&name).join(meta_name);
        if !meta_file.is_file() {
            let key = if name.is_empty() { "custom.dataset.meta_file" } else { "custom.dataset.subdirectories" };
            return Err(source.error(key, format!("there is no file {}", meta_file.display())));
        }
        let weight = weights.as_ref().map(|weights| weights[index]);
        plans.push(DatasetPlan { name, weight, meta: ContentHash::of_file(&meta_file)? });
        meta_files.push(meta_file);
    }
    Ok((plans, meta_files))
}

fn weights(toml: &SftToml, source: &Source, folders: usize) -> Result<Option<Vec<f64>>> {
    let key = "custom.dataset.weights";
    let Some(weights) = &toml.custom.dataset.weights else { return Ok(None) };
    if weights.len() != folders {
        let message = format!(
            "has {} numbers for {folders} folder(s) in custom.dataset.subdirectories; give one for each, in order",
            weights.len()
        );
        return Err(source.error(key, message));
    }
    if let Some(bad) = weights.iter().find(|w| !w.is_finite()) {
        return Err(source.error(key, format!("holds {bad}, which is no share; must be finite numbers from 0 up")));
    }
    if let Some(bad) = weights.iter().find(|w| **w < 0.0) {
        return Err(source.error(key, format!("holds {bad}; must be numbers from 0 up (0 leaves a folder out)")));
    }
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 || !sum.is_finite() {
        return Err(
            source.error(key, "are all 0, so that nothing would be drawn; must be numbers from 0 up, not all 0")
        );
    }
    Ok(Some(weights.iter().map(|w| w / sum).collect()))
}

/// Keys that have one possible value here.
fn check_fixed_choices(toml: &SftToml, source: &Source) -> Result<()> {
    let parallelism = &toml.policy.parallelism;
    for (name, size) in
        [("tp_size", parallelism.tp_size), ("cp_size", parallelism.cp_size), ("pp_size", parallelism.pp_size)]
    {
        if size.is_some_and(|size| size != 1) {
            let key = format!("policy.parallelism.{name}");
            return Err(source.error(&key, "tensor, context and pipeline parallelism are not available; set it to 1"));
        }
    }
    let choices = [
        ("train.train_policy.type", &toml.train.train_policy.kind, "sft"),
        ("train.optm_name", &toml.train.optm_name, "AdamW"),
    ];
    for (key, value, only) in choices {
        if value.as_deref().is_some_and(|value| value != only) {
            return Err(source.error(key, format!("only {only:?} is available")));
        }
    }
    Ok(())
}

fn global_batch(toml: &SftToml, source: &Source, notes: &mut Vec<String>) -> Result<u64> {
    let batch_key = "train.train_batch_per_replica";
    let per_replica = toml.train.train_batch_per_replica.unwrap_or(8);
    let mini_batch = toml.train.train_policy.mini_batch.unwrap_or(2);
    at_least_one(Some(per_replica), source, batch_key)?;
    at_least_one(Some(mini_batch), source, "train.train_policy.mini_batch")?;
    if !per_replica.is_multiple_of(mini_batch) {
        let message = format!(
            "{per_replica} is not a multiple of train.train_policy.mini_batch = {mini_batch}; change one of them"
        );
        return Err(source.error(batch_key, message));
    }
    let mut ranks = 1u64;
    let parallelism = &toml.policy.parallelism;
    for (name, size) in
        [("dp_shard_size", parallelism.dp_shard_size), ("dp_replicate_size", parallelism.dp_replicate_size)]
    {
        let key = format!("policy.parallelism.{name}");
        ranks *= match size.unwrap_or(1) {
            -1 => 1,
            size @ 1..=65_536 => size as u64,
            _ => return Err(source.error(&key, "must be -1 (all devices) or at least 1")),
        };
    }
    if ranks > 1 {
        notes.push(format!(
            "the config asks for {ranks} data-parallel ranks; this run has one device, which does the work of all: \
             a step still covers {per_replica} x {ranks} samples"
        ));
    }
    per_replica.checked_mul(ranks).ok_or_else(|| source.error(batch_key, "is too large"))
}

fn recipe(
    toml: &SftToml,
    source: &Source,
    model_dir: &Path,
    datasets: Vec<DatasetPlan>,
    global_batch: u64,
) -> Result<Recipe> {
    let (train, vision, data) = (&toml.train, &toml.custom.vision, &toml.custom.dataset);
    let (nframes, fps) = frame_choice(toml, source)?;
    check_pixels(toml, source)?;
    let max_length = toml.policy.model_max_length.unwrap_or(4096);
    at_least_one(Some(max_length), source, "policy.model_max_length")?;
    at_least_one(train.epoch, source, "train.epoch")?;
    let epoch_samples = data.epoch_samples.unwrap_or(1);
    in_range((1..=EPOCH_SAMPLES_MAX).contains(&epoch_samples), source, "custom.dataset.epoch_samples", "in 1..=10^10")?;
    at_least_one(train.max_num_steps, source, "train.max_num_steps")?;
    let schedule = schedule(toml, source)?;
    let betas = train.optm_betas.unwrap_or([0.9, 0.999]);
    let weight_decay = train.optm_weight_decay.unwrap_or(0.01);
    let epsilon = train.epsilon.unwrap_or(1e-6);
    in_range(betas.into_iter().all(|beta| (0.0..1.0).contains(&beta)), source, "train.optm_betas", "numbers in 0..1")?;
    in_range((0.0..=1.0).contains(&weight_decay), source, "train.optm_weight_decay", "in 0..=1")?;
    in_range(epsilon > 0.0 && epsilon.is_finite(), source, "train.epsilon", "above 0")?;
    let clip = train.optm_grad_norm_clip.unwrap_or(1.0);
    in_range(clip.is_finite(), source, "train.optm_grad_norm_clip", "finite")?;
    Ok(Recipe {
        model_config: ContentHash::of_file(&model_dir.join("config.json"))?,
        datasets,
        prompt: Prompt {
            system: data.system_prompt.clone().unwrap_or_default(),
            user: data.user_prompt.clone().unwrap_or_else(|| USER_PROMPT.to_owned()),
        },
        nframes,
        fps,
        min_pixels: vision.min_pixels,
        max_pixels: vision.max_pixels,
        total_pixels: vision.total_pixels,
        max_length: usize::try_from(max_length).unwrap_or(usize::MAX),
        epochs: train.epoch.unwrap_or(1),
        epoch_samples: data.epoch_samples,
        blend: data.weights.is_some().then_some(BLEND),
        max_num_steps: train.max_num_steps,
        global_batch,
        mini_batch: usize::try_from(train.train_policy.mini_batch.unwrap_or(2)).unwrap_or(usize::MAX),
        schedule,
        weight_decay,
        betas,
        epsilon,
        grad_norm_max: (clip > 0.0).then_some(clip),
        non_finite: train.non_finite.unwrap_or(NonFinite::Stop),
        shuffle: train.train_policy.dataloader_shuffle.unwrap_or(true),
        seed: train.seed.unwrap_or(0),
    })
}

fn in_range(holds: bool, source: &Source, key: &str, range: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(source.error(key, format!("must be {range}"))) }
}

fn frame_choice(toml: &SftToml, source: &Source) -> Result<(Option<u32>, Option<f64>)> {
    let vision = &toml.custom.vision;
    match (vision.nframes, vision.fps) {
        (Some(_), Some(_)) => {
            Err(source.error("custom.vision.fps", "nframes and fps exclude each other; remove one of them"))
        }
        (Some(nframes), None) => {
            in_range((2..=100_000).contains(&nframes), source, "custom.vision.nframes", "in 2..=100000")?;
            Ok((Some(nframes), None))
        }
        (None, fps) => {
            let fps = fps.unwrap_or(FPS_DEFAULT);
            in_range(fps > 0.0 && fps.is_finite(), source, "custom.vision.fps", "above 0")?;
            Ok((None, Some(fps)))
        }
    }
}

fn check_pixels(toml: &SftToml, source: &Source) -> Result<()> {
    let vision = &toml.custom.vision;
    at_least_one(vision.min_pixels, source, "custom.vision.min_pixels")?;
    at_least_one(vision.max_pixels, source, "custom.vision.max_pixels")?;
    at_least_one(vision.total_pixels, source, "custom.vision.total_pixels")?;
    match (vision.min_pixels, vision.max_pixels) {
        (Some(min), Some(max)) if min > max => {
            Err(source.error("custom.vision.max_pixels", format!("{max} is less than min_pixels = {min}")))
        }
        _ => Ok(()),
    }
}

fn schedule(toml: &SftToml, source: &Source) -> Result<Schedule> {
    let train = &toml.train;
    let start_factor = train.optm_warmup_start_factor;
    let warmup_form = match train.optm_warmup_form.as_deref().unwrap_or("0.3.9") {
        "0.3.9" => WarmupForm::V0_3_9,
        "head" => WarmupForm::Head { start_factor: start_factor.unwrap_or(0.0) },
        _ => return Err(source.error("train.optm_warmup_form", "must be \"0.3.9\" or \"head\"")),
    };
    if start_factor.is_some() && warmup_form == WarmupForm::V0_3_9 {
        let message = "has a meaning only with train.optm_warmup_form = \"head\"";
        return Err(source.error("train.optm_warmup_start_factor", message));
    }
    let schedule = Schedule {
        lr: train.optm_lr.unwrap_or(1e-6),
        warmup: train.optm_warmup_steps.unwrap_or(Warmup::Steps(20)),
        warmup_form,
        decay: train.optm_decay_type.unwrap_or(Decay::None),
        decay_ratio: train.optm_decay_ratio,
        min_lr_factor: train.optm_min_lr_factor.unwrap_or(0.0),
    };
    let share = |x: f64| (0.0..=1.0).contains(&x);
    in_range(schedule.lr > 0.0 && schedule.lr.is_finite(), source, "train.optm_lr", "above 0")?;
    in_range(schedule.decay_ratio.is_none_or(share), source, "train.optm_decay_ratio", "in 0..=1")?;
    in_range(share(schedule.min_lr_factor), source, "train.optm_min_lr_factor", "in 0..=1")?;
    in_range(start_factor.is_none_or(share), source, "train.optm_warmup_start_factor", "in 0..=1")?;
    let warmup =
        matches!(schedule.warmup, Warmup::Steps(_)) || matches!(schedule.warmup, Warmup::Fraction(f) if share(f));
    in_range(warmup, source, "train.optm_warmup_steps", "an integer (steps) or a float in 0..=1 (share of all steps)")?;
    Ok(schedule)
}

fn resume(toml: &SftToml, source: &Source, output_dir: &Path) -> Result<ResumeFrom> {
    match &toml.train.resume {
        None | Some(Resume::Newest(false)) => Ok(ResumeFrom::Nothing),
        Some(Resume::Newest(true)) => Ok(ResumeFrom::Newest),
        Some(Resume::From(path)) => {
            let path = PathBuf::from(path);
            let same = |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a));
            if !path.is_dir() {
                return Err(source.error("train.resume", format!("there is no checkpoint folder {}", path.display())));
            }
            if !path.parent().is_some_and(|parent| same(parent, output_dir)) {
                let message = "the checkpoint must lie in train.output_dir, whose logs go on from it; to start a new \
                               run from its weights, give it as policy.model_name_or_path";
                return Err(source.error("train.resume", message));
            }
            Ok(ResumeFrom::Checkpoint(path))
        }
    }
}

fn checkpoint(toml: &SftToml, source: &Source) -> Result<CheckpointPlan> {
    let ckpt = &toml.train.ckpt;
    at_least_one(ckpt.save_freq, source, "train.ckpt.save_freq")?;
    let max_keep = match ckpt.max_keep.unwrap_or(-1) {
        -1 => None,
        keep if keep >= 1 => usize::try_from(keep).ok(),
        _ => return Err(source.error("train.ckpt.max_keep", "must be -1 (keep all) or at least 1")),
    };
    let export_dtype = match toml.train.param_dtype.as_deref().unwrap_or("bfloat16") {
        "bfloat16" => ExportDType::Bfloat16,
        "float32" => ExportDType::Float32,
        _ => return Err(source.error("train.param_dtype", "must be \"bfloat16\" or \"float32\"")),
    };
    let enabled = ckpt.enable_checkpoint.unwrap_or(false);
    let save_freq_epochs = ckpt.save_freq_in_epoch.filter(|epochs| enabled && *epochs > 0);
    let save_freq = (enabled && save_freq_epochs.is_none()).then(|| ckpt.save_freq.unwrap_or(20));
    Ok(CheckpointPlan { save_freq, save_freq_epochs, max_keep, export_dtype })
}

fn note_idle_keys(toml: &SftToml, notes: &mut Vec<String>) {
    if toml.train.compile == Some(true) {
        notes.push("train.compile has no effect: there is nothing to compile".into());
    }
    let validation = &toml.validation;
    if validation.enable != Some(true) && (validation.freq.is_some() || validation.val_before_train == Some(true)) {
        notes.push("validation.* has no effect without validation.enable = true".into());
    }
}

#[cfg(test)]
pub(crate) mod tests;
