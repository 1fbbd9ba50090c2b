//! The small files beside the weights that make a folder loadable by others.

use std::{fs, path::Path};

use serde_json::Value;
use tensor::DType;

use crate::{Error, Result, write_file_atomic};

/// What transformers and vLLM read beside the weights of the supported families.
const COMPANIONS: [&str; 16] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "spm.model",
    "chat_template.json",
    "chat_template.jinja",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "LICENSE",
    "NOTICE",
];

/// Copies configuration, tokenizer and processor files of one model folder into another, where they are missing.
///
/// Returns the names copied. A file that is already in `to` stays as it is (a `config.json` written by the caller);
/// code, pickles and unknown files are never copied.
///
/// # Errors
/// [`Error::Io`] with the file.
pub fn copy_companions(from: &Path, to: &Path) -> Result<Vec<&'static str>> {
    let mut copied = Vec::new();
    for name in COMPANIONS {
        let (source, target) = (from.join(name), to.join(name));
        if !source.is_file() || target.exists() {
            continue;
        }
        let bytes = fs::read(&source).map_err(|e| Error::io(&source, "read", e))?;
        write_file_atomic(&target, |out| out.write_all(&bytes))?;
        copied.push(name);
    }
    Ok(copied)
}

/// Copies a model's config.json into another folder, with its `dtype` (`torch_dtype` before transformers 5) telling the
/// type of the weights written there.
///
/// # Errors
/// [`Error::Io`] with the file; also if it is not JSON.
pub fn copy_config(from: &Path, to: &Path, dtype: DType) -> Result<()> {
    let (source, target) = (from.join("config.json"), to.join("config.json"));
    let text = fs::read_to_string(&source).map_err(|e| Error::io(&source, "read", e))?;
    let mut config: Value = serde_json::from_str(&text).map_err(|e| Error::io(&source, "parse", e.into()))?;
    let name = match dtype {
        DType::F32 => "float32",
        DType::Bf16 => "bfloat16",
        DType::F16 => "float16",
    };
    set_dtype(&mut config, name);
    let text = serde_json::to_string_pretty(&config).map_err(|e| Error::io(&target, "write", e.into()))?;
    write_file_atomic(&target, |out| writeln!(out, "{text}"))
}

fn set_dtype(config: &mut Value, name: &str) {
    let Some(object) = config.as_object_mut() else { return };
    for (key, value) in object {
        match key.as_str() {
            "dtype" | "torch_dtype" => *value = name.into(),
            _ => set_dtype(value, name),
        }
    }
}
