//! Scaled dot-product attention as operation graphs: the patterns that cuDNN fuses into one kernel each.
//!
//! Legend: `B` sequences, `H` query heads, `K` key/value heads, `S` tokens of the longest sequence, `D` head width. Dimensions are
//! `[B, H, S, D]` in the logical order that cuDNN wants; strides say how rows really lie. Sequences of different length ("ragged")
//! start where a list of offsets says and end where a list of lengths says.

use std::sync::Arc;

use super::super::Result;
use super::CudnnHandle;
use super::graph::{Data, Graph, Place, Plan, Pointwise, Reduce, Tensor};

/// What a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SdpaShape {
    pub batch: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Tokens of the longest sequence.
    pub tokens: usize,
    pub causal: bool,
    /// Whether sequences differ in length.
    pub ragged: bool,
    /// Whether backward adds in a fixed order.
    pub deterministic: bool,
    /// Values from row to row of q, k, v and of what has their shape (out and its gradient have `heads * head_dim`).
    pub strides: [usize; 3],
    /// The same of dq, dk, dv.
    pub gradient_strides: [usize; 3],
}

/// Tensors of the forward graph that a run binds. `offsets` are those of q, k, v, out and the statistics.
pub(crate) struct ForwardTensors {
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub out: Tensor,
    pub stats: Tensor,
    pub scale: Tensor,
    pub hidden: Vec<Tensor>,
    pub lengths: Vec<Tensor>,
    pub offsets: Vec<(Tensor, usize)>,
}

/// Tensors of the backward graph that a run binds.
pub(crate) struct BackwardTensors {
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub out: Tensor,
    pub dout: Tensor,
    pub stats: Tensor,
    pub scale: Tensor,
    pub one: Tensor,
    /// f32 `(B, H, S)`.
    pub delta: Tensor,
    /// f32 `(B, H, S, D)`: where blocks of keys add up dq, in no fixed order. A deterministic plan has none; it keeps the gradients of
    /// all scores in its own workspace instead, `2 B H S^2` bytes.
    pub dq_sum: Option<Tensor>,
    pub dq: Tensor,
    pub dk: Tensor,
    pub dv: Tensor,
    pub hidden: Vec<Tensor>,
    pub lengths: Vec<Tensor>,
    pub offsets: Vec<(Tensor, usize)>,
}

/// The graph with what both directions need.
struct Builder {
    graph: Graph,
    shape: SdpaShape,
    lengths: Option<[Tensor; 2]>,
    /// Offset lists by row stride.
    offsets: Vec<(Tensor, usize)>,
    hidden: Vec<Tensor>,
}

impl Builder {
    fn new(cudnn: &Arc<CudnnHandle>, shape: SdpaShape) -> Result<Self> {
        let mut graph = Graph::new(cudnn);
        let lengths = if shape.ragged {
            let dims = [shape.batch as i64, 1, 1, 1];
            let list = |graph: &mut Graph| graph.tensor(Data::I32, dims, [1; 4], Place::Memory);
            Some([list(&mut graph)?, list(&mut graph)?])
        } else {
            None
        };
        Ok(Self { graph, shape, lengths, offsets: Vec::new(), hidden: Vec::new() })
    }

    /// The list of offsets of operands with this many values a row.
    fn offsets(&mut self, stride: usize) -> Result<Tensor> {
        if let Some((tensor, _)) = self.offsets.iter().find(|(_, own)| *own == stride) {
            return Ok(*tensor);
        }
        let tensor = self.graph.tensor(Data::I32, [self.shape.batch as i64 + 1, 1, 1, 1], [1; 4], Place::Memory)?;
        self.offsets.push((tensor, stride));
        Ok(tensor)
    }

    /// `(B, heads, S, width)` of an operand in memory, or with the last two swapped.
    fn operand(&mut self, data: Data, heads: usize, width: usize, stride: usize, swapped: bool) -> Result<Tensor> {
        let place = if self.shape.ragged { Place::Ragged(self.offsets(stride)?) } else { Place::Memory };
        let (dims, strides) = self.layout(heads, width, stride, swapped);
        self.graph.tensor(data, dims, strides, place)
    }

