//! Weighted sum of four rows of a learned table: bilinear interpolation of position embeddings.

use rayon::prelude::*;

use super::rows;
use crate::cpu::loops;
use crate::cpu::matrix::Mat;
use crate::{Device, Indices, Result, Tensor};

const OP: &str = "position_table";

/// `y_PC = sum over k of weights_4P[k] * table_SC[corners[k]]`; the four corner lists have `P` entries each.
///
/// # Errors
/// [`crate::Error::Shape`] if the lists differ in length, [`crate::Error::Index`] if a corner is outside the table.
pub fn forward(table_sc: &Tensor, corners_p: &[Indices; 4], weights_4p: &Tensor) -> Result<Tensor> {
    let patches = check(table_sc, corners_p, weights_4p)?;
    let cols = table_sc.cols();
    let mut y = Tensor::zeros(&table_sc.device(), &[patches, cols]);
    match table_sc.device() {
        Device::Cpu if cols > 0 => {
            let (rows, table) = (loops::task_rows(cols), Mat::new(table_sc.cpu(), table_sc.rows(), cols));
            y.cpu_mut().par_chunks_mut(rows * cols).enumerate().for_each(|(task, y)| {
                for (i, y) in y.chunks_exact_mut(cols).enumerate() {
                    let patch = task * rows + i;
                    for (k, corners) in corners_p.iter().enumerate() {
                        let weight = weights_4p.cpu()[k * patches + patch];
                        let row = table.row(corners.cpu()[patch] as usize);
                        y.iter_mut().zip(row).for_each(|(y, t)| *y += weight * t);
                    }
                }
            });
        }
        Device::Cpu => {}
    }
    Ok(y)
}

/// `d_table_SC[corners[k]] += weights_4P[k] * dy_PC`, in a fixed order (corner by corner, patch by patch).
///
/// # Errors
/// [`crate::Error::Shape`] if the lists or `dy` do not match, [`crate::Error::Index`] if a corner is outside the table.
pub fn backward(dy_pc: &Tensor, corners_p: &[Indices; 4], weights_4p: &Tensor, d_table_sc: &mut Tensor) -> Result<()> {
    let patches = check(d_table_sc, corners_p, weights_4p)?;
    dy_pc.expect(OP, "dy", &[patches, d_table_sc.cols()])?;
    match dy_pc.device() {
        Device::Cpu => {
            for (k, corners) in corners_p.iter().enumerate() {
                let weights = &weights_4p.cpu()[k * patches..][..patches];
                rows::add_rows(d_table_sc, corners, Some(weights), dy_pc);
            }
        }
    }
    Ok(())
}

/// Checks the lists and returns the number of patches.
fn check(table: &Tensor, corners: &[Indices; 4], weights: &Tensor) -> Result<usize> {
    let patches = corners[0].len();
    weights.expect(OP, "weights", &[4, patches])?;
    for list in corners {
        list.check_below(OP, table.rows())?;
        if list.len() != patches {
            return Err(crate::Error::shape(OP, "corners", format!("({patches},) as the first list"), &[list.len()]));
        }
    }
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, weigh, wide};

    #[test]
    fn forward_and_gradient() {
        let corners: [Vec<i32>; 4] = [vec![0, 1, 4], vec![1, 1, 4], vec![3, 2, 0], vec![4, 2, 1]];
        let lists = corners.clone().map(|list| Indices::new(&Device::Cpu, list));
        let (table, weights, dy) = (random(&[5, 7], 1), random(&[4, 3], 2), random(&[3, 7], 3));
        let (wt, ww, wdy) = (wide(&table), wide(&weights), wide(&dy));
        let naive = |table: &[f64]| -> Vec<f64> {
            let value =
                |p: usize, c: usize| (0..4).map(|k| ww[k * 3 + p] * table[corners[k][p] as usize * 7 + c]).sum();
            (0..21).map(|i| value(i / 7, i % 7)).collect()
        };
        check_close("y", &forward(&table, &lists, &weights).unwrap(), &naive(&wt), 1e-6);
        let mut d_table = table.zeros_like();
        backward(&dy, &lists, &weights, &mut d_table).unwrap();
        check_close("d_table", &d_table, &gradient(&wt, |t| weigh(&naive(t), &wdy)), 1e-6);
        assert!(forward(&random(&[4, 7], 1), &lists, &weights).is_err());
        assert!(forward(&table, &lists, &random(&[4, 2], 1)).is_err());
    }
}
