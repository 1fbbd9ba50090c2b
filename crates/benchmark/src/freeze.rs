//! The frozen set: named by its hash, and never changed.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use records::{BenchmarkItem, Category, ContentHash, DataRoot};
use serde::{Deserialize, Serialize};

use crate::{Dropped, Error, Pool, PromptForm, Result, draft, read_draft};

/// Name of the manifest in the folder of a benchmark.
const MANIFEST: &str = "benchmark.json";

/// Which pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Hash of its file.
    pub hash: ContentHash,
}

impl PoolRecord {
    /// The record of a pool.
    pub fn of(pool: &Pool) -> Self {
        Self { name: pool.name.clone(), version: pool.version.clone(), hash: pool.hash.clone() }
    }
}

/// What a frozen benchmark is, `benchmark.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchmarkManifest {
    /// Version of this format.
    pub format: u32,
    /// Name of the data set, such as `AV_VQA`.
    pub name: String,
    /// The pool drawn from.
    pub pool: PoolRecord,
    /// Key of the draw.
    pub seed: u64,
    /// Questions drawn for a clip.
    pub per_clip: usize,
    /// Form of the prompts.
    pub prompt_version: PromptForm,
    /// Items.
    pub items: usize,
    /// Items of each area.
    pub categories: BTreeMap<Category, usize>,
    /// Items that every clip was to have.
    pub required: usize,
    /// Where answers come from, and how many.
    pub answer_sources: BTreeMap<String, usize>,
    /// Items left out because they had no answer, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// Hash of the video of each clip.
    pub clips: BTreeMap<String, ContentHash>,
    /// Hash of `items.jsonl`.
    pub items_hash: ContentHash,
    /// Hash of all of the above: the name under which scores refer to this set.
    pub id: ContentHash,
}

impl BenchmarkManifest {
    /// Short name for people: the set's name and the first digits of its hash.
    pub fn short_name(&self) -> String {
        format!("{}@{}", self.name, &self.id.as_str()[..12])
    }

    /// The hash that must stand in `id`.
    fn computed_id(&self, path: &Path) -> Result<ContentHash> {
        let nameless = Self { id: ContentHash::of_text(""), ..self.clone() };
        Ok(ContentHash::of_bytes(&draft::json_bytes(path, &nameless)?))
    }
}

/// A benchmark that was read back and is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Its manifest.
    pub manifest: BenchmarkManifest,
    /// Its items.
    pub items: Vec<BenchmarkItem>,
}

/// Freezes the answered draft in `dir` under a name: writes `items.jsonl`, then `benchmark.json`. Doing it again with
/// the same content changes nothing.
///
/// # Errors
/// [`Error::Frozen`] if another set is there; [`Error::Damaged`] if no item has an answer, or items are not of the
/// draft; [`Error::Records`].
pub fn freeze(dir: &Path, name: &str) -> Result<BenchmarkManifest> {
    let (draft, drafted) = read_draft(dir)?;
    let answered_path = dir.join("answered.jsonl");
    let items: Vec<BenchmarkItem> = records::jsonl::read(&answered_path)?.records;
    let dropped: Vec<Dropped> = records::jsonl::read(&dir.join("dropped.jsonl"))?.records;
    check_items(&answered_path, &items)?;
    let known: HashSet<&str> = drafted.iter().map(|item| item.id.as_str()).collect();
    if items.iter().any(|item| !known.contains(item.id.as_str())) || items.len() + dropped.len() != drafted.len() {
        return Err(Error::damaged(&answered_path, "is not of this draft; attach the answers again"));
    }
    let path = dir.join("items.jsonl");
    let mut manifest = BenchmarkManifest {
        format: 1,
        name: name.to_owned(),
        pool: draft.pool,
        seed: draft.seed,
        per_clip: draft.per_clip,
        prompt_version: draft.prompt_version,
        items: items.len(),
        categories: count(items.iter().map(|item| item.category)),
        required: items.iter().filter(|item| item.required).count(),
        answer_sources: count(items.iter().map(|item| item.answer_source.clone())),
        dropped: count(dropped.into_iter().map(|item| item.reason)),
        clips: media_hashes(dir, &items)?,
        items_hash: ContentHash::of_bytes(&items_bytes(&path, &items)?),
        id: ContentHash::of_text(""),
    };
    manifest.id = manifest.computed_id(&path)?;
    let manifest_path = dir.join(MANIFEST);
    if manifest_path.exists() {
        let existing = verify(dir)?.manifest;
        if existing == manifest {
            return Ok(existing);
        }
        return Err(Error::Frozen { path: manifest_path, existing: existing.short_name(), new: manifest.short_name() });
    }
    records::write_jsonl_atomic(&path, &items)?;
    draft::write_json(&manifest_path, &manifest)?;
    Ok(manifest)
}

