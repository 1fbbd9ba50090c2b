//! What a training run asks of the model: micro-batches, losses, updates.
//!
//! A micro-batch is queued and not waited for; its lists and pixels travel while the one before is computed.

use processor::PackedInput;
use tensor::cuda::Buffer;
use tensor::cuda::ops::optimizer::{AdamW, AdamWConfig, Group, Segment, StepReport};

use super::super::batch::{DeviceBatch, Sequences};
use super::super::decoder::Angles;
use super::super::pass::Pass;
use super::super::regions::{self, BatchShape};
use super::super::remat::{Levels, Remat, RematChoice};
use super::super::tower::Source;
use super::{GpuVlm, Pixels, Prepared, Stage, StageHook};
use crate::{Error, LossSum, Result};

impl GpuVlm {
    /// Checks a micro-batch, uploads its lists and lays out its memory; waits for the copies.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model, [`Error::Gpu`] with a way out if its memory does not fit.
    pub fn prepare(&mut self, input: &PackedInput) -> Result<Prepared> {
        self.prepare_as(input, self.options.remat)
    }

    fn prepare_as(&mut self, input: &PackedInput, remat: RematChoice) -> Result<Prepared> {
        let sequences = Sequences {
            attention: &self.kernels.attention,
            deterministic: self.options.deterministic,
            exact: self.options.exact_lengths,
        };
        let batch = DeviceBatch::new(&self.gpu, &self.copies, &self.config, &self.layers, sequences, input)?;
        let vision = batch.vision.as_ref();
        let shape = BatchShape {
            tokens: batch.tokens,
            labelled: batch.labelled(),
            patches: vision.map_or(0, |v| v.patches),
            lse: [batch.attention.lse_len(), vision.map_or(0, |v| v.attention.lse_len())],
            scratch: self.scratch,
            workspace: batch.attention.workspace_bytes().max(vision.map_or(0, |v| v.attention.workspace_bytes())),
        };
        let levels = match remat {
            RematChoice::Every(remat) => Levels::every(remat, self.layers.text.len(), self.layers.vision.len()),
            RematChoice::Fit(bytes) => regions::fit(&self.config, &self.layers, shape, bytes)?,
        };
        let (plan, regions) = regions::regions(&self.config, &self.layers, shape, &levels)?;
        if self.arena.as_ref().is_none_or(|arena| arena.bytes() < plan.bytes()) {
            self.stream.synchronize()?;
            self.arena = None;
            let advice = format!("{}; use more remat or a smaller micro-batch", levels.words());
            let arena = plan.allocate(&self.gpu, &advice)?;
            arena.clear(&self.stream)?;
            self.arena = Some(arena);
        }
        Ok(Prepared { batch, regions, plan, levels })
    }

    /// Adds the gradients of the summed token loss of a packed micro-batch. The sum of the losses since the last update is
    /// [`GpuVlm::loss_sum`]. Returns the number of labelled tokens; nothing is waited for but the uploads.
    ///
    /// # Errors
    /// As [`GpuVlm::prepare`].
    pub fn forward_backward(&mut self, input: &PackedInput, hook: StageHook<'_>) -> Result<u64> {
        let (prepared, pixels) = (self.prepare(input)?, Pixels::Patches(&input.pixel_values));
        if prepared.batch.labelled() == 0 {
            return Ok(0);
        }
        self.take_pixels(&prepared, pixels)?;
        // Giving memory back waits for the micro-batch that used it; this one's lists and pixels are on the GPU by now.
        self.queued = None;
        self.launch(&prepared, pixels, hook)?;
        let labelled = prepared.batch.labelled() as u64;
        self.queued = Some(prepared);
        Ok(labelled)
    }

    /// As [`GpuVlm::forward_backward`], of a batch that was prepared before.
    ///
    /// # Errors
    /// [`Error::Input`] if pixels do not fit, [`Error::Gpu`].
    pub fn run(&mut self, prepared: &Prepared, pixels: Pixels<'_>, hook: StageHook<'_>) -> Result<u64> {
        let labelled = prepared.batch.labelled() as u64;
        if labelled > 0 {
            self.take_pixels(prepared, pixels)?;
            self.launch(prepared, pixels, hook)?;
        }
        Ok(labelled)
    }

