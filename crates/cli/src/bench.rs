//! `roadscribe bench`: measurements, one JSON line each.

use crate::{Outcome, clip_args::ClipArgs, gpu::DeviceChoice};
use clap::{Subcommand, ValueEnum};
use models::{Grads, Preset, Remat, SpecialTokens, StepWork, Vlm, VlmConfig, preset_config};
use processor::{GridThw, PackedInput, VisionTokenIds, VlmInput, pack, positions};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode, time::Instant};
use tensor::{Device, Tensor, ops::linear};
use train::optimizer::{self, AdamW, Moments};
use video::Limits;

mod gpu;

/// Flags of `roadscribe bench`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Decode chosen frames of a clip: CPU time, frames decoded, and the fewest that the clip allows
    Decode(DecodeArgs),
    /// A training step of a random model on the recipe's shape, against the rate of its own matrix products
    Sft(SftArgs),
}

#[derive(clap::Args, Debug)]
struct DecodeArgs {
    /// The clip
    clip: PathBuf,
    #[command(flatten)]
    frames: ClipArgs,
    /// Measured runs, after one that is not
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: u32,
}

#[derive(clap::Args, Debug)]
struct SftArgs {
    /// What runs the model
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Size of the model; the CPU engine is meant for debug
    #[arg(long, value_enum, default_value_t = Size::Debug)]
    size: Size,
    /// Samples a step
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Frames a sample, 448x736 each
    #[arg(long, value_name = "N", default_value_t = 16)]
    frames: u32,
    /// Tokens a sample beside those of the video, its start and end marks among them
    #[arg(long, value_name = "N", default_value_t = 424)]
    text: usize,
    /// Labelled tokens a sample, the last of it
    #[arg(long, value_name = "N", default_value_t = 300)]
    labelled: usize,
    /// Samples of a micro-batch, if not the whole batch (GPU)
    #[arg(long, value_name = "N")]
    micro_batch: Option<usize>,
    /// What blocks keep for the backward; the CPU knows none and full
    #[arg(long, value_enum, default_value_t = RematArg::None)]
    remat: RematArg,
    /// GB that --remat auto may use in all (GPU; default: what the card has)
    #[arg(long, value_name = "GB")]
    memory_gb: Option<f64>,
    /// Only kernels that give the same bits every time (GPU)
    #[arg(long)]
    deterministic: bool,
    /// Keep the optimizer's moments in bf16, rounded at random (GPU)
    #[arg(long)]
    bf16_moments: bool,
    /// Print which candidate each matrix product uses, to standard error (GPU)
    #[arg(long)]
    choices: bool,
    /// Steps before the measured ones (GPU; the CPU has one)
    #[arg(long, value_name = "N", default_value_t = 4)]
    warmup: usize,
    /// Measured steps
    #[arg(long, value_name = "N", default_value_t = 3)]
    steps: usize,
}

/// What is kept for the backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RematArg {
    /// Every activation
    None,
    /// The residual stream and the results of products and attention
    Selective,
    /// The input of every block
    Full,
    /// As much as fits into --memory-gb, block by block
    Auto,
}

/// Sizes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Debug,
    #[value(name = "2b")]
    B2,
    #[value(name = "4b")]
    B4,
    #[value(name = "8b")]
    B8,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    match &args.what {
        What::Decode(args) => decode(args),
        What::Sft(args) => sft(args),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn decode(args: &DecodeArgs) -> Outcome {
    let report = video::bench_decode(
        &args.clip,
        &args.frames.request(),
        args.frames.backend.into(),
        &Limits::default(),
        args.repeats,
    )?;
    println!(
        "{}",
        json!({
            "bench": "decode", "clip": args.clip.display().to_string(), "backend": report.backend, "total_frames": report.total_frames, "frames": report.frames_wanted, "damaged": report.damaged,
            "frames_decoded": report.frames_decoded, "frames_decoded_min": report.frames_decoded_min,
            "cpu_ms": report.cpu_ms, "wall_ms": report.wall_ms, "runs": report.repeats,
        })
    );
    Ok(ExitCode::SUCCESS)
}

/// Multiplies and adds per second of the linear products of a step, forward and backward, each shape timed on its own.
fn gemm_rate(work: &StepWork) -> Result<f64, tensor::Error> {
    let (mut seconds, mut flop) = (0.0, 0.0);
    for shape in work.linears.iter().filter(|shape| shape.rows > 0) {
        let fill = |rows: usize, cols: usize| {
            Tensor::from_vec(
                &Device::Cpu,
                (0..rows * cols).map(|i| (i % 97) as f32 * 0.01 - 0.5).collect(),
                &[rows, cols],
            )
        };
        let (x, weight, dy) =
            (fill(shape.rows, shape.input)?, fill(shape.output, shape.input)?, fill(shape.rows, shape.output)?);
        let mut grad = weight.zeros_like();
        let mut runs = Vec::new();
        for _ in 0..3 {
            let begun = Instant::now();
            linear::forward(&x, &weight, None)?;
            if shape.products == 3 {
                linear::backward_input(&dy, &weight)?;
            }
            linear::backward_weight(&dy, &x, &mut grad)?;
            runs.push(begun.elapsed().as_secs_f64());
        }
        seconds += median(runs) * shape.count as f64;
        flop += shape.flop();
    }
    Ok(flop / seconds)
}

/// A batch of `samples` of the recipe's shape with random words, and pixels if wanted.
fn batch(
    config: &VlmConfig,
    args: &SftArgs,
    samples: usize,
    pixels: bool,
) -> Result<(PackedInput, Vec<usize>), processor::Error> {
    let grid = GridThw { t: args.frames.div_ceil(2).max(1), h: 28, w: 46 };
    let visual = (grid.h * grid.w) as usize / config.vision.merge_unit();
    let word = |i: usize| (i * 31 % 200 + 3) as u32;
    let words = args.text.saturating_sub(2 * grid.t as usize);
    let mut ids: Vec<u32> = (0..words / 4).map(word).collect();
    for _ in 0..grid.t {
        ids.push(config.vision_start_token_id);
        ids.extend(std::iter::repeat_n(config.video_token_id, visual));
        ids.push(config.vision_end_token_id);
    }
    ids.extend((0..words - words / 4).map(word));
    let tokens = VisionTokenIds {
        vision_start: config.vision_start_token_id,
        vision_end: config.vision_end_token_id,
        image: config.image_token_id,
        video: config.video_token_id,
    };
    let placed = positions::qwen3_vl(&ids, &[grid], &tokens, config.vision.spatial_merge_size as u32)?;
    let trained_from = ids.len() - args.labelled.min(words - words / 4);
    let labels = ids.iter().enumerate().map(|(i, id)| if i < trained_from { -100 } else { *id as i32 }).collect();
    let values = if pixels { grid.patches() * config.vision.patch_values() } else { 0 };
    let sample = VlmInput {
        labels,
        position_ids: placed.position_ids,
        pixel_values: (0..values).map(|i| (i * 7919 % 255) as f32 / 127.5 - 1.0).collect(),
        grid_thw: vec![grid],
        rope_delta: placed.rope_delta,
        input_ids: ids,
    };
    let packed = pack(&vec![&sample; samples]);
    Ok((packed, vec![sample.input_ids.len(); samples]))
}

/// One step: gradients, clip, update.
fn step(
    model: &mut Vlm,
    packed: &PackedInput,
    grads: &mut Grads,
    moments: &mut Moments,
    number: u64,
) -> train::Result<f64> {
    grads.fill_zero();
    let sum = model.forward_backward(packed, 1e-3, grads)?;
    let grad_scale = optimizer::clip_factor(optimizer::grad_norm(grads)?, Some(1.0)) as f32;
    let settings =
        AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01, step: number, grad_scale };
    optimizer::update(&mut model.params, grads, moments, settings)?;
    Ok(sum.loss / sum.tokens.max(1) as f64)
}

