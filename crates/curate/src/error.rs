//! What stops a curation run; a bad annotation does not, it is a [`Reject`](crate::Reject).

use std::path::{Path, PathBuf};

/// Failure of a run.
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
    /// The configuration, or a file of prompts, is not usable.
    #[error("{place}: {message}")]
    Config {
        /// File and line.
        place: String,
        /// The key, what is wrong and what to write.
        message: String,
    },
    /// A source or the evaluation set cannot be read as a whole.
    #[error("{}: {message}", path.display())]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// Too many annotations had to be rejected.
    #[error(
        "{what}: {rejected} of {read} annotations are defective, {:.1} %; the budget is {:.1} %. Nothing was written but {}.\n{summary}Mend the source, or raise `reject_budget` if this is what it is.",
        100.0 * *rejected as f64 / (*read).max(1) as f64, 100.0 * budget, rejects.display()
    )]
    Budget {
        /// All sources, or the name of one.
        what: String,
        /// Rejects that count.
        rejected: usize,
        /// Annotations read.
        read: usize,
        /// Largest share allowed.
        budget: f64,
        /// Where the rejects are listed.
        rejects: PathBuf,
        /// Counts by reason, a line each.
        summary: String,
    },
    /// Nothing is left to train on.
    #[error("no annotation of any source was kept for training; {} says why", rejects.display())]
    NothingKept {
        /// Where the rejects are listed.
        rejects: PathBuf,
    },
    /// The folder to write to holds something else.
    #[error("{}: holds files that are no curated set ({found}); give another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// The caller asked to stop.
    #[error("stopped on request; no set was written")]
    Stopped,
    /// A preview could not be written.
    #[error(transparent)]
    Video(#[from] video::Error),
    /// A file of an evaluation set, or a written list.
    #[error(transparent)]
    Records(#[from] records::Error),
}

/// Result of a run or a part of it.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), action, source }
    }
}
