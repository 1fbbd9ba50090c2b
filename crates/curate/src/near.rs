//! Finds near-equal things among many without comparing all pairs: frames by bits, captions by shared word triples.

use std::collections::HashMap;

use crate::media::FramePrint;
use crate::text::{mixed, shingles};

/// Bits of a band of a frame hash.
const BAND_BITS: u32 = 16;
/// Bands of a frame hash.
const BANDS: usize = 4;

/// Prints of clips, found by the hash of their second frame: if two hashes of 64 bits differ in at most 7, one of four
/// bands of 16 differs in at most one, so that the band itself and its 16 neighbours lead to every match.
pub(crate) struct FrameIndex<'c> {
    bits: u32,
    prints: Vec<(&'c FramePrint, usize)>,
    bands: [HashMap<u16, Vec<u32>>; BANDS],
}

impl<'c> FrameIndex<'c> {
    /// An empty index for clips whose frames differ in at most `bits` bits each, 0 to 7.
    pub fn new(bits: u32) -> Self {
        Self { bits, prints: Vec::new(), bands: Default::default() }
    }

    fn keys(print: &FramePrint) -> [u16; BANDS] {
        std::array::from_fn(|band| (print.hashes[1] >> (BAND_BITS * band as u32)) as u16)
    }

    /// Adds a clip by the caller's number.
    pub fn add(&mut self, print: &'c FramePrint, clip: usize) {
        let number = self.prints.len() as u32;
        self.prints.push((print, clip));
        for (band, key) in self.bands.iter_mut().zip(Self::keys(print)) {
            band.entry(key).or_default().push(number);
        }
    }

    /// The first clip added whose frames are near.
    pub fn find(&self, print: &FramePrint) -> Option<usize> {
        let flips = if self.bits < BANDS as u32 { 0 } else { BAND_BITS };
        let mut best: Option<u32> = None;
        for (band, key) in self.bands.iter().zip(Self::keys(print)) {
            for near in std::iter::once(key).chain((0..flips).map(|bit| key ^ (1 << bit))) {
                let candidates = band.get(&near).map(Vec::as_slice).unwrap_or_default();
                let found = candidates
                    .iter()
                    .take_while(|number| best.is_none_or(|best| **number < best))
                    .find(|number| self.prints[**number as usize].0.is_near(print, self.bits));
                best = found.copied().or(best);
            }
        }
        best.map(|number| self.prints[number as usize].1)
    }
}

/// Words of a run that captions are compared by.
const TRIPLE: usize = 3;
/// Hash functions of a signature.
const SIGNATURE: usize = 64;

/// A caption prepared for comparison.
#[derive(Clone, Debug)]
pub(crate) struct CaptionPrint {
    shingles: Vec<u64>,
    signature: Vec<u64>,
}

impl CaptionPrint {
    /// Word triples and their MinHash signature.
    pub fn of(text: &str) -> Self {
        let shingles = shingles(text, TRIPLE);
        let least = |nth: u64| shingles.iter().map(|s| mixed(s ^ mixed(nth))).min().unwrap_or(u64::MAX);
        Self { signature: (0..SIGNATURE as u64).map(least).collect(), shingles }
    }

    /// Share of the triples of either that both have.
    pub fn jaccard(&self, other: &Self) -> f64 {
        let (a, b) = (&self.shingles, &other.shingles);
        let (mut i, mut j, mut both) = (0, 0, 0usize);
        while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
            both += usize::from(x == y);
            (i, j) = (i + usize::from(x <= y), j + usize::from(y <= x));
        }
        both as f64 / (a.len() + b.len() - both).max(1) as f64
    }
}

/// Captions by bands of their signatures.
pub(crate) struct CaptionIndex<'c> {
    threshold: f64,
    /// Hashes of a band: fewer find more distant captions, at more comparisons.
    rows: usize,
    captions: Vec<(&'c CaptionPrint, usize)>,
    bands: HashMap<(usize, u64), Vec<u32>>,
}

impl<'c> CaptionIndex<'c> {
    /// An empty index for captions that share at least `threshold` of their triples.
    pub fn new(threshold: f64) -> Self {
        let rows = if threshold >= 0.8 { 4 } else { 2 };
        Self { threshold, rows, captions: Vec::new(), bands: HashMap::new() }
    }

    fn keys(&self, caption: &CaptionPrint) -> Vec<(usize, u64)> {
        let key = |band: &[u64]| band.iter().fold(0, |hash, value| mixed(hash ^ value));
        caption.signature.chunks(self.rows).map(key).enumerate().collect()
    }

    /// Adds a caption by the caller's number.
    pub fn add(&mut self, caption: &'c CaptionPrint, clip: usize) {
        let number = self.captions.len() as u32;
        for key in self.keys(caption) {
            self.bands.entry(key).or_default().push(number);
        }
        self.captions.push((caption, clip));
    }

    /// All clips added whose captions are near, in order.
    pub fn find(&self, caption: &CaptionPrint) -> Vec<usize> {
        let mut candidates: Vec<u32> =
            self.keys(caption).iter().filter_map(|key| self.bands.get(key)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let near = |number: &u32| self.captions[*number as usize].0.jaccard(caption) >= self.threshold;
        candidates.iter().filter(|number| near(number)).map(|number| self.captions[*number as usize].1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn near_captions_are_found() {
        let base = "The ego vehicle follows a gray SUV along a local street with parked cars on the right side of it";
        let base_print = CaptionPrint::of(base);
        let mut index = CaptionIndex::new(0.7);
        index.add(&base_print, 5);
        let check = |text: &str, expect: &[usize]| assert_eq!(index.find(&CaptionPrint::of(text)), expect, "{text}");
        check(&base.to_uppercase(), &[5]);
        check(&base.replace("of it", "of the road"), &[5]);
        check("A bus stops at a light while two people cross from the left to the right", &[]);
        check("", &[]);
    }

    proptest! {
        /// The index finds what a comparison of all pairs finds.
        #[test]
        fn every_near_frame_is_found(
            hashes in proptest::collection::vec(any::<[u64; 4]>(), 1..20), at in any::<prop::sample::Index>(),
            flips in proptest::collection::vec((0usize..4, 0u32..64), 0..8), bits in 0u32..8,
        ) {
            let prints: Vec<FramePrint> = hashes.iter().map(|h| crate::media::print_of(*h)).collect();
            let mut wanted = hashes[at.index(hashes.len())];
            for (frame, bit) in flips {
                wanted[frame] ^= 1 << bit;
            }
            let wanted = crate::media::print_of(wanted);
            let mut index = FrameIndex::new(bits);
            prints.iter().enumerate().for_each(|(i, print)| index.add(print, i));
            prop_assert_eq!(index.find(&wanted), prints.iter().position(|print| print.is_near(&wanted, bits)));
        }
    }
}
