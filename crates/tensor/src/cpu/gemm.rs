//! Matrix products, by the `gemm` crate.
//!
//! The kernels are chosen at run time (AVX-512, AVX2 with FMA, NEON, portable). The depth is summed in blocks whose
//! size depends on the shape and the caches only, so a product has the same bits whatever the thread count.

use super::matrix::{Mat, MatMut};

/// Who works on a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread, which is itself one of many tasks.
    One,
    /// The rayon pool.
    Pool,
}

/// What happens to the destination's old values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// `dst = [dst +] alpha * a * b`.
pub(crate) fn gemm(mut dst: MatMut<'_>, write: Write, alpha: f32, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    assert!(dst.rows == a.rows && dst.cols == b.cols && a.cols == b.rows, "operands of a product do not fit");
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if write == Write::Set {
            (0..m).for_each(|i| dst.row(i).fill(0.0));
        }
        return;
    }
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::Pool => gemm::Parallelism::Rayon(0),
    };
    let (dst_ptr, dst_row_stride) = dst.parts();
    let (a_ptr, a_row_stride, a_col_stride) = a.parts();
    let (b_ptr, b_row_stride, b_col_stride) = b.parts();
    // SAFETY: the views guarantee that every element `(i, j)` with `i < rows`, `j < cols` is inside its buffer;
    // the sizes match (asserted above); `dst` is exclusively borrowed, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst_ptr,
            1,
            dst_row_stride,
            write == Write::Add,
            a_ptr,
            a_col_stride,
            a_row_stride,
            b_ptr,
            b_col_stride,
            b_row_stride,
            1.0,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
