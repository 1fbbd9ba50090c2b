//! Checks the GPU executor of Qwen3-VL against the CPU: losses, logits, every gradient, remat, equal bits, ten optimizer steps.
//!
//! `gpu_model_check [--lib-dir DIR]... [--cache DIR] [--golden DIR] [--only WORD]...`. Never stops at the first failure; the last line is
//! `N passed, M failed, K skipped`, the exit status 1 if anything failed, 2 without a GPU.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a developer's tool")]

mod cases;
mod checks;
mod compare;

use std::path::PathBuf;

use cases::Case;
use checks::Checks;
use compare::On;
use tensor::cuda::{Gpu, GpuConfig, LibrarySearch, survey};

struct Options {
    search: LibrarySearch,
    cache: Option<PathBuf>,
    golden: PathBuf,
    only: Vec<String>,
}

fn options() -> Options {
    let mut o = Options {
        search: LibrarySearch::default(),
        cache: None,
        golden: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/models"),
        only: vec![],
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--lib-dir" => o.search.folders.push(value().into()),
            "--cache" => o.cache = Some(value().into()),
            "--golden" => o.golden = value().into(),
            "--only" => o.only.push(value()),
            _ => panic!("unknown argument {arg}"),
        }
    }
    o
}

/// What is done with a case.
type Check = fn(&mut Checks, &On, &Case) -> Result<(), models::Error>;

fn main() {
    let o = options();
    for found in survey(&o.search) {
        match found {
            Ok(found) => println!("found {found}"),
            Err(error) => println!("missing {error}"),
        }
    }
    let gpu = match Gpu::open(&GpuConfig { search: o.search.clone(), ordinal: 0, kernel_cache: o.cache.clone() }) {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("no GPU: {error}");
            std::process::exit(2);
        }
    };
    println!("{:?}", gpu.info());
    gpu.libraries().iter().for_each(|library| println!("using {library}"));
    let on = On::new(gpu).expect("a workspace for products");
    let mut c = Checks::default();
    let all: [(&str, Check); 9] = [
        ("gradients", compare::gradients),
        ("micro-batches", compare::micro_batches),
        ("text after video", compare::text_after_video),
        ("loss alone", compare::loss_alone),
        ("master", compare::master),
        ("frames", compare::frames),
        ("equal bits", compare::equal_bits),
        ("remat", compare::remat),
        ("steps", compare::steps),
    ];
    for case in cases::all() {
        for (what, check) in all {
            let name = format!("{} / {what}", case.name);
            let wanted = o.only.is_empty() || o.only.iter().any(|word| name.contains(word.as_str()));
            if wanted && case.wants(what) {
                println!("== {name}");
                c.attempt(&name, |c| check(c, &on, &case));
            }
        }
    }
    println!("== golden models of {}", o.golden.display());
    compare::golden(&mut c, &on, &o.golden);
    c.finish();
}
