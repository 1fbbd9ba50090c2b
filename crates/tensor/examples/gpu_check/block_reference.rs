//! The decoder block by the CPU ops, in f32, and the comparison of every gradient.

use half::bf16;
use tensor::cuda::{Error, Gemm, Region};
use tensor::ops::{attention, elementwise, linear, rms_norm, rotary, swiglu};
use tensor::{Device, Segments, Tensor};

use crate::block::{Block, Dims};
use crate::harness::Harness;

const EPS: f32 = 1e-6;
/// Several roundings to bf16 in a row, here and there.
const LIMIT: f64 = 1.5e-2;

fn tensor(block: &Block<'_>, region: Region<bf16>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(&Device::Cpu, block.read(region), shape).unwrap()
}

/// Parameters of the block, as CPU tensors.
struct Parameters {
    matrices: Vec<Tensor>,
    norms: Vec<Tensor>,
    table: rotary::RotaryTable,
    segments: Segments,
    config: attention::Config,
    widths: [usize; 3],
    mlp: usize,
}

fn parameters(block: &Block<'_>) -> Parameters {
    let Dims { width, heads, kv_heads, head_dim, mlp, .. } = block.dims.clone();
    let widths = [heads, kv_heads, kv_heads].map(|heads| heads * head_dim);
    let shapes = [[widths.iter().sum(), width], [width, widths[0]], [2 * mlp, width], [width, mlp]];
    let matrices = block.r.matrices.iter().zip(shapes).map(|(region, shape)| tensor(block, *region, &shape)).collect();
    let norms = block.r.norms.iter().map(|region| tensor(block, *region, &[region.len()])).collect();
    let angles =
        |region| Tensor::from_vec(&Device::Cpu, block.read_f32(region), &[block.dims.tokens(), head_dim / 2]).unwrap();
    let table = rotary::RotaryTable { cos: angles(block.r.cos), sin: angles(block.r.sin) };
    let segments = Segments::packed(&Device::Cpu, &block.dims.boundaries()).unwrap();
    let scale = 1.0 / (head_dim as f32).sqrt();
    let config = attention::Config { heads, kv_heads, head_dim, causal: true, scale };
    Parameters { matrices, norms, table, segments, config, widths, mlp }
}

/// Results by name.
type Named = Vec<(&'static str, Tensor)>;

/// `x` and the gradient of the result in; results and all gradients out.
fn reference(p: &Parameters, x: &Tensor, d: &Tensor) -> tensor::Result<Named> {
    let (h1, inv1) = rms_norm::forward(x, &p.norms[0], EPS)?;
    let qkv = linear::forward(&h1, &p.matrices[0], None)?;
    let parts = elementwise::split_columns(&qkv, &p.widths)?;
    let (mut q, inv_q) = rms_norm::forward(&parts[0], &p.norms[2], EPS)?;
    let (mut k, inv_k) = rms_norm::forward(&parts[1], &p.norms[3], EPS)?;
    rotary::forward(&mut q, &p.table)?;
    rotary::forward(&mut k, &p.table)?;
    let (out, lse) = attention::forward(&q, &k, &parts[2], &p.segments, p.config)?;
    let s2 = elementwise::add(x, &linear::forward(&out, &p.matrices[1], None)?)?;
    let (h2, inv2) = rms_norm::forward(&s2, &p.norms[1], EPS)?;
    let gate_up = elementwise::split_columns(&linear::forward(&h2, &p.matrices[2], None)?, &[p.mlp, p.mlp])?;
    let act = swiglu::forward(&gate_up[0], &gate_up[1])?;
    let y = linear::forward(&act, &p.matrices[3], None)?;

    let mut d_matrices: Vec<Tensor> = p.matrices.iter().map(Tensor::zeros_like).collect();
    let mut d_norms: Vec<Tensor> = p.norms.iter().map(Tensor::zeros_like).collect();
    let mut d = d.clone();
    linear::backward_weight(&d, &act, &mut d_matrices[3])?;
    let (d_gate, d_up) = swiglu::backward(&linear::backward_input(&d, &p.matrices[3])?, &gate_up[0], &gate_up[1])?;
    let d_gate_up = elementwise::concat_columns(&[&d_gate, &d_up])?;
    linear::backward_weight(&d_gate_up, &h2, &mut d_matrices[2])?;
    let d_h2 = linear::backward_input(&d_gate_up, &p.matrices[2])?;
    elementwise::add_assign(&mut d, &rms_norm::backward(&d_h2, &s2, &p.norms[1], &inv2, &mut d_norms[1])?)?;
    linear::backward_weight(&d, &out, &mut d_matrices[1])?;
    let d_out = linear::backward_input(&d, &p.matrices[1])?;
    let (mut dq, mut dk, dv) = attention::backward(&d_out, &q, &k, &parts[2], &out, &lse, &p.segments, p.config)?;
    rotary::backward(&mut dq, &p.table)?;
    rotary::backward(&mut dk, &p.table)?;
    let dq = rms_norm::backward(&dq, &parts[0], &p.norms[2], &inv_q, &mut d_norms[2])?;
    let dk = rms_norm::backward(&dk, &parts[1], &p.norms[3], &inv_k, &mut d_norms[3])?;
    let d_qkv = elementwise::concat_columns(&[&dq, &dk, &dv])?;
    linear::backward_weight(&d_qkv, &h1, &mut d_matrices[0])?;
    let d_h1 = linear::backward_input(&d_qkv, &p.matrices[0])?;
    elementwise::add_assign(&mut d, &rms_norm::backward(&d_h1, x, &p.norms[0], &inv1, &mut d_norms[0])?)?;
    let mut named: Named = vec![("s2", s2), ("y", y), ("dx", d)];
    named.extend(["d_qkv", "d_out", "d_gate_up", "d_down"].into_iter().zip(d_matrices));
    named.extend(["d_norm1", "d_norm2", "d_q_norm", "d_k_norm"].into_iter().zip(d_norms));
    Ok(named)
}

pub fn check(h: &mut Harness, gemm: &Gemm, dims: Dims, seed: u64) -> Result<(), Error> {
    let shape = [dims.tokens(), dims.width];
    let label = format!("block C{} D{}", dims.width, dims.head_dim);
    let (got, want) = {
        let block = Block::new(h, gemm, dims)?;
        block.fill(seed)?;
        let (x, d) = (tensor(&block, block.r.x, &shape), tensor(&block, block.r.d, &shape));
        let want = reference(&parameters(&block), &x, &d).expect("operands that fit");
        block.forward()?;
        let mut got = vec![block.read(block.r.s2), block.read(block.r.y)];
        block.backward()?;
        got.push(block.read(block.r.d));
        got.extend(block.r.d_matrices.iter().chain(&block.r.d_norms).map(|region| block.read_f32(*region)));
        (got, want)
    };
    for (got, (name, want)) in got.iter().zip(&want) {
        h.close(&format!("{label} {name}"), got, &want.to_vec(), LIMIT);
    }
    Ok(())
}
