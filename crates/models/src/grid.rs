//! Arithmetic on patch grids: positions, interpolation corners, window order, segment boundaries.
//!
//! Patches come in merge order: frame pair, block row, block column, then row and column inside the block of
//! `merge x merge` patches. Source: transformers 4.57.6 `rot_pos_emb`, `fast_pos_embed_interpolate`, `get_window_index`.

use processor::GridThw;

/// Calls `visit(row, column)` for every patch of one frame pair in merge order.
fn for_each_patch(grid: GridThw, merge: usize, mut visit: impl FnMut(usize, usize)) {
    let (h, w) = (grid.h as usize, grid.w as usize);
    for block_row in 0..h / merge {
        for block_column in 0..w / merge {
            for row in 0..merge {
                for column in 0..merge {
                    visit(block_row * merge + row, block_column * merge + column);
                }
            }
        }
    }
}

/// (row, column) of every patch of all grids.
pub(crate) fn patch_positions(grids: &[GridThw], merge: usize) -> Vec<[u32; 2]> {
    let mut positions = Vec::with_capacity(grids.iter().map(|g| g.patches()).sum());
    for grid in grids {
        let start = positions.len();
        for_each_patch(*grid, merge, |row, column| positions.push([row as u32, column as u32]));
        let frame = positions[start..].to_vec();
        for _ in 1..grid.t {
            positions.extend_from_slice(&frame);
        }
    }
    positions
}

/// Token boundaries of all frame pairs, `[0, h*w, 2*h*w, ...]`.
pub(crate) fn frame_boundaries(grids: &[GridThw]) -> Vec<u32> {
    let mut boundaries = vec![0u32];
    let mut end = 0u32;
    for grid in grids {
        for _ in 0..grid.t {
            end += grid.h * grid.w;
            boundaries.push(end);
        }
    }
    boundaries
}

/// The four corner rows of the square position table and their weights, for every patch: four lists of `P` rows, and
/// `4 * P` weights, corner by corner.
pub(crate) fn position_corners(grids: &[GridThw], side: usize, merge: usize) -> ([Vec<i32>; 4], Vec<f32>) {
    let mut corners: [Vec<i32>; 4] = Default::default();
    let mut weights: [Vec<f32>; 4] = Default::default();
    for grid in grids {
        let rows = linspace(side, grid.h as usize);
        let columns = linspace(side, grid.w as usize);
        for _ in 0..grid.t {
            for_each_patch(*grid, merge, |row, column| {
                let (top, left) = (rows[row] as usize, columns[column] as usize);
                let (bottom, right) = ((top + 1).min(side - 1), (left + 1).min(side - 1));
                let (dh, dw) = (rows[row] - top as f32, columns[column] - left as f32);
                let entries = [
                    (top, left, (1.0 - dh) * (1.0 - dw)),
                    (top, right, (1.0 - dh) * dw),
                    (bottom, left, dh * (1.0 - dw)),
                    (bottom, right, dh * dw),
                ];
                for (k, (r, c, weight)) in entries.into_iter().enumerate() {
                    corners[k].push((r * side + c) as i32);
                    weights[k].push(weight);
                }
            });
        }
    }
    (corners, weights.concat())
}

/// `torch.linspace(0, side - 1, count)` in f32: counted from both ends.
fn linspace(side: usize, count: usize) -> Vec<f32> {
    let end = (side - 1) as f32;
    if count == 1 {
        return vec![0.0];
    }
    let step = end / (count - 1) as f32;
    (0..count).map(|i| if i < count / 2 { step * i as f32 } else { end - step * (count - 1 - i) as f32 }).collect()
}

/// Order of visual tokens in which every attention window is contiguous, and the patch boundaries of the windows.
pub(crate) fn window_order(grids: &[GridThw], merge: usize, side_tokens: usize) -> (Vec<i32>, Vec<u32>) {
    let (mut order, mut boundaries) = (Vec::new(), vec![0u32]);
    let mut first = 0usize;
    for grid in grids {
        let (h, w) = (grid.h as usize / merge, grid.w as usize / merge);
        for t in 0..grid.t as usize {
            for window_row in (0..h).step_by(side_tokens) {
                for window_column in (0..w).step_by(side_tokens) {
                    for row in window_row..(window_row + side_tokens).min(h) {
                        for column in window_column..(window_column + side_tokens).min(w) {
                            order.push((first + (t * h + row) * w + column) as i32);
                        }
                    }
                    boundaries.push((order.len() * merge * merge) as u32);
                }
            }
        }
        first += grid.t as usize * h * w;
    }
    (order, boundaries)
}

/// Row numbers of the `unit` patches of every token.
pub(crate) fn expand(tokens: &[i32], unit: usize) -> Vec<i32> {
    tokens.iter().flat_map(|&t| (0..unit as i32).map(move |k| t * unit as i32 + k)).collect()
}

/// The inverse of a permutation.
pub(crate) fn inverse(order: &[i32]) -> Vec<i32> {
    let mut back = vec![0i32; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from as usize] = to as i32;
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn grid(t: u32, h: u32, w: u32) -> GridThw {
        GridThw { t, h, w }
    }

    #[test]
    fn patches_come_in_merge_order() {
        let positions = patch_positions(&[grid(2, 2, 4)], 2);
        let frame = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]];
        assert_eq!(positions, [frame, frame].concat());
        assert_eq!(frame_boundaries(&[grid(2, 2, 4), grid(1, 2, 2)]), [0, 8, 16, 20]);
    }

    #[test]
    fn corner_weights_add_up_to_one_and_ends_are_exact() {
        let (corners, weights) = position_corners(&[grid(1, 4, 6)], 8, 2);
        for p in 0..24 {
            let sum: f32 = (0..4).map(|k| weights[k * 24 + p]).sum();
            assert!((sum - 1.0).abs() < 1e-6, "patch {p}: {sum}");
        }
        assert_eq!(corners[0][0], 0);
        assert_eq!(corners[0][23], 63);
    }

    #[test]
    fn windows_are_contiguous_and_invertible() {
        // 3 x 5 tokens in windows of 2 x 2: four full or partial windows a row.
        let (order, boundaries) = window_order(&[grid(1, 6, 10)], 2, 2);
        assert_eq!(order, [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]);
        assert_eq!(boundaries, [0, 16, 32, 40, 48, 56, 60]);
        let back = inverse(&order);
        assert!((0..15).all(|i| order[back[i] as usize] == i as i32));
        assert_eq!(expand(&[2, 0], 2), [4, 5, 0, 1]);
    }
}
