//! Gathering, scattering and scatter-adding rows (image features into text, DeepStack, window order, labelled rows).
use crate::{Indices, Result, Tensor, ops::missing};

/// `y_MC = x_NC[rows]`.
pub fn gather(_x_nc: &Tensor, _rows_m: &Indices) -> Result<Tensor> { missing("rows") }
/// `x_NC[rows] = src_MC`; rows must be distinct.
pub fn scatter(_x_nc: &mut Tensor, _rows_m: &Indices, _src_mc: &Tensor) -> Result<()> { missing("rows") }
/// `x_NC[rows] += src_MC`, in order.
pub fn scatter_add(_x_nc: &mut Tensor, _rows_m: &Indices, _src_mc: &Tensor) -> Result<()> { missing("rows") }
/// `x_NC[rows] = 0`.
pub fn zero(_x_nc: &mut Tensor, _rows_m: &Indices) -> Result<()> { missing("rows") }
/// Writes `src` over rows `start..start + src.rows()` of `x` (a KV cache's append).
pub fn write_at(_x_nc: &mut Tensor, _start: usize, _src_mc: &Tensor) -> Result<()> { missing("rows") }
