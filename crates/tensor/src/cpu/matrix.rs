//! Borrowed two-dimensional views, so that tasks can own disjoint tiles of one buffer.

use std::marker::PhantomData;

/// A read-only strided matrix.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row-major view of the first `rows * cols` values.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data: &data[..rows * cols], rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The view of `rows` rows from `row0` and `cols` columns from `col0`.
    pub fn block(self, row0: usize, rows: usize, col0: usize, cols: usize) -> Self {
        assert!(row0 + rows <= self.rows && col0 + cols <= self.cols, "block outside the matrix");
        if rows == 0 || cols == 0 {
            return Self { data: &[], rows, cols, ..self };
        }
        let start = row0 * self.row_stride + col0 * self.col_stride;
        let end = (row0 + rows - 1) * self.row_stride + (col0 + cols - 1) * self.col_stride + 1;
        Self { data: &self.data[start..end], rows, cols, ..self }
    }

    /// Row `i` of a view whose columns are adjacent.
    pub fn row(&self, i: usize) -> &'a [f32] {
        debug_assert_eq!(self.col_stride, 1);
        &self.data[i * self.row_stride..][..self.cols]
    }

    pub(super) fn parts(&self) -> (*const f32, isize, isize) {
        (self.data.as_ptr(), self.row_stride as isize, self.col_stride as isize)
    }
}

/// A mutable matrix with adjacent columns: a tile that nobody else reads or writes.
pub(crate) struct MatMut<'a> {
    ptr: *mut f32,
    pub rows: usize,
    pub cols: usize,
    row_stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: a tile covers elements that no other live view covers (tiles come only from splitting one exclusive
// borrow), so moving it to another thread moves exclusive access, as for `&mut [f32]`.
unsafe impl Send for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// Row-major view of the first `rows * cols` values.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        let ptr = data[..rows * cols].as_mut_ptr();
        Self { ptr, rows, cols, row_stride: cols, owner: PhantomData }
    }

    /// The same tile for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { ptr: self.ptr, rows: self.rows, cols: self.cols, row_stride: self.row_stride, owner: PhantomData }
    }

    /// The first `at` rows and the rest.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "split outside the matrix");
        let tail = self.ptr.wrapping_add(at * self.row_stride);
        (Self { rows: at, ..self }, Self { ptr: tail, rows: self.rows - at, ..self })
    }

    /// The first `at` columns and the rest.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        assert!(at <= self.cols, "split outside the matrix");
        let tail = self.ptr.wrapping_add(at);
        (Self { cols: at, ..self }, Self { ptr: tail, cols: self.cols - at, ..self })
    }

    /// `rows` rows from `row0`, for a shorter time.
    pub fn row_block(&mut self, row0: usize, rows: usize) -> MatMut<'_> {
        self.reborrow().split_rows(row0).1.split_rows(rows).0
    }

    /// Column tiles of `width`, the last one possibly narrower.
    pub fn into_column_tiles(self, width: usize) -> Vec<Self> {
        let mut tiles = Vec::with_capacity(self.cols.div_ceil(width.max(1)));
        let mut rest = self;
        while rest.cols > 0 {
            let at = width.min(rest.cols);
            let (tile, tail) = rest.split_cols(at);
            tiles.push(tile);
            rest = tail;
        }
        tiles
    }

    /// Row `i`.
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row outside the matrix");
        // SAFETY: rows `0..self.rows` of `self.cols` values each lie inside the exclusive borrow this tile was
        // split from, and the result borrows `self` mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(i * self.row_stride), self.cols) }
    }

    pub(super) fn parts(&mut self) -> (*mut f32, isize) {
        (self.ptr, self.row_stride as isize)
    }
}
