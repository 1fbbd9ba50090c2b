//! The training loop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use models::Vlm;
use tensor::{DType, Device};

use crate::checkpoint::{self, RunState, Snapshot};
use crate::data::Encoder;
use crate::engine::{Accelerator, Engine, Updated};
use crate::export::Exports;
use crate::loader::Loader;
use crate::logs::{LogLengths, Logs};
use crate::step::{self, Batch};
use crate::validation::Validation;
use crate::{
    Checkpoints, Data, Drawn, Error, ExportDType, MetricSink, NonFinite, Order, Plan, RealisedMix, Result, ResumeFrom,
    RunSummary, SourceMix, StepMetrics, StepTiming, Timeline, mix,
};

/// Steps in a row that may be skipped for not being finite.
const SKIPS_MAX: u64 = 10;

/// Runs a plan to its end, to `stop_at_step`, or until `stop` is set; in all cases the last state is saved.
///
/// # Errors
/// Any [`Error`]; checkpoints written before it are whole.
pub fn run(plan: &Plan, accelerator: &Accelerator, stop: &AtomicBool, sink: &mut dyn MetricSink) -> Result<RunSummary> {
    let data = Data::open(plan)?;
    let validation_data = Data::open_validation(plan)?;
    let timeline = Timeline::new(&plan.recipe, &data.sizes());
    let mut run = Run::start_or_resume(plan, timeline, accelerator, sink)?;
    let encoder = Encoder::open(plan, &data)?;
    run.mix_of(mix(&plan.recipe, &data.sizes(), &timeline));
    let validation = match (&plan.validation, &validation_data) {
        (Some(validation), Some(data)) => Some(Validation::open(plan, data, validation.batch_size)?),
        _ => None,
    };
    if let Some(warning) = encoder.template_warning() {
        sink.note(&warning);
    }
    sink.start(plan, &timeline, run.step);
    sink.mix(&run.mix);
    if plan.validation.as_ref().is_some_and(|validation| validation.before_train) && run.step == 0 {
        run.validate(validation.as_ref(), sink)?;
    }
    let last_step = plan.stop_at_step.map_or(timeline.steps_total, |step| step.min(timeline.steps_total));
    std::thread::scope(|scope| {
        let (order, samples) = run.order_left(plan, &data.sizes());
        let threads = (plan.loader_threads, plan.prefetch);
        let mut loader = Loader::start(scope, &order, samples, threads, |sample| encoder.encode(sample));
        while run.step < last_step {
            let begun = Instant::now();
            let Some(batch) = run.forward_backward(&mut loader, &data, stop)? else { break };
            let metrics = run.update(&batch)?;
            let timing = timing(&batch, begun);
            run.record(&metrics, &timing, batch, sink)?;
            if run.validates_now() {
                run.validate(validation.as_ref(), sink)?;
            }
            if run.saves_now() {
                run.save(sink)?;
            }
        }
        run.save_if_new(sink)
    })?;
    if let Some((found, decoded)) = encoder.frame_counts().filter(|(found, _)| *found > 0) {
        sink.note(&format!("{found} clips were found among the decoded frames, {decoded} were decoded"));
    }
    run.exports.finish(0)?;
    Ok(run.summary())
}

fn timing(batch: &Batch, begun: Instant) -> StepTiming {
    let (whole, waited) = (begun.elapsed().as_secs_f64(), batch.waited.as_secs_f64());
    let tokens_per_s = batch.tokens as f64 / whole.max(1e-9);
    StepTiming { step: 0, iteration_s: whole - waited, batch_arrival_s: waited, tokens_per_s }
}

/// The moving parts of a run.
struct Run<'a> {
    plan: &'a Plan,
    timeline: Timeline,
    engine: Engine,
    step: u64,
    updates: u64,
    skipped_in_a_row: u64,
    logs: Logs,
    exports: Exports,
    /// Planned draws from each data set, and the draws so far.
    mix: Vec<SourceMix>,
    drawn: Vec<Drawn>,
    /// Validation losses by step.
    validated: Vec<(u64, f64)>,
    checkpoints: Checkpoints,
    /// The newest checkpoint and its step.
    saved: Option<(u64, PathBuf)>,
    loss_avg: Option<f64>,
    samples: u64,
    rejected: u64,
    /// Held so that no second process writes into the folder; released by the system however this one ends.
    _lock: File,
}

