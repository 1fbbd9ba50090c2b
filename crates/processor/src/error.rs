//! What can go wrong between a conversation with its clips and a model's input.

use std::path::PathBuf;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a model folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a model folder does not say what it must.
    #[error("{}: {what}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        what: String,
    },
    /// The tokenizer refused to load, to encode or to decode.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A size that smart_resize cannot bring into the pixel budget.
    #[error("cannot resize {width}x{height}: {what}")]
    Resize {
        /// Width of the source, in pixels.
        width: u32,
        /// Height of the source, in pixels.
        height: u32,
        /// Which rule is broken.
        what: String,
    },
    /// Frames that cannot be cut into patches.
    #[error("cannot cut frames into patches: {0}")]
    Frames(String),
    /// The video crate refused a frame.
    #[error(transparent)]
    Video(#[from] video::Error),
    /// A conversation outside the supported subset of the chat template.
    #[error("turn {turn}: {what}")]
    Conversation {
        /// Index of the turn, from 0.
        turn: usize,
        /// What is wrong.
        what: String,
    },
    /// Vision placeholders and grids do not belong together.
    #[error("vision tokens: {0}")]
    VisionTokens(String),
    /// The sample has more tokens than allowed, and the policy does not permit, or cannot reach, a cut.
    #[error(
        "{tokens} tokens are more than max_length {max_length}; at least {needed} cannot be cut (policy: {policy:?}). Use fewer frames, a smaller max_pixels, shorter text, or a larger max_length"
    )]
    Overlength {
        /// Tokens of the whole sample.
        tokens: usize,
        /// Tokens up to the last vision token, plus what must follow it.
        needed: usize,
        /// The limit.
        max_length: usize,
        /// What was asked for.
        policy: crate::Overlength,
    },
}

/// Reads a whole file, refusing one larger than `bytes_max`.
pub(crate) fn read_file(path: &std::path::Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > bytes_max {
        let what = format!("{size} bytes are more than the {bytes_max} expected of such a file");
        return Err(Error::BadFile { path: path.to_path_buf(), what });
    }
    std::fs::read(path).map_err(io)
}
