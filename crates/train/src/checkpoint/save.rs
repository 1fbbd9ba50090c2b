//! Writing a checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use models::Vlm;
use records::RunManifest;
use tensor::DType;
use weights::{sync_dir, write_file_atomic};

use super::{Checkpoints, KIND, RunState, TEMPORARY, state};
use crate::optimizer::Moments;
use crate::{Error, Result};

/// All that a checkpoint is made of.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    /// The model.
    pub vlm: &'a Vlm,
    /// The optimizer's moments.
    pub moments: &'a Moments,
    /// Where the run stands.
    pub state: &'a RunState,
    /// Element type of the exported weights.
    pub export_dtype: DType,
    /// Model folder whose tokenizer and processor files are taken over.
    pub base: &'a Path,
}

/// Asked before every operation of a save, by name; tests let it fail.
pub(super) type Gate<'g> = &'g mut dyn FnMut(&str) -> io::Result<()>;

impl Checkpoints {
    /// Writes a checkpoint and returns its folder. A folder of the same step (a damaged one) is replaced.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Model`], [`Error::Weights`]; older checkpoints are then as they were.
    pub fn save(&self, snapshot: Snapshot<'_>) -> Result<PathBuf> {
        self.save_through(snapshot, &mut |_| Ok(()))
    }

    pub(super) fn save_through(&self, snapshot: Snapshot<'_>, gate: Gate<'_>) -> Result<PathBuf> {
        let dir = self.path(snapshot.state.step);
        let temporary = self.dir.join(format!("{TEMPORARY}step_{:06}", snapshot.state.step));
        let mut pass = |operation: &str| gate(operation).map_err(|e| Error::io(&temporary, "write", e));
        pass("create")?;
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(|e| Error::io(&temporary, "remove", e))?;
        }
        let state_dir = temporary.join("state");
        std::fs::create_dir_all(&state_dir).map_err(|e| Error::io(&state_dir, "create", e))?;
        pass("export")?;
        snapshot.vlm.export(&temporary, snapshot.export_dtype, snapshot.base)?;
        for (file, entries) in state::tensor_files(&snapshot.vlm.params, snapshot.moments) {
            pass(file)?;
            state::save_tensors(&temporary, file, &entries)?;
        }
        pass(state::STATE_FILE)?;
        write_json(&temporary.join(state::STATE_FILE), snapshot.state)?;
        pass("sync")?;
        sync_tree(&temporary)?;
        pass("manifest")?;
        let manifest = RunManifest {
            kind: KIND.into(),
            program_version: env!("CARGO_PKG_VERSION").into(),
            plan_hash: snapshot.state.plan_hash.clone(),
            files: RunManifest::list_files(&temporary)?,
        };
        write_json(&temporary.join(RunManifest::FILE_NAME), &manifest)?;
        if dir.exists() {
            pass("replace")?;
            self.remove(&dir)?;
        }
        pass("rename")?;
        std::fs::rename(&temporary, &dir).map_err(|e| Error::io(&temporary, "rename", e))?;
        pass("sync parent")?;
        sync_dir(&self.dir)?;
        Ok(dir)
    }
}

/// Writes a value as readable JSON, whole or not at all.
///
/// # Errors
/// [`Error::Weights`] with the file.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    write_file_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })?;
    Ok(())
}

/// Waits until every file and folder below `dir` is on the disk.
fn sync_tree(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, "list", e))? {
        let path = entry.map_err(|e| Error::io(dir, "list", e))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(|e| Error::io(&path, "sync", e))?;
        }
    }
    Ok(sync_dir(dir)?)
}