impl<'a> Run<'a> {
    fn start_or_resume(
        plan: &'a Plan,
        timeline: Timeline,
        accelerator: &Accelerator,
        sink: &mut dyn MetricSink,
    ) -> Result<Self> {
        let lock = lock(&plan.output_dir)?;
        let checkpoints = Checkpoints::new(&plan.output_dir);
        for leftover in checkpoints.remove_leftovers()? {
            sink.note(&format!("removed {}, left by a save that was cut short", leftover.display()));
        }
        let from = checkpoint_to_resume(plan, &checkpoints, sink)?;
        let mut vlm = Vlm::open(from.as_deref().unwrap_or(&plan.model_dir), &Device::Cpu)?;
        let (moments, state) = match &from {
            Some(dir) => {
                let (moments, state) = checkpoint::restore(dir, &mut vlm)?;
                (Some(moments), state)
            }
            None => (None, new_state(plan, timeline)),
        };
        if let Some(dir) = &from {
            check_same_run(plan, timeline, &state, dir)?;
        }
        for aside in checkpoints.set_aside_after(state.step)? {
            sink.note(&format!("going on from step {}; a later checkpoint is now {}", state.step, aside.display()));
        }
        checkpoint::write_json(&plan.output_dir.join("plan.json"), plan)?;
        Ok(Self {
            plan,
            timeline,
            engine: Engine::new(vlm, moments, state.updates, plan, accelerator, sink)?,
            step: state.step,
            updates: state.updates,
            skipped_in_a_row: 0,
            logs: Logs::open(&plan.output_dir, state.logs)?,
            exports: Exports::open(plan, state.step)?,
            mix: Vec::new(),
            drawn: state.drawn,
            validated: checkpoint::validation_losses(&plan.output_dir)?,
            saved: from.map(|dir| (state.step, dir)),
            checkpoints,
            loss_avg: None,
            samples: 0,
            rejected: 0,
            _lock: lock,
        })
    }

    fn mix_of(&mut self, mix: Vec<SourceMix>) {
        self.drawn.resize(mix.len(), Drawn::default());
        self.mix = mix;
    }

    fn validates_now(&self) -> bool {
        let due = |freq: u64| self.step.is_multiple_of(freq) || self.step == self.timeline.steps_total;
        self.plan.validation.as_ref().is_some_and(|validation| due(validation.freq))
    }

    fn validate(&mut self, validation: Option<&Validation<'_>>, sink: &mut dyn MetricSink) -> Result<()> {
        let Some(validation) = validation else { return Ok(()) };
        let epoch = self.timeline.epoch(self.step.saturating_sub(1));
        let (metrics, rejects) = validation.measure(&mut self.engine, self.step, epoch)?;
        for reject in &rejects {
            sink.reject(&reject.id, &reject.reason);
        }
        self.logs.record_validation(&metrics)?;
        self.exports.record(self.step, &[&metrics])?;
        self.validated.extend(metrics.avg_loss.map(|loss| (self.step, loss)));
        sink.validated(&metrics);
        Ok(())
    }

    /// The order from the next step on, and how many samples of it the run still needs.
    fn order_left(&self, plan: &Plan, sizes: &[usize]) -> (Order, u64) {
        let mut order = Order::new(&plan.recipe, sizes);
        if self.step >= self.timeline.steps_total {
            return (order, 0);
        }
        let start = self.timeline.positions(self.step).start;
        order.skip_to(start);
        (order, self.timeline.positions(self.timeline.steps_total - 1).end - start)
    }

    fn forward_backward(
        &mut self,
        loader: &mut Loader<std::sync::Arc<processor::Encoded>>,
        data: &Data,
        stop: &AtomicBool,
    ) -> Result<Option<Batch>> {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let positions = self.timeline.positions(self.step);
        let shape = (self.step + 1, positions.end - positions.start, self.plan.recipe.mini_batch);
        step::forward_backward(&mut self.engine, loader, data, shape, stop)
    }

