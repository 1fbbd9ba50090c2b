//! Own kernels: `.cu` text compiled on first use, cached on disk by hash, launched with typed arguments.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::columns::{Columns, ColumnsMut};
use super::device::Context;
use super::driver::Handle;
use super::memory::{Element, View, ViewMut};
use super::nvrtc::NvrtcApi;
use super::{Error, Result, Stream};

/// A `.cu` file in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// Its name, for errors and cache files.
    pub file: &'static str,
    /// Its text, to be put behind [`PRELUDE`].
    pub text: &'static str,
}

/// What every kernel file may use.
const PRELUDE: &str = include_str!("kernels/bf16.cuh");

/// Compiled kernels of one GPU.
pub(crate) struct KernelCache {
    context: Arc<Context>,
    nvrtc: NvrtcApi,
    arch: String,
    folder: Option<PathBuf>,
    modules: Mutex<HashMap<&'static str, Module>>,
}

/// A loaded module and the kernels looked up in it; both live as long as the GPU's context.
struct Module {
    handle: Handle,
    functions: HashMap<&'static str, Handle>,
}

// SAFETY: handles are plain addresses that the driver guards; the map is behind a mutex.
unsafe impl Send for KernelCache {}
// SAFETY: as above.
unsafe impl Sync for KernelCache {}

/// Shape of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Blocks along x, y, z.
    pub blocks: [usize; 3],
    /// Threads of a block.
    pub threads: usize,
}

impl Grid {
    /// `blocks` along x.
    pub fn line(blocks: usize, threads: usize) -> Self {
        Self { blocks: [blocks, 1, 1], threads }
    }
}

/// Arguments of a launch, by value, in the order of the kernel's parameters.
#[derive(Default)]
pub(crate) struct Args {
    /// Each argument in its own 8 bytes, little-endian: the driver reads as many as the parameter has.
    words: Vec<u64>,
}

impl Args {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn read<T: Element>(mut self, view: View<'_, T>) -> Self {
        self.words.push(view.ptr);
        self
    }

    pub fn write<T: Element>(mut self, view: &ViewMut<'_, T>) -> Self {
        self.words.push(view.ptr);
        self
    }

    /// A pointer that may be null.
    pub fn read_option<T: Element>(mut self, view: Option<View<'_, T>>) -> Self {
        self.words.push(view.map_or(0, |view| view.ptr));
        self
    }

    /// Address and row stride of a block of columns.
    pub fn columns(mut self, columns: Columns<'_>) -> Self {
        self.words.extend([columns.ptr, columns.stride as u64]);
        self
    }

    /// As [`Args::columns`].
    pub fn columns_mut(mut self, columns: &ColumnsMut<'_>) -> Self {
        self.words.extend([columns.ptr, columns.stride as u64]);
        self
    }

    pub fn int(mut self, value: usize) -> Self {
        self.words.push(value as u64);
        self
    }

    /// A 64-bit pattern.
    pub fn word(mut self, value: u64) -> Self {
        self.words.push(value);
        self
    }

    pub fn double(mut self, value: f64) -> Self {
        self.words.push(value.to_bits());
        self
    }

    pub fn float(mut self, value: f32) -> Self {
        self.words.push(u64::from(value.to_bits()));
        self
    }
}

impl KernelCache {
    pub fn new(context: Arc<Context>, nvrtc: NvrtcApi, capability: (u32, u32), folder: Option<PathBuf>) -> Self {
        let arch = format!("sm_{}{}", capability.0, capability.1);
        Self { context, nvrtc, arch, folder, modules: Mutex::default() }
    }

