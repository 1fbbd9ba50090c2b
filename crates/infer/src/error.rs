//! What stops a whole run; what goes wrong with one request is a record.

use std::path::PathBuf;

/// Failure of an inference run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// The model folder's tokenizer or processor files cannot be used.
    #[error(transparent)]
    Processor(#[from] processor::Error),
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
    /// A list of requests has a bad line.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A path names no model.
    #[error(
        "{}: neither a model folder (config.json) nor a training run with checkpoints (step_000020/ and the like)",
        path.display()
    )]
    NoCheckpoint {
        /// The path.
        path: PathBuf,
    },
    /// The hash of the weights is not one of ours.
    #[error("the hash of the weights, {hash:?}, has an unknown form")]
    WeightHash {
        /// The hash.
        hash: String,
    },
    /// The weights of a model folder cannot be read.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A tensor cannot be made or reshaped.
    #[error(transparent)]
    Tensor(#[from] tensor::Error),
    /// A folder is not a judge.
    #[error("{}: {message}", path.display())]
    Judge {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong and what was expected.
        message: String,
    },
    /// The model yields no logit that is a number.
    #[error("the model's logits are not numbers; its weights are damaged or training diverged")]
    NoNumber,
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
