//! `cargo xtask tidy`: the rules of the house that a machine can check. Also a test.
//!
//! The limits in `tidy.toml` may only fall: a longer function, a longer file or one more package than there was
//! fails; what has become better is told, so that the limit follows.

mod manifests;
mod source;
mod text;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::Outcome;

/// Lines of a function that are always fine: the limit never needs to fall below.
const FUNCTION_LINES_GOAL: usize = 70;
/// Lines of a file that are always fine.
const FILE_LINES_GOAL: usize = 800;
/// Largest ARCHITECTURE.md, in lines: it is to be read in one sitting.
const ARCHITECTURE_LINES_MAX: usize = 200;
/// What holds nothing of the project (`.git` is a file in a work tree).
const SKIPPED: [&str; 4] = [".git", "target", "runs", ".venv"];

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// A file of the tree that is text.
struct TextFile {
    /// Path from the repository root.
    path: PathBuf,
    text: String,
    bytes: usize,
}

/// `tidy.toml`: the worst there is, which may only become less.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratchet {
    function_lines_max: usize,
    file_lines_max: usize,
    binary_packages_max: usize,
}

/// The folder that holds the workspace.
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Checks the tree under `root`, prints what is wrong; returns whether nothing is.
///
/// # Errors
/// If the tree or `tidy.toml` cannot be read.
pub fn run(root: &Path) -> Outcome<bool> {
    let (findings, notes) = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    for note in &notes {
        println!("note: {note}");
    }
    println!("tidy: {} finding{}", findings.len(), if findings.len() == 1 { "" } else { "s" });
    Ok(findings.is_empty())
}

fn check(root: &Path) -> Outcome<(Vec<Finding>, Vec<String>)> {
    let ratchet: Ratchet = toml::from_str(&std::fs::read_to_string(root.join("tidy.toml"))?)?;
    let files = text_files(root)?;
    let mut findings = Vec::new();
    let mut longest_function = (0, String::new());
    let mut longest_file = (0, String::new());
    for file in &files {
        text::check(file, &mut findings);
        if file.path.extension().is_some_and(|extension| extension == "rs") {
            let here = |line: usize| format!("{}:{line}", file.path.display());
            let function = source::check(file, &mut findings);
            longest_function = longest_function.max((function.lines, here(function.line)));
            longest_file = longest_file.max((file.text.lines().count(), here(1)));
        }
        if file.path == Path::new("ARCHITECTURE.md") && file.text.lines().count() > ARCHITECTURE_LINES_MAX {
            let what = format!("longer than {ARCHITECTURE_LINES_MAX} lines");
            findings.push(Finding { file: file.path.clone(), line: ARCHITECTURE_LINES_MAX + 1, what });
        }
    }
    let packages = manifests::check(root, &files, &mut findings)?;

    let mut notes = Vec::new();
    let worst_packages = (packages, "Cargo.lock".to_owned());
    let limits = [
        ("function_lines_max", ratchet.function_lines_max, FUNCTION_LINES_GOAL, longest_function),
        ("file_lines_max", ratchet.file_lines_max, FILE_LINES_GOAL, longest_file),
        ("binary_packages_max", ratchet.binary_packages_max, 0, worst_packages),
    ];
    for (key, limit, goal, (worst, place)) in limits {
        let wanted = worst.max(goal);
        if worst > limit {
            let what = format!("{place} has {worst}, the limit {key} is {limit} and may only fall");
            findings.push(Finding { file: "tidy.toml".into(), line: 1, what });
        } else if wanted < limit {
            notes.push(format!("lower {key} in tidy.toml from {limit} to {wanted}"));
        }
    }
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok((findings, notes))
}

/// All text files under `root`, sorted by path.
fn text_files(root: &Path) -> Outcome<Vec<TextFile>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let path = folder.join(&name);
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let content = std::fs::read(entry.path())?;
                let bytes = content.len();
                if let Ok(text) = String::from_utf8(content)
                    && !text.contains('\0')
                {
                    files.push(TextFile { path, text, bytes });
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let (findings, notes) = check(&repository_root()).unwrap();
        for note in notes {
            println!("note: {note}");
        }
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }
}