/// Reads a frozen benchmark and checks that it is the one that its manifest names. Videos are not read.
///
/// # Errors
/// [`Error::Damaged`] if anything was changed since it was frozen; [`Error::Records`]; [`Error::Io`].
pub fn verify(dir: &Path) -> Result<Frozen> {
    let manifest_path = dir.join(MANIFEST);
    let manifest: BenchmarkManifest = draft::read_json(&manifest_path)?;
    if manifest.format != 1 {
        return Err(Error::damaged(&manifest_path, format!("format {} is not known here", manifest.format)));
    }
    if manifest.computed_id(&manifest_path)? != manifest.id {
        return Err(Error::damaged(&manifest_path, "was changed after it was frozen: its id does not match"));
    }
    let path = dir.join("items.jsonl");
    if ContentHash::of_file(&path)? != manifest.items_hash {
        return Err(Error::damaged(&path, format!("is not what was frozen as {}", manifest.short_name())));
    }
    let items = records::jsonl::read(&path)?.records;
    check_items(&path, &items)?;
    Ok(Frozen { manifest, items })
}

/// Checks that the videos of a frozen benchmark are those that were there when it was frozen.
///
/// # Errors
/// [`Error::Damaged`] naming the first clip that differs; [`Error::Records`] if a video cannot be read.
pub fn verify_media(dir: &Path, frozen: &Frozen) -> Result<()> {
    for (clip, hash) in media_hashes(dir, &frozen.items)? {
        if frozen.manifest.clips.get(&clip) != Some(&hash) {
            let message = format!("the video of clip `{clip}` is not the one that was frozen");
            return Err(Error::damaged(&dir.join(MANIFEST), message));
        }
    }
    Ok(())
}

fn check_items(path: &Path, items: &[BenchmarkItem]) -> Result<()> {
    let wrong = |item: &BenchmarkItem, what: &str| Err(Error::damaged(path, format!("item `{}`: {what}", item.id)));
    if items.is_empty() {
        return Err(Error::damaged(path, "no item has an answer"));
    }
    let mut ids = HashSet::new();
    for item in items {
        let mut sorted = item.permutation;
        sorted.sort_unstable();
        if item.answer > 3 {
            return wrong(item, "the answer is not 0 to 3");
        }
        if sorted != [0, 1, 2, 3] {
            return wrong(item, "the permutation is none");
        }
        if !ids.insert(&item.id) {
            return wrong(item, "the id was there before");
        }
    }
    Ok(())
}

fn items_bytes(path: &Path, items: &[BenchmarkItem]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for item in items {
        serde_json::to_writer(&mut bytes, item)
            .map_err(|e| records::Error::Json { path: path.to_path_buf(), message: e.to_string() })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn media_hashes(dir: &Path, items: &[BenchmarkItem]) -> Result<BTreeMap<String, ContentHash>> {
    let root = DataRoot::open(dir)?;
    let mut hashes = BTreeMap::new();
    for item in items {
        if !hashes.contains_key(&item.clip) {
            hashes.insert(item.clip.clone(), ContentHash::of_file(&root.resolve(&item.video)?)?);
        }
    }
    Ok(hashes)
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
