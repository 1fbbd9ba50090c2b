//! Activations, vision input, rows by number, the loss and the optimizer against the CPU ops, then rates.

use half::bf16;
use tensor::cuda::ops::activation;
use tensor::cuda::ops::loss::{self, HeadGradients, LabelledRows, LossScratch};
use tensor::cuda::ops::rows::{self, Accumulation, RowList};
use tensor::cuda::ops::values;
use tensor::cuda::ops::vision::{self, FrameShape};
use tensor::cuda::{Error, Gemm};
use tensor::ops::{elementwise, embedding, gelu, linear_cross_entropy, position_table, rows as rows_reference, swiglu};
use tensor::{Device, Indices, Tensor};

use crate::harness::{Harness, random};

const LIMIT: f64 = 4e-3;
const WIDE_LIMIT: f64 = 1e-5;

fn cpu(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(&Device::Cpu, values, shape).unwrap()
}

fn check_activation(h: &mut Harness, n: usize, f: usize, seed: u64) -> Result<(), Error> {
    let name = |what: &str| format!("{what} {n}x{f}");
    let (gate_up, dy) = (h.pair(&[n, 2 * f], seed), h.pair(&[n, f], seed + 1));
    let parts = elementwise::split_columns(&gate_up.cpu, &[f, f]).unwrap();
    let mut y = h.poison::<bf16>(n * f);
    activation::swiglu_forward(&h.gpu, &h.stream, gate_up.gpu.view(), y.view_mut(), f)?;
    let want = swiglu::forward(&parts[0], &parts[1]).unwrap();
    h.close(&name("swiglu"), &h.read(y.view()), &want.to_vec(), LIMIT);
    let (d_gate, d_up) = swiglu::backward(&dy.cpu, &parts[0], &parts[1]).unwrap();
    let want = elementwise::concat_columns(&[&d_gate, &d_up]).unwrap();
    let (mut d, mut again) = (gate_up.gpu, h.poison::<bf16>(n * f));
    let y_again = Some(again.view_mut());
    activation::swiglu_backward(&h.gpu, &h.stream, dy.gpu.view(), d.view_mut(), y_again, f)?;
    h.close(&name("swiglu backward"), &h.read(d.view()), &want.to_vec(), LIMIT);
    h.holds(&name("swiglu again has the same bits"), h.read(again.view()) == h.read(y.view()));
    for kind in [gelu::Kind::Erf, gelu::Kind::Tanh] {
        let (x, dy) = (h.pair(&[n, f], seed + 2), h.pair(&[n, f], seed + 3));
        activation::gelu_forward(&h.gpu, &h.stream, x.gpu.view(), y.view_mut(), kind)?;
        h.close(
            &name(&format!("gelu {kind:?}")),
            &h.read(y.view()),
            &gelu::forward(&x.cpu, kind).unwrap().to_vec(),
            LIMIT,
        );
        let mut d = dy.gpu;
        activation::gelu_backward(&h.gpu, &h.stream, x.gpu.view(), d.view_mut(), kind)?;
        let want = gelu::backward(&dy.cpu, &x.cpu, kind).unwrap();
        h.close(&name(&format!("gelu {kind:?} backward")), &h.read(d.view()), &want.to_vec(), LIMIT);
    }
    Ok(())
}

fn frame_shape(frames: usize, height: usize, width: usize) -> FrameShape {
    FrameShape { frames, height, width, merge_size: 2, image_mean: [0.5, 0.4, 0.3], image_std: [0.5, 0.25, 0.2] }
}

