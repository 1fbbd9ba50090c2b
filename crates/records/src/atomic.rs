//! Whole files or none: what is read by a later stage is never half written.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Creates or replaces a file, and the folders above it: a reader, or a crash, sees the old file or the whole new one.
///
/// Writes a temporary file in the same folder (hidden, ending in `.tmp`), syncs it and renames it. After an error the
/// temporary file is removed; after a kill it may stay, and is never taken for the real one.
///
/// # Errors
/// [`Error::Io`] of any step.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}.{count}.tmp", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        // Best effort: the error that matters is the one being returned.
        let _ = fs::remove_file(&temporary);
        Error::io(path, "write", e)
    })
}

/// Creates or replaces a JSON Lines file as a whole.
///
/// # Errors
/// [`Error::Io`]; [`Error::Json`] if a record has no JSON form.
pub fn write_jsonl_atomic<T: serde::Serialize>(path: &Path, records: &[T]) -> Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record)
            .map_err(|e| Error::Json { path: path.to_path_buf(), message: e.to_string() })?;
        bytes.push(b'\n');
    }
    write_atomic(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        write_atomic(&path, b"one").unwrap();
        write_jsonl_atomic(&path, &[1, 2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
        assert!(write_atomic(&path.join("c"), b"x").is_err(), "a file is no folder");
    }
}
