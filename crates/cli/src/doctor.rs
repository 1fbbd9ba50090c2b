//! `roadscribe doctor`: what this machine can run, and what is missing, in words.

use crate::Outcome;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use tensor::cuda::{Error, Found};

/// Flags of `roadscribe doctor`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
    /// Folder whose disk is looked at
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Where systems keep shared libraries, beside what `LD_LIBRARY_PATH` names.
const LIBRARY_DIRS: [&str; 12] = [
    "/usr/lib",
    "/usr/lib64",
    "/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
    "/opt/homebrew/lib",
];

/// libav libraries that the optional FFmpeg back-end would use.
const FFMPEG_LIBRARIES: [&str; 3] = ["libavformat", "libavcodec", "libavutil"];

/// Bytes a parameter takes when the model only runs: f32 weights, and a fifth for activations and the KV cache.
const BYTES_PER_PARAMETER_INFER: f64 = 4.0 * 1.2;
/// Bytes a parameter takes in training: f32 weights, gradients and two moments, and a quarter for activations.
const BYTES_PER_PARAMETER_TRAIN: f64 = 16.0 * 1.25;

/// Everything that was found; `None` is "could not be told".
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    os: &'static str,
    architecture: &'static str,
    cpu: Option<String>,
    cores: Option<usize>,
    cpu_features: Vec<&'static str>,
    memory_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    disk_dir: PathBuf,
    disk_available_bytes: Option<u64>,
    video_backends: Vec<&'static str>,
    ffmpeg_libraries: Vec<PathBuf>,
    cuda_driver_library: Option<PathBuf>,
    nvidia_driver: Option<String>,
    nvidia_gpus: Vec<String>,
    gpu_libraries: Vec<GpuLibrary>,
    gpu: Option<GpuFound>,
    gpu_engine: bool,
    infer_parameters_max: Option<u64>,
    train_parameters_max: Option<u64>,
}

/// A library that the GPU engine opens, and what the search for it gave.
#[derive(Debug, Serialize)]
struct GpuLibrary {
    kind: String,
    found: Option<PathBuf>,
    version: Option<String>,
    missing: Option<String>,
}

/// The first GPU, opened.
#[derive(Debug, Serialize)]
struct GpuFound {
    name: Option<String>,
    capability: Option<String>,
    memory_bytes: Option<u64>,
    memory_free_bytes: Option<u64>,
    /// Why the engine cannot use it.
    unusable: Option<String>,
}

