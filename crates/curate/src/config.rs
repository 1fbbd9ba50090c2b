//! The keys of `curate.toml`: what the user typed, with defaults, checked as a whole.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::label::SourceKind;
use crate::{Error, Result};

/// The whole file. Paths are relative to the working folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of the split and of the preview (default 0).
    pub seed: u64,
    /// Largest share of annotations that may be defective before the run stops (default 0.05).
    pub reject_budget: f64,
    /// Whether videos are looked at; without, no duration, no duplicate by media, no preview (default true).
    pub decode: bool,
    /// How videos get into the set (default `hard`).
    pub link: Link,
    /// A file of prompts that replace or extend the built-in ones.
    pub prompts: Option<PathBuf>,
    /// A model folder; its tokenizer counts the tokens of the card. Read by the caller.
    pub model: Option<PathBuf>,
    /// The sources, in the order of the training configuration's `subdirectories`.
    pub source: Vec<Source>,
    /// What is kept.
    pub filters: Filters,
    /// What may not be trained on.
    pub eval_set: EvalSet,
    /// Training and validation.
    pub split: Split,
    /// The mix that the card computes effective epochs for.
    pub blend: Blend,
    /// The preview grid.
    pub preview: Preview,
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Format of the annotations.
    pub kind: SourceKind,
    /// Subdirectory of the set (default `human_annotated`, `cv_annotated` or `reason1_sft`).
    #[serde(default)]
    pub name: Option<String>,
    /// A folder with `metas/` and `videos/`, or a file of rows `{"id", "video", "annotation"}`: JSONL or a JSON list.
    pub path: PathBuf,
    /// What is made of an annotation (default `caption`; `reasoning` for the reasoning kind).
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Largest share of defective annotations of this source alone (default: only the budget of the run).
    #[serde(default)]
    pub reject_budget: Option<f64>,
}

/// What a sample teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A description in prose.
    Caption,
    /// The 15 fields as a JSON object.
    Rubric,
    /// Description, difficulty and timed notices.
    Reasoning,
    /// Questions and answers in several turns.
    Vqa,
}

/// How videos get into the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A hard link; a copy where the file system refuses one.
    #[default]
    Hard,
    /// A copy.
    Copy,
}

/// `[filters]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Shortest clip, in seconds (default 1).
    pub duration_min_s: f64,
    /// Longest clip, in seconds (default 120).
    pub duration_max_s: f64,
    /// Fewest words of a description (default 4).
    pub words_min: usize,
    /// Whether clips of rule violations are dropped (default true).
    pub drop_rule_violations: bool,
    /// Whether labels that deny themselves are dropped (default true).
    pub drop_contradictions: bool,
    /// Phrases that make a description boilerplate, beside the built-in ones.
    pub boilerplate: Vec<String>,
    /// How far a notice may reach over the end of its clip, in seconds (default 0.5).
    pub notice_slack_s: f64,
    /// Width and height in pixels of the frames that boxes were drawn in (default 3840 x 2440).
    pub box_frame: [f64; 2],
    /// Share of common word triples from which two descriptions of a source are the same (default 0.85); 0 keeps all.
    pub near_caption: f64,
    /// Descriptions kept of each group of same ones (default 1).
    pub near_caption_copies: usize,
    /// Bits of 64 in which each frame of two same clips may differ (default 6, at most 7).
    pub near_frames_bits: u32,
    /// Whether clips of nearly the same frames are dropped (default true).
    pub drop_near_frames: bool,
}

/// `[eval_set]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSet {
    /// JSONL files: benchmark items, caption requests, references. Videos are relative to each file.
    pub files: Vec<PathBuf>,
    /// Folders whose mp4, mov and mkv files are evaluation clips.
    pub videos: Vec<PathBuf>,
    /// Share of a reference's runs of eight words in a description that makes it leaked (default 0.8); 0 switches it off.
    pub caption_overlap: f64,
    /// Whether clips of a drive of the evaluation set are dropped (default true).
    pub drop_same_drive: bool,
}

/// `[split]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// Share of drives that go to validation, 0 to 0.5 (default 0.05).
    pub validation_share: f64,
    /// Regular expression whose one group is the drive in a clip's id; excludes `drive_characters`.
    pub drive_pattern: Option<String>,
    /// The drive is this many first characters of the id (default 8).
    pub drive_characters: Option<usize>,
}

/// `[blend]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blend {
    /// Weights of the sources, in their order (default: by number of samples).
    pub weights: Option<Vec<f64>>,
    /// Samples drawn in one virtual epoch (default: as many as there are).
    pub virtual_epoch: Option<u64>,
}

