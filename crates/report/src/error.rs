//! What can be wrong with a figure or a page.

use std::path::{Path, PathBuf};

/// Failure to make a figure or a page.
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
    /// There is nothing to show.
    #[error("{}: {message}", path.display())]
    Nothing {
        /// Where scores were looked for.
        path: PathBuf,
        /// What was looked for, and what makes it.
        message: String,
    },
    /// The rasteriser or the template engine failed; a test rules it out for our own input.
    #[error("{what}: {message}")]
    Render {
        /// What was being made.
        what: &'static str,
        /// What is wrong.
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
}
