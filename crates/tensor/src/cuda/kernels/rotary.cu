// Norm of every query and key head and rotation by the token's angles, in one pass, and the way back; and rotation alone.
//
// Pairs are (x[j], x[j + D/2]). With norms, LANES threads share a token; each holds W values of the lower half of a head and the W values
// they pair with, and walks over the heads of its group, so that angles and weights are read once. blockIdx.y is the group of
// at most 8 heads: first those of the queries, then those of the keys.

constexpr int GROUP = 8;

struct Heads {
    const bf16 *x;
    bf16 *y;
    int x_stride, y_stride, count;
    const bf16 *weight;
};

template <int W>
__device__ __forceinline__ void angles(const float *cos, const float *sin, u64 at, float (&c)[W], float (&s)[W]) {
#pragma unroll
    for (int i = 0; i < W; i += 4) {
        const float4 a = *reinterpret_cast<const float4 *>(cos + at + i), b = *reinterpret_cast<const float4 *>(sin + at + i);
        c[i] = a.x, c[i + 1] = a.y, c[i + 2] = a.z, c[i + 3] = a.w;
        s[i] = b.x, s[i + 1] = b.y, s[i + 2] = b.z, s[i + 3] = b.w;
    }
}

template <int W, int LANES>
__device__ __forceinline__ void norm_rotate(const Heads heads, int head0, const float *cos, const float *sin, int tokens,
                                            float eps) {
    const int half = LANES * W;
    const int token = blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    // Every thread takes part in the sums over lanes, also behind the last token.
    const bool inside = token < tokens;
    const int row = inside ? token : 0, at = lane * W;
    float c[W], s[W], low_w[W], high_w[W];
    angles<W>(cos, sin, (u64)row * half + at, c, s);
    load<W>(heads.weight + at, low_w);
    load<W>(heads.weight + half + at, high_w);
    const bf16 *x = heads.x + (u64)row * heads.x_stride + at;
    bf16 *y = heads.y + (u64)row * heads.y_stride + at;
    const int end = min(heads.count, head0 + GROUP);
#pragma unroll 4
    for (int h = head0; h < end; h++) {
        float low[W], high[W];
        load<W>(x + h * 2 * half, low);
        load<W>(x + h * 2 * half + half, high);
        float squares = 0.0f;
#pragma unroll
        for (int i = 0; i < W; i++) squares += low[i] * low[i] + high[i] * high[i];
        const float inv = rsqrtf(warp_sum<LANES>(squares) / (2 * half) + eps);
#pragma unroll
        for (int i = 0; i < W; i++) low[i] *= inv * low_w[i], high[i] *= inv * high_w[i];
        float a[W], b[W];
#pragma unroll
        for (int i = 0; i < W; i++) {
            a[i] = low[i] * c[i] - high[i] * s[i];
            b[i] = high[i] * c[i] + low[i] * s[i];
        }
        if (inside) {
            store<W>(y + h * 2 * half, a);
            store<W>(y + h * 2 * half + half, b);
        }
    }
}

#define ROTARY_ARGUMENTS                                                                                                    \
    const bf16 *q, int q_stride, const bf16 *k, int k_stride, bf16 *q_out, int q_out_stride, bf16 *k_out, int k_out_stride, \
        const bf16 *q_weight, const bf16 *k_weight, const float *cos, const float *sin, int tokens, int heads, int kv_heads, \
        float eps

__device__ __forceinline__ Heads group(ROTARY_ARGUMENTS, int &head0) {
    const int q_groups = (heads + GROUP - 1) / GROUP;
    if ((int)blockIdx.y < q_groups) {
        head0 = blockIdx.y * GROUP;
        return Heads{q, q_out, q_stride, q_out_stride, heads, q_weight};
    }
    head0 = (blockIdx.y - q_groups) * GROUP;
    return Heads{k, k_out, k_stride, k_out_stride, kv_heads, k_weight};
}

#define ROTARY_VALUES                                                                                                       \
    q, q_stride, k, k_stride, q_out, q_out_stride, k_out, k_out_stride, q_weight, k_weight, cos, sin, tokens, heads, kv_heads, eps

