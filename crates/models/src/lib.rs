//! Qwen3-VL, Qwen2.5-VL and DeBERTa-v2: fixed architectures, each layer a forward and a backward over `tensor`'s ops.
//!
//! No file, clock or environment is read here: folders come in through `weights`, inputs through `processor`.

mod config;
mod deberta;
mod decoder;
mod error;
mod flops;
mod folder;
pub mod gpu;
mod grid;
mod layers;
mod params;
mod presets;
mod qwen2_5_vl;
mod qwen3_vl;
mod tower;
mod vlm;

pub use config::{TextConfig, VisionConfig, VisionKind, VlmConfig};
pub use deberta::{Deberta, DebertaConfig};
pub use error::{Error, Result};
pub use flops::{LinearShape, StepWork};
pub use folder::{export_random, random_values};
pub use params::{Grads, Init, ParamId, ParamSpec, ParamTable, Params};
pub use presets::{Preset, SpecialTokens, preset_config, preset_generation_config};
pub use tower::VisionOutput;
pub use vlm::{KvCache, Layout, LossSum, Prefix, Remat, Vlm, param_table};
