// Column sums, in two stages of fixed order: bias gradients, and the partial sums that other kernels leave.

// One block: 256 columns of a range of rows of `x (rows, cols)`. Its sums go to `partial (gridDim.y, cols)`.
extern "C" __global__ void __launch_bounds__(256)
    column_partials(const bf16 *x, float *partial, int rows, int cols, int rows_per_block) {
    __shared__ float shared[8][256 + 8];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int col = blockIdx.x * 256 + lane * 8;
    const int row0 = blockIdx.y * rows_per_block, end = min(rows, row0 + rows_per_block);
    float sums[8] = {};
    if (col < cols) {
#pragma unroll 8
        for (int r = row0 + warp; r < end; r += 8) {
            float values[8];
            load<8>(x + (u64)r * cols + col, values);
#pragma unroll
            for (int j = 0; j < 8; j++) sums[j] += values[j];
        }
    }
#pragma unroll
    for (int j = 0; j < 8; j++) shared[warp][lane * 8 + j] = sums[j];
    __syncthreads();
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < 8; w++) total += shared[w][threadIdx.x];
    const int own = blockIdx.x * 256 + threadIdx.x;
    if (own < cols) partial[(u64)blockIdx.y * cols + own] = total;
}

// out[c] (+)= sum of partial[r][c]. A block owns 32 columns; its 32 warps share the rows.
extern "C" __global__ void __launch_bounds__(1024)
    add_column_sums(const float *partial, float *out, int rows, int cols, int accumulate) {
    __shared__ float shared[WARP][WARP + 1];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int col = blockIdx.x * WARP + lane;
    float sum = 0.0f;
    if (col < cols)
#pragma unroll 4
        for (int r = warp; r < rows; r += WARP) sum += partial[(u64)r * cols + col];
    shared[warp][lane] = sum;
    __syncthreads();
    const float total = warp_sum(shared[lane][warp]);
    const int own = blockIdx.x * WARP + warp;
    if (lane == 0 && own < cols) out[own] = accumulate ? out[own] + total : total;
}
