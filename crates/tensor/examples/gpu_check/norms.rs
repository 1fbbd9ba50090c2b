//! Norms, rotations and column sums against the CPU ops, then rates.

use half::bf16;
use tensor::cuda::Error;
use tensor::cuda::ops::norm::{self, LayerStats, NormGradients, Residual};
use tensor::cuda::ops::reduce;
use tensor::ops::{layer_norm, linear, rms_norm};
use tensor::{Device, Tensor};

use crate::harness::Harness;

/// One rounding to bf16.
const LIMIT: f64 = 4e-3;
/// f32 results.
const WIDE_LIMIT: f64 = 1e-5;
const EPS: f32 = 1e-6;

fn cpu(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(&Device::Cpu, values, shape).unwrap()
}

fn check_rms(h: &mut Harness, n: usize, c: usize, seed: u64) -> Result<(), Error> {
    let name = |what: &str| format!("rms_norm {n}x{c} {what}");
    let (x, delta, weight) = (h.pair(&[n, c], seed), h.pair(&[n, c], seed + 1), h.pair(&[c], seed + 2));
    let (mut sum, mut y, mut inv) = (h.poison::<bf16>(n * c), h.poison::<bf16>(n * c), h.poison::<f32>(n));
    let residual = Residual { delta: delta.gpu.view(), sum: sum.view_mut() };
    let (xv, wv) = (x.gpu.view(), weight.gpu.view());
    norm::rms_forward(&h.gpu, &h.stream, xv, Some(residual), wv, EPS, y.view_mut(), inv.view_mut())?;
    let want_sum = tensor::ops::elementwise::add(&x.cpu, &delta.cpu).unwrap();
    h.close(&name("residual"), &h.read(sum.view()), &want_sum.to_vec(), LIMIT);
    let s = cpu(h.read(sum.view()), &[n, c]);
    let (want_y, want_inv) = rms_norm::forward(&s, &weight.cpu, EPS).unwrap();
    h.close(&name("forward"), &h.read(y.view()), &want_y.to_vec(), LIMIT);
    h.close(&name("inv_rms"), &h.stream.read(inv.view())?, &want_inv.to_vec(), WIDE_LIMIT);
    let mut plain = h.poison::<bf16>(n * c);
    norm::rms_forward(&h.gpu, &h.stream, sum.view(), None, wv, EPS, plain.view_mut(), inv.view_mut())?;
    h.holds(&name("without residual gives the same bits"), h.read(plain.view()) == h.read(y.view()));
    let (dy, d_residual) = (h.pair(&[n, c], seed + 3), h.pair(&[n, c], seed + 4));
    let mut want_dw = cpu(vec![0.5; c], &[c]);
    let mut want_dx = rms_norm::backward(&dy.cpu, &s, &weight.cpu, &want_inv, &mut want_dw).unwrap();
    tensor::ops::elementwise::add_assign(&mut want_dx, &d_residual.cpu).unwrap();
    let mut dx = d_residual.gpu;
    let mut d_weight = h.gpu.upload(&h.stream, &vec![0.5f32; c], "d_weight")?;
    let mut scratch = h.poison::<f32>(norm::backward_scratch(&h.gpu, c));
    let gradients = NormGradients { dx: dx.view_mut(), accumulate: true, d_weight: d_weight.view_mut() };
    let (dyv, sv) = (dy.gpu.view(), sum.view());
    norm::rms_backward(&h.gpu, &h.stream, dyv, sv, wv, inv.view(), gradients, scratch.view_mut())?;
    h.close(&name("dx + residual"), &h.read(dx.view()), &want_dx.to_vec(), LIMIT);
    h.close(&name("d_weight"), &h.stream.read(d_weight.view())?, &want_dw.to_vec(), WIDE_LIMIT);
    Ok(())
}

fn check_layer(h: &mut Harness, n: usize, c: usize, seed: u64) -> Result<(), Error> {
    let name = |what: &str| format!("layer_norm {n}x{c} {what}");
    let (x, weight, bias) = (h.pair(&[n, c], seed), h.pair(&[c], seed + 1), h.pair(&[c], seed + 2));
    let (mut y, mut mean, mut inv) = (h.poison::<bf16>(n * c), h.poison::<f32>(n), h.poison::<f32>(n));
    let stats = LayerStats { mean: mean.view_mut(), inv_std: inv.view_mut() };
    let (xv, wv, bv) = (x.gpu.view(), weight.gpu.view(), bias.gpu.view());
    norm::layer_forward(&h.gpu, &h.stream, xv, None, wv, bv, EPS, y.view_mut(), stats)?;
    let (want_y, want) = layer_norm::forward(&x.cpu, &weight.cpu, &bias.cpu, EPS).unwrap();
    h.close(&name("forward"), &h.read(y.view()), &want_y.to_vec(), LIMIT);
    h.close(&name("inv_std"), &h.stream.read(inv.view())?, &want.inv_std_n.to_vec(), WIDE_LIMIT);
    let dy = h.pair(&[n, c], seed + 3);
    let (mut want_dw, mut want_db) = (cpu(vec![0.5; c], &[c]), cpu(vec![0.25; c], &[c]));
    let want_dx = layer_norm::backward(&dy.cpu, &x.cpu, &weight.cpu, &want, &mut want_dw, &mut want_db).unwrap();
    let (mut dx, mut scratch) = (h.poison::<bf16>(n * c), h.poison::<f32>(norm::backward_scratch(&h.gpu, c)));
    let mut d_weight = h.gpu.upload(&h.stream, &vec![0.5f32; c], "d_weight")?;
    let mut d_bias = h.gpu.upload(&h.stream, &vec![0.25f32; c], "d_bias")?;
    let gradients = NormGradients { dx: dx.view_mut(), accumulate: false, d_weight: d_weight.view_mut() };
    let (dyv, stats) = (dy.gpu.view(), [mean.view(), inv.view()]);
    norm::layer_backward(&h.gpu, &h.stream, dyv, xv, wv, stats, gradients, d_bias.view_mut(), scratch.view_mut())?;
    h.close(&name("dx"), &h.read(dx.view()), &want_dx.to_vec(), LIMIT);
    h.close(&name("d_weight"), &h.stream.read(d_weight.view())?, &want_dw.to_vec(), WIDE_LIMIT);
    h.close(&name("d_bias"), &h.stream.read(d_bias.view())?, &want_db.to_vec(), WIDE_LIMIT);
    Ok(())
}

