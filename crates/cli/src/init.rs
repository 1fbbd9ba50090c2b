//! `roadscribe init`: a model folder with random weights.

use crate::Outcome;
use clap::ValueEnum;
use models::{Preset, SpecialTokens, VlmConfig, export_random, preset_config, preset_generation_config};
use processor::{SpecialIds, Tokenizer, builtin_tokenizer_json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tensor::DType;

/// Flags of `roadscribe init`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// demo (2.7 M parameters), debug (8 M, for laptops), 2b, 4b, 8b, or the path of a config.json
    #[arg(long, value_name = "NAME|FILE")]
    config: String,
    /// Folder to make; it must not hold weights yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of the weights: the same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Type of the weights on disk
    #[arg(long, value_enum, default_value_t = Dtype::Bf16)]
    dtype: Dtype,
    /// tokenizer.json to use; without it a small built-in one, English only, goes in
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
}

/// Types of weights on disk, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// bfloat16, as published checkpoints
    Bf16,
    /// 32-bit float, exact
    F32,
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bf16 => Self::Bf16,
            Dtype::F32 => Self::F32,
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let preset = Preset::ALL.iter().find(|(name, _)| *name == args.config).map(|(_, preset)| *preset);
    let small = preset.is_some_and(Preset::is_small);
    let ids = if small { SpecialIds::Compact } else { SpecialIds::Qwen3 };
    let tokenizer_json = match &args.tokenizer {
        None => builtin_tokenizer_json(ids),
        Some(path) => std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?,
    };
    let tokens = special_tokens(&tokenizer_json, preset)?;
    let config = match preset {
        Some(preset) => preset_config(preset, tokens),
        None => read_config(Path::new(&args.config))?,
    };
    let text = serde_json::to_string_pretty(&config)?;
    let parsed = VlmConfig::parse(&text)?;
    let summary = export_random(&parsed, args.seed, &args.out, args.dtype.into())?;
    let write =
        |name: &str, text: &str| weights::write_file_atomic(&args.out.join(name), |out| writeln!(out, "{text}"));
    write("config.json", &text)?;
    weights::copy_config(&args.out, &args.out, args.dtype.into())?;
    write("generation_config.json", &serde_json::to_string_pretty(&preset_generation_config(tokens))?)?;
    processor::write_files(&args.out, parsed.family, &tokenizer_json)?;
    say!(
        "{}: {} parameters, {} bytes of {:?} weights in {} file(s)",
        args.out.display(),
        summary.parameters,
        summary.tensor_bytes,
        args.dtype,
        summary.files.len()
    );
    if args.tokenizer.is_none() && !small {
        say!(
            "note: the tokenizer is the small built-in one; give --tokenizer the tokenizer.json of a published model to use its vocabulary"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn read_config(path: &Path) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let names: Vec<&str> = Preset::ALL.iter().map(|(name, _)| *name).collect();
    let text = std::fs::read_to_string(path).map_err(|e| {
        format!("{}: {e} (--config takes {}, or the path of a config.json)", path.display(), names.join(", "))
    })?;
    Ok(serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?)
}

/// Numbers of the special tokens, from the tokenizer itself; the published vocabulary size where the preset has one.
fn special_tokens(tokenizer_json: &[u8], preset: Option<Preset>) -> Result<SpecialTokens, Box<dyn std::error::Error>> {
    let tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
    let id = |token: &str| tokenizer.special_id(token).ok_or_else(|| format!("the tokenizer has no {token}"));
    let needed = tokenizer.id_max() as usize + 1;
    Ok(SpecialTokens {
        vocab_size: if preset.is_some_and(Preset::is_small) {
            needed
        } else {
            needed.max(SpecialTokens::QWEN3.vocab_size)
        },
        endoftext: id("<|endoftext|>")?,
        im_end: id("<|im_end|>")?,
        vision_start: id("<|vision_start|>")?,
        vision_end: id("<|vision_end|>")?,
        image_pad: id("<|image_pad|>")?,
        video_pad: id("<|video_pad|>")?,
    })
}
