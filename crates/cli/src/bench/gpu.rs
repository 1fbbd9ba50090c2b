//! `roadscribe bench sft` on a GPU: steps of a model of published size with random weights made there.
//!
//! The next micro-batch's frames travel while this one is computed; the host queues a step and reads the times of the one before, so
//! that the GPU never waits for it.

use super::{RematArg, SftArgs, batch, median};
use crate::Outcome;
use models::{
    Layout, StepWork, VlmConfig,
    gpu::{GpuOptions, GpuVlm, Pixels, Prepared, Remat, RematChoice, Stage},
};
use processor::PackedInput;
use serde_json::{Value, json};
use std::process::ExitCode;
use tensor::cuda::ops::{optimizer::AdamWConfig, vision::FrameShape};
use tensor::cuda::{Event, Gpu, Stream, Upload};

/// What a dense bf16 product could reach on Hopper, TFLOP/s.
const PEAK_TFLOP_S: f64 = 989.0;
/// What products and memory really reach on an H200 in long runs: the physical floor of a step.
const PRODUCTS_TFLOP_S: f64 = 790.0;
const MEMORY_TB_S: f64 = 4.24;
/// Bytes of an update that must move for every parameter: weight, low bits and two moments in and out, the gradient twice.
const UPDATE_BYTES: f64 = 32.0;
/// Bytes that libraries, kernels and uploads take beside the plans.
const SPARE_BYTES: u64 = 2 << 30;

/// Stages in the order of a step.
const STAGES: [(Stage, &str); 6] = [
    (Stage::VisionForward, "vit_forward"),
    (Stage::TextForward, "llm_forward"),
    (Stage::Head, "head"),
    (Stage::TextBackward, "llm_backward"),
    (Stage::VisionBackward, "vit_backward"),
    (Stage::Optimizer, "optimizer"),
];

/// Events of one step: its start, then one behind every stage.
#[derive(Default)]
struct Marks {
    events: Vec<Event>,
    stages: Vec<Option<Stage>>,
}

/// Times of one step in milliseconds.
struct Times {
    step: f64,
    stages: [f64; STAGES.len()],
}

impl Marks {
    /// Marks the end of a stage, or with none a point that begins one.
    fn mark(&mut self, gpu: &Gpu, stream: &Stream, stage: Option<Stage>) -> models::Result<()> {
        let at = self.stages.len();
        if at == self.events.len() {
            self.events.push(gpu.event()?);
        }
        self.stages.push(stage);
        Ok(stream.record(&self.events[at])?)
    }

    /// The times between marks, and that until the next step began (or this one ended); waits for the last of them.
    fn read(&self, next: Option<&Self>) -> Result<Times, tensor::cuda::Error> {
        let mut stages = [0.0; STAGES.len()];
        for at in 1..self.stages.len() {
            let ms = f64::from(self.events[at].since_ms(&self.events[at - 1])?);
            if let Some(own) = STAGES.iter().position(|(stage, _)| Some(*stage) == self.stages[at]) {
                stages[own] += ms;
            }
        }
        let end = next.map_or(&self.events[self.stages.len() - 1], |next| &next.events[0]);
        Ok(Times { step: f64::from(end.since_ms(&self.events[0])?), stages })
    }
}

/// What a step runs on.
struct Bench<'a> {
    gpu: &'a Gpu,
    model: GpuVlm,
    prepared: Prepared,
    frames: Upload<u8>,
    shape: FrameShape,
    micro_batches: usize,
}

impl Bench<'_> {
    /// Queues a step.
    fn step(&mut self, marks: &mut Marks) -> Result<(), Box<dyn std::error::Error>> {
        let (gpu, mut tokens) = (self.gpu, 0);
        marks.stages.clear();
        marks.mark(gpu, self.model.stream(), None)?;
        for _ in 0..self.micro_batches {
            let view = self.frames.receive(self.model.stream())?;
            // What was waited for the frames is no stage.
            marks.mark(gpu, self.model.stream(), None)?;
            let mut hook = |stream: &Stream, stage: Stage| marks.mark(gpu, stream, Some(stage));
            tokens += self.model.run(&self.prepared, Pixels::Frames(view, self.shape), &mut hook)?;
            self.frames.release(self.model.stream())?;
            // The bytes are in place already; what counts is that they travel.
            self.frames.send(|_| ())?;
        }
        self.model.update(1e-6, 0.01, tokens, &mut |stream, stage| marks.mark(gpu, stream, Some(stage)))?;
        Ok(())
    }
}

