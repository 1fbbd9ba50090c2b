//! One hash for a set of weights, whatever files they lie in.

use crate::StoredDType;

/// Changes when the definition of the hash does.
const DOMAIN: &[u8] = b"roadscribe weights 1";

/// What the hash of a model covers, for one tensor.
#[derive(Clone, Debug)]
pub(crate) struct TensorDigest {
    pub(crate) name: String,
    pub(crate) dtype: StoredDType,
    pub(crate) shape: Vec<usize>,
    /// blake3 of the tensor's bytes as on disk.
    pub(crate) bytes: blake3::Hash,
}

/// blake3 over names, dtypes, shapes and the digests of the bytes, in name order, as hex.
///
/// A hash of hashes, so that it can be computed while tensors are written in any order.
pub(crate) fn content_hash(mut tensors: Vec<TensorDigest>) -> String {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    for tensor in &tensors {
        for text in [tensor.name.as_str(), tensor.dtype.name()] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        hasher.update(&(tensor.shape.len() as u64).to_le_bytes());
        for &extent in &tensor.shape {
            hasher.update(&(extent as u64).to_le_bytes());
        }
        hasher.update(tensor.bytes.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
