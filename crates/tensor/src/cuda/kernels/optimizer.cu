// Global norm, guard and AdamW over one flat buffer of all parameters.
//
// A master weight is f32: its upper half, rounded to nearest, is the bf16 weight that the products read; the lower 16 bits lie
// beside it. The bf16 was rounded up exactly if bit 15 of the lower half is set, so nothing is lost.

// What the update of this step reads; lives on the GPU, so that no step waits for the host.
struct Control {
    // Factor on every gradient.
    float grad_scale;
    // 1 / (1 - beta1^step) and sqrt(1 - beta2^step).
    float moment1_correction, moment2_root;
    // Norm of the gradients as they came.
    float norm;
    // 1 if the gradients are not finite and the step is skipped.
    int skip;
    // Steps taken, and steps skipped.
    int step, skipped;
    int pad;
};

// Sum of squares of a share of `values`, in f64, to `partial[blockIdx.x]`. `count` is a multiple of 8.
extern "C" __global__ void __launch_bounds__(512) squares(const float *values, double *partial, u64 count) {
    double total = 0.0;
    for (u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8; i < count; i += (u64)gridDim.x * blockDim.x * 8) {
        float v[8];
        load_f32x8(values + i, v);
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) sum += v[j] * v[j];
        total += sum;
    }
    __shared__ double shared[512];
    shared[threadIdx.x] = total;
    __syncthreads();
    for (int step = 256; step > 0; step /= 2) {
        if ((int)threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = shared[0];
}

// Decides on the step: one block of 512 threads. `scale` is applied to the gradients before the clip (1 / labelled tokens, say);
// `max_norm` 0 means no clip.
extern "C" __global__ void __launch_bounds__(512)
    decide(const double *partial, Control *control, int blocks, float scale, float max_norm, double beta1, double beta2) {
    __shared__ double shared[512];
    double total = 0.0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) total += partial[i];
    shared[threadIdx.x] = total;
    __syncthreads();
    for (int step = 256; step > 0; step /= 2) {
        if ((int)threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x != 0) return;
    const double norm = sqrt(shared[0]) * fabs((double)scale);
    control->norm = (float)norm;
    // False for NaN as well.
    const bool finite = norm < 3.0e38;
    control->skip = !finite;
    if (!finite) {
        control->skipped += 1;
        return;
    }
    control->step += 1;
    control->grad_scale = max_norm > 0.0f && norm > max_norm ? (float)(scale * (max_norm / (norm + 1e-6))) : scale;
    control->moment1_correction = (float)(1.0 / (1.0 - pow(beta1, (double)control->step)));
    control->moment2_root = (float)sqrt(1.0 - pow(beta2, (double)control->step));
}

// A run of values of one parameter group.
struct Chunk {
    u64 start;
    u32 count, group;
};

struct Group {
    float lr, weight_decay;
};

// 32 random bits of a number (the finaliser of murmur3 over a Weyl sequence).
__device__ __forceinline__ u32 scattered(u32 x) {
    x = x * 0x9e3779b9u + 0x7f4a7c15u;
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}

__device__ __forceinline__ void load_moments(const float *from, float (&to)[8]) { load_f32x8(from, to); }
__device__ __forceinline__ void load_moments(const bf16 *from, float (&to)[8]) { load<8>(from, to); }

__device__ __forceinline__ void store_moments(float *to, const float (&from)[8], u32) { store_f32x8(to, from); }

// Rounded up or down at random, with the odds that keep the mean: what is smaller than a step of bf16 still adds up over the updates.
__device__ __forceinline__ void store_moments(bf16 *to, const float (&from)[8], u32 salt) {
    Vec8 packed;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const u32 random = scattered(salt + j);
        const u32 a = __float_as_uint(from[2 * j]) + (random & 0xffffu), b = __float_as_uint(from[2 * j + 1]) + (random >> 16);
        packed.words[j] = a >> 16 | (b & 0xffff0000u);
    }
    *reinterpret_cast<Vec8 *>(to) = packed;
}

