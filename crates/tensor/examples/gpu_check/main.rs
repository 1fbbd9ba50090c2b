//! Checks every GPU op against its CPU reference over odd sizes and several seeds, then times the shapes of training.
//!
//! `gpu_check [--lib-dir DIR]... [--cache DIR] [--only PART]... [--no-bench]`. Never stops at the first failure; the exit status is
//! 1 if anything failed. Without a GPU: `gpu_check --compile sm_90 [--lib-dir DIR]...` compiles all kernels for an architecture.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a developer's tool")]

mod attention;
mod block;
mod block_reference;
mod gemm;
mod harness;
mod norms;
mod optimizer;
mod pointwise;
mod rotary;
mod vit;

use std::path::PathBuf;

use harness::Harness;
use tensor::cuda::{Gpu, GpuConfig, LibrarySearch, compile_all, survey};

/// Checks, then (if told to) rates.
type Part = fn(&mut Harness, bool);

struct Options {
    search: LibrarySearch,
    cache: Option<PathBuf>,
    only: Vec<String>,
    bench: bool,
    compile: Vec<String>,
}

fn options() -> Options {
    let mut o = Options { search: LibrarySearch::default(), cache: None, only: vec![], bench: true, compile: vec![] };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--lib-dir" => o.search.folders.push(value().into()),
            "--cache" => o.cache = Some(value().into()),
            "--only" => o.only.push(value()),
            "--compile" => o.compile.push(value()),
            "--no-bench" => o.bench = false,
            _ => panic!("unknown argument {arg}"),
        }
    }
    o
}

fn main() {
    let o = options();
    if !o.compile.is_empty() {
        for arch in &o.compile {
            match compile_all(&o.search, arch) {
                Ok(files) => println!("{arch}: {files:?}"),
                Err(error) => println!("{arch}: FAILED: {error}"),
            }
        }
        return;
    }
    for found in survey(&o.search) {
        match found {
            Ok(found) => println!("found {found}"),
            Err(error) => println!("missing {error}"),
        }
    }
    let config = GpuConfig { search: o.search.clone(), ordinal: 0, kernel_cache: o.cache.clone() };
    let gpu = match Gpu::open(&config) {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("no GPU: {error}");
            std::process::exit(2);
        }
    };
    println!("{:?}", gpu.info());
    gpu.libraries().iter().for_each(|library| println!("using {library}"));
    let mut h = Harness::new(gpu).expect("a stream");
    let parts: [(&str, Part); 8] = [
        ("norms", norms::run),
        ("rotary", rotary::run),
        ("pointwise", pointwise::run),
        ("optimizer", optimizer::run),
        ("attention", attention::run),
        ("gemm", gemm::run),
        ("block", block::run),
        ("vit", vit::run),
    ];
    for (name, part) in parts {
        if o.only.is_empty() || o.only.iter().any(|only| only == name) {
            println!("== {name}");
            part(&mut h, o.bench);
        }
    }
    h.finish();
}
