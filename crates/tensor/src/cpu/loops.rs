//! Loops over values and rows: vectorised for this machine, spread over the rayon pool, in a fixed order.

use rayon::prelude::*;

/// Values that one task of an elementwise loop works on; a shorter operand stays on the calling thread.
pub(crate) const TASK_VALUES: usize = 16 * 1024;

/// Rows of `width` values that one task works on; depends on nothing but `width`, so sums over tasks are reproducible.
pub(crate) fn task_rows(width: usize) -> usize {
    (TASK_VALUES / width.max(1)).max(1)
}

/// Runs `f` compiled for the widest vector instructions of this machine.
///
/// `f` must be `#[inline(always)]`, like everything it calls in a loop, to gain from it.
#[inline(always)]
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { with_avx512(f) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { with_avx2(f) };
        }
    }
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
fn with_avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// `out = f(a)` for every value; `f` must be `#[inline(always)]`.
pub(crate) fn map(out: &mut [f32], a: &[f32], f: impl Fn(f32) -> f32 + Sync) {
    out.par_chunks_mut(TASK_VALUES).zip(a.par_chunks(TASK_VALUES)).for_each(|(out, a)| {
        vectorized(
            #[inline(always)]
            || {
                for (out, &a) in out.iter_mut().zip(a) {
                    *out = f(a);
                }
            },
        );
    });
}

/// `out = f(a, b)` for every pair of values; `f` must be `#[inline(always)]`.
pub(crate) fn map2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let tasks = out.par_chunks_mut(TASK_VALUES).zip(a.par_chunks(TASK_VALUES)).zip(b.par_chunks(TASK_VALUES));
    tasks.for_each(|((out, a), b)| {
        vectorized(
            #[inline(always)]
            || {
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *out = f(a, b);
                }
            },
        );
    });
}

/// `a = f(a)` for every value; `f` must be `#[inline(always)]`.
pub(crate) fn update(a: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    a.par_chunks_mut(TASK_VALUES).for_each(|a| {
        vectorized(
            #[inline(always)]
            || {
                for a in a {
                    *a = f(*a);
                }
            },
        );
    });
}

/// `a = f(a, b)` for every pair of values; `f` must be `#[inline(always)]`.
pub(crate) fn update2(a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    a.par_chunks_mut(TASK_VALUES).zip(b.par_chunks(TASK_VALUES)).for_each(|(a, b)| {
        vectorized(
            #[inline(always)]
            || {
                for (a, &b) in a.iter_mut().zip(b) {
                    *a = f(*a, b);
                }
            },
        );
    });
}

/// Adds lists of f64 sums, one list a task and in the order of the tasks, to f32 totals.
pub(crate) fn add_partial_sums(total: &mut [f32], partials: &[impl AsRef<[f64]>]) {
    for (i, total) in total.iter_mut().enumerate() {
        *total = (f64::from(*total) + partials.iter().map(|sums| sums.as_ref()[i]).sum::<f64>()) as f32;
    }
}

/// Adds the sum over the rows of a row-major `x` to `total`, one value a column.
pub(crate) fn add_column_sums(total: &mut [f32], x: &[f32]) {
    let width = total.len();
    if width == 0 {
        return;
    }
    let partials: Vec<Vec<f64>> = x
        .par_chunks(width * 64.max(task_rows(width)))
        .map(|rows| {
            let mut sums = vec![0f64; width];
            vectorized(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(width) {
                        for (sum, &v) in sums.iter_mut().zip(row) {
                            *sum += f64::from(v);
                        }
                    }
                },
            );
            sums
        })
        .collect();
    add_partial_sums(total, &partials);
}
