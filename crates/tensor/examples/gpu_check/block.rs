//! One decoder block, forward and backward, from the ops and planned memory: against the CPU ops, as a captured graph, and timed.
//!
//! This is the layer loop of an engine in small: every gradient of the block is compared, so the ops also fit together.

use half::bf16;
use tensor::cuda::ops::norm::{self, NormGradients, Residual};
use tensor::cuda::ops::rotary::{self, QkNorm, Rotation};
use tensor::cuda::ops::{activation, reduce};
use tensor::cuda::{
    Arena, Attention, AttentionConfig, AttentionSaved, BackwardEpilogue, Epilogue, Error, Gemm, MemoryPlan,
    PackedAttention, Purpose, Region, View, ViewMut,
};

use crate::harness::{Harness, random};

const EPS: f32 = 1e-6;

/// Sizes of a block over `lengths`.
#[derive(Clone)]
pub struct Dims {
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub mlp: usize,
    pub lengths: Vec<u32>,
    /// Whether attention's backward gives the same bits every time.
    pub deterministic: bool,
}

impl Dims {
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum::<u32>() as usize
    }

    fn widths(&self) -> [usize; 3] {
        [self.heads, self.kv_heads, self.kv_heads].map(|heads| heads * self.head_dim)
    }

    /// Values of the four matrices: qkv, out, gate+up, down.
    fn matrices(&self) -> [usize; 4] {
        let (c, qkv) = (self.width, self.widths().iter().sum::<usize>());
        [qkv * c, c * self.widths()[0], 2 * self.mlp * c, c * self.mlp]
    }

    /// Floating-point operations of the forward pass.
    fn flops(&self) -> f64 {
        let squares: f64 = self.lengths.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
        let products = 2.0 * (self.tokens() * self.matrices().iter().sum::<usize>()) as f64;
        products + 2.0 * squares * self.widths()[0] as f64
    }

    pub fn boundaries(&self) -> Vec<u32> {
        let mut all = vec![0];
        self.lengths.iter().for_each(|length| all.push(all[all.len() - 1] + length));
        all
    }
}

/// Everything a block reads and writes, in one allocation.
#[allow(missing_docs)]
pub struct Regions {
    pub matrices: [Region<bf16>; 4],
    pub d_matrices: [Region<f32>; 4],
    /// Norms before attention and MLP, then q and k.
    pub norms: [Region<bf16>; 4],
    pub d_norms: [Region<f32>; 4],
    pub x: Region<bf16>,
    pub h1: Region<bf16>,
    pub inv1: Region<f32>,
    pub qkv: Region<bf16>,
    pub q: Region<bf16>,
    pub k: Region<bf16>,
    pub attended: Region<bf16>,
    pub lse: Region<f32>,
    pub projected: Region<bf16>,
    pub s2: Region<bf16>,
    pub h2: Region<bf16>,
    pub inv2: Region<f32>,
    pub gate_up: Region<bf16>,
    pub act: Region<bf16>,
    pub y: Region<bf16>,
    /// Gradient of the residual stream, from that of `s2 + y` to that of `x`.
    pub d: Region<bf16>,
    pub d_wide: Region<bf16>,
    pub d_h: Region<bf16>,
    pub d_qkv: Region<bf16>,
    pub dq: Region<bf16>,
    pub dk: Region<bf16>,
    pub cos: Region<f32>,
    pub sin: Region<f32>,
    pub scratch: Region<f32>,
    pub workspace: Region<u8>,
}

pub struct Block<'a> {
    h: &'a Harness,
    gemm: &'a Gemm,
    attention: PackedAttention,
    pub dims: Dims,
    pub r: Regions,
    arena: Arena,
}

