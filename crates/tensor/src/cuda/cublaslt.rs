//! The part of cuBLASLt's interface that is used, as `cublasLt.h` declares it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;

use super::device::{Context, dotted};
use super::driver::Handle;
use super::library::{Opened, functions};
use super::{Error, Result};

functions! {
    /// `libcublasLt`.
    CublasLtApi {
        cublasLtCreate(*mut Handle) -> c_int;
        cublasLtDestroy(Handle) -> c_int;
        cublasLtGetVersion() -> usize;
        cublasLtGetStatusString(c_int) -> *const c_char;
        cublasLtMatmulDescCreate(*mut Handle, c_int, c_int) -> c_int;
        cublasLtMatmulDescDestroy(Handle) -> c_int;
        cublasLtMatmulDescSetAttribute(Handle, c_int, *const c_void, usize) -> c_int;
        cublasLtMatrixLayoutCreate(*mut Handle, c_int, u64, u64, i64) -> c_int;
        cublasLtMatrixLayoutDestroy(Handle) -> c_int;
        cublasLtMatmulPreferenceCreate(*mut Handle) -> c_int;
        cublasLtMatmulPreferenceDestroy(Handle) -> c_int;
        cublasLtMatmulPreferenceSetAttribute(Handle, c_int, *const c_void, usize) -> c_int;
        cublasLtMatmulAlgoGetHeuristic(
            Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Heuristic, *mut c_int,
        ) -> c_int;
        cublasLtMatmul(
            Handle, Handle, *const c_void, u64, Handle, u64, Handle, *const c_void, u64, Handle, u64, Handle,
            *const Algorithm, u64, usize, Handle,
        ) -> c_int;
    }
}

/// `cublasLtMatmulAlgo_t`: opaque.
pub(crate) type Algorithm = [u64; 8];

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Heuristic {
    pub algorithm: Algorithm,
    pub workspace_bytes: usize,
    pub state: c_int,
    pub waves: f32,
    reserved: [c_int; 4],
}

/// Numbers of `cublasLt.h`, `library_types.h` and `cublas_api.h`.
pub(crate) mod number {
    pub const R_32F: i32 = 0;
    pub const R_16BF: i32 = 14;
    pub const COMPUTE_32F: i32 = 68;
    pub const DESC_TRANSA: i32 = 3;
    pub const DESC_TRANSB: i32 = 4;
    pub const DESC_EPILOGUE: i32 = 7;
    pub const DESC_BIAS_POINTER: i32 = 8;
    pub const DESC_AUX_POINTER: i32 = 11;
    pub const DESC_AUX_LD: i32 = 12;
    pub const DESC_AUX_TYPE: i32 = 22;
    pub const DESC_BIAS_TYPE: i32 = 26;
    pub const PREF_WORKSPACE_BYTES: i32 = 1;
    pub const EPILOGUE_DEFAULT: u32 = 1;
    pub const EPILOGUE_BIAS: u32 = 4;
    pub const EPILOGUE_GELU_AUX_BIAS: u32 = 32 | 128 | 4;
    pub const EPILOGUE_DGELU: u32 = 64 | 128;
    pub const EPILOGUE_DGELU_BGRAD: u32 = 64 | 128 | 16;
    pub const EPILOGUE_BGRADB: u32 = 512;
}

/// The library with a handle of one GPU.
pub(crate) struct CublasLt {
    pub api: CublasLtApi,
    pub handle: Handle,
    pub context: Arc<Context>,
}

// SAFETY: the library may be called from any thread with one handle; the handle is a plain address.
unsafe impl Send for CublasLt {}
// SAFETY: as above.
unsafe impl Sync for CublasLt {}

impl CublasLt {
    pub fn open(opened: &Opened, context: Arc<Context>) -> Result<Self> {
        let api = CublasLtApi::load(opened)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` outlives the call; the context is current on this thread.
        let code = unsafe { (api.cublasLtCreate)(&mut handle) };
        let lt = Self { api, handle, context };
        lt.check(code, || "cublasLtCreate".into())?;
        Ok(lt)
    }

    pub fn version(&self) -> String {
        // SAFETY: no operand.
        dotted(unsafe { (self.api.cublasLtGetVersion)() } as u32, 10000, 100)
    }

    pub fn check(&self, code: c_int, call: impl FnOnce() -> String) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a constant string for every status.
        let message = unsafe { CStr::from_ptr((self.api.cublasLtGetStatusString)(code)) };
        Err(Error::Library { library: "cuBLASLt", call: call(), code, message: message.to_string_lossy().into_owned() })
    }

    /// Sets one attribute of a product's description.
    pub fn set<T: Copy>(&self, desc: &Desc<'_>, attribute: c_int, value: T) -> Result<()> {
        let set = self.api.cublasLtMatmulDescSetAttribute;
        // SAFETY: `value` outlives the call and its size is given.
        let code = unsafe { set(desc.handle, attribute, std::ptr::from_ref(&value).cast(), size_of::<T>()) };
        self.check(code, || format!("cublasLtMatmulDescSetAttribute {attribute}"))
    }

    pub fn desc(&self) -> Result<Desc<'_>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` outlives the call.
        let code = unsafe { (self.api.cublasLtMatmulDescCreate)(&mut handle, number::COMPUTE_32F, number::R_32F) };
        self.check(code, || "cublasLtMatmulDescCreate".into())?;
        Ok(Desc { handle, destroy: self.api.cublasLtMatmulDescDestroy, library: self })
    }

    /// A column-major matrix.
    pub fn layout(&self, kind: c_int, rows: usize, cols: usize, ld: usize) -> Result<Desc<'_>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` outlives the call.
        let code =
            unsafe { (self.api.cublasLtMatrixLayoutCreate)(&mut handle, kind, rows as u64, cols as u64, ld as i64) };
        self.check(code, || "cublasLtMatrixLayoutCreate".into())?;
        Ok(Desc { handle, destroy: self.api.cublasLtMatrixLayoutDestroy, library: self })
    }

    pub fn preference(&self, workspace_bytes: usize) -> Result<Desc<'_>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` outlives the calls; `workspace_bytes` too, and its size is given.
        unsafe {
            let code = (self.api.cublasLtMatmulPreferenceCreate)(&mut handle);
            self.check(code, || "cublasLtMatmulPreferenceCreate".into())?;
            let desc = Desc { handle, destroy: self.api.cublasLtMatmulPreferenceDestroy, library: self };
            let value = std::ptr::from_ref(&workspace_bytes).cast();
            let set = self.api.cublasLtMatmulPreferenceSetAttribute;
            let code = set(handle, number::PREF_WORKSPACE_BYTES, value, size_of::<usize>());
            self.check(code, || "cublasLtMatmulPreferenceSetAttribute".into())?;
            Ok(desc)
        }
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: created once in `open`.
            unsafe { (self.api.cublasLtDestroy)(self.handle) };
        }
    }
}

/// A description of a product, a matrix or a preference, destroyed with its owner.
pub(crate) struct Desc<'a> {
    pub handle: Handle,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
    #[allow(dead_code, reason = "keeps the library open for `destroy`")]
    library: &'a CublasLt,
}

impl Drop for Desc<'_> {
    fn drop(&mut self) {
        // SAFETY: created once by the function that `destroy` belongs to.
        unsafe { (self.destroy)(self.handle) };
    }
}
