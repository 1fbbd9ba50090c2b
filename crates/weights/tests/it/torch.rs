//! Files of torch.save, made by golden/make_judge.py.

use std::path::{Path, PathBuf};
use tensor::Device;
use weights::{SafetensorsFile, TorchZip};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/judge").join(name)
}

#[test]
fn types_and_layouts_come_out_right() {
    let mut file = TorchZip::open(&golden("mixed.bin")).unwrap();
    let mut check = |name: &str, shape: &[usize], expect: &[f32]| {
        let tensor = file.load(name, &Device::Cpu).unwrap();
        assert_eq!(tensor.shape(), shape, "{name}");
        assert_eq!(tensor.to_vec(), expect, "{name}");
    };
    let all: Vec<f32> = (0..24).map(|i| i as f32).collect();
    check("f16", &[24], &all);
    check("bf16", &[2, 3, 4], &all);
    let transposed: Vec<f32> = (0..24).map(|i| ((i % 4) * 6 + i / 4) as f32).collect();
    check("transposed", &[6, 4], &transposed);
    check("shared", &[6], &all[6..12]);
    check("parameter", &[2], &all[..2]);
    let error = file.load("i64", &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("I64"), "{error}");
    assert!(file.load("none", &Device::Cpu).is_err());
}

#[test]
fn the_same_model_as_in_safetensors() {
    let mut torch = TorchZip::open(&golden("bin/pytorch_model.bin")).unwrap();
    let safe = SafetensorsFile::open(&golden("model.safetensors")).unwrap();
    let names: Vec<String> = safe.names().map(str::to_owned).collect();
    assert!(names.len() > 30);
    for name in names {
        assert_eq!(
            torch.load(&name, &Device::Cpu).unwrap().to_vec(),
            safe.load(&name, &Device::Cpu).unwrap().to_vec(),
            "{name}"
        );
    }
}

#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    let bytes = std::fs::read(golden("mixed.bin")).unwrap();
    for (len, flip) in
        [(0, 0), (10, 0), (bytes.len() / 2, 0), (bytes.len() - 3, 0), (bytes.len(), 100), (bytes.len(), 700)]
    {
        let mut damaged = bytes[..len].to_vec();
        if flip > 0 {
            damaged[flip] ^= 0x55;
        }
        std::fs::write(&path, &damaged).unwrap();
        if let Ok(mut file) = TorchZip::open(&path) {
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            for name in names {
                let _ = file.load(&name, &Device::Cpu);
            }
        }
    }
    std::fs::write(&path, b"\x80\x02.").unwrap();
    assert!(TorchZip::open(&path).unwrap_err().to_string().contains("not a zip file"));
}
