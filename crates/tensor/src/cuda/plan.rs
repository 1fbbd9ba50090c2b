//! Memory planned before it is taken: named regions of one allocation, with a table to print and a refusal that says what to do.

use std::fmt;
use std::marker::PhantomData;

use super::memory::{Buffer, Element, View, ViewMut};
use super::{Error, Gpu, Result, Stream};

/// Where regions start: a multiple of this many bytes (what cuBLASLt and cuDNN like best).
const ALIGNMENT: usize = 256;

/// What a region is for: the lines of the printed plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// Weights that products read.
    Parameters,
    /// Gradients of parameters.
    Gradients,
    /// Master bits and moments.
    OptimizerState,
    /// What forward keeps for backward.
    Activations,
    /// What lives inside one layer only, and workspaces.
    Workspace,
}

/// A region of a plan: `len` values from an offset.
#[derive(Debug)]
pub struct Region<T: Element> {
    offset: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Clone for Region<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for Region<T> {}

impl<T: Element> Region<T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Regions laid out one behind the other.
#[derive(Clone, Debug, Default)]
pub struct MemoryPlan {
    bytes: usize,
    purposes: Vec<(Purpose, usize)>,
}

/// The memory of a plan.
pub struct Arena {
    memory: Buffer<u8>,
}

impl MemoryPlan {
    /// Adds a region of `len` values.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan would be larger than an address reaches.
    pub fn region<T: Element>(&mut self, purpose: Purpose, len: usize) -> Result<Region<T>> {
        let too_large = || Error::argument("memory plan", format!("{purpose:?} of {len} values are beyond any memory"));
        let bytes = len
            .checked_mul(size_of::<T>())
            .and_then(|b| b.checked_next_multiple_of(ALIGNMENT))
            .ok_or_else(too_large)?;
        let region = Region { offset: self.bytes, len, element: PhantomData };
        self.bytes = self.bytes.checked_add(bytes).ok_or_else(too_large)?;
        match self.purposes.iter_mut().find(|(own, _)| *own == purpose) {
            Some((_, sum)) => *sum += bytes,
            None => self.purposes.push((purpose, bytes)),
        }
        Ok(region)
    }

    /// Bytes of all regions.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the memory, all at once; `advice` is the setting that would make a plan fit that does not.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] before anything is taken, with the plan's table and `advice`.
    pub fn allocate(&self, gpu: &Gpu, advice: &str) -> Result<Arena> {
        let (free, total) = gpu.memory()?;
        if self.bytes as u64 > free {
            let (what, asked) = (format!("the plan ({self})"), self.bytes as u64);
            return Err(Error::OutOfMemory { what, asked, free, total, advice: advice.into() });
        }
        Ok(Arena { memory: gpu.unset(self.bytes, "the planned memory")? })
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut purposes = self.purposes.clone();
        purposes.sort();
        let gib = |bytes: usize| bytes as f64 / (1u64 << 30) as f64;
        for (purpose, bytes) in purposes {
            write!(f, "{purpose:?} {:.2} GiB, ", gib(bytes))?;
        }
        write!(f, "together {:.2} GiB", gib(self.bytes))
    }
}

impl Arena {
    /// Sets all of it to zero, so that nothing in it is a NaN.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn clear(&self, stream: &Stream) -> Result<()> {
        let all = self.memory.view();
        stream.clear(ViewMut::<u8>::planned(all.ptr, all.len))
    }

    /// Bytes it holds; a plan of at most as many may use it.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// A region, to read. Regions of another plan are the caller's mistake and are refused if they reach past the end.
    ///
    /// # Errors
    /// [`Error::Argument`] if the region is not inside this memory.
    pub fn view<T: Element>(&self, region: Region<T>) -> Result<View<'_, T>> {
        self.view_mut(region).map(|view| View::planned(view.ptr, view.len))
    }

    /// A region, to write. Several views of one region may exist: they are addresses for the GPU, never references of the host, and
    /// a stream runs what uses them in order. That the order is right is for the engine to see to.
    ///
    /// # Errors
    /// As [`Arena::view`].
    pub fn view_mut<T: Element>(&self, region: Region<T>) -> Result<ViewMut<'_, T>> {
        if region.offset + region.len * size_of::<T>() > self.memory.len() {
            let message = format!("a region of {} values from byte {} is not of this plan", region.len, region.offset);
            return Err(Error::argument("memory plan", message));
        }
        Ok(ViewMut::planned(self.memory.view().ptr + region.offset as u64, region.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn regions_follow_one_another_and_are_counted_by_purpose() {
        let mut plan = MemoryPlan::default();
        let a: Region<f32> = plan.region(Purpose::Gradients, 3).unwrap();
        let b: Region<bf16> = plan.region(Purpose::Parameters, 129).unwrap();
        let c: Region<u8> = plan.region(Purpose::Gradients, 0).unwrap();
        assert_eq!((a.offset, b.offset, c.offset, plan.bytes()), (0, 256, 768, 768));
        assert_eq!(plan.purposes, [(Purpose::Gradients, 256), (Purpose::Parameters, 512)]);
        assert!(plan.to_string().starts_with("Parameters 0.00 GiB, Gradients"));
        assert!(plan.region::<f32>(Purpose::Activations, usize::MAX / 2).is_err());
    }
}
