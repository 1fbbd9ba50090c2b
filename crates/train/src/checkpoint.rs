//! Checkpoints: written whole or not at all, verified before use.
//!
//! `<output_dir>/step_000020/` is an HF model folder (any tool loads it) with two additions: `state/`, the f32 weights
//! and moments, and `manifest.json`, which lists every file with its hash. A save writes all of it into
//! `.tmp-step_000020`, syncs, writes the manifest last, syncs, renames the folder, and syncs its parent. So a folder
//! without the prefix that verifies is complete, and a kill at any moment leaves the ones before it untouched.

mod best;
mod save;
mod state;

use std::path::{Path, PathBuf};

use records::RunManifest;

pub use best::validation_losses;
pub use save::{Snapshot, write_json};
pub use state::{RunState, restore};

use crate::{Error, Result};

/// Prefix of folders being written or removed; whatever bears it after a crash is waste.
const TEMPORARY: &str = ".tmp-";
/// What a checkpoint's manifest says it is.
const KIND: &str = "checkpoint";

/// The checkpoints of an output folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

/// A checkpoint that was found but cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its folder; left as it is.
    pub dir: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Checkpoints {
    /// The checkpoints below `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// Folder of the checkpoint after `step` steps.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("step_{step:06}"))
    }

    /// All checkpoint folders with their steps, oldest first, verified or not.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found: Vec<(u64, PathBuf)> = self
            .entries()?
            .into_iter()
            .filter_map(|path| {
                let step = path.file_name()?.to_str()?.strip_prefix("step_")?.parse().ok()?;
                path.is_dir().then_some((step, path))
            })
            .collect();
        found.sort();
        Ok(found)
    }

    /// The newest checkpoint that verifies, and the newer ones that do not.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed.
    pub fn newest_verified(&self) -> Result<(Option<PathBuf>, Vec<Damaged>)> {
        let mut damaged = Vec::new();
        for (_, dir) in self.list()?.into_iter().rev() {
            match verify(&dir) {
                Ok(()) => return Ok((Some(dir), damaged)),
                Err(e) => damaged.push(Damaged { dir, reason: e.to_string() }),
            }
        }
        Ok((None, damaged))
    }

    /// Removes what killed saves and removals left behind; returns what it removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_leftovers(&self) -> Result<Vec<PathBuf>> {
        let is_leftover =
            |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(TEMPORARY));
        let leftovers: Vec<PathBuf> = self.entries()?.into_iter().filter(is_leftover).collect();
        for path in &leftovers {
            std::fs::remove_dir_all(path).map_err(|e| Error::io(path, "remove", e))?;
        }
        Ok(leftovers)
    }

    /// Renames the checkpoints after `step` to `aside-step_...`: a run that goes on from `step` leaves them behind, be
    /// they damaged or of a future that is now to be computed anew. Returns the new names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_aside_after(&self, step: u64) -> Result<Vec<PathBuf>> {
        let mut moved = Vec::new();
        for (_, dir) in self.list()?.into_iter().filter(|(later, _)| *later > step) {
            let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("unnamed");
            let free = (0..).map(|n| {
                self.dir.join(format!("aside-{name}{}", if n == 0 { String::new() } else { format!(".{n}") }))
            });
            let Some(target) = free.into_iter().find(|target| !target.exists()) else { continue };
            std::fs::rename(&dir, &target).map_err(|e| Error::io(&dir, "rename", e))?;
            moved.push(target);
        }
        Ok(moved)
    }

    /// Removes the oldest checkpoints beyond the `keep` newest, but never the one after `best` steps, nor one that another
    /// process reads. Returns those that had to stay for a reader; the next call will see them again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune(&self, keep: usize, best: Option<u64>) -> Result<Vec<PathBuf>> {
        let all = self.list()?;
        let mut in_use = Vec::new();
        for (step, dir) in all.iter().take(all.len().saturating_sub(keep)) {
            if best == Some(*step) {
                continue;
            }
            match records::InUse::removing(dir) {
                Some(_right) => self.remove(dir)?,
                None => in_use.push(dir.clone()),
            }
        }
        Ok(in_use)
    }

    /// Removes a checkpoint: renamed first, so that no half of it ever bears a checkpoint's name.
    fn remove(&self, dir: &Path) -> Result<()> {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("unnamed");
        let waste = self.dir.join(format!("{TEMPORARY}removed-{name}"));
        if waste.exists() {
            std::fs::remove_dir_all(&waste).map_err(|e| Error::io(&waste, "remove", e))?;
        }
        std::fs::rename(dir, &waste).map_err(|e| Error::io(dir, "rename", e))?;
        std::fs::remove_dir_all(&waste).map_err(|e| Error::io(&waste, "remove", e))
    }

    fn entries(&self) -> Result<Vec<PathBuf>> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let io = |e| Error::io(&self.dir, "list", e);
        std::fs::read_dir(&self.dir).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.path())).collect()
    }
}

/// Checks that a folder is a complete checkpoint, every file as its manifest says.
///
/// # Errors
/// [`Error::Record`] or [`Error::Checkpoint`] that says what is missing or differs.
pub fn verify(dir: &Path) -> Result<()> {
    let manifest = RunManifest::read(dir)?;
    let broken = |message: &str| Err(Error::Checkpoint { path: dir.to_path_buf(), message: message.into() });
    if manifest.kind != KIND {
        return broken("its manifest is not that of a checkpoint");
    }
    if !manifest.files.iter().any(|file| file.path == state::STATE_FILE) {
        return broken("its manifest lists no training state");
    }
    Ok(manifest.verify(dir)?)
}

#[cfg(test)]
mod tests;