/// The processor's order, written down once more.
fn patchify_reference(bytes: &[u8], s: FrameShape) -> Vec<f32> {
    let (rows, cols) = (s.height / 16, s.width / 16);
    let mut out = Vec::new();
    for step in 0..s.frames / 2 {
        for (block_row, block_col) in (0..rows / 2).flat_map(|r| (0..cols / 2).map(move |c| (r, c))) {
            for (row, col) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(r, c)| (2 * block_row + r, 2 * block_col + c)) {
                for (c, k, y, x) in (0..3).flat_map(|c| {
                    (0..2).flat_map(move |k| (0..16).flat_map(move |y| (0..16).map(move |x| (c, k, y, x))))
                }) {
                    let at = (((2 * step + k) * s.height + row * 16 + y) * s.width + col * 16 + x) * 3 + c;
                    out.push((f32::from(bytes[at]) - s.image_mean[c] * 255.0) / (s.image_std[c] * 255.0));
                }
            }
        }
    }
    out
}

fn check_patchify(h: &mut Harness, shape: FrameShape) -> Result<(), Error> {
    let count = shape.frames * shape.height * shape.width * 3;
    let bytes: Vec<u8> = random(count, 3).iter().map(|v| ((v.to_f32() + 1.0) * 127.0) as u8).collect();
    let frames = h.gpu.upload(&h.stream, &bytes, "frames")?;
    let mut patches = h.poison::<bf16>(shape.patches() * 1536);
    vision::patchify(&h.gpu, &h.stream, frames.view(), shape, patches.view_mut())?;
    let want = patchify_reference(&bytes, shape);
    h.close(
        &format!("patchify {}x{}x{}", shape.frames, shape.height, shape.width),
        &h.read(patches.view()),
        &want,
        LIMIT,
    );
    Ok(())
}

fn check_rows(h: &mut Harness, seed: u64) -> Result<(), Error> {
    let (table_rows, n, c) = (57, 301, 136);
    let number = |i: usize| ((i * 7919 + seed as usize * 31) % table_rows) as i32;
    let ids: Vec<i32> = (0..n).map(number).collect();
    let indices = Indices::new(&Device::Cpu, ids.clone());
    let (table, other) = (h.pair(&[table_rows, c], seed), h.pair(&[n, c], seed + 1));
    let list = RowList::new(&h.gpu, &h.stream, &ids, table_rows)?;
    let mut y = h.poison::<bf16>(n * c);
    rows::gather(&h.gpu, &h.stream, table.gpu.view(), None, &list, y.view_mut(), c)?;
    let want = embedding::forward(&table.cpu, &indices).unwrap().to_vec();
    h.holds("gather has the same bits", h.read(y.view()) == want);
    let mixed: Vec<i32> = ids.iter().enumerate().map(|(i, &id)| if i % 3 == 0 { -1 - i as i32 } else { id }).collect();
    let two = RowList::of_two(&h.gpu, &h.stream, &mixed, [table_rows, n])?;
    rows::gather(&h.gpu, &h.stream, table.gpu.view(), Some(other.gpu.view()), &two, y.view_mut(), c)?;
    let other_rows = other.cpu.to_vec();
    let want: Vec<f32> = (0..n * c).map(|i| if i / c % 3 == 0 { other_rows[i] } else { want[i] }).collect();
    h.holds("gather from two tables has the same bits", h.read(y.view()) == want);
    let distinct: Vec<i32> = (0..40).map(|i| (i * 7 + 3) % 57).collect();
    let list = RowList::new(&h.gpu, &h.stream, &distinct, table_rows)?;
    let (src, mut x) = (h.pair(&[40, c], seed + 2), h.pair(&[table_rows, c], seed + 3));
    rows::scatter_add(&h.gpu, &h.stream, x.gpu.view_mut(), &list, src.gpu.view(), c)?;
    rows_reference::scatter_add(&mut x.cpu, &Indices::new(&Device::Cpu, distinct.clone()), &src.cpu).unwrap();
    h.close("scatter_add", &h.read(x.gpu.view()), &x.cpu.to_vec(), LIMIT);
    rows::scatter(&h.gpu, &h.stream, x.gpu.view_mut(), &list, src.gpu.view(), c)?;
    rows_reference::scatter(&mut x.cpu, &Indices::new(&Device::Cpu, distinct), &src.cpu).unwrap();
    h.close("scatter", &h.read(x.gpu.view()), &x.cpu.to_vec(), LIMIT);
    h.holds("a row outside the table is refused", RowList::new(&h.gpu, &h.stream, &[57], table_rows).is_err());
    let plan = Accumulation::new(&h.gpu, &h.stream, &ids, None, n, table_rows)?;
    let mut d_table = h.gpu.upload(&h.stream, &vec![0.5f32; table_rows * c], "d_table")?;
    rows::accumulate(&h.gpu, &h.stream, d_table.view_mut(), other.gpu.view(), &plan, c)?;
    let mut want = cpu(vec![0.5; table_rows * c], &[table_rows, c]);
    embedding::backward(&other.cpu, &indices, &mut want).unwrap();
    h.close("embedding gradient", &h.stream.read(d_table.view())?, &want.to_vec(), WIDE_LIMIT);
    check_positions(h, [table_rows, n, c], seed)
}

