//! Residual add, scale, and the splitting and joining of columns.

use rayon::prelude::*;

use crate::cpu::loops;
use crate::{Device, Error, Result, Tensor};

const OP: &str = "elementwise";

/// `acc += x`.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn add_assign(acc: &mut Tensor, x: &Tensor) -> Result<()> {
    x.expect(OP, "x", acc.shape())?;
    match x.device() {
        Device::Cpu => loops::update2(acc.cpu_mut(), x.cpu(), plus),
    }
    Ok(())
}

/// `a + b` as a new tensor.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    b.expect(OP, "b", a.shape())?;
    let mut sum = a.unset_like();
    match a.device() {
        Device::Cpu => loops::map2(sum.cpu_mut(), a.cpu(), b.cpu(), plus),
    }
    Ok(sum)
}

#[inline(always)]
fn plus(a: f32, b: f32) -> f32 {
    a + b
}

/// `x *= factor`.
///
/// # Errors
/// None on the CPU.
pub fn scale(x: &mut Tensor, factor: f32) -> Result<()> {
    match x.device() {
        Device::Cpu => loops::update(
            x.cpu_mut(),
            #[inline(always)]
            |v| v * factor,
        ),
    }
    Ok(())
}

/// Splits `x (N, sum of widths)` into column blocks of the given widths.
///
/// # Errors
/// [`Error::Shape`] if the widths do not add up to the last dimension of `x`.
pub fn split_columns(x: &Tensor, widths: &[usize]) -> Result<Vec<Tensor>> {
    if widths.iter().sum::<usize>() != x.cols() {
        return Err(Error::shape(OP, "x", format!("columns that split into {widths:?}"), x.shape()));
    }
    let rows = x.rows();
    let mut parts: Vec<Tensor> = widths.iter().map(|&width| Tensor::unset(&x.device(), &[rows, width])).collect();
    match x.device() {
        Device::Cpu => {
            let mut start = 0;
            for (part, &width) in parts.iter_mut().zip(widths) {
                copy_columns(x.cpu(), x.cols(), start, part.cpu_mut(), width, 0, width);
                start += width;
            }
        }
    }
    Ok(parts)
}

/// Joins column blocks side by side; the inverse of [`split_columns`].
///
/// # Errors
/// [`Error::Argument`] if there is no part, [`Error::Shape`] if the parts differ in rows.
pub fn concat_columns(parts: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = parts.first() else {
        return Err(Error::argument(OP, "concat_columns needs at least one part"));
    };
    let (rows, cols) = (first.rows(), parts.iter().map(|part| part.cols()).sum());
    if let Some(odd) = parts.iter().find(|part| part.rows() != rows) {
        return Err(Error::shape(OP, "part", format!("{rows} rows"), odd.shape()));
    }
    let mut joined = Tensor::unset(&first.device(), &[rows, cols]);
    match first.device() {
        Device::Cpu => {
            let mut start = 0;
            for part in parts {
                copy_columns(part.cpu(), part.cols(), 0, joined.cpu_mut(), cols, start, part.cols());
                start += part.cols();
            }
        }
    }
    Ok(joined)
}

/// Copies `width` columns of every row, from column `from_col` of `from` to column `to_col` of `to`.
fn copy_columns(
    from: &[f32],
    from_cols: usize,
    from_col: usize,
    to: &mut [f32],
    to_cols: usize,
    to_col: usize,
    width: usize,
) {
    if width == 0 {
        return;
    }
    let rows = to.par_chunks_exact_mut(to_cols).zip(from.par_chunks_exact(from_cols));
    rows.with_min_len(loops::task_rows(width)).for_each(|(to, from)| {
        to[to_col..to_col + width].copy_from_slice(&from[from_col..from_col + width]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, tensor};

    #[test]
    fn adds_and_scales() {
        for n in [0, 1, 17, 40_000] {
            let (a, b) = (random(&[n], 1), random(&[n], 2));
            let want: Vec<f32> = a.cpu().iter().zip(b.cpu()).map(|(a, b)| a + b).collect();
            assert_eq!(add(&a, &b).unwrap().to_vec(), want);
            let mut acc = a.clone();
            add_assign(&mut acc, &b).unwrap();
            assert_eq!(acc.to_vec(), want);
            scale(&mut acc, 2.0).unwrap();
            assert!(acc.cpu().iter().zip(&want).all(|(got, want)| *got == 2.0 * want));
        }
        assert!(add(&random(&[2], 1), &random(&[3], 1)).is_err());
        assert!(add_assign(&mut random(&[2], 1), &random(&[2, 1], 1)).is_err());
    }

    #[test]
    fn columns_split_and_join() {
        let x = tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
        let parts = split_columns(&x, &[1, 0, 2]).unwrap();
        assert_eq!(
            parts.iter().map(Tensor::to_vec).collect::<Vec<_>>(),
            [vec![1.0, 4.0], vec![], vec![2.0, 3.0, 5.0, 6.0]]
        );
        assert_eq!(concat_columns(&parts.iter().collect::<Vec<_>>()).unwrap().to_vec(), x.to_vec());
        assert!(split_columns(&x, &[1, 1]).is_err());
        assert!(concat_columns(&[]).is_err());
        assert!(concat_columns(&[&x, &random(&[3, 1], 1)]).is_err());
    }
}
