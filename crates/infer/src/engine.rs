//! Generation of one answer: token ids in, token ids out, never text.

use crate::{Error, Sampler};
use models::Vlm;
use processor::VlmInput;
use records::{FinishReason, Sampling};

/// The tokens of an answer and why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Generated tokens, the end token included.
    pub ids: Vec<u32>,
    /// Why generation ended.
    pub finish_reason: FinishReason,
}

/// Generates an answer to a prompt; ends at any of `end_ids`, after `sampling.max_new_tokens`, or where the model's
/// positions end. `on_token` is told of every token and may stop the generation by returning `false`.
///
/// # Errors
/// [`Error::Model`] if the prompt does not fit the model, [`Error::NoNumber`] if it yields no usable logits.
pub fn generate(
    model: &Vlm,
    input: &VlmInput,
    sampling: Sampling,
    end_ids: &[u32],
    on_token: &mut dyn FnMut(u32) -> bool,
) -> Result<Generated, Error> {
    let room = model.config.text.max_position_embeddings.saturating_sub(input.input_ids.len());
    let limit = room.min(sampling.max_new_tokens as usize);
    let mut sampler = Sampler::new(sampling, model.config.text.vocab_size, &input.input_ids);
    let mut ids = Vec::new();
    if limit == 0 {
        return Ok(Generated { ids, finish_reason: FinishReason::Length });
    }
    let (mut logits, mut cache) = model.prefill(input, limit)?;
    loop {
        let token = sampler.next(logits).ok_or(Error::NoNumber)?;
        ids.push(token);
        if end_ids.contains(&token) {
            return Ok(Generated { ids, finish_reason: FinishReason::Stop });
        }
        if !on_token(token) || ids.len() >= limit {
            return Ok(Generated { ids, finish_reason: FinishReason::Length });
        }
        logits = model.decode(token, &mut cache)?;
    }
}
