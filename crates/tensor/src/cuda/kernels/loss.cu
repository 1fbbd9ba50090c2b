// Cross entropy of rows of f32 logits, and its gradient in bf16.

// Eight logits; padding, which begins inside the last vector at the earliest, as minus infinity.
__device__ __forceinline__ void load_logits(const float *row, int at, int vocabulary, float (&v)[8]) {
    load_f32x8(row + at, v);
    if (at + 8 <= vocabulary) return;
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (at + j >= vocabulary) v[j] = -INFINITY;
}

// loss[n] = log(sum e^logit) - logit[target]; d_logits = scale (softmax - one_hot(target)), if wanted. One block a row of `stride`
// logits, a multiple of 8; those from `vocabulary` on are padding: they count as minus infinity. The first pass keeps a running maximum a thread, so logits are read twice and never written.
extern "C" __global__ void __launch_bounds__(1024)
    cross_entropy(const float *logits, const int *targets, float *loss, bf16 *d_logits, int stride, int vocabulary,
                  float scale) {
    __shared__ float shared_max[WARP], shared_sum[WARP];
    const float *row = logits + (u64)blockIdx.x * stride;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, target = targets[blockIdx.x];
    float largest = -INFINITY, sum = 0.0f;
#pragma unroll 2
    for (int at = threadIdx.x * 8; at < stride; at += blockDim.x * 8) {
        float v[8];
        load_logits(row, at, vocabulary, v);
        float top = v[0];
#pragma unroll
        for (int j = 1; j < 8; j++) top = fmaxf(top, v[j]);
        if (top > largest) sum *= __expf(largest - top), largest = top;
#pragma unroll
        for (int j = 0; j < 8; j++) sum += __expf(v[j] - largest);
    }
    const float warp_top = warp_max(largest);
    const float warp_total = warp_sum(largest == -INFINITY ? 0.0f : sum * __expf(largest - warp_top));
    if (lane == 0) shared_max[warp] = warp_top, shared_sum[warp] = warp_total;
    __syncthreads();
    const int warps = blockDim.x / WARP;
    const float top = lane < warps ? shared_max[lane] : -INFINITY;
    const float all = warp_max(top);
    const float total = warp_sum(lane < warps && top > -INFINITY ? shared_sum[lane] * __expf(top - all) : 0.0f);
    const float log_sum = all + logf(total);
    if (threadIdx.x == 0) loss[blockIdx.x] = log_sum - row[target];
    if (d_logits == nullptr) return;
    bf16 *out = d_logits + (u64)blockIdx.x * stride;
#pragma unroll 2
    for (int at = threadIdx.x * 8; at < stride; at += blockDim.x * 8) {
        float v[8];
        load_logits(row, at, vocabulary, v);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = scale * (__expf(v[j] - log_sum) - (at + j == target ? 1.0f : 0.0f));
        store<8>(out + at, v);
    }
}
