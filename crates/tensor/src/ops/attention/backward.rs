//! The backward pass: one task a (sequence, key head), which owns its rows of `dq`, `dk` and `dv`, so nothing races.

use rayon::prelude::*;

use super::{KEY_BLOCK, Operands, QUERY_BLOCK, Sequence, sequences, tiles};
use crate::Segments;
use crate::cpu::gemm::{Threads, Write, gemm};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::{loops, math};

/// What forward left behind, and the gradient that comes in.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub dout: Mat<'a>,
    pub out: &'a [f32],
    pub lse: &'a [f32],
}

/// One key head of one sequence, with all query heads that read it.
struct Task<'a> {
    sequence: Sequence,
    kv_head: usize,
    dq: MatMut<'a>,
    dk: MatMut<'a>,
    dv: MatMut<'a>,
}

pub(super) fn backward(operands: Operands<'_>, saved: Saved<'_>, segments: &Segments, [dq, dk, dv]: [&mut [f32]; 3]) {
    let config = operands.config;
    let width = config.head_dim;
    let delta = row_products(saved.dout, saved.out, width);
    let q_counts = sequences(segments).map(|s| s.queries);
    let k_counts = || sequences(segments).map(|s| s.keys);
    let group = config.heads / config.kv_heads;
    let dq = tiles(MatMut::new(dq, operands.q.rows, operands.q.cols), q_counts, group * width);
    let dk = tiles(MatMut::new(dk, operands.k.rows, operands.k.cols), k_counts(), width);
    let dv = tiles(MatMut::new(dv, operands.v.rows, operands.v.cols), k_counts(), width);
    let mut tasks = Vec::new();
    for (((sequence, dq), dk), dv) in sequences(segments).zip(dq).zip(dk).zip(dv) {
        let heads = dq.into_iter().zip(dk).zip(dv).enumerate();
        tasks.extend(heads.map(|(kv_head, ((dq, dk), dv))| Task { sequence, kv_head, dq, dk, dv }));
    }
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, mut task| {
        for head_in_group in 0..group {
            let block0s = (0..task.sequence.queries).step_by(QUERY_BLOCK);
            block0s.for_each(|block0| block(&operands, saved, &delta, &mut task, head_in_group, block0, scratch));
        }
    });
}

#[derive(Default)]
struct Scratch {
    /// Probabilities of a block.
    p: Vec<f32>,
    /// Gradient of the probabilities, then of the scores.
    ds: Vec<f32>,
}

/// One block of queries of one head, against all keys it sees.
fn block(
    operands: &Operands<'_>,
    saved: Saved<'_>,
    delta: &[f32],
    task: &mut Task<'_>,
    head_in_group: usize,
    block0: usize,
    scratch: &mut Scratch,
) {
    let (config, sequence) = (operands.config, task.sequence);
    let head = task.kv_head * (config.heads / config.kv_heads) + head_in_group;
    let queries = QUERY_BLOCK.min(sequence.queries - block0);
    let row0 = sequence.query0 + block0;
    let q = operands.head_of(operands.q, head, row0, queries);
    let dout = operands.head_of(saved.dout, head, row0, queries);
    let mut dq =
        task.dq.row_block(block0, queries).split_cols(head_in_group * config.head_dim).1.split_cols(config.head_dim).0;
    let keys = sequence.visible(block0 + queries - 1, config.causal);
    scratch.p.resize(QUERY_BLOCK * KEY_BLOCK, 0.0);
    scratch.ds.resize(QUERY_BLOCK * KEY_BLOCK, 0.0);
    let (p, ds) = (&mut scratch.p, &mut scratch.ds);
    for key0 in (0..keys).step_by(KEY_BLOCK) {
        let width = KEY_BLOCK.min(keys - key0);
        let k = operands.head_of(operands.k, task.kv_head, sequence.key0 + key0, width);
        let v = operands.head_of(operands.v, task.kv_head, sequence.key0 + key0, width);
        gemm(MatMut::new(p, queries, width), Write::Set, config.scale, q, k.t(), Threads::One);
        gemm(MatMut::new(ds, queries, width), Write::Set, 1.0, dout, v.t(), Threads::One);
        loops::vectorized(
            #[inline(always)]
            || {
                for (i, (p, ds)) in p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width)).take(queries).enumerate()
                {
                    let seen = sequence.visible(block0 + i, config.causal).saturating_sub(key0).min(width);
                    let at = (row0 + i) * config.heads + head;
                    softmax_gradient(p, ds, seen, saved.lse[at], delta[at], config.scale);
                }
            },
        );
        let (p, ds) = (Mat::new(p, queries, width), Mat::new(ds, queries, width));
        gemm(task.dv.row_block(key0, width), Write::Add, 1.0, p.t(), dout, Threads::One);
        gemm(task.dk.row_block(key0, width), Write::Add, 1.0, ds.t(), q, Threads::One);
        gemm(dq.reborrow(), Write::Add, 1.0, ds, k, Threads::One);
    }
}

/// Turns scores into probabilities `p` and their gradients into `scale * p (dp - delta)`; hidden keys get 0.
#[inline(always)]
fn softmax_gradient(p: &mut [f32], ds: &mut [f32], seen: usize, lse: f32, delta: f32, scale: f32) {
    let (p, hidden_p) = p.split_at_mut(seen);
    let (ds, hidden_ds) = ds.split_at_mut(seen);
    hidden_p.fill(0.0);
    hidden_ds.fill(0.0);
    for (p, ds) in p.iter_mut().zip(ds) {
        *p = math::softmax_term(*p - lse);
        *ds = scale * *p * (*ds - delta);
    }
}

/// Dot product of `dout` and `out` for every row and head, `(Tq, H)`: the softmax's correction.
fn row_products(dout: Mat<'_>, out: &[f32], head_dim: usize) -> Vec<f32> {
    let rows = (0..dout.rows).into_par_iter().with_min_len(loops::task_rows(dout.cols));
    rows.flat_map_iter(|i| {
        let (dout, out) = (dout.row(i), &out[i * dout.cols..][..dout.cols]);
        dout.chunks_exact(head_dim).zip(out.chunks_exact(head_dim)).map(|(dout, out)| {
            loops::vectorized(
                #[inline(always)]
                || math::dot(dout, out),
            )
        })
    })
    .collect()
}
