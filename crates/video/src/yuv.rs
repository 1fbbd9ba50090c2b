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
    for (row, out) in data.chunks_exact_mut(width * 3).enumerate() {
        let y = picture.y.get(row * picture.y_stride..)?.get(..width)?;
        let u = picture.u.get(row / 2 * picture.uv_stride..)?.get(..chroma_width)?;
        let v = picture.v.get(row / 2 * picture.uv_stride..)?.get(..chroma_width)?;
        row_to_rgb(y, u, v, out, &factors);
    }
    Some(RgbFrame { width: width as u32, height: height as u32, data })
}

/// Converts one row.
fn row_to_rgb(y: &[u8], u: &[u8], v: &[u8], out: &mut [u8], factors: &Factors) {
    let blocks = y.chunks(BLOCK).zip(u.chunks(BLOCK / 2)).zip(v.chunks(BLOCK / 2)).zip(out.chunks_mut(BLOCK * 3));
    for (((y, u), v), out) in blocks {
        let mut block = [[0u8; BLOCK]; 2];
        let [block_u, block_v] = &mut block;
        let mut block_y = [0u8; BLOCK];
        block_y[..y.len()].copy_from_slice(y);
        for (i, (&u, &v)) in u.iter().zip(v).enumerate() {
            (block_u[2 * i], block_u[2 * i + 1]) = (u, u);
            (block_v[2 * i], block_v[2 * i + 1]) = (v, v);
        }
        let mut rgb = [[0u8; BLOCK]; 3];
        convert_block(&block_y, block_u, block_v, &mut rgb, factors);
        for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&[rgb[0][i], rgb[1][i], rgb[2][i]]);
        }
    }
}

/// The arithmetic, on whole blocks so that the compiler can use vectors.
#[inline(always)]
fn convert_block(y: &[u8; BLOCK], u: &[u8; BLOCK], v: &[u8; BLOCK], rgb: &mut [[u8; BLOCK]; 3], f: &Factors) {
    let clamp = |value: i16| value.clamp(0, 255) as u8;
    let [red, green, blue] = rgb;
    for i in 0..BLOCK {
        let luma = mul_high((i16::from(y[i]) << 3) - f.y_offset, f.y);
        let u = (i16::from(u[i]) << 3) - (128 << 3);
        let v = (i16::from(v[i]) << 3) - (128 << 3);
        red[i] = clamp(luma + mul_high(v, f.v_to_r));
        green[i] = clamp(luma + (mul_high(u, f.u_to_g) + mul_high(v, f.v_to_g)));
        blue[i] = clamp(luma + mul_high(u, f.u_to_b));
    }
}
