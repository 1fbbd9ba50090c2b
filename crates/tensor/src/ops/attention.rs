//! Scaled dot-product attention over packed segments, causal or not, grouped-query, online softmax.
use crate::{Result, Segments, Tensor, ops::missing};

/// What the op does beside its operands.
#[derive(Clone, Copy, Debug)]
pub struct Config { /// Query heads.
 pub heads: usize, /// Key/value heads; divides `heads`; query head `h` reads key head `h / (heads/kv_heads)`.
 pub kv_heads: usize, /// Width of a head.
 pub head_dim: usize, /// Whether a query sees only keys up to its own position (aligned to the end of the segment).
 pub causal: bool, /// Factor on the scores, normally `1/sqrt(head_dim)`.
 pub scale: f32 }

/// `q (Tq, H*D)`, `k`, `v` `(Tk', K*D)` with `Tk' >= last cu_k` (a cache may have spare rows) -> output `(Tq, H*D)` and log-sum-exp of the scores `(Tq, H)`.
pub fn forward(_q: &Tensor, _k: &Tensor, _v: &Tensor, _segments: &Segments, _config: Config) -> Result<(Tensor, Tensor)> { missing("attention") }
/// Returns `(dq, dk, dv)` in the shapes of `q`, `k`, `v`.
#[allow(clippy::too_many_arguments)]
pub fn backward(_dout: &Tensor, _q: &Tensor, _k: &Tensor, _v: &Tensor, _out: &Tensor, _lse: &Tensor, _segments: &Segments, _config: Config) -> Result<(Tensor, Tensor, Tensor)> { missing("attention") }
