//! What can go wrong on the GPU side, each with what to do about it.

use std::path::PathBuf;

/// Failure of the GPU side of an op.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A library of NVIDIA's was not found.
    #[error("{library} was not found (tried {tried}); {install}")]
    MissingLibrary {
        /// What it is called.
        library: &'static str,
        /// The names and paths that were tried.
        tried: String,
        /// What to install, in words.
        install: &'static str,
    },
    /// A library was found but is too old (or not what its name says).
    #[error("{path} has no function {function}: it is too old or damaged; {install}")]
    MissingFunction {
        /// The file that was opened.
        path: PathBuf,
        /// The function it lacks.
        function: &'static str,
        /// What to install, in words.
        install: &'static str,
    },
    /// There is no GPU, or not as many as was assumed.
    #[error("GPU {ordinal} was asked for and this machine has {count}")]
    NoGpu {
        /// Number that was asked for.
        ordinal: usize,
        /// Number of GPUs that the driver shows.
        count: usize,
    },
    /// The GPU cannot do what training needs.
    #[error("{name} has compute capability {major}.{minor}; bf16 needs 8.0 (Ampere) or newer")]
    TooOld {
        /// Name of the GPU.
        name: String,
        /// Major compute capability.
        major: u32,
        /// Minor compute capability.
        minor: u32,
    },
    /// The driver refused a call.
    #[error("{call}: {name} ({code}): {message}")]
    Driver {
        /// The call.
        call: &'static str,
        /// The driver's number.
        code: i32,
        /// The driver's name for it.
        name: String,
        /// The driver's words, and ours where there is something to do.
        message: String,
    },
    /// No room on the GPU.
    #[error("{what} needs {asked} bytes of GPU memory and {free} of {total} are free; {advice}")]
    OutOfMemory {
        /// What the memory was for.
        what: String,
        /// Bytes asked for.
        asked: u64,
        /// Bytes free.
        free: u64,
        /// Bytes there are.
        total: u64,
        /// The way out.
        advice: String,
    },
    /// A kernel of ours did not compile.
    #[error("kernel {file} does not compile for {arch}: {log}")]
    Compile {
        /// The file of the kernel.
        file: &'static str,
        /// The architecture that was compiled for.
        arch: String,
        /// The compiler's words.
        log: String,
    },
    /// A library call failed.
    #[error("{library}: {call}: {message} ({code})")]
    Library {
        /// The library.
        library: &'static str,
        /// The call, with its shapes where they matter.
        call: String,
        /// Its status number.
        code: i32,
        /// Its words.
        message: String,
    },
    /// An operand does not fit.
    #[error("{op}: {message}")]
    Argument {
        /// The op.
        op: &'static str,
        /// What is wrong, in words.
        message: String,
    },
    /// A file of the kernel cache could not be written or read.
    #[error("kernel cache {path}: {source}; name another folder, or make this one writable")]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Result of a GPU call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn argument(op: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { op, message: message.into() }
    }
}