// One block a chunk; `count` of a chunk is a multiple of 8. `M` is the type of the moments.
template <typename M>
__device__ __forceinline__ void adamw_chunk(bf16 *weight, bf16 *low_bits, float *grad, M *moment1, M *moment2, const Chunk *chunks,
                                            const Group *groups, const Control *control, float beta1_rest, float beta2,
                                            float beta2_rest, float eps, int clear_grad) {
    const Chunk chunk = chunks[blockIdx.x];
    const Group group = groups[chunk.group];
    const bool skip = control->skip;
    const float grad_scale = control->grad_scale, root = control->moment2_root;
    const float step_size = group.lr * control->moment1_correction, decay = 1.0f - group.lr * group.weight_decay;
    const float zeros[8] = {};
#pragma unroll 2
    for (u32 i = threadIdx.x * 8; i < chunk.count; i += blockDim.x * 8) {
        const u64 at = chunk.start + i;
        if (skip) {
            if (clear_grad) store_f32x8(grad + at, zeros);
            continue;
        }
        float g[8], m[8], v[8];
        load_f32x8(grad + at, g);
        load_moments(moment1 + at, m);
        load_moments(moment2 + at, v);
        Vec8 high = *reinterpret_cast<const Vec8 *>(weight + at), low = *reinterpret_cast<const Vec8 *>(low_bits + at);
        u32 master[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const u32 shift = j % 2 * 16, h = high.words[j / 2] >> shift & 0xffffu, l = low.words[j / 2] >> shift & 0xffffu;
            const float p = __uint_as_float(((h - (l >> 15)) << 16) | l);
            const float scaled = g[j] * grad_scale;
            m[j] += beta1_rest * (scaled - m[j]);
            v[j] = v[j] * beta2 + beta2_rest * scaled * scaled;
            master[j] = __float_as_uint(p * decay - step_size * m[j] / (sqrtf(v[j]) / root + eps));
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const u32 a = master[2 * j], b = master[2 * j + 1];
            high.words[j] = ((a + 0x8000u) >> 16 & 0xffffu) | (b + 0x8000u & 0xffff0000u);
            low.words[j] = (a & 0xffffu) | b << 16;
        }
        *reinterpret_cast<Vec8 *>(weight + at) = high;
        *reinterpret_cast<Vec8 *>(low_bits + at) = low;
        // 8 random words for 8 values, other ones for every update.
        const u32 salt = scattered((u32)control->step ^ (u32)(at >> 32) * 0x27d4eb2fu) + (u32)at;
        store_moments(moment1 + at, m, salt);
        store_moments(moment2 + at, v, salt + 4);
        if (clear_grad) store_f32x8(grad + at, zeros);
    }
}

#define ADAMW_KERNEL(NAME, M)                                                                                               \
    extern "C" __global__ void __launch_bounds__(256)                                                                      \
        NAME(bf16 *weight, bf16 *low_bits, float *grad, M *moment1, M *moment2, const Chunk *chunks, const Group *groups,    \
             const Control *control, float beta1_rest, float beta2, float beta2_rest, float eps, int clear_grad) {          \
        adamw_chunk<M>(weight, low_bits, grad, moment1, moment2, chunks, groups, control, beta1_rest, beta2, beta2_rest,    \
                       eps, clear_grad);                                                                                    \
    }

ADAMW_KERNEL(adamw, float)
ADAMW_KERNEL(adamw_bf16_moments, bf16)

// Cuts f32 masters into bf16 weights and their lower bits; `count` is a multiple of 8.
extern "C" __global__ void __launch_bounds__(256) split_master(const float *master, bf16 *weight, bf16 *low_bits, u64 count) {
    const u64 at = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (at >= count) return;
    Vec8 high, low;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const u32 a = __float_as_uint(master[at + 2 * j]), b = __float_as_uint(master[at + 2 * j + 1]);
        high.words[j] = ((a + 0x8000u) >> 16 & 0xffffu) | (b + 0x8000u & 0xffff0000u);
        low.words[j] = (a & 0xffffu) | b << 16;
    }
    *reinterpret_cast<Vec8 *>(weight + at) = high;
    *reinterpret_cast<Vec8 *>(low_bits + at) = low;
}

// The masters again.
extern "C" __global__ void __launch_bounds__(256) join_master(const bf16 *weight, const bf16 *low_bits, float *master, u64 count) {
    const u64 at = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (at >= count) return;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const u32 h = weight[at + j], l = low_bits[at + j];
        master[at + j] = __uint_as_float(((h - (l >> 15)) << 16) | l);
    }
}
