//! Damaged and hostile files: always a typed error that names file and tensor, never a panic.

use std::path::Path;

use proptest::prelude::*;
use weights::{Error, HeaderProblem, HfFolder, TensorProblem, header};

use crate::{file_bytes, folder_of, read_all};

fn problem_of(bytes: &[u8]) -> Error {
    header::parse(Path::new("x.safetensors"), bytes).unwrap_err()
}

fn check_header(bytes: &[u8], expect: HeaderProblem) {
    match problem_of(bytes) {
        Error::Header { file, problem } => assert_eq!((file.to_str(), problem), (Some("x.safetensors"), expect)),
        other => panic!("{other}"),
    }
}

/// `tensors` is the inside of the header's braces; the error must be about tensor "a".
fn check_tensor(tensors: &str, data_bytes: usize, expect: TensorProblem) {
    match problem_of(&file_bytes(&format!("{{{tensors}}}"), data_bytes)) {
        Error::Tensor { tensor, problem, .. } => assert_eq!((tensor.as_str(), problem), ("a", expect)),
        other => panic!("{other}"),
    }
}

#[test]
fn names_what_is_wrong_with_the_file() {
    check_header(&[], HeaderProblem::TooShort { bytes: 0 });
    check_header(&[0; 7], HeaderProblem::TooShort { bytes: 7 });
    check_header(&[0xff; 64], HeaderProblem::TooLong { bytes: u64::MAX, limit: 100_000_000 });
    check_header(&50u64.to_le_bytes(), HeaderProblem::Truncated { needed: 58, bytes: 8 });
    check_header(&file_bytes("{}", 3), HeaderProblem::Hole { begin: 0, end: 3 });
    check_header(&file_bytes(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), HeaderProblem::DuplicateMetadata);
    check_header(
        &file_bytes(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#, 3),
        HeaderProblem::Hole { begin: 0, end: 2 },
    );
    let nested = "[".repeat(100_000);
    let deep = format!(r#"{{"a":{nested}"#);
    let no_json = [
        "",
        "null",
        "[1]",
        "{",
        "{} x",
        "\u{0}",
        deep.as_str(),
        r#"{"a":{"dtype":"U8","shape":[1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#,
        r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}}"#,
        r#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
    ];
    for json in no_json {
        let error = problem_of(&file_bytes(json, 1));
        assert!(matches!(error, Error::Header { problem: HeaderProblem::NotJson(_), .. }), "{json:.60}: {error}");
    }
    let mut not_utf8 = file_bytes(r#"{"a":{}}"#, 0);
    not_utf8[11] = 0xff;
    assert!(matches!(problem_of(&not_utf8), Error::Header { problem: HeaderProblem::NotJson(_), .. }));
}

#[test]
fn names_what_is_wrong_with_a_tensor() {
    const GOOD: &str = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    check_tensor(&format!("{GOOD},{GOOD}"), 8, TensorProblem::Duplicate);
    check_tensor(GOOD, 7, TensorProblem::OutOfRange { end: 8, bytes: 7 });
    check_tensor(&GOOD.replace("F32", "F33"), 8, TensorProblem::UnknownDType("F33".into()));
    check_tensor(&GOOD.replace("[0,8]", "[8,0]"), 8, TensorProblem::Backwards { begin: 8, end: 0 });
    check_tensor(&GOOD.replace("[2]", "[3]"), 8, TensorProblem::WrongSize { needed: 12, got: 8 });
    check_tensor(&GOOD.replace("[2]", "[]"), 8, TensorProblem::WrongSize { needed: 4, got: 8 });
    let huge = vec![1 << 33, 1 << 33];
    check_tensor(&GOOD.replace("[2]", "[8589934592,8589934592]"), 8, TensorProblem::ShapeOverflow(huge));
    let hidden = vec![0, 1 << 33, 1 << 33];
    check_tensor(&GOOD.replace("[2]", "[0,8589934592,8589934592]"), 8, TensorProblem::ShapeOverflow(hidden));
    check_tensor(
        &GOOD.replace("[0,8]", "[18446744073709551608,18446744073709551615]"),
        8,
        TensorProblem::OutOfRange { end: u64::MAX, bytes: 8 },
    );
    let after = |dtype: &str, begin: usize, bytes: usize| {
        format!(
            r#""0":{{"dtype":"U8","shape":[3],"data_offsets":[0,3]}},"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[{begin},{}]}}"#,
            begin + bytes
        )
    };
    check_tensor(&after("F32", 3, 4), 7, TensorProblem::Misaligned { begin: 3, size: 4 });
    check_tensor(&after("U8", 2, 1), 3, TensorProblem::Overlap("0".into()));
}

/// A small valid file with several types.
fn valid_file() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[],"data_offsets":[32,40]},"d":{"dtype":"F16","shape":[0],"data_offsets":[40,40]}}"#;
    file_bytes(header, 40)
}

