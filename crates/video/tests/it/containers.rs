//! Small committed clips in each container and codec, against torchcodec 0.17's frames.
//!
//! They were made by ffmpeg from its test pattern (24 frames of 96x64, B-frames, a key frame every 12):
//!
//! ```text
//! ffmpeg -f lavfi -i testsrc2=size=96x64:rate=30000/1001 -frames:v 24 -c:v libx264 -bf 3 -g 12 -crf 32 -pix_fmt yuv420p tiny_h264.mkv
//! ffmpeg -f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 24 -c:v libx265 -crf 32 -pix_fmt yuv420p -tag:v hvc1 \
//!   -x265-params keyint=12:colormatrix=bt709:range=full:bframes=3 tiny_hevc_bt709.mp4
//! ffmpeg -i tiny_hevc_bt709.mp4 -c copy tiny_hevc.mkv
//! ```

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use video::{BackendChoice, Codec, ColourRange, FrameRequest, FrameSampling, Limits, Rational, decode, probe};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// `sums` are the sums of all bytes of the six frames.
fn check(name: &str, container: &str, codec: Codec, fps: (u64, u64), colour: (u8, ColourRange), sums: [u64; 6]) {
    let info = probe(&data(name), &Limits::default()).unwrap();
    assert_eq!((info.container.as_str(), info.codec, info.frames), (container, codec, 24), "{name}");
    assert_eq!((info.width, info.height, info.bit_depth, info.rotation), (96, 64, 8, 0), "{name}");
    assert_eq!((info.fps, info.key_frames), (Rational { num: fps.0, den: fps.1 }, vec![0, 12]), "{name}");
    assert_eq!((info.colour.matrix, info.colour.range), colour, "{name}");
    let request = FrameRequest::whole(FrameSampling::Count(6));
    for backend in crate::backends() {
        let clip = decode(&data(name), &request, backend, &Limits::default()).unwrap();
        assert_eq!((clip.frame_indices, clip.damaged), (vec![0, 5, 9, 14, 18, 23], 0), "{name} {backend:?}");
        let got: Vec<u64> = clip.frames.iter().map(|frame| frame.data.iter().map(|&b| u64::from(b)).sum()).collect();
        assert_eq!(got, sums, "{name} {backend:?}");
        assert!(clip.frames_decoded < 24, "{name} {backend:?}: non-reference frames were decoded");
    }
}

#[test]
fn containers_and_codecs_give_the_reference_frames() {
    let h264 = [1_493_828, 1_475_268, 1_482_246, 1_474_410, 1_485_251, 1_477_077];
    let hevc = [1_584_678, 1_599_870, 1_592_791, 1_593_142, 1_591_626, 1_579_898];
    check("tiny_h264.mkv", "mkv", Codec::H264, (30_000, 1001), (2, ColourRange::Unspecified), h264);
    check("tiny_hevc.mkv", "mkv", Codec::Hevc, (25, 1), (1, ColourRange::Full), hevc);
    check("tiny_hevc_bt709.mp4", "mp4", Codec::Hevc, (25, 1), (1, ColourRange::Full), hevc);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Matroska headers, HEVC frames and mp4 tables with random bytes in them.
    #[test]
    fn mutated_containers_never_panic(which in 0usize..3, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = std::fs::read(data(["tiny_h264.mkv", "tiny_hevc.mkv", "tiny_hevc_bt709.mp4"][which])).unwrap();
        let len = bytes.len();
        for (at, value) in changes {
            bytes[at.index(len)] = value;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip");
        std::fs::write(&path, bytes).unwrap();
        let limits = Limits { frames_max: 1000, frame_pixels_max: 1 << 20, ..Limits::default() };
        let _ = probe(&path, &limits);
        for backend in [BackendChoice::Pure, BackendChoice::Auto] {
            let _ = decode(&path, &FrameRequest::whole(FrameSampling::Count(4)), backend, &limits);
        }
    }
}
