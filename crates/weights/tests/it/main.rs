//! Weight files against the reference implementation, against damage, and against the round trip.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod damage;
mod export;
mod folder;
mod golden;
mod torch;

use std::path::Path;

/// The bytes of a safetensors file with this header text and `data_bytes` bytes of data.
fn file_bytes(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 7);
    bytes
}

/// A fresh folder that holds the given files.
fn folder_of(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Reads everything that can be read; returns the first error's text.
fn read_all(path: &Path) -> Result<(), String> {
    let file = weights::SafetensorsFile::open(path).map_err(|e| e.to_string())?;
    for name in file.names() {
        let _ = file.load(name, &tensor::Device::Cpu);
        let _ = file.load_i64(name);
    }
    Ok(())
}
