// What every kernel file may use: bf16 as bits, 16-byte vectors, sums over warps and blocks.
//
// NVRTC is run without include folders, so nothing is included. Every sum has a fixed order: the same input gives the same bits.

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

constexpr int WARP = 32;
#define INFINITY __int_as_float(0x7f800000)

__device__ __forceinline__ float from_bf16(u32 bits) { return __uint_as_float(bits << 16); }

// Two values, rounded to nearest even, `low` in the lower half.
__device__ __forceinline__ u32 to_bf16x2(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// 8 values in 16 bytes.
struct alignas(16) Vec8 {
    u32 words[4];
};

// 4 values in 8 bytes.
struct alignas(8) Vec4 {
    u32 words[2];
};

template <int N> struct VecOf;
template <> struct VecOf<8> { typedef Vec8 type; };
template <> struct VecOf<4> { typedef Vec4 type; };

template <int N> __device__ __forceinline__ void load(const bf16 *from, float (&to)[N]) {
    typedef typename VecOf<N>::type Vec;
    const Vec packed = *reinterpret_cast<const Vec *>(from);
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        to[2 * i] = from_bf16(packed.words[i] & 0xffffu);
        to[2 * i + 1] = __uint_as_float(packed.words[i] & 0xffff0000u);
    }
}

template <int N> __device__ __forceinline__ void store(bf16 *to, const float (&from)[N]) {
    typedef typename VecOf<N>::type Vec;
    Vec packed;
#pragma unroll
    for (int i = 0; i < N / 2; i++) packed.words[i] = to_bf16x2(from[2 * i], from[2 * i + 1]);
    *reinterpret_cast<Vec *>(to) = packed;
}

__device__ __forceinline__ void load_f32x8(const float *from, float (&to)[8]) {
    const float4 a = reinterpret_cast<const float4 *>(from)[0], b = reinterpret_cast<const float4 *>(from)[1];
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
    to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

__device__ __forceinline__ void store_f32x8(float *to, const float (&from)[8]) {
    reinterpret_cast<float4 *>(to)[0] = make_float4(from[0], from[1], from[2], from[3]);
    reinterpret_cast<float4 *>(to)[1] = make_float4(from[4], from[5], from[6], from[7]);
}

template <int WIDTH = WARP> __device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int step = WIDTH / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

// Sums of N values over the block, the same in every thread. `blockDim.x` must be a multiple of 32.
template <int N> __device__ __forceinline__ void block_sum(float (&values)[N]) {
    __shared__ float partial[N][WARP];
    const int warps = blockDim.x / WARP, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = warp_sum(values[i]);
    if (warps == 1) return;
    __syncthreads();
    if (lane == 0) {
#pragma unroll
        for (int i = 0; i < N; i++) partial[i][warp] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = warp_sum(lane < warps ? partial[i][lane] : 0.0f);
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }
