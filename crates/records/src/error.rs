//! What can be wrong with a record.

use std::path::{Path, PathBuf};

/// Failure to read or write a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as a verb.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The text is not JSON, or not the JSON of this record.
    #[error("{}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// An entry of a `meta.json` is not as the format says.
    #[error("{}: entry {entry}{}: {message}", path.display(), named(id))]
    Entry {
        /// The file.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: usize,
        /// Its id, if it has one.
        id: Option<String>,
        /// The key and what was expected.
        message: String,
    },
    /// A path from a data file that does not stay inside its data root.
    #[error("path `{path}` is refused: {message}")]
    Path {
        /// The path as the file gives it.
        path: String,
        /// Why it is refused and what to write instead.
        message: String,
    },
    /// A file named by a record is not there.
    #[error("{}: no such file", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A line of a JSONL file cannot be read.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A file is not the one that its manifest describes.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file or folder.
        path: PathBuf,
        /// What differs.
        message: String,
    },
}

/// Result of reading or writing a record.
pub type Result<T> = std::result::Result<T, Error>;

fn named(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" (id {id:?})")).unwrap_or_default()
}

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), action, source }
    }
}
