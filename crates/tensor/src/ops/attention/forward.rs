//! The forward pass for blocks of queries.

use rayon::prelude::*;

use super::{KEY_BLOCK, Operands, QUERY_BLOCK, Sequence, decode, sequences, tiles};
use crate::Segments;
use crate::cpu::gemm::{Threads, Write, gemm};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::{loops, math};

/// Sequences with at most this many queries take the path without GEMM.
const DECODE_QUERIES: usize = 4;

/// One head's attention for one block of queries.
struct Task<'a> {
    sequence: Sequence,
    /// First query of the block, counted from the start of the sequence.
    block0: usize,
    head: usize,
    out: MatMut<'a>,
    lse: MatMut<'a>,
}

pub(super) fn forward(operands: Operands<'_>, segments: &Segments, out: &mut [f32], lse: &mut [f32]) {
    let config = operands.config;
    let blocks: Vec<(Sequence, usize, usize)> = sequences(segments)
        .flat_map(|sequence| {
            let starts = (0..sequence.queries).step_by(QUERY_BLOCK);
            starts.map(move |block0| (sequence, block0, QUERY_BLOCK.min(sequence.queries - block0)))
        })
        .collect();
    let counts = || blocks.iter().map(|&(_, _, rows)| rows);
    let rows = operands.q.rows;
    let out_tiles = tiles(MatMut::new(out, rows, config.heads * config.head_dim), counts(), config.head_dim);
    let lse_tiles = tiles(MatMut::new(lse, rows, config.heads), counts(), 1);
    let mut tasks = Vec::with_capacity(blocks.len() * config.heads);
    for ((&(sequence, block0, _), out), lse) in blocks.iter().zip(out_tiles).zip(lse_tiles) {
        tasks.extend(out.into_iter().zip(lse).enumerate().map(|(head, (out, lse))| Task {
            sequence,
            block0,
            head,
            out,
            lse,
        }));
    }
    tasks.into_par_iter().for_each_init(Vec::new, |scores, task| {
        if task.sequence.queries <= DECODE_QUERIES {
            decode::rows(&operands, task.sequence, task.head, task.out, task.lse, scores);
        } else {
            block(&operands, task, scores);
        }
    });
}

/// Running softmax of one query: the largest score so far and the sum of `e^(score - largest)`.
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    sum: f64,
}

fn block(operands: &Operands<'_>, task: Task<'_>, scores: &mut Vec<f32>) {
    let Task { sequence, block0, head, mut out, mut lse } = task;
    let (config, queries) = (operands.config, out.rows);
    let q = operands.head_of(operands.q, head, sequence.query0 + block0, queries);
    let kv_head = operands.kv_head(head);
    let keys = sequence.visible(block0 + queries - 1, config.causal);
    scores.resize(QUERY_BLOCK * KEY_BLOCK, 0.0);
    let mut running = [Running { max: f32::NEG_INFINITY, sum: 0.0 }; QUERY_BLOCK];
    for key0 in (0..keys).step_by(KEY_BLOCK) {
        let width = KEY_BLOCK.min(keys - key0);
        let k = operands.head_of(operands.k, kv_head, sequence.key0 + key0, width);
        let v = operands.head_of(operands.v, kv_head, sequence.key0 + key0, width);
        gemm(MatMut::new(scores, queries, width), Write::Set, config.scale, q, k.t(), Threads::One);
        loops::vectorized(
            #[inline(always)]
            || {
                for (i, scores) in scores.chunks_exact_mut(width).take(queries).enumerate() {
                    let seen = sequence.visible(block0 + i, config.causal).saturating_sub(key0).min(width);
                    absorb(&mut running[i], scores, seen, out.row(i));
                }
            },
        );
        let write = if key0 == 0 { Write::Set } else { Write::Add };
        gemm(out.reborrow(), write, 1.0, Mat::new(scores, queries, width), v, Threads::One);
    }
    for (i, running) in running.iter().take(queries).enumerate() {
        let factor = (1.0 / running.sum) as f32;
        out.row(i).iter_mut().for_each(|o| *o *= factor);
        lse.row(i)[0] = (f64::from(running.max) + running.sum.ln()) as f32;
    }
}

/// Turns the first `seen` scores into `e^(score - max)` and the rest into 0; rescales what was summed under an older
/// maximum.
#[inline(always)]
fn absorb(running: &mut Running, scores: &mut [f32], seen: usize, out: &mut [f32]) {
    let (seen, hidden) = scores.split_at_mut(seen);
    hidden.fill(0.0);
    let max = running.max.max(math::max(seen));
    if max > running.max && running.sum > 0.0 {
        let factor = math::exp(running.max - max);
        running.sum *= f64::from(factor);
        math::scale(out, factor);
    }
    running.max = max;
    running.sum += math::softmax_terms(seen, max);
}
