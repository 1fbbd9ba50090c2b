//! The sample tables of an mp4 track (`stbl`) and of its fragments (`moof`), as one list of samples.

use super::bytes::Bytes;
use super::mp4_boxes::{child, children};

/// A sample in the track's own clock, before edit lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub offset: u64,
    pub size: u32,
    pub dts: i64,
    pub pts: i64,
    pub duration: u32,
    pub key: bool,
}

/// Why a table cannot be used.
pub(super) enum TableError {
    /// A box is missing, too short or contradicts another.
    Bad(&'static str),
    /// More samples than allowed.
    TooMany(u64),
}

use TableError::Bad;

/// A run of equal entries, as `stts` and `ctts` store them, read one sample at a time.
struct Runs<'a> {
    bytes: Bytes<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    /// Skips the header of a run-length table.
    fn new(body: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes::new(body);
        bytes.version_flags()?;
        bytes.u32()?;
        Some(Self { bytes, left: 0, value: 0 })
    }

    /// The value of the next sample; the last value holds for all samples after the table's end.
    fn next(&mut self) -> u32 {
        while self.left == 0 {
            match (self.bytes.u32(), self.bytes.u32()) {
                (Some(count), Some(value)) => (self.left, self.value) = (count, value),
                _ => return self.value,
            }
        }
        self.left -= 1;
        self.value
    }
}

/// Reads a table of big-endian 32-bit words after a full-box header and a count.
fn words(body: &[u8]) -> Option<impl Iterator<Item = u32> + '_> {
    let mut b = Bytes::new(body);
    b.version_flags()?;
    let count = b.u32()? as usize;
    let data = b.rest();
    let data = data.get(..count.checked_mul(4)?).unwrap_or(data);
    Some(data.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)))
}

/// The samples of a non-fragmented track, or none if its tables are empty (a fragmented file).
pub(super) fn from_sample_table(stbl: &[u8], frames_max: u64) -> Result<Vec<Sample>, TableError> {
    let sizes = sample_sizes(stbl, frames_max)?;
    if sizes.is_empty() {
        return Ok(Vec::new());
    }
    let offsets = sample_offsets(stbl, &sizes)?;
    let mut durations = child(stbl, b"stts").and_then(Runs::new).ok_or(Bad("no usable `stts` box (times)"))?;
    let mut shifts = child(stbl, b"ctts").and_then(Runs::new);
    let mut samples = Vec::with_capacity(offsets.len());
    let mut dts = 0i64;
    for (&size, offset) in sizes.iter().zip(offsets) {
        let duration = durations.next();
        // Version 0 of `ctts` is unsigned by the standard, but writers store negative shifts there too.
        let shift = shifts.as_mut().map_or(0, |shifts| i64::from(shifts.next() as i32));
        samples.push(Sample { offset, size, dts, pts: dts + shift, duration, key: false });
        dts += i64::from(duration);
    }
    match child(stbl, b"stss").and_then(words) {
        None => samples.iter_mut().for_each(|sample| sample.key = true),
        Some(keys) => {
            for number in keys {
                if let Some(sample) = (number as usize).checked_sub(1).and_then(|i| samples.get_mut(i)) {
                    sample.key = true;
                }
            }
        }
    }
    Ok(samples)
}

/// The size of every sample, from `stsz` or the compact `stz2`.
fn sample_sizes(stbl: &[u8], frames_max: u64) -> Result<Vec<u32>, TableError> {
    let within = |count: u32| {
        if u64::from(count) > frames_max { Err(TableError::TooMany(count.into())) } else { Ok(count as usize) }
    };
    if let Some(body) = child(stbl, b"stsz") {
        let mut b = Bytes::new(body);
        let (_, fixed, count) =
            (|| Some((b.version_flags()?, b.u32()?, b.u32()?)))().ok_or(Bad("the `stsz` box is too short"))?;
        let count = within(count)?;
        if fixed != 0 {
            return Ok(vec![fixed; count]);
        }
        let table = b.take(count * 4).ok_or(Bad("the `stsz` box has fewer sizes than it says"))?;
        return Ok(table.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect());
    }
    let body = child(stbl, b"stz2").ok_or(Bad("no `stsz` box (sizes)"))?;
    let mut b = Bytes::new(body);
    let (_, bits, count) =
        (|| Some((b.version_flags()?, b.u32()? & 0xff, b.u32()?)))().ok_or(Bad("the `stz2` box is too short"))?;
    let count = within(count)?;
    let table = b.rest();
    let size = |i: usize| match bits {
        4 => table.get(i / 2).map(|&byte| u32::from(if i.is_multiple_of(2) { byte >> 4 } else { byte & 15 })),
        8 => table.get(i).map(|&byte| byte.into()),
        _ => table.get(2 * i..2 * i + 2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])),
    };
    (0..count).map(size).collect::<Option<_>>().ok_or(Bad("the `stz2` box has fewer sizes than it says"))
}

