//! One vision block, forward and backward, timed (its ops are compared one by one elsewhere; here they run in the order of a model).

use half::bf16;
use tensor::cuda::ops::norm::{self, LayerStats, NormGradients, Residual};
use tensor::cuda::ops::reduce;
use tensor::cuda::ops::rotary::{self, Rotation};
use tensor::cuda::{
    Attention, AttentionConfig, AttentionSaved, BackwardEpilogue, Buffer, Epilogue, Error, Gemm, PackedAttention,
};

use crate::harness::Harness;

const EPS: f32 = 1e-6;

/// Widths of the four matrices' outputs and inputs, and everything that a block reads and writes.
struct Vit {
    gemm: Gemm,
    attention: PackedAttention,
    n: usize,
    c: usize,
    f: usize,
    head_dim: usize,
    weights: [Buffer<bf16>; 4],
    d_weights: [Buffer<f32>; 4],
    biases: [Buffer<bf16>; 4],
    d_biases: [Buffer<f32>; 4],
    norm: Buffer<bf16>,
    d_norm: [Buffer<f32>; 2],
    x: Buffer<bf16>,
    h: [Buffer<bf16>; 2],
    qkv: Buffer<bf16>,
    out: Buffer<bf16>,
    projected: Buffer<bf16>,
    s2: Buffer<bf16>,
    before: Buffer<bf16>,
    act: Buffer<bf16>,
    y: Buffer<bf16>,
    d: Buffer<bf16>,
    d_pre: Buffer<bf16>,
    d_h: Buffer<bf16>,
    d_out: Buffer<bf16>,
    d_qkv: Buffer<bf16>,
    stats: [Buffer<f32>; 4],
    lse: Buffer<f32>,
    angles: [Buffer<f32>; 2],
    scratch: Buffer<f32>,
    workspace: Buffer<u8>,
}

impl Vit {
    fn new(h: &Harness, frames: usize, [c, f, heads]: [usize; 3]) -> Result<Self, Error> {
        let (n, head_dim) = (frames * 1288, c / heads);
        let boundaries: Vec<u32> = (0..=frames as u32).map(|i| i * 1288).collect();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let strides = [3 * c; 3];
        let config = AttentionConfig {
            heads,
            kv_heads: heads,
            head_dim,
            causal: false,
            scale,
            deterministic: false,
            strides,
            gradient_strides: strides,
        };
        let attention = Attention::new(&h.gpu).prepare(&h.stream, &boundaries, config)?;
        let sizes = [3 * c * c, c * c, f * c, c * f];
        let widths = [3 * c, c, f, c];
        let value = |len: usize| h.device(len, len as u64);
        let sum = |len: usize| h.gpu.zeros::<f32>(&h.stream, len, "gradients");
        let four = |sizes: [usize; 4]| -> Result<[Buffer<bf16>; 4], Error> {
            Ok([value(sizes[0])?, value(sizes[1])?, value(sizes[2])?, value(sizes[3])?])
        };
        let sums = |sizes: [usize; 4]| -> Result<[Buffer<f32>; 4], Error> {
            Ok([sum(sizes[0])?, sum(sizes[1])?, sum(sizes[2])?, sum(sizes[3])?])
        };
        let scratch = norm::backward_scratch(&h.gpu, c).max(reduce::bias_scratch(f.max(3 * c)));
        Ok(Self {
            gemm: Gemm::new(&h.gpu, 64 << 20)?,
            n,
            c,
            f,
            head_dim,
            weights: four(sizes)?,
            d_weights: sums(sizes)?,
            biases: four(widths)?,
            d_biases: sums(widths)?,
            norm: value(c)?,
            d_norm: [sum(c)?, sum(c)?],
            x: value(n * c)?,
            h: [value(n * c)?, value(n * c)?],
            qkv: value(n * 3 * c)?,
            out: value(n * c)?,
            projected: value(n * c)?,
            s2: value(n * c)?,
            before: value(n * f)?,
            act: value(n * f)?,
            y: value(n * c)?,
            d: value(n * c)?,
            d_pre: value(n * f)?,
            d_h: value(n * c)?,
            d_out: value(n * c)?,
            d_qkv: value(n * 3 * c)?,
            stats: sums([n; 4])?,
            lse: sum(attention.lse_len())?,
            angles: [sum(n * head_dim / 2)?, sum(n * head_dim / 2)?],
            scratch: sum(scratch)?,
            workspace: h.gpu.unset(attention.workspace_bytes(), "workspace")?,
            attention,
        })
    }

