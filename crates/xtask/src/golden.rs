//! `cargo xtask golden DIR`: every model folder under DIR against the reference's numbers.
//!
//! A folder holds config.json, the weights and cases as the reference wrote them (`case_forward_backward.safetensors`,
//! `train.json`, `case_greedy.safetensors` for vision-language models, `case_forward.safetensors` for DeBERTa). One JSON
//! line per folder with every figure; the exit status is 0 only if all hold.

use models::{Deberta, VisionKind, Vlm, VlmConfig};
use processor::{
    GridThw, PackedInput, SecondsPerGrid, VisionTokenIds, VlmInput,
    positions::{self, Positions, VideoTime},
};
use serde_json::{Map, Value, json};
use std::{
    error::Error,
    path::{Path, PathBuf},
};
use tensor::Device;
use train::optimizer::{self, AdamW, Moments};
use weights::SafetensorsFile;

type Checked<T> = Result<T, Box<dyn Error>>;

/// Largest absolute difference of logits, embeddings and features.
const VALUE_MAX: f64 = 1e-4;
/// Largest ‖a-b‖/‖b‖ of a gradient tensor, and largest relative difference of a loss.
const RELATIVE_MAX: f64 = 1e-4;
/// A gradient tensor whose norm is under this share of the whole gradient's norm is zero in exact arithmetic (a bias
/// that softmax cancels, such as k_proj.bias) and holds rounding noise; it is compared against this share instead.
const NOISE_SHARE: f64 = 1e-6;

/// Checks all model folders under `dir` (or `dir` itself); returns whether all hold.
///
/// # Errors
/// If `dir` holds no model folder.
pub fn run(dir: &Path) -> Checked<bool> {
    let mut folders: Vec<PathBuf> = match dir.join("config.json").is_file() {
        true => vec![dir.to_path_buf()],
        false => std::fs::read_dir(dir)
            .map_err(|e| format!("{}: {e}", dir.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|p| p.join("config.json").is_file())
            .collect(),
    };
    folders.sort();
    if folders.is_empty() {
        return Err(format!("{}: no folder with a config.json", dir.display()).into());
    }
    let mut all = true;
    for folder in folders {
        let mut line = Map::new();
        line.insert("model".into(), json!(folder.file_name().map(|n| n.to_string_lossy().into_owned())));
        let pass = match check_folder(&folder, &mut line) {
            Ok(pass) => pass,
            Err(error) => {
                line.insert("error".into(), json!(error.to_string()));
                false
            }
        };
        line.insert("pass".into(), json!(pass));
        println!("{}", Value::Object(line));
        all &= pass;
    }
    Ok(all)
}

fn check_folder(folder: &Path, line: &mut Map<String, Value>) -> Checked<bool> {
    let config = std::fs::read_to_string(folder.join("config.json"))?;
    let model_type = serde_json::from_str::<Value>(&config)?["model_type"].as_str().unwrap_or("").to_owned();
    line.insert("model_type".into(), json!(model_type));
    match model_type.as_str() {
        "deberta-v2" => check_deberta(folder, line),
        _ => check_vlm(folder, line),
    }
}

/// Records a figure and its bound; returns whether it holds (NaN never does).
fn figure(line: &mut Map<String, Value>, name: &str, value: f64, bound: f64) -> bool {
    line.insert(name.into(), json!(value));
    value <= bound
}

fn max_abs(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    a.iter().zip(b).fold(0.0, |worst, (x, y)| {
        let d = f64::from((x - y).abs());
        if d > worst || d.is_nan() { d } else { worst }
    })
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Reads a float tensor of a case.
fn floats(case: &SafetensorsFile, name: &str) -> Checked<Vec<f32>> {
    Ok(case.load(name, &Device::Cpu)?.to_vec())
}

fn check_deberta(folder: &Path, line: &mut Map<String, Value>) -> Checked<bool> {
    let model = Deberta::open(folder, &Device::Cpu)?;
    let case = SafetensorsFile::open(&folder.join("case_forward.safetensors"))?;
    let (ids, mask, expected) =
        (case.load_i64("input_ids")?, case.load_i64("attention_mask")?, floats(&case, "logits")?);
    let rows = expected.len() / model.config.num_labels;
    let width = ids.len() / rows.max(1);
    let sequences: Vec<Vec<u32>> = (ids.chunks(width).zip(mask.chunks(width)))
        .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, m)| **m != 0).map(|(id, _)| *id as u32).collect())
        .collect();
    let logits = model.logits(&sequences.iter().map(Vec::as_slice).collect::<Vec<_>>())?.concat();
    Ok(figure(line, "logits_max_abs", max_abs(&logits, &expected), VALUE_MAX))
}

