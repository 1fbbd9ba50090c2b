//! Matrix products in bf16 with f32 accumulation, by cuBLASLt, the fastest of its candidates measured once a shape.
//!
//! Shape legend: `N` rows, `I`/`O` input/output width. All matrices are row-major, as everywhere in this crate; cuBLASLt sees their
//! transposes, column-major.

mod product;
mod saved;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use half::bf16;

use product::Product;

use super::cublaslt::{Algorithm, Heuristic, number};
use super::driver::DevicePtr;
use super::memory::{Buffer, View, ViewMut};
use super::ops::expect;
use super::{Error, Gpu, Result, Stream};

const OP: &str = "gemm";

/// Candidates that are timed for a shape.
const CANDIDATES: usize = 8;
/// Rounds over all candidates; the first only warms up.
const TUNING_ROUNDS: usize = 4;
/// Milliseconds of one candidate in one round. Long and interleaved, because a GPU at its power limit runs a short burst faster than
/// what training sustains, and not by the same factor for every candidate.
const TUNING_MS: f32 = 3.0;

/// Products on one stream: the workspace, and the choice made for every shape so far.
pub struct Gemm {
    gpu: Gpu,
    workspace: Buffer<u8>,
    /// Whether candidates are timed; else the heuristic's first is taken, the same in every process.
    timed: bool,
    choices: Mutex<HashMap<Shape, Choice>>,
}

/// Everything that the choice of an algorithm depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    /// Column-major extents of the product as cuBLASLt sees it: `d (m, n) = op(a) op(b)` over `k`.
    m: usize,
    n: usize,
    k: usize,
    transpose: [bool; 2],
    ld: [usize; 3],
    /// Whether `d` is f32.
    wide: bool,
    accumulate: bool,
    epilogue: u32,
}

#[derive(Clone, Copy)]
struct Choice {
    algorithm: Algorithm,
    microseconds: f32,
    /// The same of the heuristic's first candidate.
    first: f32,
}

/// Pointers of one call.
#[derive(Clone, Copy, Default)]
struct Operands {
    a: DevicePtr,
    b: DevicePtr,
    d: DevicePtr,
    bias: DevicePtr,
    aux: DevicePtr,
}

/// What follows the product of [`Gemm::forward`].
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// `+ bias_O`.
    Bias(View<'a, bf16>),
    /// `gelu_pytorch_tanh(. + bias_O)`; the values before the GELU `(N, O)` go to the second view for backward.
    BiasGelu(View<'a, bf16>, ViewMut<'a, bf16>),
}

/// What follows the product of [`Gemm::backward_input`].
pub enum BackwardEpilogue<'a> {
    /// Nothing.
    None,
    /// Times the slope of `gelu_pytorch_tanh` at these values `(N, I)`.
    Gelu(View<'a, bf16>),
    /// The same, and the column sums of the result to `d_bias_I` (overwritten).
    GeluBias(View<'a, bf16>, ViewMut<'a, bf16>),
}

