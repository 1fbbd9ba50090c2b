//! DeBERTa-v2's attention: content plus content-to-position and position-to-content terms. Forward only.
//!
//! He et al., arXiv 2006.03654, as in transformers 4.57.6 `DisentangledSelfAttention`.

use rayon::prelude::*;

use crate::cpu::gemm::{Threads, Write, gemm};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::{loops, math};
use crate::{Device, Error, Result, Segments, Tensor};

const OP: &str = "disentangled_attention";

/// Queries whose scores exist at one time.
const QUERY_BLOCK: usize = 64;

/// What the op does beside its operands.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether the content-to-position term is on.
    pub c2p: bool,
    /// Whether the position-to-content term is on.
    pub p2c: bool,
    /// Log-bucket count of `make_log_bucket_position`; 0 or less means plain distance.
    pub position_buckets: i32,
    /// Largest relative distance.
    pub max_relative_positions: i32,
}

/// `q, k, v (T, H*D)`; `pos_key`, `pos_query` `(2*span, H*D)`, the projected relative embeddings, where `span` =
/// `position_buckets` if positive, else `max_relative_positions` -> `(T, H*D)`.
///
/// Scores are divided by `sqrt(D * (1 + c2p + p2c))` as transformers 4.57.6 `DisentangledSelfAttention` does.
///
/// # Errors
/// [`Error::Argument`] for empty heads, a span that is not positive, a single bucket, or segments whose queries are not
/// their keys; [`Error::Shape`] if an operand does not fit.
pub fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    pos_key: &Tensor,
    pos_query: &Tensor,
    segments: &Segments,
    config: Config,
) -> Result<Tensor> {
    let width = config.heads.saturating_mul(config.head_dim);
    let span = span(config)?;
    if width == 0 || segments.cu_q() != segments.cu_k() {
        return Err(Error::argument(OP, "needs at least one head, and segments whose queries are their keys"));
    }
    let tokens = segments.cu_q().last().map_or(0, |&end| end as usize);
    for (what, operand) in [("q", q), ("k", k), ("v", v)] {
        operand.expect(OP, what, &[tokens, width])?;
    }
    pos_key.expect(OP, "pos_key", &[2 * span, width])?;
    pos_query.expect(OP, "pos_query", &[2 * span, width])?;
    let mut out = q.zeros_like();
    match q.device() {
        Device::Cpu => {
            let [q, k, v] = [q, k, v].map(|x| Mat::new(x.cpu(), tokens, width));
            let [pos_key, pos_query] = [pos_key, pos_query].map(|x| Mat::new(x.cpu(), 2 * span, width));
            forward_cpu(Operands { q, k, v, pos_key, pos_query, config, span }, segments, out.cpu_mut());
        }
    }
    Ok(out)
}

/// Half the number of relative positions that have an embedding.
fn span(config: Config) -> Result<usize> {
    let span = if config.position_buckets > 0 { config.position_buckets } else { config.max_relative_positions };
    match usize::try_from(span) {
        Ok(span) if span > 0 && config.position_buckets != 1 => Ok(span),
        _ => Err(Error::argument(
            OP,
            format!(
                "position_buckets {} with max_relative_positions {} leaves no relative positions",
                config.position_buckets, config.max_relative_positions
            ),
        )),
    }
}

#[derive(Clone, Copy)]
struct Operands<'a> {
    q: Mat<'a>,
    k: Mat<'a>,
    v: Mat<'a>,
    pos_key: Mat<'a>,
    pos_query: Mat<'a>,
    config: Config,
    span: usize,
}

fn forward_cpu(operands: Operands<'_>, segments: &Segments, out: &mut [f32]) {
    let Config { head_dim, .. } = operands.config;
    let mut rest = MatMut::new(out, operands.q.rows, operands.q.cols);
    let mut tasks = Vec::new();
    for bounds in segments.cu_q().windows(2) {
        let (row0, rows) = (bounds[0] as usize, (bounds[1] - bounds[0]) as usize);
        let (sequence, tail) = rest.split_rows(rows);
        rest = tail;
        tasks.extend(sequence.into_column_tiles(head_dim).into_iter().enumerate().map(|(head, out)| (row0, head, out)));
    }
    tasks.into_par_iter().for_each(|(row0, head, out)| attend(&operands, row0, head, out));
}

