//! `y = x W^T + b`, the layout of `torch.nn.Linear`.
use crate::{Result, Tensor, ops::missing};

/// `y_NO = x_NI · weight_OI^T + bias_O`.
///
/// # Errors
/// [`crate::Error::Shape`] if the widths do not match.
pub fn forward(_x_ni: &Tensor, _weight_oi: &Tensor, _bias_o: Option<&Tensor>) -> Result<Tensor> { missing("linear") }
/// `dx_NI = dy_NO · weight_OI`.
pub fn backward_input(_dy_no: &Tensor, _weight_oi: &Tensor) -> Result<Tensor> { missing("linear") }
/// `d_weight_OI += dy_NO^T · x_NI`.
pub fn backward_weight(_dy_no: &Tensor, _x_ni: &Tensor, _d_weight_oi: &mut Tensor) -> Result<()> { missing("linear") }
/// `d_bias_O += sum over rows of dy_NO`.
pub fn backward_bias(_dy_no: &Tensor, _d_bias_o: &mut Tensor) -> Result<()> { missing("linear") }
