//! Reads the sources: folders of label files, JSONL, JSON lists. A bad label is a reject; the rest goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use records::DataRoot;
use serde_json::Value;

use crate::config::{Config, Source};
use crate::json::{self, At};
use crate::label::{BoxFrame, Label};
use crate::reason::{Problem, Reason, Reject};
use crate::run::Steps;
use crate::{Error, Result};

/// Annotations parsed between two looks at the progress.
const STRETCH: usize = 2048;

/// An annotation whose label passed the checks of its format.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    /// Number of the source.
    pub source: usize,
    /// Place, for rejects.
    pub place: Place,
    /// Name of the clip.
    pub id: String,
    /// Where the video should be; `None` if there is none of this name.
    pub video: Option<PathBuf>,
    pub label: Label,
    /// The text that describes the clip.
    pub caption: String,
    /// Questions and answers beside the label.
    pub questions: Vec<(String, String)>,
}

/// Where an annotation was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub file: String,
    pub line: usize,
}

/// What a source holds.
#[derive(Default)]
pub(crate) struct Content {
    pub annotations: Vec<Annotation>,
    pub rejects: Vec<Reject>,
    /// Annotations read: kept or rejected.
    pub read: usize,
    /// Videos that no label names.
    pub videos_unlabelled: usize,
}

/// Reads one source.
pub(crate) fn read(nth: usize, config: &Config, steps: &mut Steps<'_>) -> Result<Content> {
    let Some(source) = config.source.get(nth) else { return Ok(Content::default()) };
    let [width, height] = config.filters.box_frame;
    let reader = Reader { nth, source, frame: BoxFrame { width, height } };
    if source.path.is_dir() { reader.folder(steps) } else { reader.rows(steps) }
}

struct Reader<'c> {
    nth: usize,
    source: &'c Source,
    frame: BoxFrame,
}

/// A row of a JSONL file or a list, unparsed, and its line.
type RowText<'t> = (&'t str, usize);

impl Reader<'_> {
    /// `metas/<name>.label.json`, `metas/<name>.vqa.json`, `videos/<name>[.camera].mp4`.
    fn folder(&self, steps: &mut Steps<'_>) -> Result<Content> {
        let metas = self.source.path.join("metas");
        if !metas.is_dir() {
            let message = "has no folder `metas` of label files; expected `metas/<name>.label.json` and `videos/`, or a file of rows";
            return Err(Error::Source { path: self.source.path.clone(), message: message.into() });
        }
        let names = names_in(&metas)?;
        let labels: Vec<&String> =
            names.iter().filter(|n| n.ends_with(".json") && !n.ends_with(".vqa.json") && !n.starts_with('.')).collect();
        let videos = Videos::of(&self.source.path.join("videos"))?;
        let mut content = Content { read: labels.len(), ..Content::default() };
        for (done, stretch) in labels.chunks(STRETCH).enumerate() {
            steps.at(self.source.name(), done * STRETCH, labels.len())?;
            content.take(stretch.par_iter().map(|name| self.label_file(&metas, name, &videos)).collect());
        }
        let named: std::collections::HashSet<&str> = labels.iter().map(|name| id_of_label(name)).collect();
        content.videos_unlabelled = videos.by_id.keys().filter(|id| !named.contains(id.as_str())).count();
        Ok(content)
    }

    fn label_file(&self, metas: &Path, name: &str, videos: &Videos) -> std::result::Result<Annotation, Reject> {
        let id = id_of_label(name);
        let place = |line| Place { file: format!("metas/{name}"), line };
        let fail = |problem: Problem, line| self.reject(place(line), Some(id), problem);
        let text = read_text(&metas.join(name)).map_err(|problem| fail(problem, 1))?;
        let value = json::parse(&text).map_err(|(e, line)| fail(Problem::new(Reason::BrokenJson, e), line))?;
        let placed = |problem: Problem| {
            let line = json::line_of(&text, &problem.pointer);
            fail(problem, line)
        };
        let label = Label::parse(self.source.kind, &value, self.frame).map_err(placed)?;
        let beside = metas.join(format!("{id}.vqa.json"));
        let questions = match self.teaches_vqa() && beside.is_file() {
            true => questions_in(&beside).map_err(|problem| fail(problem, 1))?,
            false => Vec::new(),
        };
        Ok(self.annotation(place(1), id, videos.by_id.get(id).cloned(), label, questions))
    }

    /// A JSONL file or a JSON list of `{"id", "video", "annotation"}`, with `"vqa"` if there are questions.
    fn rows(&self, steps: &mut Steps<'_>) -> Result<Content> {
        let path = &self.source.path;
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
        // A damaged byte spoils its own row only.
        let text = String::from_utf8_lossy(&bytes);
        let rows: Vec<RowText<'_>> = match json::list_elements(&text) {
            Some(rows) => rows,
            None => {
                (1..).zip(text.lines()).map(|(n, row)| (row.trim(), n)).filter(|(row, _)| !row.is_empty()).collect()
            }
        };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = DataRoot::open(folder)?;
        let mut content = Content { read: rows.len(), ..Content::default() };
        for (done, stretch) in rows.chunks(STRETCH).enumerate() {
            steps.at(self.source.name(), done * STRETCH, rows.len())?;
            content.take(stretch.par_iter().map(|row| self.row(&root, *row)).collect());
        }
        Ok(content)
    }

    fn row(&self, root: &DataRoot, (text, line): RowText<'_>) -> std::result::Result<Annotation, Reject> {
        let file = self.source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let place = |line| Place { file: file.clone(), line };
        let broken =
            |(e, at): (String, usize)| self.reject(place(line + at - 1), None, Problem::new(Reason::BrokenJson, e));
        let value = json::parse(text).map_err(broken)?;
        let at = At::root(&value);
        let id = id_of_row(&at).map_err(|problem| self.reject(place(line), None, problem))?;
        let fail = |problem: Problem| self.reject(place(line), Some(&id), problem);
        let annotation = at.required("annotation").map_err(fail)?;
        let label = Label::parse(self.source.kind, annotation.value, self.frame).map_err(|mut problem| {
            problem.pointer.insert_str(0, "/annotation");
            self.reject(place(line), Some(&id), problem)
        })?;
        let video = match at.optional("video").map_err(fail)? {
            Some(video) => {
                let relative = video.text().map_err(fail)?;
                match root.resolve(&relative) {
                    Ok(path) => Some(path),
                    Err(records::Error::Missing { .. }) => None,
                    Err(error) => return Err(fail(video.problem(Reason::MissingVideo, error.to_string()))),
                }
            }
            None => None,
        };
        let questions = match at.optional("vqa").map_err(fail)? {
            Some(list) if self.teaches_vqa() => questions_of(&list).map_err(fail)?,
            _ => Vec::new(),
        };
        Ok(self.annotation(place(line), &id, video, label, questions))
    }

    fn teaches_vqa(&self) -> bool {
        self.source.tasks().contains(&crate::config::Task::Vqa)
    }

    fn annotation(
        &self,
        place: Place,
        id: &str,
        video: Option<PathBuf>,
        label: Label,
        questions: Vec<(String, String)>,
    ) -> Annotation {
        let caption = label.caption();
        Annotation { source: self.nth, place, id: id.to_owned(), video, label, caption, questions }
    }

    fn reject(&self, place: Place, id: Option<&str>, problem: Problem) -> Reject {
        reject(self.source.name(), &place, id, &problem)
    }
}

