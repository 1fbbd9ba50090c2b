//! A mark on a folder that a process reads from, so that no other process deletes it meanwhile.
//!
//! The mark is a lock on the file `.in_use` in the folder: shared while someone reads, exclusive while someone deletes. The
//! system releases it however a process ends, so that no stale mark is ever left.

use std::fs::File;
use std::path::Path;

/// Name of the locked file.
const FILE: &str = ".in_use";

/// Held while a folder is read or removed; released when dropped.
#[derive(Debug)]
pub struct InUse {
    _file: Option<File>,
}

impl InUse {
    /// Marks a folder as being read. In a folder that cannot be written, which nobody can delete from either, there is
    /// nothing to mark. Waits for a removal that has begun, after which opening the folder fails as it should.
    pub fn reading(dir: &Path) -> Self {
        let file = open(dir).and_then(|file| file.lock_shared().map(|()| file));
        Self { _file: file.ok() }
    }

    /// The right to remove a folder; none while someone reads from it.
    pub fn removing(dir: &Path) -> Option<Self> {
        match open(dir) {
            Ok(file) => match file.try_lock() {
                Err(std::fs::TryLockError::WouldBlock) => None,
                Ok(()) | Err(_) => Some(Self { _file: Some(file) }),
            },
            Err(_) => Some(Self { _file: None }),
        }
    }
}

fn open(dir: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(dir.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_removal_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (InUse::reading(dir.path()), InUse::reading(dir.path()));
        assert!(InUse::removing(dir.path()).is_none());
        drop(first);
        assert!(InUse::removing(dir.path()).is_none());
        drop(second);
        assert!(InUse::removing(dir.path()).is_some());
        assert!(InUse::removing(Path::new("/no/such/folder")).is_some());
    }
}