    /// Clips and updates, unless the step has no tokens or is not finite.
    fn update(&mut self, batch: &Batch) -> Result<StepMetrics> {
        let recipe = &self.plan.recipe;
        let lr = recipe.schedule.lr_at(self.step, self.timeline.steps_total);
        let loss_avg = batch.loss_avg();
        let mut grad_norm = None;
        let mut updated = false;
        if let Some(loss) = loss_avg {
            let done: Updated = self.engine.update(recipe, lr, self.updates + 1, batch.loss)?;
            (grad_norm, updated) = (Some(done.grad_norm), done.updated);
            if updated {
                self.updates += 1;
                self.skipped_in_a_row = 0;
            } else {
                self.skip(batch, loss, done.grad_norm)?;
            }
        }
        Ok(StepMetrics {
            step: self.step + 1,
            epoch: self.timeline.epoch(self.step),
            loss_avg,
            grad_norm,
            lr,
            labelled_tokens: batch.loss.tokens,
            tokens: batch.tokens,
            cut_tokens: batch.cut_tokens,
            samples: batch.samples.len() as u64,
            rejected: batch.rejects.len() as u64,
            updated,
        })
    }

    fn skip(&mut self, batch: &Batch, loss: f64, grad_norm: f64) -> Result<()> {
        self.skipped_in_a_row += 1;
        if self.plan.recipe.non_finite == NonFinite::Skip && self.skipped_in_a_row < SKIPS_MAX {
            return Ok(());
        }
        Err(Error::NonFinite { step: self.step + 1, loss, grad_norm, samples: batch.samples.join(", ") })
    }

    /// Ends the step: logs first, so that a checkpoint can say how long they are.
    fn record(
        &mut self,
        metrics: &StepMetrics,
        timing: &StepTiming,
        batch: Batch,
        sink: &mut dyn MetricSink,
    ) -> Result<()> {
        let timing = StepTiming { step: metrics.step, ..timing.clone() };
        for reject in &batch.rejects {
            sink.reject(&reject.id, &reject.reason);
        }
        let first_reason = batch.rejects.first().map(|reject| reject.reason.clone());
        for (all, step) in self.drawn.iter_mut().zip(&batch.drawn) {
            all.used += step.used;
            all.rejected += step.rejected;
        }
        self.logs.record(metrics, &timing, batch.samples, &batch.rejects)?;
        self.step += 1;
        match self.validates_now() {
            true => self.exports.hold(&[metrics, &timing]),
            false => self.exports.record(metrics.step, &[metrics, &timing])?,
        }
        self.loss_avg = metrics.loss_avg;
        self.samples += metrics.samples;
        self.rejected += metrics.rejected;
        sink.step(metrics, &timing);
        match first_reason {
            Some(reason) if self.samples == 0 && self.rejected >= self.timeline.epoch_samples => {
                Err(Error::NoSamples { samples: self.rejected, reason })
            }
            _ => Ok(()),
        }
    }

    fn saves_now(&self) -> bool {
        let every = |epochs: u64| epochs.saturating_mul(self.timeline.epoch_steps);
        let freq = self.plan.checkpoint.save_freq.or(self.plan.checkpoint.save_freq_epochs.map(every));
        freq.is_some_and(|freq| self.step.is_multiple_of(freq))
    }

    fn save_if_new(&mut self, sink: &mut dyn MetricSink) -> Result<()> {
        if self.saved.as_ref().is_some_and(|(step, _)| *step == self.step) {
            return Ok(());
        }
        self.save(sink)
    }

    fn save(&mut self, sink: &mut dyn MetricSink) -> Result<()> {
        let logs = self.logs.sync()?;
        let drawn = self.drawn.clone();
        let state =
            RunState { step: self.step, updates: self.updates, logs, drawn, ..new_state(self.plan, self.timeline) };
        let export_dtype = match self.plan.checkpoint.export_dtype {
            ExportDType::Bfloat16 => DType::Bf16,
            ExportDType::Float32 => DType::F32,
        };
        let (checkpoints, base) = (&self.checkpoints, &self.plan.model_dir);
        let dir = self.engine.with_state(|vlm, moments| {
            checkpoints.save(Snapshot { vlm, moments, state: &state, export_dtype, base })
        })?;
        let best = self.checkpoints.record_best(&self.validated)?;
        if let Some(keep) = self.plan.checkpoint.max_keep {
            for kept in self.checkpoints.prune(keep, best)? {
                sink.note(&format!("{} is kept for now: another process reads it", kept.display()));
            }
        }
        let realised = RealisedMix::new(self.step, self.timeline.epoch_samples, self.mix.clone(), &self.drawn);
        checkpoint::write_json(&self.plan.output_dir.join("mix.json"), &realised)?;
        sink.saved(&dir);
        self.saved = Some((self.step, dir));
        Ok(())
    }