/// The reference's input in our form, with positions of our own.
fn vlm_input(config: &VlmConfig, case: &SafetensorsFile) -> Checked<VlmInput> {
    let ids: Vec<u32> = case.load_i64("input_ids")?.iter().map(|id| *id as u32).collect();
    let grid_thw: Vec<GridThw> = case
        .load_i64("video_grid_thw")?
        .chunks(3)
        .map(|g| GridThw { t: g[0] as u32, h: g[1] as u32, w: g[2] as u32 })
        .collect();
    let seconds = match case.info("second_per_grid_ts") {
        Some(_) => floats(case, "second_per_grid_ts")?.iter().map(|s| f64::from(*s)).collect(),
        None => vec![1.0; grid_thw.len()],
    };
    let Positions { position_ids, rope_delta } = positions(config, &ids, &grid_thw, &seconds)?;
    Ok(VlmInput {
        labels: case.load_i64("labels")?.iter().map(|l| *l as i32).collect(),
        pixel_values: floats(case, "pixel_values_videos")?,
        input_ids: ids,
        position_ids,
        grid_thw,
        rope_delta,
    })
}

fn positions(config: &VlmConfig, ids: &[u32], grids: &[GridThw], second_per_grid_ts: &[f64]) -> Checked<Positions> {
    let tokens = VisionTokenIds {
        vision_start: config.vision_start_token_id,
        vision_end: config.vision_end_token_id,
        image: config.image_token_id,
        video: config.video_token_id,
    };
    let merge_size = config.vision.spatial_merge_size as u32;
    Ok(match config.vision.kind {
        VisionKind::Qwen3 { .. } => positions::qwen3_vl(ids, grids, &tokens, merge_size)?,
        VisionKind::Qwen2_5 { tokens_per_second, .. } => {
            let time = VideoTime { second_per_grid_ts, tokens_per_second, rounding: SecondsPerGrid::default() };
            positions::qwen2_5_vl(ids, grids, &tokens, merge_size, time)?
        }
    })
}

fn check_vlm(folder: &Path, line: &mut Map<String, Value>) -> Checked<bool> {
    let mut model = Vlm::open(folder, &Device::Cpu)?;
    let case = SafetensorsFile::open(&folder.join("case_forward_backward.safetensors"))?;
    let input = vlm_input(&model.config, &case)?;
    let packed = processor::pack(&[&input]);
    let mut pass = check_forward(&model, &packed, &case, line)?;
    pass &= check_gradients(&model, &packed, &case, line)?;
    if folder.join("case_greedy.safetensors").is_file() {
        let expected = SafetensorsFile::open(&folder.join("case_greedy.safetensors"))?.load_i64("generated_ids")?;
        let generated = greedy(&model, &input, expected.len())?;
        let equal = generated.iter().map(|id| i64::from(*id)).eq(expected.iter().copied());
        line.insert("greedy_equal".into(), json!(equal));
        pass &= equal;
    }
    if let Ok(text) = std::fs::read_to_string(folder.join("train.json")) {
        let expected: Vec<f64> = serde_json::from_value(serde_json::from_str::<Value>(&text)?["losses"].take())?;
        let losses = train(&mut model, &packed, expected.len())?;
        let worst = losses.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max);
        line.insert("train_losses".into(), json!(losses));
        pass &= figure(line, "train_losses_max_rel", worst, RELATIVE_MAX);
    }
    Ok(pass)
}

fn check_forward(
    model: &Vlm,
    packed: &PackedInput,
    case: &SafetensorsFile,
    line: &mut Map<String, Value>,
) -> Checked<bool> {
    let expected: Vec<i64> = case.load_i64("position_ids")?;
    let positions_equal = packed.position_ids.concat().iter().map(|p| i64::from(*p)).eq(expected);
    line.insert("position_ids_equal".into(), json!(positions_equal));
    let rows: Vec<u32> = (0..packed.input_ids.len() as u32).collect();
    let logits = model.logits(packed, &rows)?.to_vec();
    let mut pass =
        positions_equal & figure(line, "logits_max_abs", max_abs(&logits, &floats(case, "logits")?), VALUE_MAX);
    let vision = model.visual_embeds(&packed.pixel_values, &packed.grid_thw)?;
    pass &= figure(
        line,
        "visual_embeds_max_abs",
        max_abs(&vision.embeds.to_vec(), &floats(case, "visual_embeds")?),
        VALUE_MAX,
    );
    let mut worst: f64 = 0.0;
    for (i, feature) in vision.deepstack.iter().enumerate() {
        worst = worst.max(max_abs(&feature.to_vec(), &floats(case, &format!("deepstack_embeds.{i}"))?));
    }
    pass &= case.info(&format!("deepstack_embeds.{}", vision.deepstack.len())).is_none();
    pass &= figure(line, "deepstack_embeds_max_abs", worst, VALUE_MAX);
    let loss = model.loss(packed)?;
    let expected = f64::from(floats(case, "loss")?.first().copied().unwrap_or(f32::NAN));
    Ok(pass & figure(line, "loss_rel", (loss.loss / loss.tokens as f64 - expected).abs() / expected, RELATIVE_MAX))
}

