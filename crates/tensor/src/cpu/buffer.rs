//! Host memory of tensors, kept for reuse.
//!
//! A training step makes the same large buffers again and again. Memory fresh from the system costs a page fault and a
//! clearing for every 4 KiB, more than many ops themselves, so large buffers go to a free list when they are dropped.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Values of the smallest buffer worth keeping (64 KiB).
const MIN_KEPT: usize = 16 << 10;
/// Values the free list may hold (1 GiB); what would exceed it empties the list first.
const MAX_HELD: usize = 256 << 20;

static FREE: Mutex<FreeList> = Mutex::new(FreeList { by_capacity: BTreeMap::new(), held: 0 });

struct FreeList {
    by_capacity: BTreeMap<usize, Vec<Vec<f32>>>,
    /// Values in all kept buffers.
    held: usize,
}

impl FreeList {
    fn take(&mut self, capacity: usize) -> Option<Vec<f32>> {
        let values = self.by_capacity.get_mut(&capacity)?.pop()?;
        self.held -= capacity;
        Some(values)
    }

    fn put(&mut self, values: Vec<f32>) {
        let capacity = values.capacity();
        if self.held + capacity > MAX_HELD {
            self.by_capacity.clear();
            self.held = 0;
        }
        self.held += capacity;
        self.by_capacity.entry(capacity).or_default().push(values);
    }
}

/// A list of f32 values whose memory is reused after it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    values: Vec<f32>,
}

impl Buffer {
    /// Values that are all zero.
    pub fn zeros(len: usize) -> Self {
        match Self::kept(len) {
            None => Self::fresh(len),
            Some(mut buffer) => {
                buffer.fill(0.0);
                buffer
            }
        }
    }

    /// Values left over from earlier use, to be overwritten.
    pub fn unset(len: usize) -> Self {
        Self::kept(len).unwrap_or_else(|| Self::fresh(len))
    }

    fn kept(len: usize) -> Option<Self> {
        if len < MIN_KEPT {
            return None;
        }
        let mut values = FREE.lock().unwrap_or_else(PoisonError::into_inner).take(size_class(len))?;
        values.resize(len, 0.0);
        Some(Self { values })
    }

    fn fresh(len: usize) -> Self {
        let mut values = vec![0.0; if len < MIN_KEPT { len } else { size_class(len) }];
        values.truncate(len);
        Self { values }
    }
}

/// `len` rounded up to one of eight sizes per power of two.
fn size_class(len: usize) -> usize {
    let step = (len.checked_next_power_of_two().unwrap_or(len) / 16).max(1);
    len.checked_next_multiple_of(step).unwrap_or(len)
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { values }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::unset(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.values.capacity();
        if (MIN_KEPT..=MAX_HELD).contains(&capacity) && size_class(capacity) == capacity {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).put(std::mem::take(&mut self.values));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reused_memory_is_cleared_when_asked() {
        for len in [0, 1, MIN_KEPT - 1, MIN_KEPT, MIN_KEPT + 1, 100_003] {
            for _ in 0..3 {
                let mut buffer = Buffer::zeros(len);
                assert!(buffer.len() == len && buffer.iter().all(|&v| v == 0.0));
                buffer.fill(7.0);
                assert_eq!(*buffer.clone(), *buffer);
                drop(buffer);
                assert_eq!(Buffer::unset(len).len(), len);
            }
        }
    }

    #[test]
    fn size_classes_are_their_own_class_and_waste_little() {
        for len in (1..200_000).step_by(37) {
            let class = size_class(len);
            assert!(class >= len && class <= len + len / 8 + 1 && size_class(class) == class, "{len} {class}");
        }
    }
}
