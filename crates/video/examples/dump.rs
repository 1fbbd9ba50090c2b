//! Writes the sampled frames of a clip as raw RGB, for comparing with other decoders: `dump CLIP NFRAMES BACKEND OUT [W H KERNEL]`.

#![allow(clippy::print_stderr)]

use std::io::Write;
use video::{BackendChoice, FrameRequest, FrameSampling, Limits, ResizeKernel, decode, resize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let backend = match args[2].as_str() {
        "pure" => BackendChoice::Pure,
        "ffmpeg" => BackendChoice::Ffmpeg,
        _ => BackendChoice::Auto,
    };
    let clip = decode(
        args[0].as_ref(),
        &FrameRequest::whole(FrameSampling::Count(args[1].parse()?)),
        backend,
        &Limits::default(),
    )?;
    eprintln!(
        "{:?} of {} at {:?}: decoded {} (min {}), damaged {}",
        clip.frame_indices, clip.total_frames, clip.fps, clip.frames_decoded, clip.frames_decoded_min, clip.damaged
    );
    let mut out = std::fs::File::create(&args[3])?;
    for frame in &clip.frames {
        let frame = match args.get(4..7) {
            Some([w, h, kernel]) => {
                let kernel = match kernel.as_str() {
                    "pil" => ResizeKernel::Pil,
                    "tv" => ResizeKernel::TorchvisionU8,
                    _ => ResizeKernel::TorchF32,
                };
                resize(frame, w.parse()?, h.parse()?, kernel)?
            }
            _ => frame.clone(),
        };
        out.write_all(&frame.data)?;
    }
    Ok(())
}
