//! The gradient of one step: micro-batches of packed samples, summed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::LossSum;
use processor::{Encoded, pack};

use crate::data::Data;
use crate::engine::Engine;
use crate::loader::{Loaded, Loader};
use crate::logs::RejectRow;
use crate::mix::Drawn;
use crate::{Error, Result};

/// What a step computed and from what.
#[derive(Debug, Default)]
pub struct Batch {
    /// Sum of token losses and number of labelled tokens over the whole step.
    pub loss: LossSum,
    /// Tokens of all samples.
    pub tokens: u64,
    /// Text tokens cut off.
    pub cut_tokens: u64,
    /// Ids of the samples used, in order.
    pub samples: Vec<String>,
    /// Samples left out.
    pub rejects: Vec<RejectRow>,
    /// Samples drawn from each data set.
    pub drawn: Vec<Drawn>,
    /// Time spent waiting for samples.
    pub waited: Duration,
}

impl Batch {
    /// Mean loss over all labelled tokens of the step, whatever the micro-batches; none without tokens.
    pub fn loss_avg(&self) -> Option<f64> {
        (self.loss.tokens > 0).then(|| self.loss.loss / self.loss.tokens as f64)
    }
}

/// Adds up gradients of the *sum* of token losses over the next `samples` samples of the loader, `mini_batch` of the
/// usable ones at a time. Dividing by the number of tokens is left to the update, which knows it: the result does not
/// depend on the division into micro-batches, and no sample has to wait in memory for the others to be counted.
/// None if `stop` was set meanwhile: the gradients are then worth nothing.
///
/// # Errors
/// [`Error::Model`], or [`Error::LoaderDied`].
pub fn forward_backward(
    engine: &mut Engine,
    loader: &mut Loader<Arc<Encoded>>,
    data: &Data,
    (step, samples, mini_batch): (u64, u64, usize),
    stop: &AtomicBool,
) -> Result<Option<Batch>> {
    let mut batch = Batch { drawn: vec![Drawn::default(); data.sizes().len()], ..Batch::default() };
    let mut micro: Vec<Arc<Encoded>> = Vec::new();
    engine.begin_step();
    for left in (0..samples).rev() {
        let asked = Instant::now();
        let Loaded { sample, outcome } = loader.next().ok_or(Error::LoaderDied { step })?;
        batch.waited += asked.elapsed();
        let id = data.id(sample);
        match outcome {
            Ok(encoded) => {
                batch.samples.push(id);
                batch.drawn[sample.dataset].used += 1;
                batch.cut_tokens += encoded.cut_tokens as u64;
                micro.push(encoded);
            }
            Err(reason) => {
                batch.drawn[sample.dataset].rejected += 1;
                batch.rejects.push(RejectRow { step, id, reason });
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if micro.len() == mini_batch || (left == 0 && !micro.is_empty()) {
            add_micro_batch(engine, &micro, &mut batch)?;
            micro.clear();
        }
    }
    batch.loss = engine.loss_sum(batch.loss.tokens)?;
    Ok(Some(batch))
}

fn add_micro_batch(engine: &mut Engine, micro: &[Arc<Encoded>], batch: &mut Batch) -> Result<()> {
    let inputs: Vec<_> = micro.iter().map(|encoded| &encoded.input).collect();
    let packed = pack(&inputs);
    batch.loss.tokens += engine.forward_backward(&packed)?;
    batch.tokens += packed.input_ids.len() as u64;
    Ok(())
}
