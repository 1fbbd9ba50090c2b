//! The part of the driver's interface that is used, as `cuda.h` declares it, and its errors.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::library::functions;
use super::{Error, Result};

/// Address on the GPU.
pub(crate) type DevicePtr = u64;
/// `CUcontext`, `CUstream`, `CUevent`, `CUmodule`, `CUfunction`, `CUgraph`, `CUgraphExec`.
pub(crate) type Handle = *mut c_void;

functions! {
    /// `libcuda`.
    DriverApi {
        cuInit(c_uint) -> c_int;
        cuDriverGetVersion(*mut c_int) -> c_int;
        cuDeviceGetCount(*mut c_int) -> c_int;
        cuDeviceGet(*mut c_int, c_int) -> c_int;
        cuDeviceGetName(*mut c_char, c_int, c_int) -> c_int;
        cuDeviceGetAttribute(*mut c_int, c_int, c_int) -> c_int;
        cuDevicePrimaryCtxRetain(*mut Handle, c_int) -> c_int;
        cuDevicePrimaryCtxRelease_v2(c_int) -> c_int;
        cuCtxSetCurrent(Handle) -> c_int;
        cuCtxSynchronize() -> c_int;
        cuMemGetInfo_v2(*mut usize, *mut usize) -> c_int;
        cuMemAlloc_v2(*mut DevicePtr, usize) -> c_int;
        cuMemFree_v2(DevicePtr) -> c_int;
        cuMemHostAlloc(*mut *mut c_void, usize, c_uint) -> c_int;
        cuMemFreeHost(*mut c_void) -> c_int;
        cuMemcpyHtoDAsync_v2(DevicePtr, *const c_void, usize, Handle) -> c_int;
        cuMemcpyDtoHAsync_v2(*mut c_void, DevicePtr, usize, Handle) -> c_int;
        cuMemcpyDtoDAsync_v2(DevicePtr, DevicePtr, usize, Handle) -> c_int;
        cuMemsetD8Async(DevicePtr, u8, usize, Handle) -> c_int;
        cuStreamCreateWithPriority(*mut Handle, c_uint, c_int) -> c_int;
        cuStreamDestroy_v2(Handle) -> c_int;
        cuStreamSynchronize(Handle) -> c_int;
        cuStreamWaitEvent(Handle, Handle, c_uint) -> c_int;
        cuStreamBeginCapture_v2(Handle, c_int) -> c_int;
        cuStreamEndCapture(Handle, *mut Handle) -> c_int;
        cuGraphInstantiateWithFlags(*mut Handle, Handle, u64) -> c_int;
        cuGraphLaunch(Handle, Handle) -> c_int;
        cuGraphDestroy(Handle) -> c_int;
        cuGraphExecDestroy(Handle) -> c_int;
        cuEventCreate(*mut Handle, c_uint) -> c_int;
        cuEventDestroy_v2(Handle) -> c_int;
        cuEventRecord(Handle, Handle) -> c_int;
        cuEventSynchronize(Handle) -> c_int;
        cuEventElapsedTime(*mut f32, Handle, Handle) -> c_int;
        cuModuleLoadData(*mut Handle, *const c_void) -> c_int;
        cuModuleUnload(Handle) -> c_int;
        cuModuleGetFunction(*mut Handle, Handle, *const c_char) -> c_int;
        cuLaunchKernel(
            Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void,
        ) -> c_int;
        cuGetErrorName(c_int, *mut *const c_char) -> c_int;
        cuGetErrorString(c_int, *mut *const c_char) -> c_int;
    }
}

/// `CU_DEVICE_ATTRIBUTE_*` numbers.
pub(crate) mod attribute {
    pub const MULTIPROCESSOR_COUNT: i32 = 16;
    pub const L2_CACHE_BYTES: i32 = 38;
    pub const COMPUTE_CAPABILITY_MAJOR: i32 = 75;
    pub const COMPUTE_CAPABILITY_MINOR: i32 = 76;
}

/// `CUDA_ERROR_OUT_OF_MEMORY`.
pub(crate) const OUT_OF_MEMORY: i32 = 2;

impl DriverApi {
    /// Turns a status into a result, with what is to be done about it where there is something.
    pub fn check(&self, call: &'static str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let text = |get: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int| {
            let mut text: *const c_char = std::ptr::null();
            // SAFETY: the driver stores a pointer to a constant string, or null for an unknown code.
            unsafe {
                get(code, &mut text);
                if text.is_null() {
                    String::from("unknown")
                } else {
                    CStr::from_ptr(text).to_string_lossy().into_owned()
                }
            }
        };
        let mut message = text(self.cuGetErrorString);
        if let Some(advice) = advice(code) {
            message = format!("{message}; {advice}");
        }
        Err(Error::Driver { call, code, name: text(self.cuGetErrorName), message })
    }
}

/// The way out of the faults that a user meets.
fn advice(code: c_int) -> Option<&'static str> {
    Some(match code {
        35 | 803 => "the driver is older than the CUDA libraries: update the driver",
        100 => "the driver sees no GPU: check `nvidia-smi`",
        46 => "another process holds the GPU in exclusive mode",
        214 | 720 => {
            "the GPU reported an uncorrectable memory error: the process must end and the GPU be checked; saved state is valid"
        }
        700 | 715 | 716 | 717 | 718 | 719 => {
            "a kernel faulted and the GPU's state of this process is lost: restart from the last checkpoint, and report this"
        }
        209 => "a kernel was compiled for another GPU: empty the kernel cache folder",
        _ => return None,
    })
}
