//! `roadscribe report`: the page of a run.

use crate::Outcome;
use ::report::{PageOptions, png_of_rgb, write_report};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, ResizeKernel};

/// Frames of a clip in the page.
const STRIP_FRAMES: u32 = 4;
/// Pixels in a row of such a frame.
const STRIP_WIDTH: u32 = 200;

/// Flags of `roadscribe report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the run: benchmark/, curated/, train/, outputs/; the page goes to report/index.html in it
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// Base model to compare with, as its folder of outputs is named [default: the one without a training step]
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let written =
        write_report(&args.run, &mut PageOptions { base_model: args.base_model.as_deref(), strip: &mut strip })?;
    for missing in &written.missing {
        eprintln!("not on the page: {missing}");
    }
    if let Some(checkpoint) = &written.recommended {
        say!("recommended checkpoint: {checkpoint}");
    }
    say!("{}", written.page.display());
    Ok(ExitCode::SUCCESS)
}

/// Four frames of a clip side by side; none if it cannot be decoded.
pub fn strip(path: &Path) -> Option<Vec<u8>> {
    let request = FrameRequest::whole(FrameSampling::Count(STRIP_FRAMES));
    let clip = video::decode(path, &request, BackendChoice::Auto, &Limits::default()).ok()?;
    let first = clip.frames.first()?;
    let height = (STRIP_WIDTH * first.height / first.width.max(1)).clamp(1, 2 * STRIP_WIDTH);
    let small: Option<Vec<_>> = clip
        .frames
        .iter()
        .map(|frame| video::resize(frame, STRIP_WIDTH, height, ResizeKernel::default()).ok())
        .collect();
    let small = small?;
    let row_bytes = 3 * STRIP_WIDTH as usize;
    let rows = (0..height as usize).flat_map(|y| small.iter().map(move |frame| (y, frame)));
    let pixels: Vec<u8> =
        rows.flat_map(|(y, frame)| frame.data[y * row_bytes..][..row_bytes].iter().copied()).collect();
    png_of_rgb(STRIP_WIDTH * small.len() as u32, height, &pixels).ok()
}
