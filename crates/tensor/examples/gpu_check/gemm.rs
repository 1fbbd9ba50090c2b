//! Matrix products and their epilogues against the CPU ops, then rates at the shapes of training.

use half::bf16;
use tensor::cuda::{BackwardEpilogue, Buffer, Epilogue, Error, Gemm};
use tensor::ops::{gelu, linear};
use tensor::{Device, Tensor};

use crate::harness::{Harness, Pair};

/// One rounding to bf16.
const LIMIT: f64 = 4e-3;
/// f32 results of bf16 operands.
const WIDE_LIMIT: f64 = 1e-5;

fn check(h: &mut Harness, gemm: &Gemm, dims: [usize; 3], seed: u64) -> Result<(), Error> {
    let [n, i, o] = dims;
    let (x, weight) = (h.pair(&[n, i], seed), h.pair(&[o, i], seed + 1));
    let (dy, bias) = (h.pair(&[n, o], seed + 2), h.pair(&[o], seed + 3));
    let name = |what: &str| format!("gemm {n}x{i}x{o} {what}");
    let mut y = h.poison(n * o);
    gemm.forward(&h.stream, dims, x.gpu.view(), weight.gpu.view(), Epilogue::None, y.view_mut())?;
    h.close(&name("forward"), &h.read(y.view()), &linear::forward(&x.cpu, &weight.cpu, None).unwrap().to_vec(), LIMIT);
    let with_bias = linear::forward(&x.cpu, &weight.cpu, Some(&bias.cpu)).unwrap();
    let mut y = h.poison(n * o);
    gemm.forward(&h.stream, dims, x.gpu.view(), weight.gpu.view(), Epilogue::Bias(bias.gpu.view()), y.view_mut())?;
    h.close(&name("forward + bias"), &h.read(y.view()), &with_bias.to_vec(), LIMIT);
    let mut wide = h.poison::<f32>(n * o);
    gemm.forward_wide(&h.stream, dims, x.gpu.view(), weight.gpu.view(), wide.view_mut())?;
    let want = linear::forward(&x.cpu, &weight.cpu, None).unwrap();
    h.close(&name("forward in f32"), &h.stream.read(wide.view())?, &want.to_vec(), WIDE_LIMIT);
    let mut dx = h.poison(n * i);
    gemm.backward_input(&h.stream, dims, dy.gpu.view(), weight.gpu.view(), BackwardEpilogue::None, dx.view_mut())?;
    h.close(&name("dgrad"), &h.read(dx.view()), &linear::backward_input(&dy.cpu, &weight.cpu).unwrap().to_vec(), LIMIT);
    weight_gradients(h, gemm, dims, &x, &dy)
}

fn weight_gradients(h: &mut Harness, gemm: &Gemm, dims: [usize; 3], x: &Pair, dy: &Pair) -> Result<(), Error> {
    let [n, i, o] = dims;
    let name = |what: &str| format!("gemm {n}x{i}x{o} {what}");
    let mut want = Tensor::from_vec(&Device::Cpu, vec![0.25; o * i], &[o, i]).unwrap();
    linear::backward_weight(&dy.cpu, &x.cpu, &mut want).unwrap();
    let mut d_weight = h.gpu.upload(&h.stream, &vec![0.25f32; o * i], "d_weight")?;
    gemm.backward_weight(&h.stream, dims, dy.gpu.view(), x.gpu.view(), d_weight.view_mut(), true, None)?;
    h.close(&name("wgrad +="), &h.stream.read(d_weight.view())?, &want.to_vec(), WIDE_LIMIT);
    let (mut d_weight, mut d_bias) = (h.poison::<f32>(o * i), h.poison::<f32>(o));
    let mut want = Tensor::zeros(&Device::Cpu, &[o, i]);
    linear::backward_weight(&dy.cpu, &x.cpu, &mut want).unwrap();
    let mut want_bias = Tensor::zeros(&Device::Cpu, &[o]);
    linear::backward_bias(&dy.cpu, &mut want_bias).unwrap();
    let bias = Some(d_bias.view_mut());
    gemm.backward_weight(&h.stream, dims, dy.gpu.view(), x.gpu.view(), d_weight.view_mut(), false, bias)?;
    h.close(&name("wgrad = (with bias gradient)"), &h.stream.read(d_weight.view())?, &want.to_vec(), WIDE_LIMIT);
    h.close(&name("bias gradient"), &h.stream.read(d_bias.view())?, &want_bias.to_vec(), WIDE_LIMIT);
    Ok(())
}

