//! `cargo xtask golden-processor DIR --clips DIR --tokenizer FILE`: frames, sizes, grids, token ids and patches against the reference.
//!
//! DIR holds `<clip>__<setting>.json` and, for some, `<clip>__<setting>.safetensors` with every patch value, as qwen_vl_utils
//! and transformers gave them. One JSON line a case with every figure; the exit status is 0 only if all hold.

use std::path::{Path, PathBuf};

use processor::{
    Family, Overlength, Part, PixelBudget, Processor, Purpose, Role, Tokenizer, Turn, VideoInput, VisionConfig,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tensor::Device;
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, SampledClip};
use weights::SafetensorsFile;

use crate::Outcome;

/// Largest and mean absolute difference of a patch value, in grey levels.
const GREY_MAX: f64 = 4.0;
const GREY_MEAN: f64 = 0.5;
/// Conversation of every case.
const SYSTEM: &str = "You are a helpful assistant.";
const PROMPT: &str = "Caption the video in detail.";

/// What to compare with what.
#[derive(clap::Args)]
pub struct Args {
    /// A folder laid out as golden/processor.
    dir: PathBuf,
    /// The folder of the clips.
    #[arg(long)]
    clips: PathBuf,
    /// The tokenizer.json that made the token ids.
    #[arg(long)]
    tokenizer: PathBuf,
    /// The decoder: auto, pure or ffmpeg.
    #[arg(long, default_value = "auto", value_parser = backend)]
    backend: BackendChoice,
}

fn backend(name: &str) -> Result<BackendChoice, String> {
    match name {
        "auto" => Ok(BackendChoice::Auto),
        "pure" => Ok(BackendChoice::Pure),
        "ffmpeg" => Ok(BackendChoice::Ffmpeg),
        _ => Err("expected auto, pure or ffmpeg".into()),
    }
}

/// The arguments that the reference was given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    nframes: Option<f64>,
    fps: Option<f64>,
    min_frames: Option<u32>,
    max_frames: Option<u32>,
    video_start: Option<f64>,
    video_end: Option<f64>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    total_pixels: Option<u64>,
    resized_height: Option<u32>,
    resized_width: Option<u32>,
}

/// What the reference gave.
#[derive(Deserialize)]
struct Expected {
    frame_indices: Vec<u64>,
    source_fps: f64,
    source_frames: u64,
    resized_height: u32,
    resized_width: u32,
    video_grid_thw: [u32; 3],
    token_count: usize,
    input_ids_runs: Vec<(u32, usize)>,
    patch_mean: f64,
}

/// Checks every case of the folder; returns whether all hold.
///
/// # Errors
/// If the folder holds no case or the tokenizer cannot be read.
pub fn run(args: &Args) -> Outcome<bool> {
    let entries = std::fs::read_dir(&args.dir).map_err(|e| format!("{}: {e}", args.dir.display()))?;
    let mut cases: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    cases.retain(|path| path.extension().is_some_and(|e| e == "json") && path.to_string_lossy().contains("__"));
    cases.sort();
    if cases.is_empty() {
        return Err(format!("{}: no file named <clip>__<setting>.json", args.dir.display()).into());
    }
    let tokenizer = Tokenizer::open(&args.tokenizer)?;
    let processor = Processor::new(Family::Qwen3Vl, VisionConfig::of_family(Family::Qwen3Vl), tokenizer)?;
    let mut all = true;
    for case in cases {
        let mut line = Map::new();
        line.insert("case".into(), json!(case.file_stem().map(|name| name.to_string_lossy().into_owned())));
        let pass = match check_case(&case, args, &processor, &mut line) {
            Ok(pass) => pass,
            Err(error) => {
                line.insert("error".into(), json!(error.to_string()));
                false
            }
        };
        line.insert("pass".into(), json!(pass));
        println!("{}", Value::Object(line));
        all &= pass;
    }
    Ok(all)
}

fn check_case(case: &Path, args: &Args, processor: &Processor, line: &mut Map<String, Value>) -> Outcome<bool> {
    let json: Value = serde_json::from_slice(&std::fs::read(case)?)?;
    let setting: Setting = serde_json::from_value(json["setting"].clone())?;
    let clip = clip_of(case, &args.clips)?;
    let ours = process(&clip, &setting, args.backend, processor);
    if let Some(error) = json.get("error") {
        line.insert("reference_error".into(), error.clone());
        line.insert("our_error".into(), ours.as_ref().err().map_or(Value::Null, |error| json!(error.to_string())));
        return Ok(ours.is_err());
    }
    let expected: Expected = serde_json::from_value(json)?;
    let (sampled, input) = ours?;
    let mut pass = check_geometry(&expected, &sampled, &input, line);
    pass &= check_ids(&expected, processor, &input, line)?;
    let patches = case.with_extension("safetensors");
    if patches.exists() {
        pass &= check_patches(&patches, &input, line)?;
    }
    Ok(pass)
}

