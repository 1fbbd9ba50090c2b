//! The clips of a benchmark: a list, or a folder of videos.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Endings of files that are taken for videos.
const VIDEO_ENDINGS: [&str; 4] = ["mp4", "mov", "mkv", "webm"];

/// A clip to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Name, unique in the list.
    pub name: String,
    /// Where the video lies.
    pub path: PathBuf,
}

/// A line that is no usable clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The list.
    pub file: String,
    /// Number of the line, from 1; 0 for a file of a folder.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// What a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClipList {
    /// Usable clips, in the order of the list.
    pub clips: Vec<Clip>,
    /// The others.
    pub rejects: Vec<Reject>,
}

#[derive(Deserialize)]
struct Line {
    clip: String,
    video: String,
}

/// Reads clips: a folder, all of whose videos are taken in order of name (the name of a clip is its file's without the
/// ending), or JSON Lines `{"clip": name, "video": path}` with paths relative to the list. Other keys are ignored.
///
/// # Errors
/// [`Error::Io`] if there is no such list; [`Error::Draw`] if it has no usable clip.
pub fn read_clips(source: &Path) -> Result<ClipList> {
    let mut list = ClipList::default();
    let mut names = HashSet::new();
    let mut add = |line: usize, clip: std::result::Result<Clip, String>, list: &mut ClipList| {
        let checked = clip.and_then(|clip| checked(clip, &mut names));
        match checked {
            Ok(clip) => list.clips.push(clip),
            Err(reason) => list.rejects.push(Reject { file: source.display().to_string(), line, reason }),
        }
    };
    if source.is_dir() {
        for path in videos_of(source)? {
            let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            add(0, Ok(Clip { name, path }), &mut list);
        }
    } else {
        let bytes = std::fs::read(source).map_err(Error::io(source, "read"))?;
        let folder = source.parent().unwrap_or(Path::new(""));
        for (index, line) in bytes.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty())
        {
            let parsed = serde_json::from_slice::<Line>(line).map_err(|e| e.to_string());
            add(index + 1, parsed.map(|l| Clip { name: l.clip, path: folder.join(l.video) }), &mut list);
        }
    }
    match (list.clips.is_empty(), list.rejects.first()) {
        (false, _) => Ok(list),
        (true, None) => Err(Error::Draw { message: format!("{}: there are no clips in it", source.display()) }),
        (true, Some(Reject { line, reason, .. })) => Err(Error::Draw {
            message: format!("{}: no line is a usable clip; line {line}: {reason}", source.display()),
        }),
    }
}

fn videos_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "list"))? {
        let path = entry.map_err(Error::io(folder, "list"))?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if VIDEO_ENDINGS.contains(&ending.as_str()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn checked(clip: Clip, names: &mut HashSet<String>) -> std::result::Result<Clip, String> {
    let name = &clip.name;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) || name.len() > 200 {
        return Err(format!(
            "the clip name {name:?} cannot name a file: it needs 1 to 200 bytes, no `/` or `\\`, no `.` in front"
        ));
    }
    if !clip.path.is_file() {
        return Err(format!("clip `{name}`: there is no video {}", clip.path.display()));
    }
    if !names.insert(name.clone()) {
        return Err(format!("clip `{name}` was there before; names must be unique"));
    }
    Ok(clip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_counted_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("videos")).unwrap();
        for name in ["b.mp4", "a.MP4", "notes.txt"] {
            std::fs::write(dir.path().join("videos").join(name), name).unwrap();
        }
        let folder = read_clips(&dir.path().join("videos")).unwrap();
        assert_eq!(folder.clips.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let list = dir.path().join("clips.jsonl");
        let rows = [
            r#"{"clip": "a", "video": "videos/a.MP4", "drive": 3}"#,
            r#"{"clip": "b", "video": "#,
            "",
            r#"{"clip": "a", "video": "videos/b.mp4"}"#,
            r#"{"clip": "c", "video": "videos/c.mp4"}"#,
            r#"{"clip": "../d", "video": "videos/b.mp4"}"#,
        ];
        std::fs::write(&list, rows.join("\n")).unwrap();
        let read = read_clips(&list).unwrap();
        assert_eq!(read.clips.len(), 1);
        let reasons: Vec<_> = read.rejects.iter().map(|r| (r.line, r.reason.as_str())).collect();
        for (at, (line, part)) in
            [(2, "EOF"), (4, "was there before"), (5, "there is no video"), (6, "cannot name")].iter().enumerate()
        {
            assert!(reasons[at].0 == *line && reasons[at].1.contains(part), "{:?}", reasons[at]);
        }
        std::fs::write(&list, "{}\n").unwrap();
        assert!(read_clips(&list).unwrap_err().to_string().contains("line 1"));
    }
}
