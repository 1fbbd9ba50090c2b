//! A small byte-level BPE tokenizer of our own, in Hugging Face format, for debug models, tests and folders without a real one.
//!
//! Same pre-tokenizer, normalizer and special tokens as Qwen's; the merges are learnt by `cargo xtask tokenizer` from a text
//! of our own about driving.

use serde_json::{Value, json};

/// The merges, one pair a line, most frequent first.
const MERGES: &str = include_str!("../data/merges.txt");

/// Qwen's split of a text into words (a fact of its tokenizer.json): single digits, words with one leading non-letter, runs of punctuation, line breaks.
const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// First id of the added tokens in Qwen2.5's and Qwen3's vocabularies.
const QWEN_FIRST_ADDED_ID: u32 = 151_643;

/// The added tokens of the Qwen3 tokenizer in the order of their ids; the flag says `special`, that is, never made from user text.
pub(crate) const ADDED_TOKENS: [(&str, bool); 26] = [
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<|object_ref_start|>", true),
    ("<|object_ref_end|>", true),
    ("<|box_start|>", true),
    ("<|box_end|>", true),
    ("<|quad_start|>", true),
    ("<|quad_end|>", true),
    ("<|vision_start|>", true),
    ("<|vision_end|>", true),
    ("<|vision_pad|>", true),
    ("<|image_pad|>", true),
    ("<|video_pad|>", true),
    ("<tool_call>", false),
    ("</tool_call>", false),
    ("<|fim_prefix|>", false),
    ("<|fim_middle|>", false),
    ("<|fim_suffix|>", false),
    ("<|fim_pad|>", false),
    ("<|repo_name|>", false),
    ("<|file_sep|>", false),
    ("<tool_response>", false),
    ("</tool_response>", false),
    ("<think>", false),
    ("</think>", false),
];

/// Where the special tokens of the built-in tokenizer lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialIds {
    /// Right after the learnt tokens: a vocabulary of less than 1,024 ids, for debug models.
    Compact,
    /// At 151643..=151668, as in Qwen3's tokenizer: for models with Qwen's vocabulary size.
    Qwen3,
}

/// tokenizer.json of the built-in tokenizer, less than 100 KB.
pub fn builtin_tokenizer_json(ids: SpecialIds) -> Vec<u8> {
    let merges: Vec<(&str, &str)> = MERGES.lines().filter_map(|line| line.split_once(' ')).collect();
    byte_level_tokenizer_json(&merges, ids)
}

/// tokenizer.json of a byte-level BPE tokenizer with these merges, in the letters of [`byte_to_char`].
pub fn byte_level_tokenizer_json(merges: &[(&str, &str)], ids: SpecialIds) -> Vec<u8> {
    let mut vocab = serde_json::Map::new();
    for byte in alphabet() {
        vocab.insert(byte_to_char(byte).to_string(), json!(vocab.len()));
    }
    for (left, right) in merges {
        let id = vocab.len();
        vocab.entry(format!("{left}{right}")).or_insert(json!(id));
    }
    let first = match ids {
        SpecialIds::Compact => vocab.len() as u32,
        SpecialIds::Qwen3 => QWEN_FIRST_ADDED_ID,
    };
    let mut added = Vec::new();
    for ((content, special), id) in ADDED_TOKENS.into_iter().zip(first..) {
        // Readers number added tokens themselves unless the model's vocabulary knows them, so it must.
        vocab.insert(content.to_owned(), json!(id));
        added.push(json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special
        }));
    }
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let split = json!({ "type": "Split", "pattern": { "Regex": SPLIT }, "behavior": "Isolated", "invert": false });
    let merges: Vec<Value> = merges.iter().map(|(left, right)| json!([left, right])).collect();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "NFC" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [split, byte_level] },
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges
        }
    });
    tokenizer.to_string().into_bytes()
}

/// Bytes that stand for themselves in a byte-level vocabulary: the printable ones of Latin-1.
fn is_printable(byte: u8) -> bool {
    matches!(byte, 33..=126 | 161..=172 | 174..=255)
}

/// All bytes in the order of a byte-level vocabulary: printable ones first.
fn alphabet() -> impl Iterator<Item = u8> {
    (0..=255).filter(|&byte| is_printable(byte)).chain((0..=255).filter(|&byte| !is_printable(byte)))
}

/// The letter of a byte in a byte-level vocabulary (the scheme of GPT-2): itself if printable, else the next free one from U+0100.
pub(crate) fn byte_to_char(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&b| !is_printable(b)).count() as u32;
    char::from_u32(256 + rank).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_distinct_letters() {
        let letters: std::collections::HashSet<char> = (0..=255).map(byte_to_char).collect();
        assert_eq!(letters.len(), 256);
        assert_eq!((byte_to_char(b' '), byte_to_char(b'\n'), byte_to_char(b'a')), ('Ġ', 'Ċ', 'a'));
        assert_eq!(alphabet().next(), Some(b'!'));
    }

    #[test]
    fn files_are_small() {
        for ids in [SpecialIds::Compact, SpecialIds::Qwen3] {
            assert!(builtin_tokenizer_json(ids).len() < 100_000);
        }
    }
}