/// `[preview]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preview {
    /// Most clips of the grid; 0 makes none (default 100).
    pub clips: usize,
    /// Width and height of a cell in pixels, even (default 96 x 60).
    pub cell: [u32; 2],
    /// Length in seconds (default 4).
    pub seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            reject_budget: 0.05,
            decode: true,
            link: Link::Hard,
            prompts: None,
            model: None,
            source: Vec::new(),
            filters: Filters::default(),
            eval_set: EvalSet::default(),
            split: Split::default(),
            blend: Blend::default(),
            preview: Preview::default(),
        }
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            duration_min_s: 1.0,
            duration_max_s: 120.0,
            words_min: 4,
            drop_rule_violations: true,
            drop_contradictions: true,
            boilerplate: Vec::new(),
            notice_slack_s: 0.5,
            box_frame: [3840.0, 2440.0],
            near_caption: 0.85,
            near_caption_copies: 1,
            near_frames_bits: 6,
            drop_near_frames: true,
        }
    }
}

impl Default for EvalSet {
    fn default() -> Self {
        Self { files: Vec::new(), videos: Vec::new(), caption_overlap: 0.8, drop_same_drive: true }
    }
}

impl Default for Split {
    fn default() -> Self {
        Self { validation_share: 0.05, drive_pattern: None, drive_characters: None }
    }
}

impl Default for Preview {
    fn default() -> Self {
        Self { clips: 100, cell: [96, 60], seconds: 4 }
    }
}

impl Source {
    /// The subdirectory.
    pub fn name(&self) -> &str {
        let usual = match self.kind {
            SourceKind::Human => "human_annotated",
            SourceKind::Cv => "cv_annotated",
            SourceKind::Reasoning => "reason1_sft",
        };
        self.name.as_deref().unwrap_or(usual)
    }

    /// What is made of an annotation.
    pub fn tasks(&self) -> &[Task] {
        match (self.tasks.as_slice(), self.kind) {
            ([], SourceKind::Reasoning) => &[Task::Reasoning],
            ([], _) => &[Task::Caption],
            (given, _) => given,
        }
    }
}

impl Task {
    /// The name in configurations, sample ids and prompt names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caption => "caption",
            Self::Rubric => "rubric",
            Self::Reasoning => "reasoning",
            Self::Vqa => "vqa",
        }
    }

    /// Whether a source of a kind can teach it.
    pub fn fits(self, kind: SourceKind) -> bool {
        match self {
            Self::Caption | Self::Vqa => true,
            Self::Rubric => kind == SourceKind::Human,
            Self::Reasoning => kind == SourceKind::Reasoning,
        }
    }
}

