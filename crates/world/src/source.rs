//! Whole annotation sources on disk, laid out and named as the recipe's are, with flaws of the kinds that real sets have.
//!
//! ```text
//! DIR/videos/<name>.camera_front_wide_120fov.mp4
//! DIR/metas/<name>.label.json
//! ```
//! A name is `<uuid>` (human), `<uuid>_<event us>` (computer vision) or `<uuid>_<start ns>_<end ns>` (reasoning). The
//! first eight digits of the uuid name the drive; three to six clips share one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use records::ContentHash;
use serde_json::Value;

use crate::dice::Dice;
use crate::flaw::{self, Flaw};
use crate::labels;
use crate::scene::{Domain, Scene};

/// Which of the recipe's three sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Human captions: 17 fields.
    Human,
    /// Computer-vision auto-captions: one decision and its cause.
    Cv,
    /// Reasoning SFT: first person, notices with times.
    Reasoning,
}

/// Size and length of clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipForm {
    /// Width in pixels; even.
    pub width: u32,
    /// Height in pixels; even. Boxes of human labels suit a height of 0.6 widths.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames per second; `frames / fps` should be [`CLIP_S`](crate::CLIP_S).
    pub fps: u32,
}

/// A clip with its label, as written.
#[derive(Clone, Debug)]
pub struct WrittenClip {
    /// Name of the files, without folder and ending.
    pub name: String,
    /// The truth.
    pub scene: Scene,
    /// What is wrong with it, if something is.
    pub flaw: Option<Flaw>,
}

/// Why a source could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("cannot write {path}: {source}; make room or choose another folder", path = .path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A clip could not be encoded.
    #[error(transparent)]
    Video(#[from] video::Error),
    /// A label could not be put into words.
    #[error("a label of {name} is not JSON: {source}")]
    Label {
        /// Name of the clip.
        name: String,
        /// The cause.
        source: serde_json::Error,
    },
}

/// A clip before it is written; `model` is the clip that it copies something from.
struct Planned {
    clip: WrittenClip,
    model: Option<usize>,
    /// Start in microseconds of the epoch.
    start_us: i64,
}

/// Start of the first clip, in microseconds of the epoch.
const EPOCH_US: i64 = 1_635_960_000_000_000;

/// Writes `clips` clips of the fleet and their labels; `flaw_rate` of them, in 0..=1, have one flaw each.
///
/// Without `render` a video is a few bytes that differ from clip to clip and cannot be decoded: for measuring what does
/// not look into videos. The same arguments give the same files.
///
/// # Errors
/// [`Error`] if a file cannot be written or a clip not encoded; what is written by then stays.
pub fn write_source(
    dir: &Path,
    kind: SourceKind,
    seed: u64,
    clips: usize,
    flaw_rate: f64,
    form: ClipForm,
    render: bool,
) -> Result<Vec<WrittenClip>, Error> {
    for folder in ["videos", "metas"].map(|name| dir.join(name)) {
        fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
    }
    let plans = plan(kind, seed, clips, flaw_rate, form);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), Error> {
        while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < plans.len()) {
            write_label(dir, kind, &plans, number, form)?;
            write_video(dir, &plans[number].clip, form, render)?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<(), Error>>()
    })?;
    for plan in plans.iter().filter(|plan| plan.clip.flaw == Some(Flaw::DuplicateMedia)) {
        if let Some(model) = plan.model {
            let (from, to) = (video_path(dir, &plans[model].clip.name), video_path(dir, &plan.clip.name));
            fs::copy(&from, &to).map_err(|source| Error::Io { path: to, source })?;
        }
    }
    Ok(plans.into_iter().map(|plan| plan.clip).collect())
}

