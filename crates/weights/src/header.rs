//! The header of a safetensors file, checked before anything in the file is used.
//!
//! Layout: 8 bytes little-endian header length, that many bytes of JSON (`{name: {dtype, shape, data_offsets}}` and
//! an optional `__metadata__` of strings), then the data, to which the offsets are relative.
//! Source: the format section of the safetensors README. Stricter than the reference implementation: a name that
//! appears twice (it takes the last) and a tensor that does not start at a multiple of its element size (its writer
//! never makes one) are refused.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};

use crate::{Error, HeaderProblem, Result, TensorProblem};

/// Largest header accepted, in bytes; the same as the safetensors crate.
pub const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Key of the free text in a header.
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// Element type of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the format's own words")]
pub enum StoredDType {
    Bool,
    U8,
    I8,
    F8E4M3,
    F8E5M2,
    F8E8M0,
    U16,
    I16,
    F16,
    Bf16,
    U32,
    I32,
    F32,
    U64,
    I64,
    F64,
    C64,
}

/// Every element type with its word in a header and its size in bytes. Types smaller than a byte are not read.
const DTYPES: [(StoredDType, &str, u64); 17] = [
    (StoredDType::Bool, "BOOL", 1),
    (StoredDType::U8, "U8", 1),
    (StoredDType::I8, "I8", 1),
    (StoredDType::F8E4M3, "F8_E4M3", 1),
    (StoredDType::F8E5M2, "F8_E5M2", 1),
    (StoredDType::F8E8M0, "F8_E8M0", 1),
    (StoredDType::U16, "U16", 2),
    (StoredDType::I16, "I16", 2),
    (StoredDType::F16, "F16", 2),
    (StoredDType::Bf16, "BF16", 2),
    (StoredDType::U32, "U32", 4),
    (StoredDType::I32, "I32", 4),
    (StoredDType::F32, "F32", 4),
    (StoredDType::U64, "U64", 8),
    (StoredDType::I64, "I64", 8),
    (StoredDType::F64, "F64", 8),
    (StoredDType::C64, "C64", 8),
];

impl StoredDType {
    /// The word for it in a header, such as `BF16`.
    pub fn name(self) -> &'static str {
        DTYPES[self as usize].1
    }

    /// Bytes that one element takes.
    pub fn size_bytes(self) -> u64 {
        DTYPES[self as usize].2
    }

    fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|(_, word, _)| *word == name).map(|(dtype, _, _)| *dtype)
    }
}

impl From<tensor::DType> for StoredDType {
    fn from(dtype: tensor::DType) -> Self {
        match dtype {
            tensor::DType::F32 => Self::F32,
            tensor::DType::Bf16 => Self::Bf16,
            tensor::DType::F16 => Self::F16,
        }
    }
}

impl fmt::Display for StoredDType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where and what a tensor of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: StoredDType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// First byte, from the start of the file.
    pub(crate) begin: usize,
    /// One past the last byte, from the start of the file.
    pub(crate) end: usize,
}

/// A header whose every statement about the file has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// All tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The free text of the header.
    pub metadata: BTreeMap<String, String>,
}

/// Reads and checks the header of `bytes`, the whole content of `file` (whose name is only for the errors).
///
/// # Errors
/// [`Error::Header`] and [`Error::Tensor`] with `file` and the tensor; every way in which the bytes can contradict
/// the format is one of them.
pub fn parse(file: &Path, bytes: &[u8]) -> Result<Header> {
    let header_error = |problem| Error::Header { file: file.into(), problem };
    let file_bytes = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(header_error(HeaderProblem::TooShort { bytes: file_bytes }));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Err(header_error(HeaderProblem::TooLong { bytes: length, limit: HEADER_BYTES_MAX }));
    }
    let Some((json, data)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return Err(header_error(HeaderProblem::Truncated { needed: length.saturating_add(8), bytes: file_bytes }));
    };
    let RawHeader { tensors: raw, metadata } =
        serde_json::from_slice(json).map_err(|e| header_error(HeaderProblem::NotJson(e.to_string())))?;
    let mut metadata = metadata.into_iter();
    let mut header = Header { tensors: BTreeMap::new(), metadata: metadata.next().unwrap_or_default() };
    if metadata.next().is_some() {
        return Err(header_error(HeaderProblem::DuplicateMetadata));
    }
    let data_begin = bytes.len() - data.len();
    for (name, raw) in raw {
        let checked = raw.check(data_begin, data.len());
        let problem = match checked {
            Ok(info) if !header.tensors.contains_key(&name) => {
                header.tensors.insert(name, info);
                continue;
            }
            Ok(_) => TensorProblem::Duplicate,
            Err(problem) => problem,
        };
        return Err(Error::Tensor { file: file.into(), tensor: name, problem });
    }
    check_cover(file, &header.tensors, data_begin, bytes.len())?;
    Ok(header)
}