    fn flops(&self) -> f64 {
        let (n, c, f) = (self.n as f64, self.c as f64, self.f as f64);
        2.0 * n * (4.0 * c * c + 2.0 * c * f) + 4.0 * 1288.0 * n * c
    }

    fn forward(&mut self, h: &Harness) -> Result<(), Error> {
        let (gpu, stream, n, c, f) = (&h.gpu, &h.stream, self.n, self.c, self.f);
        let (w, b, g) = (&self.weights, &self.biases, &self.gemm);
        let [h1, h2] = &mut self.h;
        let [mean1, inv1, mean2, inv2] = &mut self.stats;
        let stats = LayerStats { mean: mean1.view_mut(), inv_std: inv1.view_mut() };
        let norm = self.norm.view();
        norm::layer_forward(gpu, stream, self.x.view(), None, norm, norm, EPS, h1.view_mut(), stats)?;
        g.forward(stream, [n, c, 3 * c], h1.view(), w[0].view(), Epilogue::Bias(b[0].view()), self.qkv.view_mut())?;
        let rotation = Rotation { head_dim: self.head_dim, cos: self.angles[0].view(), sin: self.angles[1].view() };
        let [q, k, _] = self.qkv.view_mut().split_columns_mut([c; 3])?;
        rotary::in_place(gpu, stream, rotation, [q, k], false)?;
        let [q, k, v] = self.qkv.view().split_columns([c; 3])?;
        let (lse, workspace) = (self.lse.view_mut(), self.workspace.view_mut());
        self.attention.forward(stream, q, k, v, self.out.view_mut(), lse, workspace)?;
        let bias = Epilogue::Bias(b[1].view());
        g.forward(stream, [n, c, c], self.out.view(), w[1].view(), bias, self.projected.view_mut())?;
        let residual = Residual { delta: self.projected.view(), sum: self.s2.view_mut() };
        let stats = LayerStats { mean: mean2.view_mut(), inv_std: inv2.view_mut() };
        norm::layer_forward(gpu, stream, self.x.view(), Some(residual), norm, norm, EPS, h2.view_mut(), stats)?;
        let gelu = Epilogue::BiasGelu(b[2].view(), self.before.view_mut());
        g.forward(stream, [n, c, f], h2.view(), w[2].view(), gelu, self.act.view_mut())?;
        g.forward(stream, [n, f, c], self.act.view(), w[3].view(), Epilogue::Bias(b[3].view()), self.y.view_mut())
    }

