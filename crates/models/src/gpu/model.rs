//! A model on the GPU: loading, loss, gradients, update.

use std::sync::Arc;

use processor::PackedInput;
use tensor::cuda::ops::optimizer::{AdamW, AdamWConfig, Group, Segment, StepReport};
use tensor::cuda::ops::vision::FrameShape;
use tensor::cuda::{Arena, Attention, Buffer, Event, Gemm, Gpu, MemoryPlan, Stream, View};
use tensor::ops::rotary;

use super::batch::{DeviceBatch, Sequences};
use super::decoder::Angles;
use super::layers::{self, Layers};
use super::layout::FlatLayout;
use super::pass::Pass;
use super::regions::{self, BatchShape, Regions};
use super::remat::{Levels, Remat, RematChoice};
use super::tower::Source;
use super::weights::Weights;
use crate::config::VlmConfig;
use crate::tower::VISION_ROPE_THETA;
use crate::{Error, Layout, LossSum, ParamId, ParamSpec, Result, Vlm, vlm};

/// Whether there are kernels for a model of this config.
///
/// # Errors
/// [`Error::Config`] with the first key whose value has none.
pub fn serves(config: &VlmConfig) -> Result<()> {
    layers::check_served(config)
}

/// Bytes of workspace of products.
const GEMM_WORKSPACE: usize = 64 << 20;

/// How a model runs.
#[derive(Clone, Copy, Debug)]
pub struct GpuOptions {
    /// Whether two runs give the same bits, whatever blocks keep: attention's backward in a fixed order, no kernel chosen by its time,
    /// GELU on rounded values.
    pub deterministic: bool,
    /// What blocks keep for the backward.
    pub remat: RematChoice,
    /// Whether the lengths of sequences repeat from batch to batch, so that plans for exactly them pay.
    pub exact_lengths: bool,
    /// Whether the optimizer's moments are kept in bf16, rounded at random, which saves 4 bytes a parameter; masters stay exact.
    pub bf16_moments: bool,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self { deterministic: false, remat: RematChoice::Every(Remat::None), exact_lengths: false, bf16_moments: false }
    }
}

/// Products and attention with what was compiled and chosen so far: models of one GPU may share them.
pub struct Kernels {
    gemm: Gemm,
    attention: Attention,
    deterministic: bool,
}

impl Kernels {
    /// Nothing is compiled yet; [`GpuOptions::deterministic`] of the models must be the same.
    ///
    /// # Errors
    /// [`Error::Gpu`] if there is no room for the workspace of products.
    pub fn new(gpu: &Gpu, deterministic: bool) -> Result<Self> {
        let (gemm, attention) = match deterministic {
            true => (Gemm::untimed(gpu, GEMM_WORKSPACE)?, Attention::untimed(gpu)),
            false => (Gemm::new(gpu, GEMM_WORKSPACE)?, Attention::new(gpu)),
        };
        Ok(Self { gemm, attention, deterministic })
    }
}

/// Pixels of a micro-batch, in the order of its grids.
#[derive(Clone, Copy)]
pub enum Pixels<'a> {
    /// Normalised patches `(P, E)` of the host, as a packed input has them; uploaded here.
    Patches(&'a [f32]),
    /// Frames in bytes, on the GPU, to be normalised and cut into patches there.
    Frames(View<'a, u8>, FrameShape),
}

/// A part of a step, named when its launches are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Patches to features.
    VisionForward,
    /// Embedding to the last block.
    TextForward,
    /// Final norm, logits, loss, and their gradients.
    Head,
    /// Last block to embedding.
    TextBackward,
    /// Features to the patch embedding.
    VisionBackward,
    /// Norm, clip, guard, update.
    Optimizer,
}

/// Called behind the launches of each stage, for marks of time.
pub type StageHook<'a> = &'a mut dyn FnMut(&Stream, Stage) -> Result<()>;

/// A micro-batch on the GPU: lists and boundaries, and the plan of its memory.
pub struct Prepared {
    batch: DeviceBatch,
    regions: Regions,
    plan: MemoryPlan,
    levels: Levels,
}

