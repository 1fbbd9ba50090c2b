//! What may not be trained on: the clips, frames, drives and references of the evaluation set.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use records::{ContentHash, DataRoot};
use serde_json::Value;

use crate::config::{Config, EvalSet};
use crate::media::{self, FramePrint, Media};
use crate::near::FrameIndex;
use crate::reason::{Problem, Reason};
use crate::run::Steps;
use crate::split::DriveName;
use crate::text::{shingles, words};
use crate::{Error, Result};

/// Words of a run that is compared with references.
const RUN: usize = 8;

/// The evaluation set, as far as it was read.
#[derive(Default)]
pub(crate) struct Evaluation {
    ids: HashSet<String>,
    drives: HashSet<String>,
    hashes: HashMap<ContentHash, String>,
    prints: Vec<(FramePrint, String)>,
    /// References by the runs of words they have.
    runs: HashMap<u64, Vec<u32>>,
    /// Name and number of runs of each reference.
    references: Vec<(String, usize)>,
}

impl Evaluation {
    /// Reads lists and videos; a video that cannot be read is an error, for then the check would be silent about it.
    pub fn read(config: &Config, drives: &DriveName, steps: &mut Steps<'_>) -> Result<Self> {
        let mut set = Self::default();
        let mut videos = BTreeMap::new();
        for file in &config.eval_set.files {
            set.read_list(file, &mut videos)?;
        }
        for folder in &config.eval_set.videos {
            list_videos(folder, &mut videos)?;
        }
        set.ids.extend(videos.values().cloned());
        set.drives = set.ids.iter().map(|id| drives.drive(id)).collect();
        if config.decode {
            set.look(&videos.into_iter().collect::<Vec<_>>(), config, steps)?;
        }
        Ok(set)
    }

    /// Number of clips.
    pub fn clips(&self) -> usize {
        self.ids.len()
    }