fn check_positions(h: &mut Harness, [table_rows, n, c]: [usize; 3], seed: u64) -> Result<(), Error> {
    let corners: Vec<i32> = (0..4 * n).map(|i| ((i * 131 + 5) % table_rows) as i32).collect();
    let weights: Vec<f32> = random(4 * n, seed + 4).iter().map(|w| w.to_f32().abs()).collect();
    let lists = [0, 1, 2, 3].map(|k| Indices::new(&Device::Cpu, corners[k * n..(k + 1) * n].to_vec()));
    let weights_4p = cpu(weights.clone(), &[4, n]);
    let (table, mut x) = (h.pair(&[table_rows, c], seed + 5), h.pair(&[n, c], seed + 6));
    let (corners_gpu, weights_gpu) = (h.gpu.upload(&h.stream, &corners, "c")?, h.gpu.upload(&h.stream, &weights, "w")?);
    let (cv, wv) = (corners_gpu.view(), weights_gpu.view());
    vision::add_position_rows(&h.gpu, &h.stream, x.gpu.view_mut(), table.gpu.view(), cv, wv, c)?;
    let added = position_table::forward(&table.cpu, &lists, &weights_4p).unwrap();
    elementwise::add_assign(&mut x.cpu, &added).unwrap();
    h.close("position table", &h.read(x.gpu.view()), &x.cpu.to_vec(), LIMIT);
    let dy = h.pair(&[n, c], seed + 7);
    let plan = Accumulation::new(&h.gpu, &h.stream, &corners, Some(&weights), n, table_rows)?;
    let mut d_table = h.gpu.zeros::<f32>(&h.stream, table_rows * c, "d_table")?;
    rows::accumulate(&h.gpu, &h.stream, d_table.view_mut(), dy.gpu.view(), &plan, c)?;
    let mut want = Tensor::zeros(&Device::Cpu, &[table_rows, c]);
    position_table::backward(&dy.cpu, &lists, &weights_4p, &mut want).unwrap();
    h.close("position table gradient", &h.stream.read(d_table.view())?, &want.to_vec(), WIDE_LIMIT);
    Ok(())
}

