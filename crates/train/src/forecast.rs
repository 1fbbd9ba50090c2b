//! What a run will cost, before it begins: tokens, steps, operations, memory, the mix.

use std::path::Path;

use models::{Layout, StepWork, VlmConfig, param_table};
use processor::GridThw;
use serde::Serialize;

use crate::data::{Data, Encoder};
use crate::order::{Order, SourceMix, Timeline, mix};
use crate::{Error, Plan, Result, SampleRef};

/// Samples whose tokens are counted; the rest are taken to be like them.
const PROBED: usize = 64;
/// Bytes of an f32.
const F32: f64 = 4.0;

/// What `--dry-run` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Draws of an epoch, steps of an epoch, steps of the run.
    pub epoch_samples: u64,
    /// Steps of an epoch.
    pub epoch_steps: u64,
    /// Steps of the run.
    pub steps_total: u64,
    /// What is drawn from each source.
    pub mix: Vec<SourceMix>,
    /// Samples whose headers were read, in the order of the run.
    pub probed: usize,
    /// Those of them that cannot be used, with the first reason.
    pub unusable: usize,
    /// The first reason.
    pub unusable_reason: Option<String>,
    /// Tokens of a sample, on average of those probed.
    pub sample_tokens: f64,
    /// Most tokens of a sample among those probed.
    pub sample_tokens_max: usize,
    /// Labelled tokens of a sample.
    pub sample_labelled: f64,
    /// Tokens of a whole step.
    pub step_tokens: f64,
    /// Operations of a whole step, forward and backward, recomputation left out.
    pub step_flop: f64,
    /// Operations of the run.
    pub run_flop: f64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Bytes of weights, gradients and the two moments.
    pub state_bytes: f64,
    /// Bytes of activations of a micro-batch, about.
    pub activation_bytes: f64,
    /// Bytes of a checkpoint on disk.
    pub checkpoint_bytes: f64,
}

/// Tells what a plan will cost. Reads meta files, texts, and the headers of a few clips; decodes and trains nothing.
///
/// # Errors
/// [`Error`] if meta files or the model's config cannot be used.
pub fn forecast(plan: &Plan) -> Result<Forecast> {
    let data = Data::open(plan)?;
    let sizes = data.sizes();
    let timeline = Timeline::new(&plan.recipe, &sizes);
    let unkept = Plan { frame_cache: None, ..plan.clone() };
    let encoder = Encoder::open(&unkept, &data)?;
    let config = config(&plan.model_dir)?;
    let (mut tokens, mut labelled, mut grids) = (Vec::new(), 0, Vec::<GridThw>::new());
    let (mut probed, mut unusable, mut unusable_reason) = (0, 0, None);
    for sample in spread(&plan.recipe, &sizes, &timeline) {
        probed += 1;
        match encoder.estimate(sample) {
            Ok((sample_tokens, sample_labelled, sample_grids)) => {
                tokens.push(sample_tokens);
                labelled += sample_labelled;
                grids.extend(sample_grids);
            }
            Err(reason) => {
                unusable += 1;
                unusable_reason.get_or_insert(format!("{}: {reason}", data.id(sample)));
            }
        }
    }
    let used = tokens.len().max(1) as f64;
    let sample_tokens = tokens.iter().sum::<usize>() as f64 / used;
    let flop = StepWork::new(&config, &grids, &tokens, labelled).flop() / used;
    let step_samples = plan.recipe.global_batch.min(timeline.epoch_samples) as f64;
    let run_samples = timeline.steps_total.checked_sub(1).map_or(0, |last| timeline.positions(last).end) as f64;
    let layout = Layout { tied: config.tie_word_embeddings.unwrap_or(false), old_names: false };
    let parameters: usize =
        param_table(&config, layout).specs().iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    let patches = grids.iter().map(|grid| grid.patches()).sum::<usize>() as f64 / used;
    let mini_batch = plan.recipe.mini_batch as f64;
    let state_bytes = 4.0 * F32 * parameters as f64;
    Ok(Forecast {
        epoch_samples: timeline.epoch_samples,
        epoch_steps: timeline.epoch_steps,
        steps_total: timeline.steps_total,
        mix: mix(&plan.recipe, &sizes, &timeline),
        probed,
        unusable,
        unusable_reason,
        sample_tokens,
        sample_tokens_max: tokens.iter().copied().max().unwrap_or(0),
        sample_labelled: labelled as f64 / used,
        step_tokens: sample_tokens * step_samples,
        step_flop: flop * step_samples,
        run_flop: flop * run_samples,
        parameters: parameters as u64,
        state_bytes,
        activation_bytes: mini_batch * activation_bytes(&config, sample_tokens, patches, plan.recompute),
        // f32 weights and moments, and the exported bf16 weights.
        checkpoint_bytes: 0.75 * state_bytes + 2.0 * parameters as f64,
    })
}

/// Samples spread evenly over the run, in the mix of the run.
fn spread(recipe: &crate::Recipe, sizes: &[usize], timeline: &Timeline) -> Vec<SampleRef> {
    let positions = timeline.steps_total.checked_sub(1).map_or(0, |last| timeline.positions(last).end);
    let whole = positions.min(timeline.epoch_samples);
    let mut order = Order::new(recipe, sizes);
    let wanted = (PROBED as u64).min(whole);
    let mut found = Vec::new();
    for at in 0..wanted {
        order.skip_to(at * whole / wanted);
        found.extend(order.next());
    }
    found
}

fn config(model_dir: &Path) -> Result<VlmConfig> {
    let path = model_dir.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", e))?;
    Ok(VlmConfig::parse(&text)?)
}

/// What is kept for the backward of one sample: with recomputation the input of every block and all of one block,
/// otherwise all of every block. Counts what the blocks of `models` save.
fn activation_bytes(config: &VlmConfig, tokens: f64, patches: f64, recompute: bool) -> f64 {
    let (text, vision) = (&config.text, &config.vision);
    let (q, kv) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
    // Inputs and norms of both halves, queries and keys before and after their norms, values, output, MLP.
    let text_block = (5 * text.hidden_size + 3 * q + 3 * kv + 3 * text.intermediate_size) as f64;
    let vision_block = (5 * vision.hidden_size + 5 * vision.hidden_size + 2 * vision.intermediate_size) as f64;
    let tower = |rows: f64, width: usize, depth: usize, block: f64| {
        let depth = depth as f64;
        F32 * rows * if recompute { width as f64 * depth + block } else { block * depth }
    };
    tower(tokens, text.hidden_size, text.num_hidden_layers, text_block)
        + tower(patches, vision.hidden_size, vision.depth, vision_block)
        + F32 * patches * vision.patch_values() as f64
}
