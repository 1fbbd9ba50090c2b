//! Weights out, in the layout of `save_pretrained`.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Serialize;
use tensor::DType;

use crate::{
    Error, Result,
    digest::{self, TensorDigest},
    folder::SINGLE_FILE,
    index::INDEX_FILE,
    write::{Entry, check_entries, write_shard},
    write_file_atomic,
};

/// How to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// Element type in the files; f32 values are rounded to nearest, ties to even.
    pub dtype: DType,
    /// Largest file, in bytes; only a single tensor that is larger makes a larger file.
    pub file_bytes_max: u64,
}

impl Default for ExportOptions {
    /// BF16 in files of at most 4 GiB.
    fn default() -> Self {
        Self { dtype: DType::Bf16, file_bytes_max: 4 << 30 }
    }
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// Weight files, in order, without the index.
    pub files: Vec<String>,
    /// Bytes of all tensors.
    pub tensor_bytes: u64,
    /// Number of values.
    pub parameters: u64,
    /// What [`crate::HfFolder::content_hash`] gives for the folder.
    pub content_hash: String,
}

/// Writes tensors into `dir` (made if it is not there) as `model.safetensors` or, if that would be too large, as
/// `model-00001-of-0000N.safetensors` with `model.safetensors.index.json`, in the order given.
///
/// Every file is atomic and the index comes last; a copy of one tensor is the most that is held in memory.
///
/// # Errors
/// [`Error::Occupied`] if there are weights in `dir`; [`Error::Tensor`] for a duplicate name or a disk shape of
/// another size; [`Error::Io`].
pub fn export(dir: &Path, entries: &[Entry], options: &ExportOptions) -> Result<ExportSummary> {
    check_entries(dir, entries)?;
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, "create", source))?;
    refuse_occupied(dir)?;
    let shards = split(entries, options);
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut files = Vec::new();
    let mut weight_map = BTreeMap::new();
    let mut digests: Vec<TensorDigest> = Vec::new();
    for (at, shard) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => SINGLE_FILE.to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        digests.extend(write_shard(&dir.join(&file), shard, options.dtype, &metadata)?);
        weight_map.extend(shard.iter().map(|entry| (entry.name.as_str(), file.clone())));
        files.push(file);
    }
    let parameters = entries.iter().map(|entry| entry.elements() as u64).sum();
    let tensor_bytes = entries.iter().map(|entry| entry.bytes(options.dtype)).sum();
    if files.len() > 1 {
        let metadata = IndexMetadata { total_parameters: parameters, total_size: tensor_bytes };
        write_file_atomic(&dir.join(INDEX_FILE), |out| {
            serde_json::to_writer_pretty(out, &Index { metadata, weight_map }).map_err(Into::into)
        })?;
    }
    Ok(ExportSummary { files, tensor_bytes, parameters, content_hash: digest::content_hash(digests) })
}

#[derive(Serialize)]
struct Index<'a> {
    metadata: IndexMetadata,
    weight_map: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct IndexMetadata {
    total_parameters: u64,
    total_size: u64,
}

/// Cuts the entries, in order, into runs whose files stay within the limit; at least one run.
fn split<'e, 't>(entries: &'e [Entry<'t>], options: &ExportOptions) -> Vec<Vec<&'e Entry<'t>>> {
    let mut shards = vec![Vec::new()];
    let mut shard_bytes = HEADER_BYTES_FIXED;
    for entry in entries {
        let entry_bytes = entry.bytes(options.dtype).saturating_add(header_bytes_bound(entry));
        let full = shard_bytes.saturating_add(entry_bytes) > options.file_bytes_max;
        match shards.last_mut() {
            Some(shard) if !full || shard.is_empty() => shard.push(entry),
            _ => {
                shards.push(vec![entry]);
                shard_bytes = HEADER_BYTES_FIXED;
            }
        }
        shard_bytes = shard_bytes.saturating_add(entry_bytes);
    }
    shards
}

/// Length field, metadata, braces and padding of a header, rounded up.
const HEADER_BYTES_FIXED: u64 = 128;

/// At least as many bytes as the header spends on an entry: its name (six bytes a character when escaped), 20 digits a
/// number, and the fixed words.
fn header_bytes_bound(entry: &Entry) -> u64 {
    let (name, rank) = (entry.name.len() as u64, entry.disk_shape.len() as u64);
    128 + 6 * name + 21 * rank
}

/// Weights of two exports in one folder would be read as one model, or the wrong one.
fn refuse_occupied(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|source| Error::io(dir, "read", source))? {
        let name = entry.map_err(|source| Error::io(dir, "read", source))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && (name.ends_with(".safetensors") || name == INDEX_FILE) {
            return Err(Error::Occupied { dir: dir.into(), file: name.into_owned() });
        }
    }
    Ok(())
}
