//! A picture in memory.

/// An 8-bit RGB picture, rows top to bottom, three bytes a pixel, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbFrame {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for RgbFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbFrame({}x{})", self.width, self.height)
    }
}
