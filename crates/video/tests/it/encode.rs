//! What `Mp4Writer` writes is read back by our decoders.

use video::{FrameRequest, FrameSampling, Limits, Mp4Writer, Rational, RgbFrame, decode, probe};

/// A smooth picture that moves with `t`.
pub fn picture(width: u32, height: u32, t: u32) -> RgbFrame {
    let pixel = |x: u32, y: u32| [(x * 255 / width + t) as u8, (y * 255 / height) as u8, (x + y + 3 * t) as u8 / 2];
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    RgbFrame { width, height, data }
}

/// Writes `frames` moving pictures.
pub fn write_clip(path: &std::path::Path, width: u32, height: u32, fps: Rational, frames: u32) {
    let mut writer = Mp4Writer::create(path, width, height, fps, 80).unwrap();
    for t in 0..frames {
        writer.write(&picture(width, height, t)).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn written_clips_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let fps = Rational { num: 30000, den: 1001 };
    write_clip(&path, 64, 48, fps, 70);
    let info = probe(&path, &Limits::default()).unwrap();
    assert_eq!((info.width, info.height, info.frames, info.fps), (64, 48, 70, fps));
    assert_eq!((info.key_frames, info.duration_ms, info.has_audio), (vec![0, 60], 2336, false));
    for backend in crate::backends() {
        let clip = decode(&path, &FrameRequest::whole(FrameSampling::Count(6)), backend, &Limits::default()).unwrap();
        assert_eq!((clip.frame_indices.as_slice(), clip.damaged), ([0, 14, 28, 41, 55, 69].as_slice(), 0));
        for (frame, &index) in clip.frames.iter().zip(&clip.frame_indices) {
            let original = picture(64, 48, index as u32);
            let off: u64 = frame.data.iter().zip(&original.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = off as f64 / frame.data.len() as f64;
            assert!(mean < 6.0, "{backend:?}: frame {index} is off by {mean} on average");
        }
    }
}

#[test]
fn nothing_stays_of_an_unfinished_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let fps = Rational { num: 10, den: 1 };
    assert!(Mp4Writer::create(&path, 63, 48, fps, 80).is_err());
    assert!(Mp4Writer::create(&path, 64, 48, Rational { num: 0, den: 1 }, 80).is_err());
    let mut writer = Mp4Writer::create(&path, 64, 48, fps, 80).unwrap();
    writer.write(&picture(64, 48, 0)).unwrap();
    assert!(writer.write(&picture(32, 48, 0)).is_err());
    drop(writer);
    assert!(Mp4Writer::create(&path, 64, 48, fps, 80).unwrap().finish().is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
