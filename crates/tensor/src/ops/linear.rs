//! `y = x W^T + b`, the layout of `torch.nn.Linear`.

use rayon::prelude::*;

use crate::cpu::gemm::{Threads, Write, gemm};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::{loops, math};
use crate::{Device, Error, Result, Tensor};

const OP: &str = "linear";

/// `y_NO = x_NI · weight_OI^T + bias_O`.
///
/// # Errors
/// [`Error::Shape`] if the widths do not match.
pub fn forward(x_ni: &Tensor, weight_oi: &Tensor, bias_o: Option<&Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = widths(weight_oi)?;
    x_ni.expect_cols(OP, "x", inputs)?;
    if let Some(bias) = bias_o {
        bias.expect(OP, "bias", &[outputs])?;
    }
    let mut y = Tensor::unset(&x_ni.device(), &with_cols(x_ni, outputs));
    match x_ni.device() {
        Device::Cpu => forward_cpu(x_ni.cpu(), weight_oi.cpu(), bias_o.map(Tensor::cpu), x_ni.rows(), y.cpu_mut()),
    }
    Ok(y)
}

/// `dx_NI = dy_NO · weight_OI`.
///
/// # Errors
/// [`Error::Shape`] if the widths do not match.
pub fn backward_input(dy_no: &Tensor, weight_oi: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = widths(weight_oi)?;
    dy_no.expect_cols(OP, "dy", outputs)?;
    let rows = dy_no.rows();
    let mut dx = Tensor::unset(&dy_no.device(), &with_cols(dy_no, inputs));
    match dy_no.device() {
        Device::Cpu => gemm(
            MatMut::new(dx.cpu_mut(), rows, inputs),
            Write::Set,
            1.0,
            Mat::new(dy_no.cpu(), rows, outputs),
            Mat::new(weight_oi.cpu(), outputs, inputs),
            Threads::Pool,
        ),
    }
    Ok(dx)
}

/// `d_weight_OI += dy_NO^T · x_NI`.
///
/// # Errors
/// [`Error::Shape`] if the widths or row counts do not match.
pub fn backward_weight(dy_no: &Tensor, x_ni: &Tensor, d_weight_oi: &mut Tensor) -> Result<()> {
    let (outputs, inputs) = widths(d_weight_oi)?;
    let rows = dy_no.rows();
    dy_no.expect_cols(OP, "dy", outputs)?;
    x_ni.expect_cols(OP, "x", inputs)?;
    if x_ni.rows() != rows {
        return Err(Error::shape(OP, "x", format!("({rows}, {inputs})"), x_ni.shape()));
    }
    match dy_no.device() {
        Device::Cpu => gemm(
            MatMut::new(d_weight_oi.cpu_mut(), outputs, inputs),
            Write::Add,
            1.0,
            Mat::new(dy_no.cpu(), rows, outputs).t(),
            Mat::new(x_ni.cpu(), rows, inputs),
            Threads::Pool,
        ),
    }
    Ok(())
}

/// `d_bias_O += sum over rows of dy_NO`.
///
/// # Errors
/// [`Error::Shape`] if the widths do not match.
pub fn backward_bias(dy_no: &Tensor, d_bias_o: &mut Tensor) -> Result<()> {
    d_bias_o.expect(OP, "d_bias", &[dy_no.cols()])?;
    match dy_no.device() {
        Device::Cpu => loops::add_column_sums(d_bias_o.cpu_mut(), dy_no.cpu()),
    }
    Ok(())
}

fn widths(weight_oi: &Tensor) -> Result<(usize, usize)> {
    match *weight_oi.shape() {
        [outputs, inputs] => Ok((outputs, inputs)),
        _ => Err(Error::shape(OP, "weight", "(O, I)", weight_oi.shape())),
    }
}

/// The shape of `x` with another last dimension.
fn with_cols(x: &Tensor, cols: usize) -> Vec<usize> {
    let leading = x.shape().len().saturating_sub(1);
    x.shape().iter().copied().take(leading).chain([cols]).collect()
}

/// With at most this many rows a product reads every weight for so little work that packing it would cost more.
const FEW_ROWS: usize = 4;

fn forward_cpu(x: &[f32], weight: &[f32], bias: Option<&[f32]>, rows: usize, y: &mut [f32]) {
    let (outputs, inputs) = match rows {
        0 => return,
        _ => (y.len() / rows, x.len() / rows),
    };
    let (x, weight) = (Mat::new(x, rows, inputs), Mat::new(weight, outputs, inputs));
    if rows <= FEW_ROWS {
        return forward_few_rows(x, weight, bias, y);
    }
    let write = match bias {
        None => Write::Set,
        Some(bias) => {
            let rows = y.par_chunks_exact_mut(outputs.max(1)).with_min_len(loops::task_rows(outputs));
            rows.for_each(|row| row.copy_from_slice(bias));
            Write::Add
        }
    };
    gemm(MatMut::new(y, rows, outputs), write, 1.0, x, weight.t(), Threads::Pool);
}

