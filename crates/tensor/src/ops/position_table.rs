//! Weighted sum of four rows of a learned table: bilinear interpolation of position embeddings.
use crate::{Indices, Result, Tensor, ops::missing};

/// `y_PC = sum over k of weights_4P[k] * table_SC[corners[k]]`; the four corner lists have `P` entries each.
pub fn forward(_table_sc: &Tensor, _corners_p: &[Indices; 4], _weights_4p: &Tensor) -> Result<Tensor> { missing("position_table") }
/// `d_table_SC[corners[k]] += weights_4P[k] * dy_PC`, in a fixed order.
pub fn backward(_dy_pc: &Tensor, _corners_p: &[Indices; 4], _weights_4p: &Tensor, _d_table_sc: &mut Tensor) -> Result<()> { missing("position_table") }
