//! Times resize, normalisation and patchify together: `patchify CLIP MODEL_DIR NFRAMES MAX_PIXELS`. One JSON line, CPU
//! milliseconds a frame, least of 10.

#![allow(clippy::print_stdout)]

use processor::{PixelBudget, Processor};
use rustix::time::{ClockId, clock_gettime};
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [clip, model, nframes, max_pixels] = args.as_slice() else {
        return Err("patchify CLIP MODEL_DIR NFRAMES MAX_PIXELS".into());
    };
    let request = FrameRequest::whole(FrameSampling::Count(nframes.parse()?));
    let clip = decode(clip.as_ref(), &request, BackendChoice::Pure, &Limits::default())?;
    let processor = Processor::open(model.as_ref())?;
    let max_pixels = Some(max_pixels.parse()?);
    let budget = PixelBudget::PerFrame { min_pixels: Some(3136), max_pixels, total_pixels: None };
    let mut best = f64::MAX;
    let mut size = (0, 0);
    for _ in 0..10 {
        let start = cpu_ms();
        let input = processor.video(&clip, &budget)?;
        best = best.min(cpu_ms() - start);
        size = (input.resized_width, input.resized_height);
    }
    let frames = clip.frames.len();
    println!(
        r#"{{"frames":{frames},"from":"{}x{}","to":"{}x{}","cpu_ms_per_frame":{:.2}}}"#,
        clip.frames[0].width,
        clip.frames[0].height,
        size.0,
        size.1,
        best / frames as f64
    );
    Ok(())
}

/// CPU time of the whole process so far, in milliseconds.
fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1000.0 + now.tv_nsec as f64 / 1e6
}