/// A vision-language model on one GPU, with gradients and optimizer state.
pub struct GpuVlm {
    gpu: Gpu,
    stream: Stream,
    kernels: Arc<Kernels>,
    config: VlmConfig,
    options: GpuOptions,
    specs: Vec<ParamSpec>,
    layers: Layers,
    weights: Weights,
    /// Memory of activations and workspace: the largest plan so far.
    arena: Option<Arena>,
    text_angles: (Buffer<f32>, Buffer<i32>),
    vision_angles: (Buffer<f32>, Buffer<i32>),
    /// Lists and pixels travel on it while the micro-batch before is computed.
    copies: Stream,
    /// Patches in f32, of this micro-batch and the one before, each with a mark behind its last reader.
    pixels: [(Buffer<f32>, Event); 2],
    /// Which of the two is this micro-batch's.
    pixel_slot: usize,
    /// The micro-batch queued last: its memory may go only when it is done.
    queued: Option<Prepared>,
    /// Ranges of parameters whose gradients a first micro-batch does not overwrite, and the range of the vision tower.
    small: Vec<(usize, usize)>,
    vision_params: (usize, usize),
    /// Whether nothing was added to the gradients since the last update.
    fresh: bool,
    optimizer: Option<AdamW>,
    /// Learning rate and decay of the last update.
    group: Option<(f32, f32)>,
}

impl GpuVlm {
    /// An empty model of this config: every weight is zero until [`GpuVlm::upload`] or [`GpuVlm::fill_random`].
    ///
    /// # Errors
    /// [`Error::Config`] if a size has no kernel, [`Error::Gpu`] if 16 bytes a parameter do not fit.
    pub fn new(gpu: &Gpu, config: VlmConfig, layout: Layout, options: GpuOptions) -> Result<Self> {
        layers::check_served(&config)?;
        let kernels = Arc::new(Kernels::new(gpu, options.deterministic)?);
        Self::sharing(gpu, config, layout, options, kernels)
    }

    /// As [`GpuVlm::new`], with kernels that other models of this GPU use too.
    ///
    /// # Errors
    /// As [`GpuVlm::new`]; [`Error::Internal`] if `deterministic` is not that of the kernels.
    pub fn sharing(
        gpu: &Gpu,
        config: VlmConfig,
        layout: Layout,
        options: GpuOptions,
        kernels: Arc<Kernels>,
    ) -> Result<Self> {
        layers::check_served(&config)?;
        if kernels.deterministic != options.deterministic {
            return Err(Error::internal("kernels of models that are not deterministic, or the other way round"));
        }
        let (table, tower, decoder) = vlm::describe(&config, layout);
        let tables = [decoder.embedding, decoder.head];
        let flat = FlatLayout::new(table.specs(), &layers::joined(&decoder), &tables)?;
        let layers = Layers::new(&config, &flat, &tower, &decoder)?;
        let stream = gpu.stream()?;
        let (text, vision) = (&config.text, &config.vision);
        let upload = |(frequencies, axes): (Vec<f32>, Vec<i32>)| -> Result<(Buffer<f32>, Buffer<i32>)> {
            Ok((gpu.upload(&stream, &frequencies, "frequencies")?, gpu.upload(&stream, &axes, "axes")?))
        };
        let (section, order) = (text.mrope_section, text.mrope_layout);
        let text_angles = upload(rotary::mrope_frequencies(text.head_dim, text.rope_theta, section, order))?;
        let vision_angles = upload(rotary::vision_frequencies(vision.head_dim(), VISION_ROPE_THETA))?;
        let slot = || -> Result<(Buffer<f32>, Event)> { Ok((gpu.unset(0, "pixels")?, gpu.event()?)) };
        let pixels = [slot()?, slot()?];
        let weights = Weights::new(gpu, &stream, flat, options.bf16_moments)?;
        let specs = table.specs().to_vec();
        let small = small_ranges(specs.len(), &layers::overwritten(&tower, &decoder));
        let vision_params = (0, decoder.embedding.index().saturating_sub(1));
        Ok(Self {
            gpu: gpu.clone(),
            stream,
            kernels,
            config,
            options,
            specs,
            layers,
            weights,
            arena: None,
            text_angles,
            vision_angles,
            copies: gpu.stream()?,
            pixels,
            pixel_slot: 0,
            queued: None,
            small,
            vision_params,
            fresh: true,
            optimizer: None,
            group: None,
        })
    }

