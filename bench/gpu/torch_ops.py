"""PyTorch's times for the ops that `gpu_check` times, same shapes, same way (median of 15 timings of CUDA events).

A developer's comparison, not part of the product: `python3 torch_ops.py`. Elementwise ops run eagerly and under torch.compile.
"""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.manual_seed(0)
DEVICE = "cuda"


def rand(*shape):
    """Uniform in -1..1 with all bits of bf16 in use: drawn in bf16 the values have 8 bits, and products of such values run up to 10 %
    faster on a GPU at its power limit."""
    return (torch.rand(*shape, device=DEVICE) * 2 - 1).bfloat16()


def time(call, inner=4):
    for _ in range(3):
        call()
    times = []
    for _ in range(15):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(inner):
            call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / inner)
    return sorted(times)[7]


def line(name, ms, flops=None, bytes_moved=None):
    rate = f"{flops / ms / 1e9:7.0f} TFLOP/s" if flops else f"{bytes_moved / ms / 1e6:7.0f} GB/s {100 * bytes_moved / ms / 1e6 / COPY:4.0f} % of copy"
    print(f"{name:60s} {ms * 1e3:9.1f} us {rate}", flush=True)


def attempt(name, f):
    try:
        f()
    except Exception as error:  # noqa: BLE001 - one missing op must not end the table
        print(f"{name}: failed: {str(error)[:160]}", flush=True)


def copy_rate():
    x = torch.empty(2 << 30, device=DEVICE, dtype=torch.uint8)
    y = torch.empty_like(x)
    return 2 * x.numel() / time(lambda: y.copy_(x), 1) / 1e6


def attention(name, backend, b, h, k, s, d, causal):
    q, kk, v = (rand(b, heads, s, d).requires_grad_() for heads in (h, k, k))
    flops = 4 * b * h * s * s * d * (0.5 if causal else 1)
    with sdpa_kernel(backend):
        forward = lambda: F.scaled_dot_product_attention(q, kk, v, is_causal=causal, enable_gqa=h != k)
        line(f"attention {name} forward", time(forward), flops)
        out = forward()
        d_out = rand(*out.shape)
        line(f"attention {name} backward", time(lambda: torch.autograd.grad(out, (q, kk, v), d_out, retain_graph=True)), 2.5 * flops)


def gemm(name, n, i, o):
    x, w, dy = rand(n, i), rand(o, i), rand(n, o)
    dw = torch.zeros(o, i, device=DEVICE)
    flops = 2 * n * i * o
    line(f"gemm {name} N{n} I{i} O{o} forward", time(lambda: x @ w.T), flops)
    line(f"gemm {name} N{n} I{i} O{o} dgrad", time(lambda: dy @ w), flops)
    line(f"gemm {name} N{n} I{i} O{o} wgrad (bf16)", time(lambda: dy.T @ x), flops)
    line(f"gemm {name} N{n} I{i} O{o} wgrad, then += f32", time(lambda: dw.add_(dy.T @ x)), flops)


def norm(n, c):
    x, delta, w, dy = rand(n, c).requires_grad_(), rand(n, c).requires_grad_(), rand(c).requires_grad_(), rand(n, c)
    d_sum = rand(n, c)

    def forward(x, delta, w):
        s = x + delta
        return s, F.rms_norm(s, (c,), w, 1e-6)

    for kind, f in [("eager", forward), ("compiled", torch.compile(forward))]:
        ms = time(lambda: f(x, delta, w))
        line(f"residual + rms_norm {n}x{c} forward, {kind}", ms, bytes_moved=8 * n * c)
        out = f(x, delta, w)
        ms = time(lambda: torch.autograd.grad(out, (x, w), (d_sum, dy), retain_graph=True))
        line(f"residual + rms_norm {n}x{c} backward, {kind}", ms, bytes_moved=8 * n * c)


def swiglu(n, f):
    gate_up, dy = rand(n, 2 * f).requires_grad_(), rand(n, f)

    def forward(gate_up):
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate) * up

    for kind, g in [("eager", forward), ("compiled", torch.compile(forward))]:
        line(f"swiglu {n}x{f} forward, {kind}", time(lambda: g(gate_up)), bytes_moved=6 * n * f)
        out = g(gate_up)
        ms = time(lambda: torch.autograd.grad(out, gate_up, dy, retain_graph=True))
        line(f"swiglu {n}x{f} backward, {kind}", ms, bytes_moved=10 * n * f)


def adamw(count):
    p = torch.zeros(count, device=DEVICE, requires_grad=True)
    p.grad = torch.rand(count, device=DEVICE)
    optimizer = torch.optim.AdamW([p], lr=1e-5, fused=True)

    def step():
        torch.nn.utils.clip_grad_norm_([p], 1.0)
        optimizer.step()

    line(f"clip + fused AdamW, f32 masters, {count / 1e9:.3f} G parameters", time(step, 1), bytes_moved=32 * count)


print(f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name(0)}")
COPY = copy_rate()
print(f"copy {COPY:.0f} GB/s")
CUDNN, FLASH = SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION
attempt("cudnn", lambda: attention("cuDNN hd128 causal 4x3000 16/8", CUDNN, 4, 16, 8, 3000, 128, True))
attempt("cudnn", lambda: attention("cuDNN hd128 causal 2x3000 32/8", CUDNN, 2, 32, 8, 3000, 128, True))
attempt("cudnn", lambda: attention("cuDNN hd64 full 32x1288 16/16", CUDNN, 32, 16, 16, 1288, 64, False))
attempt("cudnn", lambda: attention("cuDNN hd72 full 16x1288 16/16", CUDNN, 16, 16, 16, 1288, 72, False))
attempt("flash", lambda: attention("FA2 hd128 causal 4x3000 16/8", FLASH, 4, 16, 8, 3000, 128, True))
for shape in [("2B qkv", 12000, 2048, 4096), ("2B gate+up", 12000, 2048, 12288), ("2B down", 12000, 6144, 2048),
              ("2B ViT fc1", 41216, 1024, 4096), ("2B ViT fc2", 41216, 4096, 1024), ("8B gate+up", 6000, 4096, 24576),
              ("8B down", 6000, 12288, 4096)]:
    attempt(shape[0], lambda: gemm(*shape))
attempt("norm", lambda: norm(24000, 2048))
attempt("swiglu", lambda: swiglu(12000, 6144))
attempt("adamw", lambda: adamw(2_127_000_000 // 8192 * 8192))