/// Runs the measurement.
pub fn sft(args: &SftArgs, config: VlmConfig, gpu: &Gpu) -> Outcome {
    let micro = args.micro_batch.unwrap_or(args.batch).clamp(1, args.batch.max(1));
    if !args.batch.is_multiple_of(micro) {
        return Err(format!("a batch of {} is no whole number of micro-batches of {micro}", args.batch).into());
    }
    let (free_before, total) = gpu.memory()?;
    let (packed, sample_tokens) = batch(&config, args, micro, false)?;
    let layout = Layout { tied: config.tie_word_embeddings.unwrap_or(false), old_names: false };
    let options = GpuOptions {
        deterministic: args.deterministic,
        remat: fixed(args.remat),
        exact_lengths: true,
        bf16_moments: args.bf16_moments,
    };
    let mut model = GpuVlm::new(gpu, config, layout, options)?;
    if args.remat == RematArg::Auto {
        let limit = args.memory_gb.map_or(total, |gb| (gb * 1e9) as u64);
        let free = gpu.memory()?.0;
        let used = total - free;
        model.set_remat(RematChoice::Fit(limit.saturating_sub(used + SPARE_BYTES).min(free)));
    }
    model.fill_random(0)?;
    model.set_optimizer(AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, max_norm: 1.0 }, 0)?;
    let prepared = model.prepare(&packed)?;
    eprintln!("states: {}\nmicro-batch: {}", model.weights().plan(), prepared.words());
    let (plans, words) = (model.weights().plan().bytes() + prepared.bytes(), prepared.words());
    let shape = frame_shape(&packed, args.frames, micro);
    let mut frames = Upload::new(gpu, shape.frames * shape.height * shape.width * 3)?;
    for seed in 0..2usize {
        frames.send(|bytes| bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 7919 + seed * 31) as u8))?;
    }
    let mut bench = Bench { gpu, model, prepared, frames, shape, micro_batches: args.batch / micro };
    let (times, least_free) = measure(&mut bench, args)?;
    let loss = bench.model.loss_sum()?;
    let report = bench.model.report()?;
    if args.choices {
        bench.model.tuned_products().iter().for_each(|line| eprintln!("{line}"));
    }
    let samples: Vec<usize> = std::iter::repeat_n(sample_tokens, bench.micro_batches).flatten().collect();
    let line = json!({
        "bench": "sft", "device": gpu.info().name, "size": format!("{:?}", args.size).to_lowercase(),
        "batch": args.batch, "micro_batch": micro, "sequence": samples.first(), "remat": format!("{:?}", args.remat).to_lowercase(),
        "deterministic": args.deterministic, "moments": if args.bf16_moments { "bf16" } else { "f32" }, "labelled": bench.prepared.labelled() * bench.micro_batches,
        "plan": words, "planned_gb": plans as f64 / 1e9, "peak_gb": (total - least_free) as f64 / 1e9,
        "own_peak_gb": (free_before - least_free) as f64 / 1e9,
        "loss": loss / (bench.prepared.labelled() * bench.micro_batches).max(1) as f64, "grad_norm": report.norm,
        "updates": report.steps, "skipped": report.skipped_steps, "steps": args.steps,
    });
    say!("{}", with_rates(line, &times, &bench.model, &packed, &samples, bench.micro_batches));
    Ok(ExitCode::SUCCESS)
}

fn fixed(remat: RematArg) -> RematChoice {
    RematChoice::Every(match remat {
        RematArg::None => Remat::None,
        RematArg::Selective => Remat::Selective,
        RematArg::Full | RematArg::Auto => Remat::Full,
    })
}