    /// The config.
    pub fn config(&self) -> &VlmConfig {
        &self.config
    }

    /// Names and shapes of the parameters, in order.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Weights, gradients and states.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The stream that everything runs on.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Changes what blocks keep, from the next micro-batch that is prepared on.
    pub fn set_remat(&mut self, remat: RematChoice) {
        self.options.remat = remat;
    }

    /// Products tuned so far, a line each.
    pub fn tuned_products(&self) -> Vec<String> {
        self.kernels.gemm.choices()
    }

    /// Takes the weights of a model of the host, exactly; waits for the copies.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is another model, [`Error::Gpu`].
    pub fn upload(&self, model: &Vlm) -> Result<()> {
        if model.params.specs() != self.specs {
            return Err(Error::internal("weights of another model"));
        }
        for (i, tensor) in model.params.tensors().iter().enumerate() {
            self.weights.write(&self.gpu, &self.stream, i, &tensor.to_vec())?;
        }
        Ok(())
    }

    /// Gives the exact f32 weights to a model of the host; waits for them.
    ///
    /// # Errors
    /// As [`GpuVlm::upload`].
    pub fn download(&self, model: &mut Vlm) -> Result<()> {
        if model.params.specs() != self.specs {
            return Err(Error::internal("weights of another model"));
        }
        for (i, tensor) in model.params.tensors_mut().iter_mut().enumerate() {
            tensor.copy_from_slice(&self.weights.read(&self.gpu, &self.stream, i)?)?;
        }
        Ok(())
    }

    /// Random weights, made on the GPU.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn fill_random(&self, seed: u64) -> Result<()> {
        let deviation = self.config.initializer_range;
        self.weights.fill_random(&self.gpu, &self.stream, &self.specs, seed, deviation)
    }

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
            workspace: batch.attention.workspace_bytes().max(vision.map_or(0, |v| v.attention.workspace_bytes())),
        };
        let levels = match remat {
            RematChoice::Every(remat) => Levels::every(remat, self.layers.text.len(), self.layers.vision.len()),
            RematChoice::Fit(bytes) => regions::fit(&self.gpu, &self.config, &self.layers, shape, bytes)?,
        };
        let (plan, regions) = regions::regions(&self.gpu, &self.config, &self.layers, shape, &levels)?;
        if self.arena.as_ref().is_none_or(|arena| arena.bytes() < plan.bytes()) {
            self.stream.synchronize()?;
            self.arena = None;
            let advice = format!("{}; use more remat or a smaller micro-batch", levels.words());
            self.arena = Some(plan.allocate(&self.gpu, &advice)?);
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

impl Prepared {
    /// The plan of its memory and what its blocks keep, in words.
    pub fn words(&self) -> String {
        format!("{}; {}", self.plan, self.levels.words())
    }

    /// Bytes of activations and workspace.
    pub fn bytes(&self) -> usize {
        self.plan.bytes()
    }

    /// Labelled rows.
    pub fn labelled(&self) -> usize {
        self.batch.labelled()
    }
}

fn angles(of: &(Buffer<f32>, Buffer<i32>)) -> Angles<'_> {
    Angles { frequencies: of.0.view(), axes: of.1.view() }
}

/// Runs of parameters between those that a first micro-batch overwrites.
fn small_ranges(count: usize, overwritten: &[ParamId]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for i in (0..count).filter(|i| !overwritten.iter().any(|id| id.index() == *i)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => ranges.push((i, i)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, params::ParamTable};

    #[test]
    fn what_is_not_overwritten_is_cleared_in_runs() {
        let mut table = ParamTable::default();
        let ids: Vec<ParamId> = (0..6).map(|i| table.add(format!("p{i}"), &[8], Init::Zeros)).collect();
        assert_eq!(small_ranges(6, &[ids[0], ids[3]]), [(1, 2), (4, 5)]);
        assert_eq!(small_ranges(6, &[]), [(0, 5)]);
        assert_eq!(small_ranges(2, &[ids[0], ids[1]]), []);
    }
}
