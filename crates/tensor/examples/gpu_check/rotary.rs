//! q/k-norm with rotation, and rotation alone, against the CPU ops, then rates.

use half::bf16;
use tensor::cuda::ops::rotary::{self, QkNorm, Rotation};
use tensor::cuda::{Buffer, Error};
use tensor::ops::rms_norm;
use tensor::ops::rotary::{self as reference, MropeLayout, RotaryTable};
use tensor::{Device, Tensor};

use crate::harness::Harness;

const LIMIT: f64 = 4e-3;
const WIDE_LIMIT: f64 = 2e-5;
const EPS: f32 = 1e-6;
const THETA: f64 = 5e6;

/// Positions of a clip between text: what M-RoPE meets.
fn positions(tokens: usize) -> [Vec<i32>; 3] {
    [0, 1, 2].map(|axis: usize| (0..tokens).map(|i| (i / (1 + 7 * axis) + 13 * axis) as i32).collect())
}

fn table(tokens: usize, head_dim: usize) -> RotaryTable {
    let section = [head_dim / 2 - 2 * (head_dim / 6), head_dim / 6, head_dim / 6];
    reference::mrope_table(&Device::Cpu, &positions(tokens), head_dim, THETA, section, MropeLayout::Interleaved)
        .unwrap()
}

/// The table by our kernel, checked against the CPU's.
fn device_table(h: &mut Harness, tokens: usize, head_dim: usize) -> Result<(Buffer<f32>, Buffer<f32>), Error> {
    let (half, third) = (head_dim / 2, head_dim / 6);
    let axes: Vec<i32> = (0..half).map(|j| if j / 3 < third { (j % 3) as i32 } else { 0 }).collect();
    let frequency = |j: usize| 1.0 / THETA.powf(f64::from((2 * j) as f32 / head_dim as f32)) as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let positions = h.gpu.upload(&h.stream, &positions(tokens).concat(), "positions")?;
    let (frequencies, axes) = (h.gpu.upload(&h.stream, &frequencies, "f")?, h.gpu.upload(&h.stream, &axes, "axes")?);
    let (mut cos, mut sin) = (h.poison::<f32>(tokens * half), h.poison::<f32>(tokens * half));
    let (p, f, a) = (positions.view(), frequencies.view(), axes.view());
    rotary::mrope_table(&h.gpu, &h.stream, p, f, a, cos.view_mut(), sin.view_mut())?;
    h.stream.synchronize()?;
    Ok((cos, sin))
}

