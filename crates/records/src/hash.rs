//! Content hashes: BLAKE3 in lower-case hexadecimal.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The BLAKE3 hash of some bytes, 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    /// Hash of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// A hash made elsewhere, from its 64 hexadecimal digits; `None` if it is anything else.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let valid = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        valid.then(|| Self(digits.to_ascii_lowercase()))
    }

    /// Hash of a text's UTF-8 bytes.
    pub fn of_text(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// Hash of a file's content, read as a stream.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, "open", e))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(|e| Error::io(path, "read", e))?;
        Ok(Self(hasher.finalize().to_hex().to_string()))
    }

    /// One hash of several named contents: of their names and hashes, in order of name, so that neither the order
    /// nor the folder of the files matters.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = (&'a str, &'a ContentHash)>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort();
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in parts {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(hash.0.as_bytes());
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_bytes_agree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let hash = ContentHash::of_file(file.path()).unwrap();
        assert_eq!(hash, ContentHash::of_text("abc"));
        // BLAKE3 of "abc", from the specification's test vectors.
        assert!(hash.as_str().starts_with("6437b3ac38465133ffb63b75273a8db5"));
    }

    #[test]
    fn parts_ignore_order_but_not_names() {
        let (a, b) = (ContentHash::of_text("a"), ContentHash::of_text("b"));
        let ab = ContentHash::of_parts([("x", &a), ("y", &b)]);
        assert_eq!(ab, ContentHash::of_parts([("y", &b), ("x", &a)]));
        assert_ne!(ab, ContentHash::of_parts([("x", &b), ("y", &a)]));
    }
}
