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

impl RgbFrame {
    /// The picture turned clockwise by 0, 90, 180 or 270 degrees; other angles leave it as it is.
    #[must_use]
    pub(crate) fn rotated(self, clockwise: u16) -> Self {
        let (w, h) = (self.width as usize, self.height as usize);
        let (width, height) = if clockwise % 180 == 90 { (self.height, self.width) } else { (self.width, self.height) };
        // Where the pixel shown at (x, y) is now.
        let from: fn(usize, usize, usize, usize) -> (usize, usize) = match clockwise {
            90 => |x, y, _, h| (y, h - 1 - x),
            180 => |x, y, w, h| (w - 1 - x, h - 1 - y),
            270 => |x, y, w, _| (w - 1 - y, x),
            _ => return self,
        };
        let pixels = self.data.as_chunks::<3>().0;
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..height as usize {
            for x in 0..width as usize {
                let (from_x, from_y) = from(x, y, w, h);
                data.extend_from_slice(&pixels[from_y * w + from_x]);
            }
        }
        Self { width, height, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(clockwise: u16, expect: (u32, u32, &str)) {
        let data = "abcdef".bytes().flat_map(|letter| [letter; 3]).collect();
        let turned = RgbFrame { width: 3, height: 2, data }.rotated(clockwise);
        let letters: String = turned.data.chunks(3).map(|pixel| char::from(pixel[0])).collect();
        assert_eq!((turned.width, turned.height, letters.as_str()), expect, "{clockwise}");
    }

    #[test]
    fn rotation_is_clockwise() {
        check(0, (3, 2, "abcdef"));
        check(90, (2, 3, "daebfc"));
        check(180, (3, 2, "fedcba"));
        check(270, (2, 3, "cfbead"));
    }
}
