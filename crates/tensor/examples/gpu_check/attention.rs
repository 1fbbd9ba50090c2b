//! Attention: forward and backward against the CPU op, then rates.

use half::bf16;
use tensor::cuda::{Attention, AttentionConfig, AttentionSaved, Buffer, Error, PackedAttention, View};
use tensor::ops::attention as reference;
use tensor::{Device, Segments};

use crate::harness::Harness;

/// bf16 rounding of the probabilities and of the result.
const FORWARD_LIMIT: f64 = 6e-3;
const BACKWARD_LIMIT: f64 = 1.2e-2;

struct Case {
    name: &'static str,
    lengths: Vec<u32>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    causal: bool,
    /// q, k and v as columns of one matrix, as a fused projection leaves them.
    packed: bool,
    deterministic: bool,
    /// Plans for the longest length rounded up to a multiple of it.
    step: u32,
}

fn case(name: &'static str, lengths: &[u32], heads: [usize; 3], causal: bool, packed: bool) -> Case {
    let [heads, kv_heads, head_dim] = heads;
    Case { name, lengths: lengths.to_vec(), heads, kv_heads, head_dim, causal, packed, deterministic: false, step: 1 }
}

fn deterministic(case: Case) -> Case {
    Case { deterministic: true, ..case }
}

fn in_steps(case: Case, step: u32) -> Case {
    Case { step, ..case }
}

fn boundaries(lengths: &[u32]) -> Vec<u32> {
    std::iter::once(0)
        .chain(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }))
        .collect()
}

impl Case {
    fn widths(&self) -> [usize; 3] {
        [self.heads, self.kv_heads, self.kv_heads].map(|heads| heads * self.head_dim)
    }

    fn rows(&self) -> usize {
        self.lengths.iter().sum::<u32>() as usize
    }

    fn config(&self) -> AttentionConfig {
        let widths = self.widths();
        let strides = if self.packed { [widths.iter().sum(); 3] } else { widths };
        let Self { heads, kv_heads, head_dim, causal, deterministic, .. } = *self;
        let scale = 1.0 / (head_dim as f32).sqrt();
        AttentionConfig { heads, kv_heads, head_dim, causal, scale, deterministic, strides, gradient_strides: strides }
    }

    /// Floating-point operations of the forward pass.
    fn flops(&self) -> f64 {
        let squares: f64 = self.lengths.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
        4.0 * squares * (self.heads * self.head_dim) as f64 * if self.causal { 0.5 } else { 1.0 }
    }
}

/// Rows of NaN behind every operand: a kernel that reads past the last sequence would spread them.
const TAIL: usize = 160;

/// Operands and results of one case on the GPU.
struct Run {
    prepared: PackedAttention,
    rows: usize,
    /// One buffer if packed, else three.
    qkv: Vec<Buffer<bf16>>,
    d_qkv: Vec<Buffer<bf16>>,
    out: Buffer<bf16>,
    lse: Buffer<f32>,
    dout: Buffer<bf16>,
    workspace: Buffer<u8>,
    widths: [usize; 3],
}

impl Run {
    fn new(h: &Harness, attention: &Attention, case: &Case, seed: u64) -> Result<Self, Error> {
        let prepared = attention.prepare_in_steps(&h.stream, &boundaries(&case.lengths), case.config(), case.step)?;
        let (rows, widths) = (case.rows(), case.widths());
        let sizes = if case.packed { vec![widths.iter().sum::<usize>()] } else { widths.to_vec() };
        let buffers = |seed: u64| {
            let make = |(i, width): (usize, &usize)| with_tail(h, rows, *width, seed + i as u64);
            sizes.iter().enumerate().map(make).collect::<Result<Vec<_>, _>>()
        };
        let workspace = h.gpu.unset(prepared.workspace_bytes(), "workspace")?;
        let (qkv, d_qkv) = (buffers(seed)?, sizes.iter().map(|width| h.poison((rows + TAIL) * width)).collect());
        let (out, lse) = (h.poison((rows + TAIL) * widths[0]), h.poison(prepared.lse_len()));
        let dout = with_tail(h, rows, widths[0], seed + 9)?;
        Ok(Self { prepared, rows, qkv, d_qkv, out, lse, dout, workspace, widths })
    }

