//! `meta.json`: a JSON list of `{id, media | video | image, conversation | conversations | text}`.
//!
//! Formats accepted (source: cosmos-cookbook `av_3d_grounding`, cosmos-reason2 `llava_sft.py`):
//! `conversation` is a list of `{role, content}`, content a text or a list of typed parts whose media are named by
//! placeholder (`video_0`) or path; `conversations` is LLaVA's `{from, value}` with `<video>` tags; `text` is a file.
//! Other keys of an entry are its owner's and are not read.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::root::check_relative;
use crate::{DataRoot, Error, Media, MediaKind, Part, Result, Role, Sample, Target, Turn, llava};

/// Reads a `meta.json` and checks that no media path leaves its folder.
///
/// # Errors
/// [`Error`] that names the file, the entry's number from 0, the key, and what was expected.
pub fn read_meta(path: &Path) -> Result<Vec<Sample>> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "open", e))?;
    let samples = parse_meta(path, std::io::BufReader::new(file))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = DataRoot::open(folder)?;
    let mut inside = HashSet::new();
    for (entry, sample) in samples.iter().enumerate() {
        let text = match &sample.target {
            Target::TextFile(file) => Some(file),
            Target::Conversation(_) => None,
        };
        for file in sample.media.iter().map(|media| &media.path).chain(text) {
            root.check_links(file, &mut inside).map_err(|e| Error::Entry {
                path: path.to_path_buf(),
                entry,
                id: Some(sample.id.clone()),
                message: e.to_string(),
            })?;
        }
    }
    Ok(samples)
}

/// Parses a `meta.json` without looking at the disk; `path` serves messages only.
///
/// # Errors
/// As [`read_meta`], symbolic links left unchecked.
pub fn parse_meta(path: &Path, reader: impl Read) -> Result<Vec<Sample>> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut faults = Faults { path, entry: 0, id: None };
    let mut failure = None;
    let list = json.deserialize_any(Entries { faults: &mut faults, failure: &mut failure });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let entry = faults.entry;
    let broken =
        |e: serde_json::Error| Error::Json { path: path.to_path_buf(), message: format!("entry {entry}: {e}") };
    let samples = list.map_err(broken)?;
    json.end().map_err(|e| Error::Json { path: path.to_path_buf(), message: format!("after the list: {e}") })?;
    Ok(samples)
}

/// Takes the list entry by entry, so that a million of them never stand in memory as JSON values.
struct Entries<'a, 'p> {
    faults: &'a mut Faults<'p>,
    failure: &'a mut Option<Error>,
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = Vec<Sample>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of entries `{id, media, conversation}`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let mut samples: Vec<Sample> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        while let Some(value) = list.next_element::<Value>()? {
            self.faults.id = None;
            let entry =
                sample(self.faults, &value).and_then(|sample| match seen.insert(sample.id.clone(), samples.len()) {
                    None => Ok(sample),
                    Some(first) => {
                        Err(self.faults.at(format!("key `id`: entry {first} has the same id; ids must be unique")))
                    }
                });
            match entry {
                Ok(sample) => samples.push(sample),
                Err(failure) => {
                    *self.failure = Some(failure);
                    return Err(serde::de::Error::custom("bad entry"));
                }
            }
            self.faults.entry += 1;
        }
        Ok(samples)
    }
}

/// Where errors are, for their messages.
pub(crate) struct Faults<'p> {
    path: &'p Path,
    entry: usize,
    id: Option<String>,
}

impl Faults<'_> {
    pub(crate) fn at(&self, message: impl Into<String>) -> Error {
        Error::Entry { path: self.path.to_path_buf(), entry: self.entry, id: self.id.clone(), message: message.into() }
    }

    fn expected(&self, key: &str, what: &str, got: &Value) -> Error {
        self.at(format!("key `{key}`: expected {what}, got {}", kind_of(got)))
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn sample(faults: &mut Faults<'_>, value: &Value) -> Result<Sample> {
    let object = value.as_object().ok_or_else(|| faults.at(format!("expected an object, got {}", kind_of(value))))?;
    let id = match object.get("id") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(other) => return Err(faults.expected("id", "a text that is not empty", other)),
        None => return Err(faults.at("key `id` is missing; expected a text")),
    };
    faults.id = Some(id.clone());
    let mut media = media(faults, object)?;
    let given: Vec<&str> =
        ["conversation", "conversations", "text"].into_iter().filter(|key| object.contains_key(*key)).collect();
    let target = match (given.as_slice(), object) {
        (["conversation"], o) => Target::Conversation(conversation(faults, &o["conversation"], &mut media)?),
        (["conversations"], o) => Target::Conversation(conversations(faults, &o["conversations"], &mut media)?),
        (["text"], o) => Target::TextFile(relative_path(faults, "text", &o["text"])?),
        ([], _) => {
            return Err(faults.at("expected a key `conversation` (list of turns) or `text` (path of a file)"));
        }
        (several, _) => {
            return Err(faults.at(format!("keys {several:?} exclude each other; keep one")));
        }
    };
    Ok(Sample { id, media, target })
}

