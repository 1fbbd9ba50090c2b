//! YUV 4:2:0 to RGB, with the arithmetic of libswscale's fast path.
//!
//! Source: the unscaled `yuv420p` to `rgb24` conversion of libswscale on x86 (what decord, torchcodec and PyAV run):
//! samples times 8, coefficients of 13 fraction bits, the high half of 16-bit products, saturating sums; chroma is
//! repeated, not interpolated. Bytes equal the reference's for even heights; for odd heights libswscale takes another
//! path and differs by a few grey levels.

use crate::frame::RgbFrame;
use crate::{Colour, ColourRange};

/// An 8-bit 4:2:0 picture in someone else's memory.
#[derive(Clone, Copy)]
pub(crate) struct Yuv420<'a> {
    pub width: usize,
    pub height: usize,
    /// `height` rows of `y_stride` bytes; only `width` of each are pixels.
    pub y: &'a [u8],
    pub u: &'a [u8],
    pub v: &'a [u8],
    pub y_stride: usize,
    pub uv_stride: usize,
}

/// Fixed-point factors of one colour matrix and range.
#[derive(Clone, Copy, Debug)]
struct Factors {
    y_offset: i16,
    y: i16,
    v_to_r: i16,
    u_to_g: i16,
    v_to_g: i16,
    u_to_b: i16,
}

impl Factors {
    /// From the matrix coefficients and range of the stream (ITU-T H.273); what is unspecified is BT.601, limited.
    fn new(colour: Colour) -> Self {
        // 16.16 factors of limited-range video: V to R, U to B, U to G, V to G.
        let [v_to_r, u_to_b, u_to_g, v_to_g]: [i64; 4] = match colour.matrix {
            1 => [117_489, 138_438, 13_975, 34_925],
            4 => [104_448, 132_798, 24_759, 53_109],
            7 => [117_579, 136_230, 16_907, 35_559],
            9 | 10 => [110_013, 140_363, 12_277, 42_626],
            _ => [104_597, 132_201, 25_675, 53_279],
        };
        let full = colour.range == ColourRange::Full;
        let chroma = |factor: i64| round_to_i16((if full { factor * 224 / 255 } else { factor }) << 13);
        let luma = if full { 1 << 16 } else { (1 << 16) * 255 / 219 };
        Self {
            y_offset: if full { 0 } else { 16 << 3 },
            y: round_to_i16(luma << 13),
            v_to_r: chroma(v_to_r),
            u_to_g: chroma(-u_to_g),
            v_to_g: chroma(-v_to_g),
            u_to_b: chroma(u_to_b),
        }
    }
}

/// A 16.16 number with 13 more bits, rounded to an integer and clamped.
fn round_to_i16(value: i64) -> i16 {
    ((value + (1 << 15)) >> 16).clamp(-0x7fff, 0x7fff) as i16
}

/// The high half of a 16-bit product.
#[inline(always)]
fn mul_high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// Pixels converted at once: enough to fill vector registers, few enough to stay in them.
const BLOCK: usize = 32;

/// Converts a picture. Planes that are too short for the declared size give `None`.
pub(crate) fn to_rgb(picture: &Yuv420<'_>, colour: Colour) -> Option<RgbFrame> {
    let Yuv420 { width, height, .. } = *picture;
    let factors = Factors::new(colour);
    let mut data = vec![0u8; width.checked_mul(height)?.checked_mul(3)?];
    let chroma_width = width.div_ceil(2);
    // Compiled once per vector extension; the best one of this machine runs.
    pulp::Arch::new().dispatch(|| {
        for (row, out) in data.chunks_exact_mut((width * 3).max(1)).enumerate() {
            let y = picture.y.get(row * picture.y_stride..)?.get(..width)?;
            let u = picture.u.get(row / 2 * picture.uv_stride..)?.get(..chroma_width)?;
            let v = picture.v.get(row / 2 * picture.uv_stride..)?.get(..chroma_width)?;
            row_to_rgb(y, u, v, out, &factors);
        }
        Some(())
    })?;
    Some(RgbFrame { width: width as u32, height: height as u32, data })
}