fn check(h: &mut Harness, tokens: usize, heads: [usize; 3], norm: bool, seed: u64) -> Result<(), Error> {
    let [q_heads, k_heads, d] = heads;
    let name = |what: &str| format!("rotary T{tokens} {q_heads}/{k_heads}x{d} norm {norm} {what}");
    let table = table(tokens, d);
    let (cos, sin) = device_table(h, tokens, d)?;
    h.close(&name("cos"), &h.stream.read(cos.view())?, &table.cos.to_vec(), 1e-6);
    h.close(&name("sin"), &h.stream.read(sin.view())?, &table.sin.to_vec(), 1e-6);
    let rotation = Rotation { head_dim: d, cos: cos.view(), sin: sin.view() };
    let widths = [q_heads * d, k_heads * d, k_heads * d];
    let stride: usize = widths.iter().sum();
    let qkv = h.pair(&[tokens, stride], seed);
    let parts = tensor::ops::elementwise::split_columns(&qkv.cpu, &widths).unwrap();
    let weights = [h.pair(&[d], seed + 1), h.pair(&[d], seed + 2)];
    let (mut q_out, mut k_out) = (h.poison::<bf16>(tokens * widths[0]), h.poison::<bf16>(tokens * widths[1]));
    let [q, k, _] = qkv.gpu.view().split_columns(widths)?;
    let qk_norm = QkNorm { q_weight: weights[0].gpu.view(), k_weight: weights[1].gpu.view(), eps: EPS };
    let [q_to] = q_out.view_mut().split_columns_mut([widths[0]])?;
    let [k_to] = k_out.view_mut().split_columns_mut([widths[1]])?;
    if norm {
        rotary::norm_forward(&h.gpu, &h.stream, rotation, qk_norm, [q, k], [q_to, k_to])?;
    } else {
        rotary::forward(&h.gpu, &h.stream, rotation, [q, k], [q_to, k_to])?;
    }
    let d_out = [h.pair(&[tokens, widths[0]], seed + 3), h.pair(&[tokens, widths[1]], seed + 4)];
    let (mut want_dx, mut want_dw) = (Vec::new(), Vec::new());
    for (i, got) in [&q_out, &k_out].into_iter().enumerate() {
        let (mut want, inv) = if norm {
            rms_norm::forward(&parts[i], &weights[i].cpu, EPS).unwrap()
        } else {
            (parts[i].clone(), Tensor::zeros(&Device::Cpu, &[1]))
        };
        reference::forward(&mut want, &table).unwrap();
        h.close(&name(["q", "k"][i]), &h.read(got.view()), &want.to_vec(), LIMIT);
        let (mut dx, mut dw) = (d_out[i].cpu.clone(), Tensor::zeros(&Device::Cpu, &[d]));
        reference::backward(&mut dx, &table).unwrap();
        if norm {
            dx = rms_norm::backward(&dx, &parts[i], &weights[i].cpu, &inv, &mut dw).unwrap();
        }
        want_dx.push(dx.to_vec());
        want_dw.push(dw.to_vec());
    }
    let mut d_qkv = h.poison::<bf16>(tokens * stride);
    let [dq_to, dk_to, _] = d_qkv.view_mut().split_columns_mut(widths)?;
    let [dq] = d_out[0].gpu.view().split_columns([widths[0]])?;
    let [dk] = d_out[1].gpu.view().split_columns([widths[1]])?;
    let mut dw = [h.gpu.zeros::<f32>(&h.stream, d, "dw")?, h.gpu.zeros::<f32>(&h.stream, d, "dw")?];
    let mut scratch = h.poison::<f32>(rotary::norm_backward_scratch(&h.gpu, d));
    if norm {
        let d_weights = dw.each_mut().map(|dw| dw.view_mut());
        let (to, scratch) = ([dq_to, dk_to], scratch.view_mut());
        rotary::norm_backward(&h.gpu, &h.stream, rotation, qk_norm, [dq, dk], [q, k], to, d_weights, scratch)?;
    } else {
        rotary::backward(&h.gpu, &h.stream, rotation, [dq, dk], [dq_to, dk_to])?;
    }
    let all = h.read(d_qkv.view());
    for (i, start) in [0, widths[0]].into_iter().enumerate() {
        let got: Vec<f32> = all.chunks_exact(stride).flat_map(|row| row[start..start + widths[i]].to_vec()).collect();
        h.close(&name(["dq", "dk"][i]), &got, &want_dx[i], LIMIT);
        if norm {
            h.close(&name(["dq_weight", "dk_weight"][i]), &h.stream.read(dw[i].view())?, &want_dw[i], WIDE_LIMIT);
        }
    }
    if !norm {
        let mut own = h.gpu.upload(&h.stream, &h.stream.read(qkv.gpu.view())?, "own")?;
        let [q, k, _] = own.view_mut().split_columns_mut(widths)?;
        rotary::in_place(&h.gpu, &h.stream, rotation, [q, k], false)?;
        let got: Vec<f32> = h.read(own.view()).chunks_exact(stride).flat_map(|row| row[..widths[0]].to_vec()).collect();
        h.holds(&name("in place gives the same bits"), got == h.read(q_out.view()));
    }
    Ok(())
}

