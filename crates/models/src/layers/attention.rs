//! Self-attention with rotary positions: fused or separate projections, optional q/k norms, optional KV cache.

use super::{Linear, Norm, NormSaved};
use crate::{Grads, Params, Result};
use tensor::{
    Device, Indices, Segments, Tensor,
    ops::{attention, elementwise, rotary, rows},
};

/// How queries, keys and values are projected.
#[derive(Clone, Debug)]
pub enum Projection {
    /// One matrix, columns `[q | k | v]` (vision towers).
    Fused(Linear),
    /// Three matrices (decoders).
    Separate {
        /// `C` to `H*D`.
        q: Linear,
        /// `C` to `K*D`.
        k: Linear,
        /// `C` to `K*D`.
        v: Linear,
    },
}

/// Per-head norms of queries and keys (Qwen3).
#[derive(Clone, Debug)]
pub struct QkNorm {
    /// Over the `D` values of a query head.
    pub q: Norm,
    /// Over the `D` values of a key head.
    pub k: Norm,
}

/// A self-attention layer.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Query, key and value projections.
    pub projection: Projection,
    /// `H*D` to `C`.
    pub out: Linear,
    /// Norms before the rotation.
    pub qk_norm: Option<QkNorm>,
    /// Heads, mask and scale.
    pub config: attention::Config,
}

/// What the backward of an [`Attention`] needs beside its input.
#[derive(Clone, Debug)]
pub struct AttentionSaved {
    /// Un-normalised queries and keys with the statistics of their norms.
    qk_norm: Option<(Tensor, NormSaved, Tensor, NormSaved)>,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
}

/// Keys and values of one layer of one sequence, with room to grow.
#[derive(Clone, Debug)]
pub struct LayerCache {
    k: Tensor,
    v: Tensor,
    len: usize,
}

impl LayerCache {
    /// Room for `capacity` tokens of `width = K*D` values.
    pub fn new(device: &Device, capacity: usize, width: usize) -> Self {
        Self { k: Tensor::zeros(device, &[capacity, width]), v: Tensor::zeros(device, &[capacity, width]), len: 0 }
    }

    /// A copy of what it holds, with room for `capacity` tokens in all.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if it holds more than `capacity` tokens.
    pub fn fork(&self, capacity: usize) -> Result<Self> {
        let device = self.k.device();
        let mut copy = Self::new(&device, capacity, self.k.cols());
        let held = Indices::new(&device, (0..self.len as i32).collect());
        copy.append(&rows::gather(&self.k, &held)?, &rows::gather(&self.v, &held)?)?;
        Ok(copy)
    }

    fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<()> {
        rows::write_at(&mut self.k, self.len, k)?;
        rows::write_at(&mut self.v, self.len, v)?;
        self.len += k.rows();
        Ok(())
    }
}

impl Attention {
    /// Attends inside every segment; `x (N, C)` to `(N, C)`.
    ///
    /// With a cache, the new keys and values are appended first and `segments` must span the whole cache.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit or the cache is full.
    pub fn forward(
        &self,
        params: &Params,
        x_nc: &Tensor,
        table: &rotary::RotaryTable,
        segments: &Segments,
        cache: Option<&mut LayerCache>,
    ) -> Result<(Tensor, AttentionSaved)> {
        let (q, k, v) = self.project(params, x_nc)?;
        let (mut q, mut k, qk_norm) = match &self.qk_norm {
            None => (q, k, None),
            Some(norm) => {
                let (q_normed, q_saved) = norm.q.forward(params, &q)?;
                let (k_normed, k_saved) = norm.k.forward(params, &k)?;
                (q_normed, k_normed, Some((q, q_saved, k, k_saved)))
            }
        };
        rotary::forward(&mut q, table)?;
        rotary::forward(&mut k, table)?;
        let (out, lse) = match cache {
            None => attention::forward(&q, &k, &v, segments, self.config)?,
            Some(cache) => {
                cache.append(&k, &v)?;
                attention::forward(&q, &cache.k, &cache.v, segments, self.config)?
            }
        };
        let y = self.out.forward(params, &out)?;
        Ok((y, AttentionSaved { qk_norm, q, k, v, out, lse }))
    }

    /// Adds the gradients of the parameters and returns that of the input.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        x_nc: &Tensor,
        table: &rotary::RotaryTable,
        segments: &Segments,
        saved: &AttentionSaved,
        dy_nc: &Tensor,
    ) -> Result<Tensor> {
        let d_out = self.out.backward(params, grads, &saved.out, dy_nc)?;
        let (mut dq, mut dk, dv) =
            attention::backward(&d_out, &saved.q, &saved.k, &saved.v, &saved.out, &saved.lse, segments, self.config)?;
        rotary::backward(&mut dq, table)?;
        rotary::backward(&mut dk, table)?;
        if let (Some(norm), Some((q, q_saved, k, k_saved))) = (&self.qk_norm, &saved.qk_norm) {
            dq = norm.q.backward(params, grads, q, q_saved, &dq)?;
            dk = norm.k.backward(params, grads, k, k_saved, &dk)?;
        }
        match &self.projection {
            Projection::Fused(qkv) => {
                qkv.backward(params, grads, x_nc, &elementwise::concat_columns(&[&dq, &dk, &dv])?)
            }
            Projection::Separate { q, k, v } => {
                let mut dx = q.backward(params, grads, x_nc, &dq)?;
                elementwise::add_assign(&mut dx, &k.backward(params, grads, x_nc, &dk)?)?;
                elementwise::add_assign(&mut dx, &v.backward(params, grads, x_nc, &dv)?)?;
                Ok(dx)
            }
        }
    }

    fn project(&self, params: &Params, x_nc: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        match &self.projection {
            Projection::Separate { q, k, v } => {
                Ok((q.forward(params, x_nc)?, k.forward(params, x_nc)?, v.forward(params, x_nc)?))
            }
            Projection::Fused(qkv) => {
                let (q_width, kv_width) =
                    (self.config.heads * self.config.head_dim, self.config.kv_heads * self.config.head_dim);
                let parts = elementwise::split_columns(&qkv.forward(params, x_nc)?, &[q_width, kv_width, kv_width])?;
                match <[Tensor; 3]>::try_from(parts) {
                    Ok([q, k, v]) => Ok((q, k, v)),
                    Err(_) => Err(crate::Error::internal("split_columns did not give three parts")),
                }
            }
        }
    }
}
