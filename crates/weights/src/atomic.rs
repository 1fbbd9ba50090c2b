//! Files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Error, Result, mmap::Map};

/// Bytes gathered before a write to disk.
const BUFFER_BYTES: usize = 1 << 20;

/// Creates or replaces `path` with what `write` writes: a reader, or a crash, sees the old file or the whole new one.
///
/// Writes a temporary file in the same folder (hidden, ending in `.tmp`), syncs it, renames it, syncs the folder.
/// After an error the temporary file is removed; after a kill it may stay, and is never taken for the real one.
///
/// # Errors
/// [`Error::Io`] of any step, `write` included.
pub fn write_file_atomic<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> Result<T> {
    let (temporary, file) = create_temporary(path)?;
    let written = write_and_sync(file, write).and_then(|value| fs::rename(&temporary, path).map(|()| value));
    let value = written.map_err(|source| {
        // Best effort: the error that matters is the one being returned.
        let _ = fs::remove_file(&temporary);
        Error::io(path, "write", source)
    })?;
    sync_dir(parent(path))?;
    Ok(value)
}

fn write_and_sync<T>(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let value = write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(value)
}

fn create_temporary(path: &Path) -> Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::io(path, "write", io::Error::new(io::ErrorKind::InvalidInput, "no file name")));
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.{count}.tmp", std::process::id()));
    let temporary = path.with_file_name(hidden);
    // A leftover of a killed process that had the same id is truncated.
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary);
    opened.map(|file| (temporary.clone(), file)).map_err(|source| Error::io(&temporary, "create", source))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder's entries (created, renamed, removed files) durable.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| Error::io(dir, "sync", source))
}

/// blake3 of a file's bytes, as hex (what `b3sum` prints).
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Header`] if it is no regular file.
pub fn hash_file(path: &Path) -> Result<String> {
    let map = Map::open(path)?;
    Ok(blake3::Hasher::new().update_rayon(&map).finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_whole_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_file_atomic(&path, |out| out.write_all(b"old")).unwrap();
        let failed =
            write_file_atomic(&path, |out| out.write_all(b"half").and(Err::<(), _>(io::Error::other("disk full"))));
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_file_atomic(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.txt"]);
        assert_eq!(hash_file(&path).unwrap(), blake3::hash(b"new").to_hex().to_string());
    }

    #[test]
    fn hashes_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, b"").unwrap();
        assert_eq!(hash_file(&path).unwrap(), blake3::hash(b"").to_hex().to_string());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(write_file_atomic(Path::new("/nowhere/at/all/x"), |_| Ok(())).is_err());
        assert!(write_file_atomic(Path::new("/"), |_| Ok(())).is_err());
        assert!(sync_dir(Path::new("/nowhere/at/all")).is_err());
    }
}