    fn summary(self) -> RunSummary {
        RunSummary {
            step: self.step,
            steps_total: self.timeline.steps_total,
            loss_avg: self.loss_avg,
            samples: self.samples,
            rejected: self.rejected,
            checkpoint: self.saved.map(|(_, dir)| dir),
        }
    }
}

/// The state before the first step.
fn new_state(plan: &Plan, timeline: Timeline) -> RunState {
    RunState {
        step: 0,
        updates: 0,
        steps_total: timeline.steps_total,
        logs: LogLengths::default(),
        drawn: Vec::new(),
        plan_hash: plan.recipe.hash(),
        recipe: serde_json::to_value(&plan.recipe).unwrap_or_default(),
    }
}

/// Takes the output folder for this process.
fn lock(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
    let path = dir.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Error::io(&path, "open", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = "another process trains into this folder; wait for it or choose another train.output_dir";
            Err(Error::OutputDir { path: dir.to_path_buf(), message: message.into() })
        }
        Err(std::fs::TryLockError::Error(e)) => Err(Error::io(&path, "lock", e)),
    }
}

fn checkpoint_to_resume(plan: &Plan, checkpoints: &Checkpoints, sink: &mut dyn MetricSink) -> Result<Option<PathBuf>> {
    match &plan.resume {
        ResumeFrom::Nothing => match checkpoints.list()?.last() {
            None => Ok(None),
            Some((_, newest)) => {
                let message = format!(
                    "already holds checkpoints up to {}; set train.resume = true to go on from them, or choose another \
                     train.output_dir",
                    newest.display()
                );
                Err(Error::OutputDir { path: plan.output_dir.clone(), message })
            }
        },
        ResumeFrom::Checkpoint(dir) => {
            checkpoint::verify(dir)?;
            Ok(Some(dir.clone()))
        }
        ResumeFrom::Newest => {
            let (newest, damaged) = checkpoints.newest_verified()?;
            for damaged in &damaged {
                sink.note(&format!("passed over checkpoint {}: {}", damaged.dir.display(), damaged.reason));
            }
            match (&newest, damaged.first()) {
                (None, Some(damaged)) => {
                    let message = "no checkpoint of this folder verifies; move them away to start anew, which empties \
                                   the logs";
                    Err(Error::Checkpoint { path: damaged.dir.clone(), message: message.into() })
                }
                _ => Ok(newest),
            }
        }
    }
}

/// Refuses to go on when the rest of the run would not be that of the run that was begun.
fn check_same_run(plan: &Plan, timeline: Timeline, state: &RunState, dir: &Path) -> Result<()> {
    let now = new_state(plan, timeline);
    if state.plan_hash == now.plan_hash && state.steps_total == now.steps_total {
        return Ok(());
    }
    let mut changed = Vec::new();
    differences("", &state.recipe, &now.recipe, &mut changed);
    let message = format!(
        "cannot be resumed, because the settings changed: {}. Set them back, or start a new run: give this folder as \
         policy.model_name_or_path, and another train.output_dir",
        changed.join("; ")
    );
    Err(Error::Checkpoint { path: dir.to_path_buf(), message })
}

fn differences(path: &str, was: &serde_json::Value, is: &serde_json::Value, changed: &mut Vec<String>) {
    if let (Some(was), Some(is)) = (was.as_object(), is.as_object()) {
        let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for key in keys {
            let null = &serde_json::Value::Null;
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differences(&path, was.get(key).unwrap_or(null), is.get(key).unwrap_or(null), changed);
        }
    } else if was != is {
        changed.push(format!("{path}: was {was}, is {is}"));
    }
}
