//! The hard cases, on every back-end. Needs the folder `target/fixtures`, made (with ffmpeg installed) by
//!
//! ```text
//! bash ../shared/clips/make_fixtures.sh target/fixtures
//! ```
//!
//! Frame counts are those of torchcodec 0.17, which heeds edit lists and rotation; so were all bytes when compared by hand.

use std::path::{Path, PathBuf};

use video::{BackendChoice, Error, FrameRequest, FrameSampling, Limits, SampledClip, decode, probe};

fn fixtures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fixtures");
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        println!("no target/fixtures; see the head of {}", file!());
    }
    found
}

fn sample(name: &str, folder: &Path, backend: BackendChoice) -> Result<SampledClip, Error> {
    decode(&folder.join(name), &FrameRequest::whole(FrameSampling::Count(4)), backend, &Limits::default())
}

#[test]
fn hard_cases_give_the_right_frames() {
    let Some(folder) = fixtures() else { return };
    // Name, frames of the stream, width and height as shown.
    let check = |name: &str, total_frames: u64, size: (u32, u32), backends: &[BackendChoice]| {
        let clips: Vec<SampledClip> = backends
            .iter()
            .map(|&backend| sample(name, &folder, backend).unwrap_or_else(|e| panic!("{backend:?}: {e}")))
            .collect();
        for clip in &clips {
            assert_eq!((clip.total_frames, clip.damaged), (total_frames, 0), "{name} {}", clip.backend);
            assert_eq!((clip.frames[0].width, clip.frames[0].height), size, "{name} {}", clip.backend);
            assert_eq!(clip.frame_indices, clips[0].frame_indices);
            assert!(clip.frames == clips[0].frames, "{name}: {} and {} differ", clip.backend, clips[0].backend);
        }
    };
    let all = crate::backends();
    for (name, frames) in [
        ("h264_g30_faststart", 90),
        ("hevc", 90),
        ("fragmented", 92),
        ("bt709_fullrange", 90),
        ("vfr", 38),
        ("editlist", 62),
        ("with_audio", 62),
        ("short7frames", 7),
    ] {
        check(&format!("{name}.mp4"), frames, (1920, 1080), &all);
    }
    check("rotate90.mp4", 92, (1080, 1920), &all);
    let ffmpeg = &all[1..];
    check("hevc10.mp4", 90, (1920, 1080), ffmpeg);
    check("av1.mp4", 90, (1920, 1080), ffmpeg);
}

#[test]
fn hard_cases_give_the_right_errors() {
    let Some(folder) = fixtures() else { return };
    for backend in crate::backends() {
        let check = |name: &str, right: fn(&Error) -> bool| {
            let error = sample(name, &folder, backend).unwrap_err();
            assert!(right(&error), "{name} {backend:?}: {error:?}");
        };
        check("empty.mp4", |e| matches!(e, Error::Empty { .. }));
        check("garbage.mp4", |e| matches!(e, Error::NotAVideo { .. }));
        check("truncated_moov_end.mp4", |e| matches!(e, Error::Truncated { .. }));
        check("truncated_faststart.mp4", |e| matches!(e, Error::Truncated { .. }));
        if backend == BackendChoice::Pure {
            check("hevc10.mp4", |e| matches!(e, Error::UnsupportedCodec { .. }));
            check("av1.mp4", |e| matches!(e, Error::UnsupportedCodec { .. }));
        }
        let damaged = decode(
            &folder.join("corrupt_middle.mp4"),
            &FrameRequest::whole(FrameSampling::Count(16)),
            backend,
            &Limits::default(),
        )
        .unwrap();
        assert!(damaged.damaged > 0, "{backend:?}");
    }
    let info = probe(&folder.join("rotate90.mp4"), &Limits::default()).unwrap();
    assert_eq!((info.width, info.height, info.rotation), (1920, 1080, 270));
    assert!(probe(&folder.join("with_audio.mp4"), &Limits::default()).unwrap().has_audio);
}
