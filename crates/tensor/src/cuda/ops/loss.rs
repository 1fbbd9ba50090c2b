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
/// Rows may be padded to a multiple of 8: logits from `vocabulary` on count as minus infinity, and their gradient is 0.
/// The caller vouches for the targets: they lie in `0..vocabulary`.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match, or a row is no multiple of 8 or holds a whole vector of padding.
#[allow(clippy::too_many_arguments)]
pub fn cross_entropy(
    gpu: &Gpu,
    stream: &Stream,
    logits_nv: View<'_, f32>,
    targets_n: View<'_, i32>,
    loss_n: ViewMut<'_, f32>,
    d_logits_nv: Option<ViewMut<'_, bf16>>,
    vocabulary: usize,
    scale: f32,
) -> Result<()> {
    let rows = targets_n.len();
    let stride = logits_nv.len() / rows.max(1);
    expect_width(OP, rows, stride, 1 << 30)?;
    if vocabulary.next_multiple_of(8) != stride {
        let message = format!("rows of {stride} logits for a vocabulary of {vocabulary}");
        return Err(Error::argument(OP, message));
    }
    let gradients = d_logits_nv.as_ref().map_or(logits_nv.len(), ViewMut::len);
    expect(OP, &[("logits", logits_nv.len(), rows * stride), ("d_logits", gradients, rows * stride)])?;
    expect(OP, &[("loss", loss_n.len(), rows)])?;
    let args = Args::new()
        .read(logits_nv)
        .read(targets_n)
        .write(&loss_n)
        .read_option(d_logits_nv.as_ref().map(ViewMut::as_view))
        .int(stride)
        .int(vocabulary)
        .float(scale);
    let threads = (stride / 8).next_multiple_of(32).min(1024);
    // SAFETY: the sizes were checked; the caller vouches for the targets.
    unsafe {
        let launcher = Launcher { gpu, stream, source: source!("loss.cu") };
        launcher.launch("cross_entropy", Grid::line(rows, threads), args)
    }
}

/// Room for the logits of one chunk of rows and their gradients.
pub struct LossScratch {
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
        Ok(Self { logits: gpu.unset(size, "logits")?, d_logits: gpu.unset(size, "gradients of logits")? })
    }

    /// The room, to use.
    pub fn views(&mut self) -> LossRoom<'_> {
        LossRoom { logits: self.logits.view_mut(), d_logits: self.d_logits.view_mut() }
    }
}

/// Room for some rows of logits and as many of their gradients; the rows of a chunk follow from its size.
pub struct LossRoom<'a> {
    /// f32, a whole number of rows.
    pub logits: ViewMut<'a, f32>,
    /// The same number of values.
    pub d_logits: ViewMut<'a, bf16>,
}

/// Operands of [`linear_cross_entropy`]: `N` labelled rows.
#[derive(Clone, Copy)]
pub struct LabelledRows<'a> {
    /// `(N, C)`
    pub x: View<'a, bf16>,
    /// `(V, C)`, padded with zeros to a multiple of 8 rows.
    pub head: View<'a, bf16>,
    /// `(N,)`, each in `0..vocabulary`.
    pub targets: View<'a, i32>,
    /// Rows of the head that are no padding.
    pub vocabulary: usize,
}

/// Gradients of [`linear_cross_entropy`].
pub struct HeadGradients<'a> {
    /// `(N, C)`, overwritten.
    pub dx: ViewMut<'a, bf16>,
    /// As the head.
    pub d_head: ViewMut<'a, f32>,
    /// Whether `d_head` is added to; else the first chunk overwrites it.
    pub accumulate: bool,
}

/// Loss of every row `(N,)`; with gradients, also those of `scale` times their sum.
///
/// # Errors
/// [`Error::Argument`] if sizes do not match or there is no room for one row, [`Error::Library`].
#[allow(clippy::too_many_arguments)]
pub fn linear_cross_entropy(
    gpu: &Gpu,
    stream: &Stream,
    gemm: &Gemm,
    rows: LabelledRows<'_>,
    scale: f32,
    mut loss_n: ViewMut<'_, f32>,
    mut gradients: Option<HeadGradients<'_>>,
    mut room: LossRoom<'_>,
) -> Result<()> {
    let count = rows.targets.len();
    let cols = rows.x.len() / count.max(1);
    let padded = rows.head.len() / cols.max(1);
    expect(OP, &[("x", rows.x.len(), count * cols), ("head", rows.head.len(), padded * cols)])?;
    expect(OP, &[("loss", loss_n.len(), count), ("d_logits", room.d_logits.len(), room.logits.len())])?;
    if let Some(g) = &gradients {
        expect(OP, &[("dx", g.dx.len(), count * cols), ("d_head", g.d_head.len(), rows.head.len())])?;
    }
    let chunk = room.logits.len() / padded.max(1);
    if chunk == 0 {
        return Err(Error::argument(OP, format!("room for {} logits, and a row has {padded}", room.logits.len())));
    }
    let mut at = 0;
    while at < count {
        let n = chunk.min(count - at);
        let dims = [n, cols, padded];
        let x = rows.x.part(at * cols, n * cols)?;
        gemm.forward_wide(stream, dims, x, rows.head, room.logits.reborrow().part(0, n * padded)?)?;
        let logits = room.logits.as_view().part(0, n * padded)?;
        let (targets, loss) = (rows.targets.part(at, n)?, loss_n.reborrow().part(at, n)?);
        let d_logits = room.d_logits.reborrow().part(0, n * padded)?;
        let wanted = gradients.is_some().then_some(d_logits);
        cross_entropy(gpu, stream, logits, targets, loss, wanted, rows.vocabulary, scale)?;
        if let Some(g) = &mut gradients {
            let d_logits = room.d_logits.as_view().part(0, n * padded)?;
            let dx = g.dx.reborrow().part(at * cols, n * cols)?;
            gemm.backward_input(stream, dims, d_logits, rows.head, BackwardEpilogue::None, dx)?;
            let accumulate = g.accumulate || at > 0;
            gemm.backward_weight(stream, dims, d_logits, x, g.d_head.reborrow(), accumulate, None)?;
        }
        at += n;
    }
    Ok(())
}
