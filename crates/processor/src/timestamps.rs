//! When a temporal patch was seen.

/// The frame rate that Qwen3-VL's processor assumes where the container does not tell.
pub const FPS_UNKNOWN: f64 = 24.0;

/// Seconds from the start of the source to the middle of every temporal patch: the mean of its first and last frame.
///
/// Source: transformers 4.57.6 `Qwen3VLProcessor._calculate_timestamps`; a short last patch repeats its last frame.
pub fn timestamps(frame_indices: &[u64], source_fps: Option<f64>, temporal_patch_size: usize) -> Vec<f64> {
    let fps = source_fps.unwrap_or(FPS_UNKNOWN);
    let second = |index: &u64| *index as f64 / fps;
    let patches = frame_indices.chunks(temporal_patch_size.max(1));
    patches.filter_map(|patch| Some((second(patch.first()?) + second(patch.last()?)) / 2.0)).collect()
}

/// The text before a temporal patch, `<T.T seconds>`. Rust, like Python, rounds the exact binary value half to even.
pub(crate) fn timestamp_text(seconds: f64) -> String {
    format!("<{seconds:.1} seconds>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_clip() {
        let indices = [0, 60, 120, 180, 240, 300, 360, 420, 479, 539, 599, 659, 719, 779, 839, 899];
        let texts: Vec<String> = timestamps(&indices, Some(30.0), 2).into_iter().map(timestamp_text).collect();
        let expect = ["1.0", "5.0", "9.0", "13.0", "17.0", "21.0", "25.0", "29.0"].map(|t| format!("<{t} seconds>"));
        assert_eq!(texts, expect);
    }

    #[test]
    fn ties_are_rounded_as_in_python() {
        // Each pair is (value, '%.1f' of Python 3.11).
        for (value, expect) in [
            (0.05, "0.1"),
            (0.15, "0.1"),
            (0.25, "0.2"),
            (0.35, "0.3"),
            (0.45, "0.5"),
            (0.55, "0.6"),
            (0.65, "0.7"),
            (0.75, "0.8"),
            (0.85, "0.8"),
            (0.95, "0.9"),
            (1.25, "1.2"),
            (1.75, "1.8"),
            (2.25, "2.2"),
            (0.125, "0.1"),
            (1234.25, "1234.2"),
            (99.95, "100.0"),
        ] {
            assert_eq!(timestamp_text(value), format!("<{expect} seconds>"), "{value}");
        }
    }

    #[test]
    fn odd_count_and_unknown_rate() {
        assert_eq!(timestamps(&[0, 24, 48], None, 2), [0.5, 2.0]);
        assert_eq!(timestamps(&[], None, 2), [0.0; 0]);
    }
}
