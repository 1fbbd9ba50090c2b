//! Tests of the crate `video` from outside.

// Helpers outside of test functions may fail and print like the tests themselves.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod containers;
mod damage;
mod encode;
mod fixtures;
mod golden;

use std::path::{Path, PathBuf};

use video::BackendChoice;

/// The developers' folder of real clips and reference values, if this machine has it.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        println!("no ../shared next to the repository: nothing to compare with");
    }
    found
}

/// The back-ends of this build.
fn backends() -> Vec<BackendChoice> {
    let mut backends = vec![BackendChoice::Pure];
    if cfg!(feature = "ffmpeg") {
        backends.push(BackendChoice::Ffmpeg);
    }
    backends
}
