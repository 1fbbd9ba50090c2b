//! Prints how fast the ops run at the shapes of one decoder block, and what share of the GEMM rate the block reaches.
//!
//! `cargo run --release -p tensor --example op_rates -- [tokens] [width] [ffn] [heads] [kv_heads] [head_dim]`
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use tensor::ops::{attention, elementwise, gelu, layer_norm, linear, linear_cross_entropy, rms_norm, rotary, swiglu};
use tensor::{Device, Indices, Result, Segments, Tensor};

/// The fastest of many runs, so that other load on the machine shows least.
fn best(mut f: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(400) {
        let run = Instant::now();
        f()?;
        best = best.min(run.elapsed());
    }
    Ok(best)
}

/// Values that look random enough to keep every branch and exponent busy.
fn values(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let data = (0..count).map(|i| ((i * 7919 % 10_007) as f32 / 5_003.5 - 1.0) * 1.7).collect();
    Tensor::from_vec(&Device::Cpu, data, shape)
}

/// Times one op and prints its rate; `count` is how often a block's training step runs it.
struct Table {
    gemm: Duration,
    other: Duration,
}

impl Table {
    fn gemm(&mut self, name: &str, count: u32, flops: usize, f: impl FnMut() -> Result<()>) -> Result<()> {
        let time = best(f)?;
        self.gemm += time * count;
        self.print(name, count, time, flops as f64 / time.as_secs_f64() / 1e9, "GFLOP/s");
        Ok(())
    }

    fn other(&mut self, name: &str, count: u32, values: usize, f: impl FnMut() -> Result<()>) -> Result<()> {
        let time = best(f)?;
        self.other += time * count;
        self.print(name, count, time, values as f64 / time.as_secs_f64() / 1e9, "Gvalue/s");
        Ok(())
    }

    fn print(&self, name: &str, count: u32, time: Duration, rate: f64, unit: &str) {
        println!("{name:<28} x{count}  {:>9.1} us  {rate:>8.2} {unit}", time.as_secs_f64() * 1e6);
    }
}

fn main() -> Result<()> {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let size = |i: usize, default: usize| sizes.get(i).copied().unwrap_or(default);
    let (t, c, f) = (size(0, 1024), size(1, 256), size(2, 768));
    let (heads, kv_heads, head_dim) = (size(3, 4), size(4, 2), size(5, 64));
    let mut table = Table { gemm: Duration::ZERO, other: Duration::ZERO };
    println!(
        "tokens {t}, width {c}, ffn {f}, heads {heads}/{kv_heads} of {head_dim}, {} threads",
        rayon::current_num_threads()
    );

    let (qw, kw) = (heads * head_dim, kv_heads * head_dim);
    for (name, count, inputs, outputs) in [("q, out", 2, c, qw), ("k, v", 2, c, kw), ("gate, up, down", 3, c, f)] {
        let (x, w, dy) = (values(&[t, inputs])?, values(&[outputs, inputs])?, values(&[t, outputs])?);
        let (flops, mut dw) = (2 * t * inputs * outputs, w.zeros_like());
        table.gemm(&format!("linear {name} forward"), count, flops, || linear::forward(&x, &w, None).map(drop))?;
        table.gemm(&format!("linear {name} d_input"), count, flops, || linear::backward_input(&dy, &w).map(drop))?;
        table.gemm(&format!("linear {name} d_weight"), count, flops, || linear::backward_weight(&dy, &x, &mut dw))?;
    }
    attention_rates(&mut table, t, attention::Config { heads, kv_heads, head_dim, causal: true, scale: 0.1 })?;
    row_op_rates(&mut table, t, c, f)?;
    let share = table.gemm.as_secs_f64() / (table.gemm + table.other).as_secs_f64();
    println!(
        "one block, forward and backward: GEMM {:?}, other {:?}, share of GEMM {:.0} %",
        table.gemm,
        table.other,
        100.0 * share
    );
    head_rates(&mut table, t, c)
}

