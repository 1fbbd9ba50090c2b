//! Read-only memory maps: the only unsafe code of this crate.

use std::{
    fs::{self, File},
    ops::Deref,
    path::Path,
};

use crate::{Error, HeaderProblem, Result};

/// A whole file, mapped read-only.
#[derive(Debug)]
pub(crate) struct Map(memmap2::Mmap);

impl Map {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Header`] if it is a folder, a pipe or a device.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // Asked before opening: opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(|source| Error::io(path, "read", source))?.is_file() {
            return Err(Error::Header { file: path.into(), problem: HeaderProblem::NotRegular });
        }
        let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
        // SAFETY: the map is private to this type, read-only and lives as long as the slice it derefs to. Its one
        // hazard is another process shortening or rewriting the file meanwhile: shortening kills this process
        // with SIGBUS, rewriting changes the values read (never types or bounds, which are checked on an own copy
        // of the header's numbers). Weight files are written once and renamed into place, never changed after.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Self).map_err(|source| Error::io(path, "map", source))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
