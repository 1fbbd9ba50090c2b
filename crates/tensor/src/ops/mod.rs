//! The ops: one file each, forward, backward and test.
//!
//! Shape legend: `N` rows, `I`/`O` input/output width, `T` packed tokens, `H` query heads, `K` key/value heads,
//! `D` head width, `C` model width, `F` MLP width, `V` vocabulary, `P` patches.

pub mod attention;
pub mod disentangled_attention;
pub mod elementwise;
pub mod embedding;
pub mod gelu;
pub mod layer_norm;
pub mod linear;
pub mod linear_cross_entropy;
pub mod optimizer;
pub mod position_table;
pub mod rms_norm;
pub mod rotary;
pub mod rows;
pub mod silu;
pub mod swiglu;
