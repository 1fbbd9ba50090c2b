//! Qwen3-VL on one GPU: the second executor of the layers that [`crate::Vlm`] runs on the CPU.
//!
//! The description of a model (which layer has which parameters) is shared; what differs is who runs it. Data is bf16, arithmetic f32,
//! gradients f32, masters exact. Nothing is allocated inside a pass: a micro-batch's memory is planned before its first launch.
//! `examples/gpu_model_check` compares losses, logits and every gradient with the CPU.

mod batch;
mod decoder;
mod layers;
mod layout;
mod model;
mod pass;
mod regions;
mod remat;
mod tower;
mod weights;

pub use model::{GpuOptions, GpuVlm, Kernels, Pixels, Prepared, Stage, StageHook, serves};
pub use remat::{Remat, RematChoice};
pub use weights::{State, Weights};