fn bench(h: &mut Harness, tokens: usize, heads: [usize; 3], norm: bool) -> Result<(), Error> {
    let [q_heads, k_heads, d] = heads;
    let name =
        format!("{} {tokens}x{q_heads}/{k_heads}x{d}", if norm { "qk-norm + mrope" } else { "vision rotary in place" });
    let (cos, sin) = device_table(h, tokens, d)?;
    let rotation = Rotation { head_dim: d, cos: cos.view(), sin: sin.view() };
    let widths = [q_heads * d, k_heads * d, k_heads * d];
    let mut qkv = h.device(tokens * widths.iter().sum::<usize>(), 1)?;
    let bytes = (2 * tokens * (widths[0] + widths[1])) as f64;
    let angles = (4 * tokens * d) as f64;
    if !norm {
        let ms = h.time(4, || {
            let [q, k, _] = qkv.view_mut().split_columns_mut(widths)?;
            rotary::in_place(&h.gpu, &h.stream, rotation, [q, k], false)
        })?;
        h.bytes(&name, ms, 2.0 * bytes + angles);
        return Ok(());
    }
    let w = h.device(d, 2)?;
    let qk_norm = QkNorm { q_weight: w.view(), k_weight: w.view(), eps: EPS };
    let (mut q_out, mut k_out) = (h.device(tokens * widths[0], 3)?, h.device(tokens * widths[1], 4)?);
    let ms = h.time(4, || {
        let [q, k, _] = qkv.view().split_columns(widths)?;
        let [q_to] = q_out.view_mut().split_columns_mut([widths[0]])?;
        let [k_to] = k_out.view_mut().split_columns_mut([widths[1]])?;
        rotary::norm_forward(&h.gpu, &h.stream, rotation, qk_norm, [q, k], [q_to, k_to])
    })?;
    h.bytes(&format!("{name} forward"), ms, 2.0 * bytes + angles);
    let mut d_qkv = h.device(tokens * widths.iter().sum::<usize>(), 5)?;
    let mut dw = [h.gpu.zeros::<f32>(&h.stream, d, "dw")?, h.gpu.zeros::<f32>(&h.stream, d, "dw")?];
    let mut scratch = h.gpu.unset::<f32>(rotary::norm_backward_scratch(&h.gpu, d), "scratch")?;
    let ms = h.time(4, || {
        let [q, k, _] = qkv.view().split_columns(widths)?;
        let [dq] = q_out.view().split_columns([widths[0]])?;
        let [dk] = k_out.view().split_columns([widths[1]])?;
        let [dq_to, dk_to, _] = d_qkv.view_mut().split_columns_mut(widths)?;
        let d_weights = dw.each_mut().map(|dw| dw.view_mut());
        let (to, scratch) = ([dq_to, dk_to], scratch.view_mut());
        rotary::norm_backward(&h.gpu, &h.stream, rotation, qk_norm, [dq, dk], [q, k], to, d_weights, scratch)
    })?;
    h.bytes(&format!("{name} backward"), ms, 3.0 * bytes + angles);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let cases = [
        (1, [4, 2, 128], true),
        (130, [16, 8, 128], true),
        (67, [9, 3, 128], true),
        (3001, [4, 2, 64], true),
        (515, [6, 2, 32], true),
        (1, [3, 1, 32], true),
        (67, [16, 16, 64], false),
        (131, [16, 16, 72], false),
        (33, [3, 3, 80], false),
        (70, [12, 4, 128], false),
    ];
    for (seed, (tokens, heads, norm)) in cases.into_iter().enumerate() {
        h.attempt("rotary", |h| check(h, tokens, heads, norm, 13 * seed as u64));
    }
    if timed {
        h.attempt("rotary rates", |h| bench(h, 24000, [16, 8, 128], true));
        h.attempt("rotary rates", |h| bench(h, 12000, [32, 8, 128], true));
        h.attempt("rotary rates", |h| bench(h, 41216, [16, 16, 64], false));
        h.attempt("rotary rates", |h| bench(h, 41216, [16, 16, 72], false));
    }
}