/// Draws names, scenes and flaws.
fn plan(kind: SourceKind, seed: u64, clips: usize, flaw_rate: f64, form: ClipForm) -> Vec<Planned> {
    let mut dice = Dice::new(key(&format!("source {kind:?} {seed}")));
    let mut plans: Vec<Planned> = Vec::with_capacity(clips);
    let (mut drive, mut left_in_drive) = (String::new(), 0);
    for number in 0..clips {
        let digits = ContentHash::of_text(&format!("clip {kind:?} {seed} {number}")).as_str().to_owned();
        let digits: String = digits.chars().filter(char::is_ascii_hexdigit).collect();
        if left_in_drive == 0 {
            drive = digits[..8].to_owned();
            left_in_drive = 3 + dice.below(4);
        }
        left_in_drive -= 1;
        let scene = Scene::draw(key(&digits), Domain::Fleet);
        let start_us = EPOCH_US + number as i64 * 20_000_000;
        let length_ns = i64::from(form.frames) * 1_000_000_000 / i64::from(form.fps.max(1));
        let uuid = format!("{drive}-{}-{}-{}-{}", &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]);
        let name = match kind {
            SourceKind::Human => uuid,
            SourceKind::Cv => {
                let label = labels::cv_annotation(&scene, form.fps, start_us);
                format!("{uuid}_{}", label.event_start_timestamp)
            }
            SourceKind::Reasoning => format!("{uuid}_{}_{}", start_us * 1000, start_us * 1000 + length_ns),
        };
        let wanted = dice.chance_of(flaw_rate).then(|| flaw::pick(kind, &mut dice));
        let model = plans.iter().rposition(|plan| plan.clip.flaw.is_none());
        let (clip, start_us) = match (wanted, model) {
            (Some(flaw), None) if flaw.copies() => (WrittenClip { name, scene, flaw: None }, start_us),
            // A second label of the same clip.
            (Some(Flaw::DuplicateId), Some(model)) => {
                let first = &plans[model];
                (WrittenClip { flaw: Some(Flaw::DuplicateId), ..first.clip.clone() }, first.start_us)
            }
            (flaw, _) => (WrittenClip { name, scene, flaw }, start_us),
        };
        let model = model.filter(|_| clip.flaw.is_some_and(Flaw::copies));
        plans.push(Planned { clip, model, start_us });
    }
    plans
}

/// A number from a text.
fn key(text: &str) -> u64 {
    let hash = ContentHash::of_text(text);
    let digits = hash.as_str().chars().filter_map(|digit| digit.to_digit(16));
    digits.take(16).fold(0, |key, digit| key << 4 | u64::from(digit))
}

fn video_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("videos").join(format!("{name}.camera_front_wide_120fov.mp4"))
}

fn label_of(kind: SourceKind, plan: &Planned, form: ClipForm) -> Result<Value, serde_json::Error> {
    let scene = &plan.clip.scene;
    match kind {
        SourceKind::Human => serde_json::to_value(labels::human_annotation(scene)),
        SourceKind::Cv => serde_json::to_value(labels::cv_annotation(scene, form.fps, plan.start_us)),
        SourceKind::Reasoning => serde_json::to_value(labels::reasoning_annotation(scene)),
    }
}

fn write_label(dir: &Path, kind: SourceKind, plans: &[Planned], number: usize, form: ClipForm) -> Result<(), Error> {
    let plan = &plans[number];
    let name = &plan.clip.name;
    let failed = |source| Error::Label { name: name.clone(), source };
    let mut label = label_of(kind, plan, form).map_err(failed)?;
    if let Some(flaw) = plan.clip.flaw {
        let model = plan.model.map(|model| label_of(kind, &plans[model], form)).transpose().map_err(failed)?;
        flaw::spoil(&mut label, kind, flaw, model.as_ref());
    }
    let mut text = serde_json::to_string_pretty(&label).map_err(failed)?;
    if let Some(flaw) = plan.clip.flaw {
        text = flaw::spoil_text(text, flaw);
    }
    // The second label of a clip has the other ending that label files have.
    let ending = if plan.clip.flaw == Some(Flaw::DuplicateId) { "json" } else { "label.json" };
    write(&dir.join("metas").join(format!("{name}.{ending}")), text.as_bytes())
}

fn write_video(dir: &Path, clip: &WrittenClip, form: ClipForm, render: bool) -> Result<(), Error> {
    let path = video_path(dir, &clip.name);
    match clip.flaw {
        Some(Flaw::DuplicateMedia | Flaw::DuplicateId) => Ok(()),
        Some(Flaw::InvalidClip) if clip.scene.seed.is_multiple_of(2) => write(&path, b""),
        Some(Flaw::InvalidClip) => write(&path, b"<html><body>404 Not Found</body></html>\n"),
        _ if !render => write(&path, format!("not rendered: {}\n", clip.name).as_bytes()),
        _ => {
            crate::write_clip(&clip.scene, form.width, form.height, form.frames, form.fps, &path)?;
            Ok(())
        }
    }
}

/// Writes a file under another name, then renames it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    // Two labels may have one name (a flaw), so the name that a file has until it is whole is each writer's own.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let partial = path.with_extension(format!("{}.partial", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&partial, bytes).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}
