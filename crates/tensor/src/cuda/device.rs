//! One GPU: its context, its libraries, its streams.

use std::ffi::c_int;
use std::sync::Arc;

use super::cublaslt::CublasLt;
use super::cudnn::CudnnHandle;
use super::driver::{DriverApi, Handle, OUT_OF_MEMORY, attribute};
use super::kernel::KernelCache;
use super::library::Opened;
use super::nvrtc::NvrtcApi;
use super::{Error, Found, LibraryKind, LibrarySearch, Result};

/// What the driver says about a GPU.
#[derive(Clone, Debug)]
pub struct GpuInfo {
    /// Its name.
    pub name: String,
    /// Compute capability, for instance `(9, 0)`.
    pub capability: (u32, u32),
    /// Number of multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of second-level cache.
    pub l2_bytes: u64,
    /// Bytes of memory.
    pub total_bytes: u64,
    /// Newest CUDA that the driver can run, for instance `13000`.
    pub driver_cuda: u32,
}

/// How a GPU is opened.
#[derive(Clone, Debug, Default)]
pub struct GpuConfig {
    /// Where to look for libraries.
    pub search: LibrarySearch,
    /// Number of the GPU, as `nvidia-smi` counts.
    pub ordinal: usize,
    /// Folder of compiled kernels; none means that every process compiles its own.
    pub kernel_cache: Option<std::path::PathBuf>,
}

/// The driver with a GPU's context: what owns memory, streams and modules. Shared by everything on that GPU.
pub(crate) struct Context {
    pub driver: DriverApi,
    pub context: Handle,
    device: c_int,
}

// SAFETY: the driver's functions may be called from any thread; the handles are plain addresses that it guards itself.
unsafe impl Send for Context {}
// SAFETY: as above; no field is changed after construction.
unsafe impl Sync for Context {}

/// An opened GPU. Cheap to clone.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) context: Arc<Context>,
    pub(crate) cublaslt: Arc<CublasLt>,
    pub(crate) cudnn: Arc<CudnnHandle>,
    pub(crate) kernels: Arc<KernelCache>,
    info: Arc<GpuInfo>,
    found: Arc<Vec<Found>>,
}

impl Context {
    fn open(opened: &Opened, ordinal: usize) -> Result<Self> {
        let driver = DriverApi::load(opened)?;
        // SAFETY: plain calls of the driver with out-pointers to locals that live through them.
        unsafe {
            driver.check("cuInit", (driver.cuInit)(0))?;
            let (mut count, mut device, mut context) = (0, 0, std::ptr::null_mut());
            driver.check("cuDeviceGetCount", (driver.cuDeviceGetCount)(&mut count))?;
            if ordinal >= count as usize {
                return Err(Error::NoGpu { ordinal, count: count as usize });
            }
            driver.check("cuDeviceGet", (driver.cuDeviceGet)(&mut device, ordinal as c_int))?;
            driver.check("cuDevicePrimaryCtxRetain", (driver.cuDevicePrimaryCtxRetain)(&mut context, device))?;
            driver.check("cuCtxSetCurrent", (driver.cuCtxSetCurrent)(context))?;
            Ok(Self { driver, context, device })
        }
    }

    /// Makes the context current on this thread; every call that reaches the driver begins with it.
    pub fn bind(&self) -> Result<()> {
        // SAFETY: the context lives as long as `self`.
        self.driver.check("cuCtxSetCurrent", unsafe { (self.driver.cuCtxSetCurrent)(self.context) })
    }

    fn attribute(&self, number: i32) -> Result<i32> {
        let mut value = 0;
        // SAFETY: `value` outlives the call.
        let code = unsafe { (self.driver.cuDeviceGetAttribute)(&mut value, number, self.device) };
        self.driver.check("cuDeviceGetAttribute", code).map(|()| value)
    }