/// One edit of a file.
#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index),
    HeaderLength(u64),
}

fn edit() -> impl Strategy<Value = Edit> {
    use prop::sample::Index;
    let json = "[\\[\\]{}\",:0-9eE.-]|null|F32|shape|data_offsets|18446744073709551615|\"a\"";
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), "[0-9]").prop_map(|(at, digit)| Edit::Set(at, digit.as_bytes()[0])),
        (any::<Index>(), json).prop_map(|(at, text)| Edit::Insert(at, text.into_bytes())),
        (any::<Index>(), 1usize..30).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
        prop_oneof![0u64..400, any::<u64>()].prop_map(Edit::HeaderLength),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit, keep_length: bool) {
    let header_end = |bytes: &[u8]| bytes.len().saturating_sub(40).max(8);
    if bytes.len() < 16 {
        return;
    }
    match edit {
        Edit::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Edit::Insert(at, text) => {
            let at = 8 + at.index(header_end(bytes) - 7);
            bytes.splice(at..at, text.iter().copied());
        }
        Edit::Remove(at, count) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Edit::Swap(a, b) => {
            let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
            bytes.swap(a, b);
        }
        Edit::HeaderLength(length) => bytes[..8].copy_from_slice(&length.to_le_bytes()),
    }
    // Half of the cases keep the length field true, so that the edit reaches the JSON and what comes after it.
    if keep_length && bytes.len() >= 48 {
        let length = (bytes.len() - 48) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn edited_files_never_panic(edits in prop::collection::vec(edit(), 1..5), keep_length: bool) {
        let mut bytes = valid_file();
        for edit in &edits {
            apply(&mut bytes, edit, keep_length);
        }
        if let Ok(header) = header::parse(Path::new("x"), &bytes) {
            let total: u64 = header.tensors.values().map(|t| t.dtype.size_bytes() * t.shape.iter().product::<usize>() as u64).sum();
            prop_assert!(total <= bytes.len() as u64);
            let dir = folder_of(&[("x.safetensors", bytes)]);
            prop_assert_eq!(read_all(&dir.path().join("x.safetensors")), Ok(()));
        }
    }

    #[test]
    fn edited_indexes_never_panic_and_never_leave_the_folder(edits in prop::collection::vec(edit(), 0..4)) {
        let index = r#"{"metadata":{"total_size":40},"weight_map":{"a":"x.safetensors","b":"x.safetensors","c":"x.safetensors","d":"x.safetensors"}}"#;
        let mut index = index.as_bytes().to_vec();
        for edit in &edits {
            apply(&mut index, edit, false);
        }
        let dir = folder_of(&[("model.safetensors.index.json", index), ("x.safetensors", valid_file())]);
        match HfFolder::open(dir.path()) {
            Ok(folder) => prop_assert!(folder.names().count() >= 4),
            Err(error) => prop_assert!(error.to_string().starts_with(dir.path().to_str().unwrap()), "{error}"),
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = header::parse(Path::new("x"), &bytes);
        let _ = header::parse(Path::new("x"), &file_bytes(&String::from_utf8_lossy(&bytes), 4));
    }

    #[test]
    fn a_truncated_file_is_always_an_error(cut in 0usize..300) {
        let mut bytes = valid_file();
        prop_assume!(cut < bytes.len());
        bytes.truncate(cut);
        prop_assert!(header::parse(Path::new("x"), &bytes).is_err());
    }
}

#[test]
fn the_valid_file_is_valid() {
    let dir = folder_of(&[("x.safetensors", valid_file())]);
    read_all(&dir.path().join("x.safetensors")).unwrap();
}
