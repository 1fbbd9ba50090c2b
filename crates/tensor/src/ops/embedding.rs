//! Row look-up in a table.

use super::rows;
use crate::{Indices, Result, Tensor};

/// `y_TC = table_VC[ids]`.
///
/// # Errors
/// [`crate::Error::Index`] if an id is outside the table.
pub fn forward(table_vc: &Tensor, ids_t: &Indices) -> Result<Tensor> {
    rows::gather(table_vc, ids_t)
}

/// `d_table_VC[ids] += dy_TC`, in a fixed order.
///
/// # Errors
/// [`crate::Error::Shape`] if the widths or counts do not match, [`crate::Error::Index`] if an id is outside the table.
pub fn backward(dy_tc: &Tensor, ids_t: &Indices, d_table_vc: &mut Tensor) -> Result<()> {
    rows::scatter_add(d_table_vc, ids_t, dy_tc)
}
