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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, random, wide};
    use crate::{Device, Tensor};

    /// `[dst +] alpha * a * b` in f64.
    fn naive(
        dst: Option<&Tensor>,
        alpha: f64,
        (a, a_t): (&Tensor, bool),
        (b, b_t): (&Tensor, bool),
        [m, n, k]: [usize; 3],
    ) -> Vec<f64> {
        let at = |x: &Tensor, transposed: bool, i: usize, j: usize| {
            f64::from(x.cpu()[if transposed { j * x.cols() + i } else { i * x.cols() + j }])
        };
        let old = dst.map_or_else(|| vec![0.0; m * n], wide);
        let sum = |i: usize, j: usize| (0..k).map(|l| at(a, a_t, i, l) * at(b, b_t, l, j)).sum::<f64>();
        (0..m * n).map(|x| old[x] + alpha * sum(x / n, x % n)).collect()
    }

    fn check(m: usize, n: usize, k: usize) {
        let shape = |rows: usize, cols: usize, t: bool| if t { [cols, rows] } else { [rows, cols] };
        for (a_t, b_t, write) in
            [(false, false, Write::Set), (false, true, Write::Add), (true, false, Write::Add), (true, true, Write::Set)]
        {
            let (a, b) = (random(&shape(m, k, a_t), 1), random(&shape(k, n, b_t), 2));
            let mut dst = random(&[m, n], 3);
            let want = naive((write == Write::Add).then_some(&dst), 0.5, (&a, a_t), (&b, b_t), [m, n, k]);
            let view = |x: &'_ Tensor| (x.rows(), x.cols());
            let (a_view, b_view) =
                (Mat::new(a.cpu(), view(&a).0, view(&a).1), Mat::new(b.cpu(), view(&b).0, view(&b).1));
            let (a_view, b_view) = (if a_t { a_view.t() } else { a_view }, if b_t { b_view.t() } else { b_view });
            gemm(MatMut::new(dst.cpu_mut(), m, n), write, 0.5, a_view, b_view, Threads::Pool);
            check_close(&format!("{m}x{n}x{k} {a_t} {b_t}"), &dst, &want, 1e-6);
        }
    }

    #[test]
    fn equals_the_definition_for_all_layouts() {
        let sizes = [1, 2, 3, 5, 17, 65];
        sizes.iter().for_each(|&m| sizes.iter().for_each(|&n| [1, 4, 33, 300].iter().for_each(|&k| check(m, n, k))));
        check(0, 3, 2);
        check(3, 0, 2);
        check(2, 3, 0);
    }

    #[test]
    fn bits_do_not_depend_on_the_thread_count() {
        for [m, n, k] in
            [[257, 515, 1031], [1, 2048, 700], [4, 999, 3000], [700, 8, 5000], [1000, 1, 600], [96, 96, 9000]]
        {
            let (a, b) = (random(&[m, k], 1), random(&[n, k], 2));
            let run = |threads: usize| {
                let mut dst = Tensor::zeros(&Device::Cpu, &[m, n]);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (a, b) = (Mat::new(a.cpu(), m, k), Mat::new(b.cpu(), n, k).t());
                pool.install(|| gemm(MatMut::new(dst.cpu_mut(), m, n), Write::Set, 1.0, a, b, Threads::Pool));
                dst.to_vec()
            };
            let alone = run(1);
            [2, 3, 8].iter().for_each(|&threads| assert!(run(threads) == alone, "{m}x{n}x{k} with {threads} threads"));
        }
    }
}
