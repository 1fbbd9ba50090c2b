//! Attention against the plain formula in f64, and its gradients against a second formula.

use proptest::prelude::*;

use super::{Config, backward, forward};
use crate::testing::{check_close, random, wide};
use crate::{Device, Segments, Tensor};

/// Output, log-sum-exp and the three gradients, straight from the definitions, with the whole score matrix.
struct Naive {
    out: Vec<f64>,
    lse: Vec<f64>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
}

fn naive(q: &Tensor, k: &Tensor, v: &Tensor, dout: &Tensor, segments: &Segments, c: Config) -> Naive {
    let (heads, d, kv) = (c.heads, c.head_dim, c.kv_heads);
    let mut r = Naive {
        out: vec![0.0; q.len()],
        lse: vec![0.0; q.rows() * heads],
        dq: vec![0.0; q.len()],
        dk: vec![0.0; k.len()],
        dv: vec![0.0; v.len()],
    };
    let (q, k, v, dout) = (wide(q), wide(k), wide(v), wide(dout));
    for s in 0..segments.count() {
        let (q0, q1) = (segments.cu_q()[s] as usize, segments.cu_q()[s + 1] as usize);
        let (k0, k1) = (segments.cu_k()[s] as usize, segments.cu_k()[s + 1] as usize);
        for (i, h) in (q0..q1).flat_map(|i| (0..heads).map(move |h| (i, h))) {
            let end = if c.causal { k1 - (q1 - 1 - i) } else { k1 };
            let at_q = (i * heads + h) * d;
            let at_k = |j: usize| (j * kv + h / (heads / kv)) * d;
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let scores: Vec<f64> =
                (k0..end).map(|j| f64::from(c.scale) * dot(&q[at_q..][..d], &k[at_k(j)..][..d])).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            r.lse[i * heads + h] = max + sum.ln();
            let p: Vec<f64> = scores.iter().map(|s| (s - max).exp() / sum).collect();
            let dp: Vec<f64> = (k0..end).map(|j| dot(&dout[at_q..][..d], &v[at_k(j)..][..d])).collect();
            let mean = dot(&p, &dp);
            for (n, j) in (k0..end).enumerate() {
                let ds = f64::from(c.scale) * p[n] * (dp[n] - mean);
                for x in 0..d {
                    r.out[at_q + x] += p[n] * v[at_k(j) + x];
                    r.dv[at_k(j) + x] += p[n] * dout[at_q + x];
                    r.dq[at_q + x] += ds * k[at_k(j) + x];
                    r.dk[at_k(j) + x] += ds * q[at_q + x];
                }
            }
        }
    }
    r
}

fn check(lengths: &[(u32, u32)], spare_rows: usize, config: Config) {
    let boundaries = |length: &dyn Fn(&(u32, u32)) -> u32| -> Vec<u32> {
        lengths
            .iter()
            .scan(0, |end, l| {
                *end += length(l);
                Some(*end)
            })
            .fold(vec![0], |mut all, end| {
                all.push(end);
                all
            })
    };
    let (cu_q, cu_k) = (boundaries(&|l| l.0), boundaries(&|l| l.1));
    let segments = Segments::new(&Device::Cpu, &cu_q, &cu_k).unwrap();
    let (queries, keys) = (cu_q[lengths.len()] as usize, cu_k[lengths.len()] as usize + spare_rows);
    let q = random(&[queries, config.heads * config.head_dim], 1);
    let k = random(&[keys, config.kv_heads * config.head_dim], 2);
    let v = random(&[keys, config.kv_heads * config.head_dim], 3);
    let dout = random(q.shape(), 4);
    let want = naive(&q, &k, &v, &dout, &segments, config);
    let (out, lse) = forward(&q, &k, &v, &segments, config).unwrap();
    check_close("out", &out, &want.out, 1e-6);
    check_close("lse", &lse, &want.lse, 1e-6);
    let (dq, dk, dv) = backward(&dout, &q, &k, &v, &out, &lse, &segments, config).unwrap();
    check_close("dq", &dq, &want.dq, 5e-6);
    check_close("dk", &dk, &want.dk, 5e-6);
    check_close("dv", &dv, &want.dv, 5e-6);
}

#[test]
fn blocks_and_their_edges() {
    let config = Config { heads: 4, kv_heads: 2, head_dim: 16, causal: true, scale: 0.25 };
    for causal in [true, false] {
        for lengths in [
            &[(1, 1)][..],
            &[(128, 128)],
            &[(129, 257)],
            &[(300, 300)],
            &[(3, 700)],
            &[(0, 0), (5, 9), (0, 4), (140, 513)],
        ] {
            check(lengths, 0, Config { causal, ..config });
        }
    }
}

#[test]
fn steep_scores_do_not_overflow() {
    check(&[(200, 300)], 0, Config { heads: 2, kv_heads: 1, head_dim: 8, causal: true, scale: 40.0 });
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let segments = Segments::packed(&Device::Cpu, &[0, 4]).unwrap();
    let config = Config { heads: 2, kv_heads: 1, head_dim: 8, causal: true, scale: 1.0 };
    let (q, kv) = (random(&[4, 16], 1), random(&[4, 8], 2));
    assert!(forward(&q, &kv, &kv, &segments, config).is_ok());
    assert!(forward(&kv, &kv, &kv, &segments, config).is_err());
    assert!(forward(&q, &random(&[3, 8], 1), &random(&[3, 8], 1), &segments, config).is_err());
    for broken in [Config { kv_heads: 0, ..config }, Config { heads: 0, ..config }, Config { head_dim: 0, ..config }] {
        assert!(forward(&q, &kv, &kv, &segments, broken).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn equals_the_plain_formula(
        lengths in prop::collection::vec((prop::sample::select(vec![0u32, 1, 3, 5, 17, 65]), prop::sample::select(vec![0u32, 1, 3, 17, 65, 260])), 1..4),
        heads in prop::sample::select(vec![(1usize, 1usize), (2, 2), (4, 2), (6, 2), (3, 1)]),
        head_dim in prop::sample::select(vec![1usize, 3, 8, 17, 65]),
        causal: bool,
        spare_rows in 0usize..3,
    ) {
        let lengths: Vec<(u32, u32)> = lengths.into_iter().map(|(queries, more)| (queries, queries + more)).collect();
        let scale = 1.0 / (head_dim as f32).sqrt();
        check(&lengths, spare_rows, Config { heads: heads.0, kv_heads: heads.1, head_dim, causal, scale });
    }
}
