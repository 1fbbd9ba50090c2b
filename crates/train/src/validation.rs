//! The loss on samples that are not trained on. Nothing of the training depends on it.

use std::sync::Arc;

use processor::{Encoded, pack};
use rayon::prelude::*;

use crate::data::{Data, Encoder};
use crate::engine::Engine;
use crate::logs::RejectRow;
use crate::{Plan, Result, SampleRef, ValidationMetrics};

/// Samples that are decoded at a time.
const CHUNK: usize = 32;

/// The validation data of a run.
pub struct Validation<'a> {
    data: &'a Data,
    encoder: Encoder<'a>,
    batch_size: usize,
    samples: Vec<SampleRef>,
}

impl<'a> Validation<'a> {
    /// The validation samples of a plan, in the order of their meta files.
    ///
    /// # Errors
    /// [`crate::Error::Processor`] if the model's tokenizer or processor files are not usable.
    pub fn open(plan: &'a Plan, data: &'a Data, batch_size: usize) -> Result<Self> {
        let place = |(dataset, size): (usize, usize)| (0..size).map(move |sample| SampleRef { dataset, sample });
        let samples = data.sizes().into_iter().enumerate().flat_map(place).collect();
        Ok(Self { data, encoder: Encoder::open(plan, data)?, batch_size, samples })
    }

    /// Measures: sum of token losses over all labelled tokens, divided by their number (cosmos-rl averages means of
    /// samples). Also returns the samples that could not be used.
    ///
    /// # Errors
    /// [`crate::Error::Model`] if the model cannot be run.
    pub fn measure(&self, engine: &mut Engine, step: u64, epoch: u64) -> Result<(ValidationMetrics, Vec<RejectRow>)> {
        let (mut loss, mut tokens, mut used) = (0.0, 0, 0);
        let mut rejects = Vec::new();
        let mut waiting: Vec<Arc<Encoded>> = Vec::new();
        for (at, chunk) in self.samples.chunks(CHUNK).enumerate() {
            let encoded: Vec<_> = chunk.par_iter().map(|sample| self.encoder.encode(*sample)).collect();
            for (sample, encoded) in chunk.iter().zip(encoded) {
                match encoded {
                    Ok(encoded) => waiting.push(encoded),
                    Err(reason) => rejects.push(RejectRow { step, id: self.data.id(*sample), reason }),
                }
            }
            let last = (at + 1) * CHUNK >= self.samples.len();
            while waiting.len() >= self.batch_size || (last && !waiting.is_empty()) {
                let batch: Vec<_> = waiting.drain(..self.batch_size.min(waiting.len())).collect();
                let inputs: Vec<_> = batch.iter().map(|encoded| &encoded.input).collect();
                let sum = engine.loss(&pack(&inputs))?;
                loss += sum.loss;
                tokens += sum.tokens;
                used += batch.len() as u64;
            }
        }
        let avg_loss = (tokens > 0).then(|| loss / tokens as f64);
        let rejected = rejects.len() as u64;
        Ok((ValidationMetrics { step, avg_loss, epoch, labelled_tokens: tokens, samples: used, rejected }, rejects))
    }
}
