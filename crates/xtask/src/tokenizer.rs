//! `cargo xtask tokenizer`: learns the merges of the built-in tokenizer from our own text about driving.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use processor::{SpecialIds, byte_level_tokenizer_json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{Tokenizer, TokenizerImpl};

use crate::Outcome;

/// The text, written for this purpose.
const TEXT: &str = include_str!("../data/driving.txt");

/// Flags of `cargo xtask tokenizer`.
#[derive(clap::Args)]
pub struct Args {
    /// Where to write the merges.
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../processor/data/merges.txt"))]
    out: PathBuf,
    /// Write the tokenizer made of them here too (for the script that makes reference values, and for the demo's model).
    #[arg(long)]
    tokenizer_json: Option<PathBuf>,
    /// Learn from this text instead of our own about driving.
    #[arg(long)]
    text: Option<PathBuf>,
    /// Bytes and merges; 26 added tokens come on top.
    #[arg(long, default_value_t = 998)]
    vocabulary: usize,
}

/// Writes the merges, one pair a line, and if asked the whole tokenizer.json; returns whether there are any.
///
/// # Errors
/// If training fails or a file cannot be written.
pub fn run(args: &Args) -> Outcome<bool> {
    let text = match &args.text {
        None => TEXT.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?,
    };
    // The same split into words as at run time.
    let untrained =
        Tokenizer::from_bytes(byte_level_tokenizer_json(&[], SpecialIds::Compact)).map_err(|e| e.to_string())?;
    let mut learner: TokenizerImpl<
        BPE,
        tokenizers::NormalizerWrapper,
        tokenizers::PreTokenizerWrapper,
        tokenizers::PostProcessorWrapper,
        tokenizers::DecoderWrapper,
    > = TokenizerImpl::new(BPE::default());
    learner.with_pre_tokenizer(untrained.get_pre_tokenizer().cloned());
    let mut trainer = BpeTrainer::builder()
        .vocab_size(args.vocabulary)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    learner.train(&mut trainer, text.lines().map(str::to_owned)).map_err(|e| e.to_string())?;
    let model: serde_json::Value = serde_json::to_value(learner.get_model())?;
    let pairs = model["merges"].as_array().ok_or("the trained model has no merges")?;
    let mut lines = String::new();
    let mut made = HashSet::new();
    for pair in pairs {
        let (Some(left), Some(right)) = (pair[0].as_str(), pair[1].as_str()) else {
            return Err(format!("{pair} is not a pair of pieces").into());
        };
        if made.insert(format!("{left}{right}")) {
            lines.push_str(&format!("{left} {right}\n"));
        }
    }
    write(&args.out, lines.as_bytes())?;
    if let Some(path) = &args.tokenizer_json {
        let merges: Vec<(&str, &str)> = lines.lines().filter_map(|line| line.split_once(' ')).collect();
        write(path, &byte_level_tokenizer_json(&merges, SpecialIds::Compact))?;
    }
    Ok(!made.is_empty())
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    Ok(std::fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))?)
}
