//! Generation of one answer: token ids in, token ids out, never text.

use crate::{Error, Sampler};
use models::{Prefix, Vlm};
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

/// Generates an answer to a prompt whose beginning has been read already (of the same clip, or the answer is wrong); ends
/// with one of `choices` if there are some, at any of `end_ids`, after `sampling.max_new_tokens`, or where the model's positions end. `on_token` is told of every
/// token; if it returns `false` there is no answer.
///
/// # Errors
/// [`Error::Model`] if the prompt does not fit the model, [`Error::NoNumber`] if it yields no usable logits.
pub fn generate(
    model: &Vlm,
    prefix: &Prefix,
    input: &VlmInput,
    sampling: Sampling,
    choices: &[Vec<u32>],
    end_ids: &[u32],
    on_token: &mut dyn FnMut(u32) -> bool,
) -> Result<Option<Generated>, Error> {
    let room = model.config.text.max_position_embeddings.saturating_sub(input.input_ids.len());
    let limit = room.min(sampling.max_new_tokens as usize);
    let mut sampler = Sampler::new(sampling, model.config.text.vocab_size, &input.input_ids);
    let mut ids = Vec::new();
    if limit == 0 {
        return Ok(Some(Generated { ids, finish_reason: FinishReason::Length }));
    }
    let (mut logits, mut cache) = model.prefill_after(prefix, input, limit)?;
    loop {
        if !choices.is_empty() {
            keep_allowed(&mut logits, choices, &ids, end_ids);
        }
        let token = sampler.next(logits).ok_or(Error::NoNumber)?;
        ids.push(token);
        if end_ids.contains(&token) {
            return Ok(Some(Generated { ids, finish_reason: FinishReason::Stop }));
        }
        if !on_token(token) {
            return Ok(None);
        }
        if ids.len() >= limit {
            return Ok(Some(Generated { ids, finish_reason: FinishReason::Length }));
        }
        logits = model.decode(token, &mut cache)?;
    }
}

/// Leaves the tokens that continue one of `choices` after `ids`, or end it.
fn keep_allowed(logits: &mut [f32], choices: &[Vec<u32>], ids: &[u32], end_ids: &[u32]) {
    let begun = choices.iter().filter_map(|choice| choice.strip_prefix(ids));
    let allowed: Vec<u32> = begun.filter_map(|rest| rest.first().or(end_ids.first()).copied()).collect();
    for (logit, token) in logits.iter_mut().zip(0..) {
        if !allowed.contains(&token) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_to_a_choice_is_left() {
        let choices = [vec![1, 2], vec![1, 3, 4], vec![5]];
        let check = |ids: &[u32], expect: &[u32]| {
            let mut logits = vec![0.0; 8];
            keep_allowed(&mut logits, &choices, ids, &[7, 6]);
            let left: Vec<u32> = (0..).zip(&logits).filter(|(_, logit)| logit.is_finite()).map(|(id, _)| id).collect();
            assert_eq!(left, expect, "{ids:?}");
        };
        check(&[], &[1, 5]);
        check(&[1], &[2, 3]);
        check(&[1, 3], &[4]);
        check(&[1, 2], &[7]);
        check(&[5], &[7]);
    }
}
