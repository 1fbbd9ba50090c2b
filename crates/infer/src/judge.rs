//! Lingo-Judge: whether an answer says the same as a reference, by a DeBERTa-v3 classifier from a user's folder.
//!
//! Text, truncation and the two `[CLS]` are those of the published scorer (question as it is; reference and answer
//! lower-cased and stripped; 128 tokens), so that the logits are its logits. Special tokens inside the texts become
//! special tokens there too; they are counted, so that whoever looks at a score can see them.

use crate::{Error, Result};
use models::{Deberta, DebertaConfig};
use processor::Tokenizer;
use std::path::{Path, PathBuf};
use tensor::{Device, Tensor};
use weights::{HfFolder, TorchZip};

/// Longest input, in tokens; the end of the answer is cut.
pub const MAX_LENGTH: usize = 128;

/// Weights as the judge is published.
const TORCH_FILE: &str = "pytorch_model.bin";
/// Largest config.json, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Special tokens of DeBERTa-v3 that no text should bring.
const SPECIAL_TOKENS: [&str; 4] = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"];

/// A loaded judge.
#[derive(Debug)]
pub struct LingoJudge {
    model: Deberta,
    tokenizer: Tokenizer,
    special_ids: Vec<u32>,
    separator_id: u32,
    weights: String,
}

/// What the judge says of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgeLogit {
    /// Above 0 the answer is right.
    pub logit: f32,
    /// Tokens read.
    pub tokens: usize,
    /// Tokens of the answer that were cut off.
    pub dropped_tokens: usize,
    /// Special tokens that the texts contain.
    pub special_tokens: usize,
}

/// The text that is judged.
pub fn judge_text(question: &str, reference: &str, prediction: &str) -> String {
    let prepared = |text: &str| text.to_lowercase().trim_matches(is_space).to_owned();
    format!("[CLS]\nQuestion: {question}\nAnswer: {}\nStudent: {}", prepared(reference), prepared(prediction))
}

/// White space as Python's `str.strip` understands it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl LingoJudge {
    /// Loads a folder: config.json, tokenizer.json, and model.safetensors or pytorch_model.bin.
    ///
    /// # Errors
    /// [`Error::Judge`] if a file is missing or the model has not one output, [`Error::Model`], [`Error::Processor`],
    /// [`Error::Weights`].
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let tokenizer_file = dir.join("tokenizer.json");
        if !tokenizer_file.is_file() {
            let message = "no tokenizer.json; from spm.model it is made by transformers: \
                AutoTokenizer.from_pretrained(folder).save_pretrained(folder)";
            return Err(Error::Judge { path: dir.into(), message: message.into() });
        }
        let tokenizer = Tokenizer::open(&tokenizer_file)?;
        let (model, weights) = load(dir, device)?;
        let config = &model.config;
        if config.num_labels != 1 {
            let message = format!("the classifier has {} outputs; Lingo-Judge has 1", config.num_labels);
            return Err(Error::Judge { path: dir.into(), message });
        }
        let special_ids = SPECIAL_TOKENS.iter().filter_map(|token| tokenizer.special_id(token)).collect();
        let separator_id = tokenizer.special_id("[SEP]").ok_or_else(|| Error::Judge {
            path: tokenizer_file.clone(),
            message: "the tokenizer has no [SEP]: it is not DeBERTa's".into(),
        })?;
        Ok(Self { model, tokenizer, special_ids, separator_id, weights })
    }

    /// Everything that decides a logit: weights and preparation of the text.
    pub fn signature(&self) -> String {
        format!("lingo-judge|deberta-v2|weights:{}|case:lc-ref-pred|max_length:{MAX_LENGTH}|cls:2", self.weights)
    }

    /// Token ids of one pair, and how many were cut off.
    ///
    /// # Errors
    /// [`Error::Processor`] if the text cannot be encoded.
    pub fn encode(&self, question: &str, reference: &str, prediction: &str) -> Result<(Vec<u32>, usize)> {
        let mut ids = self.tokenizer.encode_with_specials(&judge_text(question, reference, prediction))?;
        let dropped = ids.len().saturating_sub(MAX_LENGTH);
        if dropped > 0 {
            ids.truncate(MAX_LENGTH - 1);
            ids.push(self.separator_id);
        }
        Ok((ids, dropped))
    }

    /// Logits of (question, reference, prediction), in order.
    ///
    /// # Errors
    /// [`Error::Processor`], [`Error::Model`]; [`Error::NoNumber`] if a logit is none.
    pub fn logits(&self, pairs: &[(&str, &str, &str)]) -> Result<Vec<JudgeLogit>> {
        let encoded: Vec<(Vec<u32>, usize)> = pairs
            .iter()
            .map(|(question, reference, prediction)| self.encode(question, reference, prediction))
            .collect::<Result<_>>()?;
        let sequences: Vec<&[u32]> = encoded.iter().map(|(ids, _)| ids.as_slice()).collect();
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self.model.logits(&sequences)?;
        let one = |((ids, dropped_tokens), logit): (&(Vec<u32>, usize), Vec<f32>)| {
            let logit = logit.first().copied().filter(|logit| logit.is_finite()).ok_or(Error::NoNumber)?;
            // [CLS] twice and [SEP] are ours.
            let special = ids.iter().filter(|id| self.special_ids.contains(id)).count().saturating_sub(3);
            Ok(JudgeLogit { logit, tokens: ids.len(), dropped_tokens: *dropped_tokens, special_tokens: special })
        };
        encoded.iter().zip(logits).map(one).collect()
    }
}