/// All frames of a micro-batch as one clip.
fn frame_shape(packed: &PackedInput, frames: u32, micro: usize) -> FrameShape {
    let (h, w) = packed.grid_thw.first().map_or((0, 0), |grid| (grid.h as usize, grid.w as usize));
    FrameShape {
        frames: frames.div_ceil(2).max(1) as usize * 2 * micro,
        height: 16 * h,
        width: 16 * w,
        merge_size: 2,
        image_mean: [0.5; 3],
        image_std: [0.5; 3],
    }
}

/// Warm-up (kernels compiled, products tuned), then the measured steps; also the least memory that was free.
fn measure(bench: &mut Bench<'_>, args: &SftArgs) -> Result<(Vec<Times>, u64), Box<dyn std::error::Error>> {
    let (mut times, mut least_free) = (Vec::new(), u64::MAX);
    let mut marks = [Marks::default(), Marks::default()];
    for number in 0..args.warmup + args.steps {
        bench.step(&mut marks[number % 2])?;
        least_free = least_free.min(bench.gpu.memory()?.0);
        // The step before, while this one runs.
        if let Some(before) = number.checked_sub(1).filter(|before| *before >= args.warmup) {
            times.push(marks[before % 2].read(Some(&marks[number % 2]))?);
        }
    }
    if let Some(last) = (args.warmup + args.steps).checked_sub(1).filter(|last| *last >= args.warmup) {
        times.push(marks[last % 2].read(None)?);
    }
    Ok((times, least_free))
}

/// Adds medians and what follows from them.
fn with_rates(
    mut line: Value,
    times: &[Times],
    model: &GpuVlm,
    packed: &PackedInput,
    samples: &[usize],
    micro_batches: usize,
) -> Value {
    let of = |value: &dyn Fn(&Times) -> f64| median(times.iter().map(value).collect());
    let step_s = of(&|t| t.step) / 1e3;
    let grids: Vec<_> = std::iter::repeat_n(packed.grid_thw.clone(), micro_batches).flatten().collect();
    let (tokens, batch) = (samples.iter().sum::<usize>(), samples.len() as f64);
    let labelled = packed.labels.iter().filter(|label| **label >= 0).count() * micro_batches;
    let flop = |labelled| StepWork::new(model.config(), &grids, samples, labelled).flop();
    let (own, all_rows) = (flop(labelled), flop(tokens));
    let parameters: f64 = model.specs().iter().map(|spec| spec.shape.iter().product::<usize>() as f64).sum();
    let update_bytes = UPDATE_BYTES - if line["moments"] == "bf16" { 8.0 } else { 0.0 };
    let floor_s = own / (PRODUCTS_TFLOP_S * 1e12) + parameters * update_bytes / (MEMORY_TB_S * 1e12);
    let spread = |share: f64| {
        let mut sorted: Vec<f64> = times.iter().map(|t| t.step).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
    };
    let stages: serde_json::Map<String, Value> =
        STAGES.iter().enumerate().map(|(i, (_, name))| ((*name).to_owned(), json!(of(&|t| t.stages[i])))).collect();
    let staged: f64 = (0..STAGES.len()).map(|i| of(&|t| t.stages[i])).sum();
    let rates = json!({
        "parameters": parameters, "tokens": tokens, "patches": grids.iter().map(|g| g.patches()).sum::<usize>(),
        "step_ms": step_s * 1e3, "step_ms_least": spread(0.0), "step_ms_most": spread(1.0),
        "samples_per_s": batch / step_s, "tokens_per_s": tokens as f64 / step_s,
        "step_tflop": own / 1e12, "tflop_per_s": own / step_s / 1e12, "mfu": own / step_s / 1e12 / PEAK_TFLOP_S,
        "mfu_head_on_all_rows": all_rows / step_s / 1e12 / PEAK_TFLOP_S,
        "floor_ms": floor_s * 1e3, "floor_samples_per_s": batch / floor_s, "share_of_floor": floor_s / step_s,
        "stages_ms": stages, "outside_stages_ms": step_s * 1e3 - staged,
    });
    if let (Some(line), Value::Object(rates)) = (line.as_object_mut(), rates) {
        line.extend(rates);
    }
    line
}