/// The file offset of every sample, from `stsc` (samples per chunk) and `stco` or `co64` (chunk offsets).
fn sample_offsets(stbl: &[u8], sizes: &[u32]) -> Result<Vec<u64>, TableError> {
    let chunks: Vec<u64> = match (child(stbl, b"stco"), child(stbl, b"co64")) {
        (Some(body), _) => words(body).ok_or(Bad("the `stco` box is too short"))?.map(u64::from).collect(),
        (None, Some(body)) => {
            let table = body.get(8..).ok_or(Bad("the `co64` box is too short"))?;
            table.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect()
        }
        (None, None) => return Err(Bad("no `stco` or `co64` box (offsets)")),
    };
    let table = child(stbl, b"stsc").and_then(|body| body.get(8..)).ok_or(Bad("no `stsc` box (chunks)"))?;
    let mut runs = table
        .as_chunks::<12>()
        .0
        .iter()
        .map(|entry| {
            let mut b = Bytes::new(entry);
            (b.u32().unwrap_or(0), b.u32().unwrap_or(0))
        })
        .peekable();
    let (_, mut per_chunk) = runs.next().ok_or(Bad("the `stsc` box is empty"))?;
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut left = sizes.iter();
    for (number, &start) in (1u32..).zip(&chunks) {
        if let Some((_, samples)) = runs.next_if(|(first, _)| *first == number) {
            per_chunk = samples;
        }
        let mut offset = start;
        for &size in left.by_ref().take(per_chunk as usize) {
            offsets.push(offset);
            offset = offset.checked_add(size.into()).ok_or(Bad("a chunk offset overflows"))?;
        }
    }
    if offsets.len() < sizes.len() {
        return Err(Bad("the chunks hold fewer samples than `stsz` lists"));
    }
    Ok(offsets)
}

/// Defaults of `trex` or `tfhd` for the samples of a fragment.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// The defaults of a track in `mvex`.
pub(super) fn track_extends(mvex: &[u8], track_id: u32) -> Option<Defaults> {
    children(mvex).flatten().filter(|(name, _)| name == b"trex").find_map(|(_, body)| {
        let mut b = Bytes::new(body);
        b.version_flags()?;
        (b.u32()? == track_id).then_some(())?;
        b.u32()?;
        Some(Defaults { duration: b.u32()?, size: b.u32()?, flags: b.u32()? })
    })
}

/// Adds the samples that one `moof` at file offset `moof_start` has for a track.
pub(super) fn add_fragment(
    samples: &mut Vec<Sample>,
    moof: &[u8],
    moof_start: u64,
    track_id: u32,
    defaults: Defaults,
    frames_max: u64,
) -> Result<(), TableError> {
    // Without a base offset or the `default-base-is-moof` flag, data follows the previous track fragment's.
    let mut previous_end = moof_start;
    for (_, traf) in children(moof).flatten().filter(|(name, _)| name == b"traf") {
        let tfhd = child(traf, b"tfhd").ok_or(Bad("a track fragment has no `tfhd` box"))?;
        let header = fragment_header(tfhd, defaults).ok_or(Bad("a `tfhd` box is too short"))?;
        let mut offset = header.base.unwrap_or(if header.base_is_moof { moof_start } else { previous_end });
        let base = offset;
        let last_end = samples.last().map_or(0, |sample| sample.dts + i64::from(sample.duration));
        let mut dts = child(traf, b"tfdt").and_then(decode_time).unwrap_or(last_end);
        for (_, trun) in children(traf).flatten().filter(|(name, _)| name == b"trun") {
            let run = Run { base, offset, dts, defaults: header.defaults };
            let list = (header.track_id == track_id).then_some(&mut *samples);
            (offset, dts) = add_run(list, trun, run, frames_max)?;
        }
        previous_end = offset;
    }
    Ok(())
}