fn attention_rates(table: &mut Table, t: usize, config: attention::Config) -> Result<()> {
    let (qw, kw) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let segments = Segments::packed(&Device::Cpu, &[0, t as u32])?;
    let (q, k, v, dout) = (values(&[t, qw])?, values(&[t, kw])?, values(&[t, kw])?, values(&[t, qw])?);
    let (out, lse) = attention::forward(&q, &k, &v, &segments, config)?;
    // Two products forward, five backward, half of each under the mask.
    let product = t * t * qw;
    table.gemm("attention forward", 1, 2 * product, || attention::forward(&q, &k, &v, &segments, config).map(drop))?;
    table.gemm("attention backward", 1, 5 * product, || {
        attention::backward(&dout, &q, &k, &v, &out, &lse, &segments, config).map(drop)
    })?;
    let decode = Segments::new(&Device::Cpu, &[0, 1], &[0, t as u32])?;
    let one = values(&[1, qw])?;
    let time = best(|| attention::forward(&one, &k, &v, &decode, config).map(drop))?;
    table.print("attention decode, not counted", 0, time, (2 * t * kw) as f64 / time.as_secs_f64() / 1e9, "Gvalue/s");
    let positions = [0, 1, 2].map(|_| (0..t as i32).collect());
    let half = config.head_dim / 2;
    let angles = rotary::mrope_table(
        &Device::Cpu,
        &positions,
        config.head_dim,
        1e6,
        [half, 0, 0],
        rotary::MropeLayout::Chunked,
    )?;
    let mut x = values(&[t, qw])?;
    table.other("rotary (q)", 3, t * qw, || rotary::forward(&mut x, &angles))?;
    let w = values(&[config.head_dim])?;
    let mut dw = w.zeros_like();
    table.other("q norm forward", 2, t * qw, || rms_norm::forward(&q, &w, 1e-6).map(drop))?;
    let (_, inv) = rms_norm::forward(&q, &w, 1e-6)?;
    table.other("q norm backward", 2, t * qw, || rms_norm::backward(&dout, &q, &w, &inv, &mut dw).map(drop))
}

fn row_op_rates(table: &mut Table, t: usize, c: usize, f: usize) -> Result<()> {
    let (x, dy, w) = (values(&[t, c])?, values(&[t, c])?, values(&[c])?);
    let (mut dw, mut db, mut acc) = (w.zeros_like(), w.zeros_like(), x.clone());
    let (_, inv) = rms_norm::forward(&x, &w, 1e-6)?;
    table.other("rms_norm forward", 2, t * c, || rms_norm::forward(&x, &w, 1e-6).map(drop))?;
    table.other("rms_norm backward", 2, t * c, || rms_norm::backward(&dy, &x, &w, &inv, &mut dw).map(drop))?;
    table.other("residual add", 1, t * c, || elementwise::add(&x, &dy).map(drop))?;
    table.other("residual add_assign", 5, t * c, || elementwise::add_assign(&mut acc, &dy))?;
    let (gate, up, d_act) = (values(&[t, f])?, values(&[t, f])?, values(&[t, f])?);
    table.other("swiglu forward", 1, t * f, || swiglu::forward(&gate, &up).map(drop))?;
    table.other("swiglu backward", 1, t * f, || swiglu::backward(&d_act, &gate, &up).map(drop))?;
    let (_, stats) = layer_norm::forward(&x, &w, &w, 1e-6)?;
    table.other("layer_norm forward", 0, t * c, || layer_norm::forward(&x, &w, &w, 1e-6).map(drop))?;
    table.other("layer_norm backward", 0, t * c, || {
        layer_norm::backward(&dy, &x, &w, &stats, &mut dw, &mut db).map(drop)
    })?;
    for kind in [gelu::Kind::Tanh, gelu::Kind::Erf] {
        table.other(&format!("gelu {kind:?} forward"), 0, t * f, || gelu::forward(&gate, kind).map(drop))?;
        table.other(&format!("gelu {kind:?} backward"), 0, t * f, || gelu::backward(&d_act, &gate, kind).map(drop))?;
    }
    table.other("bias gradient", 0, t * f, || {
        let mut d_bias = Tensor::zeros(&Device::Cpu, &[f]);
        linear::backward_bias(&d_act, &mut d_bias)
    })
}

fn head_rates(table: &mut Table, t: usize, c: usize) -> Result<()> {
    const VOCABULARY: usize = 20_000;
    let rows = (t / 8).max(1);
    let (x, head) = (values(&[rows, c])?, values(&[VOCABULARY, c])?);
    let targets = Indices::new(&Device::Cpu, (0..rows as i32).collect());
    let (mut d_head, flops) = (head.zeros_like(), 2 * rows * c * VOCABULARY);
    table.gemm("head and loss forward", 0, flops, || linear_cross_entropy::forward(&x, &head, &targets).map(drop))?;
    table.gemm("head and loss, both ways", 0, 3 * flops, || {
        linear_cross_entropy::forward_backward(&x, &head, &targets, 1.0, &mut d_head).map(drop)
    })?;
    let one = values(&[1, c])?;
    table.gemm("linear, one row", 0, 2 * c * VOCABULARY, || linear::forward(&one, &head, None).map(drop))
}
