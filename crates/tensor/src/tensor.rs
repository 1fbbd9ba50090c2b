//! A dense row-major array on a device.

use crate::cpu::buffer::Buffer;
use crate::{Device, Error, Result};

/// A dense, contiguous, row-major array of f32 compute values on one [`Device`].
///
/// `Clone` copies the memory. Ops return fresh tensors or accumulate into `&mut Tensor`.
#[derive(Clone, Debug)]
pub struct Tensor {
    storage: Storage,
    shape: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Storage {
    Cpu(Buffer),
}

impl Tensor {
    /// A tensor of zeros of the given shape.
    pub fn zeros(device: &Device, shape: &[usize]) -> Self {
        let len = shape.iter().product();
        let storage = match device {
            Device::Cpu => Storage::Cpu(Buffer::zeros(len)),
        };
        Self { storage, shape: shape.to_vec() }
    }

    /// A tensor of zeros with the shape and device of `self`.
    pub fn zeros_like(&self) -> Self {
        Self::zeros(&self.device(), &self.shape)
    }

    /// Moves host values, row-major, to a device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not the product of `shape`.
    pub fn from_vec(device: &Device, data: Vec<f32>, shape: &[usize]) -> Result<Self> {
        if Some(data.len()) != size(shape) {
            return Err(Error::shape("from_vec", "data", format!("as many values as {shape:?} has"), &[data.len()]));
        }
        let storage = match device {
            Device::Cpu => Storage::Cpu(data.into()),
        };
        Ok(Self { storage, shape: shape.to_vec() })
    }

    /// The device that holds the values.
    pub fn device(&self) -> Device {
        match self.storage {
            Storage::Cpu(_) => Device::Cpu,
        }
    }

    /// Extent of every dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Product of all dimensions but the last (1 for a vector).
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Extent of the last dimension (1 for a scalar).
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The same values under another shape of equal size; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sizes differ.
    pub fn reshape(mut self, shape: &[usize]) -> Result<Self> {
        if Some(self.len()) != size(shape) {
            return Err(Error::shape("reshape", "self", format!("{shape:?}"), &self.shape));
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// A host copy of all values, row-major.
    pub fn to_vec(&self) -> Vec<f32> {
        match &self.storage {
            Storage::Cpu(data) => data.to_vec(),
        }
    }

    /// Overwrites all values from the host.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values differs.
    pub fn copy_from_slice(&mut self, data: &[f32]) -> Result<()> {
        if data.len() != self.len() {
            return Err(Error::shape("copy_from_slice", "data", format!("{} values", self.len()), &[data.len()]));
        }
        match &mut self.storage {
            Storage::Cpu(own) => own.copy_from_slice(data),
        }
        Ok(())
    }

    /// Sets every value to zero.
    pub fn fill_zero(&mut self) {
        match &mut self.storage {
            Storage::Cpu(data) => data.fill(0.0),
        }
    }

    /// Host values, for the CPU half of an op (other devices are dispatched before this is called).
    pub(crate) fn cpu(&self) -> &[f32] {
        match &self.storage {
            Storage::Cpu(data) => data,
        }
    }

    /// Mutable host values, for the CPU half of an op.
    pub(crate) fn cpu_mut(&mut self) -> &mut [f32] {
        match &mut self.storage {
            Storage::Cpu(data) => data,
        }
    }

    /// A tensor whose values are whatever was in its memory; an op overwrites them all.
    pub(crate) fn unset(device: &Device, shape: &[usize]) -> Self {
        let storage = match device {
            Device::Cpu => Storage::Cpu(Buffer::unset(shape.iter().product())),
        };
        Self { storage, shape: shape.to_vec() }
    }

    /// [`Tensor::unset`] with the shape and device of `self`.
    pub(crate) fn unset_like(&self) -> Self {
        Self::unset(&self.device(), &self.shape)
    }

    /// Checks that the shape is exactly `expected`.
    pub(crate) fn expect(&self, op: &'static str, what: &'static str, expected: &[usize]) -> Result<()> {
        if self.shape == expected { Ok(()) } else { Err(Error::shape(op, what, format!("{expected:?}"), &self.shape)) }
    }

    /// Checks that the tensor is a matrix `(N, width)` in row-major terms, whatever its leading dimensions.
    pub(crate) fn expect_cols(&self, op: &'static str, what: &'static str, width: usize) -> Result<()> {
        if self.cols() == width { Ok(()) } else { Err(Error::shape(op, what, format!("(.., {width})"), &self.shape)) }
    }
}

/// Number of elements of a shape, unless it overflows.
fn size(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |size, &extent| size.checked_mul(extent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_must_match_the_number_of_values() {
        let from = |count: usize, shape: &[usize]| Tensor::from_vec(&Device::Cpu, vec![1.0; count], shape);
        let x = from(6, &[2, 3]).unwrap();
        assert_eq!((x.rows(), x.cols(), x.len()), (2, 3, 6));
        assert_eq!(x.clone().reshape(&[3, 2]).unwrap().shape(), [3, 2]);
        assert!(x.reshape(&[4, 2]).is_err());
        assert!(from(5, &[2, 3]).is_err());
        assert!(from(0, &[1 << 40, 1 << 40]).is_err());
        assert_eq!(from(1, &[]).unwrap().rows(), 1);
    }
}
