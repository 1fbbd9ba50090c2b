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
