//! Questions drawn for clips, without answers.

use std::fs;
use std::path::Path;

use records::{BenchmarkItem, Category, ContentHash};
use serde::{Deserialize, Serialize};

use crate::{ClipList, DrawSettings, Error, Pool, PoolRecord, PromptForm, Result, clips::Clip, draw};

/// Settings of a draft, `draft.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The pool drawn from.
    pub pool: PoolRecord,
    /// Key of the draw.
    pub seed: u64,
    /// Questions a clip gets.
    pub per_clip: usize,
    /// Form of the prompts.
    #[serde(default)]
    pub prompt_version: PromptForm,
    /// Hash of `draft.jsonl`.
    pub items_hash: ContentHash,
}

/// A question drawn for a clip: a line of `draft.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftItem {
    /// `<clip>/<question id>`.
    pub id: String,
    /// Name of the clip.
    pub clip: String,
    /// Path of the video, relative to the folder of the draft.
    pub video: String,
    /// Name of the question in the pool.
    pub question_id: String,
    /// Area of the question.
    pub category: Category,
    /// Whether every clip has this question.
    pub required: bool,
    /// The question.
    pub question: String,
    /// The choices in the order shown; the first is A.
    pub options: [String; 4],
    /// For each choice shown, its place in the pool's order.
    pub permutation: [u8; 4],
}

/// What a draft holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftSummary {
    /// Clips.
    pub clips: usize,
    /// Questions of all clips together.
    pub items: usize,
}

/// Draws questions for clips and writes `draft.json`, `draft.jsonl` and `rejects.jsonl` into `dir`. A video outside
/// `dir` is put into `dir/videos` (as a hard link where the file system can, else as a copy): paths of a benchmark
/// never leave its folder.
///
/// # Errors
/// [`Error::Draw`] if the pool and the settings do not fit; [`Error::Io`]; [`Error::Damaged`] if another video with the
/// name of a clip is there already.
pub fn write_draft(dir: &Path, pool: &Pool, clips: &ClipList, settings: &DrawSettings) -> Result<DraftSummary> {
    fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
    let mut items = Vec::new();
    for clip in &clips.clips {
        let video = place(dir, clip)?;
        for drawn in draw(pool, &clip.name, settings)? {
            items.push(item(clip, &video, &drawn));
        }
    }
    let path = dir.join("draft.jsonl");
    records::write_jsonl_atomic(&path, &items)?;
    records::write_jsonl_atomic(&dir.join("rejects.jsonl"), &clips.rejects)?;
    let draft = Draft {
        pool: PoolRecord::of(pool),
        seed: settings.seed,
        per_clip: settings.per_clip,
        prompt_version: settings.prompt,
        items_hash: ContentHash::of_file(&path)?,
    };
    write_json(&dir.join("draft.json"), &draft)?;
    Ok(DraftSummary { clips: clips.clips.len(), items: items.len() })
}

/// Reads what [`write_draft`] wrote.
///
/// # Errors
/// [`Error::Records`]; [`Error::Damaged`] if the two files do not belong together.
pub fn read_draft(dir: &Path) -> Result<(Draft, Vec<DraftItem>)> {
    let draft: Draft = read_json(&dir.join("draft.json"))?;
    let path = dir.join("draft.jsonl");
    if ContentHash::of_file(&path)? != draft.items_hash {
        return Err(Error::damaged(&path, "is not the one that draft.json describes; draw again"));
    }
    Ok((draft, records::jsonl::read(&path)?.records))
}

fn item(clip: &Clip, video: &str, drawn: &crate::Drawn<'_>) -> DraftItem {
    let question = drawn.question;
    DraftItem {
        id: format!("{}/{}", clip.name, question.id),
        clip: clip.name.clone(),
        video: video.to_owned(),
        question_id: question.id.clone(),
        category: question.category,
        required: question.required,
        question: question.text.clone(),
        options: drawn.permutation.map(|place| question.options[usize::from(place)].clone()),
        permutation: drawn.permutation,
    }
}

impl DraftItem {
    /// The item with an answer; `answer` is a place in the order shown.
    pub(crate) fn answered(self, answer: u8, source: &str, form: PromptForm) -> BenchmarkItem {
        BenchmarkItem {
            prompt: form.render(&self.question, &self.options),
            prompt_version: form.name().to_owned(),
            system: String::new(),
            answer,
            answer_source: source.to_owned(),
            id: self.id,
            clip: self.clip,
            video: self.video,
            question_id: self.question_id,
            category: self.category,
            required: self.required,
            question: self.question,
            options: self.options,
            permutation: self.permutation,
        }
    }
}

/// Path of a clip's video relative to `dir`, after it has been put there if need be.
fn place(dir: &Path, clip: &Clip) -> Result<String> {
    let root = fs::canonicalize(dir).map_err(Error::io(dir, "open"))?;
    let real = fs::canonicalize(&clip.path).map_err(Error::io(&clip.path, "open"))?;
    if let Some(inside) = real.strip_prefix(&root).ok().and_then(Path::to_str) {
        return Ok(inside.to_owned());
    }
    let ending = real.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    let relative = format!("videos/{}{ending}", clip.name);
    let target = root.join(&relative);
    if target.exists() {
        let same = ContentHash::of_file(&target)? == ContentHash::of_file(&real)?;
        let message = format!("is there already and is not {}; draw into a new folder", clip.path.display());
        return if same { Ok(relative) } else { Err(Error::damaged(&target, message)) };
    }
    let folder = root.join("videos");
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
    if fs::hard_link(&real, &target).is_err() {
        // Another file system: a copy under another name first, so that a crash leaves no half video.
        let partial = folder.join(format!(".{}.partial", clip.name));
        fs::copy(&real, &partial).map_err(Error::io(&partial, "write"))?;
        fs::rename(&partial, &target).map_err(Error::io(&target, "write"))?;
    }
    Ok(relative)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    Ok(records::write_atomic(path, &json_bytes(path, value)?)?)
}

pub(crate) fn json_bytes(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let json = |e: serde_json::Error| records::Error::Json { path: path.to_path_buf(), message: e.to_string() };
    let mut bytes = serde_json::to_vec_pretty(value).map_err(json)?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io(path, "read"))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| records::Error::Json { path: path.to_path_buf(), message: e.to_string() }.into())
}