#define NORM_ROTATE_KERNELS(D, W, LANES)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256) norm_rotate_##D(ROTARY_ARGUMENTS) {                                   \
        int head0;                                                                                                          \
        const Heads own = group(ROTARY_VALUES, head0);                                                                      \
        norm_rotate<W, LANES>(own, head0, cos, sin, tokens, eps);                                                    \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                                                      \
        norm_rotate_backward_##D(ROTARY_ARGUMENTS, const bf16 *dq, int dq_stride, const bf16 *dk, int dk_stride,            \
                                 float *partial) {                                                                          \
        int head0;                                                                                                          \
        const Heads own = group(ROTARY_VALUES, head0);                                                                      \
        const bool queries = (int)blockIdx.y < (heads + GROUP - 1) / GROUP;                                                 \
        norm_rotate_backward<W, LANES>(own, queries ? dq : dk, queries ? dq_stride : dk_stride, head0, cos, sin, tokens,    \
                                       eps, partial);                                                                       \
    }

// `heads.x` are the values before the norm, `dy` the gradients behind the rotation, `heads.y` receives those before the norm. The
// sums for the gradient of the weight go to `partial[blockIdx.y * gridDim.x + blockIdx.x]`.
template <int W, int LANES>
__device__ __forceinline__ void norm_rotate_backward(const Heads heads, const bf16 *dy, int dy_stride, int head0,
                                                     const float *cos, const float *sin, int tokens, float eps,
                                                     float *partial) {
    const int half = LANES * W, per_block = blockDim.x / LANES;
    const int lane = threadIdx.x % LANES, at = lane * W;
    float low_w[W], high_w[W], low_dw[W] = {}, high_dw[W] = {};
    load<W>(heads.weight + at, low_w);
    load<W>(heads.weight + half + at, high_w);
    const int end = min(heads.count, head0 + GROUP);
    // Every thread takes part in the sums over lanes, also behind the last token.
    for (int first = blockIdx.x * per_block; first < tokens; first += gridDim.x * per_block) {
        const int token = first + threadIdx.x / LANES;
        const bool inside = token < tokens;
        const int row = inside ? token : 0;
        float c[W], s[W];
        angles<W>(cos, sin, (u64)row * half + at, c, s);
        const bf16 *x = heads.x + (u64)row * heads.x_stride + at, *d = dy + (u64)row * dy_stride + at;
        bf16 *dx = heads.y + (u64)row * heads.y_stride + at;
#pragma unroll 2
        for (int h = head0; h < end; h++) {
            float low[W], high[W], a[W], b[W];
            load<W>(x + h * 2 * half, low);
            load<W>(x + h * 2 * half + half, high);
            load<W>(d + h * 2 * half, a);
            load<W>(d + h * 2 * half + half, b);
            float squares = 0.0f;
#pragma unroll
            for (int i = 0; i < W; i++) squares += low[i] * low[i] + high[i] * high[i];
            const float inv = rsqrtf(warp_sum<LANES>(squares) / (2 * half) + eps);
            float dot = 0.0f;
#pragma unroll
            for (int i = 0; i < W; i++) {
                // Back through the rotation, then n = x inv and g = d weight.
                const float low_d = a[i] * c[i] + b[i] * s[i], high_d = b[i] * c[i] - a[i] * s[i];
                low[i] *= inv, high[i] *= inv;
                if (inside) low_dw[i] += low_d * low[i], high_dw[i] += high_d * high[i];
                a[i] = low_d * low_w[i], b[i] = high_d * high_w[i];
                dot += a[i] * low[i] + b[i] * high[i];
            }
            const float mean = warp_sum<LANES>(dot) / (2 * half);
#pragma unroll
            for (int i = 0; i < W; i++) a[i] = inv * (a[i] - low[i] * mean), b[i] = inv * (b[i] - high[i] * mean);
            if (inside) {
                store<W>(dx + h * 2 * half, a);
                store<W>(dx + h * 2 * half + half, b);
            }
        }
    }
    // Sum over the tokens of the block, first inside a warp, then over its 8 warps.
    __shared__ float shared[8][2 * LANES * W];
    const int warp = threadIdx.x / WARP;
#pragma unroll
    for (int i = 0; i < W; i++) {
#pragma unroll
        for (int step = LANES; step < WARP; step *= 2) {
            low_dw[i] += __shfl_xor_sync(0xffffffffu, low_dw[i], step);
            high_dw[i] += __shfl_xor_sync(0xffffffffu, high_dw[i], step);
        }
        if (threadIdx.x % WARP < LANES) shared[warp][at + i] = low_dw[i], shared[warp][half + at + i] = high_dw[i];
    }
    __syncthreads();
    if ((int)threadIdx.x < 2 * half) {
        float total = 0.0f;
#pragma unroll
        for (int w = 0; w < 8; w++) total += shared[w][threadIdx.x];
        partial[((u64)blockIdx.y * gridDim.x + blockIdx.x) * (2 * half) + threadIdx.x] = total;
    }
}

