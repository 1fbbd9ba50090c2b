//! The forward pass for sequences with very few queries: decoding with a cache. No packing, no GEMM.

use super::{Operands, Sequence};
use crate::cpu::matrix::MatMut;
use crate::cpu::{loops, math};

/// All queries of `sequence` for one head.
pub(super) fn rows(
    operands: &Operands<'_>,
    sequence: Sequence,
    head: usize,
    mut out: MatMut<'_>,
    mut lse: MatMut<'_>,
    scores: &mut Vec<f32>,
) {
    let config = operands.config;
    let kv_head = operands.kv_head(head);
    let q = operands.head_of(operands.q, head, sequence.query0, sequence.queries);
    let k = operands.head_of(operands.k, kv_head, sequence.key0, sequence.keys);
    let v = operands.head_of(operands.v, kv_head, sequence.key0, sequence.keys);
    for i in 0..sequence.queries {
        let seen = sequence.visible(i, config.causal);
        scores.clear();
        scores.resize(seen, 0.0);
        let out = out.row(i);
        lse.row(i)[0] = loops::vectorized(
            #[inline(always)]
            || {
                for (j, score) in scores.iter_mut().enumerate() {
                    *score = config.scale * math::dot(q.row(i), k.row(j));
                }
                let max = math::max(scores);
                let sum = math::softmax_terms(scores, max);
                out.fill(0.0);
                for (j, &p) in scores.iter().enumerate() {
                    for (out, &v) in out.iter_mut().zip(v.row(j)) {
                        *out += p * v;
                    }
                }
                math::scale(out, (1.0 / sum) as f32);
                (f64::from(max) + sum.ln()) as f32
            },
        );
    }
}
