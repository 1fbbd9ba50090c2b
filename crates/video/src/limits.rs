//! Caps on what a file may ask of this machine.

/// Caps that are checked before any frame is decoded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest width times height of a coded frame.
    pub frame_pixels_max: u64,
    /// Largest number of frames of the stream.
    pub frames_max: u64,
    /// Longest duration, in milliseconds.
    pub duration_max_ms: u64,
    /// Largest file, in bytes.
    pub file_bytes_max: u64,
    /// Largest number of streams in the container.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_pixels_max: 8192 * 8192,
            frames_max: 1_000_000,
            duration_max_ms: 6 * 3600 * 1000,
            file_bytes_max: 64 << 30,
            streams_max: 64,
        }
    }
}
