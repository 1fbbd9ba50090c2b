//! `roadscribe train`: supervised fine-tuning after a config; resumes where it stopped.

use crate::Outcome;
use ::train::{Data, MetricSink, Plan, RunSummary, StepMetrics, StepTiming, Timeline, read_config};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};
use tensor::Device;

/// Rejected samples that are shown on the console; all are in rejects.jsonl.
const REJECTS_SHOWN: u64 = 10;

/// Flags of `roadscribe train`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Writes into train.output_dir:
  metrics.jsonl, timing.jsonl   one line a step
  samples.jsonl, rejects.jsonl  which samples each step used, and which it could not use, and why
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
    let stop = crate::stop_on_signal()?;
    let summary = ::train::run(&plan, &Device::Cpu, &stop, &mut Console::default())?;
    print_summary(&summary);
    Ok(if stop.load(Ordering::Relaxed) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn dry_run(plan: &Plan) -> Outcome {
    let data = Data::open(plan)?;
    let sizes = data.sizes();
    let timeline = Timeline::new(&plan.recipe, &sizes);
    say!("{}", serde_json::to_string_pretty(plan)?);
    for (dataset, size) in plan.recipe.datasets.iter().zip(sizes) {
        let name = if dataset.name.is_empty() { "data set" } else { &dataset.name };
        let share = dataset.weight.map(|weight| format!(", drawn with probability {weight:.3}")).unwrap_or_default();
        say!("{name}: {size} samples{share}");
    }
    say!(
        "{} steps of {} samples: {} epochs of {} samples, warm-up {} steps, peak learning rate {:e}",
        timeline.steps_total,
        plan.recipe.global_batch,
        plan.recipe.epochs,
        timeline.epoch_samples,
        plan.recipe.schedule.warmup_steps(timeline.steps_total),
        plan.recipe.schedule.lr,
    );
    say!("nothing was trained (--dry-run)");
    Ok(ExitCode::SUCCESS)
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
