//! Building an operation graph and turning it into plans that run.
//!
//! Numbers are those of `cudnn_graph.h` of cuDNN 9.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, PoisonError};

use super::super::driver::{DevicePtr, Handle};
use super::super::{Error, Result, Stream};
use super::CudnnHandle;

/// `CUDNN_BACKEND_*_DESCRIPTOR`.
mod descriptor {
    pub const POINTWISE: i32 = 0;
    pub const ENGINECFG: i32 = 3;
    pub const ENGINEHEUR: i32 = 4;
    pub const EXECUTION_PLAN: i32 = 5;
    pub const OPERATION_POINTWISE: i32 = 13;
    pub const OPERATIONGRAPH: i32 = 15;
    pub const VARIANT_PACK: i32 = 16;
    pub const TENSOR: i32 = 17;
    pub const MATMUL: i32 = 18;
    pub const OPERATION_MATMUL: i32 = 19;
    pub const REDUCTION: i32 = 21;
    pub const OPERATION_REDUCTION: i32 = 22;
    pub const OPERATION_RESHAPE: i32 = 31;
}

/// `CUDNN_TYPE_*`.
mod kind {
    pub const HANDLE: i32 = 0;
    pub const DATA_TYPE: i32 = 1;
    pub const BOOLEAN: i32 = 2;
    pub const INT64: i32 = 3;
    pub const VOID_PTR: i32 = 6;
    pub const HEUR_MODE: i32 = 8;
    pub const POINTWISE_MODE: i32 = 14;
    pub const DESCRIPTOR: i32 = 15;
    pub const REDUCTION_OPERATOR: i32 = 18;
}

/// `CUDNN_DATA_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Data {
    F32 = 0,
    I32 = 4,
    Bf16 = 9,
    Bool = 11,
}

/// `CUDNN_POINTWISE_*`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Pointwise {
    Add = 0,
    Mul = 1,
    Div = 6,
    Sub = 9,
    Exp = 13,
    Log = 15,
    Identity = 21,
    CmpGe = 303,
    CmpLt = 304,
    And = 400,
    GenIndex = 501,
    Select = 601,
}

/// `CUDNN_REDUCE_TENSOR_*`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Reduce {
    Add = 0,
    Max = 3,
}

/// What a tensor of a graph is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Exists inside the kernel only.
    Virtual,
    /// Memory of the GPU.
    Memory,
    /// Memory of the GPU whose batch entries start where this tensor of offsets says.
    Ragged(Tensor),
    /// Exists inside the kernel only, with batch entries as those of a ragged tensor.
    VirtualRagged(Tensor),
    /// One host value, given at every run.
    Value,
}

/// A tensor of a graph: its index and its unique id in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tensor(usize);

/// What a run puts behind a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binding {
    Memory(DevicePtr),
    Value(f32),
}

/// A graph under construction.
pub(crate) struct Graph {
    cudnn: Arc<CudnnHandle>,
    tensors: Vec<Descriptor>,
    operations: Vec<Descriptor>,
    /// Descriptions that operations refer to.
    attached: Vec<Descriptor>,
}

/// A compiled graph.
pub(crate) struct Plan {
    plan: Descriptor,
    pub workspace_bytes: usize,
    /// The configuration that it came from must outlive it.
    #[allow(dead_code, reason = "kept alive")]
    config: Descriptor,
}

/// A backend descriptor, destroyed with its owner.
struct Descriptor {
    cudnn: Arc<CudnnHandle>,
    raw: Handle,
}

