//! Finding NVIDIA's libraries at run time, so that one binary serves machines with and without them.
//!
//! The search never reads the environment: the caller lists the folders (toolkits, pip's `nvidia-*` wheels), and they come before
//! the system loader's own search, so that a user's choice wins over what the distribution installed.

use std::fmt;
use std::path::{Path, PathBuf};

use libloading::Library;

use super::{Error, Result};

/// Where to look before the system loader is asked.
#[derive(Clone, Debug, Default)]
pub struct LibrarySearch {
    /// Folders, first choice first; a folder of wheels (`site-packages/nvidia`) is searched one level down in `*/lib`.
    pub folders: Vec<PathBuf>,
}

/// One of the libraries that the GPU side opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibraryKind {
    /// The driver.
    Driver,
    /// The run-time compiler.
    Nvrtc,
    /// Matrix products.
    CublasLt,
    /// Attention.
    Cudnn,
    /// Collectives.
    Nccl,
}

/// A library that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which one.
    pub kind: LibraryKind,
    /// The file, as far as the system tells.
    pub path: PathBuf,
    /// Its version in words, where it has one.
    pub version: Option<String>,
}

impl LibraryKind {
    /// All of them, in the order in which they are opened.
    pub const ALL: [Self; 5] = [Self::Driver, Self::Nvrtc, Self::CublasLt, Self::Cudnn, Self::Nccl];

    /// The file names to try, best first.
    pub(crate) fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Driver => &["libcuda.so.1", "libcuda.so"],
            Self::Nvrtc => &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
            Self::CublasLt => &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
            Self::Cudnn => &["libcudnn.so.9", "libcudnn.so"],
            Self::Nccl => &["libnccl.so.2", "libnccl.so"],
        }
    }

    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Driver => "the NVIDIA driver (libcuda)",
            Self::Nvrtc => "NVRTC (libnvrtc)",
            Self::CublasLt => "cuBLASLt (libcublasLt)",
            Self::Cudnn => "cuDNN 9 (libcudnn)",
            Self::Nccl => "NCCL (libnccl)",
        }
    }

    /// What to do when it is missing.
    pub fn install_hint(self) -> &'static str {
        match self {
            Self::Driver => "install NVIDIA's driver for this GPU (580 or newer for CUDA 13), or run on the CPU",
            Self::Nvrtc => "install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc` and name its folder",
            Self::CublasLt => "install the CUDA toolkit, or `pip install nvidia-cublas` and name its folder",
            Self::Cudnn => "install cuDNN 9, or `pip install nvidia-cudnn-cu13` and name its folder",
            Self::Nccl => "install NCCL, or `pip install nvidia-nccl-cu13` and name its folder (several GPUs only)",
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("version unknown");
        write!(f, "{}: {version}, {}", self.kind.title(), self.path.display())
    }
}

/// An open library; it stays open for the life of the process.
pub(crate) struct Opened {
    pub kind: LibraryKind,
    pub path: PathBuf,
    library: &'static Library,
}

impl Opened {
    /// Opens a library from the listed folders, else as the system loader finds it.
    ///
    /// # Errors
    /// [`Error::MissingLibrary`] with everything that was tried.
    pub fn open(kind: LibraryKind, search: &LibrarySearch) -> Result<Self> {
        let mut tried = Vec::new();
        for candidate in search.candidates(kind) {
            preload_builtins(kind, &candidate);
            // SAFETY: opening runs the library's initialisers; the files are NVIDIA's own, in folders that the user named or
            // where the system looks.
            match unsafe { Library::new(&candidate) } {
                Ok(library) => {
                    let path = loaded_path(&candidate).unwrap_or(candidate);
                    // Function pointers from it are kept as plain values, so it may never be closed.
                    return Ok(Self { kind, path, library: Box::leak(Box::new(library)) });
                }
                Err(_) => tried.push(candidate.display().to_string()),
            }
        }
        Err(Error::MissingLibrary { library: kind.title(), tried: tried.join(", "), install: kind.install_hint() })
    }