/// A head whose rows are padded to a multiple of 8, as a model's is; `scale` 1/8.
fn check_loss(h: &mut Harness, gemm: &Gemm, [n, c, v]: [usize; 3], seed: u64) -> Result<(), Error> {
    let name = |what: &str| format!("cross entropy {n}x{c}x{v} {what}");
    let (x, head) = (h.pair(&[n, c], seed), h.pair(&[v, c], seed + 1));
    let padded = v.next_multiple_of(8);
    let mut head_rows = h.gpu.zeros::<bf16>(&h.stream, padded * c, "head")?;
    h.stream.copy(head_rows.view_mut().part(0, v * c)?, head.gpu.view())?;
    let targets: Vec<i32> = (0..n).map(|i| ((i * 977 + 3) % v) as i32).collect();
    let targets_gpu = h.gpu.upload(&h.stream, &targets, "targets")?;
    let (mut loss, mut dx) = (h.poison::<f32>(n), h.poison::<bf16>(n * c));
    // Overwritten, then added to: twice the gradient.
    let mut d_head = h.poison::<f32>(padded * c);
    let mut scratch = LossScratch::new(&h.gpu, 100, padded)?;
    let rows = LabelledRows { x: x.gpu.view(), head: head_rows.view(), targets: targets_gpu.view(), vocabulary: v };
    for accumulate in [false, true] {
        let gradients = HeadGradients { dx: dx.view_mut(), d_head: d_head.view_mut(), accumulate };
        let (lv, room) = (loss.view_mut(), scratch.views());
        loss::linear_cross_entropy(&h.gpu, &h.stream, gemm, rows, 0.125, lv, Some(gradients), room)?;
    }
    let indices = Indices::new(&Device::Cpu, targets);
    let per_row = linear_cross_entropy::forward_per_row(&x.cpu, &head.cpu, &indices).unwrap();
    let want: Vec<f32> = per_row.iter().map(|&loss| loss as f32).collect();
    h.close(&name("loss"), &h.stream.read(loss.view())?, &want, WIDE_LIMIT);
    let mut sum = h.poison::<f64>(1);
    for accumulate in [false, true] {
        values::add_sum(&h.gpu, &h.stream, loss.view(), sum.view_mut(), accumulate)?;
    }
    let got = h.stream.read(sum.view())?[0] as f32;
    h.close(&name("sum of losses, twice"), &[got], &[2.0 * per_row.iter().sum::<f64>() as f32], WIDE_LIMIT);
    let mut want_head = Tensor::zeros(&Device::Cpu, &[v, c]);
    let (_, want_dx) =
        linear_cross_entropy::forward_backward(&x.cpu, &head.cpu, &indices, 0.125, &mut want_head).unwrap();
    // The gradient of the logits is rounded to bf16 before both products.
    h.close(&name("dx"), &h.read(dx.view()), &want_dx.to_vec(), 6e-3);
    let got: Vec<f32> = h.stream.read(d_head.view())?;
    let half: Vec<f32> = got[..v * c].iter().map(|d| d / 2.0).collect();
    h.close(&name("d_head"), &half, &want_head.to_vec(), 4e-3);
    h.holds(&name("padding has no gradient"), got[v * c..].iter().all(|&d| d == 0.0));
    Ok(())
}

/// Random weights have the values they promise; rounding is to nearest even.
fn check_values(h: &mut Harness) -> Result<(), Error> {
    const COUNT: usize = 100_000;
    let mut y = h.poison::<bf16>(COUNT);
    values::fill_normal(&h.gpu, &h.stream, y.view_mut(), 41, 0.02)?;
    h.close("random weights", &h.read(y.view()), &values::normal_reference(COUNT, 41, 0.02), LIMIT);
    let x: Vec<f32> = values::normal_reference(COUNT, 42, 3.0);
    let x_gpu = h.gpu.upload(&h.stream, &x, "x")?;
    values::round_to_bf16(&h.gpu, &h.stream, x_gpu.view(), y.view_mut())?;
    let same = h.stream.read(y.view())?.iter().zip(&x).all(|(a, b)| a.to_bits() == bf16::from_f32(*b).to_bits());
    h.holds("round_to_bf16 has the bits of the host's rounding", same);
    values::fill_value(&h.gpu, &h.stream, y.view_mut(), 1.0)?;
    h.holds("fill_value", h.read(y.view()).iter().all(|&v| v == 1.0));
    Ok(())
}