    /// An operand without its tail.
    fn own<'a>(&self, buffer: &'a Buffer<bf16>) -> Result<View<'a, bf16>, Error> {
        buffer.view().part(0, buffer.len() / (self.rows + TAIL) * self.rows)
    }

    fn columns(&self) -> Result<[tensor::cuda::Columns<'_>; 3], Error> {
        match self.qkv.as_slice() {
            [packed] => self.own(packed)?.split_columns(self.widths),
            [q, k, v] => {
                let [q] = self.own(q)?.split_columns([self.widths[0]])?;
                let [k] = self.own(k)?.split_columns([self.widths[1]])?;
                let [v] = self.own(v)?.split_columns([self.widths[2]])?;
                Ok([q, k, v])
            }
            _ => unreachable!("one or three buffers"),
        }
    }

    fn forward(&mut self, h: &Harness) -> Result<(), Error> {
        let mut out = std::mem::replace(&mut self.out, h.gpu.unset(0, "none")?);
        let mut lse = std::mem::replace(&mut self.lse, h.gpu.unset(0, "none")?);
        let mut workspace = std::mem::replace(&mut self.workspace, h.gpu.unset(0, "none")?);
        let [q, k, v] = self.columns()?;
        let done = {
            let to = out.view_mut().part(0, self.rows * self.widths[0])?;
            self.prepared.forward(&h.stream, q, k, v, to, lse.view_mut(), workspace.view_mut())
        };
        (self.out, self.lse, self.workspace) = (out, lse, workspace);
        done
    }

    fn backward(&mut self, h: &Harness) -> Result<(), Error> {
        let mut d_qkv = std::mem::take(&mut self.d_qkv);
        let mut workspace = std::mem::replace(&mut self.workspace, h.gpu.unset(0, "none")?);
        let [q, k, v] = self.columns()?;
        let saved = AttentionSaved { q, k, v, out: self.own(&self.out)?, lse: self.lse.view() };
        let own = |buffer: &'_ mut Buffer<bf16>| buffer.len() / (self.rows + TAIL) * self.rows;
        let [dq, dk, dv] = match d_qkv.as_mut_slice() {
            [packed] => {
                let len = own(packed);
                packed.view_mut().part(0, len)?.split_columns_mut(self.widths)?
            }
            [dq, dk, dv] => {
                let lens = [own(dq), own(dk), own(dv)];
                let [dq] = dq.view_mut().part(0, lens[0])?.split_columns_mut([self.widths[0]])?;
                let [dk] = dk.view_mut().part(0, lens[1])?.split_columns_mut([self.widths[1]])?;
                let [dv] = dv.view_mut().part(0, lens[2])?.split_columns_mut([self.widths[2]])?;
                [dq, dk, dv]
            }
            _ => unreachable!("one or three buffers"),
        };
        let done = self.prepared.backward(&h.stream, self.own(&self.dout)?, saved, dq, dk, dv, workspace.view_mut());
        (self.d_qkv, self.workspace) = (d_qkv, workspace);
        done
    }

    /// Values of q, k, v (or their gradients) as three matrices.
    fn split(&self, h: &Harness, buffers: &[Buffer<bf16>]) -> [Vec<f32>; 3] {
        if let [q, k, v] = buffers {
            return [q, k, v].map(|x| h.read(x.view()));
        }
        let (all, stride) = (h.read(buffers[0].view()), self.widths.iter().sum::<usize>());
        let starts = [0, self.widths[0], self.widths[0] + self.widths[1]];
        [0, 1, 2].map(|i| {
            all.chunks_exact(stride).flat_map(|row| row[starts[i]..starts[i] + self.widths[i]].to_vec()).collect()
        })
    }
}

/// Random rows with NaN behind them.
fn with_tail(h: &Harness, rows: usize, width: usize, seed: u64) -> Result<Buffer<bf16>, Error> {
    let mut buffer = h.poison::<bf16>((rows + TAIL) * width);
    let values = h.device(rows * width, seed)?;
    h.stream.copy(buffer.view_mut().part(0, rows * width)?, values.view())?;
    h.stream.synchronize()?;
    Ok(buffer)
}

