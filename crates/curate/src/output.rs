//! Writes the set beside its final place and renames it there when it is complete.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use records::ContentHash;

use crate::card::Card;
use crate::config::{Config, Link};
use crate::convert::{self, Lesson};
use crate::prompts::Prompts;
use crate::reason::Reject;
use crate::run::{Clip, Steps};
use crate::{Error, Result};

/// Name of the list of rejects.
const REJECTS: &str = "rejects.jsonl";
/// Files of a set beside its subdirectories.
const FILES: [&str; 5] = [REJECTS, "card.json", "card.md", "preview.mp4", "preview.png"];
/// Clips converted between two looks at the progress.
const STRETCH: usize = 1024;
/// Tokens of a word where there is no tokenizer.
const TOKENS_PER_WORD: f64 = 1.3;

/// A set on its way to `out`; what is unfinished when this is dropped is removed.
pub(crate) struct Output {
    out: PathBuf,
    partial: PathBuf,
    published: Cell<bool>,
}

impl Output {
    /// Starts an empty set. `out` may hold an earlier set, which stays until the new one is complete.
    pub fn create(out: &Path) -> Result<Self> {
        check_replaceable(out)?;
        let partial = beside(out, "partial");
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(|e| Error::io(&partial, "create", e))?;
        Ok(Self { out: out.to_path_buf(), partial, published: Cell::new(false) })
    }

    /// The unfinished folder.
    pub fn folder(&self) -> &Path {
        &self.partial
    }

    /// Writes `rejects.jsonl`.
    pub fn write_rejects(&self, rejects: &[Reject]) -> Result<()> {
        Ok(records::write_jsonl_atomic(&self.partial.join(REJECTS), rejects)?)
    }

    /// Puts the list of rejects where the user finds it though there will be no set: into `out`, or beside it if an
    /// earlier set is there. Returns its place.
    pub fn keep_rejects(&self) -> Result<PathBuf> {
        let has_set = self.out.join("card.json").exists();
        let place = if has_set { beside(&self.out, REJECTS) } else { self.out.join(REJECTS) };
        let from = self.partial.join(REJECTS);
        let bytes = fs::read(&from).map_err(|e| Error::io(&from, "read", e))?;
        records::write_atomic(&place, &bytes)?;
        Ok(place)
    }

    /// Writes the `meta.json` files and links the videos; fills in the card.
    pub fn write_set(
        &self,
        config: &Config,
        prompts: &Prompts,
        clips: &[Clip],
        count_tokens: Option<&(dyn Fn(&str) -> usize + Sync)>,
        card: &mut Card,
        steps: &mut Steps<'_>,
    ) -> Result<()> {
        card.lengths.tokens_from = match count_tokens {
            Some(_) => "counted by the model's tokenizer",
            None => "estimated as 1.3 a word (no `model` was given)",
        };
        let estimate = |text: &str| (crate::text::words(text).len() as f64 * TOKENS_PER_WORD).round() as usize;
        let count: &(dyn Fn(&str) -> usize + Sync) = count_tokens.unwrap_or(&estimate);
        let mut parts = BTreeMap::new();
        for (nth, source) in config.source.iter().enumerate() {
            for validation in [false, true] {
                let folder =
                    if validation { Path::new("validation").join(source.name()) } else { source.name().into() };
                parts.insert((nth, validation), Part::create(self.partial.join(folder))?);
            }
        }
        for (done, stretch) in clips.chunks(STRETCH).enumerate() {
            steps.at("writing", done * STRETCH, clips.len())?;
            let made: Vec<Vec<Lesson>> = stretch
                .par_iter()
                .map(|clip| convert::lessons(&clip.annotation, config.source[clip.annotation.source].tasks(), prompts))
                .collect();
            let lengths: Vec<Vec<(usize, usize)>> = made
                .par_iter()
                .map(|lessons| lessons.iter().flat_map(|lesson| answer_lengths(lesson, count)).collect())
                .collect();
            for ((clip, lessons), lengths) in stretch.iter().zip(&made).zip(&lengths) {
                card.count(clip, lessons, lengths);
                if let Some(part) = parts.get_mut(&(clip.annotation.source, clip.is_validation)) {
                    part.write(clip, lessons, config.link)?;
                }
            }
        }
        let mut hashes = BTreeMap::new();
        for ((nth, validation), part) in parts {
            hashes.insert(format!("{nth} {validation}"), part.finish()?);
        }
        card.dataset_hash = ContentHash::of_parts(hashes.iter().map(|(name, hash)| (name.as_str(), hash))).to_string();
        card.finish(config, clips);
        Ok(())
    }

    /// Makes the preview grid of the training clips.
    pub fn write_preview(&self, config: &Config, clips: &[Clip], card: &mut Card, steps: &mut Steps<'_>) -> Result<()> {
        if config.preview.clips == 0 || !config.decode {
            return Ok(());
        }
        let note = crate::preview::write(self.folder(), config, clips, steps)?;
        card.notes.extend(note);
        Ok(())
    }

