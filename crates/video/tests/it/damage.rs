//! Bad files: every one is a typed error or a clip marked as damaged; nothing panics or hangs.

use proptest::prelude::*;
use video::{Error, FrameRequest, FrameSampling, Limits, Rational, decode, probe};

use crate::encode::write_clip;

const FPS: Rational = Rational { num: 30, den: 1 };

/// A written clip of 40 frames of 96x64 pixels, as bytes.
fn clip_bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    write_clip(&path, 96, 64, FPS, 40);
    std::fs::read(path).unwrap()
}

/// The variant's name of what `probe` says about a file with these bytes, or `ok`.
fn verdict(bytes: &[u8], limits: &Limits) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, bytes).unwrap();
    match probe(&path, limits) {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            assert!(error.to_string().contains("clip.mp4"), "{error}");
            format!("{error:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn bad_files_are_typed_errors() {
    let good = clip_bytes();
    let check = |bytes: &[u8], expect: &str| assert_eq!(verdict(bytes, &Limits::default()), expect);
    check(&good, "ok");
    check(b"", "Empty");
    check(b"not a video\n", "NotAVideo");
    check(&[0x89, b'P', b'N', b'G', 13, 10, 26, 10], "NotAVideo");
    check(&[7; 5000], "NotAVideo");
    check(&good[..good.len() / 2], "Truncated");
    check(&good[..40], "Truncated");
    // The same file as a sound recording, without frames, and with another codec.
    let replaced = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    check(&replaced(b"vide", b"soun"), "NoVideoStream");
    check(&replaced(b"stsz\0\0\0\0\0\0\0\0\0\0\0\x28", b"stsz\0\0\0\0\0\0\0\0\0\0\0\0"), "NoFrames");
    check(&replaced(b"stsz\0\0\0\0\0\0\0\0\0\0\0\x28", b"stsz\0\0\0\0\0\0\0\0\x7f\0\0\0"), "LimitExceeded");
    check(&replaced(b"stco", b"free"), "Malformed");
    // Data cut away behind the index: the index must come first for that.
    let index = good.windows(4).position(|window| window == b"moov").unwrap() - 4;
    let mut cut = [&good[..24 + 8], &good[index..]].concat();
    check(&cut, "Truncated");
    cut.truncate(20);
    check(&cut, "Truncated");
}

#[test]
fn limits_are_checked_before_decoding() {
    let good = clip_bytes();
    let check = |limits: Limits| assert_eq!(verdict(&good, &limits), "LimitExceeded");
    check(Limits { frame_pixels_max: 96 * 63, ..Limits::default() });
    check(Limits { frames_max: 39, ..Limits::default() });
    check(Limits { duration_max_ms: 1000, ..Limits::default() });
    check(Limits { file_bytes_max: 100, ..Limits::default() });
    check(Limits { streams_max: 0, ..Limits::default() });
}

#[test]
fn unsupported_codecs_are_named() {
    let mut bytes = clip_bytes();
    let at = bytes.windows(4).position(|window| window == b"avc1").unwrap();
    let at = at + 4 + bytes[at + 4..].windows(4).position(|window| window == b"avc1").unwrap();
    bytes[at..at + 4].copy_from_slice(b"av01");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, bytes).unwrap();
    let request = FrameRequest::whole(FrameSampling::Count(4));
    let error = decode(&path, &request, video::BackendChoice::Pure, &Limits::default()).unwrap_err();
    assert!(matches!(&error, Error::UnsupportedCodec { codec, .. } if codec == "av1"), "{error}");
    assert!(error.to_string().contains("--features ffmpeg"), "{error}");
}

#[test]
fn too_few_frames_is_an_error_that_names_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.mp4");
    write_clip(&path, 64, 48, FPS, 7);
    for backend in crate::backends() {
        let error =
            decode(&path, &FrameRequest::whole(FrameSampling::Count(16)), backend, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::FrameCount { nframes: 16, total_frames: 7, .. }), "{error}");
        assert!(error.to_string().contains("short.mp4"));
    }
}

#[test]
fn flipped_bits_in_frames_mark_the_clip() {
    let good = clip_bytes();
    let index = good.windows(4).position(|window| window == b"moov").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let mut bytes = good;
    for nth in 1..8 {
        for byte in &mut bytes[index * nth / 8..index * nth / 8 + 40] {
            *byte ^= 0x5a;
        }
    }
    std::fs::write(&path, bytes).unwrap();
    for backend in crate::backends() {
        // All frames, so that the damaged ones are among them; a lost frame is as good a sign as a count.
        match decode(&path, &FrameRequest::whole(FrameSampling::Count(40)), backend, &Limits::default()) {
            Ok(clip) => assert!(clip.damaged > 0, "{backend:?}"),
            Err(error) => assert!(matches!(error, Error::Decode { .. }), "{backend:?}: {error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The index and the headers of frames with random bytes in them.
    #[test]
    fn mutated_files_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<prop::sample::Index>(), truncate: bool) {
        thread_local! { static GOOD: Vec<u8> = clip_bytes(); }
        let mut bytes = GOOD.with(Vec::clone);
        let index = bytes.windows(4).position(|window| window == b"moov").unwrap() - 4;
        let tables = bytes.len() - index;
        for (at, value) in changes {
            bytes[index + at.index(tables)] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        std::fs::write(&path, bytes).unwrap();
        let limits = Limits { frames_max: 1000, frame_pixels_max: 1 << 20, ..Limits::default() };
        let _ = probe(&path, &limits);
        for backend in crate::backends() {
            let _ = decode(&path, &FrameRequest::whole(FrameSampling::Count(4)), backend, &limits);
        }
    }
}