/// Bytes a parameter takes in training on a GPU: bf16 weight and its low bits, f32 gradient and two moments, a tenth for activations.
const BYTES_PER_PARAMETER_GPU: f64 = 16.0 * 1.1;

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let report = Report::of_this_machine(&args.dir);
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        say!("{}", report.words().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn of_this_machine(dir: &Path) -> Self {
        let library_dirs = library_dirs();
        let available = memory_available_bytes();
        let (gpu_libraries, gpu) = gpu_side();
        let parameters = |bytes_each: f64| available.map(|bytes| (bytes as f64 / bytes_each) as u64);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            cpu_features: cpu_features(),
            memory_bytes: meminfo_bytes("MemTotal"),
            memory_available_bytes: available,
            disk_dir: dir.into(),
            disk_available_bytes: disk_available_bytes(dir),
            video_backends: if cfg!(feature = "ffmpeg") { vec!["ffmpeg", "pure"] } else { vec!["pure"] },
            ffmpeg_libraries: FFMPEG_LIBRARIES
                .iter()
                .filter_map(|name| find_library(&library_dirs, &format!("{name}.so")))
                .collect(),
            cuda_driver_library: find_library(&library_dirs, "libcuda.so"),
            nvidia_driver: nvidia_driver(),
            nvidia_gpus: nvidia_gpus(),
            gpu_engine: gpu.as_ref().is_some_and(|gpu| gpu.unusable.is_none()),
            gpu_libraries,
            gpu,
            infer_parameters_max: parameters(BYTES_PER_PARAMETER_INFER),
            train_parameters_max: parameters(BYTES_PER_PARAMETER_TRAIN),
        }
    }

    fn words(&self) -> String {
        let gib = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
            None => "unknown".into(),
        };
        let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".into());
        let rows = [
            ("roadscribe", format!("{} on {} {}", self.version, self.os, self.architecture)),
            ("cpu", format!("{}, {} cores", known(self.cpu.clone()), known(self.cores.map(|n| n.to_string())))),
            ("vector units", self.vector_words()),
            ("memory", format!("{}, {} available", gib(self.memory_bytes), gib(self.memory_available_bytes))),
            ("disk", format!("{} available at {}", gib(self.disk_available_bytes), self.disk_dir.display())),
            ("video", self.video_words()),
            ("gpu", self.gpu_words()),
            ("gpu libraries", self.gpu_library_words()),
            ("models", self.model_words()),
        ];
        rows.iter().map(|(what, words)| format!("{what:13} {words}\n")).collect()
    }

    fn vector_words(&self) -> String {
        match self.cpu_features.as_slice() {
            [] => "none that the kernels use: expect them to be slow".into(),
            features => features.join(", "),
        }
    }

    fn video_words(&self) -> String {
        let built = self.video_backends.join(", ");
        let found = match (self.video_backends.contains(&"ffmpeg"), self.ffmpeg_libraries.len()) {
            (true, _) => "FFmpeg decodes what it can open, pure the rest".to_owned(),
            (false, 0) => "pure decodes 8-bit H.264 and HEVC; FFmpeg's libraries are not on this machine".to_owned(),
            (false, _) => {
                "pure decodes 8-bit H.264 and HEVC; FFmpeg's libraries are here, this binary is built without them"
                    .to_owned()
            }
        };
        format!("built with: {built}. {found}")
    }

    fn gpu_words(&self) -> String {
        let driver = self.nvidia_driver.as_deref().unwrap_or("of unknown version");
        let found = match (self.nvidia_gpus.as_slice(), &self.cuda_driver_library) {
            ([], None) if self.gpu.is_none() => return "no NVIDIA driver found: everything runs on the CPU".to_owned(),
            ([], Some(library)) if self.gpu.is_none() => {
                format!("{} is here, but no GPU is visible.", library.display())
            }
            ([], _) => String::new(),
            (gpus, Some(_)) => format!("{}, driver {driver}.", gpus.join(", ")),
            (gpus, None) => {
                format!("{}, driver {driver}, but libcuda.so.1 is not in the usual places.", gpus.join(", "))
            }
        };
        match &self.gpu {
            None => format!("{found} Everything runs on the CPU."),
            Some(GpuFound { unusable: Some(why), .. }) => format!("{found} The GPU engine cannot run: {why}"),
            Some(gpu) => {
                let free = gpu.memory_free_bytes.unwrap_or(0);
                let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
                format!(
                    "{found} {} (compute capability {}), {:.1} of {:.1} GiB free: `train` uses it, up to about {:.1} B parameters",
                    gpu.name.as_deref().unwrap_or("a GPU"),
                    gpu.capability.as_deref().unwrap_or("unknown"),
                    gib(free),
                    gib(gpu.memory_bytes.unwrap_or(0)),
                    free as f64 / BYTES_PER_PARAMETER_GPU / 1e9
                )
            }
        }
        .trim()
        .to_owned()
    }

    fn gpu_library_words(&self) -> String {
        let words = |library: &GpuLibrary| match (&library.found, &library.missing) {
            (Some(path), _) => {
                let version = library.version.as_deref().map(|version| format!("{version}, ")).unwrap_or_default();
                format!("{}: {version}{}", library.kind, path.display())
            }
            (None, missing) => missing.clone().unwrap_or_default(),
        };
        let all: Vec<String> = self.gpu_libraries.iter().map(words).collect();
        match all.is_empty() {
            true => format!("not looked for without a driver; {} lists folders to look in first", crate::gpu::SETTING),
            false => all.join("; "),
        }
    }

    fn model_words(&self) -> String {
        let (Some(infer), Some(train)) = (self.infer_parameters_max, self.train_parameters_max) else {
            return "what fits cannot be told without the size of the memory".into();
        };
        let size = |parameters: u64| match parameters {
            0..1_000_000_000 => format!("{} M", parameters / 1_000_000),
            _ => format!("{:.1} B", parameters as f64 / 1e9),
        };
        format!(
            "in f32, a model of up to about {} parameters fits for captions, {} for fine-tuning; on a CPU only the debug size is quick",
            size(infer),
            size(train)
        )
    }
}