    fn layout(&self, heads: usize, width: usize, stride: usize, swapped: bool) -> ([i64; 4], [i64; 4]) {
        let [b, h, s, w, row] = [self.shape.batch, heads, self.shape.tokens, width, stride].map(|n| n as i64);
        if swapped { ([b, h, w, s], [s * row, w, 1, row]) } else { ([b, h, s, w], [s * row, w, row, 1]) }
    }

    /// The statistics: `(B, H, S)` in memory if all sequences are equally long, else `(T, H)`.
    fn statistics(&mut self) -> Result<Tensor> {
        let SdpaShape { batch, heads, tokens, ragged, .. } = self.shape;
        let [b, h, s] = [batch, heads, tokens].map(|n| n as i64);
        if ragged {
            let place = Place::Ragged(self.offsets(heads)?);
            self.graph.tensor(Data::F32, [b, h, s, 1], [s * h, 1, h, 1], place)
        } else {
            self.graph.tensor(Data::F32, [b, h, s, 1], [h * s, s, 1, 1], Place::Memory)
        }
    }

    /// A dense tensor `(B, H, S, cols)`.
    fn dense(&mut self, data: Data, cols: usize, place: Place) -> Result<Tensor> {
        let [b, h, s, c] = [self.shape.batch, self.shape.heads, self.shape.tokens, cols].map(|n| n as i64);
        self.graph.tensor(data, [b, h, s, c], [h * s * c, s * c, c, 1], place)
    }

    fn scores(&mut self, data: Data) -> Result<Tensor> {
        self.dense(data, self.shape.tokens, Place::Virtual)
    }

    fn value(&mut self) -> Result<Tensor> {
        self.graph.tensor(Data::F32, [1; 4], [1; 4], Place::Value)
    }

    fn elementwise(&mut self, mode: Pointwise, x: Tensor, b: Option<Tensor>, data: Data) -> Result<Tensor> {
        let y = self.scores(data)?;
        self.graph.pointwise(mode, x, b, None, y)?;
        Ok(y)
    }

    /// Row and column numbers of every score.
    fn indices(&mut self, x: Tensor) -> Result<[Tensor; 2]> {
        let (rows, cols) = (self.scores(Data::I32)?, self.scores(Data::I32)?);
        self.graph.index(2, x, rows)?;
        self.graph.index(3, x, cols)?;
        Ok([rows, cols])
    }

    /// Scores where `seen`, minus infinity elsewhere.
    fn hide(&mut self, x: Tensor, seen: Tensor) -> Result<Tensor> {
        let (least, y) = (self.value()?, self.scores(Data::F32)?);
        self.hidden.push(least);
        self.graph.pointwise(Pointwise::Select, x, Some(least), Some(seen), y)?;
        Ok(y)
    }

    /// Hides what lies behind the end of a shorter sequence.
    fn hide_padding(&mut self, x: Tensor) -> Result<Tensor> {
        let Some([queries, keys]) = self.lengths else { return Ok(x) };
        let [rows, cols] = self.indices(x)?;
        let row_seen = self.elementwise(Pointwise::CmpLt, rows, Some(queries), Data::Bool)?;
        let col_seen = self.elementwise(Pointwise::CmpLt, cols, Some(keys), Data::Bool)?;
        let seen = self.elementwise(Pointwise::And, row_seen, Some(col_seen), Data::Bool)?;
        self.hide(x, seen)
    }

    /// Hides keys that come after the query.
    fn hide_future(&mut self, x: Tensor) -> Result<Tensor> {
        if !self.shape.causal {
            return Ok(x);
        }
        let [rows, cols] = self.indices(x)?;
        let seen = self.elementwise(Pointwise::CmpGe, rows, Some(cols), Data::Bool)?;
        self.hide(x, seen)
    }

    /// Lengths of M, N and K by name: `q` is the queries' side, `k` the keys'.
    fn lengths(&self, sides: [Option<char>; 3]) -> [Option<Tensor>; 3] {
        sides.map(|side| self.lengths.and_then(|[q, k]| side.map(|side| if side == 'q' { q } else { k })))
    }
}

