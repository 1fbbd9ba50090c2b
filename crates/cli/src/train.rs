//! `roadscribe train`: supervised fine-tuning after a config; resumes where it stopped.

use crate::{Outcome, gpu::DeviceChoice};
use ::train::{
    Accelerator, MetricSink, Plan, RunSummary, SourceMix, StepMetrics, StepTiming, Timeline, ValidationMetrics,
    read_config,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};

/// Rejected samples that are shown on the console; all are in rejects.jsonl.
const REJECTS_SHOWN: u64 = 10;

/// Flags of `roadscribe train`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Writes into train.output_dir:
  metrics.jsonl, timing.jsonl   one line a step
  samples.jsonl, rejects.jsonl  which samples each step used, and which it could not use, and why
  validation.jsonl, best.json   the loss on [validation]'s samples, and the checkpoint with the lowest
  mix.json                      what was drawn from each source, beside what was planned
  frame_cache/                  decoded frames (custom.dataset.frame_cache)
  tensorboard/, wandb/          if logging.logger asks for them
  step_000020/                  a checkpoint: a model folder that `infer`, transformers and vLLM load, and the state to
                                go on from; with train.resume = true the same command continues from the newest one
Ctrl-C or SIGTERM saves and exits; so does train.stop_at_step.")]
pub struct Args {
    /// Config file, with the keys of cosmos-rl; unknown keys are errors
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// Sets a key over the file, such as train.optm_lr=1e-6; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What runs the model
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// On a GPU, take the fastest kernels, whose results may differ from run to run in the last bits
    #[arg(long)]
    nondeterministic: bool,
    /// Check everything and print what the config means, without training
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let (toml, source) = read_config(&args.config, &args.set)?;
    let plan = Plan::resolve(&toml, &source, hub_cache().as_deref())?;
    for note in &plan.notes {
        eprintln!("note: {note}");
    }
    if args.dry_run {
        return dry_run(&plan);
    }
    let accelerator = match crate::gpu::chosen(args.device)? {
        None => Accelerator::Cpu,
        Some(gpu) => {
            eprintln!("note: on {}", gpu.info().name);
            let (deterministic, required) = (!args.nondeterministic, args.device == DeviceChoice::Gpu);
            Accelerator::Gpu { gpu, deterministic, required }
        }
    };
    let stop = crate::stop_on_signal()?;
    let summary = ::train::run(&plan, &accelerator, &stop, &mut Console::default())?;
    print_summary(&summary);
    Ok(if stop.load(Ordering::Relaxed) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn dry_run(plan: &Plan) -> Outcome {
    let forecast = ::train::forecast(plan)?;
    say!("{}", serde_json::to_string_pretty(plan)?);
    say!(
        "{} steps of {} samples: {} epochs of {} samples, warm-up {} steps, peak learning rate {:e}",
        forecast.steps_total,
        plan.recipe.global_batch,
        plan.recipe.epochs,
        forecast.epoch_samples,
        plan.recipe.schedule.warmup_steps(forecast.steps_total),
        plan.recipe.schedule.lr,
    );
    print_mix(&forecast.mix);
    say!(
        "tokens: {:.0} a sample (longest {}, {:.0} labelled), {:.3e} a step; from {} samples, {} of them unusable{}",
        forecast.sample_tokens,
        forecast.sample_tokens_max,
        forecast.sample_labelled,
        forecast.step_tokens,
        forecast.probed,
        forecast.unusable,
        forecast.unusable_reason.map(|reason| format!(" (first: {reason})")).unwrap_or_default()
    );
    say!(
        "work: {:.3e} FLOP a step, {:.3e} the run (recomputation not counted): {:.0} s a step at 100 GFLOP/s",
        forecast.step_flop,
        forecast.run_flop,
        forecast.step_flop / 1e11
    );
    say!(
        "memory: {} for {:.1} M parameters with gradients and moments, about {} for a micro-batch of {}; a checkpoint is {}",
        bytes(forecast.state_bytes),
        forecast.parameters as f64 / 1e6,
        bytes(forecast.activation_bytes),
        plan.recipe.mini_batch,
        bytes(forecast.checkpoint_bytes)
    );
    say!("nothing was trained (--dry-run)");
    Ok(ExitCode::SUCCESS)
}

/// A line a source: how much of it a run sees, and how often.
fn print_mix(sources: &[SourceMix]) {
    for source in sources {
        let name = if source.name.is_empty() { "data set" } else { &source.name };
        let weight = source.weight.map(|weight| format!(" (weight {weight:.3})")).unwrap_or_default();
        say!(
            "{name}: {} samples{weight}; {} draws an epoch, {} in all = {:.2} passes over each sample",
            source.size,
            source.epoch_draws,
            source.draws,
            source.effective_epochs
        );
    }
}

/// A size for people.
fn bytes(bytes: f64) -> String {
    match bytes {
        large if large >= 1e9 => format!("{:.1} GB", large / 1e9),
        small => format!("{:.1} MB", small / 1e6),
    }
}

fn print_summary(summary: &RunSummary) {
    let loss = summary.loss_avg.map(|loss| format!(", loss {loss:.4}")).unwrap_or_default();
    say!(
        "step {}/{}{loss}; {} samples, {} rejected",
        summary.step,
        summary.steps_total,
        summary.samples,
        summary.rejected
    );
    if let Some(checkpoint) = &summary.checkpoint {
        say!("checkpoint: {}", checkpoint.display());
    }
    if summary.step < summary.steps_total {
        say!("not finished; the same command with train.resume = true goes on from here");
    }
}

/// Where the hub's tools keep downloaded models.
fn hub_cache() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("HF_HUB_CACHE")
        .or_else(|| Some(from("HF_HOME")?.join("hub")))
        .or_else(|| Some(from("HOME")?.join(".cache/huggingface/hub")))
}

/// A line a step.
#[derive(Default)]
struct Console {
    steps_total: u64,
    rejects: u64,
}

impl MetricSink for Console {
    fn start(&mut self, plan: &Plan, timeline: &Timeline, step: u64) {
        self.steps_total = timeline.steps_total;
        let from = if step > 0 { format!("going on after step {step}") } else { "starting".to_owned() };
        say!(
            "{from}: {} steps of {} samples into {}",
            timeline.steps_total,
            plan.recipe.global_batch,
            plan.output_dir.display()
        );
    }

