//! What the tests of the ops share: random operands, closeness, and gradients by finite differences in f64.

use crate::{Device, Tensor};

/// Values in -1..1, fixed by `seed` (splitmix64).
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let values = (0..shape.iter().product()).map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    });
    tensor(values.collect::<Vec<_>>(), shape)
}

/// Values as f64.
pub(crate) fn wide(x: &Tensor) -> Vec<f64> {
    x.cpu().iter().map(|&v| f64::from(v)).collect()
}

/// Panics unless `‖got - want‖ <= tolerance * ‖want‖`, give or take 1e-7 a value (for a `want` that is zero by cancellation).
#[track_caller]
pub(crate) fn check_close(what: &str, got: &Tensor, want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: size");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&mut wide(got).iter().zip(want).map(|(a, b)| a - b));
    let size = norm(&mut want.iter().copied());
    let slack = 1e-7 * (want.len() as f64).sqrt();
    assert!(error <= tolerance * size + slack, "{what}: error {error:e} of {size:e}");
}

/// Gradient of `f` at `x` by central differences.
pub(crate) fn gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut point = x.to_vec();
    (0..x.len())
        .map(|i| {
            point[i] = x[i] + STEP;
            let above = f(&point);
            point[i] = x[i] - STEP;
            let below = f(&point);
            point[i] = x[i];
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Sum of products: turns an op's output into a scalar with `dy` as its gradient.
pub(crate) fn weigh(y: &[f64], dy: &[f64]) -> f64 {
    y.iter().zip(dy).map(|(y, dy)| y * dy).sum()
}

/// The values as a CPU tensor.
pub(crate) fn tensor(values: impl Into<Vec<f32>>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(&Device::Cpu, values.into(), shape).unwrap()
}
