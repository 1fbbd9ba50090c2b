//! Row look-up in a table.
use crate::{Indices, Result, Tensor, ops::missing};

/// `y_TC = table_VC[ids]`.
pub fn forward(_table_vc: &Tensor, _ids_t: &Indices) -> Result<Tensor> { missing("embedding") }
/// `d_table_VC[ids] += dy_TC`, in a fixed order.
pub fn backward(_dy_tc: &Tensor, _ids_t: &Indices, _d_table_vc: &mut Tensor) -> Result<()> { missing("embedding") }