/// `y = gelu(x W1^T + b)` and the way back through the GELU, fused into the products beside it.
fn check_gelu(h: &mut Harness, gemm: &Gemm, dims: [usize; 3], seed: u64) -> Result<(), Error> {
    let [n, i, o] = dims;
    let (x, weight, bias) = (h.pair(&[n, i], seed), h.pair(&[o, i], seed + 1), h.pair(&[o], seed + 2));
    let (mut y, mut before) = (h.poison::<bf16>(n * o), h.poison::<bf16>(n * o));
    let epilogue = Epilogue::BiasGelu(bias.gpu.view(), before.view_mut());
    gemm.forward(&h.stream, dims, x.gpu.view(), weight.gpu.view(), epilogue, y.view_mut())?;
    let want_before = linear::forward(&x.cpu, &weight.cpu, Some(&bias.cpu)).unwrap();
    let want = gelu::forward(&want_before, gelu::Kind::Tanh).unwrap();
    h.close(&format!("gemm {n}x{i}x{o} bias + GELU"), &h.read(y.view()), &want.to_vec(), LIMIT);
    h.close(&format!("gemm {n}x{i}x{o} before GELU"), &h.read(before.view()), &want_before.to_vec(), LIMIT);
    // Back: a second layer o -> i whose dgrad ends in the slope of the GELU.
    let (weight2, dy) = (h.pair(&[i, o], seed + 3), h.pair(&[n, i], seed + 4));
    let saved = Tensor::from_vec(&Device::Cpu, h.read(before.view()), &[n, o]).unwrap();
    let d_after = linear::backward_input(&dy.cpu, &weight2.cpu).unwrap();
    let want = gelu::backward(&d_after, &saved, gelu::Kind::Tanh).unwrap();
    let mut dx = h.poison::<bf16>(n * o);
    let epilogue = BackwardEpilogue::Gelu(before.view());
    gemm.backward_input(&h.stream, [n, o, i], dy.gpu.view(), weight2.gpu.view(), epilogue, dx.view_mut())?;
    h.close(&format!("gemm {n}x{i}x{o} dGELU"), &h.read(dx.view()), &want.to_vec(), LIMIT);
    let (mut dx, mut d_bias) = (h.poison::<bf16>(n * o), h.poison::<bf16>(o));
    let epilogue = BackwardEpilogue::GeluBias(before.view(), d_bias.view_mut());
    gemm.backward_input(&h.stream, [n, o, i], dy.gpu.view(), weight2.gpu.view(), epilogue, dx.view_mut())?;
    let mut want_bias = Tensor::zeros(&Device::Cpu, &[o]);
    linear::backward_bias(&want, &mut want_bias).unwrap();
    h.close(&format!("gemm {n}x{i}x{o} dGELU (with bias gradient)"), &h.read(dx.view()), &want.to_vec(), LIMIT);
    h.close(&format!("gemm {n}x{i}x{o} dGELU bias gradient"), &h.read(d_bias.view()), &want_bias.to_vec(), LIMIT);
    Ok(())
}

/// A later process takes over what this one has tuned, and computes the same bits.
fn check_saved(h: &mut Harness, gemm: &Gemm) -> Result<(), Error> {
    let (text, fresh) = (gemm.saved(), Gemm::new(&h.gpu, 64 << 20)?);
    let count = fresh.restore(&text)?;
    h.holds("all choices are taken over", count == gemm.choices().len() && count > 0 && fresh.saved() == text);
    h.holds("choices for another workspace are not", Gemm::new(&h.gpu, 1 << 20)?.restore(&text)? == 0);
    h.holds("a damaged line is refused", fresh.restore(&format!("{text}1 2 3")).is_err());
    let (dims, mut results) = ([257, 1152, 4304], Vec::new());
    let (x, weight) = (h.device(257 * 1152, 1)?, h.device(4304 * 1152, 2)?);
    for gemm in [gemm, &fresh] {
        let mut y = h.poison(257 * 4304);
        gemm.forward(&h.stream, dims, x.view(), weight.view(), Epilogue::None, y.view_mut())?;
        results.push(h.read(y.view()));
    }
    h.holds("with the same bits", results[0] == results[1]);
    Ok(())
}