/// Media from the keys `media`, `video(s)`, `image(s)`: a path or a list of paths each.
fn media(faults: &Faults<'_>, object: &Map<String, Value>) -> Result<Vec<Media>> {
    let mut media = Vec::new();
    for key in ["media", "video", "videos", "image", "images"] {
        let paths = match object.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        for path in paths {
            let path = relative_path(faults, key, path)?;
            let kind = match key {
                "media" => kind_by_name(&path),
                "video" | "videos" => MediaKind::Video,
                _ => MediaKind::Image,
            };
            media.push(Media { kind, path });
        }
    }
    Ok(media)
}

fn kind_by_name(path: &str) -> MediaKind {
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "jpg" | "jpeg" | "png" | "webp" | "bmp" | "gif" | "tif" | "tiff" => MediaKind::Image,
        _ => MediaKind::Video,
    }
}

fn relative_path(faults: &Faults<'_>, key: &str, value: &Value) -> Result<String> {
    let path =
        value.as_str().ok_or_else(|| faults.expected(key, "a path relative to the folder of meta.json", value))?;
    check_relative(path).map_err(|e| faults.at(format!("key `{key}`: {e}")))?;
    Ok(path.to_owned())
}

fn conversation(faults: &Faults<'_>, value: &Value, media: &mut Vec<Media>) -> Result<Vec<Turn>> {
    let list = value.as_array().ok_or_else(|| faults.expected("conversation", "a list of turns", value))?;
    let mut turns = Vec::with_capacity(list.len());
    for (index, turn) in list.iter().enumerate() {
        let key = format!("conversation[{index}]");
        let object = turn.as_object().ok_or_else(|| faults.expected(&key, "an object {role, content}", turn))?;
        let role = role(faults, &key, "role", object)?;
        let content = match object.get("content") {
            Some(Value::String(text)) => vec![Part::Text(text.clone())],
            Some(Value::Array(parts)) => {
                let part = |(i, p)| part(faults, &format!("{key}.content[{i}]"), p, media);
                parts.iter().enumerate().map(part).collect::<Result<_>>()?
            }
            Some(other) => {
                return Err(faults.expected(&format!("{key}.content"), "a text or a list of parts", other));
            }
            None => {
                return Err(faults.at(format!("key `{key}.content` is missing; expected a text or a list of parts")));
            }
        };
        turns.push(Turn { role, content });
    }
    finish(faults, turns, media)
}

fn conversations(faults: &Faults<'_>, value: &Value, media: &mut Vec<Media>) -> Result<Vec<Turn>> {
    let list = value.as_array().ok_or_else(|| faults.expected("conversations", "a list of turns", value))?;
    // Some data sets store this key with the `{role, content}` turns of `conversation`.
    if list.first().is_some_and(|turn| turn.get("role").is_some()) {
        return conversation(faults, value, media);
    }
    let mut next_media = 0;
    let mut turns = Vec::with_capacity(list.len());
    for (index, turn) in list.iter().enumerate() {
        let key = format!("conversations[{index}]");
        let object = turn.as_object().ok_or_else(|| faults.expected(&key, "an object {from, value}", turn))?;
        let role = role(faults, &key, "from", object)?;
        let text = match object.get("value") {
            Some(Value::String(text)) => text,
            other => {
                return Err(faults.expected(&format!("{key}.value"), "a text", other.unwrap_or(&Value::Null)));
            }
        };
        turns.push(Turn { role, content: llava::content(text, &mut next_media) });
    }
    finish(faults, turns, media)
}

