//! The parts of an HEVC sequence parameter set that say what decoded pictures look like (ITU-T H.265 section 7.3.2.2).

use crate::{Colour, ColourRange};

/// Size and colour of the pictures of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    /// After cropping, in luma samples.
    pub width: u32,
    pub height: u32,
    /// `chroma_format_idc`.
    pub chroma_format: u8,
    pub bit_depth: u8,
    /// From the VUI; unspecified without one.
    pub colour: Colour,
}

/// Bits of a payload whose emulation prevention bytes are gone; `None` past the end.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// Up to 32 bits, most significant first.
    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0u32, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.data.len() * 8)?;
        Some(())
    }

    /// An unsigned Exp-Golomb code, `ue(v)`.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    fn skip_ue(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.ue().map(drop))
    }
}

/// Parses the payload of an SPS (without its two header bytes, emulation prevention removed); `None` if it is damaged.
pub(crate) fn parse(rbsp: &[u8]) -> Option<Sps> {
    let mut b = Bits { data: rbsp, at: 0 };
    b.skip(4)?;
    let sub_layers = b.bits(3)?;
    b.skip(1)?;
    profile_tier_level(&mut b, sub_layers)?;
    b.ue()?;
    let chroma_format = b.ue().filter(|&idc| idc <= 3)?;
    if chroma_format == 3 {
        b.skip(1)?;
    }
    let (coded_width, coded_height) = (b.ue()?, b.ue()?);
    let [left, right, top, bottom] = match b.bit()? {
        true => [b.ue()?, b.ue()?, b.ue()?, b.ue()?],
        false => [0; 4],
    };
    let (unit_x, unit_y) = (if matches!(chroma_format, 1 | 2) { 2 } else { 1 }, if chroma_format == 1 { 2 } else { 1 });
    let width = coded_width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
    let height = coded_height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    let bit_depth = b.ue().filter(|&extra| extra <= 8)? as u8 + 8;
    b.ue()?;
    let poc_bits = b.ue().filter(|&extra| extra <= 12)? + 4;
    let mut sps = Sps { width, height, chroma_format: chroma_format as u8, bit_depth, colour: Colour::default() };
    // What is broken from here on costs only the colour.
    if let Some(colour) = skip_to_vui(&mut b, sub_layers, poc_bits).and_then(|()| vui_colour(&mut b)) {
        sps.colour = colour;
    }
    Some(sps)
}

/// `profile_tier_level(1, sub_layers)`.
fn profile_tier_level(b: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    const PROFILE_BITS: usize = 88;
    b.skip(PROFILE_BITS + 8)?;
    let mut sub_layer_bits = 0;
    for _ in 0..sub_layers {
        sub_layer_bits += usize::from(b.bit()?) * PROFILE_BITS;
        sub_layer_bits += usize::from(b.bit()?) * 8;
    }
    if sub_layers > 0 {
        b.skip(2 * (8 - sub_layers as usize))?;
    }
    b.skip(sub_layer_bits)
}

/// From `sps_sub_layer_ordering_info_present_flag` to the flag before the VUI, which must be set.
fn skip_to_vui(b: &mut Bits<'_>, sub_layers: u32, poc_bits: u32) -> Option<()> {
    let ordered = if b.bit()? { sub_layers as usize + 1 } else { 1 };
    b.skip_ue(3 * ordered + 6)?;
    if b.bit()? && b.bit()? {
        scaling_lists(b)?;
    }
    b.skip(2)?;
    if b.bit()? {
        b.skip(8)?;
        b.skip_ue(2)?;
        b.skip(1)?;
    }
    let mut previous = 0;
    for number in 0..b.ue().filter(|&sets| sets <= 64)? {
        previous = reference_picture_set(b, number, previous)?;
    }
    if b.bit()? {
        let pictures = b.ue().filter(|&pictures| pictures <= 32)?;
        b.skip(pictures as usize * (poc_bits as usize + 1))?;
    }
    b.skip(2)?;
    b.bit()?.then_some(())
}

/// `scaling_list_data()`.
fn scaling_lists(b: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if b.bit()? {
                let coefficients = 64.min(1usize << (4 + (size << 1)));
                // `se(v)` codes are as long as `ue(v)` codes.
                b.skip_ue(coefficients + usize::from(size > 1))?;
            } else {
                b.ue()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set(number)` inside an SPS; gives its number of pictures, which the next set may need.
fn reference_picture_set(b: &mut Bits<'_>, number: u32, previous: u32) -> Option<u32> {
    if number > 0 && b.bit()? {
        b.skip(1)?;
        b.ue()?;
        let mut pictures = 0;
        for _ in 0..=previous {
            // `use_delta_flag` is there only for pictures that the current one does not use.
            if b.bit()? || b.bit()? {
                pictures += 1;
            }
        }
        return Some(pictures);
    }
    let pictures = b.ue()?.checked_add(b.ue()?).filter(|&pictures| pictures <= 32)?;
    for _ in 0..pictures {
        b.ue()?;
        b.skip(1)?;
    }
    Some(pictures)
}

/// The colour fields at the start of `vui_parameters()`.
fn vui_colour(b: &mut Bits<'_>) -> Option<Colour> {
    const EXTENDED_ASPECT_RATIO: u32 = 255;
    if b.bit()? && b.bits(8)? == EXTENDED_ASPECT_RATIO {
        b.skip(32)?;
    }
    if b.bit()? {
        b.skip(1)?;
    }
    if !b.bit()? {
        return None;
    }
    b.skip(3)?;
    let range = if b.bit()? { ColourRange::Full } else { ColourRange::Limited };
    let matrix = match b.bit()? {
        true => {
            b.skip(16)?;
            b.bits(8)? as u8
        }
        false => 2,
    };
    Some(Colour { matrix, range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_read_to_the_bit() {
        let mut b = Bits { data: &[0b1_010_011_0, 0b0100_0000], at: 0 };
        assert_eq!([b.ue(), b.ue(), b.ue(), b.ue(), b.ue()], [Some(0), Some(1), Some(2), Some(3), None]);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
