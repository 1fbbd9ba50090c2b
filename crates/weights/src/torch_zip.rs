//! `pytorch_model.bin`: tensors out of the zip files that `torch.save` writes, without running what is in them.
//!
//! Such a file is a zip of stored entries: `*/data.pkl`, a pickle that says how tensors are made of storages, and
//! `*/data/<key>`, the bytes of each storage. A pickle can call anything; [`pickle`] knows the calls that rebuild a
//! tensor or a dictionary and refuses every other one by its name. Some judges are published in this form only; all
//! else here reads safetensors.

mod pickle;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use tensor::{Device, Tensor};
use zip::ZipArchive;

use crate::{Error, Result, StoredDType, convert};
use pickle::TensorPlan;

/// Largest `data.pkl` that is read, in bytes; that of a real model has some hundred bytes a tensor.
const PICKLE_BYTES_MAX: u64 = 64 << 20;

/// An opened `torch.save` file; a storage is read when a tensor of it is loaded.
pub struct TorchZip {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// Folder inside the zip, with its slash.
    prefix: String,
    tensors: BTreeMap<String, TensorPlan>,
}

impl std::fmt::Debug for TorchZip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TorchZip({}, {} tensors)", self.path.display(), self.tensors.len())
    }
}

impl TorchZip {
    /// Opens a file and reads its table of tensors: a dictionary from names to tensors, as `state_dict` gives it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Torch`] if it is no such file, or if its pickle asks for anything but tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            torch(path, format!("not a zip file as torch.save writes it since PyTorch 1.6 ({error}); convert it with save_pretrained"))
        })?;
        let names: Vec<String> = (archive.file_names())
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| torch(path, error.to_string()))?
            .into_iter()
            .map(|name| name.into_owned())
            .collect();
        let prefix = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned);
        let prefix = prefix.ok_or_else(|| torch(path, "has no data.pkl: not a file of torch.save".into()))?;
        if names.contains(&format!("{prefix}byteorder")) {
            let order = read_entry(path, &mut archive, &format!("{prefix}byteorder"), 64)?;
            if order != b"little" {
                return Err(torch(
                    path,
                    format!("its byte order is {:?}, only little is read", String::from_utf8_lossy(&order)),
                ));
            }
        }
        let bytes = read_entry(path, &mut archive, &format!("{prefix}data.pkl"), PICKLE_BYTES_MAX)?;
        let tensors = pickle::state_dict(&bytes).map_err(|what| torch(path, format!("data.pkl: {what}")))?;
        Ok(Self { path: path.into(), archive, prefix, tensors })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<(StoredDType, &[usize])> {
        self.tensors.get(name).map(|plan| (plan.dtype, plan.shape.as_slice()))
    }

    /// A tensor as f32 values on `device`; exact from F32, BF16 and F16.
    ///
    /// # Errors
    /// [`Error::Torch`] if it is not there, of another type, or reaches outside its storage.
    pub fn load(&mut self, name: &str, device: &Device) -> Result<Tensor> {
        let path = self.path.clone();
        let bad = |what: &str| torch(&path, format!("tensor {name:?}: {what}"));
        let plan = self.tensors.get(name).ok_or_else(|| bad("is not in the file"))?.clone();
        let size = plan.dtype.size_bytes();
        let bytes_expected = plan.storage_elements.checked_mul(size).ok_or_else(|| bad("its storage is too large"))?;
        let entry = format!("{}data/{}", self.prefix, plan.storage);
        let bytes = read_entry(&path, &mut self.archive, &entry, bytes_expected)?;
        if bytes.len() as u64 != bytes_expected {
            return Err(bad(&format!("its storage has {} bytes, {bytes_expected} are expected", bytes.len())));
        }
        let values = convert::to_f32(plan.dtype, &bytes)
            .ok_or_else(|| bad(&format!("is {}; F32, BF16 or F16 is expected", plan.dtype)))?;
        let values =
            plan.gather(values).ok_or_else(|| bad("its offset, shape and strides reach outside its storage"))?;
        Tensor::from_vec(device, values, &plan.shape).map_err(|source| Error::Device {
            file: path.clone(),
            tensor: name.into(),
            source: Box::new(source),
        })
    }

    /// All tensors of a float type, by name: for a caller that wants everything.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_all(&mut self, device: &Device) -> Result<HashMap<String, Tensor>> {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        names.into_iter().map(|name| Ok((name.clone(), self.load(&name, device)?))).collect()
    }
}

fn read_entry(path: &Path, archive: &mut ZipArchive<BufReader<File>>, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let entry = archive.by_name(name).map_err(|error| torch(path, format!("{name}: {error}")))?;
    if entry.size() > bytes_max {
        return Err(torch(path, format!("{name} has {} bytes, at most {bytes_max} are expected", entry.size())));
    }
    let mut bytes = Vec::new();
    // The size of an entry is a claim; no more than the limit is read whatever it says.
    entry.take(bytes_max).read_to_end(&mut bytes).map_err(|error| torch(path, format!("{name}: {error}")))?;
    Ok(bytes)
}

fn torch(file: &Path, what: String) -> Error {
    Error::Torch { file: file.into(), what }
}
