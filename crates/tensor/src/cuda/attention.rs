//! Attention over packed sequences, causal or not, grouped-query, by cuDNN's fused kernels.
//!
//! Shape legend: `T` packed tokens, `H` query heads, `K` key/value heads, `D` head width. The reference is
//! [`crate::ops::attention`], of which this serves the case of equal query and key boundaries (training).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use half::bf16;

use super::columns::{Columns, ColumnsMut};
use super::cudnn::{BackwardTensors, Binding, ForwardTensors, Plan, SdpaShape, backward_graph, forward_graph};
use super::memory::{Buffer, View, ViewMut};
use super::{Error, Gpu, Result, Stream};

const OP: &str = "attention";

/// What the scores of hidden keys are: `exp` of it is 0, and it is finite so that nothing turns to NaN.
const HIDDEN: f32 = f32::MIN;

/// Timed runs of a candidate, after one that is not.
const TUNING_RUNS: usize = 3;

/// Heads, mask and scale, and how operands lie.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head, a multiple of 8 up to 128.
    pub head_dim: usize,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// Factor on the scores.
    pub scale: f32,
    /// Whether backward gives the same bits every time; it then needs `2 B H S^2` bytes more workspace.
    pub deterministic: bool,
    /// Values from row to row of q, k and v.
    pub strides: [usize; 3],
    /// Values from row to row of dq, dk and dv.
    pub gradient_strides: [usize; 3],
}

/// Compiled attention, by shape.
pub struct Attention {
    gpu: Gpu,
    /// Whether plans are timed; else cuDNN's first is taken, the same in every process.
    timed: bool,
    compiled: Mutex<HashMap<SdpaShape, Arc<Compiled>>>,
}

/// Both directions of one shape.
struct Compiled {
    forward: (Vec<Plan>, ForwardTensors),
    backward: (Vec<Plan>, BackwardTensors),
    /// Index of the fastest plan of each direction, once measured.
    chosen: Mutex<[Option<usize>; 2]>,
}

/// Attention over one list of sequences: compiled plans with the lengths and offsets on the GPU.
pub struct PackedAttention {
    gpu: Gpu,
    timed: bool,
    config: AttentionConfig,
    shape: SdpaShape,
    rows: usize,
    compiled: Arc<Compiled>,
    /// Lengths of the sequences, if they differ.
    lengths: Option<Buffer<i32>>,
    /// Where each sequence starts, in values, for operands of a given row stride.
    offsets: Vec<(usize, Buffer<i32>)>,
}

impl Attention {
    /// Nothing is compiled yet.
    pub fn new(gpu: &Gpu) -> Self {
        Self { gpu: gpu.clone(), timed: true, compiled: Mutex::default() }
    }

    /// Nothing is compiled yet, and nothing will be timed: the first plan that runs is taken, so that another process computes the
    /// same bits.
    pub fn untimed(gpu: &Gpu) -> Self {
        Self { timed: false, ..Self::new(gpu) }
    }

    /// Compiles (or finds) the plans for the sequences between `cu_seqlens`, and puts their lists on the GPU.
    ///
    /// # Errors
    /// [`Error::Argument`] for boundaries that do not rise from 0, a sequence without tokens, or offsets beyond 2^31 values;
    /// [`Error::Library`] if this cuDNN has no kernel for the shape.
    pub fn prepare(&self, stream: &Stream, cu_seqlens: &[u32], config: AttentionConfig) -> Result<PackedAttention> {
        self.prepare_in_steps(stream, cu_seqlens, config, 1)
    }