fn check_gradients(
    model: &Vlm,
    packed: &PackedInput,
    case: &SafetensorsFile,
    line: &mut Map<String, Value>,
) -> Checked<bool> {
    let count = model.loss(packed)?.tokens as f32;
    let mut grads = model.params.zero_grads();
    model.forward_backward(packed, 1.0 / count, &mut grads)?;
    let mut compared = Vec::new();
    for (name, grad) in model.params.names().zip(grads.tensors()) {
        let key = format!("grad.{name}");
        // transformers names gradients after its modules, which old Qwen2.5-VL files do not.
        let key = match case.info(&key) {
            Some(_) => key,
            None => format!(
                "grad.{}",
                name.replacen("visual.", "model.visual.", 1)
                    .replacen("model.layers.", "model.language_model.layers.", 1)
                    .replacen("model.embed_tokens", "model.language_model.embed_tokens", 1)
                    .replacen("model.norm", "model.language_model.norm", 1)
            ),
        };
        let expected = floats(case, &key)?;
        let ours = grad.to_vec();
        let difference = norm(ours.iter().zip(&expected).map(|(a, b)| f64::from(a - b)));
        compared.push((name, difference, norm(expected.iter().map(|v| f64::from(*v)))));
    }
    let whole = norm(compared.iter().map(|(_, _, n)| *n));
    let relative = |difference: f64, own: f64| difference / own.max(NOISE_SHARE * whole);
    let (worst_name, worst) = compared
        .iter()
        .map(|(name, d, n)| (*name, relative(*d, *n)))
        .fold(("", 0.0), |w, c| if c.1 > w.1 || c.1.is_nan() { c } else { w });
    let noise: Vec<&str> =
        compared.iter().filter(|(_, _, n)| *n < NOISE_SHARE * whole).map(|(name, ..)| *name).collect();
    line.insert("gradients".into(), json!(compared.len()));
    line.insert("gradients_zero_but_for_noise".into(), json!(noise));
    line.insert("gradient_worst".into(), json!(worst_name));
    let listed = case.names().filter(|name| name.starts_with("grad.")).count();
    Ok(figure(line, "gradient_max_rel", worst, RELATIVE_MAX) && listed == compared.len())
}

fn greedy(model: &Vlm, input: &VlmInput, count: usize) -> Checked<Vec<u32>> {
    let (mut logits, mut cache) = model.prefill(input, count)?;
    let mut ids = Vec::new();
    while ids.len() < count {
        // HF's min_new_tokens forbids the end tokens until the count is reached.
        for end in &model.config.text.eos_token_ids {
            if let Some(logit) = logits.get_mut(*end as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let best = logits
            .iter()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |best, (i, v)| if *v > best.1 { (i, *v) } else { best });
        ids.push(best.0 as u32);
        if ids.len() < count {
            logits = model.decode(best.0 as u32, &mut cache)?;
        }
    }
    Ok(ids)
}

/// Losses of AdamW steps as `train.json` describes them, by the trainer's own clip and update.
fn train(model: &mut Vlm, packed: &PackedInput, steps: usize) -> Checked<Vec<f64>> {
    let mut grads = model.params.zero_grads();
    let mut moments = Moments::zeros(&model.params);
    let count = model.loss(packed)?.tokens as f64;
    let mut losses = Vec::new();
    for step in 1..=steps {
        grads.fill_zero();
        losses.push(model.forward_backward(packed, 1.0 / count as f32, &mut grads)?.loss / count);
        let grad_scale = optimizer::clip_factor(optimizer::grad_norm(&grads)?, Some(1.0)) as f32;
        let settings =
            AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01, step: step as u64, grad_scale };
        optimizer::update(&mut model.params, &grads, &mut moments, settings)?;
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn committed_models_hold() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(super::run(&root.join("golden/models")).unwrap());
        let shared = root.join("../shared/golden/models");
        match shared.is_dir() {
            true => assert!(super::run(&shared).unwrap()),
            false => println!("no ../shared/golden: only the committed models are checked"),
        }
    }

    #[test]
    fn a_wrong_weight_is_seen() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/deberta_v2");
        let dir = tempfile::tempdir().unwrap();
        for name in ["config.json", "case_forward.safetensors", "model.safetensors"] {
            std::fs::copy(root.join(name), dir.path().join(name)).unwrap();
        }
        assert!(super::run(dir.path()).unwrap());
        let mut bytes = std::fs::read(root.join("model.safetensors")).unwrap();
        // The last value of the file, its exponent changed.
        let at = bytes.len() - 1;
        bytes[at] ^= 0x02;
        std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        assert!(!super::run(dir.path()).unwrap());
    }
}
