//! Text to token ids and back, from a Hugging Face tokenizer.json.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use tokenizers::AddedToken;

use crate::Error;
use crate::builtin::{ADDED_TOKENS, byte_to_char};
use crate::error::read_file;

/// Largest tokenizer.json that is read.
const TOKENIZER_BYTES_MAX: u64 = 256 << 20;

/// A tokenizer whose special tokens cannot be forged by user text.
pub struct Tokenizer {
    /// Encodes special tokens inside text as plain text.
    plain: tokenizers::Tokenizer,
    /// Recognises special tokens inside text; made on first use.
    with_specials: OnceLock<tokenizers::Tokenizer>,
    /// The bytes behind the letters of a byte-level vocabulary.
    char_to_byte: HashMap<char, u8>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocab_size())
    }
}

impl Tokenizer {
    /// Reads a tokenizer.json.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] with the file's name.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = read_file(path, TOKENIZER_BYTES_MAX)?;
        Self::from_bytes(&bytes).map_err(|error| Error::BadFile { path: path.to_path_buf(), what: error.to_string() })
    }

    /// Reads the text of a tokenizer.json. Truncation and padding stored in it are dropped: length is the caller's decision.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |error: tokenizers::Error| Error::Tokenizer(error.to_string());
        let mut plain = tokenizers::Tokenizer::from_bytes(bytes).map_err(bad)?;
        plain.with_truncation(None).map_err(bad)?;
        plain.with_padding(None);
        // A folder may forget to mark the tokens of the chat layout as special; user text must not make them all the same.
        let layout = ADDED_TOKENS.iter().filter(|(content, special)| *special && plain.token_to_id(content).is_some());
        let layout: Vec<AddedToken> = layout.map(|(content, _)| AddedToken::from(*content, true)).collect();
        plain.add_special_tokens(layout).map_err(bad)?;
        plain.set_encode_special_tokens(true);
        let char_to_byte = (0..=255).map(|byte| (byte_to_char(byte), byte)).collect();
        Ok(Self { plain, with_specials: OnceLock::new(), char_to_byte })
    }

    /// Ids of a text as user data: special tokens in it (`<|im_end|>`, `<|video_pad|>`) are plain text. Added tokens
    /// that are not special (`<think>`) keep their ids, as in the reference. Nothing is put before or after.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text cannot be encoded.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, Error> {
        encode(&self.plain, text, false)
    }

    /// Ids of a text in which special tokens are recognised, with what the post-processor puts around it
    /// (`[CLS]`, `[SEP]` for DeBERTa; nothing for Qwen). For trusted text only.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text cannot be encoded.
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>, Error> {
        let tokenizer = self.with_specials.get_or_init(|| {
            let mut tokenizer = self.plain.clone();
            tokenizer.set_encode_special_tokens(false);
            tokenizer
        });
        encode(tokenizer, text, true)
    }

    /// The id of a token by its exact name, for instance `<|im_end|>`.
    pub fn special_id(&self, token: &str) -> Option<u32> {
        self.plain.token_to_id(token)
    }

    /// Text of ids; invalid UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.plain.decode(ids, skip_special).map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// Number of tokens, added ones included. Ids may lie above it where the vocabulary has gaps: see [`Self::id_max`].
    pub fn vocab_size(&self) -> usize {
        self.plain.get_vocab_size(true)
    }

    /// Largest id.
    pub fn id_max(&self) -> u32 {
        self.plain.get_vocab(true).into_values().max().unwrap_or(0)
    }

    /// Starts decoding ids one at a time. For byte-level vocabularies (both Qwen families).
    pub fn stream_decoder(&self, skip_special: bool) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, skip_special, pending: Vec::new() }
    }

    /// Appends the bytes of a token of a byte-level vocabulary.
    fn push_bytes(&self, id: u32, skip_special: bool, bytes: &mut Vec<u8>) {
        let Some(token) = self.plain.id_to_token(id) else { return };
        if skip_special && self.plain.get_added_vocabulary().is_special_token(&token) {
            return;
        }
        let letters: Option<Vec<u8>> = token.chars().map(|letter| self.char_to_byte.get(&letter).copied()).collect();
        match letters {
            Some(letters) => bytes.extend(letters),
            None => bytes.extend(token.as_bytes()),
        }
    }
}

fn encode(tokenizer: &tokenizers::Tokenizer, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Error> {
    let encoding =
        tokenizer.encode_fast(text, add_special_tokens).map_err(|error| Error::Tokenizer(error.to_string()))?;
    Ok(encoding.get_ids().to_vec())
}

/// Turns ids into text one at a time, never splitting a character. The pieces joined equal [`Tokenizer::decode`].
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
}

impl StreamDecoder<'_> {
    /// The text that this id completes; empty inside a character. An unknown id gives nothing.
    pub fn push(&mut self, id: u32) -> String {
        self.tokenizer.push_bytes(id, self.skip_special, &mut self.pending);
        let mut text = String::new();
        let mut used = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            used += chunk.valid().len();
            let at_end = used + chunk.invalid().len() == self.pending.len();
            // What could still become a character must wait; anything else is damage.
            if at_end && is_incomplete(chunk.invalid()) {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                used += chunk.invalid().len();
            }
        }
        self.pending.drain(..used);
        text
    }

    /// What is left when no id follows: U+FFFD for an incomplete character, else nothing.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Whether more bytes could make this a character.
fn is_incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
