//! The language-model head fused with its loss, chunk by chunk over labelled rows.
//!
//! Reference: [`crate::ops::linear_cross_entropy`].

use half::bf16;

use super::super::gemm::{BackwardEpilogue, Gemm};
use super::super::kernel::{Args, Grid};
use super::super::memory::{Buffer, View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, expect_width, source};

const OP: &str = "cross entropy";

/// `loss (N,) = log sum e^logits - logits[target]`; with `d_logits`, also `scale (softmax - one_hot)`.
///
/// The caller vouches for the targets: they lie in `0..V`.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match or `V` is no multiple of 8.
#[allow(clippy::too_many_arguments)]
pub fn cross_entropy(
    gpu: &Gpu,
    stream: &Stream,
    logits_nv: View<'_, f32>,
    targets_n: View<'_, i32>,
    loss_n: ViewMut<'_, f32>,
    d_logits_nv: Option<ViewMut<'_, bf16>>,
    scale: f32,
) -> Result<()> {
    let rows = targets_n.len();
    let vocabulary = logits_nv.len() / rows.max(1);
    expect_width(OP, rows, vocabulary, 1 << 30)?;
    let gradients = d_logits_nv.as_ref().map_or(logits_nv.len(), ViewMut::len);
    expect(OP, &[("logits", logits_nv.len(), rows * vocabulary), ("d_logits", gradients, rows * vocabulary)])?;
    expect(OP, &[("loss", loss_n.len(), rows)])?;
    let args = Args::new()
        .read(logits_nv)
        .read(targets_n)
        .write(&loss_n)
        .read_option(d_logits_nv.as_ref().map(ViewMut::as_view))
        .int(vocabulary)
        .float(scale);
    let threads = (vocabulary / 8).next_multiple_of(32).min(1024);
    // SAFETY: the sizes were checked; the caller vouches for the targets.
    unsafe {
        let launcher = Launcher { gpu, stream, source: source!("loss.cu") };
        launcher.launch("cross_entropy", Grid::line(rows, threads), args)
    }
}

/// Room for the logits of one chunk of rows and their gradients.
pub struct LossScratch {
    rows: usize,
    logits: Buffer<f32>,
    d_logits: Buffer<bf16>,
}

impl LossScratch {
    /// For chunks of `rows` labelled rows (6 bytes a logit).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, rows: usize, vocabulary: usize) -> Result<Self> {
        let size = rows * vocabulary;
        Ok(Self { rows, logits: gpu.unset(size, "logits")?, d_logits: gpu.unset(size, "gradients of logits")? })
    }
}

/// Operands of [`linear_cross_entropy`]: `N` labelled rows.
#[derive(Clone, Copy)]
pub struct LabelledRows<'a> {
    /// `(N, C)`
    pub x: View<'a, bf16>,
    /// `(V, C)`
    pub head: View<'a, bf16>,
    /// `(N,)`, each in `0..V`.
    pub targets: View<'a, i32>,
}

/// Loss of every row `(N,)`, the gradient `dx (N, C)` of `scale` times their sum, and that of the head, added to `d_head (V, C)`.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match, [`Error::Library`].
#[allow(clippy::too_many_arguments)]
pub fn linear_cross_entropy(
    gpu: &Gpu,
    stream: &Stream,
    gemm: &Gemm,
    rows: LabelledRows<'_>,
    scale: f32,
    mut loss_n: ViewMut<'_, f32>,
    mut dx_nc: ViewMut<'_, bf16>,
    mut d_head_vc: ViewMut<'_, f32>,
    scratch: &mut LossScratch,
) -> Result<()> {
    let count = rows.targets.len();
    let cols = rows.x.len() / count.max(1);
    let vocabulary = rows.head.len() / cols.max(1);
    expect(OP, &[("x", rows.x.len(), count * cols), ("head", rows.head.len(), vocabulary * cols)])?;
    expect(OP, &[("loss", loss_n.len(), count), ("dx", dx_nc.len(), count * cols)])?;
    if vocabulary * scratch.rows > scratch.logits.len() {
        return Err(Error::argument(OP, "the scratch is for a smaller vocabulary"));
    }
    let mut at = 0;
    while at < count {
        let n = scratch.rows.min(count - at);
        let dims = [n, cols, vocabulary];
        let x = rows.x.part(at * cols, n * cols)?;
        let logits = scratch.logits.view_mut().part(0, n * vocabulary)?;
        gemm.forward_wide(stream, dims, x, rows.head, logits)?;
        let logits = scratch.logits.view().part(0, n * vocabulary)?;
        let loss = loss_n.reborrow().part(at, n)?;
        let d_logits = scratch.d_logits.view_mut().part(0, n * vocabulary)?;
        cross_entropy(gpu, stream, logits, rows.targets.part(at, n)?, loss, Some(d_logits), scale)?;
        let d_logits = scratch.d_logits.view().part(0, n * vocabulary)?;
        let dx = dx_nc.reborrow().part(at * cols, n * cols)?;
        gemm.backward_input(stream, dims, d_logits, rows.head, BackwardEpilogue::None, dx)?;
        gemm.backward_weight(stream, dims, d_logits, x, d_head_vc.reborrow(), true, None)?;
        at += n;
    }
    Ok(())
}
