//! What can go wrong inside an op.

/// Failure of an op: its operands do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operand has the wrong shape.
    #[error("{op}: {what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The op that was called.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// The shape that was needed, in words.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// An index points outside the table it selects from.
    #[error("{op}: index {index} at position {position} is outside 0..{bound}")]
    Index {
        /// The op that was called.
        op: &'static str,
        /// The offending value.
        index: i64,
        /// Its position in the index list.
        position: usize,
        /// One past the largest legal value.
        bound: usize,
    },
    /// A parameter of the op is out of its range.
    #[error("{op}: {message}")]
    Argument {
        /// The op that was called.
        op: &'static str,
        /// What is wrong, in words.
        message: String,
    },
}

/// Result of an op.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn shape(op: &'static str, what: &'static str, expected: impl Into<String>, got: &[usize]) -> Self {
        Self::Shape { op, what, expected: expected.into(), got: got.to_vec() }
    }

    pub(crate) fn argument(op: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { op, message: message.into() }
    }
}
