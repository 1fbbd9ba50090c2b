//! A manifest: what a folder holds, by content, and what made it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Error, Result};

/// The files of a folder with their hashes, and facts about the run that wrote them.
///
/// Written last: a folder with a manifest that [verifies](Self::verify) is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// What kind of folder this is, such as `checkpoint`.
    pub kind: String,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Hash of the settings that decide the run's results.
    pub plan_hash: ContentHash,
    /// Every file of the folder but the manifest, in order of path.
    pub files: Vec<FileRecord>,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path relative to the folder, with `/`.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Hash of the content.
    pub blake3: ContentHash,
}

impl RunManifest {
    /// File name of a manifest in its folder.
    pub const FILE_NAME: &'static str = "manifest.json";

    /// Reads the manifest of a folder; its files are not looked at.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, [`Error::Json`] if it is damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(Self::FILE_NAME);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Json { path, message: e.to_string() })
    }

    /// Checks that every file is there with its length and content.
    ///
    /// # Errors
    /// [`Error::Manifest`] for the first file that differs.
    pub fn verify(&self, dir: &Path) -> Result<()> {
        for file in &self.files {
            crate::root::check_relative(&file.path)?;
            let path = dir.join(&file.path);
            let differs = |message: String| Err(Error::Manifest { path: path.clone(), message });
            let bytes = match std::fs::metadata(&path) {
                Ok(found) => found.len(),
                Err(e) => return differs(format!("is in the manifest but cannot be read: {e}")),
            };
            if bytes != file.bytes {
                return differs(format!("has {bytes} bytes, the manifest says {}", file.bytes));
            }
            if ContentHash::of_file(&path)? != file.blake3 {
                return differs("its content is not what the manifest says".into());
            }
        }
        Ok(())
    }

    /// Lists and hashes every file below a folder, manifests left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list_files(dir: &Path) -> Result<Vec<FileRecord>> {
        let mut files = Vec::new();
        collect(dir, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<FileRecord>) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, "list", e))? {
        let entry = entry.map_err(|e| Error::io(dir, "list", e))?;
        let path = entry.path();
        let relative = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let found = std::fs::metadata(&path).map_err(|e| Error::io(&path, "inspect", e))?;
        if found.is_dir() {
            collect(&path, &format!("{relative}/"), files)?;
        } else if relative != RunManifest::FILE_NAME {
            files.push(FileRecord { path: relative, bytes: found.len(), blake3: ContentHash::of_file(&path)? });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_sees_every_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("state")).unwrap();
        std::fs::write(path("state/a"), b"aaaa").unwrap();
        std::fs::write(path("b"), b"bb").unwrap();
        let files = RunManifest::list_files(dir.path()).unwrap();
        assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["b", "state/a"]);
        let manifest = RunManifest {
            kind: "checkpoint".into(),
            program_version: "0".into(),
            plan_hash: ContentHash::of_text(""),
            files,
        };
        std::fs::write(path("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let manifest = RunManifest::read(dir.path()).unwrap();
        manifest.verify(dir.path()).unwrap();
        std::fs::write(path("state/a"), b"aaab").unwrap();
        assert!(manifest.verify(dir.path()).unwrap_err().to_string().contains("content"));
        std::fs::write(path("state/a"), b"aaa").unwrap();
        assert!(manifest.verify(dir.path()).unwrap_err().to_string().contains("3 bytes"));
        std::fs::remove_file(path("b")).unwrap();
        assert!(manifest.verify(dir.path()).is_err());
    }
}
