// Values made, rounded and summed: random weights, f32 to bf16, the sum of the losses.

// splitmix64: 64 random bits of a number.
__device__ __forceinline__ u64 mixed(u64 z) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// y[i] normal with mean 0 (Box-Muller on the bits of pair i / 2 of the stream `seed`); `vectors` of 8 values.
extern "C" __global__ void __launch_bounds__(256) fill_normal(bf16 *y, u64 vectors, u64 seed, float deviation) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    float v[8];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const u64 bits = mixed(mixed(seed) + 4 * i + j);
        // 24 bits each; the first in (0, 1], so that its logarithm is finite.
        const float a = ((u32)(bits >> 40) + 1u) * 5.9604645e-8f, b = ((u32)bits & 0xffffffu) * 5.9604645e-8f;
        const float radius = deviation * sqrtf(-2.0f * logf(a));
        float s, c;
        sincospif(2.0f * b, &s, &c);
        v[2 * j] = radius * c, v[2 * j + 1] = radius * s;
    }
    store<8>(y + i * 8, v);
}

// y[i] = value; `vectors` of 8 values.
extern "C" __global__ void __launch_bounds__(256) fill_value(bf16 *y, u64 vectors, float value) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    const float v[8] = {value, value, value, value, value, value, value, value};
    store<8>(y + i * 8, v);
}

// y[i] = x[i] rounded to nearest even; `vectors` of 8 values.
extern "C" __global__ void __launch_bounds__(256) round_to_bf16(const float *x, bf16 *y, u64 vectors) {
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    float v[8];
    load_f32x8(x + i * 8, v);
    store<8>(y + i * 8, v);
}

// *out (+)= sum of `count` values in f64: one block of 512 threads.
extern "C" __global__ void __launch_bounds__(512) add_sum(const float *values, double *out, int count, int accumulate) {
    __shared__ double shared[512];
    double total = 0.0;
    for (int i = threadIdx.x; i < count; i += 512) total += values[i];
    shared[threadIdx.x] = total;
    __syncthreads();
    for (int step = 256; step > 0; step /= 2) {
        if ((int)threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) *out = accumulate ? *out + shared[0] : shared[0];
}
