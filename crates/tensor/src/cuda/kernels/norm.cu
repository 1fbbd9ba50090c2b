// RMSNorm and LayerNorm over rows of `cols` values, with the residual sum before them and its gradient behind them.
//
// One block a row; a thread holds V vectors of 8 values in registers, so every value is read once and written once. The gradients
// of weight and bias are summed over the rows of a block and left as one partial sum a block, for `add_column_sums`.

template <int V> struct Row {
    float values[V][8];
};

template <int V> __device__ __forceinline__ void load_row(const bf16 *from, int cols, Row<V> &row) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = (threadIdx.x + i * blockDim.x) * 8;
        if (at < cols) {
            load<8>(from + at, row.values[i]);
        } else {
#pragma unroll
            for (int j = 0; j < 8; j++) row.values[i][j] = 0.0f;
        }
    }
}

// A row as it lies in memory: half the registers, for what is needed once.
template <int V> struct PackedRow {
    Vec8 vectors[V];
};

template <int V> __device__ __forceinline__ void load_packed(const bf16 *from, int cols, PackedRow<V> &row) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = (threadIdx.x + i * blockDim.x) * 8;
        row.vectors[i] = at < cols ? *reinterpret_cast<const Vec8 *>(from + at) : Vec8{};
    }
}

template <int V> __device__ __forceinline__ float unpacked(const PackedRow<V> &row, int i, int j) {
    const u32 word = row.vectors[i].words[j / 2];
    return __uint_as_float(j % 2 ? word & 0xffff0000u : word << 16);
}

template <int V> __device__ __forceinline__ void store_row(bf16 *to, int cols, const Row<V> &row) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = (threadIdx.x + i * blockDim.x) * 8;
        if (at < cols) store<8>(to + at, row.values[i]);
    }
}

// x + delta as the residual stream stores it: rounded, so that backward sees the same values.
template <int V>
__device__ __forceinline__ void residual(const bf16 *x, const bf16 *delta, bf16 *sum, int cols, Row<V> &row) {
    load_row<V>(x, cols, row);
    if (delta == nullptr) return;
    Row<V> add;
    load_row<V>(delta, cols, add);
#pragma unroll
    for (int i = 0; i < V; i++) {
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            const u32 packed = to_bf16x2(row.values[i][j] + add.values[i][j], row.values[i][j + 1] + add.values[i][j + 1]);
            row.values[i][j] = from_bf16(packed & 0xffffu);
            row.values[i][j + 1] = __uint_as_float(packed & 0xffff0000u);
        }
    }
    store_row<V>(sum, cols, row);
}

template <int V>
__device__ __forceinline__ void rms_forward(const bf16 *x, const bf16 *delta, const bf16 *weight, bf16 *sum, bf16 *y,
                                            float *inv_rms, int cols, float eps) {
    const u64 at = (u64)blockIdx.x * cols;
    Row<V> row, w;
    residual<V>(x + at, delta ? delta + at : nullptr, sum ? sum + at : nullptr, cols, row);
    load_row<V>(weight, cols, w);
    float squares[1] = {0.0f};
#pragma unroll
    for (int i = 0; i < V; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) squares[0] += row.values[i][j] * row.values[i][j];
    block_sum<1>(squares);
    const float inv = rsqrtf(squares[0] / cols + eps);
    if (threadIdx.x == 0) inv_rms[blockIdx.x] = inv;
#pragma unroll
    for (int i = 0; i < V; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) row.values[i][j] *= inv * w.values[i][j];
    store_row<V>(y + at, cols, row);
}

template <int V> __device__ __forceinline__ void clear(PackedRow<V> &row) {
#pragma unroll
    for (int i = 0; i < V; i++) row.vectors[i] = Vec8{};
}

// Writes the block's sums behind those of the blocks before it.
template <int V> __device__ __forceinline__ void store_partial(float *partial, int cols, const Row<V> &sums) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = (threadIdx.x + i * blockDim.x) * 8;
        if (at < cols) store_f32x8(partial + (u64)blockIdx.x * cols + at, sums.values[i]);
    }
}

template <int V> __device__ __forceinline__ void clear(Row<V> &row) {
#pragma unroll
    for (int i = 0; i < V; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) row.values[i][j] = 0.0f;
}

// dx = d_residual + inv (g - n mean(g n)) with n = x inv, g = dy weight.
template <int V>
__device__ __forceinline__ void rms_backward(const bf16 *dy, const bf16 *x, const bf16 *weight, const float *inv_rms,
                                             const bf16 *d_residual, bf16 *dx, float *partial, int rows, int cols) {
    PackedRow<V> w;
    Row<V> d_weight;
    load_packed<V>(weight, cols, w);
    clear<V>(d_weight);
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        const u64 at = (u64)r * cols;
        Row<V> g, n;
        load_row<V>(dy + at, cols, g);
        load_row<V>(x + at, cols, n);
        const float inv = inv_rms[r];
        float dot[1] = {0.0f};
#pragma unroll
        for (int i = 0; i < V; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                n.values[i][j] *= inv;
                d_weight.values[i][j] += g.values[i][j] * n.values[i][j];
                g.values[i][j] *= unpacked<V>(w, i, j);
                dot[0] += g.values[i][j] * n.values[i][j];
            }
        }
        PackedRow<V> d;
        if (d_residual) load_packed<V>(d_residual + at, cols, d); else clear<V>(d);
        block_sum<1>(dot);
        const float mean = dot[0] / cols;
