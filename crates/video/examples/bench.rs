//! Times decoding and resizing: `bench CLIP NFRAMES BACKEND REPEATS [W H]`. One JSON line each.

#![allow(clippy::print_stdout)]

use rustix::time::{ClockId, clock_gettime};
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, ResizeKernel, bench_decode, decode, resize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let backend = if args[2] == "pure" { BackendChoice::Pure } else { BackendChoice::Ffmpeg };
    let request = FrameRequest::whole(FrameSampling::Count(args[1].parse()?));
    let path = std::path::Path::new(&args[0]);
    let r = bench_decode(path, &request, backend, &Limits::default(), args[3].parse()?)?;
    println!(
        r#"{{"backend":"{}","frames_decoded":{},"frames_decoded_min":{},"total_frames":{},"cpu_ms":{:.1},"wall_ms":{:.1},"repeats":{}}}"#,
        r.backend, r.frames_decoded, r.frames_decoded_min, r.total_frames, r.cpu_ms, r.wall_ms, r.repeats
    );
    if let Some([w, h]) = args.get(4..6) {
        let frame = decode(path, &request, backend, &Limits::default())?.frames.swap_remove(0);
        for kernel in [ResizeKernel::TorchF32, ResizeKernel::TorchvisionU8, ResizeKernel::Pil] {
            let mut best = f64::MAX;
            for _ in 0..20 {
                let start = cpu_ms();
                resize(&frame, w.parse()?, h.parse()?, kernel)?;
                best = best.min(cpu_ms() - start);
            }
            println!(
                r#"{{"resize":"{kernel:?}","from":"{}x{}","to":"{w}x{h}","cpu_ms":{best:.2}}}"#,
                frame.width, frame.height
            );
        }
    }
    Ok(())
}

/// CPU time of this thread so far, in milliseconds.
fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1000.0 + now.tv_nsec as f64 / 1e6
}
