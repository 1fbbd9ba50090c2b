//! Who computes a run: the model with its gradients and moments, on the CPU or on a GPU.
//!
//! Both have the same exact f32 weights and moments to save and to go on from; what a checkpoint holds does not tell which one wrote it.

use models::gpu::{GpuOptions, GpuVlm, RematChoice, Stage, State};
use models::{Grads, LossSum, Remat, Vlm};
use processor::PackedInput;
use tensor::Tensor;
use tensor::cuda::ops::optimizer::AdamWConfig;
use tensor::cuda::{Gpu, Stream};

use crate::optimizer::{self, AdamW, Moments};
use crate::{MetricSink, Plan, Recipe, Result};

/// Bytes of GPU memory left to libraries, kernels, pixels and the lists of micro-batches.
const SPARE_BYTES: u64 = 4 << 30;

/// What a run is to be computed on.
#[derive(Clone, Default)]
pub enum Accelerator {
    /// The CPU.
    #[default]
    Cpu,
    /// One GPU; results are the same bits every time if `deterministic`.
    Gpu {
        /// The GPU.
        gpu: Gpu,
        /// Whether only kernels of fixed order, chosen without timing, are used.
        deterministic: bool,
        /// Whether a model that has no kernels is an error; else the CPU trains it.
        required: bool,
    },
}

/// The model of a run and everything that its update changes.
pub enum Engine {
    /// Weights, gradients and moments on the host.
    Cpu {
        /// The model.
        vlm: Box<Vlm>,
        /// Sums of gradients of the step.
        grads: Grads,
        /// The moments.
        moments: Moments,
        /// Sum of the losses of the step.
        loss: f64,
    },
    /// All of it on the GPU; the host's model is what was loaded or saved last.
    Gpu {
        /// The host's copy.
        vlm: Box<Vlm>,
        /// The model that is trained.
        model: Box<GpuVlm>,
    },
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updated {
    /// Norm of the gradient of the mean loss, before the clip.
    pub grad_norm: f64,
    /// Whether the weights changed; not if loss or norm are not finite.
    pub updated: bool,
}

impl Engine {
    /// An engine that goes on from these weights and moments (zero if none) after `updates` updates; notes go to `sink`.
    ///
    /// # Errors
    /// [`crate::Error::Model`] if the GPU cannot hold the model or has no kernels for its sizes.
    pub fn new(
        mut vlm: Vlm,
        moments: Option<Moments>,
        updates: u64,
        plan: &Plan,
        accelerator: &Accelerator,
        sink: &mut dyn MetricSink,
    ) -> Result<Self> {
        let usable = match accelerator {
            Accelerator::Cpu => None,
            Accelerator::Gpu { gpu, deterministic, required } => match models::gpu::serves(&vlm.config) {
                Err(error) if !required => {
                    sink.note(&format!("on the CPU: {error}"));
                    None
                }
                _ => Some((gpu, *deterministic)),
            },
        };
        let Some((gpu, deterministic)) = usable else {
            vlm.remat = if plan.recompute { Remat::Full } else { Remat::None };
            let grads = vlm.params.zero_grads();
            let moments = moments.unwrap_or_else(|| Moments::zeros(&vlm.params));
            return Ok(Self::Cpu { vlm: Box::new(vlm), grads, moments, loss: 0.0 });
        };
        let options = GpuOptions { deterministic, ..GpuOptions::default() };
        let mut model = GpuVlm::new(gpu, vlm.config.clone(), vlm.layout(), options)?;
        model.upload(&vlm)?;
        if let Some(moments) = moments {
            for (state, tensors) in [(State::Moment1, &moments.first), (State::Moment2, &moments.second)] {
                for (i, tensor) in tensors.iter().enumerate() {
                    model.weights().write_state(model.stream(), state, i, &tensor.to_vec())?;
                }
            }
        }
        let steps = i32::try_from(updates).unwrap_or(i32::MAX);
        model.set_optimizer(optimizer_config(&plan.recipe), steps)?;
        // What is kept changes no bit of the result, so as much is kept as fits.
        let free = gpu.memory().map_err(models::Error::from)?.0;
        model.set_remat(RematChoice::Fit(free.saturating_sub(SPARE_BYTES)));
        Ok(Self::Gpu { vlm: Box::new(vlm), model: Box::new(model) })
    }

    /// Forgets the gradients and losses summed up so far.
    pub fn begin_step(&mut self) {
        match self {
            Self::Cpu { grads, loss, .. } => {
                grads.fill_zero();
                *loss = 0.0;
            }
            Self::Gpu { model, .. } => model.forget_gradients(),
        }
    }

