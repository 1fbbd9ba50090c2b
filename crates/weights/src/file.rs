//! One safetensors file, opened read-only.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tensor::{Device, Tensor};

use crate::{
    Error, Result, StoredDType, TensorInfo, TensorProblem, convert,
    digest::TensorDigest,
    header::{self, Header},
    mmap::Map,
};

/// A memory-mapped safetensors file whose header has been checked.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    header: Header,
    map: Map,
}

impl SafetensorsFile {
    /// Opens a file and checks its header; reads no tensor yet. The file must not change while it is open.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Header`] and [`Error::Tensor`] with the file's name.
    pub fn open(path: &Path) -> Result<Self> {
        let map = Map::open(path)?;
        let header = header::parse(path, &map)?;
        Ok(Self { path: path.into(), header, map })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The free text of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.get(name)
    }

    /// A tensor as f32 values on `device`, in the shape it has on disk; exact from F32, BF16 and F16.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is not there or of another type, [`Error::Device`] if the device refuses it.
    pub fn load(&self, name: &str, device: &Device) -> Result<Tensor> {
        let info = self.existing(name)?;
        let values = convert::to_f32(info.dtype, self.bytes(info))
            .ok_or_else(|| self.wrong_dtype(name, info.dtype, "F32, BF16 or F16"))?;
        Tensor::from_vec(device, values, &info.shape).map_err(|source| Error::Device {
            file: self.path.clone(),
            tensor: name.into(),
            source: Box::new(source),
        })
    }

    /// An integer or BOOL tensor as host values, row-major.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is not there or of another type (U64 included).
    pub fn load_i64(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.existing(name)?;
        convert::to_i64(info.dtype, self.bytes(info))
            .ok_or_else(|| self.wrong_dtype(name, info.dtype, "a signed integer, U8 to U32 or BOOL"))
    }

    /// What the content hash of a folder covers, for one tensor.
    pub(crate) fn digest(&self, name: &str) -> Result<TensorDigest> {
        let info = self.existing(name)?;
        let bytes = blake3::Hasher::new().update_rayon(self.bytes(info)).finalize();
        Ok(TensorDigest { name: name.into(), dtype: info.dtype, shape: info.shape.clone(), bytes })
    }

    fn existing(&self, name: &str) -> Result<&TensorInfo> {
        self.info(name).ok_or_else(|| self.error(name, TensorProblem::Missing))
    }

    fn bytes(&self, info: &TensorInfo) -> &[u8] {
        // In range: the header was checked against this very map.
        self.map.get(info.begin..info.end).unwrap_or_default()
    }

    fn wrong_dtype(&self, name: &str, got: StoredDType, wanted: &'static str) -> Error {
        self.error(name, TensorProblem::WrongDType { got, wanted })
    }

    fn error(&self, name: &str, problem: TensorProblem) -> Error {
        Error::Tensor { file: self.path.clone(), tensor: name.into(), problem }
    }
}
