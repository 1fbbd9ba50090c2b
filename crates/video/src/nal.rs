//! NAL units inside a packet: which packets no other picture refers to.

use crate::demux::{Codec, Track};

/// Splits length-prefixed NAL units (`avcC` and `hvcC` streams); ends early, with `Err`, at a length that does not fit.
pub(crate) fn units(packet: &[u8], length_size: usize) -> impl Iterator<Item = Result<&[u8], BadLength>> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let unit = rest.split_at_checked(length_size).and_then(|(prefix, tail)| {
            let length = prefix.iter().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
            tail.split_at_checked(length)
        });
        match unit {
            Some((unit, tail)) => {
                rest = tail;
                Some(Ok(unit))
            }
            None => {
                rest = &[];
                Some(Err(BadLength))
            }
        }
    })
}

/// A NAL length that points past the packet's end.
#[derive(Debug)]
pub(crate) struct BadLength;

/// The number of bytes of a NAL length, from the decoder configuration record; 4 if the record is missing or odd.
pub(crate) fn length_size(codec: &Codec, config: &[u8]) -> usize {
    let at = match codec {
        Codec::Hevc => 21,
        _ => 4,
    };
    config.get(at).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// Whether decoding can start at the packet: an IDR picture (H.264), or any intra random access picture (HEVC).
pub(crate) fn is_random_access(codec: &Codec, packet: &[u8], length_size: usize) -> bool {
    units(packet, length_size).flatten().filter_map(<[u8]>::first).any(|first| match codec {
        Codec::H264 => first & 0x1f == 5,
        Codec::Hevc => (16..=21).contains(&(first >> 1 & 0x3f)),
        _ => false,
    })
}

/// Finds packets whose picture no other picture can refer to.
pub(crate) struct Disposal {
    codec: Codec,
    length_size: usize,
    temporal_id_max: u8,
}

impl Disposal {
    /// For streams with length-prefixed NAL units, that is, with an `avcC` or `hvcC` record; else nothing is disposable.
    pub fn new(track: &Track) -> Self {
        let recorded = track.config.first() == Some(&1);
        Self {
            codec: if recorded { track.codec.clone() } else { Codec::Other(String::new()) },
            length_size: length_size(&track.codec, &track.config),
            // `numTemporalLayers` of the record; 0 means unknown, and then only a lone layer is assumed to be disposable.
            temporal_id_max: track.config.get(21).map_or(0, |byte| (byte >> 3 & 7).saturating_sub(1)),
        }
    }

    /// Whether every slice of the packet says that it is not referred to.
    ///
    /// H.264: `nal_ref_idc` 0. HEVC: a sub-layer non-reference type (even, under 15) at the highest temporal sub-layer
    /// (ITU-T H.265 table 7-1). False for other codecs, and for damaged packets.
    pub fn is_disposable(&self, packet: &[u8]) -> bool {
        let mut slices = 0;
        for unit in units(packet, self.length_size) {
            let Ok([first, rest @ ..]) = unit else { return false };
            let disposable = match self.codec {
                Codec::H264 => match first & 0x1f {
                    1..=5 => first & 0x60 == 0,
                    _ => continue,
                },
                Codec::Hevc => match first >> 1 & 0x3f {
                    kind @ 0..=31 => {
                        kind <= 14
                            && kind.is_multiple_of(2)
                            && rest.first().is_some_and(|byte| (byte & 7).saturating_sub(1) >= self.temporal_id_max)
                    }
                    _ => continue,
                },
                _ => return false,
            };
            if !disposable {
                return false;
            }
            slices += 1;
        }
        slices > 0
    }
}