/// Checks that the tensors fill the data from `begin` to `end`, without overlap and without holes.
fn check_cover(file: &Path, tensors: &BTreeMap<String, TensorInfo>, begin: usize, end: usize) -> Result<()> {
    let hole = |from: usize, to: usize| Error::Header {
        file: file.into(),
        problem: HeaderProblem::Hole { begin: (from - begin) as u64, end: (to - begin) as u64 },
    };
    let mut by_place: Vec<_> = tensors.iter().collect();
    by_place.sort_by_key(|(_, info)| (info.begin, info.end));
    let (mut covered, mut last) = (begin, "");
    for (name, info) in by_place {
        if info.begin > covered {
            return Err(hole(covered, info.begin));
        }
        if info.begin < covered {
            let problem = TensorProblem::Overlap(last.into());
            return Err(Error::Tensor { file: file.into(), tensor: name.clone(), problem });
        }
        (covered, last) = (info.end, name);
    }
    if covered < end { Err(hole(covered, end)) } else { Ok(()) }
}

/// A header as written, nothing checked yet; duplicates are kept so that they can be reported.
#[derive(Default)]
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: Vec<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(RawHeaderVisitor)
    }
}

struct RawHeaderVisitor;

impl<'de> Visitor<'de> for RawHeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object from tensor names to dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == METADATA_KEY {
                header.metadata.push(map.next_value()?);
            } else {
                header.tensors.push((key, map.next_value()?));
            }
        }
        Ok(header)
    }
}

impl RawTensor {
    /// The tensor's place in a file whose `data_bytes` bytes of data start at `data_begin`.
    fn check(self, data_begin: usize, data_bytes: usize) -> std::result::Result<TensorInfo, TensorProblem> {
        let dtype = StoredDType::from_name(&self.dtype).ok_or(TensorProblem::UnknownDType(self.dtype))?;
        let needed = self.shape.iter().try_fold(dtype.size_bytes(), |bytes, &extent| bytes.checked_mul(extent));
        let shape: Option<Vec<usize>> = self.shape.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        // A zero hides an overflow of the other extents from the product, but not from code that multiplies in
        // another order: refuse those too.
        let nonzero = self.shape.iter().filter(|&&extent| extent > 0);
        let fits = nonzero.copied().try_fold(dtype.size_bytes(), u64::checked_mul).is_some();
        let (Some(needed), Some(shape), true) = (needed, shape, fits) else {
            return Err(TensorProblem::ShapeOverflow(self.shape));
        };
        let [begin, end] = self.data_offsets;
        let Some(got) = end.checked_sub(begin) else {
            return Err(TensorProblem::Backwards { begin, end });
        };
        let data_bytes = data_bytes as u64;
        if end > data_bytes {
            return Err(TensorProblem::OutOfRange { end, bytes: data_bytes });
        }
        if got != needed {
            return Err(TensorProblem::WrongSize { needed, got });
        }
        if begin % dtype.size_bytes() != 0 {
            return Err(TensorProblem::Misaligned { begin, size: dtype.size_bytes() });
        }
        // Both are at most the file's length, which is a usize.
        Ok(TensorInfo { dtype, shape, begin: data_begin + begin as usize, end: data_begin + end as usize })
    }
}

/// The first bytes of a file that holds `tensors` in this order: length and JSON, padded to 8 bytes.
pub(crate) fn render(
    tensors: &[(&str, StoredDType, &[usize], u64)],
    metadata: &BTreeMap<String, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut object = serde_json::Map::new();
    if !metadata.is_empty() {
        object.insert(METADATA_KEY.into(), serde_json::to_value(metadata)?);
    }
    let mut begin = 0u64;
    for (name, dtype, shape, bytes) in tensors {
        let end = begin.saturating_add(*bytes);
        let tensor = serde_json::json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end]});
        object.insert((*name).into(), tensor);
        begin = end;
    }
    let mut json = serde_json::to_vec(&object)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}
