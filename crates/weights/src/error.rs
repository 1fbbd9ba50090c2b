//! What can be wrong with weights on disk, always with the file and the tensor.

use std::{fmt, io, path::PathBuf};

use crate::StoredDType;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Failure to read or write weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not a valid safetensors file.
    #[error("{}: {problem}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// One tensor of a file is wrong.
    #[error("{}: tensor {tensor:?}: {problem}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        problem: TensorProblem,
    },
    /// `model.safetensors.index.json` is wrong.
    #[error("{}: {problem}", file.display())]
    Index {
        /// The index file.
        file: PathBuf,
        /// What is wrong with it.
        problem: IndexProblem,
    },
    /// A folder holds no safetensors file.
    #[error("{}: no weights: expected model.safetensors, model.safetensors.index.json or other *.safetensors files{}", dir.display(), if *.pickled { "; the pytorch_model*.bin files there are pickle, which is never read: convert them to safetensors with transformers' save_pretrained" } else { "" })]
    NoWeights {
        /// The folder.
        dir: PathBuf,
        /// Whether it holds pickled weights.
        pickled: bool,
    },
    /// A folder's tensors are not those that the model needs.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// An export would mix with weights that are already there.
    #[error("{}: {file} is already there: export into a new folder", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// A weight file found in it.
        file: String,
    },
    /// A file of `torch.save` cannot be read, or asks for more than tensors.
    #[error("{}: {what}", file.display())]
    Torch {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the name of what was asked for.
        what: String,
    },
    /// A tensor could not be placed on the device.
    #[error("{}: tensor {tensor:?}: {source}", file.display())]
    Device {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The device's reason.
        source: Box<tensor::Error>,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, doing: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.into(), doing, source }
    }
}

/// What is wrong with a safetensors file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// It is a folder, a pipe or a device.
    #[error("not a regular file")]
    NotRegular,
    /// There is no room for the 8-byte header length.
    #[error("not a safetensors file: only {bytes} bytes long")]
    TooShort {
        /// Length of the file.
        bytes: u64,
    },
    /// The header claims to be larger than any real one.
    #[error("not a safetensors file: its header would be {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Claimed length.
        bytes: u64,
        /// Largest length accepted.
        limit: u64,
    },
    /// The header ends after the file does.
    #[error("truncated: the header needs {needed} bytes, the file has {bytes}")]
    Truncated {
        /// End of the header.
        needed: u64,
        /// Length of the file.
        bytes: u64,
    },
    /// The header is not a JSON object of tensors.
    #[error("the header is not valid: {0}")]
    NotJson(String),
    /// `__metadata__` appears twice.
    #[error("the header has two __metadata__ entries")]
    DuplicateMetadata,
    /// Bytes that belong to no tensor.
    #[error("bytes {begin}..{end} of the data belong to no tensor: the file is damaged or was not fully written")]
    Hole {
        /// First byte, from the start of the data.
        begin: u64,
        /// One past the last byte.
        end: u64,
    },
}

