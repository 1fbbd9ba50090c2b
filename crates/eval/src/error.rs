//! What stops an evaluation; what is wrong with one row is counted and told.

use std::path::PathBuf;

/// Failure of an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data file or the output cannot be read or written.
    #[error(transparent)]
    Records(#[from] records::Error),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file as a whole is not what it should be.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// More rows were rejected than allowed.
    #[error(
        "{}: {rejected} of {rows} rows are rejected, more than the {:.1} % allowed; the first: {first}",
        path.display(), 100.0 * allowed
    )]
    TooManyRejects {
        /// The file.
        path: PathBuf,
        /// Rows rejected.
        rejected: usize,
        /// Rows read.
        rows: usize,
        /// Share allowed, 0 to 1.
        allowed: f64,
        /// The first of them, in words.
        first: String,
    },
    /// The predictions are not the whole set.
    #[error(
        "{}: {matched} of {expected} questions are answered once{detail}. The score is defined on all {expected}; with --subset it is made \
         of those that are there and labelled \"subset n={matched}\"",
        path.display()
    )]
    Incomplete {
        /// The predictions.
        path: PathBuf,
        /// Questions with exactly one prediction.
        matched: usize,
        /// Questions of the references.
        expected: usize,
        /// What is missing or too much.
        detail: String,
    },
    /// The judge failed.
    #[error("the judge failed: {0}")]
    Judge(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
