//! Where this machine's CUDA libraries may lie, and the GPU behind a `--device` flag.

use clap::ValueEnum;
use std::path::{Path, PathBuf};
use tensor::cuda::{Error, Gpu, GpuConfig, LibraryKind, LibrarySearch};

/// Folders to look in first, as `PATH` lists them.
pub const SETTING: &str = "ROADSCRIBE_CUDA_PATH";

/// What runs the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// A GPU if one is usable, else the CPU
    #[default]
    Auto,
    /// The CPU
    Cpu,
    /// The GPU, or an error that says what is missing
    Gpu,
}

/// Where libraries are looked for: the setting, toolkits, and the `nvidia` folders of Python environments.
pub fn search() -> LibrarySearch {
    let listed = std::env::var_os(SETTING).unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folders.extend(["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|name| Some(named(name)?.join("lib64"))));
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| named(name));
    let usual = ["/usr/local", "/usr"].map(PathBuf::from);
    for root in environments.chain(usual) {
        folders.extend(wheel_folders(&root));
    }
    LibrarySearch { folders }
}

/// `lib/python3*/{site,dist}-packages/nvidia` below a Python environment.
fn wheel_folders(root: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_python = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python3"))
    };
    let mut versions: Vec<PathBuf> = versions.filter(is_python).collect();
    versions.sort();
    let both = |path: PathBuf| ["site-packages", "dist-packages"].map(|kind| path.join(kind).join("nvidia"));
    versions.into_iter().flat_map(both).filter(|path| path.is_dir()).collect()
}

/// Opens the first GPU, with compiled kernels kept in the user's cache folder.
///
/// # Errors
/// What is missing, in words.
pub fn open() -> Result<Gpu, Error> {
    Gpu::open(&GpuConfig { search: search(), ordinal: 0, kernel_cache: kernel_cache() })
}

/// The GPU that a choice means: none is the CPU.
///
/// # Errors
/// What is missing, if a GPU was asked for by name.
pub fn chosen(choice: DeviceChoice) -> Result<Option<Gpu>, Error> {
    match choice {
        DeviceChoice::Cpu => Ok(None),
        DeviceChoice::Gpu => open().map(Some),
        DeviceChoice::Auto => match open() {
            Ok(gpu) => Ok(Some(gpu)),
            Err(Error::NoGpu { .. }) => Ok(None),
            Err(Error::MissingLibrary { library, .. }) if library == LibraryKind::Driver.title() => Ok(None),
            Err(error) => {
                eprintln!("note: on the CPU, because the GPU cannot be used: {error}");
                Ok(None)
            }
        },
    }
}

fn kernel_cache() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?;
    let folder = cache.join("roadscribe/kernels");
    // A home that cannot be written to must not keep kernels from being compiled.
    std::fs::create_dir_all(&folder).ok().map(|()| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_are_found_below_an_environment() {
        let root = std::env::temp_dir().join(format!("roadscribe-wheels-{}", std::process::id()));
        let nvidia = root.join("lib/python3.12/site-packages/nvidia");
        std::fs::create_dir_all(&nvidia).unwrap();
        std::fs::create_dir_all(root.join("lib/pkgconfig")).unwrap();
        let found = wheel_folders(&root);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, [nvidia]);
        assert_eq!(wheel_folders(Path::new("/nowhere/at/all")), Vec::<PathBuf>::new());
    }
}