/// One head of one sequence.
fn attend(operands: &Operands<'_>, row0: usize, head: usize, mut out: MatMut<'_>) {
    let Operands { config, span, .. } = *operands;
    let (rows, col0, width) = (out.rows, head * config.head_dim, config.head_dim);
    let [q, k, v] = [operands.q, operands.k, operands.v].map(|x| x.block(row0, rows, col0, width));
    let [pos_key, pos_query] = [operands.pos_key, operands.pos_query].map(|x| x.block(0, 2 * span, col0, width));
    let factor = ((width * (1 + usize::from(config.c2p) + usize::from(config.p2c))) as f32).sqrt().recip();
    let c2p = config.c2p.then(|| product(factor, q, pos_key.t()));
    let p2c = config.p2c.then(|| product(factor, k, pos_query.t()));
    let buckets = bucket_of_distance(rows, span, config);
    let mut scores = vec![0f32; QUERY_BLOCK.min(rows) * rows];
    for block0 in (0..rows).step_by(QUERY_BLOCK) {
        let queries = QUERY_BLOCK.min(rows - block0);
        gemm(
            MatMut::new(&mut scores, queries, rows),
            Write::Set,
            factor,
            q.block(block0, queries, 0, width),
            k.t(),
            Threads::One,
        );
        for (i, scores) in scores.chunks_exact_mut(rows).take(queries).enumerate() {
            // Entry `j` is the bucket of the distance `i - j`, which falls as `j` rises.
            let buckets = buckets[rows - 1 - (block0 + i)..][..rows].iter().map(|&bucket| bucket as usize);
            for (j, (score, bucket)) in scores.iter_mut().zip(buckets).enumerate() {
                *score += c2p.as_ref().map_or(0.0, |c2p| c2p[(block0 + i) * 2 * span + bucket]);
                *score += p2c.as_ref().map_or(0.0, |p2c| p2c[j * 2 * span + bucket]);
            }
            softmax(scores);
        }
        gemm(out.row_block(block0, queries), Write::Set, 1.0, Mat::new(&scores, queries, rows), v, Threads::One);
    }
}

fn product(factor: f32, a: Mat<'_>, b: Mat<'_>) -> Vec<f32> {
    let mut out = vec![0f32; a.rows * b.cols];
    gemm(MatMut::new(&mut out, a.rows, b.cols), Write::Set, factor, a, b, Threads::One);
    out
}

fn softmax(scores: &mut [f32]) {
    loops::vectorized(
        #[inline(always)]
        || {
            let max = math::max(scores);
            let sum = math::softmax_terms(scores, max);
            math::scale(scores, (1.0 / sum) as f32);
        },
    );
}

/// Row of the relative embeddings for every distance `query - key` from `rows - 1` down to `1 - rows`.
///
/// Both position terms of a pair use this row: the position-to-content index is minus the bucket of `key - query`, and
/// buckets are odd in the distance.
fn bucket_of_distance(rows: usize, span: usize, config: Config) -> Vec<u32> {
    let last = rows as i64 - 1;
    let (span, logarithmic) = (span as i64, config.position_buckets > 0 && config.max_relative_positions > 0);
    let bucket = |distance: i64| {
        if logarithmic {
            log_bucket(distance, i64::from(config.position_buckets), i64::from(config.max_relative_positions))
        } else {
            distance
        }
    };
    (-last..=last).rev().map(|distance| (bucket(distance) + span).clamp(0, 2 * span - 1) as u32).collect()
}

