//! Scalar functions written so that loops over them vectorise.
//!
//! They use no fused multiply-add and no library call, so they give the same bits on every machine.
#![allow(clippy::needless_range_loop)]

/// `e^x` within 2 units in the last place; 0 below about -104, infinity above about 88.7, NaN stays NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then the Taylor series of `e^r` to degree 7 (remainder 5e-9).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to the nearest integer and leaves that integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 cut to 10 bits, so that `n * LN2_HIGH` is exact, and the rest.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-104.0, 89.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    // 1 + (r + r^2 p): the small terms first, so that only the last sum rounds at full size.
    let p = 1.0 + (r + r * r * p);
    // 2^n as the product of two powers, because n reaches -150 and 128.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Sums are kept in this many lanes, whatever the vectors of the machine, so that their order is fixed.
const LANES: usize = 16;

/// Terms that [`sum_map`] computes before it adds them.
const TERMS: usize = 256;

/// Sum over `i` of `f([a[i], b[i], ...])`, in f64.
///
/// A block of terms first, then their sum: a loop that does both is not always vectorised.
#[inline(always)]
pub(crate) fn sum_map<const K: usize, T>(operands: [&[f32]; K], f: impl Fn([f32; K]) -> T) -> f64
where
    T: Into<f64> + Copy + Default,
{
    let len = operands[0].len();
    let mut sums = [0f64; LANES];
    let mut terms = [T::default(); TERMS];
    for start in (0..len).step_by(TERMS) {
        let count = TERMS.min(len - start);
        let mut slices: [&[f32]; K] = [&[]; K];
        for k in 0..K {
            slices[k] = &operands[k][start..start + count];
        }
        let block = &mut terms[..count];
        for i in 0..count {
            let mut arguments = [0f32; K];
            for k in 0..K {
                arguments[k] = slices[k][i];
            }
            block[i] = f(arguments);
        }
        add_lanes(&mut sums, block);
    }
    total(sums)
}

/// Sum of the values, in f64.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut sums = [0f64; LANES];
    add_lanes(&mut sums, values);
    total(sums)
}

/// Adds value `i` to lane `i % LANES`.
#[inline(always)]
fn add_lanes<T: Into<f64> + Copy>(sums: &mut [f64; LANES], values: &[T]) {
    let (blocks, tail) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += block[lane].into();
        }
    }
    for lane in 0..tail.len() {
        sums[lane] += tail[lane].into();
    }
}

/// Sum of the lanes, halves first.
#[inline(always)]
fn total<T: Copy + std::ops::AddAssign>(mut lanes: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            let other = lanes[lane + half];
            lanes[lane] += other;
        }
        half /= 2;
    }
    lanes[0]
}

/// `e^x` for a term of a softmax, `x <= 0`: 0 below -64.
///
/// Beside a largest term of 1 such a term is nothing in f32, but subnormal numbers, which it would lead to in products,
/// cost the processor a hundred times an ordinary operation.
#[inline(always)]
pub(crate) fn softmax_term(x: f32) -> f32 {
    if x < -64.0 { 0.0 } else { exp(x) }
}

/// Turns every value into the term `e^(value - max)` of a softmax and returns the sum of the results.
#[inline(always)]
pub(crate) fn softmax_terms(values: &mut [f32], max: f32) -> f64 {
    for value in values.iter_mut() {
        *value = softmax_term(*value - max);
    }
    sum(values)
}

/// Multiplies every value by `factor`.
#[inline(always)]
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

/// Dot product in f32.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let len = a.len();
    let (a_blocks, b_blocks) = (a.as_chunks::<LANES>().0, &b.as_chunks::<LANES>().0[..len / LANES]);
    let mut sums = [0f32; LANES];
    for block in 0..len / LANES {
        let mut terms = a_blocks[block];
        for lane in 0..LANES {
            terms[lane] *= b_blocks[block][lane];
        }
        for lane in 0..LANES {
            sums[lane] += terms[lane];
        }
    }
    for i in len - len % LANES..len {
        sums[i % LANES] += a[i] * b[i];
    }
    total(sums)
}

/// Largest value, minus infinity for none; a NaN is skipped.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in values.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            lanes[lane] = if block[lane] > lanes[lane] { block[lane] } else { lanes[lane] };
        }
    }
    let mut best = f32::NEG_INFINITY;
    for &value in lanes.iter().chain(values.as_chunks::<LANES>().1) {
        best = if value > best { value } else { best };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp() {
        let mut worst = 0f64;
        for i in -870_000..=887_000 {
            let x = i as f32 * 1e-4;
            let want = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - want).abs() / want);
        }
        assert!(worst < 2.0 * 1.2e-7, "relative error {worst:e}");
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!((f64::from(exp(-100.0)) - (-100f64).exp()).abs() < 1.5e-45);
    }

    #[test]
    fn sums_and_maxima_of_odd_lengths() {
        for n in [0, 1, 3, 15, 16, 17, 33, 65] {
            let values: Vec<f32> = (0..n).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
            assert_eq!(sum(&values), f64::from(values.iter().sum::<f32>()));
            let products = sum_map([&values, &values], |[a, b]| f64::from(a) * f64::from(b));
            assert_eq!(products, f64::from(dot(&values, &values)));
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            assert_eq!(dot(&values, &values), values.iter().map(|v| v * v).sum::<f32>());
        }
    }
}