    fn launch(&mut self, prepared: &Prepared, pixels: Pixels<'_>, hook: StageHook<'_>) -> Result<()> {
        let fresh = self.fresh;
        let pass = self.pass(prepared, !fresh)?;
        if fresh {
            self.clear_small(pass.seen().is_some())?;
        }
        if let Some(seen) = pass.seen() {
            pass.vision_forward(seen, self.source(pixels)?, angles(&self.vision_angles))?;
            self.stream.record(&self.pixels[self.pixel_slot].1)?;
        }
        hook(&self.stream, Stage::VisionForward)?;
        pass.text_forward(angles(&self.text_angles))?;
        hook(&self.stream, Stage::TextForward)?;
        pass.head(self.weights.loss(0)?, !fresh, true)?;
        hook(&self.stream, Stage::Head)?;
        pass.text_backward()?;
        hook(&self.stream, Stage::TextBackward)?;
        if let Some(seen) = pass.seen() {
            pass.vision_backward(seen)?;
        }
        hook(&self.stream, Stage::VisionBackward)?;
        self.fresh = false;
        Ok(())
    }

    /// Sum of the losses of all micro-batches since the last update; waits for them. Meaningless before the first.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn loss_sum(&self) -> Result<f64> {
        self.weights.read_loss(&self.stream, 0)
    }

    /// The loss of a packed batch without gradients; waits for it. What was summed up for the next update stays as it is.
    ///
    /// # Errors
    /// As [`GpuVlm::forward_backward`].
    pub fn loss(&mut self, input: &PackedInput) -> Result<LossSum> {
        let Some(prepared) = self.forward(input)? else { return Ok(LossSum::default()) };
        self.pass(&prepared, false)?.head(self.weights.loss(1)?, false, false)?;
        let loss = self.weights.read_loss(&self.stream, 1)?;
        Ok(LossSum { loss, tokens: prepared.batch.labelled() as u64 })
    }

    /// Logits `(N, V)` of the rows that predict a labelled token, in f32; waits for them.
    ///
    /// # Errors
    /// As [`GpuVlm::forward_backward`].
    pub fn labelled_logits(&mut self, input: &PackedInput) -> Result<Vec<f32>> {
        let Some(prepared) = self.forward(input)? else { return Ok(Vec::new()) };
        let pass = self.pass(&prepared, false)?;
        let (rows, vocabulary) = (prepared.batch.labelled(), self.config.text.vocab_size);
        let padded = vocabulary.next_multiple_of(8);
        let mut logits = self.gpu.unset::<f32>(rows * padded, "logits")?;
        pass.logits([rows, self.config.text.hidden_size, padded], logits.view_mut())?;
        let all = self.stream.read(logits.view())?;
        Ok(all.chunks(padded).flat_map(|row| &row[..vocabulary]).copied().collect())
    }

    /// Both towers forward, keeping nothing; none if nothing is labelled.
    fn forward(&mut self, input: &PackedInput) -> Result<Option<Prepared>> {
        let prepared = self.prepare_as(input, RematChoice::Every(Remat::Full))?;
        if prepared.batch.labelled() == 0 {
            return Ok(None);
        }
        let pixels = Pixels::Patches(&input.pixel_values);
        self.take_pixels(&prepared, pixels)?;
        let pass = self.pass(&prepared, false)?;
        if let Some(seen) = pass.seen() {
            pass.vision_forward(seen, self.source(pixels)?, angles(&self.vision_angles))?;
            self.stream.record(&self.pixels[self.pixel_slot].1)?;
        }
        pass.text_forward(angles(&self.text_angles))?;
        Ok(Some(prepared))
    }

    /// Begins an optimizer whose state is that of the moments in [`GpuVlm::weights`]; `steps` updates were made before.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn set_optimizer(&mut self, config: AdamWConfig, steps: i32) -> Result<()> {
        // Padding has no gradient and is zero, so it stays zero: one segment is all.
        let all = Segment { start: 0, count: self.weights.layout.len(), group: 0 };
        self.optimizer = Some(AdamW::new(&self.gpu, &self.stream, config, &[all], 1, steps)?);
        self.group = None;
        Ok(())
    }

    /// Queues one update with gradients divided by `tokens`; clips and skips as configured. Waits only when `lr` or `weight_decay`
    /// is not that of the last update.
    ///
    /// # Errors
    /// [`Error::Internal`] without [`GpuVlm::set_optimizer`], [`Error::Gpu`].
    pub fn update(&mut self, lr: f32, weight_decay: f32, tokens: u64, hook: StageHook<'_>) -> Result<()> {
        let optimizer = self.optimizer.as_mut().ok_or_else(|| Error::internal("an update without an optimizer"))?;
        if self.group != Some((lr, weight_decay)) {
            optimizer.set_groups(&self.stream, &[Group { lr, weight_decay }])?;
            self.group = Some((lr, weight_decay));
        }
        let scale = (1.0 / tokens.max(1) as f64) as f32;
        optimizer.step(&self.gpu, &self.stream, self.weights.flat()?, scale, false)?;
        hook(&self.stream, Stage::Optimizer)?;
        self.fresh = true;
        Ok(())
    }

    /// Forgets the gradients summed up so far: the next micro-batch begins anew.
    pub fn forget_gradients(&mut self) {
        self.fresh = true;
    }

    /// What the last update did; waits for it.
    ///
    /// # Errors
    /// [`Error::Internal`] without [`GpuVlm::set_optimizer`], [`Error::Gpu`].
    pub fn report(&self) -> Result<StepReport> {
        let optimizer = self.optimizer.as_ref().ok_or_else(|| Error::internal("a report without an optimizer"))?;
        Ok(optimizer.report(&self.stream)?)
    }

    fn pass<'a>(&'a self, prepared: &'a Prepared, accumulate: bool) -> Result<Pass<'a>> {
        let arena = self.arena.as_ref().ok_or_else(|| Error::internal("a pass without memory"))?;
        Ok(Pass {
            gpu: &self.gpu,
            stream: &self.stream,
            gemm: &self.kernels.gemm,
            config: &self.config,
            layers: &self.layers,
            weights: &self.weights,
            arena,
            regions: &prepared.regions,
            batch: &prepared.batch,
            accumulate,
            fused_gelu: !self.options.deterministic,
        })
    }

    /// Checks the pixels against the grids and uploads patches; waits for the copy.
    fn take_pixels(&mut self, prepared: &Prepared, pixels: Pixels<'_>) -> Result<()> {
        let patches = prepared.batch.vision.as_ref().map_or(0, |vision| vision.patches);
        let wanted = patches * self.config.vision.patch_values();
        let values = match pixels {
            Pixels::Frames(_, shape) if shape.patches() == patches => return Ok(()),
            Pixels::Frames(_, shape) => {
                return Err(Error::input(format!("{} patches of frames for grids of {patches}", shape.patches())));
            }
            Pixels::Patches(values) => values,
        };
        if values.len() == wanted && wanted == 0 {
            return Ok(());
        }
        if values.len() != wanted {
            return Err(Error::input(format!("{} pixel values, and the grids make {wanted}", values.len())));
        }
        self.pixel_slot = 1 - self.pixel_slot;
        let (buffer, read) = &mut self.pixels[self.pixel_slot];
        read.synchronize()?;
        if buffer.len() < wanted {
            *buffer = self.gpu.unset(wanted, "pixels")?;
        }
        Ok(self.copies.write(buffer.view_mut().part(0, wanted)?, values)?)
    }

    fn source<'a>(&'a self, pixels: Pixels<'a>) -> Result<Source<'a>> {
        Ok(match pixels {
            Pixels::Frames(frames, shape) => Source::Frames(frames, shape),
            Pixels::Patches(values) => Source::Patches(self.pixels[self.pixel_slot].0.view().part(0, values.len())?),
        })
    }

    /// Sets to zero what the first micro-batch adds to: norms, biases and tables, and without vision the whole tower.
    fn clear_small(&self, vision: bool) -> Result<()> {
        if !vision {
            self.weights.clear_grads(&self.stream, self.vision_params.0, self.vision_params.1)?;
        }
        self.small.iter().try_for_each(|(first, last)| self.weights.clear_grads(&self.stream, *first, *last))
    }
}

fn angles(of: &(Buffer<f32>, Buffer<i32>)) -> Angles<'_> {
    Angles { frequencies: of.0.view(), axes: of.1.view() }
}
