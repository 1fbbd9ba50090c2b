// Frames to patches, and the interpolated position table.

// `frames (2 t, height, width, 3)` bytes to `patches (t h w, 3*2*16*16)` normalised bf16, in the order of the vision tower: blocks
// of `merge x merge` patches row by row; inside a patch channel, frame, row, column. One thread: 8 pixels of all three channels.
// `mean` is that of the model times 255; `scale` is 1 / (255 std).
extern "C" __global__ void __launch_bounds__(256)
    patchify(const unsigned char *frames, bf16 *patches, int patches_total, int height, int width, int merge, float mean_r,
             float mean_g, float mean_b, float scale_r, float scale_g, float scale_b) {
    constexpr int SIDE = 16, FRAMES = 2, PARTS = FRAMES * SIDE * 2, PLANE = FRAMES * SIDE * SIDE;
    const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)patches_total * PARTS) return;
    const int patch = i / PARTS, part = i % PARTS;
    const int frame_in_patch = part / (2 * SIDE), y = part / 2 % SIDE, x = part % 2 * 8;
    const int rows = height / SIDE, cols = width / SIDE, per_step = rows * cols;
    const int step = patch / per_step, in_step = patch % per_step;
    const int block = in_step / (merge * merge), inside = in_step % (merge * merge);
    const int row = block / (cols / merge) * merge + inside / merge, col = block % (cols / merge) * merge + inside % merge;
    const u64 frame = (u64)step * FRAMES + frame_in_patch;
    const u64 from = ((frame * height + row * SIDE + y) * width + col * SIDE + x) * 3;
    // 24 bytes from an address that is a multiple of 24: three words of 8.
    union {
        u64 words[3];
        unsigned char bytes[24];
    } pixels;
#pragma unroll
    for (int w = 0; w < 3; w++) pixels.words[w] = reinterpret_cast<const u64 *>(frames + from)[w];
    const float mean[3] = {mean_r, mean_g, mean_b}, scale[3] = {scale_r, scale_g, scale_b};
    bf16 *to = patches + (u64)patch * 3 * PLANE + (frame_in_patch * SIDE + y) * SIDE + x;
#pragma unroll
    for (int c = 0; c < 3; c++) {
        float values[8];
#pragma unroll
        for (int j = 0; j < 8; j++) values[j] = ((float)pixels.bytes[3 * j + c] - mean[c]) * scale[c];
        store<8>(to + c * PLANE, values);
    }
}

// x (P, cols) += sum over 4 corners of weight[k][p] table[corner[k][p]]. One block a patch.
extern "C" __global__ void __launch_bounds__(256)
    add_position_rows(bf16 *x, const bf16 *table, const int *corners, const float *weights, int patches, int cols) {
    const int patch = blockIdx.x;
    const bf16 *rows[4];
    float w[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        rows[k] = table + (u64)corners[(u64)k * patches + patch] * cols;
        w[k] = weights[(u64)k * patches + patch];
    }
    bf16 *own = x + (u64)patch * cols;
    for (int at = threadIdx.x * 8; at < cols; at += blockDim.x * 8) {
        float sum[8], row[8];
        load<8>(own + at, sum);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            load<8>(rows[k] + at, row);
#pragma unroll
            for (int j = 0; j < 8; j++) sum[j] += w[k] * row[j];
        }
        store<8>(own + at, sum);
    }
}
