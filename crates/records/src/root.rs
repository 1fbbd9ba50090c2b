//! Paths inside data files, confined to their root.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// A folder that paths of a data file are relative to, and may not leave.
#[derive(Debug)]
pub struct DataRoot {
    root: PathBuf,
}

impl DataRoot {
    /// Opens a root.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder is not there.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::fs::canonicalize(root).map_err(|e| Error::io(root, "open", e))?;
        Ok(Self { root })
    }

    /// The folder, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where a relative path really lies.
    ///
    /// # Errors
    /// [`Error::Path`] if it is absolute, has a `..`, or a symbolic link leads out of the root; [`Error::Missing`] if
    /// there is no such file.
    pub fn resolve(&self, relative: &str) -> Result<PathBuf> {
        check_relative(relative)?;
        let joined = self.root.join(relative);
        let real = std::fs::canonicalize(&joined).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::Missing { path: joined.clone() },
            _ => Error::io(&joined, "open", e),
        })?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(self.leaves(relative, &real)) }
    }

    /// Checks many paths at the price of one `lstat` each: a folder once seen to be inside is remembered.
    /// A file that is not there passes; whoever opens it will say so.
    ///
    /// # Errors
    /// [`Error::Path`] for the first path that a symbolic link leads out of the root.
    pub(crate) fn check_links(&self, relative: &str, inside: &mut HashSet<PathBuf>) -> Result<()> {
        let joined = self.root.join(relative);
        let parent = joined.parent().unwrap_or(&self.root);
        let is_link = std::fs::symlink_metadata(&joined).is_ok_and(|m| m.is_symlink());
        if inside.contains(parent) && !is_link {
            return Ok(());
        }
        match self.resolve(relative) {
            Ok(_) => {
                inside.insert(parent.to_path_buf());
                Ok(())
            }
            Err(refused @ Error::Path { .. }) => Err(refused),
            Err(_) => Ok(()),
        }
    }

    fn leaves(&self, relative: &str, real: &Path) -> Error {
        let message = format!(
            "a symbolic link leads to {}, outside {}; copy or mount the data under the root",
            real.display(),
            self.root.display()
        );
        Error::Path { path: relative.to_owned(), message }
    }
}

/// Checks that a path is relative and never climbs, without looking at the disk.
///
/// # Errors
/// [`Error::Path`].
pub(crate) fn check_relative(path: &str) -> Result<()> {
    let refuse = |message: &str| Err(Error::Path { path: path.to_owned(), message: message.to_owned() });
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.is_empty() {
        return refuse("it is empty; expected a path relative to the data root");
    }
    if path.contains('\0') {
        return refuse("it holds a NUL byte");
    }
    if path.starts_with(['/', '\\']) || drive || Path::new(path).is_absolute() {
        return refuse("it is absolute; write it relative to the data root");
    }
    let climbs = path.split(['/', '\\']).any(|part| part == "..")
        || Path::new(path).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir));
    if climbs {
        return refuse("`..` may lead out of the data root; keep media below the folder of meta.json");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths() {
        let check = |path: &str, ok: bool| assert_eq!(check_relative(path).is_ok(), ok, "{path:?}");
        check("a.mp4", true);
        check("videos/a b/é.mp4", true);
        check("./a..b.mp4", true);
        for bad in
            ["", "/etc/passwd", "../a", "a/../../b", "a/..", "..", "\\\\host\\x", "C:\\x", "c:x", "a\\..\\b", "a\0b"]
        {
            check(bad, false);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_leave() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for folder in [&root, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("a.mp4"), b"x").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("a.mp4"), root.join("file_out.mp4")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("folder_out")).unwrap();
        std::os::unix::fs::symlink(root.join("a.mp4"), root.join("inside.mp4")).unwrap();
        let data = DataRoot::open(&root).unwrap();
        assert!(data.resolve("a.mp4").is_ok());
        assert!(data.resolve("inside.mp4").is_ok());
        assert!(matches!(data.resolve("none.mp4"), Err(Error::Missing { .. })));
        let mut inside = HashSet::new();
        assert!(data.check_links("a.mp4", &mut inside).is_ok());
        assert!(data.check_links("none.mp4", &mut inside).is_ok());
        for out in ["file_out.mp4", "folder_out/a.mp4"] {
            assert!(matches!(data.resolve(out), Err(Error::Path { .. })), "{out}");
            assert!(matches!(data.check_links(out, &mut inside), Err(Error::Path { .. })), "{out}");
        }
    }
}
