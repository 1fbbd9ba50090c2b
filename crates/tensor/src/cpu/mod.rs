//! What the CPU half of the ops is made of: matrix views, GEMM, vectorised loops.

pub(crate) mod buffer;
pub(crate) mod gemm;
pub(crate) mod loops;
pub(crate) mod math;
pub(crate) mod matrix;
