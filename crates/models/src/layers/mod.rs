//! The parts that the families share: each a small struct of parameter ids with a forward and a backward.
//!
//! Shape legend: `N` rows (patches or packed tokens), `C` model width, `F` MLP width, `H`/`K` query and key/value
//! heads, `D` head width.

mod attention;
mod block;
mod linear;
mod mlp;
mod norm;

pub use attention::{Attention, AttentionSaved, LayerCache, Projection, QkNorm};
pub use block::{Block, Context, SavedBlock, backward_saved, forward_saving};
pub use linear::Linear;
pub use mlp::{Mlp, MlpSaved};
pub use norm::{Norm, NormSaved};
