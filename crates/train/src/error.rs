//! What can end a run.

use std::path::{Path, PathBuf};

/// Failure of a training run, or of its preparation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config says something that cannot be done.
    #[error("{place}: {message}")]
    Config {
        /// File and line, or the override.
        place: String,
        /// What is wrong and the way out.
        message: String,
    },
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
    /// A record could not be read or written.
    #[error(transparent)]
    Record(#[from] records::Error),
    /// The model could not be loaded or run.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// A tensor file could not be read or written.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// Tokenizer or template files of the model are not usable.
    #[error(transparent)]
    Processor(#[from] processor::Error),
    /// An op was given operands that do not fit.
    #[error(transparent)]
    Tensor(#[from] tensor::Error),
    /// A checkpoint cannot be used.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong and the way out.
        message: String,
    },
    /// The output folder cannot take this run.
    #[error("{}: {message}", path.display())]
    OutputDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong and the way out.
        message: String,
    },
    /// Loss or gradient norm is not a finite number; the weights were not updated.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}: not finite, weights left unchanged. Samples: {samples}. \
         Look at them, lower train.optm_lr, or set train.non_finite = \"skip\""
    )]
    NonFinite {
        /// Step, from 1.
        step: u64,
        /// Loss per labelled token.
        loss: f64,
        /// Global norm before clipping.
        grad_norm: f64,
        /// Ids of the step's samples.
        samples: String,
    },
    /// Not one sample of a whole epoch could be used.
    #[error("not one of {samples} samples could be used; the first reason: {reason}")]
    NoSamples {
        /// Samples tried.
        samples: u64,
        /// Why the first of them was rejected.
        reason: String,
    },
    /// A thread that prepares samples ended before its work was done.
    #[error("a loader thread ended unexpectedly while preparing step {step}")]
    LoaderDied {
        /// Step, from 1.
        step: u64,
    },
}

/// Result of a part of a run.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), action, source }
    }
}
