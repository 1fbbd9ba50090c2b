//! Keys of cosmos-rl that this trainer knows and has no setting for: what each would change here, or why it cannot be had.
//!
//! Source: cosmos-rl's `policy/config/__init__.py` (0.3.9 and 0.4.4). A config written for it is read as it is: a key that
//! changes nothing here is a note, a value that asks for something else is an error with the way out.

use toml::Value;

/// What a foreign key means here.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Any value of this type is accepted; the text says why it changes nothing.
    Idle(&'static str),
    /// Only these values are accepted, silently; the text says the way out.
    Only(&'static [Allowed], &'static str),
}
use Fate::{Idle, Only};

/// A value that asks for nothing.
#[derive(Clone, Copy, Debug)]
enum Allowed {
    Bool(bool),
    Int(i64),
    Text(&'static str),
    /// An empty list or table.
    Empty,
}

const NO: &[Allowed] = &[Allowed::Bool(false)];
const ONE: &[Allowed] = &[Allowed::Int(1)];
const NOTHING: &[Allowed] = &[Allowed::Empty, Allowed::Text("")];

const ONE_DEVICE: &str = "nothing is sharded on one device";
const BALANCE: &str = "load-balanced batches are not available; batches have train_batch_per_replica samples";
const FP: &str = "low-precision training is not available; leave the table out";
const HUB_DATA: &str = "data sets of the hub are not read; give folders in custom.dataset";
const LORA: &str = "LoRA is not available; leave [policy.lora] out to train all parameters";
const ALL_TRAINED: &str = "all parameters are trained; freezing is not available";
const UPLOAD: &str = "nothing is uploaded; copy step_* yourself";
const RL: &str = "belongs to reinforcement learning";
const ONE_PROCESS: &str = "there is one process and no controller";
const KERNELS: &str = "the kernels are this program's own";
const PIPELINE: &str = "there is no pipeline parallelism";

/// Every foreign key and its fate; `.*` at the end covers all keys below.
const KEYS: &[(&str, Fate)] = &[
    ("train.optm_impl", Idle("the optimizer has one implementation here")),
    ("train.master_dtype", Only(&[Allowed::Text("float32")], "weights and moments are always kept in float32")),
    ("train.transfer_dtype", Idle(ONE_DEVICE)),
    ("train.logprob_dtype", Idle("the loss is always computed in float32")),
    ("train.fsdp_reduce_dtype", Idle("gradients are always summed in float32")),
    ("train.fsdp_offload", Idle(ONE_DEVICE)),
    ("train.fsdp_reshard_after_forward", Idle(ONE_DEVICE)),
    ("train.timestamp", Idle("train.output_dir is used as it is, without a folder named after the time")),
    ("train.async_tp_enabled", Only(NO, "there is no tensor parallelism; set it to false")),
    ("train.sync_weight_interval", Idle(RL)),
    ("train.deterministic", Idle("every run is deterministic")),
    (
        "train.activation_offload",
        Only(NO, "activations are not offloaded; policy.model_gradient_checkpointing = true saves memory instead"),
    ),
    ("train.fa_version", Idle(KERNELS)),
    ("train.local_dataset", Idle("data is always local")),
    ("train.force_use_hf", Idle("there is one implementation of each model here")),
    ("train.sequence_packing", Idle("micro-batches are always packed")),
    ("train.save_ckpt_at_exit", Only(&[Allowed::Bool(true)], "the end of a run is always saved; set it to true")),
    ("train.signal_to_handle", Idle("SIGINT, SIGTERM and SIGHUP save and stop")),
    ("train.fp8", Idle(FP)),
    ("train.fp8.enable_fp8", Only(NO, FP)),
    ("train.fp8.fp8_recipe", Idle(FP)),
    ("train.fp8.quant_recipe", Idle(FP)),
    ("train.fp4", Idle(FP)),
    ("train.fp4.enable_fp4", Only(NO, FP)),
    ("train.fp4.fp4_recipe", Idle(FP)),
    ("train.fp4.quant_recipe", Idle(FP)),
    (
        "train.train_policy.trainer_type",
        Only(&[Allowed::Text("sft")], "only supervised fine-tuning is available; set it to \"sft\""),
    ),
    ("train.train_policy.dataset", Only(NOTHING, HUB_DATA)),
    ("train.train_policy.dataset.*", Only(NOTHING, HUB_DATA)),
    ("train.train_policy.dataloader_seed", Idle("the order of samples follows train.seed")),
    ("train.train_policy.dataloader_batch_size", Idle("samples are loaded one by one")),
    (
        "train.train_policy.dataloader_drop_last",
        Only(
            NO,
            "the short last batch of an epoch is kept, as in cosmos-rl 0.3.9; to have none, make custom.dataset.epoch_samples a multiple of the global batch",
        ),
    ),
    ("train.train_policy.enable_dataset_cache", Idle("custom.dataset.frame_cache says where decoded frames are kept")),
    ("train.train_policy.conversation_column_name", Idle("meta.json is read with `conversation` and `conversations`")),
    ("train.train_policy.system_prompt", Only(NOTHING, "give it as custom.dataset.system_prompt")),
    ("train.train_policy.balance_dp_token", Idle("the loss is averaged over the tokens of the whole step")),
    ("train.train_policy.enable_dp_load_balancing", Only(NO, BALANCE)),
    ("train.train_policy.load_balanced_pool_size", Idle(BALANCE)),
    ("train.train_policy.load_balanced_max_tokens_for_batch", Idle(BALANCE)),
    ("train.train_policy.load_balanced_batching_strategy", Idle(BALANCE)),
    ("train.train_policy.load_balanced_batches_per_optimizer_step", Idle(BALANCE)),
    ("train.train_policy.dataloader_broadcast", Idle(ONE_DEVICE)),
    ("train.train_policy.data_dispatch_as_rank_in_mesh", Idle(ONE_DEVICE)),
    ("train.train_policy.temperature", Only(&[], RL)),
    ("train.train_policy.epsilon_low", Only(&[], RL)),
    ("train.train_policy.epsilon_high", Only(&[], RL)),
    ("train.train_policy.kl_beta", Only(&[], RL)),
    ("train.train_policy.use_remote_reward", Only(&[], RL)),
    ("train.ckpt.save_mode", Idle("a save ends before the next step begins")),
    ("train.ckpt.export_safetensors", Only(&[Allowed::Bool(true)], "a checkpoint is a model folder; set it to true")),
    ("train.ckpt.upload_hf", Only(NO, UPLOAD)),
    ("train.ckpt.hf_repo_name", Idle(UPLOAD)),
    ("train.ckpt.upload_s3", Only(NO, UPLOAD)),
    ("train.ckpt.s3_bucket", Idle(UPLOAD)),
    ("train.ckpt.s3_prefix", Idle(UPLOAD)),
    ("policy.model_safetensor_path", Only(NOTHING, "give the folder with the weights as policy.model_name_or_path")),
    (
        "policy.model_revision",
        Only(
            &[Allowed::Text("main"), Allowed::Text("")],
            "only the main revision is looked up; give the folder of the revision as policy.model_name_or_path",
        ),
    ),
    ("policy.lora", Only(NOTHING, LORA)),
    ("policy.lora.*", Only(&[], LORA)),
    ("policy.trainable_map", Only(NOTHING, ALL_TRAINED)),
    ("policy.trainable_map.*", Only(&[], ALL_TRAINED)),
    ("policy.freeze_pattern", Only(NOTHING, ALL_TRAINED)),
    ("policy.trainable_pattern", Only(NOTHING, ALL_TRAINED)),
    ("policy.enable_liger_kernel", Idle(KERNELS)),
    ("policy.enable_liger_cross_entropy", Idle(KERNELS)),
    ("policy.enable_liger_fused_cross_entropy", Idle(KERNELS)),
    ("policy.enable_liger_fused_linear_cross_entropy", Idle(KERNELS)),
    ("policy.aux_loss_coeff", Idle("the models here have no mixture of experts")),
    ("policy.parallelism.n_init_replicas", Only(ONE, "set it to 1 and use policy.parallelism.dp_replicate_size")),
    ("policy.parallelism.ep_size", Only(ONE, "the models here have no experts to spread; set it to 1")),
    ("policy.parallelism.pp_dynamic_shape", Idle(PIPELINE)),
    ("policy.parallelism.pp_micro_batch_size", Idle(PIPELINE)),
    ("policy.parallelism.pp_schedule", Idle(PIPELINE)),
    ("policy.parallelism.pp_layers_per_stage", Idle(PIPELINE)),
    ("logging.log_interval", Idle("every step is logged")),
    ("logging.report_mfu", Idle("--dry-run says what a step costs; timing.jsonl says how long it took")),
    ("validation.dataset", Only(NOTHING, HUB_DATA)),
    ("validation.dataset.*", Only(NOTHING, HUB_DATA)),
    ("validation.temperature", Idle(RL)),
    ("validation.top_p", Idle(RL)),
    ("validation.top_k", Idle(RL)),
    ("validation.repetition_penalty", Idle(RL)),
    ("validation.n_generation", Idle(RL)),
    ("validation.max_response_length", Idle(RL)),
    ("validation.reward_function", Idle(RL)),
    ("profiler", Idle("there is no profiler")),
    ("profiler.enable_profiler", Only(NO, "there is no profiler; timing.jsonl holds the times of every step")),
    ("profiler.enable_nsys", Only(NO, "there is no profiler; timing.jsonl holds the times of every step")),
    ("profiler.sub_profiler_config", Idle("there is no profiler")),
    ("profiler.sub_profiler_config.*", Idle("there is no profiler")),
    ("rollout", Idle(RL)),
    ("rollout.*", Idle(RL)),
    ("distillation", Only(NOTHING, "distillation is not available; leave the table out")),
    ("distillation.*", Only(NO, "distillation is not available; leave the table out")),
    ("vla", Idle("belongs to action models")),
    ("vla.*", Idle("belongs to action models")),
    ("redis", Idle(ONE_PROCESS)),
    ("eth_ips", Idle(ONE_PROCESS)),
    ("mode", Idle(ONE_PROCESS)),
];

/// Our names for settings that cosmos-rl abbreviates, and its names.
const ALIASES: &[(&str, &str)] = &[
    ("train.optimizer", "train.optm_name"),
    ("train.learning_rate", "train.optm_lr"),
    ("train.weight_decay", "train.optm_weight_decay"),
    ("train.betas", "train.optm_betas"),
    ("train.warmup_steps", "train.optm_warmup_steps"),
    ("train.decay_type", "train.optm_decay_type"),
    ("train.decay_ratio", "train.optm_decay_ratio"),
    ("train.min_lr_factor", "train.optm_min_lr_factor"),
    ("train.grad_norm_clip", "train.optm_grad_norm_clip"),
];

fn fate(key: &str) -> Option<Fate> {
    let covers = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == pattern,
    };
    KEYS.iter().find(|(pattern, _)| covers(pattern)).map(|(_, fate)| *fate)
}

