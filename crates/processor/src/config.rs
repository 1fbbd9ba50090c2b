//! What a model folder says about its vision input.

use std::path::Path;

use serde_json::Value;

use crate::error::read_file;
use crate::{Error, Family};

/// Largest configuration file that is read.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// How frames become patches, and patches tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Side of a patch, in pixels.
    pub patch_size: u32,
    /// A token is a square of this many patches a side.
    pub merge_size: u32,
    /// Frames of a patch.
    pub temporal_patch_size: u32,
    /// Mean of each channel, of values from 0 to 1.
    pub image_mean: [f32; 3],
    /// Standard deviation of each channel, of values from 0 to 1.
    pub image_std: [f32; 3],
    /// Temporal positions of a second of video (Qwen2.5-VL only).
    pub tokens_per_second: Option<f64>,
}

impl VisionConfig {
    /// The family's published values.
    pub fn of_family(family: Family) -> Self {
        match family {
            Family::Qwen3Vl => Self {
                patch_size: 16,
                merge_size: 2,
                temporal_patch_size: 2,
                image_mean: [0.5; 3],
                image_std: [0.5; 3],
                tokens_per_second: None,
            },
            Family::Qwen2_5Vl => Self {
                patch_size: 14,
                merge_size: 2,
                temporal_patch_size: 2,
                image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
                image_std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
                tokens_per_second: Some(2.0),
            },
        }
    }

    /// Sides of a resized frame are multiples of this, in pixels.
    pub fn factor(&self) -> u32 {
        self.patch_size * self.merge_size
    }

    /// Values of a patch: `3 temporal_patch_size patch_size^2`.
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch_size as usize * self.patch_size as usize * self.patch_size as usize
    }

    /// Patches of a token.
    pub fn patches_per_token(&self) -> usize {
        self.merge_size as usize * self.merge_size as usize
    }

    /// Takes over what a folder's config.json (`vision_config`) and preprocessor files say.
    fn read(&mut self, vision: Option<&Value>, processors: &[Value]) -> Result<(), String> {
        let from_model = |key: &str| vision.and_then(|v| v.get(key)).filter(|v| !v.is_null());
        let from_files = |key: &str| processors.iter().find_map(|p| p.get(key)).filter(|v| !v.is_null());
        for (field, model_key, file_key, most) in [
            (&mut self.patch_size, "patch_size", "patch_size", 256),
            (&mut self.merge_size, "spatial_merge_size", "merge_size", 16),
            (&mut self.temporal_patch_size, "temporal_patch_size", "temporal_patch_size", 64),
        ] {
            for (key, value) in [(model_key, from_model(model_key)), (file_key, from_files(file_key))] {
                let Some(value) = value else { continue };
                let number = value.as_u64().filter(|n| (1..=most).contains(n));
                *field = number.ok_or_else(|| format!("`{key}` is {value}; expected 1 to {most}"))? as u32;
            }
            let (model, file) = (from_model(model_key), from_files(file_key));
            if let (Some(model), Some(file)) = (model, file)
                && model != file
            {
                return Err(format!(
                    "`{model_key}` is {model} in config.json but `{file_key}` is {file} in the preprocessor files"
                ));
            }
        }
        for (field, key, least) in
            [(&mut self.image_mean, "image_mean", f64::MIN), (&mut self.image_std, "image_std", 1e-6)]
        {
            if let Some(value) = from_files(key) {
                *field = three(value, least).ok_or_else(|| format!("`{key}` is {value}; expected three numbers"))?;
            }
        }
        if let Some(per_second) = &mut self.tokens_per_second {
            // The reference's default where config.json is silent is 4, though every published folder says 2.
            let value = from_model("tokens_per_second");
            *per_second = value
                .map_or(Some(4.0), Value::as_f64)
                .filter(|v| v.is_finite() && *v >= 0.0)
                .ok_or("`tokens_per_second` is not a number")?;
        }
        Ok(())
    }
}