/// The clip of a case: the file in `clips` whose name without ending is the case's up to the last `__`.
fn clip_of(case: &Path, clips: &Path) -> Outcome<PathBuf> {
    let stem = case.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = stem.rsplit_once("__").map_or(stem.as_str(), |(clip, _)| clip);
    let entries = std::fs::read_dir(clips).map_err(|e| format!("{}: {e}", clips.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.is_file() && path.file_stem().is_some_and(|own| own.to_string_lossy() == name));
    found.sort();
    found.into_iter().next().ok_or_else(|| format!("{}: no clip named {name}", clips.display()).into())
}

/// Decodes, resizes and cuts a clip as the setting says.
fn process(
    clip: &Path,
    setting: &Setting,
    backend: BackendChoice,
    processor: &Processor,
) -> Outcome<(SampledClip, VideoInput)> {
    let sampling = match (setting.nframes, setting.fps) {
        (Some(_), Some(_)) => return Err("nframes and fps exclude each other".into()),
        (Some(nframes), None) => FrameSampling::Count(nframes as u32),
        (None, fps) => FrameSampling::Rate {
            fps: fps.unwrap_or(2.0),
            min_frames: setting.min_frames.unwrap_or(4),
            max_frames: setting.max_frames.unwrap_or(768),
        },
    };
    let request = FrameRequest { sampling, video_start_s: setting.video_start, video_end_s: setting.video_end };
    let budget = match (setting.resized_height, setting.resized_width) {
        (Some(height), Some(width)) => PixelBudget::Fixed { height, width },
        _ => PixelBudget::PerFrame {
            min_pixels: setting.min_pixels,
            max_pixels: setting.max_pixels,
            total_pixels: setting.total_pixels,
        },
    };
    let sampled = video::decode(clip, &request, backend, &Limits::default())?;
    let input = processor.video(&sampled, &budget)?;
    Ok((sampled, input))
}

fn check_geometry(
    expected: &Expected,
    sampled: &SampledClip,
    input: &VideoInput,
    line: &mut Map<String, Value>,
) -> bool {
    let ends = (input.frame_indices.first().copied().unwrap_or(0), input.frame_indices.last().copied().unwrap_or(0));
    let range_frames = ends.1.saturating_sub(ends.0) + 1;
    let source_fps = input.source_fps.unwrap_or(0.0);
    let grid = [input.grid_thw.t, input.grid_thw.h, input.grid_thw.w];
    let size = (input.resized_height, input.resized_width);
    line.insert("backend".into(), json!(sampled.backend));
    line.insert("frames_decoded".into(), json!(sampled.frames_decoded));
    line.insert("damaged".into(), json!(sampled.damaged));
    line.insert("source_fps".into(), json!(source_fps));
    line.insert("source_frames".into(), json!(range_frames));
    line.insert("nframes".into(), json!(input.frame_indices.len()));
    line.insert("resized".into(), json!(size));
    line.insert("grid_thw".into(), json!(grid));
    let checks = [
        ("source_fps_equal", (source_fps - expected.source_fps).abs() <= 1e-3 * expected.source_fps),
        ("source_frames_equal", range_frames == expected.source_frames),
        ("indices_equal", input.frame_indices == expected.frame_indices),
        ("size_equal", size == (expected.resized_height, expected.resized_width)),
        ("grid_equal", grid == expected.video_grid_thw),
    ];
    for (name, holds) in checks {
        line.insert(name.into(), json!(holds));
    }
    let mean = input.pixel_values.iter().map(|&v| f64::from(v)).sum::<f64>() / input.pixel_values.len().max(1) as f64;
    line.insert("patch_mean_difference".into(), json!(grey(mean - expected.patch_mean)));
    checks.iter().all(|(_, holds)| *holds)
}

fn check_ids(
    expected: &Expected,
    processor: &Processor,
    input: &VideoInput,
    line: &mut Map<String, Value>,
) -> Outcome<bool> {
    let user = Turn { role: Role::User, content: vec![Part::Video(0), Part::Text(PROMPT.into())] };
    let turns = [Turn::text(Role::System, SYSTEM), user];
    let media = std::slice::from_ref(input);
    let encoded = processor.sample_tokens(&turns, media, Purpose::Generate, Overlength::Refuse, usize::MAX)?;
    let ids = encoded.input.input_ids;
    let reference: Vec<u32> =
        expected.input_ids_runs.iter().flat_map(|&(id, count)| std::iter::repeat_n(id, count)).collect();
    let equal = ids == reference && ids.len() == expected.token_count;
    line.insert("token_count".into(), json!(ids.len()));
    line.insert("ids_equal".into(), json!(equal));
    if !equal {
        let first = ids.iter().zip(&reference).position(|(a, b)| a != b).unwrap_or(ids.len().min(reference.len()));
        line.insert(
            "first_different_id".into(),
            json!({ "at": first, "ours": ids.get(first), "reference": reference.get(first) }),
        );
    }
    Ok(equal)
}

fn check_patches(file: &Path, input: &VideoInput, line: &mut Map<String, Value>) -> Outcome<bool> {
    let reference = SafetensorsFile::open(file)?.load("pixel_values_videos", &Device::Cpu)?.to_vec();
    if reference.len() != input.pixel_values.len() {
        return Err(format!("{} patch values, the reference has {}", input.pixel_values.len(), reference.len()).into());
    }
    let (mut most, mut sum) = (0.0_f64, 0.0_f64);
    for (&ours, &theirs) in input.pixel_values.iter().zip(&reference) {
        let difference = grey(f64::from(ours) - f64::from(theirs)).abs();
        // Not `max`: a value that is no number must not hide.
        most = if difference <= most { most } else { difference };
        sum += difference;
    }
    let mean = sum / reference.len().max(1) as f64;
    line.insert("grey_difference_max".into(), json!(most));
    line.insert("grey_difference_mean".into(), json!(mean));
    Ok(most <= GREY_MAX && mean <= GREY_MEAN)
}

/// A difference of normalised values (mean and deviation .5) in grey levels.
fn grey(difference: f64) -> f64 {
    difference * 0.5 * 255.0
}
