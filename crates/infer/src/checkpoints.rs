//! Which model folders a path names: one, or all checkpoints of a training run.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A model folder and its name in outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of its folder of outputs: `step_000020` for a checkpoint, the model's name for any other model.
    pub name: String,
    /// The model folder.
    pub dir: PathBuf,
}

/// The model folders below a path: itself if it has a config.json, else its checkpoints `step_<N>` in order of steps.
/// `model_name` names a model that is no checkpoint; without it, its folder does.
///
/// # Errors
/// [`Error::NoCheckpoint`] if there is none.
pub fn checkpoints(path: &Path, model_name: Option<&str>) -> Result<Vec<Checkpoint>> {
    let none = || Error::NoCheckpoint { path: path.to_path_buf() };
    if path.join("config.json").is_file() {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let folder = real.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
        let name = match (step_of(&folder), model_name) {
            (None, Some(name)) => name.replace('/', "--"),
            _ => folder,
        };
        return Ok(vec![Checkpoint { name, dir: path.to_path_buf() }]);
    }
    let mut found: Vec<(u64, Checkpoint)> = std::fs::read_dir(path)
        .map_err(|_| none())?
        .filter_map(|entry| {
            let dir = entry.ok()?.path();
            let name = dir.file_name()?.to_str()?.to_owned();
            let step = step_of(&name)?;
            dir.join("config.json").is_file().then_some((step, Checkpoint { name, dir }))
        })
        .collect();
    found.sort_by_key(|(step, _)| *step);
    if found.is_empty() { Err(none()) } else { Ok(found.into_iter().map(|(_, checkpoint)| checkpoint).collect()) }
}

/// Step of a checkpoint's folder name.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step_")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_or_all_of_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, model: bool| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            if model {
                std::fs::write(dir.path().join(name).join("config.json"), "{}").unwrap();
            }
        };
        for (name, model) in [
            ("run/step_000100", true),
            ("run/step_000020", true),
            ("run/step_000040", false),
            ("run/aside-step_1", true),
        ] {
            make(name, model);
        }
        make("base", true);
        let check = |path: &str, model_name: Option<&str>, expect: &[&str]| {
            let found = checkpoints(&dir.path().join(path), model_name).unwrap();
            assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), expect, "{path}");
        };
        check("run", Some("tiny"), &["step_000020", "step_000100"]);
        check("run/step_000100", Some("tiny"), &["step_000100"]);
        check("base", Some("nvidia/tiny"), &["nvidia--tiny"]);
        check("base", None, &["base"]);
        assert!(checkpoints(dir.path(), None).is_err());
        assert!(checkpoints(Path::new("/no/such/place"), None).is_err());
    }
}