fn bench(h: &mut Harness, gemm: &Gemm, name: &str, dims: [usize; 3], gelu: bool) -> Result<(), Error> {
    let [n, i, o] = dims;
    let flops = 2.0 * (n * i * o) as f64;
    let (x, weight, dy) = (h.device(n * i, 1)?, h.device(o * i, 2)?, h.device(n * o, 3)?);
    let bias = h.device(o, 4)?;
    let (mut y, mut dx): (Buffer<bf16>, Buffer<bf16>) = (h.gpu.unset(n * o, "y")?, h.gpu.unset(n * i, "dx")?);
    let mut d_weight = h.gpu.zeros::<f32>(&h.stream, o * i, "d_weight")?;
    let mut run =
        |epilogue: Epilogue<'_>| gemm.forward(&h.stream, dims, x.view(), weight.view(), epilogue, y.view_mut());
    let forward = h.time(4, || run(Epilogue::None))?;
    let mut line = format!("gemm {name} N{n} I{i} O{o} forward");
    if gelu {
        let mut before = h.gpu.unset(n * o, "before")?;
        let ms = h.time(4, || run(Epilogue::BiasGelu(bias.view(), before.view_mut())))?;
        h.flops(&format!("{line} bias + GELU"), ms, flops);
        let ms = h.time(4, || {
            let epilogue = BackwardEpilogue::Gelu(x.view());
            gemm.backward_input(&h.stream, dims, dy.view(), weight.view(), epilogue, dx.view_mut())
        })?;
        h.flops(&format!("gemm {name} N{n} I{i} O{o} dgrad dGELU"), ms, flops);
    }
    h.flops(&line, forward, flops);
    let ms = h.time(4, || {
        gemm.backward_input(&h.stream, dims, dy.view(), weight.view(), BackwardEpilogue::None, dx.view_mut())
    })?;
    line = format!("gemm {name} N{n} I{i} O{o} dgrad");
    h.flops(&line, ms, flops);
    let ms =
        h.time(4, || gemm.backward_weight(&h.stream, dims, dy.view(), x.view(), d_weight.view_mut(), true, None))?;
    h.flops(&format!("gemm {name} N{n} I{i} O{o} wgrad += f32"), ms, flops);
    let mut d_bias = h.gpu.unset::<f32>(o, "d_bias")?;
    let ms = h.time(4, || {
        let bias = Some(d_bias.view_mut());
        gemm.backward_weight(&h.stream, dims, dy.view(), x.view(), d_weight.view_mut(), true, bias)
    })?;
    h.flops(&format!("gemm {name} N{n} I{i} O{o} wgrad += f32, bias gradient"), ms, flops);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let gemm = Gemm::new(&h.gpu, 64 << 20).expect("a workspace");
    for (seed, dims) in [[129, 64, 200], [257, 1152, 4304], [1, 64, 128], [1000, 136, 8]].into_iter().enumerate() {
        h.attempt(&format!("gemm {dims:?}"), |h| check(h, &gemm, dims, 7 * seed as u64));
        h.attempt(&format!("gemm gelu {dims:?}"), |h| check_gelu(h, &gemm, dims, 7 * seed as u64));
    }
    h.attempt("saved choices", |h| check_saved(h, &gemm));
    if !timed {
        return;
    }
    let shapes = [
        ("2B qkv", [12000, 2048, 4096], false),
        ("2B o", [12000, 2048, 2048], false),
        ("2B gate+up", [12000, 2048, 12288], false),
        ("2B down", [12000, 6144, 2048], false),
        ("2B ViT qkv", [41216, 1024, 3072], false),
        ("2B ViT fc1", [41216, 1024, 4096], true),
        ("2B ViT fc2", [41216, 4096, 1024], true),
        ("8B qkv", [6000, 4096, 6144], false),
        ("8B gate+up", [6000, 4096, 24576], false),
        ("8B down", [6000, 12288, 4096], false),
        ("8B ViT fc1", [20608, 1152, 4304], true),
        ("2B head", [1000, 2048, 151936], false),
    ];
    for (name, dims, gelu) in shapes {
        h.attempt(name, |h| bench(h, &gemm, name, dims, gelu));
    }
    gemm.choices().iter().for_each(|choice| println!("     chosen {choice}"));
}
