//! Opening a folder and checking it against what a model needs.

use tensor::{Device, Tensor};
use weights::{Entry, Error, Expected, HfFolder, save_tensors};

use crate::{file_bytes, folder_of};

const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

fn check_open(files: &[(&str, Vec<u8>)], expect: &str) {
    let dir = folder_of(files);
    let error = HfFolder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
    assert!(error.starts_with(dir.path().to_str().unwrap()), "{error}");
}

fn index(pairs: &[(&str, &str)]) -> Vec<u8> {
    let map: std::collections::BTreeMap<_, _> = pairs.iter().copied().collect();
    serde_json::json!({"metadata": {"total_size": 8}, "weight_map": map}).to_string().into_bytes()
}

#[test]
fn says_what_is_wrong_with_a_folder() {
    const INDEX: &str = "model.safetensors.index.json";
    check_open(&[("config.json", vec![])], "no weights: expected model.safetensors");
    check_open(&[("pytorch_model.bin", vec![])], "pickle");
    check_open(&[("model.safetensors", vec![1, 2])], "model.safetensors: not a safetensors file: only 2 bytes long");
    check_open(&[(INDEX, index(&[("a", "gone")]))], r#"shard "gone" is missing"#);
    check_open(&[(INDEX, index(&[("a", "../x")]))], "not a plain file name");
    check_open(
        &[(INDEX, index(&[("a", "x.safetensors"), ("b", "x.safetensors")])), ("x.safetensors", file_bytes(ONE, 8))],
        r#"tensor "b" is not in "x.safetensors""#,
    );
    check_open(
        &[("x.safetensors", file_bytes(ONE, 8)), ("y.safetensors", file_bytes(ONE, 8))],
        r#"y.safetensors: tensor "a": also in"#,
    );
    assert!(matches!(HfFolder::open("/nowhere/at/all".as_ref()), Err(Error::Io { .. })));
}

#[test]
fn a_shard_that_is_a_folder_or_a_pipe_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    let error = HfFolder::open(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("model.safetensors: not a regular file"), "{error}");
}

#[test]
fn finds_weights_in_the_order_of_transformers() {
    let two = file_bytes(r#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    let dir = folder_of(&[("x.safetensors", file_bytes(ONE, 8)), ("y.safetensors", two)]);
    let names = || HfFolder::open(dir.path()).unwrap().names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(), ["a", "b"]);
    std::fs::write(dir.path().join("model.safetensors.index.json"), index(&[("b", "y.safetensors")])).unwrap();
    assert_eq!(names(), ["b"]);
    std::fs::write(dir.path().join("model.safetensors"), file_bytes(ONE, 8)).unwrap();
    assert_eq!(names(), ["a"]);
}

#[test]
fn a_shards_tensor_that_the_index_does_not_know_is_seen() {
    let both =
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"z":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}"#;
    let dir = folder_of(&[
        ("model.safetensors.index.json", index(&[("a", "x.safetensors")])),
        ("x.safetensors", file_bytes(both, 9)),
    ]);
    assert_eq!(HfFolder::open(dir.path()).unwrap().names().collect::<Vec<_>>(), ["a", "z"]);
}

fn expected(name: &str, shape: &[usize], optional: bool) -> Expected {
    Expected { name: name.into(), shape: shape.to_vec(), optional }
}

#[test]
fn check_lists_all_differences_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let tensor = Tensor::zeros(&Device::Cpu, &[2, 3]);
    let mut entries: Vec<Entry> = (0..25).map(|i| Entry::new(format!("extra.{i:02}"), &tensor)).collect();
    entries.extend(["good", "wide", "tied"].map(|name| Entry::new(name, &tensor)));
    save_tensors(&dir.path().join("model.safetensors"), &entries, &Default::default()).unwrap();
    let folder = HfFolder::open(dir.path()).unwrap();
    let needed = [
        expected("good", &[2, 3], false),
        expected("wide", &[3, 2], false),
        expected("gone", &[1], false),
        expected("tied", &[2, 3], true),
        expected("buffer", &[1], true),
    ];
    let message = folder.check(&needed).unwrap_err().to_string();
    let mut lines = message.lines();
    let first = lines.next().unwrap();
    assert!(
        first.ends_with("the weights do not fit the model: 1 missing, 25 unexpected, 1 of another shape"),
        "{first}"
    );
    assert_eq!(lines.next(), Some(r#"  missing     "gone" [1]"#));
    assert_eq!(lines.next(), Some(r#"  unexpected  "extra.00" [2, 3]"#));
    assert_eq!(lines.nth(19), Some("  ... and 5 more"));
    assert_eq!(lines.next(), Some(r#"  shape       "wide" [2, 3], the model needs [3, 2]"#));
    assert_eq!(lines.next(), None);
    assert!(folder.check(&[]).is_err());
    let all: Vec<_> = folder.names().map(|name| expected(name, &[2, 3], false)).collect();
    folder.check(&all).unwrap();
}
