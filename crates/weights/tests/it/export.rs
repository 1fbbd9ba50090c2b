//! Export and what others make of it.

use proptest::prelude::*;
use tensor::{DType, Device, Tensor};
use weights::{Entry, Error, ExportOptions, HfFolder, export};

fn tensor(len: usize, seed: u32) -> Tensor {
    let values = (0..len as u32).map(|i| f32::from_bits(0x3f00_0000 | (i.wrapping_mul(2_654_435_761) ^ seed) >> 9));
    Tensor::from_vec(&Device::Cpu, values.collect(), &[len]).unwrap()
}

#[test]
fn one_file_or_several_hold_the_same_model() {
    let tensors: Vec<Tensor> = (0..7).map(|i| tensor(100 + i, i as u32)).collect();
    let entries: Vec<Entry> = tensors.iter().enumerate().map(|(i, t)| Entry::new(format!("layer.{i}"), t)).collect();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, dtype, file_bytes_max| {
        let dir = dir.path().join(name);
        let summary = export(&dir, &entries, &ExportOptions { dtype, file_bytes_max }).unwrap();
        let folder = HfFolder::open(&dir).unwrap();
        assert_eq!(folder.content_hash().unwrap(), summary.content_hash);
        assert_eq!(summary.parameters, 721);
        for file in &summary.files {
            assert!(std::fs::metadata(dir.join(file)).unwrap().len() <= file_bytes_max);
        }
        for (entry, tensor) in entries.iter().zip(&tensors) {
            let values = folder.load(&entry.name, &Device::Cpu).unwrap().to_vec();
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= if dtype == DType::F32 { 0.0 } else { a.abs() / 256.0 };
            assert!(values.iter().zip(&tensor.to_vec()).all(close));
        }
        summary
    };
    let single = write("single", DType::F32, 4 << 30);
    assert_eq!(single.files, ["model.safetensors"]);
    let sharded = write("sharded", DType::F32, 1200);
    assert_eq!(sharded.files.len(), 7);
    assert_eq!(sharded.files[0], "model-00001-of-00007.safetensors");
    assert_eq!(sharded.content_hash, single.content_hash);
    let bf16 = write("bf16", DType::Bf16, 1200);
    assert_eq!((bf16.files.len(), bf16.tensor_bytes), (4, 1442));
    assert_ne!(bf16.content_hash, single.content_hash);
}

#[test]
fn disk_shapes_are_written_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let patch_embed = tensor(24, 1).reshape(&[2, 12]).unwrap();
    let entry = Entry::new("patch_embed.proj.weight", &patch_embed).with_disk_shape(&[2, 3, 1, 2, 2]);
    export(&dir.path().join("ok"), std::slice::from_ref(&entry), &ExportOptions::default()).unwrap();
    let folder = HfFolder::open(&dir.path().join("ok")).unwrap();
    assert_eq!(folder.info("patch_embed.proj.weight").unwrap().shape, [2, 3, 1, 2, 2]);
    for shape in [&[2, 11][..], &[usize::MAX, 2, 2]] {
        let wrong = entry.clone().with_disk_shape(shape);
        let error = export(&dir.path().join("bad"), &[wrong], &ExportOptions::default()).unwrap_err();
        assert!(error.to_string().contains("does not match shape [2, 12] in memory"), "{error}");
    }
}

#[test]
fn refuses_duplicates_and_occupied_folders() {
    let dir = tempfile::tempdir().unwrap();
    let tensor = tensor(4, 1);
    let twice = [Entry::new("a", &tensor), Entry::new("a", &tensor)];
    assert!(matches!(export(dir.path(), &twice, &ExportOptions::default()), Err(Error::Tensor { .. })));
    let once = [Entry::new("a", &tensor)];
    export(dir.path(), &once, &ExportOptions::default()).unwrap();
    assert!(matches!(export(dir.path(), &once, &ExportOptions::default()), Err(Error::Occupied { .. })));
}

#[test]
fn made_values_are_written_when_it_is_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let make = |index: usize| vec![index as f32; 6];
    let entries = ["a", "b"].iter().enumerate().map(|(i, name)| Entry::made(*name, &[2, 3], &make, i + 1));
    export(&dir.path().join("ok"), &entries.collect::<Vec<_>>(), &ExportOptions::default()).unwrap();
    let folder = HfFolder::open(&dir.path().join("ok")).unwrap();
    assert_eq!(folder.load("b", &Device::Cpu).unwrap().to_vec(), [2.0; 6]);
    let short = [Entry::made("a", &[7], &make, 0)];
    let error = export(&dir.path().join("bad"), &short, &ExportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("6 values made for a"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path().join("bad")).unwrap().count(), 0);
}

#[test]
fn config_tells_the_type_of_the_weights() {
    let config = br#"{"torch_dtype": "float32", "text_config": {"dtype": "float32", "hidden_size": 4}}"#.to_vec();
    let (from, to) = (crate::folder_of(&[("config.json", config)]), crate::folder_of(&[]));
    weights::copy_config(from.path(), to.path(), DType::Bf16).unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(to.path().join("config.json")).unwrap()).unwrap();
    let expect = serde_json::json!({"torch_dtype": "bfloat16", "text_config": {"dtype": "bfloat16", "hidden_size": 4}});
    assert_eq!(written, expect);
}

#[test]
fn companions_are_copied_where_missing() {
    let from = crate::folder_of(&[
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"t".to_vec()),
        ("modeling_evil.py", b"".to_vec()),
    ]);
    let to = crate::folder_of(&[("config.json", b"own".to_vec())]);
    assert_eq!(weights::copy_companions(from.path(), to.path()).unwrap(), ["tokenizer.json"]);
    assert_eq!(std::fs::read(to.path().join("config.json")).unwrap(), b"own");
    assert!(!to.path().join("modeling_evil.py").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_f32_survives_export_bit_for_bit(bits in prop::collection::vec(any::<u32>(), 0..300), name in ".{0,20}") {
        prop_assume!(name != "__metadata__");
        let values: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
        let tensor = Tensor::from_vec(&Device::Cpu, values, &[bits.len()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = ExportOptions { dtype: DType::F32, ..ExportOptions::default() };
        export(dir.path(), &[Entry::new(name.clone(), &tensor)], &options).unwrap();
        let back = HfFolder::open(dir.path()).unwrap().load(&name, &Device::Cpu).unwrap();
        prop_assert_eq!(back.to_vec().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }
}