fn role(faults: &Faults<'_>, turn: &str, key: &str, object: &Map<String, Value>) -> Result<Role> {
    match object.get(key).and_then(Value::as_str) {
        Some("system") => Ok(Role::System),
        Some("user" | "human") => Ok(Role::User),
        Some("assistant" | "gpt") => Ok(Role::Assistant),
        Some(other) => Err(faults.at(format!("key `{turn}.{key}`: expected system, user or assistant, got {other:?}"))),
        None => Err(faults.at(format!("key `{turn}.{key}` is missing; expected system, user or assistant"))),
    }
}

fn part(faults: &Faults<'_>, key: &str, value: &Value, media: &mut Vec<Media>) -> Result<Part> {
    let object = value.as_object().ok_or_else(|| faults.expected(key, "an object with `type`", value))?;
    let kind = match object.get("type").and_then(Value::as_str) {
        Some("text") => {
            let text = object.get("text").unwrap_or(&Value::Null);
            let text = text.as_str().ok_or_else(|| faults.expected(&format!("{key}.text"), "a text", text))?;
            return Ok(Part::Text(text.to_owned()));
        }
        Some("video") => MediaKind::Video,
        Some("image") => MediaKind::Image,
        other => {
            return Err(faults.at(format!("key `{key}.type`: expected text, video or image, got {other:?}")));
        }
    };
    let word = if kind == MediaKind::Video { "video" } else { "image" };
    let name = [word, "media", "path"].into_iter().find_map(|k| object.get(k)).unwrap_or(&Value::Null);
    let wanted = format!("a placeholder such as {word}_0, or a path");
    let name = name.as_str().ok_or_else(|| faults.expected(&format!("{key}.{word}"), &wanted, name))?;
    let placeholder = name.strip_prefix(word).and_then(|n| n.strip_prefix('_')).and_then(|n| n.parse::<usize>().ok());
    if let Some(number) = placeholder {
        return of_kind(media, kind, number).map(Part::Media).ok_or_else(|| {
            faults.at(format!("key `{key}`: {name} is not among the {} media of the entry", media.len()))
        });
    }
    if let Some(index) = media.iter().position(|m| m.path == name) {
        return Ok(Part::Media(index));
    }
    let path = relative_path(faults, &format!("{key}.{word}"), &Value::String(name.to_owned()))?;
    media.push(Media { kind, path });
    Ok(Part::Media(media.len() - 1))
}

/// Index of the `number`-th media of a kind.
fn of_kind(media: &[Media], kind: MediaKind, number: usize) -> Option<usize> {
    media.iter().enumerate().filter(|(_, m)| m.kind == kind).nth(number).map(|(index, _)| index)
}

/// Checks a dialogue as a whole; media that no turn shows are put before the words of the first user turn.
fn finish(faults: &Faults<'_>, mut turns: Vec<Turn>, media: &[Media]) -> Result<Vec<Turn>> {
    if !turns.iter().any(|turn| turn.role == Role::Assistant) {
        return Err(faults.at("the conversation has no assistant turn; there is nothing to train on"));
    }
    if let Some(index) = turns.iter().skip(1).position(|turn| turn.role == Role::System) {
        return Err(faults.at(format!("turn {} is a system turn; only the first may be", index + 1)));
    }
    let mut shown = vec![0usize; media.len()];
    for turn in &turns {
        for part in &turn.content {
            let Part::Media(index) = part else { continue };
            if turn.role != Role::User {
                return Err(faults.at("media may stand in user turns only"));
            }
            match shown.get_mut(*index) {
                Some(count) => *count += 1,
                None => {
                    return Err(faults.at(format!("media {index} is named, but the entry has {}", media.len())));
                }
            }
        }
    }
    if let Some(twice) = shown.iter().position(|&count| count > 1) {
        return Err(faults.at(format!("media {twice} is shown more than once")));
    }
    if shown.iter().all(|&count| count == 0) && !media.is_empty() {
        let user = turns.iter_mut().find(|turn| turn.role == Role::User);
        let user = user.ok_or_else(|| faults.at("the entry has media but no user turn to show them in"))?;
        user.content.splice(0..0, (0..media.len()).map(Part::Media));
    } else if let Some(unused) = shown.iter().position(|&count| count == 0) {
        return Err(faults.at(format!("media {unused} is never shown, though others are")));
    }
    Ok(turns)
}

#[cfg(test)]
mod tests;
