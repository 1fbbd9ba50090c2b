//! cuDNN's backend interface: descriptors, operation graphs, execution plans.

mod graph;
mod sdpa;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex};

pub(crate) use graph::{Binding, Plan, Tensor};
pub(crate) use sdpa::{BackwardTensors, ForwardTensors, SdpaShape, backward_graph, forward_graph};

use super::device::{Context, dotted};
use super::driver::Handle;
use super::library::{Opened, functions};
use super::{Error, Result};

functions! {
    /// `libcudnn`.
    CudnnApi {
        cudnnGetVersion() -> usize;
        cudnnGetErrorString(c_int) -> *const c_char;
        cudnnGetLastErrorString(*mut c_char, usize) -> ();
        cudnnCreate(*mut Handle) -> c_int;
        cudnnDestroy(Handle) -> c_int;
        cudnnSetStream(Handle, Handle) -> c_int;
        cudnnBackendCreateDescriptor(c_int, *mut Handle) -> c_int;
        cudnnBackendDestroyDescriptor(Handle) -> c_int;
        cudnnBackendFinalize(Handle) -> c_int;
        cudnnBackendSetAttribute(Handle, c_int, c_int, i64, *const c_void) -> c_int;
        cudnnBackendGetAttribute(Handle, c_int, c_int, i64, *mut i64, *mut c_void) -> c_int;
        cudnnBackendExecute(Handle, Handle, Handle) -> c_int;
    }
}

/// The library with a handle of one GPU.
pub(crate) struct CudnnHandle {
    pub api: CudnnApi,
    /// The handle, behind a lock because it carries the stream of the next call.
    pub handle: Mutex<SendHandle>,
    pub context: Arc<Context>,
}

/// A handle that may move between threads.
pub(crate) struct SendHandle(pub Handle);

// SAFETY: cuDNN allows a handle on any thread, one at a time, which the mutex sees to.
unsafe impl Send for SendHandle {}

impl CudnnHandle {
    pub fn open(opened: &Opened, context: &Arc<Context>) -> Result<Self> {
        let api = CudnnApi::load(opened)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` outlives the call; the context is current on this thread.
        let code = unsafe { (api.cudnnCreate)(&mut handle) };
        let cudnn = Self { api, handle: Mutex::new(SendHandle(handle)), context: context.clone() };
        cudnn.check(code, || "cudnnCreate".into())?;
        Ok(cudnn)
    }

    pub fn version(&self) -> String {
        // SAFETY: no operand.
        let version = unsafe { (self.api.cudnnGetVersion)() } as u32;
        format!("{}.{}", dotted(version, 10000, 100), version % 100)
    }

    /// Whether a backward plan clears the sums of dq itself.
    pub fn clears_sums(&self) -> bool {
        const SINCE: usize = 90600;
        // SAFETY: no operand.
        unsafe { (self.api.cudnnGetVersion)() >= SINCE }
    }

    pub fn check(&self, code: c_int, call: impl FnOnce() -> String) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let mut detail = [0u8; 512];
        // SAFETY: the first returns a constant string for every status; the second writes at most the given number of bytes.
        let name = unsafe {
            (self.api.cudnnGetLastErrorString)(detail.as_mut_ptr().cast(), detail.len());
            CStr::from_ptr((self.api.cudnnGetErrorString)(code)).to_string_lossy().into_owned()
        };
        let end = detail.iter().position(|&byte| byte == 0).unwrap_or(detail.len());
        let message = format!("{name} {}", String::from_utf8_lossy(&detail[..end]));
        Err(Error::Library { library: "cuDNN", call: call(), code, message: message.trim_end().into() })
    }
}

impl Drop for CudnnHandle {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            let handle = self.handle.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).0;
            // SAFETY: created once in `open`.
            unsafe { (self.api.cudnnDestroy)(handle) };
        }
    }
}