impl Config {
    /// Reads and checks a `curate.toml`.
    ///
    /// # Errors
    /// [`Error::Config`] with file and line: no TOML, an unknown key (with the nearest known one), a wrong type, a
    /// value out of range; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
        let config: Self = from_toml(path, &text)?;
        config.check().map_err(|fault| fault.in_file(path, &text))?;
        Ok(config)
    }

    /// Checks values and what keys mean together.
    ///
    /// # Errors
    /// [`Fault`] naming the key.
    pub fn check(&self) -> std::result::Result<(), Fault> {
        let within = |key: &str, value: f64, low: f64, high: f64| match value >= low && value <= high {
            true => Ok(()),
            false => Err(Fault::new(key, format!("{value} is outside {low} to {high}"))),
        };
        within("reject_budget", self.reject_budget, 0.0, 1.0)?;
        within("validation_share", self.split.validation_share, 0.0, 0.5)?;
        within("duration_min_s", self.filters.duration_min_s, 0.0, 21600.0)?;
        within("duration_max_s", self.filters.duration_max_s, self.filters.duration_min_s, 21600.0)?;
        within("notice_slack_s", self.filters.notice_slack_s, 0.0, 60.0)?;
        within("near_caption", self.filters.near_caption, 0.0, 1.0)?;
        within("near_caption_copies", self.filters.near_caption_copies as f64, 1.0, 1e9)?;
        within("near_frames_bits", f64::from(self.filters.near_frames_bits), 0.0, 7.0)?;
        within("caption_overlap", self.eval_set.caption_overlap, 0.0, 1.0)?;
        within("clips", self.preview.clips as f64, 0.0, 400.0)?;
        within("seconds", f64::from(self.preview.seconds), 1.0, 60.0)?;
        for side in self.filters.box_frame {
            within("box_frame", side, 1.0, 1e5)?;
        }
        if let Some(side) = self.preview.cell.iter().find(|side| !side.is_multiple_of(2) || !(16..=180).contains(*side))
        {
            return Err(Fault::new("cell", format!("{side} is not an even number from 16 to 180")));
        }
        let side = self.preview.clips.isqrt() as u32;
        let [width, height] = self.preview.cell.map(|length| side * length);
        if width.max(height) > 3840 || width.min(height) > 2160 {
            let message = format!("makes a preview of {width} x {height}; the most is 3840 x 2160");
            return Err(Fault::new("cell", message));
        }
        if self.split.drive_pattern.is_some() && self.split.drive_characters.is_some() {
            return Err(Fault::new("drive_pattern", "and `drive_characters` exclude each other; keep one"));
        }
        crate::split::DriveName::of(&self.split)?;
        self.check_sources()?;
        self.check_blend()
    }

    fn check_sources(&self) -> std::result::Result<(), Fault> {
        if self.source.is_empty() {
            return Err(Fault::new("source", "there is none; add `[[source]]` with `kind` and `path`"));
        }
        for (nth, source) in self.source.iter().enumerate() {
            let fault =
                |key: &str, message: String| Err(Fault { source_number: Some(nth), ..Fault::new(key, message) });
            let name = source.name();
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') || name == "validation" {
                return fault("name", format!("{name:?} cannot be a subdirectory; use letters, digits, `_`, `-`"));
            }
            if self.source.iter().take(nth).any(|earlier| earlier.name() == name) {
                return fault("name", format!("two sources are called {name:?}; give one another `name`"));
            }
            if let Some(task) = source.tasks().iter().find(|task| !task.fits(source.kind)) {
                let fit = [Task::Caption, Task::Rubric, Task::Reasoning, Task::Vqa].map(|t| (t.fits(source.kind), t));
                let fit: Vec<&str> = fit.iter().filter(|(fits, _)| *fits).map(|(_, t)| t.name()).collect();
                let (task, kind) = (task.name(), source.kind.name());
                return fault(
                    "tasks",
                    format!("a source of kind {kind:?} cannot teach {task:?}; it can: {}", fit.join(", ")),
                );
            }
            let mut tasks = source.tasks().to_vec();
            tasks.sort_unstable();
            if tasks.windows(2).any(|pair| pair[0] == pair[1]) {
                return fault("tasks", "names a task twice".to_owned());
            }
            if source.reject_budget.is_some_and(|budget| !(0.0..=1.0).contains(&budget)) {
                return fault("reject_budget", "is a share from 0 to 1".to_owned());
            }
        }
        Ok(())
    }

    fn check_blend(&self) -> std::result::Result<(), Fault> {
        let Some(weights) = &self.blend.weights else { return Ok(()) };
        if weights.len() != self.source.len() {
            let message = format!("{} weights for {} sources; give one for each", weights.len(), self.source.len());
            return Err(Fault::new("weights", message));
        }
        let sum: f64 = weights.iter().sum();
        match weights.iter().all(|w| w.is_finite() && *w >= 0.0) && sum > 0.0 && sum.is_finite() {
            true => Ok(()),
            false => Err(Fault::new("weights", "must be numbers of at least 0, one of them more")),
        }
    }
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// The key, without its table.
    pub key: String,
    /// Number of the `[[source]]` it stands in, from 0.
    pub source_number: Option<usize>,
    /// What is wrong and what to write.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), source_number: None, message: message.into() }
    }

    /// The error, placed on the line of the key, or of its `[[source]]` if the key is not written.
    fn in_file(&self, path: &Path, text: &str) -> Error {
        let mut sources = 0;
        let mut place = None;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim_start();
            if content.starts_with("[[source]]") {
                sources += 1;
                place = if self.source_number == Some(sources - 1) { Some(line) } else { place };
            }
            let here = self.source_number.is_none_or(|nth| nth + 1 == sources);
            let is_key = content.strip_prefix(self.key.as_str()).is_some_and(|rest| rest.trim_start().starts_with('='));
            if here && is_key {
                place = Some(line);
                break;
            }
        }
        let line = place.map(|line| format!(":{line}")).unwrap_or_default();
        Error::Config { place: format!("{}{line}", path.display()), message: self.to_string() }
    }
}

/// Parses TOML; errors carry the line, and an unknown key the nearest known one.
pub(crate) fn from_toml<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().map(|span| &text.as_bytes()[..span.start.min(text.len())]);
        let line = before.map(|before| format!(":{}", 1 + before.iter().filter(|&&b| b == b'\n').count()));
        Error::Config {
            place: format!("{}{}", path.display(), line.unwrap_or_default()),
            message: with_nearest(error.message().trim()),
        }
    })
}

/// Serde lists the names it knows; the nearest is what was meant.
fn with_nearest(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant ")) else {
        return message.to_owned();
    };
    let word = if message.starts_with("unknown field") { "key" } else { "value" };
    let mut names = rest.split('`').skip(1).step_by(2);
    let given = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let near = known.iter().max_by(|a, b| {
        let close = |name: &str| strsim::jaro_winkler(name, given);
        close(a).total_cmp(&close(b))
    });
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("unknown {word} `{given}`{near} Known are: {}", known.join(", "))
}

#[cfg(test)]
mod tests;