/// `tfdt`.
fn decode_time(body: &[u8]) -> Option<i64> {
    let mut b = Bytes::new(body);
    let (version, _) = b.version_flags()?;
    i64::try_from(b.u32_or_u64(version)?).ok()
}

/// What `tfhd` says.
struct FragmentHeader {
    track_id: u32,
    base: Option<u64>,
    base_is_moof: bool,
    defaults: Defaults,
}

fn fragment_header(tfhd: &[u8], defaults: Defaults) -> Option<FragmentHeader> {
    let mut b = Bytes::new(tfhd);
    let (_, flags) = b.version_flags()?;
    let track_id = b.u32()?;
    let base = if flags & 0x1 != 0 { Some(b.u64()?) } else { None };
    if flags & 0x2 != 0 {
        b.u32()?;
    }
    let mut field = |bit: u32, default: u32| if flags & bit != 0 { b.u32() } else { Some(default) };
    let defaults = Defaults {
        duration: field(0x8, defaults.duration)?,
        size: field(0x10, defaults.size)?,
        flags: field(0x20, defaults.flags)?,
    };
    Some(FragmentHeader { track_id, base, base_is_moof: flags & 0x2_0000 != 0, defaults })
}

/// Where a `trun` starts.
#[derive(Clone, Copy)]
struct Run {
    base: u64,
    offset: u64,
    dts: i64,
    defaults: Defaults,
}

/// Adds the samples of one `trun` (to nothing, for another track); returns the file offset and time after it.
fn add_run(
    mut samples: Option<&mut Vec<Sample>>,
    trun: &[u8],
    run: Run,
    frames_max: u64,
) -> Result<(u64, i64), TableError> {
    const SHORT: TableError = Bad("a `trun` box is too short");
    let mut b = Bytes::new(trun);
    let (version, flags) = b.version_flags().ok_or(SHORT)?;
    let count = b.u32().ok_or(SHORT)?;
    if u64::from(count) > frames_max {
        return Err(TableError::TooMany(count.into()));
    }
    let mut offset = run.offset;
    if flags & 0x1 != 0 {
        offset = run
            .base
            .checked_add_signed(b.i32().ok_or(SHORT)?.into())
            .ok_or(Bad("a `trun` offset is outside the file"))?;
    }
    let first_flags = if flags & 0x4 != 0 { Some(b.u32().ok_or(SHORT)?) } else { None };
    let mut dts = run.dts;
    for i in 0..count {
        let mut field = |bit: u32, default: u32| if flags & bit != 0 { b.u32().ok_or(SHORT) } else { Ok(default) };
        let duration = field(0x100, run.defaults.duration)?;
        let size = field(0x200, run.defaults.size)?;
        let sample_flags = field(0x400, first_flags.filter(|_| i == 0).unwrap_or(run.defaults.flags))?;
        let shift = field(0x800, 0)?;
        let shift = if version == 0 && shift < 1 << 31 { i64::from(shift) } else { i64::from(shift as i32) };
        if let Some(samples) = samples.as_deref_mut() {
            if samples.len() as u64 >= frames_max {
                return Err(TableError::TooMany(samples.len() as u64 + 1));
            }
            let pts = dts.checked_add(shift).ok_or(Bad("a fragment's time overflows"))?;
            samples.push(Sample { offset, size, dts, pts, duration, key: sample_flags & 0x1_0000 == 0 });
        }
        offset = offset.checked_add(size.into()).ok_or(Bad("a `trun` offset overflows"))?;
        dts = dts.checked_add(duration.into()).ok_or(Bad("a fragment's time overflows"))?;
    }
    Ok((offset, dts))
}
