//! The named parameters of a model and their gradients, as flat lists in one order.

use crate::{Error, Result};
use tensor::{Device, Tensor};

/// Position of a parameter in [`Params`] and of its gradient in [`Grads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(usize);

impl ParamId {
    /// The position.
    pub fn index(self) -> usize {
        self.0
    }
}

/// How a parameter starts in a model with random weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and the config's `initializer_range` as deviation.
    Normal,
    /// Zeros (biases).
    Zeros,
    /// Ones (norm weights).
    Ones,
}

/// Name, shapes and start of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Tensor name in the HF folder.
    pub name: String,
    /// Shape in memory.
    pub shape: Vec<usize>,
    /// Shape on disk; differs from `shape` only for convolutions held as matrices.
    pub disk_shape: Vec<usize>,
    /// How it starts when random.
    pub init: Init,
}

/// The list of parameters of a model, filled while its layers are described.
#[derive(Clone, Debug, Default)]
pub struct ParamTable {
    specs: Vec<ParamSpec>,
}

impl ParamTable {
    /// Adds a parameter whose disk shape is its shape.
    pub fn add(&mut self, name: String, shape: &[usize], init: Init) -> ParamId {
        self.add_with_disk_shape(name, shape, shape, init)
    }

    /// Adds a parameter that is stored under another shape of equal size.
    pub fn add_with_disk_shape(&mut self, name: String, shape: &[usize], disk_shape: &[usize], init: Init) -> ParamId {
        self.specs.push(ParamSpec { name, shape: shape.to_vec(), disk_shape: disk_shape.to_vec(), init });
        ParamId(self.specs.len() - 1)
    }

    /// All parameters, in order.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Joins the table with its values.
    ///
    /// # Errors
    /// [`Error::Internal`] if number or shapes differ.
    pub fn with_tensors(self, tensors: Vec<Tensor>) -> Result<Params> {
        let fits =
            tensors.len() == self.specs.len() && tensors.iter().zip(&self.specs).all(|(t, s)| t.shape() == s.shape);
        if fits {
            Ok(Params { specs: self.specs, tensors })
        } else {
            Err(Error::internal("tensors do not fit their table"))
        }
    }
}

/// All parameters of a model with their names.
#[derive(Clone, Debug)]
pub struct Params {
    specs: Vec<ParamSpec>,
    tensors: Vec<Tensor>,
}

impl Params {
    /// One parameter.
    pub fn get(&self, id: ParamId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// Names, shapes and starts, in order.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// HF tensor names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.specs.iter().map(|spec| spec.name.as_str())
    }

    /// Values, in order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Mutable values, in order.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// Number of scalar parameters.
    pub fn count(&self) -> u64 {
        self.tensors.iter().map(|t| t.len() as u64).sum()
    }

    /// Gradients of zero.
    pub fn zero_grads(&self) -> Grads {
        Grads { tensors: self.tensors.iter().map(Tensor::zeros_like).collect() }
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> Device {
        self.tensors.first().map_or_else(Device::default, Tensor::device)
    }
}

/// Gradients of all parameters, in the order of [`Params`].
#[derive(Clone, Debug)]
pub struct Grads {
    tensors: Vec<Tensor>,
}

impl Grads {
    /// One gradient.
    pub fn get(&self, id: ParamId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// One gradient, to add to.
    pub fn get_mut(&mut self, id: ParamId) -> &mut Tensor {
        &mut self.tensors[id.0]
    }

    /// Two different gradients at once.
    ///
    /// # Errors
    /// [`Error::Internal`] if both ids are the same.
    pub fn pair_mut(&mut self, a: ParamId, b: ParamId) -> Result<(&mut Tensor, &mut Tensor)> {
        match self.tensors.get_disjoint_mut([a.0, b.0]) {
            Ok([x, y]) => Ok((x, y)),
            Err(_) => Err(Error::internal("two gradients asked for are one")),
        }
    }

    /// All gradients, in order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All gradients, mutable.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// Sets every gradient to zero.
    pub fn fill_zero(&mut self) {
        self.tensors.iter_mut().for_each(Tensor::fill_zero);
    }
}