    fn backward(&mut self, h: &Harness) -> Result<(), Error> {
        let (gpu, stream, n, c, f) = (&h.gpu, &h.stream, self.n, self.c, self.f);
        let (w, g) = (&self.weights, &self.gemm);
        let [dw0, dw1, dw2, dw3] = &mut self.d_weights;
        let [db0, db1, db2, db3] = &mut self.d_biases;
        let plain = || BackwardEpilogue::None;
        g.backward_weight(stream, [n, f, c], self.d.view(), self.act.view(), dw3.view_mut(), true, None)?;
        reduce::bias_gradient(gpu, stream, self.d.view(), db3.view_mut(), self.scratch.view_mut())?;
        let gelu = BackwardEpilogue::Gelu(self.before.view());
        g.backward_input(stream, [n, f, c], self.d.view(), w[3].view(), gelu, self.d_pre.view_mut())?;
        g.backward_weight(stream, [n, c, f], self.d_pre.view(), self.h[1].view(), dw2.view_mut(), true, None)?;
        reduce::bias_gradient(gpu, stream, self.d_pre.view(), db2.view_mut(), self.scratch.view_mut())?;
        g.backward_input(stream, [n, c, f], self.d_pre.view(), w[2].view(), plain(), self.d_h.view_mut())?;
        let [dn0, dn1] = &mut self.d_norm;
        let (norm, stats) = (self.norm.view(), [self.stats[2].view(), self.stats[3].view()]);
        let gradients = NormGradients { dx: self.d.view_mut(), accumulate: true, d_weight: dn0.view_mut() };
        let (dy, s, bias, scratch) = (self.d_h.view(), self.s2.view(), dn1.view_mut(), self.scratch.view_mut());
        norm::layer_backward(gpu, stream, dy, s, norm, stats, gradients, bias, scratch)?;
        g.backward_weight(stream, [n, c, c], self.d.view(), self.out.view(), dw1.view_mut(), true, None)?;
        reduce::bias_gradient(gpu, stream, self.d.view(), db1.view_mut(), self.scratch.view_mut())?;
        g.backward_input(stream, [n, c, c], self.d.view(), w[1].view(), plain(), self.d_out.view_mut())?;
        let [q, k, v] = self.qkv.view().split_columns([c; 3])?;
        let saved = AttentionSaved { q, k, v, out: self.out.view(), lse: self.lse.view() };
        let [dq, dk, dv] = self.d_qkv.view_mut().split_columns_mut([c; 3])?;
        self.attention.backward(stream, self.d_out.view(), saved, dq, dk, dv, self.workspace.view_mut())?;
        let rotation = Rotation { head_dim: self.head_dim, cos: self.angles[0].view(), sin: self.angles[1].view() };
        let [dq, dk, _] = self.d_qkv.view_mut().split_columns_mut([c; 3])?;
        rotary::in_place(gpu, stream, rotation, [dq, dk], true)?;
        g.backward_weight(stream, [n, c, 3 * c], self.d_qkv.view(), self.h[0].view(), dw0.view_mut(), true, None)?;
        reduce::bias_gradient(gpu, stream, self.d_qkv.view(), db0.view_mut(), self.scratch.view_mut())?;
        g.backward_input(stream, [n, c, 3 * c], self.d_qkv.view(), w[0].view(), plain(), self.d_h.view_mut())?;
        let stats = [self.stats[0].view(), self.stats[1].view()];
        let gradients = NormGradients { dx: self.d.view_mut(), accumulate: true, d_weight: dn0.view_mut() };
        let (dy, s, bias, scratch) = (self.d_h.view(), self.x.view(), dn1.view_mut(), self.scratch.view_mut());
        norm::layer_backward(gpu, stream, dy, s, norm, stats, gradients, bias, scratch)
    }
}

fn bench(h: &mut Harness, name: &str, frames: usize, sizes: [usize; 3]) -> Result<(), Error> {
    let mut vit = Vit::new(h, frames, sizes)?;
    let half = vit.n * vit.head_dim / 2;
    let angles: Vec<f32> = (0..half).map(|i| (i * 31 % 1000) as f32 * 0.01).collect();
    h.stream.write(vit.angles[0].view_mut(), &angles.iter().map(|a| a.cos()).collect::<Vec<_>>())?;
    h.stream.write(vit.angles[1].view_mut(), &angles.iter().map(|a| a.sin()).collect::<Vec<_>>())?;
    let flops = vit.flops();
    let d = h.device(vit.d.len(), 77)?;
    let forward = h.time(8, || vit.forward(h))?;
    let both = h.time(8, || {
        // The same gradient every time, or its values would grow.
        h.stream.copy(vit.d.view_mut(), d.view())?;
        vit.forward(h)?;
        vit.backward(h)
    })?;
    h.flops(&format!("vision block {name} forward"), forward, flops);
    h.flops(&format!("vision block {name} forward + backward"), both, 3.0 * flops);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    if timed {
        h.attempt("vision block 2B", |h| bench(h, "2B, 4 clips (32 x 1288 patches)", 32, [1024, 4096, 16]));
        h.attempt("vision block 8B", |h| bench(h, "8B, 2 clips (16 x 1288 patches)", 16, [1152, 4304, 16]));
    }
}