impl<'a> Block<'a> {
    pub fn new(h: &'a Harness, gemm: &'a Gemm, dims: Dims) -> Result<Self, Error> {
        let widths = dims.widths();
        let stride = widths.iter().sum();
        let config = AttentionConfig {
            heads: dims.heads,
            kv_heads: dims.kv_heads,
            head_dim: dims.head_dim,
            causal: true,
            scale: 1.0 / (dims.head_dim as f32).sqrt(),
            deterministic: dims.deterministic,
            strides: [widths[0], widths[1], stride],
            gradient_strides: [widths[0], widths[1], stride],
        };
        let attention = Attention::new(&h.gpu).prepare(&h.stream, &dims.boundaries(), config)?;
        let mut plan = MemoryPlan::default();
        let r = regions(&mut plan, h, &dims, &attention)?;
        println!("     block plan: {plan}");
        let arena = plan.allocate(&h.gpu, "use a card with more memory")?;
        Ok(Self { h, gemm, attention, dims, r, arena })
    }

    pub fn get<T: tensor::cuda::Element>(&self, region: Region<T>) -> View<'_, T> {
        self.arena.view(region).expect("a region of this plan")
    }

    pub fn put<T: tensor::cuda::Element>(&self, region: Region<T>) -> ViewMut<'_, T> {
        self.arena.view_mut(region).expect("a region of this plan")
    }

    fn rotation(&self) -> Rotation<'_> {
        Rotation { head_dim: self.dims.head_dim, cos: self.get(self.r.cos), sin: self.get(self.r.sin) }
    }

    fn qk_norm(&self) -> QkNorm<'_> {
        QkNorm { q_weight: self.get(self.r.norms[2]), k_weight: self.get(self.r.norms[3]), eps: EPS }
    }

    /// `y = x W^T` by matrix `which`.
    fn product(&self, which: usize, x: Region<bf16>, y: Region<bf16>) -> Result<(), Error> {
        let dims = self.product_dims(x, y);
        let (weight, stream) = (self.get(self.r.matrices[which]), &self.h.stream);
        self.gemm.forward(stream, dims, self.get(x), weight, Epilogue::None, self.put(y))
    }

    /// `dx = dy W` and `dW += dy^T x`.
    fn product_back(&self, which: usize, dy: Region<bf16>, x: Region<bf16>, dx: Region<bf16>) -> Result<(), Error> {
        let (dims, stream) = (self.product_dims(x, dy), &self.h.stream);
        let (weight, d_weight) = (self.get(self.r.matrices[which]), self.put(self.r.d_matrices[which]));
        self.gemm.backward_weight(stream, dims, self.get(dy), self.get(x), d_weight, true, None)?;
        self.gemm.backward_input(stream, dims, self.get(dy), weight, BackwardEpilogue::None, self.put(dx))
    }

    fn product_dims(&self, x: Region<bf16>, y: Region<bf16>) -> [usize; 3] {
        let n = self.dims.tokens();
        [n, x.len() / n, y.len() / n]
    }

    pub fn forward(&self) -> Result<(), Error> {
        let (r, h, widths) = (&self.r, self.h, self.dims.widths());
        let (gpu, stream) = (&h.gpu, &h.stream);
        let weight = self.get(r.norms[0]);
        norm::rms_forward(gpu, stream, self.get(r.x), None, weight, EPS, self.put(r.h1), self.put(r.inv1))?;
        self.product(0, r.h1, r.qkv)?;
        let [q, k, v] = self.get(r.qkv).split_columns(widths)?;
        let [q_to] = self.put(r.q).split_columns_mut([widths[0]])?;
        let [k_to] = self.put(r.k).split_columns_mut([widths[1]])?;
        rotary::norm_forward(gpu, stream, self.rotation(), self.qk_norm(), [q, k], [q_to, k_to])?;
        let [q] = self.get(r.q).split_columns([widths[0]])?;
        let [k] = self.get(r.k).split_columns([widths[1]])?;
        let (out, lse, workspace) = (self.put(r.attended), self.put(r.lse), self.put(r.workspace));
        self.attention.forward(stream, q, k, v, out, lse, workspace)?;
        self.product(1, r.attended, r.projected)?;
        let residual = Residual { delta: self.get(r.projected), sum: self.put(r.s2) };
        let weight = self.get(r.norms[1]);
        norm::rms_forward(gpu, stream, self.get(r.x), Some(residual), weight, EPS, self.put(r.h2), self.put(r.inv2))?;
        self.product(2, r.h2, r.gate_up)?;
        activation::swiglu_forward(gpu, stream, self.get(r.gate_up), self.put(r.act), self.dims.mlp)?;
        self.product(3, r.act, r.y)
    }

    /// From the gradient of `s2 + y` in `d` to that of `x` there; overwrites `gate_up`.
    pub fn backward(&self) -> Result<(), Error> {
        let (r, h, widths) = (&self.r, self.h, self.dims.widths());
        let (gpu, stream) = (&h.gpu, &h.stream);
        self.product_back(3, r.d, r.act, r.d_wide)?;
        activation::swiglu_backward(gpu, stream, self.get(r.d_wide), self.put(r.gate_up), None, self.dims.mlp)?;
        self.product_back(2, r.gate_up, r.h2, r.d_h)?;
        self.norm_back(1, r.s2, r.inv2)?;
        // The attended values are as wide as the queries.
        self.product_back(1, r.d, r.attended, r.dq)?;
        let [q] = self.get(r.q).split_columns([widths[0]])?;
        let [k] = self.get(r.k).split_columns([widths[1]])?;
        let [_, _, v] = self.get(r.qkv).split_columns(widths)?;
        let saved = AttentionSaved { q, k, v, out: self.get(r.attended), lse: self.get(r.lse) };
        let [dq_to, dk_to, dv] = self.put(r.d_qkv).split_columns_mut(widths)?;
        // The gradient of the attended values lies in `dq`, that of the queries goes where the normed ones are not needed.
        let [dq] = self.put(r.d_wide).part(0, r.dq.len())?.split_columns_mut([widths[0]])?;
        let [dk] = self.put(r.dk).split_columns_mut([widths[1]])?;
        self.attention.backward(stream, self.get(r.dq), saved, dq, dk, dv, self.put(r.workspace))?;
        let [dq] = self.get(r.d_wide).part(0, r.dq.len())?.split_columns([widths[0]])?;
        let [dk] = self.get(r.dk).split_columns([widths[1]])?;
        let [q, k, _] = self.get(r.qkv).split_columns(widths)?;
        let (d_weights, scratch) = ([self.put(r.d_norms[2]), self.put(r.d_norms[3])], self.put(r.scratch));
        let (from, to) = ([dq, dk], [dq_to, dk_to]);
        rotary::norm_backward(gpu, stream, self.rotation(), self.qk_norm(), from, [q, k], to, d_weights, scratch)?;
        self.product_back(0, r.d_qkv, r.h1, r.d_h)?;
        self.norm_back(0, r.x, r.inv1)
    }

    fn norm_back(&self, which: usize, s: Region<bf16>, inv: Region<f32>) -> Result<(), Error> {
        let r = &self.r;
        let gradients = NormGradients { dx: self.put(r.d), accumulate: true, d_weight: self.put(r.d_norms[which]) };
        let (dy, weight, scratch) = (self.get(r.d_h), self.get(r.norms[which]), self.put(r.scratch));
        norm::rms_backward(&self.h.gpu, &self.h.stream, dy, self.get(s), weight, self.get(inv), gradients, scratch)
    }

    /// Puts random values where inputs are and zeros where gradients are summed.
    pub fn fill(&self, seed: u64) -> Result<(), Error> {
        let stream = &self.h.stream;
        let mut number = seed;
        let inputs = self.r.matrices.iter().chain(&self.r.norms).chain([&self.r.x, &self.r.d]);
        for region in inputs {
            number += 1;
            // Matrices as a trained model has them: a row of products stays near 1.
            let scale = if self.r.matrices.iter().any(|m| m.len() == region.len()) { 0.05 } else { 1.0 };
            let values: Vec<bf16> =
                random(region.len().min(1 << 20), number).iter().map(|v| bf16::from_f32(v.to_f32() * scale)).collect();
            for at in (0..region.len()).step_by(1 << 20) {
                let count = values.len().min(region.len() - at);
                stream.write(self.put(*region).part(at, count)?, &values[..count])?;
            }
        }
        for region in self.r.d_matrices.iter().chain(&self.r.d_norms) {
            stream.clear(self.put(*region))?;
        }
        let angle = |i: usize| (i * 31 % 1000) as f32 * 0.01;
        let angles: Vec<f32> = (0..self.r.cos.len()).map(angle).collect();
        stream.write(self.put(self.r.cos), &angles.iter().map(|a| a.cos()).collect::<Vec<_>>())?;
        stream.write(self.put(self.r.sin), &angles.iter().map(|a| a.sin()).collect::<Vec<_>>())
    }

    pub fn read(&self, region: Region<bf16>) -> Vec<f32> {
        self.h.read(self.get(region))
    }

    pub fn read_f32(&self, region: Region<f32>) -> Vec<f32> {
        self.h.stream.read(self.get(region)).expect("a read")
    }
}