/// `softmax(scale q k^T) v` with the log-sum-exp of every row.
///
/// # Errors
/// [`super::super::Error::Library`] if this cuDNN has no kernel for the shape.
pub(crate) fn forward_graph(cudnn: &Arc<CudnnHandle>, shape: SdpaShape) -> Result<(Vec<Plan>, ForwardTensors)> {
    let mut b = Builder::new(cudnn, shape)?;
    let SdpaShape { heads, kv_heads, head_dim, strides, .. } = shape;
    let q = b.operand(Data::Bf16, heads, head_dim, strides[0], false)?;
    let k = b.operand(Data::Bf16, kv_heads, head_dim, strides[1], true)?;
    let v = b.operand(Data::Bf16, kv_heads, head_dim, strides[2], false)?;
    let out = b.operand(Data::Bf16, heads, head_dim, heads * head_dim, false)?;
    let (stats, scale) = (b.statistics()?, b.value()?);
    let products = b.scores(Data::F32)?;
    b.graph.matmul(q, k, products, b.lengths([Some('q'), Some('k'), None]))?;
    let scores = b.elementwise(Pointwise::Mul, products, Some(scale), Data::F32)?;
    let scores = b.hide_padding(scores)?;
    let scores = b.hide_future(scores)?;
    let per_row = |b: &mut Builder| b.dense(Data::F32, 1, Place::Virtual);
    let largest = per_row(&mut b)?;
    b.graph.reduce(Reduce::Max, scores, largest)?;
    let shifted = b.elementwise(Pointwise::Sub, scores, Some(largest), Data::F32)?;
    let terms = b.elementwise(Pointwise::Exp, shifted, None, Data::F32)?;
    let (sum, log) = (per_row(&mut b)?, per_row(&mut b)?);
    b.graph.reduce(Reduce::Add, terms, sum)?;
    b.graph.pointwise(Pointwise::Log, sum, None, None, log)?;
    b.graph.pointwise(Pointwise::Add, largest, Some(log), None, stats)?;
    let weights = b.elementwise(Pointwise::Div, terms, Some(sum), Data::Bf16)?;
    b.graph.matmul(weights, v, out, b.lengths([Some('q'), None, Some('k')]))?;
    let lengths = b.lengths.into_iter().flatten().collect();
    let tensors = ForwardTensors { q, k, v, out, stats, scale, hidden: b.hidden, lengths, offsets: b.offsets };
    Ok((b.graph.plans()?, tensors))
}

/// Gradients of q, k and v.
///
/// # Errors
/// As [`forward_graph`].
pub(crate) fn backward_graph(cudnn: &Arc<CudnnHandle>, shape: SdpaShape) -> Result<(Vec<Plan>, BackwardTensors)> {
    let mut b = Builder::new(cudnn, shape)?;
    let SdpaShape { heads, kv_heads, head_dim, strides, gradient_strides, .. } = shape;
    let q = b.operand(Data::Bf16, heads, head_dim, strides[0], false)?;
    let k = b.operand(Data::Bf16, kv_heads, head_dim, strides[1], true)?;
    let v = b.operand(Data::Bf16, kv_heads, head_dim, strides[2], true)?;
    let out = b.operand(Data::Bf16, heads, head_dim, heads * head_dim, false)?;
    let dout = b.operand(Data::Bf16, heads, head_dim, heads * head_dim, false)?;
    let dq = b.operand(Data::Bf16, heads, head_dim, gradient_strides[0], false)?;
    let dk = b.operand(Data::Bf16, kv_heads, head_dim, gradient_strides[1], false)?;
    let dv = b.operand(Data::Bf16, kv_heads, head_dim, gradient_strides[2], false)?;
    let (stats, scale, one) = (b.statistics()?, b.value()?, b.value()?);
    let delta = delta(&mut b, dout, out, one)?;
    // Probabilities again, from the statistics.
    let products = b.scores(Data::F32)?;
    b.graph.matmul(q, k, products, b.lengths([Some('q'), Some('k'), None]))?;
    let scores = b.elementwise(Pointwise::Mul, products, Some(scale), Data::F32)?;
    let scores = b.hide_padding(scores)?;
    let shifted = b.elementwise(Pointwise::Sub, scores, Some(stats), Data::F32)?;
    let shifted = b.hide_future(shifted)?;
    let weights = b.elementwise(Pointwise::Exp, shifted, None, Data::F32)?;
    let weights_t = transposed(&mut b, weights)?;
    sum_over_queries(&mut b, weights_t, dout, dv)?;
    let d_weights = b.scores(Data::F32)?;
    b.graph.matmul(dout, v, d_weights, b.lengths([Some('q'), Some('k'), None]))?;
    let centred = b.elementwise(Pointwise::Sub, d_weights, Some(delta), Data::F32)?;
    let weighted = b.elementwise(Pointwise::Mul, centred, Some(weights), Data::F32)?;
    let d_scores = b.elementwise(Pointwise::Mul, weighted, Some(scale), Data::F32)?;
    let d_scores_t = transposed(&mut b, d_scores)?;
    sum_over_queries(&mut b, d_scores_t, q, dk)?;
    let k_rows = rows_of_keys(&mut b, k)?;
    let dq_sum = if shape.deterministic { None } else { Some(b.dense(Data::F32, head_dim, Place::Memory)?) };
    b.graph.matmul(d_scores, k_rows, dq_sum.unwrap_or(dq), b.lengths([Some('q'), None, Some('k')]))?;
    if let Some(dq_sum) = dq_sum {
        b.graph.pointwise(Pointwise::Identity, dq_sum, None, None, dq)?;
    }
    let lengths = b.lengths.into_iter().flatten().collect();
    let (hidden, offsets) = (b.hidden, b.offsets);
    let tensors =
        BackwardTensors { q, k, v, out, dout, stats, scale, one, delta, dq_sum, dq, dk, dv, hidden, lengths, offsets };
    Ok((b.graph.plans()?, tensors))
}

