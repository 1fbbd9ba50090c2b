//! What a DeBERTa config.json says, checked.

use crate::{Error, Result};
use serde::Deserialize;
use tensor::ops::{disentangled_attention, gelu};

/// A DeBERTa-v2/v3 classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct DebertaConfig {
    /// Vocabulary.
    pub vocab_size: usize,
    /// `C`.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// MLP width.
    pub intermediate_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Largest relative distance (`max_position_embeddings` if the file says -1).
    pub max_relative_positions: usize,
    /// Log buckets of relative positions; 0 means plain distances.
    pub position_buckets: usize,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f32,
    /// Whether the relative embeddings are normalised.
    pub norm_rel_ebd: bool,
    /// Whether relative embeddings go through the content projections.
    pub share_att_key: bool,
    /// Content-to-position term.
    pub c2p: bool,
    /// Position-to-content term.
    pub p2c: bool,
    /// Activation of the MLP.
    pub hidden_act: gelu::Kind,
    /// Activation of the pooler.
    pub pooler_act: gelu::Kind,
    /// Outputs of the classifier.
    pub num_labels: usize,
    /// Deviation of random weights.
    pub initializer_range: f32,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: Option<String>,
    pooler_hidden_act: Option<String>,
    max_position_embeddings: Option<usize>,
    max_relative_positions: Option<i64>,
    position_buckets: Option<i64>,
    layer_norm_eps: Option<f32>,
    norm_rel_ebd: Option<String>,
    share_att_key: Option<bool>,
    relative_attention: Option<bool>,
    position_biased_input: Option<bool>,
    type_vocab_size: Option<usize>,
    embedding_size: Option<usize>,
    conv_kernel_size: Option<usize>,
    pos_att_type: Option<PosAttType>,
    num_labels: Option<usize>,
    id2label: Option<serde_json::Map<String, serde_json::Value>>,
    initializer_range: Option<f32>,
}

/// `["p2c", "c2p"]`, or `"p2c|c2p"` in older files.
#[derive(Deserialize)]
#[serde(untagged)]
enum PosAttType {
    List(Vec<String>),
    Joined(String),
}

impl DebertaConfig {
    /// Reads and checks the text of a config.json.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not an object of the right kind, [`Error::Config`] naming a key that is not supported.
    pub fn parse(json: &str) -> Result<Self> {
        let raw: Raw = serde_json::from_str(json)?;
        if raw.model_type.as_deref() != Some("deberta-v2") {
            return Err(Error::config("model_type", format!("{:?} is not deberta-v2", raw.model_type)));
        }
        refuse_unsupported(&raw)?;
        let max_position_embeddings = raw.max_position_embeddings.unwrap_or(512);
        let types: Vec<String> = match raw.pos_att_type {
            None => Vec::new(),
            Some(PosAttType::List(list)) => list,
            Some(PosAttType::Joined(text)) => text.split('|').map(|t| t.trim().to_lowercase()).collect(),
        };
        let config = Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            intermediate_size: raw.intermediate_size,
            max_position_embeddings,
            max_relative_positions: raw
                .max_relative_positions
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(max_position_embeddings),
            position_buckets: raw.position_buckets.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-7),
            norm_rel_ebd: raw
                .norm_rel_ebd
                .is_some_and(|n| n.to_lowercase().split('|').any(|part| part.trim() == "layer_norm")),
            share_att_key: raw.share_att_key.unwrap_or(false),
            c2p: types.iter().any(|t| t == "c2p"),
            p2c: types.iter().any(|t| t == "p2c"),
            hidden_act: activation("hidden_act", raw.hidden_act.as_deref())?,
            pooler_act: activation("pooler_hidden_act", raw.pooler_hidden_act.as_deref())?,
            num_labels: raw.num_labels.or(raw.id2label.map(|labels| labels.len())).unwrap_or(2),
            initializer_range: raw.initializer_range.unwrap_or(0.02),
        };
        config.check()?;
        Ok(config)
    }

    /// Rows of one half of the relative table.
    pub fn span(&self) -> usize {
        if self.position_buckets > 0 { self.position_buckets } else { self.max_relative_positions }
    }

    pub(crate) fn attention(&self) -> disentangled_attention::Config {
        disentangled_attention::Config {
            heads: self.num_attention_heads,
            head_dim: self.hidden_size / self.num_attention_heads,
            c2p: self.c2p,
            p2c: self.p2c,
            position_buckets: self.position_buckets as i32,
            max_relative_positions: self.max_relative_positions as i32,
        }
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("max_relative_positions", self.max_relative_positions),
            ("num_labels", self.num_labels),
        ];
        if let Some((key, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > 1 << 24) {
            return Err(Error::config(*key, format!("{size} is outside 1..={}", 1 << 24)));
        }
        if self.position_buckets == 1 || self.position_buckets > 1 << 20 {
            return Err(Error::config(
                "position_buckets",
                format!("{} is not a usable number of buckets", self.position_buckets),
            ));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::config(
                "num_attention_heads",
                format!("{} does not divide hidden_size {}", self.num_attention_heads, self.hidden_size),
            ));
        }
        Ok(())
    }
}

/// What deberta-v3 models do not use and this engine does not have.
fn refuse_unsupported(raw: &Raw) -> Result<()> {
    let refused = [
        ("relative_attention", raw.relative_attention == Some(false), "only relative attention is supported"),
        (
            "position_biased_input",
            raw.position_biased_input.unwrap_or(true),
            "absolute positions are not supported; deberta-v3 sets false",
        ),
        ("type_vocab_size", raw.type_vocab_size.unwrap_or(0) != 0, "token types are not supported; deberta-v3 sets 0"),
        (
            "embedding_size",
            raw.embedding_size.is_some_and(|n| n != raw.hidden_size),
            "an embedding narrower than the model is not supported",
        ),
        (
            "conv_kernel_size",
            raw.conv_kernel_size.unwrap_or(0) != 0,
            "the convolution layer of deberta-v2-xlarge is not supported",
        ),
    ];
    match refused.into_iter().find(|(_, bad, _)| *bad) {
        Some((key, _, message)) => Err(Error::config(key, message)),
        None => Ok(()),
    }
}

fn activation(key: &str, name: Option<&str>) -> Result<gelu::Kind> {
    match name {
        None | Some("gelu") => Ok(gelu::Kind::Erf),
        Some("gelu_pytorch_tanh" | "gelu_new") => Ok(gelu::Kind::Tanh),
        Some(other) => Err(Error::config(key, format!("`{other}` is not supported; gelu is"))),
    }
}
