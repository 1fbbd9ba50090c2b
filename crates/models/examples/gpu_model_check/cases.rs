//! Small models and packed samples of odd lengths.

use models::{Layout, Preset, SpecialTokens, Vlm, VlmConfig, preset_config};
use processor::{GridThw, VisionTokenIds, VlmInput, positions};
use serde_json::{Value, json};
use tensor::Device;
use tensor::cuda::bf16;

/// Deviation of random weights: large enough that attention is not uniform and its gradients are not noise.
const DEVIATION: f32 = 0.06;

/// A model and what it sees.
pub struct Case {
    pub name: &'static str,
    /// Weights are bf16 values, so that both sides compute with the same.
    pub model: Vlm,
    pub samples: Vec<VlmInput>,
    /// Checks beside the gradients.
    more: &'static [&'static str],
}

impl Case {
    pub fn wants(&self, what: &str) -> bool {
        what == "gradients" || self.more.contains(&what)
    }

    pub fn layout(&self) -> Layout {
        self.model.layout()
    }
}

/// Values in -1..1, fixed by `seed` (splitmix64).
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let values = (0..len).map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    });
    values.collect()
}

pub fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| bf16::from_f32(*v).to_f32()).collect()
}

/// Special tokens at the end of a small vocabulary.
fn tokens(vocab_size: u32) -> SpecialTokens {
    SpecialTokens {
        vocab_size: vocab_size as usize,
        endoftext: vocab_size - 6,
        im_end: vocab_size - 5,
        vision_start: vocab_size - 4,
        vision_end: vocab_size - 3,
        image_pad: vocab_size - 2,
        video_pad: vocab_size - 1,
    }
}

/// Normal weights; norms and biases away from one and zero; everything rounded to bf16.
fn model(config: &Value, seed: u64) -> Vlm {
    let mut config = VlmConfig::parse(&config.to_string()).expect("a config of ours");
    config.initializer_range = DEVIATION;
    let mut model = Vlm::random(config, seed, &Device::Cpu).expect("a small model");
    let vectors: Vec<bool> = model.params.specs().iter().map(|spec| spec.shape.len() == 1).collect();
    for (i, (tensor, vector)) in model.params.tensors_mut().iter_mut().zip(vectors).enumerate() {
        let mut values = tensor.to_vec();
        if vector {
            values.iter_mut().zip(random(tensor.len(), seed + i as u64)).for_each(|(v, r)| *v += 0.2 * r);
        }
        tensor.copy_from_slice(&rounded(&values)).expect("as many values");
    }
    model
}

/// A sample with videos of the given grids between words, the last `labelled` tokens trained.
fn sample(config: &VlmConfig, grids: &[[u32; 3]], words: usize, labelled: usize, seed: u64) -> VlmInput {
    let mut number = seed * 1000;
    let mut word = || {
        number += 1;
        ((random(1, number)[0] + 1.0) * 0.49 * (config.vision_start_token_id - 4) as f32) as u32
    };
    let mut ids: Vec<u32> = (0..words).map(|_| word()).collect();
    let grids: Vec<GridThw> = grids.iter().map(|&[t, h, w]| GridThw { t, h, w }).collect();
    for grid in &grids {
        for _ in 0..grid.t {
            ids.extend([word(), config.vision_start_token_id]);
            let visual = (grid.h * grid.w) as usize / config.vision.merge_unit();
            ids.extend(std::iter::repeat_n(config.video_token_id, visual));
            ids.push(config.vision_end_token_id);
        }
    }
    ids.extend((0..labelled + 2).map(|_| word()));
    let tokens = VisionTokenIds {
        vision_start: config.vision_start_token_id,
        vision_end: config.vision_end_token_id,
        image: config.image_token_id,
        video: config.video_token_id,
    };
    let merge = config.vision.spatial_merge_size as u32;
    let placed = positions::qwen3_vl(&ids, &grids, &tokens, merge).expect("a sample of ours");
    let mut labels = vec![-100; ids.len()];
    let from = ids.len() - labelled;
    labels[from..].iter_mut().zip(&ids[from..]).for_each(|(label, id)| *label = *id as i32);
    let values = grids.iter().map(|g| g.patches()).sum::<usize>() * config.vision.patch_values();
    VlmInput {
        labels,
        position_ids: placed.position_ids,
        pixel_values: rounded(&random(values, seed + 77)),
        grid_thw: grids,
        rope_delta: placed.rope_delta,
        input_ids: ids,
    }
}

fn debug(changes: impl FnOnce(&mut Value)) -> Value {
    let mut config = preset_config(Preset::Debug, tokens(1024));
    changes(&mut config);
    config
}

/// Everything that the small presets do not have: untied head, GELU by erf, heads of 128, an odd vocabulary, a DeepStack feature of the
/// last vision block.
fn unusual() -> Value {
    let mut config = preset_config(Preset::Debug, tokens(1021));
    config["tie_word_embeddings"] = json!(false);
    let text = &mut config["text_config"];
    text["tie_word_embeddings"] = json!(false);
    (text["head_dim"], text["num_attention_heads"], text["num_key_value_heads"]) = (json!(128), json!(3), json!(1));
    text["rope_scaling"]["mrope_section"] = json!([24, 20, 20]);
    let vision = &mut config["vision_config"];
    (vision["hidden_act"], vision["deepstack_visual_indexes"]) = (json!("gelu"), json!([0, 2]));
    // Heads of 72, as the 8B tower has.
    (vision["hidden_size"], vision["num_heads"], vision["intermediate_size"]) = (json!(144), json!(2), json!(536));
    config
}

const SECOND: &[&str] = &["micro-batches", "text after video", "loss alone", "equal bits", "remat", "steps"];

pub fn all() -> Vec<Case> {
    let case = |name, config: &Value, shapes: &[(&[[u32; 3]], usize, usize)], seed, more| {
        let model = model(config, seed);
        let make = |(i, (grids, words, labelled)): (usize, &(&[[u32; 3]], usize, usize))| {
            sample(&model.config, grids, *words, *labelled, seed * 100 + i as u64)
        };
        let samples = shapes.iter().enumerate().map(make).collect();
        Case { name, model, samples, more }
    };
    let debug = debug(|_| {});
    let demo = preset_config(Preset::Demo, tokens(1021));
    let mixed: &[(&[[u32; 3]], usize, usize)] =
        &[(&[[2, 4, 6]], 13, 9), (&[[1, 8, 8], [3, 4, 4]], 5, 21), (&[], 40, 12), (&[[1, 2, 10]], 31, 1)];
    vec![
        case("debug, text only", &debug, &[(&[], 37, 20)], 1, &["master"]),
        case("debug, one video", &debug, &[(&[[2, 8, 12]], 11, 17)], 2, &["loss alone", "frames"]),
        case("debug, equal lengths", &debug, &[(&[[2, 4, 8]], 20, 11), (&[[2, 4, 8]], 20, 11)], 3, &["equal bits"]),
        case("debug, packed odd lengths", &debug, mixed, 4, SECOND),
        case("demo, packed odd lengths", &demo, mixed, 5, &["steps", "remat"]),
        case("unusual, packed odd lengths", &unusual(), mixed, 6, SECOND),
    ]
}