fn bench(h: &mut Harness) -> Result<(), Error> {
    for (n, f) in [(12000, 6144), (6000, 12288)] {
        let (mut gate_up, mut y) = (h.device(2 * n * f, 1)?, h.device(n * f, 2)?);
        let ms = h.time(4, || activation::swiglu_forward(&h.gpu, &h.stream, gate_up.view(), y.view_mut(), f))?;
        h.bytes(&format!("swiglu {n}x{f} forward"), ms, (6 * n * f) as f64);
        let ms = h.time(4, || activation::swiglu_backward(&h.gpu, &h.stream, y.view(), gate_up.view_mut(), None, f))?;
        h.bytes(&format!("swiglu {n}x{f} backward"), ms, (10 * n * f) as f64);
    }
    let (n, f) = (41216, 4096);
    let (x, mut y) = (h.device(n * f, 1)?, h.device(n * f, 2)?);
    let kind = gelu::Kind::Erf;
    let ms = h.time(4, || activation::gelu_forward(&h.gpu, &h.stream, x.view(), y.view_mut(), kind))?;
    h.bytes(&format!("gelu erf {n}x{f} forward"), ms, (4 * n * f) as f64);
    let ms = h.time(4, || activation::gelu_backward(&h.gpu, &h.stream, x.view(), y.view_mut(), kind))?;
    h.bytes(&format!("gelu erf {n}x{f} backward"), ms, (6 * n * f) as f64);
    drop((x, y));
    bench_vision(h)?;
    bench_rows(h)?;
    bench_loss(h)
}

fn bench_vision(h: &mut Harness) -> Result<(), Error> {
    let shape = frame_shape(4 * 16, 448, 736);
    let (p, c) = (shape.patches(), 1024);
    let frames = h.gpu.zeros::<u8>(&h.stream, shape.frames * shape.height * shape.width * 3, "frames")?;
    let mut patches = h.gpu.unset::<bf16>(p * 1536, "patches")?;
    let ms = h.time(4, || vision::patchify(&h.gpu, &h.stream, frames.view(), shape, patches.view_mut()))?;
    h.bytes(&format!("patchify {p} patches from bytes"), ms, (frames.len() + 2 * p * 1536) as f64);
    let corners: Vec<i32> = (0..4 * p).map(|i| ((i % p) * 17 % 2303 + i / p / 2) as i32).collect();
    let weights = vec![0.25f32; 4 * p];
    let (table, mut x) = (h.device(2304 * c, 1)?, h.device(p * c, 2)?);
    let (cg, wg) = (h.gpu.upload(&h.stream, &corners, "c")?, h.gpu.upload(&h.stream, &weights, "w")?);
    let ms = h.time(4, || {
        vision::add_position_rows(&h.gpu, &h.stream, x.view_mut(), table.view(), cg.view(), wg.view(), c)
    })?;
    h.bytes(&format!("position table add {p}x{c}"), ms, (4 * p * c + 32 * p) as f64);
    let plan = Accumulation::new(&h.gpu, &h.stream, &corners, Some(&weights), p, 2304)?;
    let mut d_table = h.gpu.zeros::<f32>(&h.stream, 2304 * c, "d_table")?;
    let ms = h.time(4, || rows::accumulate(&h.gpu, &h.stream, d_table.view_mut(), x.view(), &plan, c))?;
    h.bytes(&format!("position table gradient {p}x{c} (4 reads a row)"), ms, (8 * p * c + 8 * 2304 * c) as f64);
    Ok(())
}

