//! Models out of HF folders and back into them; all file access is `weights`'s.

use crate::{Deberta, DebertaConfig, Init, Layout, ParamSpec, Result, Vlm, VlmConfig, param_table};
use processor::Family;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;
use tensor::{DType, Device, Tensor};
use weights::{Entry, Expected, ExportOptions, ExportSummary, HfFolder};

impl Vlm {
    /// Loads a model folder: config.json and safetensors, tied or untied, one file or many.
    ///
    /// # Errors
    /// [`Error::Config`] for a config that does not describe a supported model, [`Error::Weights`] with the whole list of
    /// missing, unexpected and misshapen tensors.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let folder = HfFolder::open(dir)?;
        Self::from_folder(&folder, device)
    }

    /// Loads a model from an opened folder.
    ///
    /// # Errors
    /// As [`Vlm::open`].
    pub fn from_folder(folder: &HfFolder, device: &Device) -> Result<Self> {
        let config = VlmConfig::parse(&folder.config_json()?)?;
        let layout = layout_of(&config, folder);
        let table = param_table(&config, layout);
        let mut expected = expected(table.specs());
        if layout.tied {
            // Some tools write the tied head out; its values are the embedding's and it is not read.
            let shape = vec![config.text.vocab_size, config.text.hidden_size];
            expected.push(Expected { name: "lm_head.weight".to_owned(), shape, optional: true });
        }
        let tensors = load_all(folder, table.specs(), &expected, device)?;
        Self::from_tensors(config, layout, tensors)
    }

    /// A model with random weights: normal with the config's `initializer_range`, norms one, biases zero. The same seed
    /// gives the same weights.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be made.
    pub fn random(config: VlmConfig, seed: u64, device: &Device) -> Result<Self> {
        let layout = Layout { tied: config.tie_word_embeddings.unwrap_or(false), old_names: false };
        let table = param_table(&config, layout);
        let specs = table.specs().iter().enumerate();
        let tensors = specs
            .map(|(i, spec)| {
                Ok(Tensor::from_vec(device, random_values(spec, config.initializer_range, seed, i), &spec.shape)?)
            })
            .collect::<Result<Vec<_>>>()?;
        Self::from_tensors(config, layout, tensors)
    }

    /// The tensors as they go to disk, with HF names.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let specs = self.params.specs().iter().zip(self.params.tensors());
        specs.map(|(spec, tensor)| Entry::new(&*spec.name, tensor).with_disk_shape(&spec.disk_shape)).collect()
    }

    /// Writes an HF folder that transformers and vLLM load: weights of the given type, and config, tokenizer and
    /// processor files taken over from `base`.
    ///
    /// # Errors
    /// [`Error::Weights`] if a file cannot be read or written.
    pub fn export(&self, dir: &Path, dtype: DType, base: &Path) -> Result<ExportSummary> {
        let summary = weights::export(dir, &self.entries(), &ExportOptions { dtype, ..ExportOptions::default() })?;
        weights::copy_config(base, dir, dtype)?;
        weights::copy_companions(base, dir)?;
        Ok(summary)
    }
}

impl Deberta {
    /// Loads a classifier folder: config.json and safetensors.
    ///
    /// # Errors
    /// As [`Vlm::open`].
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let folder = HfFolder::open(dir)?;
        let config = DebertaConfig::parse(&folder.config_json()?)?;
        let table = Self::param_table(&config);
        let tensors = load_all(&folder, table.specs(), &expected(table.specs()), device)?;
        Self::from_tensors(config, tensors)
    }
}

/// Which names a folder uses, and whether its head is tied. Where the config leaves tying open, a stored head unties it.
fn layout_of(config: &VlmConfig, folder: &HfFolder) -> Layout {
    let has_head = folder.info("lm_head.weight").is_some();
    Layout {
        tied: config.tie_word_embeddings.unwrap_or(!has_head),
        old_names: config.family == Family::Qwen2_5Vl && folder.info("model.embed_tokens.weight").is_some(),
    }
}

fn expected(specs: &[ParamSpec]) -> Vec<Expected> {
    specs
        .iter()
        .map(|spec| Expected { name: spec.name.clone(), shape: spec.disk_shape.clone(), optional: false })
        .collect()
}

fn load_all(folder: &HfFolder, specs: &[ParamSpec], expected: &[Expected], device: &Device) -> Result<Vec<Tensor>> {
    folder.check(expected)?;
    specs.iter().map(|spec| Ok(folder.load(&spec.name, device)?.reshape(&spec.shape)?)).collect()
}

/// The starting values of one parameter, row-major; tensor `index` of `seed` is the same whatever else is made.
pub fn random_values(spec: &ParamSpec, initializer_range: f32, seed: u64, index: usize) -> Vec<f32> {
    let len = spec.shape.iter().product();
    match spec.init {
        Init::Zeros => vec![0.0; len],
        Init::Ones => vec![1.0; len],
        Init::Normal => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(index as u64);
            let mut draw = || -> f32 { StandardNormal.sample(&mut rng) };
            (0..len).map(|_| draw() * initializer_range).collect()
        }
    }
}

/// Writes the weights of a model with random values, tensor by tensor, so that a model larger than memory can be made;
/// the same as [`Vlm::random`] and an export of it.
///
/// # Errors
/// [`Error::Weights`](crate::Error::Weights) if a file cannot be written.
pub fn export_random(config: &VlmConfig, seed: u64, dir: &Path, dtype: DType) -> Result<ExportSummary> {
    let table = param_table(config, Layout { tied: config.tie_word_embeddings.unwrap_or(false), old_names: false });
    let specs = table.specs();
    let make = |i: usize| random_values(&specs[i], config.initializer_range, seed, i);
    let entries: Vec<Entry> =
        specs.iter().enumerate().map(|(i, spec)| Entry::made(&*spec.name, &spec.disk_shape, &make, i)).collect();
    Ok(weights::export(dir, &entries, &ExportOptions { dtype, ..ExportOptions::default() })?)
}