/// Sum of `dout * out` over the head, in memory because both kernels of the backward read it.
fn delta(b: &mut Builder, dout: Tensor, out: Tensor, one: Tensor) -> Result<Tensor> {
    let [batch, h, s, d] = [b.shape.batch, b.shape.heads, b.shape.tokens, b.shape.head_dim].map(|n| n as i64);
    let strides = [h * s * d, d, h * d, 1];
    let products = b.graph.tensor(Data::F32, [batch, h, s, d], strides, Place::Virtual)?;
    b.graph.pointwise(Pointwise::Mul, dout, Some(out), None, products)?;
    let sum = b.dense(Data::F32, 1, Place::Virtual)?;
    b.graph.reduce(Reduce::Add, products, sum)?;
    let delta = b.dense(Data::F32, 1, Place::Memory)?;
    b.graph.pointwise(Pointwise::Mul, sum, Some(one), None, delta)?;
    Ok(delta)
}

/// Scores with queries and keys swapped, in bf16 for the product that follows.
fn transposed(b: &mut Builder, x: Tensor) -> Result<Tensor> {
    let [batch, h, s] = [b.shape.batch, b.shape.heads, b.shape.tokens].map(|n| n as i64);
    let y = b.graph.tensor(Data::Bf16, [batch, h, s, s], [h * s * s, s * s, 1, s], Place::Virtual)?;
    b.graph.reshape(x, y)?;
    Ok(y)
}

/// `d = scores_t · x`, summed over the query heads that share a key head.
fn sum_over_queries(b: &mut Builder, scores_t: Tensor, x: Tensor, d: Tensor) -> Result<()> {
    let lengths = b.lengths([Some('k'), None, Some('q')]);
    if b.shape.heads == b.shape.kv_heads {
        return b.graph.matmul(scores_t, x, d, lengths);
    }
    let per_head = b.dense(Data::Bf16, b.shape.head_dim, Place::Virtual)?;
    b.graph.matmul(scores_t, x, per_head, lengths)?;
    b.graph.reduce(Reduce::Add, per_head, d)
}

/// The keys, rows first.
fn rows_of_keys(b: &mut Builder, k: Tensor) -> Result<Tensor> {
    let stride = b.shape.strides[1];
    let place = if b.shape.ragged { Place::VirtualRagged(b.offsets(stride)?) } else { Place::Virtual };
    let (dims, strides) = b.layout(b.shape.kv_heads, b.shape.head_dim, stride, false);
    let rows = b.graph.tensor(Data::F32, dims, strides, place)?;
    b.graph.reshape(k, rows)?;
    Ok(rows)
}
