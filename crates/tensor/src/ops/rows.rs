//! Gathering, scattering and scatter-adding rows (image features into text, DeepStack, window order, labelled rows).

use rayon::prelude::*;

use crate::cpu::loops;
use crate::cpu::matrix::{Mat, MatMut};
use crate::{Device, Error, Indices, Result, Tensor};

const OP: &str = "rows";

/// `y_MC = x_NC[rows]`.
///
/// # Errors
/// [`Error::Index`] if a row is outside `x`.
pub fn gather(x_nc: &Tensor, rows_m: &Indices) -> Result<Tensor> {
    rows_m.check_below(OP, x_nc.rows())?;
    let cols = x_nc.cols();
    let mut y = Tensor::unset(&x_nc.device(), &[rows_m.len(), cols]);
    match x_nc.device() {
        Device::Cpu if cols > 0 => {
            let rows = loops::task_rows(cols);
            let tasks = y.cpu_mut().par_chunks_mut(rows * cols).zip(rows_m.cpu().par_chunks(rows));
            tasks.for_each(|(y, rows)| {
                y.chunks_exact_mut(cols)
                    .zip(rows)
                    .for_each(|(y, &row)| y.copy_from_slice(row_of(x_nc.cpu(), row, cols)));
            });
        }
        Device::Cpu => {}
    }
    Ok(y)
}

/// `x_NC[rows] = src_MC`; rows must be distinct.
///
/// # Errors
/// [`Error::Shape`] if the widths or counts do not match, [`Error::Index`] if a row is outside `x`.
pub fn scatter(x_nc: &mut Tensor, rows_m: &Indices, src_mc: &Tensor) -> Result<()> {
    check_source(x_nc, rows_m, src_mc)?;
    match x_nc.device() {
        Device::Cpu => {
            let cols = x_nc.cols();
            let x = x_nc.cpu_mut();
            for (i, &row) in rows_m.cpu().iter().enumerate() {
                x[row as usize * cols..][..cols].copy_from_slice(&src_mc.cpu()[i * cols..][..cols]);
            }
        }
    }
    Ok(())
}

/// `x_NC[rows] += src_MC`, in order.
///
/// # Errors
/// [`Error::Shape`] if the widths or counts do not match, [`Error::Index`] if a row is outside `x`.
pub fn scatter_add(x_nc: &mut Tensor, rows_m: &Indices, src_mc: &Tensor) -> Result<()> {
    check_source(x_nc, rows_m, src_mc)?;
    match x_nc.device() {
        Device::Cpu => add_rows(x_nc, rows_m, None, src_mc),
    }
    Ok(())
}

/// `x_NC[rows] = 0`.
///
/// # Errors
/// [`Error::Index`] if a row is outside `x`.
pub fn zero(x_nc: &mut Tensor, rows_m: &Indices) -> Result<()> {
    rows_m.check_below(OP, x_nc.rows())?;
    match x_nc.device() {
        Device::Cpu => {
            let cols = x_nc.cols();
            let x = x_nc.cpu_mut();
            rows_m.cpu().iter().for_each(|&row| x[row as usize * cols..][..cols].fill(0.0));
        }
    }
    Ok(())
}

/// Writes `src` over rows `start..start + src.rows()` of `x` (a KV cache's append).
///
/// # Errors
/// [`Error::Shape`] if the widths differ or the rows reach past the end of `x`.
pub fn write_at(x_nc: &mut Tensor, start: usize, src_mc: &Tensor) -> Result<()> {
    let cols = x_nc.cols();
    src_mc.expect_cols(OP, "src", cols)?;
    let room = x_nc.rows().checked_sub(start);
    if room.is_none_or(|room| src_mc.rows() > room) {
        return Err(Error::shape(
            OP,
            "src",
            format!("at most {} rows from row {start}", room.unwrap_or(0)),
            src_mc.shape(),
        ));
    }
    match x_nc.device() {
        Device::Cpu => x_nc.cpu_mut()[start * cols..][..src_mc.len()].copy_from_slice(src_mc.cpu()),
    }
    Ok(())
}

