//! Files written by Python, read here; files written here, read by the safetensors crate.

use std::{collections::BTreeMap, path::Path};

use tensor::{Device, Tensor};
use weights::{Entry, HfFolder, SafetensorsFile, save_tensors};

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn reads_what_python_wrote() {
    let file = SafetensorsFile::open(&golden("mixed.safetensors")).unwrap();
    assert_eq!(file.metadata()["note"], "grüße");
    let ramp: Vec<f32> = (0..24).map(|i| i as f32 / 8.0 - 1.0).collect();
    let check = |name: &str, shape: &[usize], values: &[f32]| {
        let tensor = file.load(name, &Device::Cpu).unwrap();
        assert_eq!(tensor.shape(), shape, "{name}");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&tensor.to_vec()), bits(values), "{name}");
    };
    for name in ["f32", "bf16", "f16"] {
        check(name, &[2, 3, 4], &ramp);
    }
    check("f16_edge", &[4], &[65504.0, 2f32.powi(-24), -0.0, f32::INFINITY]);
    let rounded = [0x3dcd_0000, 0x3eab_0000, 0x7f7f_0000, 0x0001_0000].map(f32::from_bits);
    check("bf16_rounded", &[4], &rounded);
    check("scalar", &[], &[2.5]);
    check("empty", &[0, 5], &[]);
    assert_eq!(file.load_i64("i64").unwrap(), [-1, 1 << 40, 7]);
    assert_eq!(file.load_i64("u8").unwrap(), [0, 255]);
    assert_eq!(file.load_i64("bool").unwrap(), [1, 0]);
    let refused = file.load("f64", &Device::Cpu).unwrap_err().to_string();
    assert!(
        refused.ends_with(r#"mixed.safetensors: tensor "f64": holds F64, F32, BF16 or F16 was asked for"#),
        "{refused}"
    );
    assert!(file.load_i64("f32").is_err() && file.load("nothing", &Device::Cpu).is_err());
}

#[test]
fn reads_shards_that_python_wrote() {
    let folder = HfFolder::open(&golden("sharded")).unwrap();
    assert_eq!(folder.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(folder.load("c", &Device::Cpu).unwrap().to_vec(), [-3.0, -3.0]);
    assert_eq!(folder.info("b").unwrap().shape, [3]);
}

#[test]
fn the_reference_crate_reads_what_we_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let odd = Tensor::from_vec(&Device::Cpu, vec![f32::NAN, -0.0, 1e-45], &[3]).unwrap();
    let scalar = Tensor::from_vec(&Device::Cpu, vec![4.0], &[]).unwrap();
    let empty = Tensor::zeros(&Device::Cpu, &[2, 0]);
    let metadata = BTreeMap::from([("step".to_owned(), "20".to_owned())]);
    let tensors = [("odd \"name\" ü", &odd), ("empty", &empty), ("scalar", &scalar)];
    let entries = tensors.map(|(name, tensor)| Entry::new(name, tensor));
    let summary = save_tensors(&path, &entries, &metadata).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((summary.bytes, summary.blake3), (bytes.len() as u64, weights::hash_file(&path).unwrap()));

    let (_, read) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(read.metadata().as_ref().unwrap()["step"], "20");
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), 3);
    let ours = SafetensorsFile::open(&path).unwrap();
    for (name, tensor) in tensors {
        let view = theirs.tensor(name).unwrap();
        let values: Vec<u8> = tensor.to_vec().iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!((view.shape(), view.data()), (tensor.shape(), values.as_slice()));
        let back = ours.load(name, &Device::Cpu).unwrap().to_vec();
        assert_eq!(back.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(), values);
    }
}
