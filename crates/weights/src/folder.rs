//! A Hugging Face model folder, opened read-only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tensor::{Device, Tensor};

use crate::{Error, IndexProblem, Mismatch, Result, SafetensorsFile, TensorInfo, TensorProblem, digest, index};

/// Name of the weights when they are in one file.
pub(crate) const SINGLE_FILE: &str = "model.safetensors";

/// A tensor that a model needs from a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Name in the folder.
    pub name: String,
    /// Shape on disk.
    pub shape: Vec<usize>,
    /// Whether the model can do without it (a tied head, a buffer of old versions).
    pub optional: bool,
}

/// A model folder, memory-mapped: `model.safetensors`, or the shards of `model.safetensors.index.json`, or else every
/// `*.safetensors` file in it; the first of these that is there, as in transformers.
///
/// The files may be symbolic links (the download cache of Hugging Face consists of them); names in the index must be
/// plain.
#[derive(Debug)]
pub struct HfFolder {
    dir: PathBuf,
    files: Vec<SafetensorsFile>,
    /// Index into `files` of every tensor.
    places: BTreeMap<String, usize>,
}

impl HfFolder {
    /// Opens a folder and checks the headers of all of its weight files; reads no tensor yet. The files must not
    /// change while it is open.
    ///
    /// # Errors
    /// [`Error::NoWeights`], and [`Error::Io`], [`Error::Index`], [`Error::Header`], [`Error::Tensor`] with the file.
    pub fn open(dir: &Path) -> Result<Self> {
        let index_file = dir.join(index::INDEX_FILE);
        if dir.join(SINGLE_FILE).exists() {
            Self::from_files(dir, &BTreeSet::from([SINGLE_FILE.to_owned()]))
        } else if index_file.exists() {
            Self::from_index(dir, &index_file)
        } else {
            Self::from_files(dir, &list_safetensors(dir)?)
        }
    }

    fn from_files(dir: &Path, names: &BTreeSet<String>) -> Result<Self> {
        let mut folder = Self { dir: dir.into(), files: Vec::new(), places: BTreeMap::new() };
        for name in names {
            let file = SafetensorsFile::open(&dir.join(name))?;
            for tensor in file.names() {
                let Some(other) = folder.places.insert(tensor.into(), folder.files.len()) else { continue };
                let other = folder.files.get(other).map(|file| file.path().display().to_string());
                return Err(Error::Tensor {
                    file: file.path().into(),
                    tensor: tensor.into(),
                    problem: TensorProblem::DuplicateFile { other: other.unwrap_or_default() },
                });
            }
            folder.files.push(file);
        }
        Ok(folder)
    }

    /// The index says where a tensor is; one that is in a shard but not in the index is taken from there (as
    /// transformers does), so that [`Self::check`] sees it.
    fn from_index(dir: &Path, index_file: &Path) -> Result<Self> {
        let index_error = |problem| Error::Index { file: index_file.into(), problem };
        let shard_of = index::read(index_file)?;
        let shards: BTreeSet<&str> = shard_of.values().map(String::as_str).collect();
        let mut folder = Self { dir: dir.into(), files: Vec::new(), places: BTreeMap::new() };
        for &shard in &shards {
            let path = dir.join(shard);
            if !path.exists() {
                return Err(index_error(IndexProblem::MissingShard(shard.into())));
            }
            let file = SafetensorsFile::open(&path)?;
            for tensor in file.names() {
                if shard_of.get(tensor).is_none_or(|indexed| indexed == shard) {
                    folder.places.insert(tensor.into(), folder.files.len());
                }
            }
            folder.files.push(file);
        }
        match shard_of.into_iter().find(|(tensor, _)| !folder.places.contains_key(tensor)) {
            Some((tensor, shard)) => Err(index_error(IndexProblem::MissingTensor { tensor, shard })),
            None => Ok(folder),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The text of the folder's config.json.
    ///
    /// # Errors
    /// [`Error::Io`] if it is missing or no text.
    pub fn config_json(&self) -> Result<String> {
        let path = self.dir.join("config.json");
        fs::read_to_string(&path).map_err(|source| Error::io(&path, "read", source))
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.file_of(name).and_then(|file| file.info(name))
    }

    /// A tensor as f32 values on `device`, in the shape it has on disk; exact from F32, BF16 and F16.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is not there or of another type, [`Error::Device`] if the device refuses it.
    pub fn load(&self, name: &str, device: &Device) -> Result<Tensor> {
        let missing = || Error::Tensor { file: self.dir.clone(), tensor: name.into(), problem: TensorProblem::Missing };
        self.file_of(name).ok_or_else(missing)?.load(name, device)
    }

    /// Checks that the folder has the tensors of `expected`, in their shapes, and no others.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with everything that differs.
    pub fn check(&self, expected: &[Expected]) -> Result<()> {
        let mut mismatch = Mismatch { dir: self.dir.clone(), ..Mismatch::default() };
        let mut surplus: BTreeMap<&str, &TensorInfo> =
            self.names().filter_map(|name| self.info(name).map(|info| (name, info))).collect();
        let by_name: BTreeMap<&str, &Expected> = expected.iter().map(|e| (e.name.as_str(), e)).collect();
        for (&name, expected) in &by_name {
            match surplus.remove(name) {
                Some(info) if info.shape != expected.shape => {
                    mismatch.misshapen.push((name.into(), info.shape.clone(), expected.shape.clone()));
                }
                None if !expected.optional => mismatch.missing.push((name.into(), expected.shape.clone())),
                _ => {}
            }
        }
        mismatch.unexpected = surplus.into_iter().map(|(name, info)| (name.into(), info.shape.clone())).collect();
        if mismatch.is_empty() { Ok(()) } else { Err(Error::Mismatch(Box::new(mismatch))) }
    }

    /// blake3 over names, dtypes, shapes and bytes of all tensors in name order, as hex: equal for equal weights,
    /// however they are spread over files. Reads everything.
    ///
    /// # Errors
    /// None that [`Self::open`] would not have found.
    pub fn content_hash(&self) -> Result<String> {
        let digests = self.names().filter_map(|name| self.file_of(name).map(|file| file.digest(name)));
        Ok(digest::content_hash(digests.collect::<Result<_>>()?))
    }

    fn file_of(&self, name: &str) -> Option<&SafetensorsFile> {
        self.places.get(name).and_then(|&place| self.files.get(place))
    }
}

/// Names of all `*.safetensors` files in `dir`, hidden ones left out.
fn list_safetensors(dir: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut pickled = false;
    for entry in fs::read_dir(dir).map_err(|source| Error::io(dir, "read", source))? {
        let name = entry.map_err(|source| Error::io(dir, "read", source))?.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        pickled |= name.starts_with("pytorch_model") && name.ends_with(".bin");
        if name.ends_with(".safetensors") {
            names.insert(name.to_owned());
        }
    }
    if names.is_empty() { Err(Error::NoWeights { dir: dir.into(), pickled }) } else { Ok(names) }
}
