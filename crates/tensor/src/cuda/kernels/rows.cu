// Rows picked, placed and summed by number. One block a row.

// y[i] = table[rows[i]] if rows[i] >= 0, else other[-1 - rows[i]]: token embeddings with visual features in their places.
extern "C" __global__ void __launch_bounds__(256)
    gather_rows(const bf16 *table, const bf16 *other, const int *rows, bf16 *y, int cols) {
    const int row = rows[blockIdx.x];
    const bf16 *from = row >= 0 ? table + (u64)row * cols : other + (u64)(-1 - row) * cols;
    bf16 *to = y + (u64)blockIdx.x * cols;
    for (int at = threadIdx.x * 8; at < cols; at += blockDim.x * 8)
        *reinterpret_cast<Vec8 *>(to + at) = *reinterpret_cast<const Vec8 *>(from + at);
}

// x[rows[i]] = src[i]; rows are distinct.
extern "C" __global__ void __launch_bounds__(256) scatter_rows(bf16 *x, const int *rows, const bf16 *src, int cols) {
    bf16 *to = x + (u64)rows[blockIdx.x] * cols;
    const bf16 *from = src + (u64)blockIdx.x * cols;
    for (int at = threadIdx.x * 8; at < cols; at += blockDim.x * 8)
        *reinterpret_cast<Vec8 *>(to + at) = *reinterpret_cast<const Vec8 *>(from + at);
}

// x[rows[i]] += src[i]; rows are distinct, so nothing races.
extern "C" __global__ void __launch_bounds__(256) scatter_add_rows(bf16 *x, const int *rows, const bf16 *src, int cols) {
    bf16 *to = x + (u64)rows[blockIdx.x] * cols;
    const bf16 *from = src + (u64)blockIdx.x * cols;
    for (int at = threadIdx.x * 8; at < cols; at += blockDim.x * 8) {
        float a[8], b[8];
        load<8>(to + at, a);
        load<8>(from + at, b);
#pragma unroll
        for (int j = 0; j < 8; j++) a[j] += b[j];
        store<8>(to + at, a);
    }
}

// d_table[targets[u]] += sum over e in starts[u]..starts[u+1] of weights[e] dy[sources[e]], in the order of e: the gradient of a
// table whose rows were used several times. `weights` may be null (all 1).
extern "C" __global__ void __launch_bounds__(256)
    accumulate_rows(float *d_table, const bf16 *dy, const int *targets, const int *starts, const int *sources,
                    const float *weights, int cols) {
    const int begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    float *out = d_table + (u64)targets[blockIdx.x] * cols;
    for (int at = threadIdx.x * 8; at < cols; at += blockDim.x * 8) {
        float sum[8];
        load_f32x8(out + at, sum);
#pragma unroll 4
        for (int e = begin; e < end; e++) {
            float row[8];
            load<8>(dy + (u64)sources[e] * cols + at, row);
            const float w = weights ? weights[e] : 1.0f;
#pragma unroll
            for (int j = 0; j < 8; j++) sum[j] += w * row[j];
        }
        store_f32x8(out + at, sum);
    }
}