    /// Puts a kernel on a stream.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Cache`], [`Error::Driver`].
    ///
    /// # Safety
    /// The arguments must be those of the kernel's declaration, every pointer must cover what the kernel touches, and integers
    /// must fit in the declared width.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        source: Source,
        name: &'static str,
        grid: Grid,
        args: Args,
    ) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        self.context.bind()?;
        let function = self.function(source, name)?;
        let mut words = args.words;
        let mut pointers: Vec<*mut c_void> = words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let [x, y, z] = grid.blocks.map(|count| count as u32);
        let none = std::ptr::null_mut();
        // SAFETY: the driver copies the arguments during the call; the caller vouches for them.
        let code = unsafe {
            let launch = self.context.driver.cuLaunchKernel;
            launch(function, x, y, z, grid.threads as u32, 1, 1, 0, stream.handle, pointers.as_mut_ptr(), none)
        };
        self.context.driver.check("cuLaunchKernel", code)
    }

    fn function(&self, source: Source, name: &'static str) -> Result<Handle> {
        // A panic elsewhere leaves the map whole: entries are inserted complete.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = &self.context.driver;
        if !modules.contains_key(source.file) {
            let code = self.machine_code(source)?;
            let mut handle = std::ptr::null_mut();
            // SAFETY: `code` is a whole cubin; the driver copies it.
            driver
                .check("cuModuleLoadData", unsafe { (driver.cuModuleLoadData)(&mut handle, code.as_ptr().cast()) })?;
            modules.insert(source.file, Module { handle, functions: HashMap::new() });
        }
        let Some(module) = modules.get_mut(source.file) else {
            return Err(Error::argument("kernel", "the module map lost an entry"));
        };
        if let Some(&function) = module.functions.get(name) {
            return Ok(function);
        }
        let mut function = std::ptr::null_mut();
        let text = CString::new(name).map_err(|_| Error::argument("kernel", "a zero byte in a name"))?;
        // SAFETY: the module is loaded and `text` ends in zero.
        let code = unsafe { (driver.cuModuleGetFunction)(&mut function, module.handle, text.as_ptr()) };
        driver.check("cuModuleGetFunction", code)?;
        module.functions.insert(name, function);
        Ok(function)
    }

    /// From the cache folder if the same text was compiled for the same GPU by the same compiler before.
    fn machine_code(&self, source: Source) -> Result<Vec<u8>> {
        let text = format!("{PRELUDE}\n{}", source.text);
        let options = options(&self.arch);
        let version = self.nvrtc.version().unwrap_or_default();
        let Some(folder) = &self.folder else {
            return self.nvrtc.compile(source.file, &text, &options);
        };
        let key = blake3::hash(format!("{version}\n{}\n{text}", options.join(" ")).as_bytes());
        let path =
            folder.join(format!("{}-{}-{}.cubin", source.file.trim_end_matches(".cu"), self.arch, &key.to_hex()[..32]));
        if let Some(code) = read_checked(&path) {
            return Ok(code);
        }
        let code = self.nvrtc.compile(source.file, &text, &options)?;
        write_checked(&path, &code).map_err(|source| Error::Cache { path: path.clone(), source })?;
        Ok(code)
    }
}

fn options(arch: &str) -> Vec<String> {
    vec![format!("--gpu-architecture={arch}"), "--std=c++17".into(), "-default-device".into()]
}

/// A cached file is its code behind the hash of that code, so that a file cut short is compiled again.
fn read_checked(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let (hash, code) = bytes.split_at_checked(32)?;
    (blake3::hash(code).as_bytes() == hash).then(|| code.to_vec())
}

fn write_checked(path: &Path, code: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Two processes may compile at once: each writes its own file and the rename is atomic.
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, [blake3::hash(code).as_bytes(), code].concat())?;
    std::fs::rename(&temporary, path)
}

impl Drop for KernelCache {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            for module in self.modules.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
                // SAFETY: loaded once; the functions in it go with it.
                unsafe { (self.context.driver.cuModuleUnload)(module.handle) };
            }
        }
    }
}

/// Compiles every kernel file for `arch` (for instance `sm_80`) without a GPU: a check for machines that have only NVRTC.
///
/// # Errors
/// [`Error::MissingLibrary`] without NVRTC, else the first [`Error::Compile`].
pub fn compile_all(search: &super::LibrarySearch, arch: &str) -> Result<Vec<(&'static str, usize)>> {
    let nvrtc = NvrtcApi::load(&super::library::Opened::open(super::LibraryKind::Nvrtc, search)?)?;
    let compile = |source: &Source| {
        let text = format!("{PRELUDE}\n{}", source.text);
        nvrtc.compile(source.file, &text, &options(arch)).map(|code| (source.file, code.len()))
    };
    super::ops::SOURCES.iter().map(compile).collect()
}