fn check(h: &mut Harness, attention: &Attention, case: &Case, seed: u64) -> Result<(), Error> {
    let mut run = Run::new(h, attention, case, seed)?;
    run.forward(h)?;
    run.backward(h)?;
    let (rows, widths) = (case.rows(), case.widths());
    let own = |x: Vec<f32>| x[..x.len() / (rows + TAIL) * rows].to_vec();
    let values = run.split(h, &run.qkv).map(own);
    let cpu = |values: Vec<f32>, width: usize| tensor::Tensor::from_vec(&Device::Cpu, values, &[rows, width]).unwrap();
    let [q, k, v] = values;
    let (q, k, v) = (cpu(q, widths[0]), cpu(k, widths[1]), cpu(v, widths[2]));
    let segments = Segments::packed(&Device::Cpu, &boundaries(&case.lengths)).unwrap();
    let AttentionConfig { heads, kv_heads, head_dim, causal, scale, .. } = case.config();
    let config = reference::Config { heads, kv_heads, head_dim, causal, scale };
    let (out, lse) = reference::forward(&q, &k, &v, &segments, config).unwrap();
    h.close(&format!("{} out", case.name), &h.read(run.own(&run.out)?), &out.to_vec(), FORWARD_LIMIT);
    let got_lse = h.stream.read(run.lse.view())?;
    let want_lse = ordered(&lse.to_vec(), case, run.prepared.lse_by_token());
    h.close(&format!("{} lse", case.name), &got_lse, &want_lse, 1e-5);
    let dout = cpu(h.read(run.own(&run.dout)?), widths[0]);
    let (dq, dk, dv) = reference::backward(&dout, &q, &k, &v, &out, &lse, &segments, config).unwrap();
    let all = run.split(h, &run.d_qkv);
    let written = all.iter().chain([&h.read(run.out.view())]).any(|x| {
        let tail = &x[x.len() / (rows + TAIL) * rows..];
        tail.iter().any(|v| !v.is_nan())
    });
    h.holds(&format!("{} nothing is written behind the last sequence", case.name), !written);
    let got = all.map(own);
    for ((name, got), want) in ["dq", "dk", "dv"].into_iter().zip(&got).zip([dq, dk, dv]) {
        h.close(&format!("{} {name}", case.name), got, &want.to_vec(), BACKWARD_LIMIT);
    }
    run.backward(h)?;
    let again = run.split(h, &run.d_qkv).map(own);
    println!(
        "     {} backward twice gives equal bits: {}; plans {:?}",
        case.name,
        again == got,
        run.prepared.candidates()
    );
    Ok(())
}

/// The reference's `(T, H)` in the kernel's order.
fn ordered(lse: &[f32], case: &Case, by_token: bool) -> Vec<f32> {
    if by_token {
        return lse.to_vec();
    }
    let (s, heads) = (case.lengths[0] as usize, case.heads);
    let at = |b: usize, h: usize, i: usize| lse[(b * s + i) * heads + h];
    (0..case.lengths.len())
        .flat_map(|b| (0..heads).flat_map(move |h| (0..s).map(move |i| (b, h, i))))
        .map(|(b, h, i)| at(b, h, i))
        .collect()
}