impl Content {
    fn take(&mut self, read: Vec<std::result::Result<Annotation, Reject>>) {
        for one in read {
            match one {
                Ok(annotation) => self.annotations.push(annotation),
                Err(reject) => self.rejects.push(reject),
            }
        }
    }
}

/// The record of a problem.
pub(crate) fn reject(source: &str, place: &Place, id: Option<&str>, problem: &Problem) -> Reject {
    Reject {
        source: source.to_owned(),
        file: place.file.clone(),
        line: place.line,
        id: id.map(str::to_owned),
        code: problem.reason,
        message: problem.to_string(),
        counts_against_budget: problem.reason.counts_against_budget(),
    }
}

fn read_text(path: &Path) -> std::result::Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|e| Problem::new(Reason::UnreadableFile, e.to_string()))
}

fn id_of_row(at: &At<'_>) -> std::result::Result<String, Problem> {
    let field = at.required("id")?;
    match field.value {
        Value::Number(number) => Ok(number.to_string()),
        _ => match field.text()? {
            id if id.is_empty() => Err(field.problem(Reason::MissingField, "is empty")),
            id => Ok(id),
        },
    }
}

fn questions_in(path: &Path) -> std::result::Result<Vec<(String, String)>, Problem> {
    let value = json::parse(&read_text(path)?)
        .map_err(|(e, _)| Problem::new(Reason::BrokenJson, format!("in the questions beside it: {e}")))?;
    questions_of(&At { value: &value, pointer: "/vqa".into() })
}

/// A list of `{"question", "answer"}`.
fn questions_of(list: &At<'_>) -> std::result::Result<Vec<(String, String)>, Problem> {
    let pair = |at: &At<'_>| {
        let (question, answer) = (at.required("question")?.text()?, at.required("answer")?.text()?);
        match question.is_empty() || answer.is_empty() {
            true => Err(at.problem(Reason::EmptyText, "an empty question or answer")),
            false => Ok((question, answer)),
        }
    };
    list.elements()?.iter().map(pair).collect()
}

fn id_of_label(name: &str) -> &str {
    name.strip_suffix(".label.json").or_else(|| name.strip_suffix(".json")).unwrap_or(name)
}

/// Names of the files of a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let io = |e| Error::io(folder, "list", e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The videos of a folder by the name of their clip.
struct Videos {
    by_id: HashMap<String, PathBuf>,
}

impl Videos {
    /// `<id>.mp4`, or `<id>.<camera>.mp4` as the recipe names its files.
    fn of(folder: &Path) -> Result<Self> {
        let mut by_id = HashMap::new();
        if folder.is_dir() {
            for name in names_in(folder)? {
                let Some(stem) = crate::media::video_stem(&name) else { continue };
                let id = match stem.rsplit_once('.') {
                    Some((id, camera)) if camera.starts_with("camera_") => id,
                    _ => stem,
                };
                by_id.entry(id.to_owned()).or_insert_with(|| folder.join(&name));
            }
        }
        Ok(Self { by_id })
    }
}
