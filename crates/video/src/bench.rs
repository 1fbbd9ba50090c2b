//! Measures decoding, for `roadscribe bench decode`.

use std::path::Path;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::error::Result;
use crate::{BackendChoice, FrameRequest, Limits, decode};

/// What [`bench_decode`] measured: the best of the repeats, for CPU and wall time apart.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeReport {
    /// The decoder that ran.
    pub backend: &'static str,
    /// Frames of the clip.
    pub total_frames: u64,
    /// Frames asked for.
    pub frames_wanted: u64,
    /// Frames that the decoder was fed.
    pub frames_decoded: u64,
    /// Frames that any decoder must see; [`SampledClip::frames_decoded_min`](crate::SampledClip::frames_decoded_min).
    pub frames_decoded_min: u64,
    /// Damaged packets or pictures.
    pub damaged: u64,
    /// CPU time of the process for one decode, opening and conversion to RGB included, in milliseconds.
    pub cpu_ms: f64,
    /// Wall time of one decode, in milliseconds.
    pub wall_ms: f64,
    /// How many times it ran.
    pub repeats: u32,
}

/// Decodes a clip `repeats` times (at least once) and reports the least CPU and wall time.
///
/// # Errors
/// As [`decode`].
pub fn bench_decode(
    path: &Path,
    request: &FrameRequest,
    backend: BackendChoice,
    limits: &Limits,
    repeats: u32,
) -> Result<DecodeReport> {
    let measure = || {
        let (wall, cpu) = (Instant::now(), cpu_ms());
        let clip = decode(path, request, backend, limits)?;
        Ok((clip, cpu_ms() - cpu, wall.elapsed().as_secs_f64() * 1000.0))
    };
    let (clip, mut cpu_best, mut wall_best) = measure()?;
    for _ in 1..repeats {
        let (_, cpu, wall) = measure()?;
        (cpu_best, wall_best) = (cpu_best.min(cpu), wall_best.min(wall));
    }
    Ok(DecodeReport {
        backend: clip.backend,
        total_frames: clip.total_frames,
        frames_wanted: clip.frames.len() as u64,
        frames_decoded: clip.frames_decoded,
        frames_decoded_min: clip.frames_decoded_min,
        damaged: clip.damaged,
        cpu_ms: cpu_best,
        wall_ms: wall_best,
        repeats: repeats.max(1),
    })
}

/// CPU time of this process so far, all threads, in milliseconds.
fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1000.0 + now.tv_nsec as f64 / 1e6
}
