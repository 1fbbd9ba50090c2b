//! Score files below an outputs folder: `<checkpoint>/<dataset>/<metric>.json`.

use std::fs;
use std::path::{Path, PathBuf};

use records::Score;

use crate::{Error, Metric, Result, series::training_order};

/// Scores that were found, and what could not be used.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Scores: base models first, then by step.
    pub scores: Vec<Score>,
    /// Files that could not be used, and why.
    pub problems: Vec<String>,
}

/// Reads the scores of one metric; of one data set if it is named, else of all. `base` names the base model's
/// checkpoint, which comes first.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed. A single file that cannot be read is a problem, not an error.
pub fn find_scores(outputs: &Path, metric: Metric, dataset: Option<&str>, base: &str) -> Result<Found> {
    let mut found = Found::default();
    let file_name = format!("{}.json", metric.key());
    for checkpoint in folders(outputs)? {
        for set in folders(&checkpoint)? {
            let name = set.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let path = set.join(&file_name);
            if dataset.is_some_and(|wanted| wanted != name) || !path.is_file() {
                continue;
            }
            match read(&path, metric) {
                Ok(score) => found.scores.push(score),
                Err(problem) => found.problems.push(format!("{}: {problem}", path.display())),
            }
        }
    }
    found.scores.sort_by(|a, b| training_order(base, a, b));
    Ok(found)
}

fn read(path: &Path, metric: Metric) -> std::result::Result<Score, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let score: Score = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    if score.metric != metric.key() {
        return Err(format!("its metric is `{}`, not `{}`", score.metric, metric.key()));
    }
    Ok(score)
}

/// Folders in a folder, in order of name; hidden ones left out.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let path = entry.map_err(Error::io(dir, "list"))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