    fn read_list(&mut self, file: &Path, videos: &mut BTreeMap<PathBuf, String>) -> Result<()> {
        let bad = |line: usize, what: String| Error::Source {
            path: file.to_path_buf(),
            message: format!("line {line}: {what}"),
        };
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read", e))?;
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = DataRoot::open(folder)?;
        for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
            let row: Value = serde_json::from_str(row).map_err(|e| bad(line, e.to_string()))?;
            let field = |names: &[&str]| names.iter().find_map(|name| row.get(name)?.as_str()).map(str::to_owned);
            let id = field(&["clip", "id"]);
            let (video, text) = (field(&["video"]), field(&["text", "caption", "reference"]));
            if id.is_none() && video.is_none() {
                return Err(bad(line, "expected `clip`, `id` or `video`".into()));
            }
            let name = id.clone().or_else(|| video.clone()).unwrap_or_default();
            self.ids.extend(id);
            if let Some(video) = video {
                match root.resolve(&video) {
                    Ok(path) => videos.entry(path).or_insert_with(|| clip_name(Path::new(&video))),
                    Err(error) => return Err(bad(line, error.to_string())),
                };
            }
            if let Some(text) = text.filter(|text| words(text).len() >= RUN) {
                self.add_reference(name, &text);
            }
        }
        Ok(())
    }

    fn add_reference(&mut self, name: String, text: &str) {
        let runs = shingles(text, RUN);
        let number = self.references.len() as u32;
        self.references.push((name, runs.len()));
        for run in runs {
            self.runs.entry(run).or_default().push(number);
        }
    }

    fn look(&mut self, videos: &[(PathBuf, String)], config: &Config, steps: &mut Steps<'_>) -> Result<()> {
        // An evaluation clip may be of any length.
        let any = crate::config::Filters { duration_min_s: 0.0, duration_max_s: f64::MAX, ..config.filters.clone() };
        for (done, stretch) in videos.chunks(crate::run::CLIPS_AT_ONCE).enumerate() {
            steps.at("evaluation clips", done * crate::run::CLIPS_AT_ONCE, videos.len())?;
            let seen: Vec<_> = stretch.par_iter().map(|(path, id)| (path, id, media::look(Some(path), &any))).collect();
            for (path, id, media) in seen {
                let media = media.map_err(|problem| Error::Source {
                    path: path.clone(),
                    message: format!("{}; the leakage check needs every evaluation clip", problem.message),
                })?;
                self.hashes.insert(media.hash, id.clone());
                self.prints.push((media.print, id.clone()));
            }
        }
        Ok(())
    }

    /// Whether a clip is known by its name.
    pub fn by_name(&self, id: &str, drive: &str, eval_set: &EvalSet) -> Option<Problem> {
        if self.ids.contains(id) {
            return Some(Problem::new(Reason::LeakId, "is a clip of the evaluation set"));
        }
        let same = eval_set.drop_same_drive && self.drives.contains(drive);
        same.then(|| Problem::new(Reason::LeakDrive, format!("drive {drive:?} is in the evaluation set")))
    }

    /// An index of the frames of all clips.
    pub fn frames(&self, bits: u32) -> FrameIndex<'_> {
        let mut index = FrameIndex::new(bits);
        self.prints.iter().enumerate().for_each(|(number, (print, _))| index.add(print, number));
        index
    }

    /// Whether a clip is known by its video; `frames` is [`frames`](Self::frames).
    pub fn by_media(&self, media: &Media, frames: &FrameIndex<'_>) -> Option<Problem> {
        if let Some(id) = self.hashes.get(&media.hash) {
            return Some(Problem::new(Reason::LeakMedia, format!("is the video of evaluation clip {id:?}")));
        }
        let (_, id) = self.prints.get(frames.find(&media.print)?)?;
        Some(Problem::new(Reason::LeakFrames, format!("looks like evaluation clip {id:?}")))
    }

    /// Whether a description has most of a reference.
    pub fn by_caption(&self, caption: &str, overlap_min: f64) -> Option<Problem> {
        if overlap_min <= 0.0 || self.references.is_empty() {
            return None;
        }
        let mut shared: BTreeMap<u32, usize> = BTreeMap::new();
        for reference in shingles(caption, RUN).iter().filter_map(|run| self.runs.get(run)).flatten() {
            *shared.entry(*reference).or_default() += 1;
        }
        let overlap = |(number, count): (u32, usize)| {
            let (name, runs) = self.references.get(number as usize)?;
            let overlap = count as f64 / (*runs).max(1) as f64;
            (overlap >= overlap_min).then_some((name, overlap))
        };
        let (name, overlap) = shared.into_iter().find_map(overlap)?;
        let message = format!("has {:.0} % of the reference of evaluation clip {name:?}", 100.0 * overlap);
        Some(Problem::new(Reason::LeakCaption, message))
    }
}

/// The name of a clip from its file: without extension and camera.
fn clip_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = media::video_stem(&name).unwrap_or(&name);
    match stem.rsplit_once('.') {
        Some((id, camera)) if camera.starts_with("camera_") => id.to_owned(),
        _ => stem.to_owned(),
    }
}

fn list_videos(folder: &Path, videos: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let io = |e| Error::io(folder, "list", e);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if media::video_stem(&name).is_some() {
            videos.insert(path.canonicalize().map_err(|e| Error::io(&path, "open", e))?, clip_name(&path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_in_captions() {
        let mut set = Evaluation::default();
        set.add_reference(
            "clip 1".into(),
            "The ego vehicle follows a gray SUV along a local street and stops at a sign",
        );
        let check = |text: &str, expect: bool| assert_eq!(set.by_caption(text, 0.8).is_some(), expect, "{text}");
        check("Today the ego vehicle follows a gray SUV along a local street and stops at a sign.", true);
        check("The ego vehicle follows a gray SUV along a local street.", false);
        check("", false);
        assert!(
            set.by_caption("The ego vehicle follows a gray SUV along a local street and stops at a sign", 0.0)
                .is_none()
        );
    }
}