    /// Adds gradients of the *sum* of token losses of a packed micro-batch; returns its labelled tokens.
    ///
    /// # Errors
    /// [`crate::Error::Model`].
    pub fn forward_backward(&mut self, packed: &PackedInput) -> Result<u64> {
        match self {
            Self::Cpu { vlm, grads, loss, .. } => {
                let sum = vlm.forward_backward(packed, 1.0, grads)?;
                *loss += sum.loss;
                Ok(sum.tokens)
            }
            Self::Gpu { model, .. } => Ok(model.forward_backward(packed, &mut unmarked)?),
        }
    }

    /// Sum of the token losses since [`Engine::begin_step`], over `tokens` labelled ones.
    ///
    /// # Errors
    /// [`crate::Error::Model`].
    pub fn loss_sum(&self, tokens: u64) -> Result<LossSum> {
        let loss = match self {
            // Without a labelled token the GPU's sum is that of an earlier step.
            _ if tokens == 0 => 0.0,
            Self::Cpu { loss, .. } => *loss,
            Self::Gpu { model, .. } => model.loss_sum()?,
        };
        Ok(LossSum { loss, tokens })
    }

    /// Clips and updates; `updates` counts this one. Nothing changes if loss or norm are not finite.
    ///
    /// # Errors
    /// [`crate::Error::Model`], [`crate::Error::Tensor`].
    pub fn update(&mut self, recipe: &Recipe, lr: f64, updates: u64, sum: LossSum) -> Result<Updated> {
        let tokens = sum.tokens as f64;
        match self {
            Self::Cpu { vlm, grads, moments, .. } => {
                let grad_norm = optimizer::grad_norm(grads)? / tokens;
                let updated = (sum.loss / tokens).is_finite() && grad_norm.is_finite();
                if updated {
                    let settings = AdamW {
                        lr,
                        beta1: recipe.betas[0],
                        beta2: recipe.betas[1],
                        eps: recipe.epsilon,
                        weight_decay: recipe.weight_decay,
                        step: updates,
                        grad_scale: (optimizer::clip_factor(grad_norm, recipe.grad_norm_max) / tokens) as f32,
                    };
                    optimizer::update(&mut vlm.params, grads, moments, settings)?;
                }
                Ok(Updated { grad_norm, updated })
            }
            Self::Gpu { model, .. } => {
                if !sum.loss.is_finite() {
                    model.forget_gradients();
                    return Ok(Updated { grad_norm: f64::NAN, updated: false });
                }
                model.update(lr as f32, recipe.weight_decay as f32, sum.tokens, &mut unmarked)?;
                let report = model.report()?;
                Ok(Updated { grad_norm: f64::from(report.norm), updated: !report.skipped })
            }
        }
    }

    /// The loss of a packed batch without gradients.
    ///
    /// # Errors
    /// [`crate::Error::Model`].
    pub fn loss(&mut self, packed: &PackedInput) -> Result<LossSum> {
        match self {
            Self::Cpu { vlm, .. } => Ok(vlm.loss(packed)?),
            Self::Gpu { model, .. } => Ok(model.loss(packed)?),
        }
    }

    /// Calls `save` with the exact f32 weights and moments as they are now.
    ///
    /// # Errors
    /// Those of `save`, [`crate::Error::Model`].
    pub fn with_state<R>(&mut self, save: impl FnOnce(&Vlm, &Moments) -> Result<R>) -> Result<R> {
        match self {
            Self::Cpu { vlm, moments, .. } => save(vlm, moments),
            Self::Gpu { vlm, model } => {
                model.download(vlm)?;
                let read = |state| -> Result<Vec<Tensor>> {
                    let shapes = vlm.params.specs().iter().enumerate();
                    let one = |(i, spec): (usize, &models::ParamSpec)| {
                        let values = model.weights().read_state(model.stream(), state, i)?;
                        Ok(Tensor::from_vec(&vlm.device(), values, &spec.shape)?)
                    };
                    shapes.map(one).collect()
                };
                let moments = Moments { first: read(State::Moment1)?, second: read(State::Moment2)? };
                save(vlm, &moments)
            }
        }
    }
}

/// Stages of a training step are not timed.
fn unmarked(_: &Stream, _: Stage) -> models::Result<()> {
    Ok(())
}

fn optimizer_config(recipe: &Recipe) -> AdamWConfig {
    AdamWConfig {
        beta1: recipe.betas[0],
        beta2: recipe.betas[1],
        eps: recipe.epsilon,
        max_norm: recipe.grad_norm_max.map_or(0.0, |norm| norm as f32),
    }
}