fn regions(plan: &mut MemoryPlan, h: &Harness, dims: &Dims, attention: &PackedAttention) -> Result<Regions, Error> {
    use Purpose::{Activations, Gradients, Parameters, Workspace};
    let (n, c, f, d) = (dims.tokens(), dims.width, dims.mlp, dims.head_dim);
    let [wq, wk, wv] = dims.widths();
    let [a, b, e, g] = dims.matrices();
    let norms = [c, c, d, d];
    let scratch = norm::backward_scratch(&h.gpu, c).max(rotary::norm_backward_scratch(&h.gpu, d));
    Ok(Regions {
        matrices: [
            plan.region(Parameters, a)?,
            plan.region(Parameters, b)?,
            plan.region(Parameters, e)?,
            plan.region(Parameters, g)?,
        ],
        d_matrices: [
            plan.region(Gradients, a)?,
            plan.region(Gradients, b)?,
            plan.region(Gradients, e)?,
            plan.region(Gradients, g)?,
        ],
        norms: [
            plan.region(Parameters, c)?,
            plan.region(Parameters, c)?,
            plan.region(Parameters, d)?,
            plan.region(Parameters, d)?,
        ],
        d_norms: [
            plan.region(Gradients, norms[0])?,
            plan.region(Gradients, c)?,
            plan.region(Gradients, d)?,
            plan.region(Gradients, d)?,
        ],
        x: plan.region(Activations, n * c)?,
        h1: plan.region(Activations, n * c)?,
        inv1: plan.region(Activations, n)?,
        qkv: plan.region(Activations, n * (wq + wk + wv))?,
        q: plan.region(Activations, n * wq)?,
        k: plan.region(Activations, n * wk)?,
        attended: plan.region(Activations, n * wq)?,
        lse: plan.region(Activations, attention.lse_len())?,
        projected: plan.region(Workspace, n * c)?,
        s2: plan.region(Activations, n * c)?,
        h2: plan.region(Activations, n * c)?,
        inv2: plan.region(Activations, n)?,
        gate_up: plan.region(Activations, 2 * n * f)?,
        act: plan.region(Activations, n * f)?,
        y: plan.region(Workspace, n * c)?,
        d: plan.region(Workspace, n * c)?,
        d_wide: plan.region(Workspace, n * f.max(wq))?,
        d_h: plan.region(Workspace, n * c)?,
        d_qkv: plan.region(Workspace, n * (wq + wk + wv))?,
        dq: plan.region(Workspace, n * wq)?,
        dk: plan.region(Workspace, n * wk)?,
        cos: plan.region(Workspace, n * d / 2)?,
        sin: plan.region(Workspace, n * d / 2)?,
        scratch: plan.region(Workspace, scratch.max(reduce::bias_scratch(c)))?,
        workspace: plan.region(Workspace, attention.workspace_bytes())?,
    })
}

