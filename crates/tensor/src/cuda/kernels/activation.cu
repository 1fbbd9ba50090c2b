// SwiGLU over the fused projection `(N, 2F) = [gate | up]`, and GELU.

// One block a row.
extern "C" __global__ void __launch_bounds__(256) swiglu_forward(const bf16 *gate_up, bf16 *y, int width) {
    const bf16 *gate = gate_up + (u64)blockIdx.x * 2 * width, *up = gate + width;
    bf16 *out = y + (u64)blockIdx.x * width;
#pragma unroll 4
    for (int at = threadIdx.x * 8; at < width; at += blockDim.x * 8) {
        float g[8], u[8];
        load<8>(gate + at, g);
        load<8>(up + at, u);
#pragma unroll
        for (int i = 0; i < 8; i++) g[i] = g[i] * sigmoid(g[i]) * u[i];
        store<8>(out + at, g);
    }
}

// `d_gate_up` may be `gate_up` itself. `y`, if wanted, is the forward result again (for the gradient of the next weight).
extern "C" __global__ void __launch_bounds__(256)
    swiglu_backward(const bf16 *dy, const bf16 *gate_up, bf16 *d_gate_up, bf16 *y, int width) {
    const u64 row = blockIdx.x;
    const bf16 *gate = gate_up + row * 2 * width, *up = gate + width, *d = dy + row * width;
    bf16 *d_gate = d_gate_up + row * 2 * width, *d_up = d_gate + width;
#pragma unroll 2
    for (int at = threadIdx.x * 8; at < width; at += blockDim.x * 8) {
        float g[8], u[8], o[8], product[8];
        load<8>(gate + at, g);
        load<8>(up + at, u);
        load<8>(d + at, o);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float s = sigmoid(g[i]), silu = g[i] * s;
            product[i] = silu * u[i];
            g[i] = o[i] * u[i] * (s * (1.0f + g[i] * (1.0f - s)));
            u[i] = o[i] * silu;
        }
        store<8>(d_gate + at, g);
        store<8>(d_up + at, u);
        if (y) store<8>(y + row * width + at, product);
    }
}

__device__ __forceinline__ float twice_inner(float x) { return 1.5957691216f * (x + 0.044715f * x * x * x); }

__device__ __forceinline__ float gelu(float x, bool erf) {
    return erf ? 0.5f * x * (1.0f + erff(x * 0.70710678f)) : x * sigmoid(twice_inner(x));
}

__device__ __forceinline__ float gelu_slope(float x, bool erf) {
    if (erf) return 0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * __expf(-0.5f * x * x);
    const float s = sigmoid(twice_inner(x));
    return s + x * s * (1.0f - s) * 1.5957691216f * (1.0f + 0.134145f * x * x);
}

// `y = gelu(x)`; `vectors` of 8 values.
extern "C" __global__ void __launch_bounds__(256) gelu_forward(const bf16 *x, bf16 *y, u64 vectors, int erf) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    float v[8];
    load<8>(x + i * 8, v);
#pragma unroll
    for (int j = 0; j < 8; j++) v[j] = gelu(v[j], erf);
    store<8>(y + i * 8, v);
}

// `dx = dy gelu'(x)`; `dx` may be `dy` itself.
extern "C" __global__ void __launch_bounds__(256)
    gelu_backward(const bf16 *dy, const bf16 *x, bf16 *dx, u64 vectors, int erf) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    float v[8], d[8];
    load<8>(x + i * 8, v);
    load<8>(dy + i * 8, d);
#pragma unroll
    for (int j = 0; j < 8; j++) d[j] *= gelu_slope(v[j], erf);
    store<8>(dx + i * 8, d);
}
