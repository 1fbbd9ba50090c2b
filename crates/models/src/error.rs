//! What can go wrong in a model.

/// Failure to describe, load or run a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// config.json does not describe a model that can run here.
    #[error("config.json, key `{key}`: {message}")]
    Config {
        /// The key, dotted.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// config.json is not JSON of the expected kind.
    #[error("config.json: {0}")]
    Json(#[from] serde_json::Error),
    /// The weights cannot be read, or do not fit the config.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// An op refused its operands.
    #[error(transparent)]
    Tensor(#[from] tensor::Error),
    /// The GPU side refused or failed.
    #[error(transparent)]
    Gpu(#[from] tensor::cuda::Error),
    /// The input does not fit the model.
    #[error("model input: {0}")]
    Input(String),
    /// A mistake inside this crate.
    #[error("internal error in models: {0}; please report it")]
    Internal(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn internal(message: &str) -> Self {
        Self::Internal(message.to_owned())
    }

    pub(crate) fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }
}