    /// A function by its exact name.
    ///
    /// # Errors
    /// [`Error::MissingFunction`].
    ///
    /// # Safety
    /// `F` must be the C type of that function.
    pub unsafe fn function<F: Copy>(&self, name: &'static str) -> Result<F> {
        // SAFETY: the caller vouches for the type; the library is never closed.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        symbol.map(|symbol| *symbol).map_err(|_| Error::MissingFunction {
            path: self.path.clone(),
            function: name,
            install: self.kind.install_hint(),
        })
    }
}

impl LibrarySearch {
    /// Full paths in the listed folders, then bare names for the system loader.
    fn candidates(&self, kind: LibraryKind) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for folder in &self.folders {
            for folder in with_wheel_folders(folder) {
                all.extend(kind.file_names().iter().map(|name| folder.join(name)).filter(|path| path.exists()));
            }
        }
        all.extend(kind.file_names().iter().map(PathBuf::from));
        all.extend(
            ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib", "/opt/cuda/lib64"]
                .iter()
                .flat_map(|folder| kind.file_names().iter().map(|name| Path::new(folder).join(name)))
                .filter(|path| path.exists()),
        );
        all
    }
}

/// NVRTC opens its `libnvrtc-builtins` by bare name, which the loader finds in a listed folder only if it is loaded already.
fn preload_builtins(kind: LibraryKind, candidate: &Path) {
    let (LibraryKind::Nvrtc, Some(folder)) = (kind, candidate.parent().filter(|folder| folder.is_absolute())) else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("libnvrtc-builtins.so.") {
            // SAFETY: as for the library itself. A failure shows when NVRTC compiles.
            if let Ok(library) = unsafe { Library::new(entry.path()) } {
                std::mem::forget(library);
            }
        }
    }
}

/// A folder itself, and `*/lib` below it (the layout of pip's `nvidia` folder).
fn with_wheel_folders(folder: &Path) -> Vec<PathBuf> {
    let below = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join("lib"));
    let mut below: Vec<PathBuf> = below.filter(|path| path.is_dir()).collect();
    // The order of a folder's entries is not fixed; that of a search must be.
    below.sort();
    [folder.to_path_buf()].into_iter().chain(below).collect()
}

/// The file behind a bare name, read off the process's own mappings.
fn loaded_path(candidate: &Path) -> Option<PathBuf> {
    if candidate.is_absolute() {
        return Some(candidate.to_path_buf());
    }
    let name = candidate.to_str()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths.filter(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with(name))).map(PathBuf::from).next()
}

/// Declares a table of C functions that is filled from an [`Opened`] library.
macro_rules! functions {
    ($(#[$doc:meta])* $table:ident { $($name:ident($($arg:ty),* $(,)?) -> $ret:ty;)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case)]
        pub(crate) struct $table {
            $(pub $name: unsafe extern "C" fn($($arg),*) -> $ret,)*
        }

        impl $table {
            /// Looks every function up.
            ///
            /// # Errors
            /// [`crate::cuda::Error::MissingFunction`].
            pub fn load(library: &$crate::cuda::library::Opened) -> $crate::cuda::Result<Self> {
                Ok(Self {
                    $(
                        // SAFETY: the type is that of NVIDIA's header for this name.
                        $name: unsafe { library.function(stringify!($name))? },
                    )*
                })
            }
        }
    };
}
pub(crate) use functions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_what_to_install() {
        let search = LibrarySearch { folders: vec![PathBuf::from("/nonexistent")] };
        if let Err(error) = Opened::open(LibraryKind::Cudnn, &search) {
            let text = error.to_string();
            assert!(text.contains("cuDNN") && text.contains("pip install"), "{text}");
        }
    }

    #[test]
    fn listed_folders_come_before_the_loader() {
        let folder = std::env::temp_dir().join(format!("tensor-libraries-{}", std::process::id()));
        let wheel = folder.join("cudnn").join("lib");
        std::fs::create_dir_all(&wheel).unwrap();
        std::fs::write(wheel.join("libcudnn.so.9"), b"").unwrap();
        let candidates = LibrarySearch { folders: vec![folder.clone()] }.candidates(LibraryKind::Cudnn);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(candidates[0], wheel.join("libcudnn.so.9"));
        assert_eq!(candidates[1], PathBuf::from("libcudnn.so.9"));
    }
}
