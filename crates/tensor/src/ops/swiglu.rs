//! `silu(gate) * up`.

use rayon::prelude::*;

use super::silu;
use crate::cpu::loops;
use crate::{Device, Result, Tensor};

const OP: &str = "swiglu";

/// `y = silu(gate) * up`, all of one shape.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    up.expect(OP, "up", gate.shape())?;
    let mut y = gate.unset_like();
    match gate.device() {
        Device::Cpu => loops::map2(y.cpu_mut(), gate.cpu(), up.cpu(), swiglu),
    }
    Ok(y)
}

#[inline(always)]
fn swiglu(gate: f32, up: f32) -> f32 {
    silu::silu(gate) * up
}

/// Returns `(d_gate, d_up)`.
///
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
pub fn backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
    dy.expect(OP, "dy", gate.shape())?;
    up.expect(OP, "up", gate.shape())?;
    let (mut d_gate, mut d_up) = (gate.unset_like(), up.unset_like());
    match gate.device() {
        Device::Cpu => backward_cpu(dy.cpu(), gate.cpu(), up.cpu(), d_gate.cpu_mut(), d_up.cpu_mut()),
    }
    Ok((d_gate, d_up))
}

fn backward_cpu(dy: &[f32], gate: &[f32], up: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
    let size = loops::TASK_VALUES;
    let inputs = dy.par_chunks(size).zip(gate.par_chunks(size)).zip(up.par_chunks(size));
    let outputs = d_gate.par_chunks_mut(size).zip(d_up.par_chunks_mut(size));
    inputs.zip(outputs).for_each(|(((dy, gate), up), (d_gate, d_up))| {
        loops::vectorized(
            #[inline(always)]
            || {
                for (((&dy, &gate), d_gate), (&up, d_up)) in dy.iter().zip(gate).zip(d_gate).zip(up.iter().zip(d_up)) {
                    *d_up = dy * silu::silu(gate);
                    *d_gate = silu::d_silu(dy * up, gate);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, gradient, random, weigh, wide};

    fn naive(gate: &[f64], up: &[f64]) -> Vec<f64> {
        gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
    }

    #[test]
    fn forward_and_gradients() {
        let [gate, up, dy] = [1, 2, 3].map(|seed| random(&[5, 33], seed));
        let (wg, wu, wdy) = (wide(&gate), wide(&up), wide(&dy));
        check_close("y", &forward(&gate, &up).unwrap(), &naive(&wg, &wu), 2e-7);
        let (d_gate, d_up) = backward(&dy, &gate, &up).unwrap();
        check_close("d_gate", &d_gate, &gradient(&wg, |g| weigh(&naive(g, &wu), &wdy)), 1e-6);
        check_close("d_up", &d_up, &gradient(&wu, |u| weigh(&naive(&wg, u), &wdy)), 1e-6);
        assert!(forward(&gate, &random(&[5, 32], 1)).is_err());
    }
}
