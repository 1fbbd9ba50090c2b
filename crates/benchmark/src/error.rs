//! What can be wrong with a benchmark.

use std::path::{Path, PathBuf};

/// Failure to make or read a benchmark.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record cannot be read or written.
    #[error(transparent)]
    Records(#[from] records::Error),
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
    /// A question pool is not as it must be.
    #[error("{place}: {message}")]
    Pool {
        /// The file, or `built-in pool`.
        place: String,
        /// Which question, which key, what to do.
        message: String,
    },
    /// The draw asked for cannot be made from the pool.
    #[error("{message}")]
    Draw {
        /// What does not fit, and what to change.
        message: String,
    },
    /// A frozen set with other content is there already.
    #[error(
        "{}: another frozen benchmark is there already (named {existing}, this one would be {new}); \
         a frozen set never changes: freeze into a new folder", path.display()
    )]
    Frozen {
        /// The manifest that is there.
        path: PathBuf,
        /// Its name.
        existing: String,
        /// The name of the new one.
        new: String,
    },
    /// Files of a benchmark do not belong together.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What differs.
        message: String,
    },
    /// An answerer cannot go on.
    #[error("{item}: {message}")]
    Answerer {
        /// The item that was asked about.
        item: String,
        /// Why.
        message: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    pub(crate) fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), message: message.into() }
    }
}