/// `make_log_bucket_position` of transformers: distances up to half the buckets are kept, larger ones grow with their
/// logarithm; in f32 as there.
fn log_bucket(distance: i64, buckets: i64, max_position: i64) -> i64 {
    let mid = buckets / 2;
    if distance.abs() <= mid {
        return distance;
    }
    let growth = (distance.abs() as f32 / mid as f32).ln() / ((max_position - 1) as f32 / mid as f32).ln();
    let magnitude = (growth * (mid - 1) as f32).ceil() as i64;
    magnitude.saturating_add(mid).saturating_mul(distance.signum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, random, weigh, wide};

    #[test]
    fn buckets_equal_those_of_transformers() {
        // (buckets, largest distance, [(distance, bucket)]), from `make_log_bucket_position`.
        type Pairs = &'static [(i64, i64)];
        let cases: [(i64, i64, Pairs); 3] = [
            (8, 32, &[(0, 0), (4, 4), (5, 5), (7, 5), (8, 6), (15, 6), (16, 7), (31, 7), (32, 8), (61, 8), (62, 9)]),
            (
                32,
                64,
                &[
                    (16, 16),
                    (17, 17),
                    (18, 18),
                    (19, 18),
                    (20, 19),
                    (27, 22),
                    (28, 23),
                    (30, 23),
                    (31, 24),
                    (63, 31),
                    (64, 32),
                    (76, 34),
                ],
            ),
            (
                256,
                512,
                &[(128, 128), (129, 129), (200, 169), (255, 192), (300, 207), (511, 255), (512, 256), (700, 284)],
            ),
        ];
        for (buckets, max_position, pairs) in cases {
            for &(distance, bucket) in pairs {
                assert_eq!(log_bucket(distance, buckets, max_position), bucket, "{buckets} {max_position} {distance}");
                assert_eq!(log_bucket(-distance, buckets, max_position), -bucket);
            }
        }
    }

    /// One query at a time, straight from the definition, in f64.
    fn naive(operands: &[Tensor; 5], lengths: &[u32], config: Config, span: i64) -> Vec<f64> {
        let [q, k, v, pos_key, pos_query] = operands.each_ref().map(wide);
        let (d, width) = (config.head_dim, config.heads * config.head_dim);
        let terms = 1 + usize::from(config.c2p) + usize::from(config.p2c);
        let mut out = vec![0.0; q.len()];
        for bounds in lengths.windows(2) {
            let tokens = bounds[0] as usize..bounds[1] as usize;
            for (i, h) in tokens.clone().flat_map(|i| (0..config.heads).map(move |h| (i, h))) {
                let at = |row: usize| row * width + h * d..row * width + h * d + d;
                let score = |j: usize| {
                    let bucket = |distance: i64| match config.position_buckets {
                        0 => distance,
                        buckets => log_bucket(distance, i64::from(buckets), i64::from(config.max_relative_positions)),
                    };
                    let distance = i as i64 - j as i64;
                    let c2p_row = (bucket(distance) + span).clamp(0, 2 * span - 1) as usize;
                    let p2c_row = (-bucket(-distance) + span).clamp(0, 2 * span - 1) as usize;
                    let c2p = if config.c2p { weigh(&q[at(i)], &pos_key[at(c2p_row)]) } else { 0.0 };
                    let p2c = if config.p2c { weigh(&k[at(j)], &pos_query[at(p2c_row)]) } else { 0.0 };
                    ((weigh(&q[at(i)], &k[at(j)]) + c2p + p2c) / ((d * terms) as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = tokens.clone().map(score).collect();
                let sum: f64 = weights.iter().sum();
                for (j, weight) in tokens.clone().zip(&weights) {
                    at(i).zip(at(j)).for_each(|(to, from)| out[to] += weight / sum * v[from]);
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_definition() {
        for (c2p, p2c, position_buckets) in [(true, true, 8), (true, false, 8), (false, true, 0), (false, false, 0)] {
            let config = Config { heads: 2, head_dim: 5, c2p, p2c, position_buckets, max_relative_positions: 32 };
            let span = span(config).unwrap();
            let cu_seqlens = [0, 1, 18, 18, 150];
            let segments = Segments::packed(&Device::Cpu, &cu_seqlens).unwrap();
            let operands = [1, 2, 3, 4, 5].map(|seed| random(&[if seed < 4 { 150 } else { 2 * span }, 10], seed));
            let [q, k, v, pos_key, pos_query] = &operands;
            let out = forward(q, k, v, pos_key, pos_query, &segments, config).unwrap();
            check_close("out", &out, &naive(&operands, &cu_seqlens, config, span as i64), 1e-6);
        }
    }

    #[test]
    fn empty_spans_are_errors() {
        let config =
            Config { heads: 1, head_dim: 4, c2p: true, p2c: true, position_buckets: 0, max_relative_positions: 0 };
        assert!(span(config).is_err());
        assert!(span(Config { position_buckets: 1, max_relative_positions: 8, ..config }).is_err());
    }
}