/// Converts one row.
#[inline(always)]
fn row_to_rgb(y: &[u8], u: &[u8], v: &[u8], out: &mut [u8], factors: &Factors) {
    let (y_blocks, y_rest) = y.as_chunks::<BLOCK>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<{ BLOCK * 3 }>();
    let (u_blocks, u_rest) = u.as_chunks::<{ BLOCK / 2 }>();
    let (v_blocks, v_rest) = v.as_chunks::<{ BLOCK / 2 }>();
    for (((y, u), v), out) in y_blocks.iter().zip(u_blocks).zip(v_blocks).zip(out_blocks) {
        convert_block(y, u, v, out, factors);
    }
    if !y_rest.is_empty() {
        // With whole blocks left of it, the rest of a chroma row is at most half a block, too.
        let (mut y, mut u, mut v, mut rgb) = ([0; BLOCK], [0; BLOCK / 2], [0; BLOCK / 2], [0; BLOCK * 3]);
        y[..y_rest.len()].copy_from_slice(y_rest);
        u[..u_rest.len()].copy_from_slice(u_rest);
        v[..v_rest.len()].copy_from_slice(v_rest);
        if u_rest.is_empty() {
            // An odd rest of 31 luma samples has a whole block of chroma, which was not taken above.
            u = u_blocks.last().copied().unwrap_or_default();
            v = v_blocks.last().copied().unwrap_or_default();
        }
        convert_block(&y, &u, &v, &mut rgb, factors);
        let rest = out_rest.len();
        out_rest.copy_from_slice(&rgb[..rest]);
    }
}

/// The arithmetic, on whole blocks so that the compiler can use vectors.
#[inline(always)]
fn convert_block(y: &[u8; BLOCK], u: &[u8; BLOCK / 2], v: &[u8; BLOCK / 2], rgb: &mut [u8; BLOCK * 3], f: &Factors) {
    let clamp = |value: i16| value.clamp(0, 255) as u8;
    let (mut to_red, mut to_green, mut to_blue) = ([0i16; BLOCK], [0i16; BLOCK], [0i16; BLOCK]);
    for i in 0..BLOCK / 2 {
        let u = (i16::from(u[i]) << 3) - (128 << 3);
        let v = (i16::from(v[i]) << 3) - (128 << 3);
        let (red, green, blue) =
            (mul_high(v, f.v_to_r), mul_high(u, f.u_to_g) + mul_high(v, f.v_to_g), mul_high(u, f.u_to_b));
        (to_red[2 * i], to_red[2 * i + 1]) = (red, red);
        (to_green[2 * i], to_green[2 * i + 1]) = (green, green);
        (to_blue[2 * i], to_blue[2 * i + 1]) = (blue, blue);
    }
    for i in 0..BLOCK {
        let luma = mul_high((i16::from(y[i]) << 3) - f.y_offset, f.y);
        rgb[3 * i] = clamp(luma + to_red[i]);
        rgb[3 * i + 1] = clamp(luma + to_green[i]);
        rgb[3 * i + 2] = clamp(luma + to_blue[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One grey or coloured sample everywhere, in a picture of an awkward size.
    fn check(yuv: [u8; 3], colour: Colour, expect: [u8; 3]) {
        for (width, height) in [(1, 1), (31, 2), (33, 3), (64, 2), (95, 5)] {
            let (y, u, v) = (vec![yuv[0]; width * height], vec![yuv[1]; width * height], vec![yuv[2]; width * height]);
            let picture = Yuv420 { width, height, y: &y, u: &u, v: &v, y_stride: width, uv_stride: width.div_ceil(2) };
            let rgb = to_rgb(&picture, colour).unwrap();
            assert!(
                rgb.data.chunks(3).all(|pixel| pixel == expect),
                "{yuv:?} {colour:?} {width}x{height}: {:?}",
                &rgb.data[..3]
            );
        }
    }

    /// Expected values are ffmpeg's: `-f rawvideo -pix_fmt yuv420p` to `rgb24` with the matrix and range given.
    #[test]
    fn colours_equal_swscale() {
        let limited = |matrix| Colour { matrix, range: ColourRange::Limited };
        check([16, 128, 128], limited(1), [0, 0, 0]);
        check([235, 128, 128], limited(1), [255, 255, 255]);
        check([0, 128, 128], limited(5), [0, 0, 0]);
        check([255, 128, 128], Colour { matrix: 1, range: ColourRange::Full }, [255, 255, 255]);
        let too_short = Yuv420 { width: 4, height: 4, y: &[0; 15], u: &[0; 4], v: &[0; 4], y_stride: 4, uv_stride: 2 };
        assert!(to_rgb(&too_short, Colour::default()).is_none());
    }
}