fn bench_rows(h: &mut Harness) -> Result<(), Error> {
    let (n, c, v) = (12000, 2048, 151936);
    let (table, features, mut y) = (h.device(v * c, 1)?, h.device(10304 * c, 2)?, h.device(n * c, 3)?);
    let text = |i: usize| (i * 7919 % 5000) as i32;
    let ids: Vec<i32> = (0..n).map(|i| if i < 10304 { -1 - i as i32 } else { text(i) }).collect();
    let list = RowList::of_two(&h.gpu, &h.stream, &ids, [v, 10304])?;
    let other = Some(features.view());
    let ms = h.time(4, || rows::gather(&h.gpu, &h.stream, table.view(), other, &list, y.view_mut(), c))?;
    h.bytes(&format!("embedding + features {n}x{c}"), ms, (4 * n * c) as f64);
    let visual: Vec<i32> = (0..10304).collect();
    let list = RowList::new(&h.gpu, &h.stream, &visual, n)?;
    let ms = h.time(4, || rows::scatter_add(&h.gpu, &h.stream, y.view_mut(), &list, features.view(), c))?;
    h.bytes(&format!("deepstack scatter-add 10304x{c}"), ms, (6 * 10304 * c) as f64);
    let plan = Accumulation::new(&h.gpu, &h.stream, &ids, None, n, v)?;
    let mut d_table = h.gpu.zeros::<f32>(&h.stream, v * c, "d_table")?;
    let ms = h.time(4, || rows::accumulate(&h.gpu, &h.stream, d_table.view_mut(), y.view(), &plan, c))?;
    h.bytes("embedding gradient, 1696 text tokens", ms, (1696 * c * 10) as f64);
    Ok(())
}

fn bench_loss(h: &mut Harness) -> Result<(), Error> {
    let (n, c, v) = (1024, 2048, 151936);
    let gemm = Gemm::new(&h.gpu, 64 << 20)?;
    let (x, head) = (h.device(n * c, 1)?, h.device(v * c, 2)?);
    let targets = h.gpu.upload(&h.stream, &(0..n as i32).collect::<Vec<_>>(), "targets")?;
    let (mut loss, mut dx) = (h.gpu.unset::<f32>(n, "loss")?, h.gpu.unset::<bf16>(n * c, "dx")?);
    let mut d_head = h.gpu.zeros::<f32>(&h.stream, v * c, "d_head")?;
    let mut logits = h.gpu.unset::<f32>(n * v, "logits")?;
    let mut d_logits = h.gpu.unset::<bf16>(n * v, "d_logits")?;
    gemm.forward_wide(&h.stream, [n, c, v], x.view(), head.view(), logits.view_mut())?;
    let ms = h.time(2, || {
        let (l, d) = (loss.view_mut(), Some(d_logits.view_mut()));
        loss::cross_entropy(&h.gpu, &h.stream, logits.view(), targets.view(), l, d, v, 1.0)
    })?;
    h.bytes(&format!("cross entropy {n}x{v} (f32 read twice, bf16 out)"), ms, (10 * n * v) as f64);
    drop((logits, d_logits));
    let mut scratch = LossScratch::new(&h.gpu, n, v)?;
    let rows = LabelledRows { x: x.view(), head: head.view(), targets: targets.view(), vocabulary: v };
    let ms = h.time(1, || {
        let gradients = HeadGradients { dx: dx.view_mut(), d_head: d_head.view_mut(), accumulate: true };
        let (l, room) = (loss.view_mut(), scratch.views());
        loss::linear_cross_entropy(&h.gpu, &h.stream, &gemm, rows, 1.0, l, Some(gradients), room)
    })?;
    h.flops(&format!("linear + cross entropy {n}x{c}x{v}, all"), ms, 6.0 * (n * c * v) as f64);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let gemm = Gemm::new(&h.gpu, 64 << 20).expect("a workspace");
    for (seed, (n, f)) in [(1, 8), (129, 6144), (33, 4304), (7, 264)].into_iter().enumerate() {
        h.attempt("activation", |h| check_activation(h, n, f, 17 * seed as u64));
    }
    for (frames, height, width) in [(2, 32, 32), (4, 64, 96), (16, 448, 736)] {
        h.attempt("patchify", |h| check_patchify(h, frame_shape(frames, height, width)));
    }
    for seed in 1..4 {
        h.attempt("rows", |h| check_rows(h, 19 * seed));
    }
    h.attempt("values", check_values);
    for (seed, dims) in [[1, 64, 48], [257, 128, 1000], [130, 256, 4104], [37, 192, 1021]].into_iter().enumerate() {
        h.attempt("loss", |h| check_loss(h, &gemm, dims, 23 * seed as u64));
    }
    if timed {
        h.attempt("rates", bench);
    }
}