    /// Writes the card and gives the set its name.
    pub fn publish(&self, card: &Card) -> Result<()> {
        let path = self.partial.join("card.json");
        let mut text = serde_json::to_string_pretty(card)
            .map_err(|e| records::Error::Json { path: path.clone(), message: e.to_string() })?;
        text.push('\n');
        records::write_atomic(&path, text.as_bytes())?;
        records::write_atomic(&self.partial.join("card.md"), card.markdown().as_bytes())?;
        let old = beside(&self.out, "old");
        remove(&old)?;
        if self.out.exists() {
            fs::rename(&self.out, &old).map_err(|e| Error::io(&self.out, "set aside", e))?;
        }
        fs::rename(&self.partial, &self.out).map_err(|e| Error::io(&self.partial, "rename", e))?;
        self.published.set(true);
        remove(&old)?;
        remove(&beside(&self.out, REJECTS))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published.get() {
            // A full disk is the likeliest cause of being here; what is left over is cleared by the next run anyway.
            let _ = remove(&self.partial);
        }
    }
}

/// `out` with a word after its name.
fn beside(out: &Path, word: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or(std::ffi::OsStr::new("curated")).to_os_string();
    name.push(".");
    name.push(word);
    out.with_file_name(name)
}

fn remove(path: &Path) -> Result<()> {
    let done = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove", e)),
        _ => Ok(()),
    }
}

/// Refuses a folder that holds anything but an earlier set.
fn check_replaceable(out: &Path) -> Result<()> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(out, "list", e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| Error::io(out, "list", e))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ours = FILES.contains(&name.as_str()) || name == "validation" || path.join("meta.json").is_file();
        if !ours {
            return Err(Error::Occupied { path: out.to_path_buf(), found: name });
        }
    }
    Ok(())
}

/// Words and tokens of every answer.
fn answer_lengths<'l>(
    lesson: &'l Lesson,
    count: &'l (dyn Fn(&str) -> usize + Sync),
) -> impl Iterator<Item = (usize, usize)> + 'l {
    lesson.turns.iter().map(move |(_, answer)| (crate::text::words(answer).len(), count(answer)))
}

/// One `meta.json` and its videos.
struct Part {
    folder: PathBuf,
    meta: PathBuf,
    file: BufWriter<fs::File>,
    entries: usize,
}

impl Part {
    fn create(folder: PathBuf) -> Result<Self> {
        let videos = folder.join("videos");
        fs::create_dir_all(&videos).map_err(|e| Error::io(&videos, "create", e))?;
        let meta = folder.join("meta.json");
        let file = fs::File::create(&meta).map_err(|e| Error::io(&meta, "create", e))?;
        let mut part = Self { folder, meta, file: BufWriter::new(file), entries: 0 };
        part.put(b"[")?;
        Ok(part)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(&self.meta, "write", e))
    }

    /// Writes a clip: an entry a line for each lesson.
    fn write(&mut self, clip: &Clip, lessons: &[Lesson], link: Link) -> Result<()> {
        let video = format!("videos/{}", file_name(clip));
        if let Some(from) = &clip.annotation.video {
            place(from, &self.folder.join(&video), link)?;
        }
        for lesson in lessons {
            let entry = serde_json::json!({
                "id": format!("{}/{}", clip.annotation.id, lesson.task.name()),
                "video": video,
                "conversation": lesson.conversation(),
                "task": lesson.task.name(),
                "prompt": lesson.prompt,
                "drive": clip.drive,
                "source_file": clip.annotation.place.file,
                "source_line": clip.annotation.place.line,
                "media_hash": clip.media.as_ref().map(|media| media.hash.as_str()),
            });
            self.put(if self.entries == 0 { b"\n" } else { b",\n" })?;
            self.put(entry.to_string().as_bytes())?;
            self.entries += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ContentHash> {
        self.put(b"\n]\n")?;
        self.file.flush().map_err(|e| Error::io(&self.meta, "write", e))?;
        self.file.get_ref().sync_all().map_err(|e| Error::io(&self.meta, "sync", e))?;
        Ok(ContentHash::of_file(&self.meta)?)
    }
}

/// Name of a clip's video in the set: its id where that can be a file name.
fn file_name(clip: &Clip) -> String {
    let id = &clip.annotation.id;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = match id.chars().all(plain) && !id.starts_with('.') && id.len() <= 200 {
        true => id.clone(),
        false => {
            let kept: String = id.chars().map(|c| if plain(c) && c != '.' { c } else { '_' }).take(100).collect();
            let hash = ContentHash::of_text(id);
            format!("{kept}-{}", hash.as_str().get(..12).unwrap_or_default())
        }
    };
    let extension = clip.annotation.video.as_deref().and_then(Path::extension).and_then(|e| e.to_str());
    format!("{name}.{}", extension.unwrap_or("mp4").to_ascii_lowercase())
}

/// Links or copies a video.
fn place(from: &Path, to: &Path, link: Link) -> Result<()> {
    // A link to a symbolic link would still be one, and could lead out of the set.
    let real = fs::canonicalize(from).map_err(|e| Error::io(from, "open", e))?;
    if link == Link::Hard && fs::hard_link(&real, to).is_ok() {
        return Ok(());
    }
    fs::copy(&real, to).map(drop).map_err(|e| Error::io(to, "copy a video to", e))
}