/// The model and what names its weights.
fn load(dir: &Path, device: &Device) -> Result<(Deberta, String)> {
    let has_safetensors =
        ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| dir.join(name).exists());
    let torch_file = dir.join(TORCH_FILE);
    if has_safetensors || !torch_file.exists() {
        let folder = HfFolder::open(dir)?;
        return Ok((Deberta::open(dir, device)?, format!("blake3:{}", folder.content_hash()?)));
    }
    let config_file = dir.join("config.json");
    let io = |source| Error::Io { path: config_file.clone(), source };
    if std::fs::metadata(&config_file).map_err(io)?.len() > CONFIG_BYTES_MAX {
        return Err(Error::Judge { path: config_file, message: "larger than any config.json".into() });
    }
    let config = DebertaConfig::parse(&std::fs::read_to_string(&config_file).map_err(io)?)?;
    let hash = weights::hash_file(&torch_file)?;
    let tensors = load_torch(&torch_file, &config, device)?;
    Ok((Deberta::from_tensors(config, tensors)?, format!("{TORCH_FILE}:blake3:{hash}")))
}

/// The tensors of a classifier, in order of its table; old names of LayerNorm are known.
fn load_torch(path: &PathBuf, config: &DebertaConfig, device: &Device) -> Result<Vec<Tensor>> {
    let mut file = TorchZip::open(path)?;
    let bad = |message: String| Error::Judge { path: path.clone(), message };
    let table = Deberta::param_table(config);
    let mut used = std::collections::HashSet::new();
    let mut tensors = Vec::new();
    for spec in table.specs() {
        let old = spec.name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        let name = [&spec.name, &old].into_iter().find(|name| file.info(name).is_some());
        let name = name.ok_or_else(|| bad(format!("tensor {:?} is missing", spec.name)))?;
        let shape = file.info(name).map(|(_, shape)| shape.to_vec()).unwrap_or_default();
        if shape != spec.disk_shape {
            return Err(bad(format!("tensor {name:?} has shape {shape:?}, {:?} is expected", spec.disk_shape)));
        }
        tensors.push(file.load(name, device)?.reshape(&spec.shape)?);
        used.insert(name.clone());
    }
    match file.names().find(|name| !used.contains(*name) && !name.ends_with("position_ids")) {
        Some(name) => {
            Err(bad(format!("tensor {name:?} belongs to no DeBERTa-v2 classifier (a LoRA must be merged first)")))
        }
        None => Ok(tensors),
    }
}