impl Gemm {
    /// With a workspace of so many bytes (32 MiB are enough on Hopper).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, workspace_bytes: usize) -> Result<Self> {
        let workspace = gpu.unset(workspace_bytes, "the workspace of matrix products")?;
        Ok(Self { gpu: gpu.clone(), workspace, timed: true, choices: Mutex::default() })
    }

    /// As [`Gemm::new`], but nothing is timed: the first candidate that runs is taken, so that another process computes the same bits.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn untimed(gpu: &Gpu, workspace_bytes: usize) -> Result<Self> {
        Ok(Self { timed: false, ..Self::new(gpu, workspace_bytes)? })
    }

    /// `y_NO = epilogue(x_NI · weight_OI^T)`; `dims` is `[N, I, O]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if an operand has not the size that `dims` says, [`Error::Library`].
    pub fn forward(
        &self,
        stream: &Stream,
        dims: [usize; 3],
        x_ni: View<'_, bf16>,
        weight_oi: View<'_, bf16>,
        epilogue: Epilogue<'_>,
        y_no: ViewMut<'_, bf16>,
    ) -> Result<()> {
        let [n, i, o] = dims;
        expect(OP, &[("x", x_ni.len(), n * i), ("weight", weight_oi.len(), o * i), ("y", y_no.len(), n * o)])?;
        let mut operands = Operands { a: weight_oi.ptr, b: x_ni.ptr, d: y_no.ptr, ..Operands::default() };
        let epilogue = match epilogue {
            Epilogue::None => number::EPILOGUE_DEFAULT,
            Epilogue::Bias(bias) => {
                expect(OP, &[("bias", bias.len(), o)])?;
                operands.bias = bias.ptr;
                number::EPILOGUE_BIAS
            }
            Epilogue::BiasGelu(bias, before) => {
                expect(OP, &[("bias", bias.len(), o), ("the values before the GELU", before.len(), n * o)])?;
                (operands.bias, operands.aux) = (bias.ptr, before.ptr);
                number::EPILOGUE_GELU_AUX_BIAS
            }
        };
        let shape = Shape::new([o, n, i], [true, false], [i, i, o], false, false, epilogue);
        self.run(stream, shape, operands)
    }

    /// `logits_NO = x_NI · weight_OI^T` in f32.
    ///
    /// # Errors
    /// As [`Gemm::forward`].
    pub fn forward_wide(
        &self,
        stream: &Stream,
        dims: [usize; 3],
        x_ni: View<'_, bf16>,
        weight_oi: View<'_, bf16>,
        y_no: ViewMut<'_, f32>,
    ) -> Result<()> {
        let [n, i, o] = dims;
        expect(OP, &[("x", x_ni.len(), n * i), ("weight", weight_oi.len(), o * i), ("y", y_no.len(), n * o)])?;
        let operands = Operands { a: weight_oi.ptr, b: x_ni.ptr, d: y_no.ptr, ..Operands::default() };
        let shape = Shape::new([o, n, i], [true, false], [i, i, o], true, false, number::EPILOGUE_DEFAULT);
        self.run(stream, shape, operands)
    }

    /// `dx_NI = epilogue(dy_NO · weight_OI)`; `dims` is `[N, I, O]`.
    ///
    /// # Errors
    /// As [`Gemm::forward`].
    pub fn backward_input(
        &self,
        stream: &Stream,
        dims: [usize; 3],
        dy_no: View<'_, bf16>,
        weight_oi: View<'_, bf16>,
        epilogue: BackwardEpilogue<'_>,
        dx_ni: ViewMut<'_, bf16>,
    ) -> Result<()> {
        let [n, i, o] = dims;
        expect(OP, &[("dy", dy_no.len(), n * o), ("weight", weight_oi.len(), o * i), ("dx", dx_ni.len(), n * i)])?;
        let mut operands = Operands { a: weight_oi.ptr, b: dy_no.ptr, d: dx_ni.ptr, ..Operands::default() };
        let epilogue = match epilogue {
            BackwardEpilogue::None => number::EPILOGUE_DEFAULT,
            BackwardEpilogue::Gelu(before) => {
                expect(OP, &[("the values before the GELU", before.len(), n * i)])?;
                operands.aux = before.ptr;
                number::EPILOGUE_DGELU
            }
            BackwardEpilogue::GeluBias(before, d_bias) => {
                expect(OP, &[("the values before the GELU", before.len(), n * i), ("d_bias", d_bias.len(), i)])?;
                (operands.aux, operands.bias) = (before.ptr, d_bias.ptr);
                number::EPILOGUE_DGELU_BGRAD
            }
        };
        let shape = Shape::new([i, n, o], [false, false], [i, o, i], false, false, epilogue);
        self.run(stream, shape, operands)
    }

    /// `d_weight_OI += dy_NO^T · x_NI` in f32, or `=` if not `accumulate`; with `d_bias_O`, also the column sums of `dy` there
    /// (overwritten). `dims` is `[N, I, O]`.
    ///
    /// # Errors
    /// As [`Gemm::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward_weight(
        &self,
        stream: &Stream,
        dims: [usize; 3],
        dy_no: View<'_, bf16>,
        x_ni: View<'_, bf16>,
        d_weight_oi: ViewMut<'_, f32>,
        accumulate: bool,
        d_bias_o: Option<ViewMut<'_, f32>>,
    ) -> Result<()> {
        let [n, i, o] = dims;
        expect(OP, &[("dy", dy_no.len(), n * o), ("x", x_ni.len(), n * i), ("d_weight", d_weight_oi.len(), o * i)])?;
        let mut operands = Operands { a: x_ni.ptr, b: dy_no.ptr, d: d_weight_oi.ptr, ..Operands::default() };
        let epilogue = match d_bias_o {
            None => number::EPILOGUE_DEFAULT,
            Some(d_bias) => {
                expect(OP, &[("d_bias", d_bias.len(), o)])?;
                operands.bias = d_bias.ptr;
                number::EPILOGUE_BGRADB
            }
        };
        let shape = Shape::new([i, o, n], [false, true], [i, o, i], true, accumulate, epilogue);
        self.run(stream, shape, operands)
    }

    /// Shapes chosen so far, as `m n k` of cuBLASLt with the time of the winner in microseconds.
    pub fn choices(&self) -> Vec<String> {
        let choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(shape, choice): (&Shape, &Choice)| {
            format!("{shape:?}: {:.1} us, the heuristic's first {:.1} us", choice.microseconds, choice.first)
        };
        let mut lines: Vec<String> = choices.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn run(&self, stream: &Stream, shape: Shape, operands: Operands) -> Result<()> {
        if shape.m == 0 || shape.n == 0 {
            return Ok(());
        }
        self.gpu.context.bind()?;
        let product = Product::new(&self.gpu.cublaslt, shape, operands)?;
        // Untimed, a shape's choice may not depend on which shapes came before it.
        let alike = if self.timed { shape.alike() } else { shape };
        for key in [shape, alike] {
            let known = self.choices.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
            // What was chosen for a shape like this one may still refuse this one, which is then tuned on its own.
            if let Some(choice) = known
                && product.launch(&self.workspace, stream, &choice, operands.d).is_ok()
            {
                return Ok(());
            }
        }
        let (choice, launched) = match self.timed {
            true => (self.tune(stream, &product)?, false),
            false => (self.first(stream, &product)?, true),
        };
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if choices.contains_key(&alike) { shape } else { alike };
        choices.insert(key, choice);
        if launched { Ok(()) } else { product.launch(&self.workspace, stream, &choice, operands.d) }
    }

    /// Launches the first candidate that runs.
    fn first(&self, stream: &Stream, product: &Product<'_>) -> Result<Choice> {
        for candidate in product.candidates(self.workspace.len())? {
            let choice = Choice { algorithm: candidate.algorithm, microseconds: 0.0, first: 0.0 };
            if product.launch(&self.workspace, stream, &choice, product.operands.d).is_ok() {
                return Ok(choice);
            }
        }
        Err(product.failure(7, "no candidate of the heuristic runs"))
    }

    /// Times the candidates and returns the fastest. An accumulating product is timed on a scratch result, so that the caller's
    /// is touched once only.
    fn tune(&self, stream: &Stream, product: &Product<'_>) -> Result<Choice> {
        let candidates = product.candidates(self.workspace.len())?;
        let shape = product.shape;
        let scratch: Option<Buffer<f32>> = if shape.accumulate {
            match self.gpu.zeros(stream, shape.m * shape.n, "tuning a matrix product") {
                Ok(scratch) => Some(scratch),
                // A card that is full: the heuristic's first candidate is within 15 % of the best.
                Err(Error::OutOfMemory { .. }) => return self.untimed_choice(product, &candidates),
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        let target = scratch.as_ref().map_or(product.operands.d, |scratch| scratch.view().ptr);
        let mut timed: Vec<(Choice, Vec<f32>)> = Vec::new();
        for candidate in &candidates {
            let choice = Choice { algorithm: candidate.algorithm, microseconds: 0.0, first: 0.0 };
            // A candidate that the library offers may still refuse to run; another one will.
            if product.launch(&self.workspace, stream, &choice, target).is_ok() {
                timed.push((choice, Vec::new()));
            }
        }
        for round in 0..TUNING_ROUNDS {
            for (choice, times) in &mut timed {
                let known = times.last().copied().unwrap_or(choice.microseconds);
                let runs = if round == 0 { 2 } else { (TUNING_MS * 1e3 / known.max(1.0)).clamp(2.0, 100.0) as usize };
                let us = self.time(stream, runs, || product.launch(&self.workspace, stream, choice, target))?;
                if round == 0 { choice.microseconds = us } else { times.push(us) }
            }
        }
        let first = timed.first().map_or(0.0, |(_, times)| median(times));
        let candidates =
            timed.into_iter().map(|(choice, times)| Choice { microseconds: median(&times), first, ..choice });
        let best = candidates.min_by(|a, b| a.microseconds.total_cmp(&b.microseconds));
        best.ok_or_else(|| product.failure(7, "no candidate of the heuristic runs"))
    }

    fn untimed_choice(&self, product: &Product<'_>, candidates: &[Heuristic]) -> Result<Choice> {
        let first = candidates.first().ok_or_else(|| product.failure(7, "the heuristic has no candidate"))?;
        Ok(Choice { algorithm: first.algorithm, microseconds: 0.0, first: 0.0 })
    }

    /// Microseconds of one of `runs` launches.
    fn time(&self, stream: &Stream, runs: usize, launch: impl Fn() -> Result<()>) -> Result<f32> {
        let (start, end) = (self.gpu.event()?, self.gpu.event()?);
        stream.record(&start)?;
        for _ in 0..runs {
            launch()?;
        }
        stream.record(&end)?;
        Ok(end.since_ms(&start)? * 1e3 / runs as f32)
    }
}

fn median(times: &[f32]) -> f32 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f32::INFINITY)
}

impl Shape {
    fn new(mnk: [usize; 3], transpose: [bool; 2], ld: [usize; 3], wide: bool, accumulate: bool, epilogue: u32) -> Self {
        let [m, n, k] = mnk;
        Self { m, n, k, transpose, ld, wide, accumulate, epilogue }
    }

    /// The shape with its number of rows rounded up to one of eight steps an octave: micro-batches whose lengths differ a little
    /// share a choice. Rows are `k` where a weight's gradient is summed over them, else `n`.
    fn alike(self) -> Self {
        let step = |rows: usize| rows.next_multiple_of((rows.next_power_of_two() / 16).max(64));
        if self.transpose == [false, true] {
            Self { k: step(self.k), ..self }
        } else {
            Self { n: step(self.n), ..self }
        }
    }
}
