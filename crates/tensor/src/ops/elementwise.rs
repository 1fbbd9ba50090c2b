//! Residual add and scale.
use crate::{Result, Tensor, ops::missing};

/// `acc += x`.
pub fn add_assign(_acc: &mut Tensor, _x: &Tensor) -> Result<()> { missing("elementwise") }
/// `a + b` as a new tensor.
pub fn add(_a: &Tensor, _b: &Tensor) -> Result<Tensor> { missing("elementwise") }
/// `x *= factor`.
pub fn scale(_x: &mut Tensor, _factor: f32) -> Result<()> { missing("elementwise") }
/// Splits `x (N, sum of widths)` into column blocks of the given widths.
pub fn split_columns(_x: &Tensor, _widths: &[usize]) -> Result<Vec<Tensor>> { missing("elementwise") }
/// Joins column blocks side by side; the inverse of [`split_columns`].
pub fn concat_columns(_parts: &[&Tensor]) -> Result<Tensor> { missing("elementwise") }