    /// As [`Attention::prepare`], with plans for the longest length rounded up to a multiple of `step`: sequences whose lengths change
    /// from call to call need few plans that way, at the price of the ragged kernels.
    ///
    /// # Errors
    /// As [`Attention::prepare`].
    pub fn prepare_in_steps(
        &self,
        stream: &Stream,
        cu_seqlens: &[u32],
        config: AttentionConfig,
        step: u32,
    ) -> Result<PackedAttention> {
        let lengths = lengths(cu_seqlens)?;
        let (longest, rows) =
            (lengths.iter().copied().max().unwrap_or(0), cu_seqlens.last().map_or(0, |&end| end as usize));
        let longest = longest.checked_next_multiple_of(step.max(1)).unwrap_or(longest);
        let ragged = lengths.iter().any(|&length| length != longest);
        let AttentionConfig { heads, kv_heads, head_dim, causal, deterministic, strides, gradient_strides, .. } =
            config;
        if kv_heads == 0
            || !heads.is_multiple_of(kv_heads)
            || head_dim == 0
            || !head_dim.is_multiple_of(8)
            || head_dim > 128
        {
            let message = format!(
                "{heads} heads of width {head_dim} over {kv_heads} key heads: the width must be a multiple of 8 up to 128"
            );
            return Err(Error::argument(OP, message));
        }
        let (batch, tokens) = (lengths.len(), longest as usize);
        let shape = SdpaShape {
            batch,
            heads,
            kv_heads,
            head_dim,
            tokens,
            causal,
            ragged,
            deterministic,
            strides,
            gradient_strides,
        };
        let compiled = self.compile(shape)?;
        let mut offsets = Vec::new();
        let wanted = compiled.forward.1.offsets.iter().chain(&compiled.backward.1.offsets).map(|(_, stride)| *stride);
        for stride in wanted {
            if offsets.iter().all(|(own, _)| *own != stride) {
                offsets.push((stride, self.offset_list(stream, cu_seqlens, stride)?));
            }
        }
        let list: Vec<i32> = lengths.iter().map(|&length| length as i32).collect();
        let lengths = if ragged { Some(self.gpu.upload(stream, &list, "attention lengths")?) } else { None };
        Ok(PackedAttention {
            gpu: self.gpu.clone(),
            timed: self.timed,
            config,
            shape,
            rows,
            compiled,
            lengths,
            offsets,
        })
    }

    fn compile(&self, shape: SdpaShape) -> Result<Arc<Compiled>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(&shape) {
            return Ok(known.clone());
        }
        self.gpu.context.bind()?;
        let forward = forward_graph(&self.gpu.cudnn, shape)?;
        let backward = backward_graph(&self.gpu.cudnn, shape)?;
        let new = Arc::new(Compiled { forward, backward, chosen: Mutex::default() });
        compiled.insert(shape, new.clone());
        Ok(new)
    }

    fn offset_list(&self, stream: &Stream, cu_seqlens: &[u32], stride: usize) -> Result<Buffer<i32>> {
        let offset = |&row: &u32| i32::try_from(u64::from(row) * stride as u64).map_err(|_| too_long(row, stride));
        let list = cu_seqlens.iter().map(offset).collect::<Result<Vec<_>>>()?;
        self.gpu.upload(stream, &list, "attention offsets")
    }
}

fn too_long(row: u32, stride: usize) -> Error {
    Error::argument(OP, format!("{row} rows of {stride} values are beyond 2^31 values: lower the batch"))
}

fn lengths(cu_seqlens: &[u32]) -> Result<Vec<u32>> {
    let rising = cu_seqlens.first() == Some(&0) && cu_seqlens.windows(2).all(|w| w[0] < w[1]) && cu_seqlens.len() > 1;
    if !rising {
        return Err(Error::argument(OP, "boundaries must start at 0 and rise, one sequence at least"));
    }
    Ok(cu_seqlens.windows(2).map(|w| w[1] - w[0]).collect())
}

/// What forward read and left behind.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSaved<'a> {
    /// Queries `(T, H*D)`.
    pub q: Columns<'a>,
    /// Keys `(T, K*D)`.
    pub k: Columns<'a>,
    /// Values `(T, K*D)`.
    pub v: Columns<'a>,
    /// Output `(T, H*D)`, dense.
    pub out: View<'a, bf16>,
    /// Log-sum-exp of every row and head, in the kernel's own order.
    pub lse: View<'a, f32>,
}

impl PackedAttention {
    /// Bytes of workspace that [`PackedAttention::forward`] and [`PackedAttention::backward`] need.
    pub fn workspace_bytes(&self) -> usize {
        let largest = |plans: &[Plan]| plans.iter().map(|plan| plan.workspace_bytes).max().unwrap_or(0);
        largest(&self.compiled.forward.0).max(largest(&self.compiled.backward.0) + self.sums_bytes())
    }

    /// Values of the log-sum-exp.
    pub fn lse_len(&self) -> usize {
        self.rows * self.config.heads
    }

    /// Whether the log-sum-exp lies as `(T, H)`; else as `(B, H, S)`.
    pub fn lse_by_token(&self) -> bool {
        self.shape.ragged
    }