// SAFETY: descriptors are immutable once finalised, and runs go through the handle's lock.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    fn new(cudnn: &Arc<CudnnHandle>, which: c_int) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` outlives the call.
        let code = unsafe { (cudnn.api.cudnnBackendCreateDescriptor)(which, &mut raw) };
        cudnn.check(code, || format!("create descriptor {which}"))?;
        Ok(Self { cudnn: cudnn.clone(), raw })
    }

    fn set<T: Copy>(&self, attribute: c_int, kind: c_int, values: &[T]) -> Result<()> {
        let set = self.cudnn.api.cudnnBackendSetAttribute;
        // SAFETY: `values` outlives the call and the count is given; `T` is the C type behind `kind` at every call site here.
        let code = unsafe { set(self.raw, attribute, kind, values.len() as i64, values.as_ptr().cast()) };
        self.cudnn.check(code, || format!("set attribute {attribute}"))
    }

    fn refer(&self, attribute: c_int, other: &Self) -> Result<()> {
        self.set(attribute, kind::DESCRIPTOR, &[other.raw])
    }

    fn finalize(&self, what: &str) -> Result<()> {
        // SAFETY: the descriptor is alive.
        let code = unsafe { (self.cudnn.api.cudnnBackendFinalize)(self.raw) };
        self.cudnn.check(code, || format!("finalize {what}"))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: created once in `new`.
        unsafe { (self.cudnn.api.cudnnBackendDestroyDescriptor)(self.raw) };
    }
}

impl Graph {
    pub fn new(cudnn: &Arc<CudnnHandle>) -> Self {
        Self { cudnn: cudnn.clone(), tensors: Vec::new(), operations: Vec::new(), attached: Vec::new() }
    }

    /// A tensor with explicit strides, in values.
    pub fn tensor(&mut self, data: Data, dims: [i64; 4], strides: [i64; 4], place: Place) -> Result<Tensor> {
        let id = self.tensors.len();
        let desc = Descriptor::new(&self.cudnn, descriptor::TENSOR)?;
        desc.set(901, kind::DATA_TYPE, &[data as i32])?;
        desc.set(902, kind::INT64, &dims)?;
        desc.set(903, kind::INT64, &strides)?;
        // Id 0 is legal, but ids from 1 on are easier to tell from what was never set.
        desc.set(906, kind::INT64, &[id as i64 + 1])?;
        desc.set(900, kind::INT64, &[16i64])?;
        match place {
            Place::Virtual => desc.set(907, kind::BOOLEAN, &[true])?,
            Place::Memory => {}
            Place::Ragged(offsets) => desc.refer(913, &self.tensors[offsets.0])?,
            Place::VirtualRagged(offsets) => {
                desc.set(907, kind::BOOLEAN, &[true])?;
                desc.refer(913, &self.tensors[offsets.0])?;
            }
            Place::Value => desc.set(908, kind::BOOLEAN, &[true])?,
        }
        desc.finalize("a tensor")?;
        self.tensors.push(desc);
        Ok(Tensor(id))
    }

    /// `y = mode(x, b)`; `Select` takes `x` where `t`, else `b`.
    pub fn pointwise(
        &mut self,
        mode: Pointwise,
        x: Tensor,
        b: Option<Tensor>,
        t: Option<Tensor>,
        y: Tensor,
    ) -> Result<()> {
        self.pointwise_along(mode, x, b, t, y, None)
    }

    /// Index of every element along an axis.
    pub fn index(&mut self, axis: i64, x: Tensor, y: Tensor) -> Result<()> {
        self.pointwise_along(Pointwise::GenIndex, x, None, None, y, Some(axis))
    }

    fn pointwise_along(
        &mut self,
        mode: Pointwise,
        x: Tensor,
        b: Option<Tensor>,
        t: Option<Tensor>,
        y: Tensor,
        axis: Option<i64>,
    ) -> Result<()> {
        let desc = Descriptor::new(&self.cudnn, descriptor::POINTWISE)?;
        desc.set(0, kind::POINTWISE_MODE, &[mode as i32])?;
        desc.set(1, kind::DATA_TYPE, &[Data::F32 as i32])?;
        if let Some(axis) = axis {
            desc.set(9, kind::INT64, &[axis])?;
        }
        desc.finalize("a pointwise description")?;
        let operation = Descriptor::new(&self.cudnn, descriptor::OPERATION_POINTWISE)?;
        operation.refer(750, &desc)?;
        operation.refer(751, &self.tensors[x.0])?;
        operation.refer(753, &self.tensors[y.0])?;
        if let Some(b) = b {
            operation.refer(752, &self.tensors[b.0])?;
        }
        if let Some(t) = t {
            operation.refer(758, &self.tensors[t.0])?;
        }
        self.push(operation, Some(desc), &format!("pointwise {mode:?}"))
    }

