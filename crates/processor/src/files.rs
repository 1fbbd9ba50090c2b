//! The tokenizer and processor files of a model folder, written so that transformers and vLLM load it unchanged.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::template::template_text;
use crate::{Error, Family, Tokenizer, VisionConfig};

/// The added tokens that tokenizer_config.json lists as special beyond end-of-text.
const ADDITIONAL_SPECIAL: [&str; 13] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, preprocessor_config.json,
/// video_preprocessor_config.json and chat_template.jinja into `dir`, with the family's published values.
///
/// # Errors
/// [`Error::Tokenizer`] if `tokenizer_json` is not a tokenizer, [`Error::Io`] if a file cannot be written.
pub fn write_files(dir: &Path, family: Family, tokenizer_json: &[u8]) -> Result<(), Error> {
    let tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|source| Error::Io { path, source })
    };
    let pretty = |value: &Value| format!("{value:#}\n").into_bytes();
    write("tokenizer.json", tokenizer_json)?;
    write("tokenizer_config.json", &pretty(&tokenizer_config(family, &tokenizer)))?;
    let special_tokens = json!({ "additional_special_tokens": ADDITIONAL_SPECIAL, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>" });
    write("special_tokens_map.json", &pretty(&special_tokens))?;
    write("preprocessor_config.json", &pretty(&preprocessor_config(family)))?;
    write("video_preprocessor_config.json", &pretty(&video_preprocessor_config(family)))?;
    write("chat_template.jinja", template_text(family).as_bytes())
}

fn processor_class(family: Family) -> &'static str {
    match family {
        Family::Qwen3Vl => "Qwen3VLProcessor",
        Family::Qwen2_5Vl => "Qwen2_5_VLProcessor",
    }
}

fn tokenizer_config(family: Family, tokenizer: &Tokenizer) -> Value {
    let mut decoder = Map::new();
    for (content, special) in crate::builtin::ADDED_TOKENS {
        if let Some(id) = tokenizer.special_id(content) {
            let token = json!({
                "content": content, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": special
            });
            decoder.insert(id.to_string(), token);
        }
    }
    json!({
        "add_bos_token": false,
        "add_prefix_space": false,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": ADDITIONAL_SPECIAL,
        "bos_token": null,
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 262_144,
        "pad_token": "<|endoftext|>",
        "processor_class": processor_class(family),
        "split_special_tokens": false,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": null
    })
}

/// The keys that images and videos share.
fn vision_keys(family: Family) -> Value {
    let vision = VisionConfig::of_family(family);
    // Through f32's own shortest decimal form: a few digits that read back as the same f32.
    let digits = |values: [f32; 3]| values.map(|value| value.to_string().parse::<f64>().unwrap_or(f64::from(value)));
    json!({
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.merge_size,
        "image_mean": digits(vision.image_mean),
        "image_std": digits(vision.image_std),
        "processor_class": processor_class(family)
    })
}

fn with(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

fn preprocessor_config(family: Family) -> Value {
    let (shortest, longest) = match family {
        Family::Qwen3Vl => (65_536, 16_777_216),
        Family::Qwen2_5Vl => (3_136, 12_845_056),
    };
    let own = json!({ "size": { "shortest_edge": shortest, "longest_edge": longest }, "image_processor_type": "Qwen2VLImageProcessorFast" });
    with(vision_keys(family), own)
}

fn video_preprocessor_config(family: Family) -> Value {
    let (shortest, longest, class) = match family {
        Family::Qwen3Vl => (4_096, 25_165_824, "Qwen3VLVideoProcessor"),
        Family::Qwen2_5Vl => (100_352, 602_112, "Qwen2VLVideoProcessor"),
    };
    let own = json!({ "size": { "shortest_edge": shortest, "longest_edge": longest }, "video_processor_type": class });
    with(vision_keys(family), own)
}
