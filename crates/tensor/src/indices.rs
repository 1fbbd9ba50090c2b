//! Integer operands: row numbers and segment boundaries.

use crate::{Device, Error, Result};

/// A vector of 32-bit row numbers on a device (token ids, gathered rows, targets).
#[derive(Clone, Debug)]
pub struct Indices {
    values: Vec<i32>,
}

impl Indices {
    /// Moves host values to a device.
    pub fn new(_device: &Device, values: Vec<i32>) -> Self {
        Self { values }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Host values, for the CPU half of an op.
    pub(crate) fn cpu(&self) -> &[i32] {
        &self.values
    }

    /// Checks that every value lies in `0..bound`.
    pub(crate) fn check_below(&self, op: &'static str, bound: usize) -> Result<()> {
        match self.values.iter().position(|&v| v < 0 || v as usize >= bound) {
            None => Ok(()),
            Some(position) => Err(Error::Index { op, index: i64::from(self.values[position]), position, bound }),
        }
    }
}

/// Boundaries of the packed sequences that attention runs over.
///
/// Sequence `i` has query rows `cu_q[i]..cu_q[i+1]` and key rows `cu_k[i]..cu_k[i+1]`. With a causal mask the
/// last query row of a sequence sees all of its keys (the mask is aligned to the end), so the same type
/// serves training (`cu_q == cu_k`) and cached decoding (fewer queries than keys).
#[derive(Clone, Debug)]
pub struct Segments {
    cu_q: Vec<u32>,
    cu_k: Vec<u32>,
}

impl Segments {
    /// Segments with equal query and key boundaries, `cu_seqlens` = `[0, end_0, end_1, ...]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the list does not start at 0 or ever falls.
    pub fn packed(device: &Device, cu_seqlens: &[u32]) -> Result<Self> {
        Self::new(device, cu_seqlens, cu_seqlens)
    }

    /// Segments with separate query and key boundaries.
    ///
    /// # Errors
    /// [`Error::Argument`] if a list does not start at 0 or falls, if their lengths differ, or if a sequence has
    /// more queries than keys.
    pub fn new(_device: &Device, cu_q: &[u32], cu_k: &[u32]) -> Result<Self> {
        let rising = |list: &[u32]| list.first() == Some(&0) && list.windows(2).all(|w| w[0] <= w[1]);
        if !rising(cu_q) || !rising(cu_k) || cu_q.len() != cu_k.len() {
            return Err(Error::argument(
                "segments",
                format!("boundaries must start at 0, never fall and match in number: {cu_q:?}, {cu_k:?}"),
            ));
        }
        if cu_q.windows(2).zip(cu_k.windows(2)).any(|(q, k)| q[1] - q[0] > k[1] - k[0]) {
            return Err(Error::argument(
                "segments",
                format!("a sequence has more queries than keys: {cu_q:?}, {cu_k:?}"),
            ));
        }
        Ok(Self { cu_q: cu_q.to_vec(), cu_k: cu_k.to_vec() })
    }

    /// Query boundaries, first 0, last the number of query rows.
    pub fn cu_q(&self) -> &[u32] {
        &self.cu_q
    }

    /// Key boundaries, first 0, last the number of key rows.
    pub fn cu_k(&self) -> &[u32] {
        &self.cu_k
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        self.cu_q.len() - 1
    }
}
