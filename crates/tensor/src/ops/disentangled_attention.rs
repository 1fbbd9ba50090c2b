//! DeBERTa-v2's attention: content plus content-to-position and position-to-content terms. Forward only.
use crate::{Result, Segments, Tensor, ops::missing};

/// What the op does beside its operands.
#[derive(Clone, Copy, Debug)]
pub struct Config { /// Heads.
 pub heads: usize, /// Width of a head.
 pub head_dim: usize, /// Whether the content-to-position term is on.
 pub c2p: bool, /// Whether the position-to-content term is on.
 pub p2c: bool, /// Log-bucket count of `make_log_bucket_position`; 0 or less means plain distance.
 pub position_buckets: i32, /// Largest relative distance.
 pub max_relative_positions: i32 }

/// `q, k, v (T, H*D)`; `pos_key`, `pos_query` `(2*span, H*D)`, the projected relative embeddings, where `span` = `position_buckets` if positive, else `max_relative_positions` -> `(T, H*D)`.
/// Scores are divided by `sqrt(D * (1 + c2p + p2c))` as transformers 4.57.6 `DisentangledSelfAttention` does.
pub fn forward(_q: &Tensor, _k: &Tensor, _v: &Tensor, _pos_key: &Tensor, _pos_query: &Tensor, _segments: &Segments, _config: Config) -> Result<Tensor> { missing("disentangled_attention") }
