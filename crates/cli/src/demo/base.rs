//! The demo's base model: a Qwen3-VL of 2.8 M parameters with its own tokenizer, pre-trained by this program on the general
//! part of the world (`demo/make_base.sh`) and carried in the binary.

use records::ContentHash;
use std::{error::Error, path::Path};

const FILES: [(&str, &[u8]); 9] = [
    ("config.json", include_bytes!("../../../../demo/base/config.json")),
    ("generation_config.json", include_bytes!("../../../../demo/base/generation_config.json")),
    ("tokenizer.json", include_bytes!("../../../../demo/base/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../../demo/base/tokenizer_config.json")),
    ("special_tokens_map.json", include_bytes!("../../../../demo/base/special_tokens_map.json")),
    ("preprocessor_config.json", include_bytes!("../../../../demo/base/preprocessor_config.json")),
    ("video_preprocessor_config.json", include_bytes!("../../../../demo/base/video_preprocessor_config.json")),
    ("chat_template.jinja", include_bytes!("../../../../demo/base/chat_template.jinja")),
    ("model.safetensors", include_bytes!("../../../../demo/base/model.safetensors")),
];

/// Hash of all files, which names the model.
pub fn hash() -> ContentHash {
    let hashes: Vec<_> = FILES.iter().map(|(name, bytes)| (*name, ContentHash::of_bytes(bytes))).collect();
    ContentHash::of_parts(hashes.iter().map(|(name, hash)| (*name, hash)))
}

/// Writes the model's folder.
pub fn unpack(dir: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    for (name, bytes) in FILES {
        records::write_atomic(&dir.join(name), bytes)?;
    }
    Ok(())
}