/// Dot products, a range of outputs a task.
fn forward_few_rows(x: Mat<'_>, weight: Mat<'_>, bias: Option<&[f32]>, y: &mut [f32]) {
    let width = loops::task_rows(weight.cols);
    let tiles = MatMut::new(y, x.rows, weight.rows).into_column_tiles(width);
    tiles.into_par_iter().enumerate().for_each(|(task, mut y)| {
        loops::vectorized(
            #[inline(always)]
            || {
                for o in 0..y.cols {
                    let output = task * width + o;
                    let weights = weight.row(output);
                    let bias = bias.map_or(0.0, |bias| bias[output]);
                    for n in 0..x.rows {
                        y.row(n)[o] = bias + math::dot(x.row(n), weights);
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, weigh, wide};

    /// `x W^T + b` in f64, by its definition.
    fn naive(x: &[f64], weight: &[f64], bias: &[f64], inputs: usize) -> Vec<f64> {
        let row = |x: &[f64], o: usize| bias[o] + weigh(x, &weight[o * inputs..][..inputs]);
        x.chunks(inputs).flat_map(|x| (0..bias.len()).map(move |o| row(x, o)).collect::<Vec<_>>()).collect()
    }

    fn check(rows: usize, inputs: usize, outputs: usize) {
        let (x, weight, bias) = (random(&[rows, inputs], 1), random(&[outputs, inputs], 2), random(&[outputs], 3));
        let dy = random(&[rows, outputs], 4);
        let (wx, ww, wb, wdy) = (wide(&x), wide(&weight), wide(&bias), wide(&dy));
        let y = forward(&x, &weight, Some(&bias)).unwrap();
        check_close("y", &y, &naive(&wx, &ww, &wb, inputs), 1e-6);
        let y = forward(&x, &weight, None).unwrap();
        check_close("y without bias", &y, &naive(&wx, &ww, &vec![0.0; outputs], inputs), 1e-6);
        let dx = gradient(&wx, |x| weigh(&naive(x, &ww, &wb, inputs), &wdy));
        check_close("dx", &backward_input(&dy, &weight).unwrap(), &dx, 1e-6);
        // The gradients are added to what is there.
        let (mut d_weight, mut d_bias) = (weight.clone(), bias.clone());
        backward_weight(&dy, &x, &mut d_weight).unwrap();
        backward_bias(&dy, &mut d_bias).unwrap();
        let plus = |old: &[f64], new: Vec<f64>| -> Vec<f64> { old.iter().zip(new).map(|(a, b)| a + b).collect() };
        check_close(
            "d_weight",
            &d_weight,
            &plus(&ww, gradient(&ww, |w| weigh(&naive(&wx, w, &wb, inputs), &wdy))),
            1e-6,
        );
        check_close("d_bias", &d_bias, &plus(&wb, gradient(&wb, |b| weigh(&naive(&wx, &ww, b, inputs), &wdy))), 1e-6);
    }

    #[test]
    fn forward_and_gradients() {
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 65, 3), (2, 7, 5), (3, 17, 4), (9, 8, 11)] {
            check(rows, inputs, outputs);
        }
    }

    #[test]
    fn leading_dimensions_are_kept() {
        let y = forward(&random(&[2, 3, 4], 1), &random(&[5, 4], 2), None).unwrap();
        assert_eq!(y.shape(), [2, 3, 5]);
    }

    #[test]
    fn a_bias_gradient_over_many_rows_is_exact() {
        let dy = random(&[5000, 3], 1);
        let mut d_bias = Tensor::zeros(&Device::Cpu, &[3]);
        backward_bias(&dy, &mut d_bias).unwrap();
        let want: Vec<f64> = (0..3).map(|c| wide(&dy).iter().skip(c).step_by(3).sum()).collect();
        check_close("d_bias", &d_bias, &want, 1e-7);
    }

    #[test]
    fn no_rows_and_wrong_widths() {
        assert_eq!(forward(&random(&[0, 4], 1), &random(&[5, 4], 2), Some(&random(&[5], 3))).unwrap().shape(), [0, 5]);
        assert!(forward(&random(&[2, 3], 1), &random(&[5, 4], 2), None).is_err());
        assert!(forward(&random(&[2, 4], 1), &random(&[5, 4], 2), Some(&random(&[4], 3))).is_err());
        assert!(backward_weight(&random(&[2, 5], 1), &random(&[3, 4], 2), &mut random(&[5, 4], 3)).is_err());
    }
}