    fn step(&mut self, metrics: &StepMetrics, timing: &StepTiming) {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let skipped = if metrics.updated { "" } else { "  (weights not updated)" };
        say!(
            "step {}/{}  loss {}  grad norm {}  lr {:.3e}  {:.2} s + {:.2} s waiting for data  {:.0} tokens/s{skipped}",
            metrics.step,
            self.steps_total,
            number(metrics.loss_avg),
            number(metrics.grad_norm),
            metrics.lr,
            timing.iteration_s,
            timing.batch_arrival_s,
            timing.tokens_per_s,
        );
    }

    fn mix(&mut self, sources: &[SourceMix]) {
        print_mix(sources);
    }

    fn validated(&mut self, metrics: &ValidationMetrics) {
        let loss = metrics.avg_loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
        say!("step {}/{}  validation loss {loss} over {} samples", metrics.step, self.steps_total, metrics.samples);
    }

    fn reject(&mut self, id: &str, reason: &str) {
        self.rejects += 1;
        if self.rejects <= REJECTS_SHOWN {
            eprintln!("left out {id}: {reason}");
        }
        if self.rejects == REJECTS_SHOWN {
            eprintln!("further samples that are left out are listed in rejects.jsonl only");
        }
    }

    fn saved(&mut self, dir: &Path) {
        say!("saved {}", dir.display());
    }

    fn note(&mut self, message: &str) {
        eprintln!("note: {message}");
    }
}