fn bench(h: &mut Harness, attention: &Attention, case: &Case) -> Result<(), Error> {
    let mut run = Run::new(h, attention, case, 5)?;
    run.forward(h)?;
    let forward = h.time(4, || run.forward(h))?;
    h.flops(&format!("attention {} forward", case.name), forward, case.flops());
    run.backward(h)?;
    let backward = h.time(4, || run.backward(h))?;
    h.flops(&format!("attention {} backward", case.name), backward, 2.5 * case.flops());
    let bits = |run: &Run| run.split(h, &run.d_qkv).map(|x| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    let first = bits(&run);
    run.backward(h)?;
    let equal = bits(&run) == first;
    let mb = run.prepared.workspace_bytes() >> 20;
    println!("     plans {:?}, workspace {mb} MB, backward twice gives equal bits: {equal}", run.prepared.candidates());
    if case.deterministic {
        h.holds(&format!("{} backward twice gives equal bits", case.name), equal);
    }
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let attention = Attention::new(&h.gpu);
    let cases = [
        case("hd128 gqa causal 1x257", &[257], [4, 2, 128], true, false),
        case("hd128 gqa causal 3x300 packed", &[300, 300, 300], [4, 2, 128], true, true),
        case("hd128 gqa causal ragged", &[1, 130, 257, 64], [4, 2, 128], true, false),
        case("hd128 gqa causal ragged packed", &[3, 190, 61], [8, 2, 128], true, true),
        case("hd64 full 3x161 packed", &[161, 161, 161], [4, 4, 64], false, true),
        case("hd64 full ragged packed", &[161, 40, 7], [4, 4, 64], false, true),
        case("hd72 full 2x161 packed", &[161, 161], [4, 4, 72], false, true),
        case("hd72 full ragged packed", &[161, 92], [4, 4, 72], false, true),
        case("hd128 gqa causal ragged, long", &[1400, 1531, 1288, 3], [4, 2, 128], true, false),
        case("hd64 full ragged packed, long", &[1288, 1200, 16], [4, 4, 64], false, true),
        case("hd72 full 2x1288 packed", &[1288; 2], [2, 2, 72], false, true),
        case("hd32 gqa causal ragged", &[1, 130, 257, 64], [6, 2, 32], true, false),
        case("hd32 full 2x96 packed", &[96; 2], [3, 3, 32], false, true),
        in_steps(case("hd64 gqa causal in steps", &[57, 101, 3], [4, 2, 64], true, false), 128),
        in_steps(case("hd128 gqa causal one in steps", &[300], [4, 2, 128], true, false), 128),
        in_steps(case("hd128 gqa causal in steps, long", &[1400, 1531, 1288, 3], [4, 2, 128], true, false), 128),
        deterministic(case("deterministic hd32 gqa causal ragged", &[1, 130, 257], [6, 2, 32], true, false)),
        deterministic(in_steps(case("deterministic hd64 in steps", &[57, 101], [4, 2, 64], true, false), 128)),
        deterministic(case("deterministic hd128 gqa causal 3x300 packed", &[300; 3], [4, 2, 128], true, true)),
        deterministic(case("deterministic hd128 gqa causal ragged", &[1, 130, 257, 64], [4, 2, 128], true, false)),
        deterministic(case("deterministic hd64 full 3x161 packed", &[161; 3], [4, 4, 64], false, true)),
        deterministic(case("deterministic hd72 full ragged packed", &[161, 92], [4, 4, 72], false, true)),
    ];
    for (seed, case) in cases.iter().enumerate() {
        h.attempt(case.name, |h| check(h, &attention, case, 1 + 20 * seed as u64));
    }
    if !timed {
        return;
    }
    let cases = [
        case("hd128 causal 4x3000 16/8", &[3000; 4], [16, 8, 128], true, false),
        case("hd128 causal 4x3000 16/8 packed", &[3000; 4], [16, 8, 128], true, true),
        case("hd128 causal ragged ~3000 x4 16/8", &[2950, 3000, 3040, 3010], [16, 8, 128], true, false),
        case("hd128 causal 2x3000 32/8", &[3000; 2], [32, 8, 128], true, false),
        case("hd64 full 32x1288 16/16 packed", &[1288; 32], [16, 16, 64], false, true),
        case("hd64 full 32x1288 16/16", &[1288; 32], [16, 16, 64], false, false),
        case("hd72 full 16x1288 16/16 packed", &[1288; 16], [16, 16, 72], false, true),
        deterministic(case("deterministic hd128 causal 4x3000 16/8", &[3000; 4], [16, 8, 128], true, false)),
        deterministic(case(
            "deterministic hd128 ragged ~3000 x4",
            &[2950, 3000, 3040, 3010],
            [16, 8, 128],
            true,
            false,
        )),
        deterministic(case("deterministic hd64 full 32x1288 packed", &[1288; 32], [16, 16, 64], false, true)),
        deterministic(case("deterministic hd72 full 16x1288 packed", &[1288; 16], [16, 16, 72], false, true)),
    ];
    for case in &cases {
        h.attempt(case.name, |h| bench(h, &attention, case));
    }
}
