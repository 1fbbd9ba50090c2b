//! Decoded frames on disk: a clip is decoded once, not once an epoch.
//!
//! An entry holds the resized 8-bit frames of a clip, before normalisation: everything after them is cheap, and the samples
//! made of them are the same to the last bit. Its name is a hash of the clip's path, length and time of change (not of
//! its bytes: reading them all is what a slow disk can do least) and of all that decides the frames. An entry that is cut
//! short or damaged fails its own hash and is made anew. Nothing is ever removed; once the folder is full, nothing is added.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use processor::{Processor, VideoInput};
use records::ContentHash;
use serde::{Deserialize, Serialize};
use video::RgbFrame;

use crate::{Error, FrameCachePlan, Result};

/// Begins every entry; changes when its layout or the way to the frames does.
const MAGIC: &[u8; 16] = b"roadscribe fr 1\n";
/// Length of the hash at the end of an entry.
const HASH_BYTES: usize = 32;

/// A folder of decoded frames.
#[derive(Debug)]
pub struct FrameCache {
    dir: PathBuf,
    bytes_max: u64,
    bytes: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What precedes the pixels of an entry.
#[derive(Serialize, Deserialize)]
struct Header {
    frames: usize,
    height: u32,
    width: u32,
    frame_indices: Vec<u64>,
    /// Bits of f64: a decimal form might come back as another number.
    source_fps: Option<u64>,
    sample_fps: u64,
}

impl FrameCache {
    /// Opens a folder, making it if need be.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be made or listed.
    pub fn open(plan: &FrameCachePlan) -> Result<Self> {
        std::fs::create_dir_all(&plan.dir).map_err(|e| Error::io(&plan.dir, "create", e))?;
        let mut bytes = 0;
        for entry in std::fs::read_dir(&plan.dir).map_err(|e| Error::io(&plan.dir, "list", e))? {
            bytes += entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len());
        }
        let zero = || AtomicU64::new(0);
        Ok(Self { dir: plan.dir.clone(), bytes_max: plan.bytes_max, bytes: bytes.into(), hits: zero(), misses: zero() })
    }

    /// Name of the entry of a clip under settings that are told apart by `how`; none if the clip is not there.
    pub fn key(path: &Path, how: &str) -> Option<ContentHash> {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let path = path.canonicalize().ok()?;
        Some(ContentHash::of_text(&format!("{}\n{}\n{changed:?}\n{how}", path.display(), metadata.len())))
    }

    /// The frames of an entry, and what they make; none if there is none or it is damaged.
    pub fn get(&self, key: &ContentHash, processor: &Processor) -> Option<(VideoInput, Vec<RgbFrame>)> {
        let found = std::fs::read(self.path(key)).ok().and_then(|bytes| parse(&bytes, processor));
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Adds or replaces an entry if there is room. It may fail without harm: the clip is then decoded again next time.
    pub fn put(&self, key: &ContentHash, planned: &VideoInput, frames: &[RgbFrame]) {
        let entry = entry(planned, frames);
        let bytes = entry.len() as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        // Two workers may decode one clip at once.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{key}.{}.{number}.tmp", std::process::id()));
        // Not synced: an entry that a loss of power damages is found out when it is read.
        if std::fs::write(&temporary, entry).and_then(|()| std::fs::rename(&temporary, self.path(key))).is_err() {
            let _ = std::fs::remove_file(&temporary);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Clips found here, and clips that had to be decoded.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    fn path(&self, key: &ContentHash) -> PathBuf {
        self.dir.join(format!("{key}.frames"))
    }
}

fn entry(planned: &VideoInput, frames: &[RgbFrame]) -> Vec<u8> {
    let header = Header {
        frames: frames.len(),
        height: planned.resized_height,
        width: planned.resized_width,
        frame_indices: planned.frame_indices.clone(),
        source_fps: planned.source_fps.map(f64::to_bits),
        sample_fps: planned.sample_fps.to_bits(),
    };
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut entry = MAGIC.to_vec();
    entry.extend_from_slice(&(header.len() as u32).to_le_bytes());
    entry.extend_from_slice(&header);
    frames.iter().for_each(|frame| entry.extend_from_slice(&frame.data));
    let hash = blake3::hash(&entry);
    entry.extend_from_slice(hash.as_bytes());
    entry
}

fn parse(entry: &[u8], processor: &Processor) -> Option<(VideoInput, Vec<RgbFrame>)> {
    let (content, hash) = entry.split_at_checked(entry.len().checked_sub(HASH_BYTES)?)?;
    if blake3::hash(content).as_bytes() != hash {
        return None;
    }
    let content = content.strip_prefix(MAGIC.as_slice())?;
    let (length, content) = content.split_first_chunk::<4>()?;
    let (header, pixels) = content.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let header: Header = serde_json::from_slice(header).ok()?;
    let frame_bytes = (header.height as usize).checked_mul(header.width as usize)?.checked_mul(3)?;
    if frame_bytes == 0 || header.frames.checked_mul(frame_bytes)? != pixels.len() {
        return None;
    }
    let frame = |data: &[u8]| RgbFrame { width: header.width, height: header.height, data: data.to_vec() };
    let frames: Vec<RgbFrame> = pixels.chunks_exact(frame_bytes).map(frame).collect();
    let planned = VideoInput {
        pixel_values: Vec::new(),
        grid_thw: processor.grid_of(header.frames, header.height, header.width).ok()?,
        frame_indices: header.frame_indices,
        source_fps: header.source_fps.map(f64::from_bits),
        sample_fps: f64::from_bits(header.sample_fps),
        resized_height: header.height,
        resized_width: header.width,
    };
    Some((planned, frames))
}