fn bench(h: &mut Harness, gemm: &Gemm, name: &str, dims: Dims) -> Result<(), Error> {
    let flops = dims.flops();
    let block = Block::new(h, gemm, dims)?;
    block.fill(1)?;
    // Every run starts from the same gradient, or its values would grow from run to run until they are no numbers.
    let d = h.gpu.upload(&h.stream, &h.stream.read(block.get(block.r.d))?, "d")?;
    let all = || {
        h.stream.copy(block.put(block.r.d), d.view())?;
        block.forward()?;
        block.backward()
    };
    let forward = h.time(8, || block.forward())?;
    let both = h.time(8, all)?;
    let graph = h.stream.capture(all)?;
    let graph = h.time(8, || h.stream.launch(&graph))?;
    drop(block);
    h.flops(&format!("block {name} forward"), forward, flops);
    h.flops(&format!("block {name} forward + backward"), both, 3.0 * flops);
    h.flops(&format!("block {name} forward + backward, as a graph"), graph, 3.0 * flops);
    Ok(())
}

/// The same launches twice, and once as a graph, give the same bits.
fn check_bits(h: &mut Harness, gemm: &Gemm, name: &str, dims: Dims) -> Result<(), Error> {
    let block = Block::new(h, gemm, dims)?;
    let results = || -> Vec<Vec<f32>> {
        let sums = block.r.d_matrices.iter().chain(&block.r.d_norms).map(|region| block.read_f32(*region));
        sums.chain([block.read(block.r.d), block.read(block.r.y)]).collect()
    };
    let all = || block.forward().and_then(|()| block.backward());
    block.fill(1)?;
    all()?;
    let first = results();
    block.fill(1)?;
    all()?;
    let again = results() == first;
    block.fill(1)?;
    let graph = h.stream.capture(all)?;
    h.stream.launch(&graph)?;
    let replayed = results() == first;
    drop(block);
    h.holds(&format!("block {name} twice gives the same bits"), again);
    h.holds(&format!("block {name} replayed as a graph gives the same bits"), replayed);
    Ok(())
}

