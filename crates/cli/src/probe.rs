//! `roadscribe probe`: what a clip is, and what a model would see of it.

use crate::{Outcome, clip_args::ClipArgs};
use processor::{
    Family, FrameSize, Processor, SpecialIds, Tokenizer, VideoInput, VisionConfig, builtin_tokenizer_json, timestamps,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tensor::{Device, Tensor};
use video::{ClipInfo, Limits};
use weights::Entry;

/// Flags of `roadscribe probe`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Clips to look at
    #[arg(value_name = "CLIP", required = true)]
    clips: Vec<PathBuf>,
    #[command(flatten)]
    clip: ClipArgs,
    /// One JSON object a clip instead of words
    #[arg(long)]
    json: bool,
    /// Decode the chosen frames and write the patches that a Qwen3-VL model gets of them (one clip only)
    #[arg(long, value_name = "FILE.safetensors")]
    dump: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    if args.dump.is_some() && args.clips.len() > 1 {
        return Err("--dump takes one clip at a time".into());
    }
    let tokenizer = Tokenizer::from_bytes(&builtin_tokenizer_json(SpecialIds::Compact))?;
    let processor = Processor::new(Family::Qwen3Vl, VisionConfig::of_family(Family::Qwen3Vl), tokenizer)?;
    let mut failed = false;
    for clip in &args.clips {
        let limits = Limits::default();
        let info = video::probe(clip, &limits);
        let plan = info.as_ref().map_err(ToString::to_string).and_then(|info| plan(&processor, info, &args.clip));
        failed |= info.is_err();
        match args.json {
            true => say!("{}", as_json(clip, &info, &plan, &processor)),
            false => print_words(clip, &info, &plan, &processor),
        }
        if let Some(file) = &args.dump {
            dump(&processor, clip, args, file)?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The frames and their size, from the tables alone.
fn plan(processor: &Processor, info: &ClipInfo, args: &ClipArgs) -> Result<VideoInput, String> {
    let indices = video::frame_indices(info.frames, info.fps, &args.request()).map_err(|e| e.to_string())?;
    let turned = !info.rotation.is_multiple_of(180);
    let (width, height) = if turned { (info.height, info.width) } else { (info.width, info.height) };
    processor
        .planned(FrameSize { height, width }, &indices, Some(info.fps.to_f64()), &args.budget())
        .map_err(|e| e.to_string())
}

fn seconds(processor: &Processor, plan: &VideoInput) -> Vec<f64> {
    timestamps(&plan.frame_indices, plan.source_fps, processor.vision().temporal_patch_size as usize)
}

fn as_json(
    clip: &Path,
    info: &video::Result<ClipInfo>,
    plan: &Result<VideoInput, String>,
    processor: &Processor,
) -> Value {
    let mut line = Map::new();
    line.insert("clip".into(), json!(clip.display().to_string()));
    let info = match info {
        Err(error) => {
            line.insert("error".into(), json!(error.to_string()));
            return Value::Object(line);
        }
        Ok(info) => info,
    };
    let facts = json!({
        "container": info.container, "codec": info.codec.to_string(), "width": info.width, "height": info.height, "bit_depth": info.bit_depth,
        "fps": {"num": info.fps.num, "den": info.fps.den}, "frames": info.frames, "duration_ms": info.duration_ms, "key_frames": info.key_frames,
        "rotation": info.rotation, "colour_matrix": info.colour.matrix, "colour_range": format!("{:?}", info.colour.range).to_lowercase(),
        "streams": info.streams, "has_audio": info.has_audio,
    });
    if let Value::Object(facts) = facts {
        line.extend(facts);
    }
    let seen = match plan {
        Err(error) => json!({"error": error}),
        Ok(plan) => json!({
            "frame_indices": plan.frame_indices, "resized_height": plan.resized_height, "resized_width": plan.resized_width,
            "grid_thw": [plan.grid_thw.t, plan.grid_thw.h, plan.grid_thw.w], "vision_tokens": processor.token_count(plan.grid_thw),
            "timestamps_s": seconds(processor, plan),
        }),
    };
    line.insert("seen".into(), seen);
    Value::Object(line)
}

fn print_words(clip: &Path, info: &video::Result<ClipInfo>, plan: &Result<VideoInput, String>, processor: &Processor) {
    let info = match info {
        Err(error) => {
            eprintln!("error: {error}");
            return;
        }
        Ok(info) => info,
    };
    say!("{}", clip.display());
    say!(
        "  {} in {}, {}x{}, {} bit, {}",
        info.codec,
        info.container,
        info.width,
        info.height,
        info.bit_depth,
        info.streams.join(" + ")
    );
    say!(
        "  {} frames in {:.3} s, {}/{} = {:.3} frames/s",
        info.frames,
        info.duration_ms as f64 / 1000.0,
        info.fps.num,
        info.fps.den,
        info.fps.to_f64()
    );
    say!(
        "  {} key frame(s), rotation {}, colour matrix {}, range {:?}",
        info.key_frames.len(),
        info.rotation,
        info.colour.matrix,
        info.colour.range
    );
    match plan {
        Err(error) => say!("  a model cannot see it so: {error}"),
        Ok(plan) => {
            let times: Vec<String> = seconds(processor, plan).iter().map(|t| format!("{t:.1}")).collect();
            say!("  a model sees frames {:?}", plan.frame_indices);
            say!(
                "  each {}x{}, {} vision tokens, at {} s",
                plan.resized_width,
                plan.resized_height,
                processor.token_count(plan.grid_thw),
                times.join(", ")
            );
        }
    }
}

fn dump(processor: &Processor, clip: &Path, args: &Args, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let decoded = video::decode(clip, &args.clip.request(), args.clip.backend.into(), &Limits::default())?;
    let input = processor.video(&decoded, &args.clip.budget())?;
    let values = processor.vision().patch_values();
    let patches = Tensor::from_vec(&Device::Cpu, input.pixel_values, &[input.grid_thw.patches(), values])?;
    let metadata = BTreeMap::from([
        ("frame_indices".to_owned(), json!(input.frame_indices).to_string()),
        ("video_grid_thw".to_owned(), json!([input.grid_thw.t, input.grid_thw.h, input.grid_thw.w]).to_string()),
        ("backend".to_owned(), decoded.backend.to_owned()),
        ("frames_decoded".to_owned(), decoded.frames_decoded.to_string()),
        ("damaged".to_owned(), decoded.damaged.to_string()),
    ]);
    weights::save_tensors(file, &[Entry::new("pixel_values_videos", &patches)], &metadata)?;
    eprintln!(
        "{}: {} frames decoded by the {} back-end, {} damaged",
        file.display(),
        decoded.frames_decoded,
        decoded.backend,
        decoded.damaged
    );
    Ok(())
}
