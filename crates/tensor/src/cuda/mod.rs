//! The GPU side: NVIDIA's libraries opened at run time, memory, streams, matrix products, attention and own kernels.
//!
//! Nothing here is a build feature: the same binary runs where there is no CUDA and says what is missing ([`Error`]). Data is bf16,
//! arithmetic f32; every op has its reference under [`crate::ops`] and is checked against it by `examples/gpu_check.rs`.
//! Work goes onto streams in order; a call returns before the GPU is done unless its doc says that it waits.

mod attention;
mod columns;
mod cublaslt;
mod cudnn;
mod device;
mod driver;
mod error;
mod gemm;
mod kernel;
mod library;
mod memory;
mod nvrtc;
pub mod ops;
mod plan;
mod stream;
mod upload;

pub use attention::{Attention, AttentionConfig, AttentionSaved, PackedAttention};
pub use columns::{Columns, ColumnsMut};
pub use device::{Gpu, GpuConfig, GpuInfo, survey};
pub use error::{Error, Result};
pub use half::bf16;

pub use gemm::{BackwardEpilogue, Epilogue, Gemm};
pub use kernel::compile_all;
pub use library::{Found, LibraryKind, LibrarySearch};
pub use memory::{Buffer, Element, Pinned, View, ViewMut};
pub use plan::{Arena, MemoryPlan, Purpose, Region};
pub use stream::{Event, Graph, Stream};
pub use upload::Upload;