/// `x[rows[i]] += weights[i] * src[i]` in the order of `i`; every task owns a range of columns.
pub(super) fn add_rows(x_nc: &mut Tensor, rows_m: &Indices, weights_m: Option<&[f32]>, src_mc: &Tensor) {
    let (rows, cols) = (x_nc.rows(), x_nc.cols());
    let src = Mat::new(src_mc.cpu(), rows_m.len(), cols);
    let width = column_task_width(cols, src_mc.len());
    let tiles = MatMut::new(x_nc.cpu_mut(), rows, cols).into_column_tiles(width);
    tiles.into_par_iter().enumerate().for_each(|(tile_index, mut tile)| {
        let src = src.block(0, src.rows, tile_index * width, tile.cols);
        for (i, &row) in rows_m.cpu().iter().enumerate() {
            let weight = weights_m.map_or(1.0, |weights| weights[i]);
            tile.row(row as usize).iter_mut().zip(src.row(i)).for_each(|(x, &s)| *x += weight * s);
        }
    });
}

/// Columns a task owns: all of them if the work is small.
fn column_task_width(cols: usize, work: usize) -> usize {
    if work <= loops::TASK_VALUES { cols } else { cols.div_ceil(rayon::current_num_threads()).next_multiple_of(64) }
}

fn check_source(x: &Tensor, rows: &Indices, src: &Tensor) -> Result<()> {
    rows.check_below(OP, x.rows())?;
    src.expect_cols(OP, "src", x.cols())?;
    if src.rows() == rows.len() {
        Ok(())
    } else {
        Err(Error::shape(OP, "src", format!("{} rows", rows.len()), src.shape()))
    }
}

/// Row `row` (already checked) of a row-major matrix.
fn row_of(x: &[f32], row: i32, cols: usize) -> &[f32] {
    &x[row as usize * cols..][..cols]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, tensor};

    fn indices(values: &[i32]) -> Indices {
        Indices::new(&Device::Cpu, values.to_vec())
    }

    #[test]
    fn every_op_on_a_small_matrix() {
        let x = tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
        let src = tensor([10.0, 20.0, 30.0, 40.0], &[2, 2]);
        let rows = indices(&[2, 0]);
        assert_eq!(gather(&x, &rows).unwrap().to_vec(), [5.0, 6.0, 1.0, 2.0]);
        let after = |change: &dyn Fn(&mut Tensor) -> Result<()>| {
            let mut x = x.clone();
            change(&mut x).map(|()| x.to_vec())
        };
        assert_eq!(after(&|x| scatter(x, &rows, &src)).unwrap(), [30.0, 40.0, 3.0, 4.0, 10.0, 20.0]);
        assert_eq!(after(&|x| scatter_add(x, &rows, &src)).unwrap(), [31.0, 42.0, 3.0, 4.0, 15.0, 26.0]);
        assert_eq!(after(&|x| zero(x, &rows)).unwrap(), [0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
        assert_eq!(after(&|x| write_at(x, 1, &src)).unwrap(), [1.0, 2.0, 10.0, 20.0, 30.0, 40.0]);
        assert!(after(&|x| write_at(x, 2, &src)).is_err());
        assert!(after(&|x| write_at(x, usize::MAX, &src)).is_err());
        assert!(after(&|x| scatter(x, &indices(&[0, 3]), &src)).is_err());
        assert!(after(&|x| scatter_add(x, &indices(&[0]), &src)).is_err());
        assert!(gather(&x, &indices(&[-1])).is_err());
    }

    #[test]
    fn wide_scatter_adds_are_split_by_columns() {
        let (targets, src) = (indices(&[1, 0, 1, 1].repeat(30)), random(&[120, 1000], 1));
        let mut x = random(&[2, 1000], 2);
        let mut want = x.to_vec();
        for (i, &row) in targets.cpu().iter().enumerate() {
            (0..1000).for_each(|c| want[row as usize * 1000 + c] += src.cpu()[i * 1000 + c]);
        }
        scatter_add(&mut x, &targets, &src).unwrap();
        assert_eq!(x.to_vec(), want);
    }
}
