//! `model.safetensors.index.json`: which shard holds which tensor.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::Read,
    path::{Component, Path},
};

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};

use crate::{Error, IndexProblem, Result};

/// Name of the index in a folder.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

/// Largest index accepted, in bytes; real ones have some 100 bytes a tensor.
const INDEX_BYTES_MAX: u64 = 100_000_000;

/// Reads an index: file name of every tensor, every one a plain name inside the folder.
///
/// # Errors
/// [`Error::Io`]; [`Error::Index`] if it is too large, malformed, names a tensor twice or points elsewhere.
pub(crate) fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let index_error = |problem| Error::Index { file: file.into(), problem };
    let mut json = Vec::new();
    File::open(file)
        .and_then(|open| open.take(INDEX_BYTES_MAX + 1).read_to_end(&mut json))
        .map_err(|source| Error::io(file, "read", source))?;
    if json.len() as u64 > INDEX_BYTES_MAX {
        return Err(index_error(IndexProblem::TooLong { bytes: json.len() as u64, limit: INDEX_BYTES_MAX }));
    }
    parse(&json).map_err(index_error)
}

fn parse(json: &[u8]) -> std::result::Result<BTreeMap<String, String>, IndexProblem> {
    let index: RawIndex = serde_json::from_slice(json).map_err(|e| IndexProblem::NotJson(e.to_string()))?;
    let mut shards = BTreeMap::new();
    for (tensor, shard) in index.weight_map.0 {
        if !is_plain_name(&shard) {
            return Err(IndexProblem::ShardName { tensor, shard });
        }
        if shards.contains_key(&tensor) {
            return Err(IndexProblem::Duplicate(tensor));
        }
        shards.insert(tensor, shard);
    }
    Ok(shards)
}

/// Whether joining `name` to a folder gives a file directly in that folder, on any system.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    single && !name.contains(['/', '\\', ':', '\0'])
}

#[derive(Deserialize)]
struct RawIndex {
    weight_map: RawWeightMap,
}

/// The pairs as written, duplicates kept so that they can be reported.
struct RawWeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for RawWeightMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = RawWeightMap;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object from tensor names to file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawWeightMap, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(RawWeightMap(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: std::result::Result<&[(&str, &str)], IndexProblem>) {
        let expect = expect.map(|pairs| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect());
        assert_eq!(parse(json.as_bytes()), expect, "{json}");
    }

    #[test]
    fn reads_pairs_and_refuses_paths() {
        check(
            r#"{"metadata": {"total_size": 8}, "weight_map": {"a": "x.safetensors"}}"#,
            Ok(&[("a", "x.safetensors")]),
        );
        check(r#"{"weight_map": {"a": "x", "a": "y"}}"#, Err(IndexProblem::Duplicate("a".into())));
        for shard in ["../x", "/etc/passwd", "sub/x", "..", ".", "", "./x", "x/", "a\\b", "C:x", "x\0"] {
            let json = serde_json::json!({"weight_map": {"a": shard}}).to_string();
            check(&json, Err(IndexProblem::ShardName { tensor: "a".into(), shard: shard.into() }));
        }
    }

    #[test]
    fn refuses_what_is_not_an_index() {
        for json in ["", "[]", "{}", r#"{"weight_map": 3}"#, r#"{"weight_map": {"a": 1}}"#, "\u{0}", &"[".repeat(5000)]
        {
            assert!(matches!(parse(json.as_bytes()), Err(IndexProblem::NotJson(_))), "{json:.40}");
        }
    }
}
