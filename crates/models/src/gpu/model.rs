//! A model on the GPU: what it holds, and its weights in and out.

mod steps;

use std::sync::Arc;

use tensor::cuda::ops::optimizer::AdamW;
use tensor::cuda::ops::vision::FrameShape;
use tensor::cuda::{Arena, Attention, Buffer, Event, Gemm, Gpu, MemoryPlan, Stream, View};
use tensor::ops::rotary;

use super::batch::DeviceBatch;
use super::layers::{self, Layers};
use super::layout::FlatLayout;
use super::regions::{self, Regions};
use super::remat::{Levels, Remat, RematChoice};
use super::weights::Weights;
use crate::config::VlmConfig;
use crate::tower::VISION_ROPE_THETA;
use crate::{Error, Layout, ParamId, ParamSpec, Result, Vlm, vlm};

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

/// Products and attention with what was compiled and chosen so far. Models of one GPU may share them as long as they take turns: the
/// workspace of products is one.
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
    /// f32 values of scratch of norms and sums.
    scratch: usize,
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
        let slot = || -> Result<(Buffer<f32>, Event)> {
            let read = gpu.event()?;
            stream.record(&read)?;
            Ok((gpu.unset(0, "pixels")?, read))
        };
        let pixels = [slot()?, slot()?];
        let weights = Weights::new(gpu, &stream, flat, options.bf16_moments)?;
        let scratch = regions::scratch_values(gpu, &config);
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
            scratch,
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
