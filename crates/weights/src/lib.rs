//! Weights on disk: Hugging Face model folders in and out, and single safetensors files for training state.
//!
//! [`HfFolder`] opens a model folder, memory-mapped, and hands out its tensors as f32; [`export`] writes one that
//! transformers and vLLM load unchanged. [`SafetensorsFile`] and [`save_tensors`] do the same for one file.
//! Nothing in a file is believed before [`header`] has checked it. Pickle is read in one place, [`TorchZip`], which
//! rebuilds tensors and refuses everything else by name.

mod atomic;
mod companions;
mod convert;
mod digest;
mod error;
mod export;
mod file;
mod folder;
pub mod header;
mod index;
mod mmap;
mod torch_zip;
mod write;

pub use atomic::{hash_file, sync_dir, write_file_atomic};
pub use companions::{copy_companions, copy_config};
pub use error::{Error, HeaderProblem, IndexProblem, Mismatch, Result, TensorProblem};
pub use export::{ExportOptions, ExportSummary, export};
pub use file::SafetensorsFile;
pub use folder::{Expected, HfFolder};
pub use header::{StoredDType, TensorInfo};
pub use torch_zip::TorchZip;
pub use write::{Entry, FileSummary, save_tensors};