    /// `c = a · b` over the last two dimensions; `lengths` are the true extents of M, N and K of every batch entry, if shorter.
    pub fn matmul(&mut self, a: Tensor, b: Tensor, c: Tensor, lengths: [Option<Tensor>; 3]) -> Result<()> {
        let desc = Descriptor::new(&self.cudnn, descriptor::MATMUL)?;
        desc.set(1500, kind::DATA_TYPE, &[Data::F32 as i32])?;
        desc.finalize("a matmul description")?;
        let operation = Descriptor::new(&self.cudnn, descriptor::OPERATION_MATMUL)?;
        operation.refer(1523, &desc)?;
        for (attribute, tensor) in [(1520, a), (1521, b), (1522, c)] {
            operation.refer(attribute, &self.tensors[tensor.0])?;
        }
        for (attribute, length) in [1525, 1526, 1527].into_iter().zip(lengths) {
            if let Some(length) = length {
                operation.refer(attribute, &self.tensors[length.0])?;
            }
        }
        self.push(operation, Some(desc), "matmul")
    }

    /// Reduces the dimensions in which `y` has extent 1 (or fewer heads than `x`).
    pub fn reduce(&mut self, how: Reduce, x: Tensor, y: Tensor) -> Result<()> {
        let desc = Descriptor::new(&self.cudnn, descriptor::REDUCTION)?;
        desc.set(1600, kind::REDUCTION_OPERATOR, &[how as i32])?;
        desc.set(1601, kind::DATA_TYPE, &[Data::F32 as i32])?;
        desc.finalize("a reduction description")?;
        let operation = Descriptor::new(&self.cudnn, descriptor::OPERATION_REDUCTION)?;
        operation.refer(1612, &desc)?;
        operation.refer(1610, &self.tensors[x.0])?;
        operation.refer(1611, &self.tensors[y.0])?;
        self.push(operation, Some(desc), &format!("reduction {how:?}"))
    }

    /// The same values under other strides: a transpose.
    pub fn reshape(&mut self, x: Tensor, y: Tensor) -> Result<()> {
        const XDESC: c_int = 2200;
        const YDESC: c_int = 2201;
        let operation = Descriptor::new(&self.cudnn, descriptor::OPERATION_RESHAPE)?;
        operation.refer(XDESC, &self.tensors[x.0])?;
        operation.refer(YDESC, &self.tensors[y.0])?;
        self.push(operation, None, "reshape")
    }

    fn push(&mut self, operation: Descriptor, attached: Option<Descriptor>, what: &str) -> Result<()> {
        operation.finalize(what)?;
        self.operations.push(operation);
        self.attached.extend(attached);
        Ok(())
    }

    /// Compiles the graph: every configuration that the heuristic names and that builds, in its order.
    ///
    /// # Errors
    /// [`Error::Library`] if none builds, with the reason of the last.
    pub fn plans(self) -> Result<Vec<Plan>> {
        const HEUR_MODE_A: i32 = 3;
        const CONFIGS: usize = 8;
        let cudnn = &self.cudnn;
        let handle = cudnn.handle.lock().unwrap_or_else(PoisonError::into_inner).0;
        let graph = Descriptor::new(cudnn, descriptor::OPERATIONGRAPH)?;
        let operations: Vec<Handle> = self.operations.iter().map(|operation| operation.raw).collect();
        graph.set(801, kind::DESCRIPTOR, &operations)?;
        graph.set(800, kind::HANDLE, &[handle])?;
        graph.finalize("the operation graph")?;
        let heuristic = Descriptor::new(cudnn, descriptor::ENGINEHEUR)?;
        heuristic.refer(201, &graph)?;
        heuristic.set(200, kind::HEUR_MODE, &[HEUR_MODE_A])?;
        heuristic.finalize("the heuristic (no engine supports this graph)")?;
        let configs =
            (0..CONFIGS).map(|_| Descriptor::new(cudnn, descriptor::ENGINECFG)).collect::<Result<Vec<_>>>()?;
        let mut raw: Vec<Handle> = configs.iter().map(|config| config.raw).collect();
        let mut count = 0;
        // SAFETY: there is room for `CONFIGS` descriptors, all alive.
        let code = unsafe {
            let get = cudnn.api.cudnnBackendGetAttribute;
            get(heuristic.raw, 202, kind::DESCRIPTOR, CONFIGS as i64, &mut count, raw.as_mut_ptr().cast())
        };
        cudnn.check(code, || "the heuristic's results".into())?;
        let built: Vec<Result<Plan>> =
            configs.into_iter().take(count.max(0) as usize).map(|config| Plan::new(cudnn, handle, config)).collect();
        let mut reason = Error::argument("cuDNN", "the heuristic offers no engine for this graph");
        let mut plans = Vec::new();
        for plan in built {
            match plan {
                Ok(plan) => plans.push(plan),
                Err(error) => reason = error,
            }
        }
        if plans.is_empty() { Err(reason) } else { Ok(plans) }
    }
}

