//! Column blocks of packed rows: queries, keys and values inside the result of one projection.

use std::marker::PhantomData;

use half::bf16;

use super::driver::DevicePtr;
use super::memory::{View, ViewMut};
use super::{Error, Result};

const OP: &str = "columns";

/// `width` columns of `rows` rows that lie `stride` values apart, to read.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub(crate) ptr: DevicePtr,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
    owner: PhantomData<&'a bf16>,
}

/// `width` columns of `rows` rows that lie `stride` values apart, to write.
#[derive(Debug)]
pub struct ColumnsMut<'a> {
    pub(crate) ptr: DevicePtr,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
    owner: PhantomData<&'a mut bf16>,
}

impl<'a> View<'a, bf16> {
    /// The rows as blocks of columns of these widths, side by side.
    ///
    /// # Errors
    /// [`Error::Argument`] if the values are no whole number of rows, or a width no multiple of 8 (16 bytes).
    pub fn split_columns<const BLOCKS: usize>(self, widths: [usize; BLOCKS]) -> Result<[Columns<'a>; BLOCKS]> {
        let (rows, stride) = rows(self.len, &widths)?;
        let mut ptr = self.ptr;
        Ok(widths.map(|width| {
            let block = Columns { ptr, rows, width, stride, owner: PhantomData };
            ptr += 2 * width as u64;
            block
        }))
    }
}

impl<'a> ViewMut<'a, bf16> {
    /// The rows as blocks of columns of these widths, side by side; they do not overlap.
    ///
    /// # Errors
    /// As [`View::split_columns`].
    pub fn split_columns_mut<const BLOCKS: usize>(self, widths: [usize; BLOCKS]) -> Result<[ColumnsMut<'a>; BLOCKS]> {
        let (rows, stride) = rows(self.len, &widths)?;
        let mut ptr = self.ptr;
        Ok(widths.map(|width| {
            let block = ColumnsMut { ptr, rows, width, stride, owner: PhantomData };
            ptr += 2 * width as u64;
            block
        }))
    }
}

impl<'a> ColumnsMut<'a> {
    /// The same columns, to read, for an op that may write them as well.
    pub(crate) fn into_columns(self) -> Columns<'a> {
        Columns { ptr: self.ptr, rows: self.rows, width: self.width, stride: self.stride, owner: PhantomData }
    }

    /// A second handle to the same columns, for kernels that work in place.
    pub(crate) fn alias(&self) -> Self {
        Self { ptr: self.ptr, rows: self.rows, width: self.width, stride: self.stride, owner: PhantomData }
    }

    /// The same columns for a shorter time.
    pub fn reborrow(&mut self) -> ColumnsMut<'_> {
        ColumnsMut { ptr: self.ptr, rows: self.rows, width: self.width, stride: self.stride, owner: PhantomData }
    }
}

fn rows(len: usize, widths: &[usize]) -> Result<(usize, usize)> {
    let stride: usize = widths.iter().sum();
    if stride == 0 || !len.is_multiple_of(stride) || widths.iter().any(|width| !width.is_multiple_of(8)) {
        let message = format!("{len} values do not split into columns of {widths:?} (each a multiple of 8)");
        return Err(Error::argument(OP, message));
    }
    Ok((len / stride, stride))
}
