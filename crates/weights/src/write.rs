//! Writing one safetensors file, tensor by tensor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
    path::Path,
};

use tensor::{DType, Tensor};

use crate::{Error, Result, StoredDType, TensorProblem, convert, digest::TensorDigest, header, write_file_atomic};

/// Elements converted and written at a time.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// A tensor to write, under a name and perhaps under another shape.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Name in the file.
    pub name: String,
    values: Values<'a>,
    /// Shape in the file: the same number of elements as the tensor, row-major too.
    pub disk_shape: Vec<usize>,
}

/// Where the values of an entry come from.
#[derive(Clone)]
enum Values<'a> {
    Held(&'a Tensor),
    /// Made when it is their turn, so that a model larger than memory can be written.
    Made(&'a (dyn Fn(usize) -> Vec<f32> + 'a), usize, usize),
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(tensor) => write!(f, "Held({:?})", tensor.shape()),
            Self::Made(_, index, len) => write!(f, "Made({index}, {len})"),
        }
    }
}

impl<'a> Entry<'a> {
    /// A tensor written in its own shape.
    pub fn new(name: impl Into<String>, tensor: &'a Tensor) -> Self {
        Self { name: name.into(), values: Values::Held(tensor), disk_shape: tensor.shape().to_vec() }
    }

    /// A tensor whose values `make(index)` gives, row-major, when they are written; no more than one is held at a time.
    pub fn made(
        name: impl Into<String>,
        disk_shape: &[usize],
        make: &'a (dyn Fn(usize) -> Vec<f32> + 'a),
        index: usize,
    ) -> Self {
        let len = disk_shape.iter().fold(1usize, |len, &extent| len.saturating_mul(extent));
        Self { name: name.into(), values: Values::Made(make, index, len), disk_shape: disk_shape.to_vec() }
    }

    /// Number of values.
    pub(crate) fn elements(&self) -> usize {
        match self.values {
            Values::Held(tensor) => tensor.len(),
            Values::Made(_, _, len) => len,
        }
    }

    fn shape(&self) -> &[usize] {
        match self.values {
            Values::Held(tensor) => tensor.shape(),
            Values::Made(..) => &self.disk_shape,
        }
    }

    fn values(&self) -> io::Result<Vec<f32>> {
        let values = match self.values {
            Values::Held(tensor) => tensor.to_vec(),
            Values::Made(make, index, _) => make(index),
        };
        // A file shorter or longer than its header says would be refused by every reader.
        if values.len() == self.elements() {
            Ok(values)
        } else {
            Err(io::Error::other(format!("{} values made for {}", values.len(), self.name)))
        }
    }

    /// The same, written in another shape (a Conv3d weight `(C, 3, 2, 16, 16)` held as `(C, 1536)`).
    pub fn with_disk_shape(mut self, shape: &[usize]) -> Self {
        self.disk_shape = shape.to_vec();
        self
    }

    /// Bytes that its values take in the file.
    pub(crate) fn bytes(&self, dtype: DType) -> u64 {
        (self.elements() as u64).saturating_mul(dtype.size_bytes() as u64)
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// Length of the file.
    pub bytes: u64,
    /// blake3 of the file's bytes, as hex; what [`crate::hash_file`] gives.
    pub blake3: String,
}

/// Writes tensors as f32 into one safetensors file, atomically, hashed on the way; a copy of one tensor is the most
/// that is held in memory. [`crate::SafetensorsFile`] reads it back bit for bit.
///
/// # Errors
/// [`Error::Tensor`] for a duplicate name or a disk shape of another size, [`Error::Io`].
pub fn save_tensors(path: &Path, entries: &[Entry], metadata: &BTreeMap<String, String>) -> Result<FileSummary> {
    check_entries(path, entries)?;
    let entries: Vec<&Entry> = entries.iter().collect();
    write_file_atomic(path, |out| {
        let mut out = HashingWriter { out, hasher: blake3::Hasher::new(), bytes: 0 };
        write_tensors(&mut out, &entries, DType::F32, metadata, &mut |_, _| {})?;
        Ok(FileSummary { bytes: out.bytes, blake3: out.hasher.finalize().to_hex().to_string() })
    })
}

/// Writes a file of an export, atomically; returns what the content hash needs to know of each tensor.
pub(crate) fn write_shard(
    path: &Path,
    entries: &[&Entry],
    dtype: DType,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<TensorDigest>> {
    write_file_atomic(path, |out| {
        let mut hashers = vec![blake3::Hasher::new(); entries.len()];
        write_tensors(out, entries, dtype, metadata, &mut |at, bytes| {
            if let Some(hasher) = hashers.get_mut(at) {
                hasher.update_rayon(bytes);
            }
        })?;
        let digest = |(entry, hasher): (&&Entry, &blake3::Hasher)| TensorDigest {
            name: entry.name.clone(),
            dtype: dtype.into(),
            shape: entry.disk_shape.clone(),
            bytes: hasher.finalize(),
        };
        Ok(entries.iter().zip(&hashers).map(digest).collect())
    })
}

/// Refuses what would make an invalid file, before anything is written; `path` is only for the errors.
pub(crate) fn check_entries(path: &Path, entries: &[Entry]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let size = entry.disk_shape.iter().try_fold(1usize, |size, &extent| size.checked_mul(extent));
        let problem = if !seen.insert(entry.name.as_str()) || entry.name == header::METADATA_KEY {
            TensorProblem::Duplicate
        } else if size != Some(entry.elements()) {
            TensorProblem::DiskShape { memory: entry.shape().to_vec(), disk: entry.disk_shape.clone() }
        } else {
            continue;
        };
        return Err(Error::Tensor { file: path.into(), tensor: entry.name.clone(), problem });
    }
    Ok(())
}

/// Writes header and data of a file; `on_bytes` sees the bytes of every tensor with its position in `entries`.
fn write_tensors(
    out: &mut dyn Write,
    entries: &[&Entry],
    dtype: DType,
    metadata: &BTreeMap<String, String>,
    on_bytes: &mut dyn FnMut(usize, &[u8]),
) -> io::Result<()> {
    let stored = StoredDType::from(dtype);
    let head: Vec<_> =
        entries.iter().map(|e| (e.name.as_str(), stored, e.disk_shape.as_slice(), e.bytes(dtype))).collect();
    out.write_all(&header::render(&head, metadata)?)?;
    let mut bytes = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        for values in entry.values()?.chunks(CHUNK_ELEMENTS) {
            convert::from_f32(values, dtype, &mut bytes);
            on_bytes(at, &bytes);
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Hashes and counts what passes through.
struct HashingWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hasher.update_rayon(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