fn three(value: &Value, least: f64) -> Option<[f32; 3]> {
    let numbers: Vec<f32> = value
        .as_array()?
        .iter()
        .map(|v| v.as_f64().filter(|n| n.abs() < 1e6 && *n >= least).map(|n| n as f32))
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// What the JSON files of a model folder say.
#[derive(Debug)]
pub(crate) struct FolderConfig {
    pub family: Family,
    pub vision: VisionConfig,
    /// `(key, token, id)` of the vision tokens that config.json names.
    pub token_ids: Vec<(&'static str, &'static str, u32)>,
    /// Rows of the embedding table.
    pub vocab_size: Option<u64>,
    /// The chat template that the folder ships, with the name of its file.
    pub chat_template: Option<(String, String)>,
    /// Pixel bounds of a clip, `size` of video_preprocessor_config.json: shortest and longest edge.
    pub video_pixels: Option<(u64, u64)>,
}

/// Keys of config.json and the tokens they number.
const TOKEN_KEYS: [(&str, &str); 4] = [
    ("vision_start_token_id", "<|vision_start|>"),
    ("vision_end_token_id", "<|vision_end|>"),
    ("image_token_id", "<|image_pad|>"),
    ("video_token_id", "<|video_pad|>"),
];

impl FolderConfig {
    /// Reads config.json and, where present, the preprocessor and template files.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("config.json");
        let bad = |what: String| Error::BadFile { path: path.clone(), what };
        let config = read_json(&path)?;
        let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or("");
        let family = Family::from_model_type(model_type)
            .ok_or_else(|| bad(format!("model_type is {model_type:?}; expected \"qwen3_vl\" or \"qwen2_5_vl\"")))?;
        let video = read_optional(&dir.join("video_preprocessor_config.json"))?;
        let image = read_optional(&dir.join("preprocessor_config.json"))?;
        // transformers 5 keeps both in one file.
        let both = read_optional(&dir.join("processor_config.json"))?;
        let nested = |key: &str| both.as_ref().and_then(|both| both.get(key)).cloned();
        let video = video.or_else(|| nested("video_processor"));
        let size = video.as_ref().and_then(|video| video.get("size"));
        let edge = |key| size.and_then(|size| size.get(key)).and_then(Value::as_u64);
        let video_pixels = edge("shortest_edge").zip(edge("longest_edge"));
        let processors: Vec<Value> =
            [video, image.or_else(|| nested("image_processor"))].into_iter().flatten().collect();
        let mut vision = VisionConfig::of_family(family);
        vision.read(config.get("vision_config"), &processors).map_err(bad)?;
        let mut token_ids = Vec::new();
        for (key, token) in TOKEN_KEYS {
            if let Some(value) = config.get(key).filter(|v| !v.is_null()) {
                let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
                token_ids.push((
                    key,
                    token,
                    id.ok_or_else(|| bad(format!("`{key}` is {value}; expected a token id")))?,
                ));
            }
        }
        let text = config.get("text_config").unwrap_or(&config);
        let vocab_size = text.get("vocab_size").and_then(Value::as_u64);
        let chat_template = shipped_template(dir)?;
        Ok(Self { family, vision, token_ids, vocab_size, chat_template, video_pixels })
    }
}

/// The chat template that transformers would use: chat_template.jinja, else chat_template.json, else tokenizer_config.json.
fn shipped_template(dir: &Path) -> Result<Option<(String, String)>, Error> {
    let jinja = dir.join("chat_template.jinja");
    if jinja.exists() {
        let text = String::from_utf8_lossy(&read_file(&jinja, CONFIG_BYTES_MAX)?).into_owned();
        return Ok(Some(("chat_template.jinja".into(), text)));
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let path = dir.join(name);
        if !path.exists() {
            continue;
        }
        if let Some(text) = read_json(&path)?.get("chat_template").and_then(Value::as_str) {
            return Ok(Some((name.into(), text.to_owned())));
        }
    }
    Ok(None)
}

/// A JSON object, or nothing if there is no such file.
fn read_optional(path: &Path) -> Result<Option<Value>, Error> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}

fn read_json(path: &Path) -> Result<Value, Error> {
    let bytes = read_file(path, CONFIG_BYTES_MAX)?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::BadFile { path: path.to_path_buf(), what: error.to_string() })?;
    if !value.is_object() {
        return Err(Error::BadFile { path: path.to_path_buf(), what: "expected a JSON object".into() });
    }
    Ok(value)
}
