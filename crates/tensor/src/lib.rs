//! Devices, memory and ops.
//!
//! The one crate that will know CUDA. Every op is a file under [`ops`] with a forward and a backward
//! function over [`Tensor`]s; the f32 CPU code there is the reference that later kernels are tested against.
//! Callers never see where memory lives: they hold [`Tensor`], [`Indices`] and [`Segments`].

mod cpu;
pub mod cuda;
mod device;
mod dtype;
mod error;
mod indices;
pub mod ops;
mod tensor;
#[cfg(test)]
mod testing;

pub use device::Device;
pub use dtype::DType;
pub use error::{Error, Result};
pub use indices::{Indices, Segments};
pub use tensor::Tensor;