impl Tensor {
    fn id(self) -> i64 {
        self.0 as i64 + 1
    }
}

impl Plan {
    fn new(cudnn: &Arc<CudnnHandle>, handle: Handle, config: Descriptor) -> Result<Self> {
        let plan = Descriptor::new(cudnn, descriptor::EXECUTION_PLAN)?;
        // Versions before 9.19 want the handle here, later ones take it from the graph and may refuse it.
        let _ = plan.set(400, kind::HANDLE, &[handle]);
        plan.refer(401, &config)?;
        plan.finalize("a plan")?;
        let (mut bytes, mut count) = (0i64, 0i64);
        // SAFETY: room for one number.
        let code = unsafe {
            let get = cudnn.api.cudnnBackendGetAttribute;
            get(plan.raw, 402, kind::INT64, 1, &mut count, std::ptr::from_mut(&mut bytes).cast())
        };
        cudnn.check(code, || "a plan's workspace".into())?;
        Ok(Self { plan, workspace_bytes: bytes.max(0) as usize, config })
    }

    /// Runs it on a stream.
    ///
    /// # Errors
    /// [`Error::Library`].
    ///
    /// # Safety
    /// Every tensor of the graph that is no [`Place::Virtual`] must be bound to memory of its full extent, and `workspace` must
    /// hold [`Plan::workspace_bytes`].
    pub unsafe fn run(&self, stream: &Stream, bindings: &[(Tensor, Binding)], workspace: DevicePtr) -> Result<()> {
        let cudnn = &self.plan.cudnn;
        let ids: Vec<i64> = bindings.iter().map(|(tensor, _)| tensor.id()).collect();
        let values: Vec<f32> = bindings.iter().map(|(_, b)| if let Binding::Value(v) = b { *v } else { 0.0 }).collect();
        let pointer = |(i, (_, binding)): (usize, &(Tensor, Binding))| match binding {
            Binding::Memory(ptr) => *ptr as *const c_void,
            Binding::Value(_) => std::ptr::from_ref(&values[i]).cast(),
        };
        let pointers: Vec<*const c_void> = bindings.iter().enumerate().map(pointer).collect();
        let pack = Descriptor::new(cudnn, descriptor::VARIANT_PACK)?;
        pack.set(1003, kind::VOID_PTR, &[workspace as *const c_void])?;
        pack.set(1001, kind::VOID_PTR, &pointers)?;
        pack.set(1000, kind::INT64, &ids)?;
        pack.finalize("the operands of a run")?;
        let handle = cudnn.handle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the handle, the plan and the pack are alive; host values are copied at the call.
        unsafe {
            cudnn.check((cudnn.api.cudnnSetStream)(handle.0, stream.handle), || "cudnnSetStream".into())?;
            let code = (cudnn.api.cudnnBackendExecute)(handle.0, self.plan.raw, pack.raw);
            cudnn.check(code, || "cudnnBackendExecute".into())
        }
    }
}