    /// Plans of forward and backward that cuDNN offers for this shape.
    pub fn candidates(&self) -> [usize; 2] {
        [self.compiled.forward.0.len(), self.compiled.backward.0.len()]
    }

    /// f32 sums of dq (unless deterministic) and of `dout * out`, before the plan's own workspace.
    fn sums_bytes(&self) -> usize {
        4 * (self.dq_sums() + self.shape.batch * self.shape.heads * self.shape.tokens).next_multiple_of(64)
    }

    fn dq_sums(&self) -> usize {
        let SdpaShape { batch, heads, tokens, head_dim, deterministic, .. } = self.shape;
        if deterministic { 0 } else { batch * heads * tokens * head_dim }
    }

    /// `out (T, H*D) = softmax(scale q k^T) v` and the log-sum-exp.
    ///
    /// # Errors
    /// [`Error::Argument`] if an operand or the workspace does not fit.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        stream: &Stream,
        q: Columns<'_>,
        k: Columns<'_>,
        v: Columns<'_>,
        out: ViewMut<'_, bf16>,
        lse: ViewMut<'_, f32>,
        workspace: ViewMut<'_, u8>,
    ) -> Result<()> {
        self.check([q, k, v], &[("out", out.len(), self.rows * self.width()), ("lse", lse.len(), self.lse_len())])?;
        self.check_workspace(&workspace)?;
        let (plans, t) = &self.compiled.forward;
        let mut bindings = vec![
            (t.q, Binding::Memory(q.ptr)),
            (t.k, Binding::Memory(k.ptr)),
            (t.v, Binding::Memory(v.ptr)),
            (t.out, Binding::Memory(out.ptr)),
            (t.stats, Binding::Memory(lse.ptr)),
            (t.scale, Binding::Value(self.config.scale)),
        ];
        self.bind_lists(&mut bindings, &t.hidden, &t.lengths, &t.offsets)?;
        // SAFETY: sizes were checked above, every tensor of the graph is bound.
        self.fastest(stream, 0, plans, &|plan| unsafe { plan.run(stream, &bindings, workspace.ptr) })
    }

    /// Gradients of queries, keys and values, overwritten.
    ///
    /// # Errors
    /// As [`PackedAttention::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        stream: &Stream,
        dout: View<'_, bf16>,
        saved: AttentionSaved<'_>,
        dq: ColumnsMut<'_>,
        dk: ColumnsMut<'_>,
        dv: ColumnsMut<'_>,
        workspace: ViewMut<'_, u8>,
    ) -> Result<()> {
        let width = self.rows * self.width();
        let dense =
            [("dout", dout.len(), width), ("out", saved.out.len(), width), ("lse", saved.lse.len(), self.lse_len())];
        self.check([saved.q, saved.k, saved.v], &dense)?;
        self.check_gradients([&dq, &dk, &dv])?;
        self.check_workspace(&workspace)?;
        let (plans, t) = &self.compiled.backward;
        let (dq_sum, own_ptr) = (workspace.ptr, workspace.ptr + self.sums_bytes() as u64);
        let mut bindings = vec![
            (t.q, Binding::Memory(saved.q.ptr)),
            (t.k, Binding::Memory(saved.k.ptr)),
            (t.v, Binding::Memory(saved.v.ptr)),
            (t.out, Binding::Memory(saved.out.ptr)),
            (t.dout, Binding::Memory(dout.ptr)),
            (t.stats, Binding::Memory(saved.lse.ptr)),
            (t.scale, Binding::Value(self.config.scale)),
            (t.one, Binding::Value(1.0)),
            (t.delta, Binding::Memory(dq_sum + 4 * self.dq_sums() as u64)),
            (t.dq, Binding::Memory(dq.ptr)),
            (t.dk, Binding::Memory(dk.ptr)),
            (t.dv, Binding::Memory(dv.ptr)),
        ];
        bindings.extend(t.dq_sum.map(|tensor| (tensor, Binding::Memory(dq_sum))));
        self.bind_lists(&mut bindings, &t.hidden, &t.lengths, &t.offsets)?;
        let clear = !self.gpu.cudnn.clears_sums();
        self.fastest(stream, 1, plans, &|plan| {
            if clear {
                stream.clear(ViewMut::<u8>::planned(dq_sum, self.sums_bytes()))?;
            }
            // SAFETY: sizes were checked above, every tensor of the graph is bound.
            unsafe { plan.run(stream, &bindings, own_ptr) }
        })
    }

    fn width(&self) -> usize {
        self.config.heads * self.config.head_dim
    }

    fn bind_lists(
        &self,
        bindings: &mut Vec<(super::cudnn::Tensor, Binding)>,
        hidden: &[super::cudnn::Tensor],
        lengths: &[super::cudnn::Tensor],
        offsets: &[(super::cudnn::Tensor, usize)],
    ) -> Result<()> {
        bindings.extend(hidden.iter().map(|&tensor| (tensor, Binding::Value(HIDDEN))));
        if let Some(list) = &self.lengths {
            bindings.extend(lengths.iter().map(|&tensor| (tensor, Binding::Memory(list.view().ptr))));
        }
        for (tensor, stride) in offsets {
            let list = self.offsets.iter().find(|(own, _)| own == stride);
            let (_, list) =
                list.ok_or_else(|| Error::argument(OP, format!("no offsets for rows of {stride} values")))?;
            bindings.push((*tensor, Binding::Memory(list.view().ptr)));
        }
        Ok(())
    }

    /// Runs the fastest plan; the first call of a direction times all of them (the op overwrites its results, so running it
    /// several times changes nothing).
    fn fastest(&self, stream: &Stream, which: usize, plans: &[Plan], run: &dyn Fn(&Plan) -> Result<()>) -> Result<()> {
        self.gpu.context.bind()?;
        let known = self.compiled.chosen.lock().unwrap_or_else(PoisonError::into_inner)[which];
        if let Some(index) = known {
            return run(&plans[index]);
        }
        let (start, end) = (self.gpu.event()?, self.gpu.event()?);
        let mut best: Option<(usize, f32)> = None;
        let mut failure = Error::argument(OP, "cuDNN offers no plan");
        for (index, plan) in plans.iter().enumerate() {
            if let Err(error) = run(plan) {
                failure = error;
                continue;
            }
            if !self.timed {
                best = Some((index, 0.0));
                break;
            }
            stream.record(&start)?;
            for _ in 0..TUNING_RUNS {
                run(plan)?;
            }
            stream.record(&end)?;
            let ms = end.since_ms(&start)?;
            if best.is_none_or(|(_, least)| ms < least) {
                best = Some((index, ms));
            }
        }
        let Some((index, _)) = best else { return Err(failure) };
        self.compiled.chosen.lock().unwrap_or_else(PoisonError::into_inner)[which] = Some(index);
        if self.timed { run(&plans[index]) } else { Ok(()) }
    }

    fn check(&self, qkv: [Columns<'_>; 3], dense: &[(&str, usize, usize)]) -> Result<()> {
        let c = &self.config;
        let widths = [c.heads, c.kv_heads, c.kv_heads].map(|heads| heads * c.head_dim);
        for (((name, x), width), stride) in ["q", "k", "v"].into_iter().zip(qkv).zip(widths).zip(c.strides) {
            let got = [x.rows, x.width, x.stride];
            expect(name, got, [self.rows, width, stride])?;
        }
        match dense.iter().find(|(_, got, want)| got != want) {
            None => Ok(()),
            Some((what, got, want)) => Err(Error::argument(OP, format!("{what} has {got} values and needs {want}"))),
        }
    }

    fn check_gradients(&self, gradients: [&ColumnsMut<'_>; 3]) -> Result<()> {
        let c = &self.config;
        let widths = [c.heads, c.kv_heads, c.kv_heads].map(|heads| heads * c.head_dim);
        for (((name, x), width), stride) in
            ["dq", "dk", "dv"].into_iter().zip(gradients).zip(widths).zip(c.gradient_strides)
        {
            expect(name, [x.rows, x.width, x.stride], [self.rows, width, stride])?;
        }
        Ok(())
    }

    fn check_workspace(&self, workspace: &ViewMut<'_, u8>) -> Result<()> {
        let need = self.workspace_bytes();
        if workspace.len() >= need {
            return Ok(());
        }
        Err(Error::argument(OP, format!("a workspace of {} bytes, and {need} are needed", workspace.len())))
    }
}

fn expect(what: &str, got: [usize; 3], want: [usize; 3]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::argument(OP, format!("{what}: rows, width and stride are {got:?} and must be {want:?}")))
}