/// What is wrong with one tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorProblem {
    /// Nothing of that name is there.
    #[error("not in the file")]
    Missing,
    /// The name appears twice.
    #[error("appears twice in the header")]
    Duplicate,
    /// The name appears in two files of a folder without an index.
    #[error("also in {other}: without model.safetensors.index.json it is not clear which one counts")]
    DuplicateFile {
        /// The other file.
        other: String,
    },
    /// The header's word for the element type is not one of the format's.
    #[error("unknown dtype {0:?}")]
    UnknownDType(String),
    /// Its number of bytes does not fit 64 bits.
    #[error("shape {0:?} is too large to exist")]
    ShapeOverflow(Vec<u64>),
    /// `data_offsets` ends before it begins.
    #[error("data_offsets {begin}..{end} run backwards")]
    Backwards {
        /// First byte.
        begin: u64,
        /// One past the last byte.
        end: u64,
    },
    /// `data_offsets` ends outside the file.
    #[error("needs bytes up to {end}, the file has {bytes} bytes of data: truncated?")]
    OutOfRange {
        /// One past the last byte, from the start of the data.
        end: u64,
        /// Bytes of data in the file.
        bytes: u64,
    },
    /// `data_offsets` and shape disagree.
    #[error("shape and dtype need {needed} bytes, data_offsets give {got}")]
    WrongSize {
        /// Bytes that shape and dtype ask for.
        needed: u64,
        /// Bytes that data_offsets span.
        got: u64,
    },
    /// Its bytes are shared with another tensor.
    #[error("overlaps tensor {0:?}")]
    Overlap(String),
    /// It does not start at a multiple of its element size.
    #[error("starts at byte {begin} of the data, not a multiple of its {size}-byte elements")]
    Misaligned {
        /// First byte, from the start of the data.
        begin: u64,
        /// Bytes of an element.
        size: u64,
    },
    /// Its elements are not of a type that converts exactly.
    #[error("holds {got}, {wanted} was asked for")]
    WrongDType {
        /// Type in the file.
        got: StoredDType,
        /// Types that would do, in words.
        wanted: &'static str,
    },
    /// The shape to write does not have as many elements as the tensor.
    #[error("shape {disk:?} to write does not match shape {memory:?} in memory")]
    DiskShape {
        /// Shape in memory.
        memory: Vec<usize>,
        /// Shape asked for.
        disk: Vec<usize>,
    },
}

/// What is wrong with `model.safetensors.index.json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// It is larger than any real one.
    #[error("{bytes} bytes long, the limit is {limit}")]
    TooLong {
        /// Length of the file.
        bytes: u64,
        /// Largest length accepted.
        limit: u64,
    },
    /// It is not a JSON object with a `weight_map` from names to file names.
    #[error("not a valid index: {0}")]
    NotJson(String),
    /// It maps a tensor twice.
    #[error("tensor {0:?} appears twice in weight_map")]
    Duplicate(String),
    /// It names a file elsewhere than in its own folder.
    #[error("tensor {tensor:?} is said to be in {shard:?}, which is not a plain file name in this folder")]
    ShardName {
        /// The tensor.
        tensor: String,
        /// What stands where its file name should.
        shard: String,
    },
    /// A file that it names is not there.
    #[error("shard {0:?} is missing: download it again")]
    MissingShard(String),
    /// A tensor is not in the file it is said to be in.
    #[error("tensor {tensor:?} is not in {shard:?}")]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The file named by the index.
        shard: String,
    },
}

/// How a folder's tensors differ from those that a model needs; every list sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The folder.
    pub dir: PathBuf,
    /// Needed but not there: name and shape.
    pub missing: Vec<(String, Vec<usize>)>,
    /// There but not needed: name and shape.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// There in another shape: name, shape in the folder, shape needed.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

/// Lines that [`Mismatch`] prints per kind of difference before it only counts.
const LINES_PER_KIND: usize = 20;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, unexpected, misshapen) = (&self.missing, &self.unexpected, &self.misshapen);
        write!(f, "{}: the weights do not fit the model: ", self.dir.display())?;
        write!(f, "{} missing, {} unexpected, ", missing.len(), unexpected.len())?;
        write!(f, "{} of another shape", misshapen.len())?;
        let missing = missing.iter().map(|(name, shape)| format!("missing     {name:?} {shape:?}"));
        let unexpected = unexpected.iter().map(|(name, shape)| format!("unexpected  {name:?} {shape:?}"));
        let misshapen = misshapen
            .iter()
            .map(|(name, got, needed)| format!("shape       {name:?} {got:?}, the model needs {needed:?}"));
        write_lines(f, missing)?;
        write_lines(f, unexpected)?;
        write_lines(f, misshapen)
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let rest = lines.len().saturating_sub(LINES_PER_KIND);
    for line in lines.take(LINES_PER_KIND) {
        write!(f, "\n  {line}")?;
    }
    if rest > 0 { write!(f, "\n  ... and {rest} more") } else { Ok(()) }
}