    /// Free and total bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both outlive the call.
        let code = unsafe { (self.driver.cuMemGetInfo_v2)(&mut free, &mut total) };
        self.driver.check("cuMemGetInfo", code).map(|()| (free as u64, total as u64))
    }

    /// Turns a refused allocation into an error that says how much is free.
    pub fn check_allocation(&self, code: c_int, what: &str, asked: usize) -> Result<()> {
        if code != OUT_OF_MEMORY {
            return self.driver.check("cuMemAlloc", code);
        }
        let (free, total) = self.memory()?;
        let advice = "lower the batch, turn remat up, or free the GPU of other processes".into();
        Err(Error::OutOfMemory { what: what.into(), asked: asked as u64, free, total, advice })
    }

    fn info(&self) -> Result<GpuInfo> {
        let mut name = [0u8; 128];
        let mut version = 0;
        // SAFETY: the driver writes at most the given number of bytes, with a final zero.
        unsafe {
            let code = (self.driver.cuDeviceGetName)(name.as_mut_ptr().cast(), name.len() as c_int, self.device);
            self.driver.check("cuDeviceGetName", code)?;
            self.driver.check("cuDriverGetVersion", (self.driver.cuDriverGetVersion)(&mut version))?;
        }
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let major = self.attribute(attribute::COMPUTE_CAPABILITY_MAJOR)? as u32;
        Ok(GpuInfo {
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            capability: (major, self.attribute(attribute::COMPUTE_CAPABILITY_MINOR)? as u32),
            multiprocessors: self.attribute(attribute::MULTIPROCESSOR_COUNT)? as u32,
            l2_bytes: self.attribute(attribute::L2_CACHE_BYTES)? as u64,
            total_bytes: self.memory()?.1,
            driver_cuda: version as u32,
        })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once in `open`. A failure at this point has nobody left to hear it.
        unsafe { (self.driver.cuDevicePrimaryCtxRelease_v2)(self.device) };
    }
}

impl Gpu {
    /// Opens the driver, the libraries and one GPU.
    ///
    /// # Errors
    /// [`Error::MissingLibrary`] or [`Error::MissingFunction`] for what is not installed, [`Error::NoGpu`], [`Error::TooOld`] below
    /// compute capability 8.0, [`Error::Driver`] for what the driver refuses.
    pub fn open(config: &GpuConfig) -> Result<Self> {
        let open = |kind| Opened::open(kind, &config.search);
        let driver = open(LibraryKind::Driver)?;
        let context = Arc::new(Context::open(&driver, config.ordinal)?);
        let info = context.info()?;
        let (major, minor) = info.capability;
        if major < 8 {
            return Err(Error::TooOld { name: info.name, major, minor });
        }
        // cuDNN opens NVRTC by its bare name; once the listed one is in the process, that is the one it gets.
        let (nvrtc, cublaslt, cudnn) =
            (open(LibraryKind::Nvrtc)?, open(LibraryKind::CublasLt)?, open(LibraryKind::Cudnn)?);
        let nvrtc_api = NvrtcApi::load(&nvrtc)?;
        let nvrtc_version = nvrtc_api.version();
        let kernels = KernelCache::new(context.clone(), nvrtc_api, info.capability, config.kernel_cache.clone());
        let cublaslt_handle = CublasLt::open(&cublaslt, context.clone())?;
        let cudnn_handle = CudnnHandle::open(&cudnn, &context)?;
        let found = vec![
            found(driver, Some(format!("CUDA {}", dotted(info.driver_cuda, 1000, 10)))),
            found(nvrtc, nvrtc_version),
            found(cublaslt, Some(cublaslt_handle.version())),
            found(cudnn, Some(cudnn_handle.version())),
        ];
        Ok(Self {
            context,
            cublaslt: Arc::new(cublaslt_handle),
            cudnn: Arc::new(cudnn_handle),
            kernels: Arc::new(kernels),
            info: Arc::new(info),
            found: Arc::new(found),
        })
    }

    /// What the driver says about it.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// The libraries in use.
    pub fn libraries(&self) -> &[Found] {
        &self.found
    }

    /// Free and total bytes of its memory.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.context.memory()
    }

    /// Waits until everything on it is done, and reports what went wrong since the last wait.
    ///
    /// # Errors
    /// [`Error::Driver`] with the first fault of any kernel.
    pub fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: no operand.
        self.context.driver.check("cuCtxSynchronize", unsafe { (self.context.driver.cuCtxSynchronize)() })
    }
}

fn found(opened: Opened, version: Option<String>) -> Found {
    Found { kind: opened.kind, path: opened.path, version }
}

/// `13000` as `13.0`.
pub(crate) fn dotted(version: u32, major: u32, minor: u32) -> String {
    format!("{}.{}", version / major, version % major / minor)
}

/// What of the GPU's libraries this machine has, without touching a GPU: for `doctor`.
pub fn survey(search: &LibrarySearch) -> Vec<Result<Found>> {
    LibraryKind::ALL.into_iter().map(|kind| Opened::open(kind, search).map(|opened| found(opened, None))).collect()
}
