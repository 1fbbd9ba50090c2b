//! Whole-model properties on the committed tiny models; the numbers of the reference are checked by `cargo xtask golden`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod batching;
mod config;
mod folder;

use models::Vlm;
use processor::{GridThw, VisionTokenIds, VlmInput, positions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use tensor::Device;

/// A committed model folder.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(name)
}

fn qwen3_vl() -> Vlm {
    Vlm::open(&golden("qwen3_vl"), &Device::Cpu).unwrap()
}

/// A sample with one video of the given grid (none if `t` is 0) between words, the last `labelled` tokens trained.
fn sample(model: &Vlm, grid: GridThw, words: usize, labelled: usize, seed: u64) -> VlmInput {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = &model.config;
    let mut ids: Vec<u32> = (0..words).map(|_| rng.random_range(3..90)).collect();
    for _ in 0..grid.t {
        ids.extend([rng.random_range(3..90), config.vision_start_token_id]);
        let tokens = (grid.h * grid.w) as usize / config.vision.merge_unit();
        ids.extend(std::iter::repeat_n(config.video_token_id, tokens));
        ids.push(config.vision_end_token_id);
    }
    ids.extend((0..labelled + 2).map(|_| rng.random_range(3..90)));
    let grids = if grid.t == 0 { vec![] } else { vec![grid] };
    let tokens = VisionTokenIds {
        vision_start: config.vision_start_token_id,
        vision_end: config.vision_end_token_id,
        image: config.image_token_id,
        video: config.video_token_id,
    };
    let placed = positions::qwen3_vl(&ids, &grids, &tokens, 2).unwrap();
    let mut labels = vec![-100; ids.len()];
    let from = ids.len() - labelled;
    labels[from..].iter_mut().zip(&ids[from..]).for_each(|(label, id)| *label = *id as i32);
    let values = grids.iter().map(|g| g.patches()).sum::<usize>() * config.vision.patch_values();
    VlmInput {
        input_ids: ids,
        labels,
        position_ids: placed.position_ids,
        pixel_values: (0..values).map(|_| rng.random_range(-1.0..1.0)).collect(),
        grid_thw: grids,
        rope_delta: placed.rope_delta,
    }
}

/// Samples of different lengths, one of them without a video.
fn samples(model: &Vlm) -> Vec<VlmInput> {
    let grids = [(1, 4, 4), (2, 4, 6), (0, 0, 0), (1, 2, 8), (3, 2, 2), (1, 6, 6), (2, 2, 4), (1, 4, 2)];
    grids
        .iter()
        .enumerate()
        .map(|(i, &(t, h, w))| sample(model, GridThw { t, h, w }, 3 + i, 1 + 3 * i, i as u64))
        .collect()
}
