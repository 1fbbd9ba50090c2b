//! The boxes of ISO base media files (ISO/IEC 14496-12, -15; QuickTime) that matter for finding pictures.

use super::bytes::Bytes;
use crate::{Colour, ColourRange};

/// The name and body of one box.
pub(super) type NamedBox<'a> = ([u8; 4], &'a [u8]);

/// Splits the children of a box; a child that does not fit in its parent ends the list with `Err(its name)`.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = Result<NamedBox<'_>, [u8; 4]>> {
    let mut bytes = Bytes::new(body);
    std::iter::from_fn(move || {
        // QuickTime ends some lists with four zero bytes, so a rest under 8 bytes is no error.
        let mut at = bytes;
        let (size, name) = (at.u32()?, at.fourcc()?);
        let header_and_size = match size {
            0 => Some((8, bytes.rest().len())),
            1 => at.u64().and_then(|size| Some((16, usize::try_from(size).ok()?))),
            _ => Some((8, size as usize)),
        };
        let child = header_and_size
            .filter(|(header, size)| size >= header)
            .and_then(|(header, size)| bytes.take(size)?.get(header..));
        if child.is_none() {
            bytes = Bytes::new(&[]);
        }
        Some(child.map(|child| (name, child)).ok_or(name))
    })
}

/// The first child of that name.
pub(super) fn child<'a>(body: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    children(body).flatten().find(|(name, _)| name == wanted).map(|(_, body)| body)
}

/// The body found by going down a path of names.
pub(super) fn descend<'a>(body: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, name| child(body, name))
}

/// `mvhd` and `mdhd` share their layout up to the duration: (time scale, duration).
pub(super) fn timescale_duration(body: &[u8]) -> Option<(u32, u64)> {
    let mut b = Bytes::new(body);
    let (version, _) = b.version_flags()?;
    b.take(if version == 1 { 16 } else { 8 })?;
    Some((b.u32()?, b.u32_or_u64(version)?))
}

/// `tkhd`: (track id, clockwise rotation in degrees from the display matrix).
pub(super) fn track_header(body: &[u8]) -> Option<(u32, u16)> {
    let mut b = Bytes::new(body);
    let (version, _) = b.version_flags()?;
    b.take(if version == 1 { 16 } else { 8 })?;
    let id = b.u32()?;
    b.take(4 + if version == 1 { 8 } else { 4 } + 8 + 8)?;
    let mut entry = || b.i32();
    let (a, ab, _u, c, d) = (entry()?, entry()?, entry()?, entry()?, entry()?);
    let rotation = match (a.signum(), ab.signum(), c.signum(), d.signum()) {
        (0, 1, -1, 0) => 90,
        (-1, 0, 0, -1) => 180,
        (0, -1, 1, 0) => 270,
        _ => 0,
    };
    Some((id, rotation))
}

/// One entry of `elst`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// In units of the movie's time scale; 0 means to the end (fragmented files).
    pub duration: u64,
    /// In units of the track's time scale; -1 is an empty edit (a pause before the start).
    pub media_time: i64,
}

/// `elst`.
pub(super) fn edit_list(body: &[u8]) -> Option<Vec<Edit>> {
    let mut b = Bytes::new(body);
    let (version, _) = b.version_flags()?;
    let count = b.u32()? as usize;
    let mut edits = Vec::new();
    for _ in 0..count {
        let duration = b.u32_or_u64(version)?;
        let media_time = if version == 1 { b.u64()? as i64 } else { i64::from(b.i32()?) };
        b.u32()?;
        edits.push(Edit { duration, media_time });
    }
    Some(edits)
}

/// What a visual sample entry of `stsd` says.
#[derive(Clone, Debug)]
pub(super) struct SampleEntry {
    pub format: [u8; 4],
    pub width: u32,
    pub height: u32,
    /// The body of `avcC` or `hvcC`, if there is one.
    pub config: Vec<u8>,
    pub colour: Colour,
}

/// The first entry of `stsd`.
pub(super) fn sample_entry(stsd: &[u8]) -> Option<SampleEntry> {
    let mut b = Bytes::new(stsd);
    b.version_flags()?;
    b.u32()?;
    let (format, body) = children(b.rest()).next()?.ok()?;
    let mut b = Bytes::new(body);
    b.take(6 + 2 + 16)?;
    let (width, height) = (u32::from(b.u16()?), u32::from(b.u16()?));
    b.take(4 + 4 + 4 + 2 + 32 + 2 + 2)?;
    let extra = b.rest();
    let config = [b"avcC", b"hvcC"].into_iter().find_map(|name| child(extra, name)).unwrap_or_default().to_vec();
    let colour = child(extra, b"colr").and_then(colour).unwrap_or_default();
    Some(SampleEntry { format, width, height, config, colour })
}

/// `colr` of type `nclx` (with a range flag) or QuickTime's `nclc` (without).
fn colour(body: &[u8]) -> Option<Colour> {
    let mut b = Bytes::new(body);
    let kind = b.fourcc()?;
    if &kind != b"nclx" && &kind != b"nclc" {
        return None;
    }
    b.take(4)?;
    let matrix = b.u16()? as u8;
    let range = match (&kind == b"nclx").then(|| b.u8()).flatten() {
        Some(flags) if flags & 0x80 != 0 => ColourRange::Full,
        Some(_) => ColourRange::Limited,
        None => ColourRange::Unspecified,
    };
    Some(Colour { matrix, range })
}