/// The config of a size by name.
fn config(size: Size) -> models::Result<VlmConfig> {
    let preset = match size {
        Size::Debug => Preset::Debug,
        Size::B2 => Preset::B2,
        Size::B4 => Preset::B4,
        Size::B8 => Preset::B8,
    };
    // The debug model's vocabulary is that of its built-in tokenizer, about a thousand.
    let tokens = match preset {
        Preset::Debug | Preset::Demo => SpecialTokens {
            vocab_size: 1024,
            endoftext: 1016,
            im_end: 1017,
            vision_start: 1018,
            vision_end: 1019,
            image_pad: 1020,
            video_pad: 1021,
        },
        _ => SpecialTokens::QWEN3,
    };
    VlmConfig::parse(&preset_config(preset, tokens).to_string())
}

fn sft(args: &SftArgs) -> Outcome {
    let config = config(args.size)?;
    match crate::gpu::chosen(args.device)? {
        Some(gpu) => gpu::sft(args, config, &gpu),
        None => sft_on_cpu(args, config),
    }
}

fn sft_on_cpu(args: &SftArgs, config: VlmConfig) -> Outcome {
    let recompute = match args.remat {
        RematArg::None => false,
        RematArg::Full => true,
        RematArg::Selective | RematArg::Auto => return Err("the CPU keeps everything or recomputes all".into()),
    };
    let (packed, sample_tokens) = batch(&config, args, args.batch, true)?;
    let labelled = packed.labels.iter().filter(|label| **label >= 0).count();
    let work = StepWork::new(&config, &packed.grid_thw, &sample_tokens, labelled);
    let mut model = Vlm::random(config, 0, &Device::Cpu)?;
    model.remat = if recompute { Remat::Full } else { Remat::None };
    let mut grads = model.params.zero_grads();
    let mut moments = Moments::zeros(&model.params);
    let mut seconds = Vec::new();
    let mut loss = step(&mut model, &packed, &mut grads, &mut moments, 1)?;
    let mut gemm = vec![gemm_rate(&work)?];
    for number in 0..args.steps {
        let begun = Instant::now();
        loss = step(&mut model, &packed, &mut grads, &mut moments, number as u64 + 2)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    gemm.push(gemm_rate(&work)?);
    let (step_s, gemm_flop_s) = (median(seconds), gemm.iter().sum::<f64>() / gemm.len() as f64);
    let flop_s = work.flop() / step_s;
    say!(
        "{}",
        json!({
            "bench": "sft", "device": "cpu", "size": format!("{:?}", args.size).to_lowercase(), "parameters": model.params.count(), "batch": args.batch,
            "tokens": packed.input_ids.len(), "patches": packed.grid_thw.iter().map(|g| g.patches()).sum::<usize>(), "recompute": recompute,
            "step_s": step_s, "samples_per_s": args.batch as f64 / step_s, "tokens_per_s": packed.input_ids.len() as f64 / step_s,
            "step_gflop": work.flop() / 1e9, "step_gflop_per_s": flop_s / 1e9, "gemm_gflop_per_s": gemm_flop_s / 1e9,
            "share_of_gemm_rate": flop_s / gemm_flop_s, "loss": loss, "steps": args.steps,
        })
    );
    Ok(ExitCode::SUCCESS)
}
