//! Scaled dot-product attention over packed segments, causal or not, grouped-query.
//!
//! Keys are visited block by block with the online softmax (Milakov and Gimelshein, arXiv 1805.02867; Dao et al.,
//! arXiv 2205.14135), so no score matrix larger than one block of queries by one block of keys ever exists. The
//! backward pass recomputes the probabilities of a block from the saved log-sum-exp.

mod backward;
mod decode;
mod forward;
#[cfg(test)]
mod tests;

use crate::cpu::matrix::{Mat, MatMut};
use crate::{Device, Error, Result, Segments, Tensor};

const OP: &str = "attention";

/// Queries of one block of scores.
const QUERY_BLOCK: usize = 128;
/// Keys of one block of scores.
const KEY_BLOCK: usize = 256;

/// What the op does beside its operands.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`; query head `h` reads key head `h / (heads/kv_heads)`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether a query sees only keys up to its own position (aligned to the end of the segment).
    pub causal: bool,
    /// Factor on the scores, normally `1/sqrt(head_dim)`.
    pub scale: f32,
}

/// `q (Tq, H*D)`, `k`, `v` `(Tk', K*D)` with `Tk' >= last cu_k` (a cache may have spare rows) -> output `(Tq, H*D)` and
/// log-sum-exp of the scores `(Tq, H)`.
///
/// # Errors
/// [`Error::Argument`] if the head counts do not divide, [`Error::Shape`] if an operand does not fit the segments.
pub fn forward(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Segments, config: Config) -> Result<(Tensor, Tensor)> {
    check(q, k, v, segments, config)?;
    let mut out = q.unset_like();
    let mut lse = Tensor::unset(&q.device(), &[q.rows(), config.heads]);
    match q.device() {
        Device::Cpu => {
            let operands = Operands::new(q, k, v, config);
            forward::forward(operands, segments, out.cpu_mut(), lse.cpu_mut());
        }
    }
    Ok((out, lse))
}

/// Returns `(dq, dk, dv)` in the shapes of `q`, `k`, `v`.
///
/// # Errors
/// As [`forward`]; also if `dout`, `out` or `lse` do not have the shapes it returns.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    dout: &Tensor,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    segments: &Segments,
    config: Config,
) -> Result<(Tensor, Tensor, Tensor)> {
    check(q, k, v, segments, config)?;
    dout.expect(OP, "dout", q.shape())?;
    out.expect(OP, "out", q.shape())?;
    lse.expect(OP, "lse", &[q.rows(), config.heads])?;
    let (mut dq, mut dk, mut dv) = (q.zeros_like(), k.zeros_like(), v.zeros_like());
    match q.device() {
        Device::Cpu => {
            let saved =
                backward::Saved { dout: Mat::new(dout.cpu(), q.rows(), q.cols()), out: out.cpu(), lse: lse.cpu() };
            let operands = Operands::new(q, k, v, config);
            backward::backward(operands, saved, segments, [dq.cpu_mut(), dk.cpu_mut(), dv.cpu_mut()]);
        }
    }
    Ok((dq, dk, dv))
}

fn check(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Segments, config: Config) -> Result<()> {
    let Config { heads, kv_heads, head_dim, .. } = config;
    if head_dim == 0 || kv_heads == 0 || heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(Error::argument(
            OP,
            format!("{heads} heads of width {head_dim} cannot share {kv_heads} key heads"),
        ));
    }
    let (queries, keys) = (last(segments.cu_q()), last(segments.cu_k()));
    q.expect(OP, "q", &[queries, heads.saturating_mul(head_dim)])?;
    k.expect_cols(OP, "k", kv_heads.saturating_mul(head_dim))?;
    v.expect(OP, "v", k.shape())?;
    if k.rows() < keys {
        return Err(Error::shape(OP, "k", format!("at least {keys} rows"), k.shape()));
    }
    Ok(())
}

fn last(boundaries: &[u32]) -> usize {
    boundaries.last().map_or(0, |&end| end as usize)
}

/// The operands as matrices over all heads.
#[derive(Clone, Copy)]
struct Operands<'a> {
    q: Mat<'a>,
    k: Mat<'a>,
    v: Mat<'a>,
    config: Config,
}

impl<'a> Operands<'a> {
    fn new(q: &'a Tensor, k: &'a Tensor, v: &'a Tensor, config: Config) -> Self {
        let mat = |x: &'a Tensor| Mat::new(x.cpu(), x.rows(), x.cols());
        Self { q: mat(q), k: mat(k), v: mat(v), config }
    }

    /// The columns of query head `head` in rows `row0..row0 + rows` of a `(Tq, H*D)` matrix.
    fn head_of(&self, x: Mat<'a>, head: usize, row0: usize, rows: usize) -> Mat<'a> {
        x.block(row0, rows, head * self.config.head_dim, self.config.head_dim)
    }

    /// The key head that query head `head` reads.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.config.heads / self.config.kv_heads)
    }
}

/// Rows of one packed sequence.
#[derive(Clone, Copy)]
struct Sequence {
    query0: usize,
    queries: usize,
    key0: usize,
    keys: usize,
}

impl Sequence {
    /// Keys that query `i` of the sequence sees.
    fn visible(&self, i: usize, causal: bool) -> usize {
        if causal { self.keys - self.queries + i + 1 } else { self.keys }
    }
}

fn sequences(segments: &Segments) -> impl Iterator<Item = Sequence> {
    segments.cu_q().windows(2).zip(segments.cu_k().windows(2)).map(|(q, k)| Sequence {
        query0: q[0] as usize,
        queries: (q[1] - q[0]) as usize,
        key0: k[0] as usize,
        keys: (k[1] - k[0]) as usize,
    })
}

/// Cuts a matrix at the given row counts, then every piece into column tiles of `width`: one list of tiles a piece.
fn tiles(matrix: MatMut<'_>, row_counts: impl Iterator<Item = usize>, width: usize) -> Vec<Vec<MatMut<'_>>> {
    let mut rest = matrix;
    let mut pieces = Vec::new();
    for rows in row_counts {
        let (piece, tail) = rest.split_rows(rows);
        pieces.push(piece.into_column_tiles(width));
        rest = tail;
    }
    pieces
}
