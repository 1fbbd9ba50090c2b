//! Global norm and AdamW.

use rayon::prelude::*;

use crate::cpu::{loops, math};
use crate::{Device, Error, Result, Tensor};

const OP: &str = "adamw";

/// Sum of squares of all values, in f64, in a fixed order whatever the thread count.
///
/// # Errors
/// None on the CPU.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    match x.device() {
        Device::Cpu => {
            let partials: Vec<f64> = x.cpu().par_chunks(loops::TASK_VALUES).map(sum_of_squares_cpu).collect();
            Ok(partials.iter().sum())
        }
    }
}

/// Coefficients of one AdamW update (decoupled weight decay, as `torch.optim.AdamW`).
///
/// They are f64 because torch keeps them so: `1 - 0.999` in f32 is off by 1e-5.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// First-moment decay.
    pub beta1: f64,
    /// Second-moment decay.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay, multiplied by `lr`.
    pub weight_decay: f64,
    /// 1-based number of this step.
    pub step: u64,
    /// Factor on every gradient (the clip).
    pub grad_scale: f32,
}

/// Updates `param`, `moment1`, `moment2` in place.
///
/// Order as in `torch.optim.AdamW`: decay, moments, then `param -= lr/bc1 * m / (sqrt(v)/sqrt(bc2) + eps)` with
/// `bc = 1 - beta^step`.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ, [`Error::Argument`] if `step` is 0.
pub fn adamw(
    param: &mut Tensor,
    grad: &Tensor,
    moment1: &mut Tensor,
    moment2: &mut Tensor,
    adamw: AdamW,
) -> Result<()> {
    grad.expect(OP, "grad", param.shape())?;
    moment1.expect(OP, "moment1", param.shape())?;
    moment2.expect(OP, "moment2", param.shape())?;
    if adamw.step == 0 {
        return Err(Error::argument(OP, "steps are counted from 1"));
    }
    match param.device() {
        Device::Cpu => adamw_cpu(param.cpu_mut(), grad.cpu(), moment1.cpu_mut(), moment2.cpu_mut(), adamw),
    }
    Ok(())
}

fn sum_of_squares_cpu(x: &[f32]) -> f64 {
    loops::vectorized(
        #[inline(always)]
        || math::sum_map([x], |[x]| f64::from(x) * f64::from(x)),
    )
}

fn adamw_cpu(param: &mut [f32], grad: &[f32], moment1: &mut [f32], moment2: &mut [f32], adamw: AdamW) {
    let power = |beta: f64| beta.powf(adamw.step as f64);
    let decay = (1.0 - adamw.lr * adamw.weight_decay) as f32;
    let step_size = (adamw.lr / (1.0 - power(adamw.beta1))) as f32;
    let root_bc2 = (1.0 - power(adamw.beta2)).sqrt() as f32;
    let (new1, beta2, new2) = ((1.0 - adamw.beta1) as f32, adamw.beta2 as f32, (1.0 - adamw.beta2) as f32);
    let eps = adamw.eps as f32;
    let size = loops::TASK_VALUES;
    let tasks = param.par_chunks_mut(size).zip(grad.par_chunks(size));
    tasks.zip(moment1.par_chunks_mut(size)).zip(moment2.par_chunks_mut(size)).for_each(
        |(((param, grad), moment1), moment2)| {
            loops::vectorized(
                #[inline(always)]
                || {
                    let values = param.iter_mut().zip(grad).zip(moment1).zip(moment2);
                    for (((param, &grad), m), v) in values {
                        let grad = grad * adamw.grad_scale;
                        *m += new1 * (grad - *m);
                        *v = *v * beta2 + new2 * grad * grad;
                        *param = *param * decay - step_size * *m / (v.sqrt() / root_bc2 + eps);
                    }
                },
            );
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, random, wide};

    #[test]
    fn ten_steps_follow_the_definition() {
        let coefficients =
            |step| AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step, grad_scale: 0.5 };
        let mut param = random(&[65], 1);
        let (mut m, mut v) = (param.zeros_like(), param.zeros_like());
        let mut want: Vec<[f64; 3]> = wide(&param).into_iter().map(|p| [p, 0.0, 0.0]).collect();
        for step in 1..=10 {
            let grad = random(&[65], 100 + step);
            adamw(&mut param, &grad, &mut m, &mut v, coefficients(step)).unwrap();
            for ([p, m, v], g) in want.iter_mut().zip(wide(&grad)) {
                let g = 0.5 * g;
                *p -= 1e-2 * 0.1 * *p;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (m_hat, v_hat) = (*m / (1.0 - 0.9f64.powi(step as i32)), *v / (1.0 - 0.999f64.powi(step as i32)));
                *p -= 1e-2 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        for (i, (what, got)) in [("param", &param), ("moment1", &m), ("moment2", &v)].into_iter().enumerate() {
            check_close(what, got, &want.iter().map(|w| w[i]).collect::<Vec<_>>(), 1e-6);
        }
        assert!(adamw(&mut param, &m.clone(), &mut m, &mut v, coefficients(0)).is_err());
        assert!(adamw(&mut param, &random(&[64], 1), &mut m, &mut v, coefficients(1)).is_err());
    }

    #[test]
    fn the_norm_does_not_depend_on_the_thread_count() {
        let x = random(&[100_003], 1);
        let want: f64 = wide(&x).iter().map(|v| v * v).sum();
        let run = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| sum_of_squares(&x).unwrap())
        };
        assert!((run(1) - want).abs() < 1e-9 * want);
        assert_eq!(run(1).to_bits(), run(5).to_bits());
    }
}
