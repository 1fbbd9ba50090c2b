//! `roadscribe demo`: a training set of the synthetic world. The whole recipe in one command comes later.

use crate::Outcome;
use serde_json::json;
use std::{fs, path::PathBuf, process::ExitCode};
use world::{Domain, Scene, caption, write_clip};

const WIDTH: u32 = 480;
const HEIGHT: u32 = 320;
const FPS: u32 = 10;
const FRAMES: u32 = 30;

/// Flags of `roadscribe demo`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder to make
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,
    /// Number of clips
    #[arg(long, value_name = "N", default_value_t = 3)]
    clips: u64,
    /// Seed of the first scene; the next have the numbers after it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let mut entries = Vec::new();
    for number in 0..args.clips {
        let scene = Scene::draw(args.seed.wrapping_add(number), Domain::Fleet);
        let name = format!("scene_{:04}", number + 1);
        write_clip(&scene, WIDTH, HEIGHT, FRAMES, FPS, &args.out.join(format!("{name}.mp4")))?;
        weights::write_file_atomic(&args.out.join(format!("{name}.txt")), |out| writeln!(out, "{}", caption(&scene)))?;
        entries.push(json!({"id": name, "video": format!("{name}.mp4"), "text": format!("{name}.txt")}));
    }
    let text = serde_json::to_string_pretty(&entries)?;
    weights::write_file_atomic(&args.out.join("meta.json"), |out| writeln!(out, "{text}"))?;
    say!(
        "{}: {} clips of {:.0} s with captions, and meta.json",
        args.out.display(),
        args.clips,
        f64::from(FRAMES) / f64::from(FPS)
    );
    Ok(ExitCode::SUCCESS)
}
