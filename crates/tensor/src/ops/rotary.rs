//! Rotary position embedding in rotate-half layout: pairs are `(x[j], x[j + D/2])`.
use crate::{Device, Result, Tensor, ops::missing};

/// cos and sin of every token's angles, `(T, D/2)` each.
#[derive(Clone, Debug)]
pub struct RotaryTable { /// `(T, D/2)`
 pub cos: Tensor, /// `(T, D/2)`
 pub sin: Tensor }

/// How the three position axes share the frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MropeLayout {
    /// Qwen3-VL: frequency `j` takes H if `j % 3 == 1 && j < 3*section[1]`, W if `j % 3 == 2 && j < 3*section[2]`, else T.
    Interleaved,
    /// Qwen2.5-VL: the first `section[0]` frequencies take T, the next `section[1]` H, the rest W.
    Chunked,
}

/// Table for a decoder: `positions` is (t, h, w), each `(T,)`; inverse frequency `theta^(-2j/D)`, f32 as in HF.
pub fn mrope_table(_device: &Device, _positions: &[Vec<i32>; 3], _head_dim: usize, _theta: f64, _section: [usize; 3], _layout: MropeLayout) -> Result<RotaryTable> { missing("rotary") }
/// Table for a vision tower: each patch has a (row, column) position; the first half of the `D/2` angles use the row, the second the column, each with inverse frequencies `theta^(-2j/(D/2))`, j in 0..D/4.
pub fn vision_table(_device: &Device, _positions_hw: &[[u32; 2]], _head_dim: usize, _theta: f64) -> Result<RotaryTable> { missing("rotary") }
/// Rotates every head of `x` `(T, heads*D)` in place by its token's angles.
pub fn forward(_x: &mut Tensor, _table: &RotaryTable) -> Result<()> { missing("rotary") }
/// Rotates the gradient back in place (the transposed rotation).
pub fn backward(_dy: &mut Tensor, _table: &RotaryTable) -> Result<()> { missing("rotary") }