/// Whether a key is cosmos-rl's and has no setting here.
pub(crate) fn is_foreign(key: &str) -> bool {
    fate(key).is_some()
}

/// The key that another name stands for.
pub(crate) fn canonical(key: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == key).map(|(_, canonical)| *canonical)
}

/// Names that may be typed beside those of [`crate::known_keys`], for suggestions.
pub(crate) fn other_names() -> impl Iterator<Item = &'static str> {
    let foreign = KEYS.iter().map(|(key, _)| *key).filter(|key| !key.ends_with('*'));
    foreign.chain(ALIASES.iter().map(|(alias, _)| *alias))
}

/// What a foreign key with this value is worth: nothing, a note, or an error.
///
/// # Errors
/// Why the value cannot be had, and the way out.
pub(crate) fn judge(key: &str, value: &Value) -> Result<Option<String>, String> {
    match fate(key) {
        None => Ok(None),
        Some(Idle(_)) if value.is_table() => Ok(None),
        Some(Idle(why)) => Ok(Some(format!("{key} has no effect: {why}"))),
        // Its keys are judged one by one.
        Some(Only(..)) if value.as_table().is_some_and(|table| !table.is_empty()) => Ok(None),
        Some(Only(allowed, way_out)) if !allowed.iter().any(|allowed| allowed.is(value)) => {
            Err(format!("{value} is not available: {way_out}"))
        }
        Some(Only(..)) => Ok(None),
    }
}

impl Allowed {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool(a), Value::Boolean(b)) => a == *b,
            (Self::Int(a), Value::Integer(b)) => a == *b,
            (Self::Text(a), Value::String(b)) => a == b,
            (Self::Empty, Value::Array(list)) => list.is_empty(),
            (Self::Empty, Value::Table(table)) => table.is_empty(),
            _ => false,
        }
    }
}