#pragma unroll
        for (int i = 0; i < V; i++)
#pragma unroll
            for (int j = 0; j < 8; j++) g.values[i][j] = unpacked<V>(d, i, j) + inv * (g.values[i][j] - n.values[i][j] * mean);
        store_row<V>(dx + at, cols, g);
    }
    store_partial<V>(partial, cols, d_weight);
}

template <int V>
__device__ __forceinline__ void layer_forward(const bf16 *x, const bf16 *delta, const bf16 *weight, const bf16 *bias,
                                              bf16 *sum, bf16 *y, float *mean, float *inv_std, int cols, float eps) {
    const u64 at = (u64)blockIdx.x * cols;
    Row<V> row;
    residual<V>(x + at, delta ? delta + at : nullptr, sum ? sum + at : nullptr, cols, row);
    float total[1] = {0.0f}, squares[1] = {0.0f};
#pragma unroll
    for (int i = 0; i < V; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) total[0] += row.values[i][j];
    block_sum<1>(total);
    const float m = total[0] / cols;
    // Around the mean, not as a difference of squares, which cancels.
#pragma unroll
    for (int i = 0; i < V; i++) {
        const bool inside = (threadIdx.x + i * blockDim.x) * 8 < cols;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            row.values[i][j] = inside ? row.values[i][j] - m : 0.0f;
            squares[0] += row.values[i][j] * row.values[i][j];
        }
    }
    block_sum<1>(squares);
    const float inv = rsqrtf(squares[0] / cols + eps);
    if (threadIdx.x == 0) mean[blockIdx.x] = m, inv_std[blockIdx.x] = inv;
    Row<V> w, b;
    load_row<V>(weight, cols, w);
    load_row<V>(bias, cols, b);
#pragma unroll
    for (int i = 0; i < V; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) row.values[i][j] = row.values[i][j] * inv * w.values[i][j] + b.values[i][j];
    store_row<V>(y + at, cols, row);
}

// dx = d_residual + inv (g - mean(g) - n mean(g n)); the partial sums of d_bias lie behind all those of d_weight.
template <int V>
__device__ __forceinline__ void layer_backward(const bf16 *dy, const bf16 *x, const bf16 *weight, const float *mean,
                                               const float *inv_std, const bf16 *d_residual, bf16 *dx, float *partial,
                                               int rows, int cols) {
    PackedRow<V> w;
    Row<V> d_weight, d_bias;
    load_packed<V>(weight, cols, w);
    clear<V>(d_weight);
    clear<V>(d_bias);
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        const u64 at = (u64)r * cols;
        Row<V> g, n;
        load_row<V>(dy + at, cols, g);
        load_row<V>(x + at, cols, n);
        const float m = mean[r], inv = inv_std[r];
        float sums[2] = {0.0f, 0.0f};
#pragma unroll
        for (int i = 0; i < V; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                n.values[i][j] = (n.values[i][j] - m) * inv;
                d_weight.values[i][j] += g.values[i][j] * n.values[i][j];
                d_bias.values[i][j] += g.values[i][j];
                // Beyond the row g is 0 and w is 0, so nothing is added.
                g.values[i][j] *= unpacked<V>(w, i, j);
                sums[0] += g.values[i][j];
                sums[1] += g.values[i][j] * n.values[i][j];
            }
        }
        PackedRow<V> d;
        if (d_residual) load_packed<V>(d_residual + at, cols, d); else clear<V>(d);
        block_sum<2>(sums);
        const float mean_g = sums[0] / cols, mean_gn = sums[1] / cols;
#pragma unroll
        for (int i = 0; i < V; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
                g.values[i][j] = unpacked<V>(d, i, j) + inv * (g.values[i][j] - mean_g - n.values[i][j] * mean_gn);
        store_row<V>(dx + at, cols, g);
    }
    store_partial<V>(partial, cols, d_weight);
    store_partial<V>(partial + (u64)gridDim.x * cols, cols, d_bias);
}

#define NORM_KERNELS(V)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(512) rms_forward_##V(const bf16 *x, const bf16 *delta, const bf16 *weight, \
                                                                     bf16 *sum, bf16 *y, float *inv_rms, int cols,         \
                                                                     float eps) {                                          \
        rms_forward<V>(x, delta, weight, sum, y, inv_rms, cols, eps);                                                       \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(512, 3 - V)                                                               \
        rms_backward_##V(const bf16 *dy, const bf16 *x, const bf16 *weight, const float *inv_rms, const bf16 *d_residual,   \
                         bf16 *dx, float *partial, int rows, int cols) {                                                    \
        rms_backward<V>(dy, x, weight, inv_rms, d_residual, dx, partial, rows, cols);                                       \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(512)                                                                      \
        layer_forward_##V(const bf16 *x, const bf16 *delta, const bf16 *weight, const bf16 *bias, bf16 *sum, bf16 *y,       \
                          float *mean, float *inv_std, int cols, float eps) {                                               \
        layer_forward<V>(x, delta, weight, bias, sum, y, mean, inv_std, cols, eps);                                         \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(512, 3 - V)                                                               \
        layer_backward_##V(const bf16 *dy, const bf16 *x, const bf16 *weight, const float *mean, const float *inv_std,      \
                           const bf16 *d_residual, bf16 *dx, float *partial, int rows, int cols) {                          \
        layer_backward<V>(dy, x, weight, mean, inv_std, d_residual, dx, partial, rows, cols);                               \
    }

NORM_KERNELS(1)
NORM_KERNELS(2)
