//! What is asked: a clip and a prompt. Lists come as JSONL, as a training set's meta.json, or as clips on the command line.

use crate::{Error, Result};
use records::{ContentHash, DataRoot, Prompt, Role, Sample, Target};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One question about one clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the request, unique in its list.
    pub id: String,
    /// The clip as the list names it.
    pub media: String,
    /// Where the clip lies.
    pub path: PathBuf,
    /// Standing instructions; none if empty.
    pub system: String,
    /// The question.
    pub user: String,
    /// The choices, if it has some.
    pub options: Vec<String>,
}

/// A line of a JSONL list. What else stands in it (references, categories, choices) is not shown to the model: a line of a
/// frozen benchmark is a request as it is.
#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    video: Option<String>,
    media: Option<String>,
    clip: Option<String>,
    prompt: Option<String>,
    user: Option<String>,
    question: Option<String>,
    system: Option<String>,
    #[serde(default)]
    options: Vec<String>,
}

/// Requests for clips given one by one, each with the default prompt; the id is the path.
pub fn requests_of_clips(clips: &[PathBuf], prompt: &Prompt) -> Vec<Request> {
    clips
        .iter()
        .map(|path| with_prompt(path.display().to_string(), path.display().to_string(), path.clone(), prompt))
        .collect()
}

/// Reads a list: `FILE.jsonl` (a line `{"video": path, "id"?, "prompt"?, "system"?, "options"?}`; other keys are not read), a `meta.json`, or a folder that
/// holds one. Paths are relative to the list and may not leave its folder.
///
/// # Errors
/// [`Error::Line`] or [`Error::Records`] naming the entry.
pub fn read_requests(list: &Path, prompt: &Prompt) -> Result<Vec<Request>> {
    let list = if list.is_dir() { list.join("meta.json") } else { list.to_path_buf() };
    let folder = list.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = DataRoot::open(folder)?;
    let requests = match list.extension().is_some_and(|e| e == "jsonl") {
        true => read_jsonl(&list, &root, prompt)?,
        false => {
            let samples = records::read_meta(&list)?;
            samples
                .iter()
                .enumerate()
                .map(|(i, sample)| of_sample(&list, i + 1, sample, &root, prompt))
                .collect::<Result<_>>()?
        }
    };
    let mut ids = std::collections::HashSet::new();
    match requests.iter().position(|r: &Request| !ids.insert(r.id.clone())) {
        None => Ok(requests),
        Some(at) => Err(Error::Line {
            path: list,
            line: at + 1,
            message: format!("id `{}` was used before; ids must be unique", requests[at].id),
        }),
    }
}

fn with_prompt(id: String, media: String, path: PathBuf, prompt: &Prompt) -> Request {
    Request { id, media, path, system: prompt.system.clone(), user: prompt.user.clone(), options: Vec::new() }
}

fn read_jsonl(list: &Path, root: &DataRoot, prompt: &Prompt) -> Result<Vec<Request>> {
    let text = std::fs::read_to_string(list).map_err(|source| Error::Io { path: list.to_path_buf(), source })?;
    let mut requests = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |message: String| Error::Line { path: list.to_path_buf(), line: index + 1, message };
        let line: Line = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
        let video = line.video.or(line.media).or(line.clip);
        let video = video.ok_or_else(|| bad("it names no clip; expected the key `video`, a path".into()))?;
        let path = root.resolve(&video).map_err(|e| bad(e.to_string()))?;
        let id = line.id.unwrap_or_else(|| video.clone());
        let mut request = with_prompt(id, video, path, prompt);
        if let Some(user) = line.prompt.or(line.user).or(line.question) {
            request.user = user;
        }
        if let Some(system) = line.system {
            request.system = system;
        }
        request.options = line.options;
        requests.push(request);
    }
    Ok(requests)
}

/// The question of a training sample: what stands before its first answer.
fn of_sample(list: &Path, entry: usize, sample: &Sample, root: &DataRoot, prompt: &Prompt) -> Result<Request> {
    let bad = |message: &str| Error::Line { path: list.to_path_buf(), line: entry, message: message.to_owned() };
    let [media] = sample.media.as_slice() else {
        return Err(bad("a request needs exactly one clip"));
    };
    let path = root.resolve(&media.path).map_err(|e| bad(&e.to_string()))?;
    let mut request = with_prompt(sample.id.clone(), media.path.clone(), path, prompt);
    if let Target::Conversation(turns) = &sample.target {
        let text = |role: Role| {
            let turn = turns.iter().take_while(|t| t.role != Role::Assistant).find(|t| t.role == role);
            turn.map(|turn| {
                turn.content
                    .iter()
                    .filter_map(|part| match part {
                        records::Part::Text(text) => Some(text.as_str()),
                        records::Part::Media(_) => None,
                    })
                    .collect::<String>()
            })
        };
        request.system = text(Role::System).unwrap_or_default();
        request.user = text(Role::User).ok_or_else(|| bad("the conversation has no user turn before the answer"))?;
    }
    Ok(request)
}

/// Hash of the words around the clip.
pub(crate) fn prompt_hash(request: &Request) -> ContentHash {
    ContentHash::of_text(&format!("system:{}\nuser:<video>{}", request.system, request.user))
}
