//! One call of cuBLASLt: its descriptions, its candidates, its launch.

use super::super::cublaslt::{CublasLt, Desc, Heuristic, number};
use super::super::driver::DevicePtr;
use super::super::memory::Buffer;
use super::super::{Error, Result, Stream};
use super::{CANDIDATES, Choice, Operands, Shape};

/// One product with its descriptions.
pub(super) struct Product<'a> {
    lt: &'a CublasLt,
    pub(super) shape: Shape,
    pub(super) operands: Operands,
    desc: Desc<'a>,
    layouts: [Desc<'a>; 3],
}

impl<'a> Product<'a> {
    pub(super) fn new(lt: &'a CublasLt, shape: Shape, operands: Operands) -> Result<Self> {
        let desc = lt.desc()?;
        lt.set(&desc, number::DESC_TRANSA, i32::from(shape.transpose[0]))?;
        lt.set(&desc, number::DESC_TRANSB, i32::from(shape.transpose[1]))?;
        lt.set(&desc, number::DESC_EPILOGUE, shape.epilogue)?;
        if operands.bias != 0 {
            lt.set(&desc, number::DESC_BIAS_POINTER, operands.bias)?;
            lt.set(&desc, number::DESC_BIAS_TYPE, if shape.wide { number::R_32F } else { number::R_16BF })?;
        }
        if operands.aux != 0 {
            lt.set(&desc, number::DESC_AUX_POINTER, operands.aux)?;
            lt.set(&desc, number::DESC_AUX_LD, shape.m as i64)?;
            lt.set(&desc, number::DESC_AUX_TYPE, number::R_16BF)?;
        }
        let stored = |rows, cols, transposed: bool| if transposed { (cols, rows) } else { (rows, cols) };
        let (a, b) = (stored(shape.m, shape.k, shape.transpose[0]), stored(shape.k, shape.n, shape.transpose[1]));
        let kind = if shape.wide { number::R_32F } else { number::R_16BF };
        let layouts = [
            lt.layout(number::R_16BF, a.0, a.1, shape.ld[0])?,
            lt.layout(number::R_16BF, b.0, b.1, shape.ld[1])?,
            lt.layout(kind, shape.m, shape.n, shape.ld[2])?,
        ];
        Ok(Self { lt, shape, operands, desc, layouts })
    }

    pub(super) fn candidates(&self, workspace_bytes: usize) -> Result<Vec<Heuristic>> {
        let preference = self.lt.preference(workspace_bytes)?;
        let mut results = [Heuristic::default(); CANDIDATES];
        let mut count = 0;
        let [a, b, d] = self.layouts.each_ref().map(|layout| layout.handle);
        // SAFETY: all descriptions live through the call, and there is room for `CANDIDATES` results.
        let code = unsafe {
            let ask = self.lt.api.cublasLtMatmulAlgoGetHeuristic;
            let (handle, desc, preference) = (self.lt.handle, self.desc.handle, preference.handle);
            ask(handle, desc, a, b, d, d, preference, CANDIDATES as i32, results.as_mut_ptr(), &mut count)
        };
        self.lt.check(code, || format!("cublasLtMatmulAlgoGetHeuristic {:?}", self.shape))?;
        let found = results.into_iter().take(count.max(0) as usize);
        Ok(found.filter(|result| result.state == 0 && result.workspace_bytes <= workspace_bytes).collect())
    }

    pub(super) fn launch(&self, workspace: &Buffer<u8>, stream: &Stream, choice: &Choice, d: DevicePtr) -> Result<()> {
        let (alpha, beta) = (1f32, if self.shape.accumulate { 1f32 } else { 0f32 });
        let [a_layout, b_layout, d_layout] = self.layouts.each_ref().map(|layout| layout.handle);
        let (alpha, beta) = (std::ptr::from_ref(&alpha).cast(), std::ptr::from_ref(&beta).cast());
        // SAFETY: sizes were checked against the views; alpha and beta are read during the call; the workspace outlives the
        // stream's work because the engine keeps both.
        let code = unsafe {
            (self.lt.api.cublasLtMatmul)(
                self.lt.handle,
                self.desc.handle,
                alpha,
                self.operands.a,
                a_layout,
                self.operands.b,
                b_layout,
                beta,
                d,
                d_layout,
                d,
                d_layout,
                &choice.algorithm,
                workspace.view().ptr,
                workspace.len(),
                stream.handle,
            )
        };
        self.lt.check(code, || format!("cublasLtMatmul {:?}", self.shape))
    }

    pub(super) fn failure(&self, code: i32, message: &str) -> Error {
        Error::Library { library: "cuBLASLt", call: format!("{:?}", self.shape), code, message: message.into() }
    }
}