pub fn run(h: &mut Harness, timed: bool) {
    let gemm = Gemm::new(&h.gpu, 64 << 20).expect("a workspace");
    let small = Dims {
        width: 256,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        mlp: 512,
        lengths: vec![40, 57, 1],
        deterministic: true,
    };
    let gqa = Dims {
        width: 512,
        heads: 8,
        kv_heads: 2,
        head_dim: 128,
        mlp: 1024,
        lengths: vec![65, 65],
        deterministic: false,
    };
    for (seed, dims) in [small, gqa].into_iter().enumerate() {
        h.attempt("block", |h| crate::block_reference::check(h, &gemm, dims, 1 + 50 * seed as u64));
    }
    if timed {
        let two = Dims {
            width: 2048,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            mlp: 6144,
            lengths: vec![3000; 4],
            deterministic: false,
        };
        let eight = Dims {
            width: 4096,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            mlp: 12288,
            lengths: vec![3000; 2],
            deterministic: false,
        };
        let ragged_bits = Dims { lengths: vec![2950, 3000, 3040, 3010], deterministic: true, ..two.clone() };
        h.attempt("block bits", |h| check_bits(h, &gemm, "2B ragged, deterministic", ragged_bits));
        let ragged = Dims { lengths: vec![2950, 3000, 3040, 3010], ..two.clone() };
        h.attempt("block 2B", |h| bench(h, &gemm, "2B, 4 x 3000 tokens", two));
        h.attempt("block 2B ragged", |h| bench(h, &gemm, "2B, 2950+3000+3040+3010 tokens", ragged));
        h.attempt("block 8B", |h| bench(h, &gemm, "8B, 2 x 3000 tokens", eight));
    }
}
