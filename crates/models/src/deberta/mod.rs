//! DeBERTa-v2/v3 sequence classification, forward only: the model under Lingo-Judge.
//!
//! Source: transformers 4.57.6 `DebertaV2ForSequenceClassification` in evaluation mode.

mod config;
mod names;

pub use config::DebertaConfig;

use crate::{
    Error, Params, Result,
    layers::{Linear, Norm},
    params::{ParamId, ParamTable},
};
use tensor::{
    Device, Indices, Segments, Tensor,
    ops::{disentangled_attention, elementwise, embedding, gelu, rows},
};

/// A DeBERTa-v2 classifier with its weights.
#[derive(Clone, Debug)]
pub struct Deberta {
    /// The checked config.
    pub config: DebertaConfig,
    /// The weights.
    pub params: Params,
    layers: Layers,
}

/// The layers, by the names of the reference.
#[derive(Clone, Debug)]
struct Layers {
    word_embeddings: ParamId,
    embedding_norm: Norm,
    rel_embeddings: ParamId,
    rel_norm: Option<Norm>,
    blocks: Vec<EncoderLayer>,
    pooler: Linear,
    classifier: Linear,
}

#[derive(Clone, Debug)]
struct EncoderLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    /// Projections of the relative embeddings for c2p keys and p2c queries; those of the content if shared.
    pos_key: Linear,
    pos_query: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

impl Deberta {
    /// Names, shapes and starts of all parameters of a model of this config, in order.
    pub fn param_table(config: &DebertaConfig) -> ParamTable {
        names::build(config).0
    }

    /// A model from values in the order of [`Deberta::param_table`].
    ///
    /// # Errors
    /// [`Error::Internal`] if they do not fit the table.
    pub fn from_tensors(config: DebertaConfig, tensors: Vec<Tensor>) -> Result<Self> {
        let (table, layers) = names::build(&config);
        Ok(Self { config, params: table.with_tensors(tensors)?, layers })
    }

    /// The device that holds the model.
    pub fn device(&self) -> Device {
        self.params.device()
    }

    /// Logits `(B, num_labels)`, row by row, of token sequences without padding.
    ///
    /// # Errors
    /// [`Error::Input`] if a sequence is empty, too long or holds an unknown token.
    pub fn logits(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let device = self.device();
        let (ids, cu_seqlens) = self.pack(sequences)?;
        let segments = Segments::packed(&device, &cu_seqlens)?;
        let params = &self.params;
        let embedded = embedding::forward(params.get(self.layers.word_embeddings), &Indices::new(&device, ids))?;
        let (mut x, _) = self.layers.embedding_norm.forward(params, &embedded)?;
        let relative = self.relative_embeddings()?;
        for layer in &self.layers.blocks {
            x = self.layer(layer, &x, &relative, &segments)?;
        }
        let firsts = Indices::new(&device, cu_seqlens[..sequences.len()].iter().map(|start| *start as i32).collect());
        let pooled = self.layers.pooler.forward(params, &rows::gather(&x, &firsts)?)?;
        let pooled = gelu::forward(&pooled, self.config.pooler_act)?;
        let logits = self.layers.classifier.forward(params, &pooled)?;
        Ok(logits.to_vec().chunks(self.config.num_labels).map(<[f32]>::to_vec).collect())
    }

    fn pack(&self, sequences: &[&[u32]]) -> Result<(Vec<i32>, Vec<u32>)> {
        let (mut ids, mut cu_seqlens) = (Vec::new(), vec![0u32]);
        for (row, sequence) in sequences.iter().enumerate() {
            if sequence.is_empty() || sequence.len() > self.config.max_position_embeddings {
                return Err(Error::input(format!(
                    "sequence {row} has {} tokens; 1 to {} fit",
                    sequence.len(),
                    self.config.max_position_embeddings
                )));
            }
            if let Some(id) = sequence.iter().find(|id| **id as usize >= self.config.vocab_size) {
                return Err(Error::input(format!(
                    "sequence {row}: token {id} is outside the vocabulary of {}",
                    self.config.vocab_size
                )));
            }
            ids.extend(sequence.iter().map(|id| *id as i32));
            cu_seqlens.push(ids.len() as u32);
        }
        Ok((ids, cu_seqlens))
    }

    /// The table of relative positions, `(2*span, C)`, normalised if the config says so.
    fn relative_embeddings(&self) -> Result<Tensor> {
        let table = self.params.get(self.layers.rel_embeddings);
        match &self.layers.rel_norm {
            Some(norm) => Ok(norm.forward(&self.params, table)?.0),
            None => Ok(table.clone()),
        }
    }

    fn layer(&self, layer: &EncoderLayer, x: &Tensor, relative: &Tensor, segments: &Segments) -> Result<Tensor> {
        let params = &self.params;
        let attended = disentangled_attention::forward(
            &layer.query.forward(params, x)?,
            &layer.key.forward(params, x)?,
            &layer.value.forward(params, x)?,
            &layer.pos_key.forward(params, relative)?,
            &layer.pos_query.forward(params, relative)?,
            segments,
            self.config.attention(),
        )?;
        let mut h = layer.attention_out.forward(params, &attended)?;
        elementwise::add_assign(&mut h, x)?;
        let (h, _) = layer.attention_norm.forward(params, &h)?;
        let inner = gelu::forward(&layer.intermediate.forward(params, &h)?, self.config.hidden_act)?;
        let mut y = layer.output.forward(params, &inner)?;
        elementwise::add_assign(&mut y, &h)?;
        Ok(layer.output_norm.forward(params, &y)?.0)
    }
}