fn check_bias(h: &mut Harness, n: usize, c: usize, seed: u64) -> Result<(), Error> {
    let dy = h.pair(&[n, c], seed);
    let mut want = cpu(vec![0.5; c], &[c]);
    linear::backward_bias(&dy.cpu, &mut want).unwrap();
    let mut d_bias = h.gpu.upload(&h.stream, &vec![0.5f32; c], "d_bias")?;
    let mut scratch = h.poison::<f32>(reduce::bias_scratch(c));
    reduce::bias_gradient(&h.gpu, &h.stream, dy.gpu.view(), d_bias.view_mut(), scratch.view_mut())?;
    h.close(&format!("bias gradient {n}x{c}"), &h.stream.read(d_bias.view())?, &want.to_vec(), WIDE_LIMIT);
    Ok(())
}

fn bench(h: &mut Harness, n: usize, c: usize) -> Result<(), Error> {
    let (x, delta, w) = (h.device(n * c, 1)?, h.device(n * c, 2)?, h.device(c, 3)?);
    let (mut sum, mut y) = (h.gpu.unset::<bf16>(n * c, "sum")?, h.gpu.unset::<bf16>(n * c, "y")?);
    let (mut mean, mut inv) = (h.gpu.unset::<f32>(n, "mean")?, h.gpu.unset::<f32>(n, "inv")?);
    let (mut dw, mut db) = (h.gpu.zeros::<f32>(&h.stream, c, "dw")?, h.gpu.zeros::<f32>(&h.stream, c, "db")?);
    let mut scratch = h.gpu.unset::<f32>(norm::backward_scratch(&h.gpu, c).max(reduce::bias_scratch(c)), "scratch")?;
    let size = (2 * n * c) as f64;
    let ms = h.time(4, || {
        let residual = Residual { delta: delta.view(), sum: sum.view_mut() };
        norm::rms_forward(&h.gpu, &h.stream, x.view(), Some(residual), w.view(), EPS, y.view_mut(), inv.view_mut())
    })?;
    h.bytes(&format!("residual + rms_norm {n}x{c} forward"), ms, 4.0 * size);
    let ms = h.time(4, || {
        let g = NormGradients { dx: sum.view_mut(), accumulate: true, d_weight: dw.view_mut() };
        let (dy, s) = (delta.view(), x.view());
        norm::rms_backward(&h.gpu, &h.stream, dy, s, w.view(), inv.view(), g, scratch.view_mut())
    })?;
    h.bytes(&format!("residual + rms_norm {n}x{c} backward"), ms, 4.0 * size);
    let ms = h.time(4, || {
        let residual = Residual { delta: delta.view(), sum: sum.view_mut() };
        let stats = LayerStats { mean: mean.view_mut(), inv_std: inv.view_mut() };
        norm::layer_forward(&h.gpu, &h.stream, x.view(), Some(residual), w.view(), w.view(), EPS, y.view_mut(), stats)
    })?;
    h.bytes(&format!("residual + layer_norm {n}x{c} forward"), ms, 4.0 * size);
    let ms = h.time(4, || {
        let g = NormGradients { dx: sum.view_mut(), accumulate: true, d_weight: dw.view_mut() };
        let stats = [mean.view(), inv.view()];
        let (dy, s) = (delta.view(), x.view());
        norm::layer_backward(&h.gpu, &h.stream, dy, s, w.view(), stats, g, db.view_mut(), scratch.view_mut())
    })?;
    h.bytes(&format!("residual + layer_norm {n}x{c} backward"), ms, 4.0 * size);
    let ms = h.time(4, || reduce::bias_gradient(&h.gpu, &h.stream, x.view(), db.view_mut(), scratch.view_mut()))?;
    h.bytes(&format!("bias gradient {n}x{c}"), ms, size);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let sizes = [(1, 8), (3, 64), (257, 1024), (1031, 2048), (63, 1152), (130, 4096), (37, 4608), (5, 8192)];
    for (seed, (n, c)) in sizes.into_iter().enumerate() {
        let seed = 11 * seed as u64;
        h.attempt("rms_norm", |h| check_rms(h, n, c, seed));
        h.attempt("layer_norm", |h| check_layer(h, n, c, seed));
        h.attempt("bias gradient", |h| check_bias(h, n, c, seed));
    }
    h.attempt("bias gradient", |h| check_bias(h, 20000, 4304, 5));
    if timed {
        for (n, c) in [(41216, 1024), (20608, 1152), (24000, 2048), (24000, 4096)] {
            h.attempt("norm rates", |h| bench(h, n, c));
        }
    }
}