/// The libraries of the GPU engine and the first GPU; nothing without a driver.
fn gpu_side() -> (Vec<GpuLibrary>, Option<GpuFound>) {
    let survey = tensor::cuda::survey(&crate::gpu::search());
    let has_driver = survey.first().is_some_and(Result::is_ok);
    if !has_driver {
        return (Vec::new(), None);
    }
    let opened = crate::gpu::open();
    let versions = opened.as_ref().map(|gpu| gpu.libraries().to_vec()).unwrap_or_default();
    let library = |found: Result<Found, Error>| match found {
        Ok(found) => GpuLibrary {
            kind: found.kind.title().to_owned(),
            version: versions.iter().find(|own| own.kind == found.kind).and_then(|own| own.version.clone()),
            found: Some(found.path),
            missing: None,
        },
        Err(error) => GpuLibrary { kind: String::new(), found: None, version: None, missing: Some(error.to_string()) },
    };
    let libraries = survey.into_iter().map(library).collect();
    let gpu = match opened {
        Err(Error::NoGpu { .. }) => None,
        Err(error) => Some(GpuFound {
            name: None,
            capability: None,
            memory_bytes: None,
            memory_free_bytes: None,
            unusable: Some(error.to_string()),
        }),
        Ok(gpu) => {
            let (info, memory) = (gpu.info(), gpu.memory().ok());
            Some(GpuFound {
                name: Some(info.name.clone()),
                capability: Some(format!("{}.{}", info.capability.0, info.capability.1)),
                memory_bytes: memory.map(|(_, total)| total),
                memory_free_bytes: memory.map(|(free, _)| free),
                unusable: None,
            })
        }
    };
    (libraries, gpu)
}

/// What the matrix and video kernels choose between.
fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let detected = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("f16c", std::arch::is_x86_feature_detected!("f16c")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ];
        features.extend(detected.iter().filter(|(_, present)| *present).map(|(name, _)| *name));
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        features.push("neon");
    }
    features
}

/// Memory that can be used: what the system has to give, or less if a container limits it.
fn memory_available_bytes() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    let within_limit = limit.map(|limit| limit.saturating_sub(used));
    [meminfo_bytes("MemAvailable"), within_limit].into_iter().flatten().min()
}

fn meminfo_bytes(key: &str) -> Option<u64> {
    let kib: u64 = field("/proc/meminfo", key)?.split(' ').next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The value of the first line `key : value` of a file.
fn field(path: impl AsRef<Path>, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// Asks `df`: the standard library cannot tell.
fn disk_available_bytes(dir: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kib.checked_mul(1024)
}

fn library_dirs() -> Vec<PathBuf> {
    let from_environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    std::env::split_paths(&from_environment).chain(LIBRARY_DIRS.map(PathBuf::from)).collect()
}

/// The first file `name` or `name.N` in the folders; nothing is loaded.
fn find_library(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_it = |file: &str| file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    dirs.iter().find_map(|dir| {
        let names = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|file| is_it(file)).min().map(|file| dir.join(file))
    })
}

/// The version that the kernel module reports.
fn nvidia_driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

fn nvidia_gpus() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let mut gpus: Vec<String> =
        entries.filter_map(|entry| field(entry.ok()?.path().join("information"), "Model")).collect();
    gpus.sort();
    gpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_something_about_every_row_on_any_machine() {
        let report = Report::of_this_machine(Path::new("."));
        let words = report.words();
        assert_eq!(words.lines().count(), 9, "{words}");
        let json = serde_json::to_value(&report).unwrap();
        let usable = report.gpu.as_ref().is_some_and(|gpu| gpu.unusable.is_none());
        assert_eq!(json["gpu_engine"], usable);
        assert!(usable || words.contains("on the CPU") || words.contains("cannot run"), "{words}");
    }

    #[test]
    fn finds_libraries_by_name_and_version() {
        let dir = std::env::temp_dir().join(format!("roadscribe-doctor-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for file in ["libcuda.so.1", "libcudart.so.12", "libcuda.so.580.1"] {
            fs::write(dir.join(file), "").unwrap();
        }
        let found = find_library(&["/nowhere".into(), dir.clone()], "libcuda.so");
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, Some(dir.join("libcuda.so.1")));
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_disk() {
        assert_eq!(disk_available_bytes(Path::new("/nowhere/at/all")), None);
    }
}