NORM_ROTATE_KERNELS(32, 8, 2)
NORM_ROTATE_KERNELS(64, 8, 4)
NORM_ROTATE_KERNELS(128, 8, 8)

// Rotation alone, `sign` -1 back. A block takes TOKENS tokens, a thread one vector of 8 values of each; a vector's partners lie in two
// halves of other vectors (heads of 72 are no multiple of 16), so they pass through shared memory. That also makes it safe in place.
constexpr int TOKENS = 4, VECTORS = 512;

extern "C" __global__ void __launch_bounds__(VECTORS)
    rotate(const bf16 *q, int q_stride, const bf16 *k, int k_stride, bf16 *q_out, int q_out_stride, bf16 *k_out,
           int k_out_stride, const float *cos, const float *sin, int tokens, int q_width, int k_width, int head_dim,
           float sign) {
    __shared__ Vec8 shared[TOKENS][VECTORS];
    const int half = head_dim / 2, all = threadIdx.x * 8, first = blockIdx.x * TOKENS;
    const bool query = all < q_width;
    const int at = query ? all : all - q_width, count = all < q_width + k_width ? min(TOKENS, tokens - first) : 0;
    const bf16 *from = query ? q + at : k + at;
    bf16 *to = query ? q_out + at : k_out + at;
    const int from_stride = query ? q_stride : k_stride, to_stride = query ? q_out_stride : k_out_stride;
#pragma unroll
    for (int t = 0; t < TOKENS; t++)
        if (t < count) shared[t][threadIdx.x] = *reinterpret_cast<const Vec8 *>(from + (u64)(first + t) * from_stride);
    // Where the angles and partners of both halves of the vector lie.
    int angle[2], other[2];
    float turn[2];
#pragma unroll
    for (int part = 0; part < 2; part++) {
        const int d = (at + 4 * part) % head_dim;
        const bool low = d < half;
        angle[part] = low ? d : d - half;
        other[part] = all + 4 * part + (low ? half : -half);
        turn[part] = low ? -sign : sign;
    }
    __syncthreads();
#pragma unroll
    for (int t = 0; t < TOKENS; t++) {
        if (t >= count) return;
        const bf16 *row = reinterpret_cast<const bf16 *>(shared[t]);
        float out[8];
#pragma unroll
        for (int part = 0; part < 2; part++) {
            float own[4], partner[4];
            load<4>(row + all + 4 * part, own);
            load<4>(row + other[part], partner);
            const u64 table = (u64)(first + t) * half + angle[part];
            const float4 c = *reinterpret_cast<const float4 *>(cos + table), s = *reinterpret_cast<const float4 *>(sin + table);
            out[4 * part] = own[0] * c.x + partner[0] * (turn[part] * s.x);
            out[4 * part + 1] = own[1] * c.y + partner[1] * (turn[part] * s.y);
            out[4 * part + 2] = own[2] * c.z + partner[2] * (turn[part] * s.z);
            out[4 * part + 3] = own[3] * c.w + partner[3] * (turn[part] * s.w);
        }
        store<8>(to + (u64)(first + t) * to_stride, out);
    }
}

// Angles of every token: `positions (3, tokens)`, `frequencies (half,)`, `axes (half,)` says which row of positions counts.
extern "C" __global__ void __launch_bounds__(256)
    mrope_table(const int *positions, const float *frequencies, const int *axes, float *cos, float *sin, int tokens, int half) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)tokens * half) return;
    const int token = i / half, j = i % half;
    float s, c;
    sincosf((float)positions[(u64)axes[j] * tokens + token] * frequencies[j], &s, &c);
    cos[i] = c, sin[i] = s;
}
