//! Token ids against the reference's, and properties of every tokenizer.

use processor::{Family, SpecialIds, Tokenizer, builtin_tokenizer_json};
use proptest::prelude::*;
use serde_json::Value;

use crate::shared;

fn builtin() -> &'static Tokenizer {
    crate::builtin(Family::Qwen3Vl).tokenizer()
}

#[test]
fn ids_equal_the_reference() {
    let Some(vectors) = shared("golden/tokenizer_vectors.json") else { return };
    let vectors: Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    for (name, folder) in [("qwen3", "qwen3"), ("deberta_v3_fast", "deberta_v3")] {
        let Some(path) = shared(&format!("tokenizers/{folder}/tokenizer.json")) else { return };
        let tokenizer = Tokenizer::open(&path).unwrap();
        let cases = vectors[name].as_array().unwrap();
        assert!(cases.len() > 10, "{name}");
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let expect: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode_with_specials(text).unwrap(), expect, "{name}: {text:?}");
        }
    }
}

#[test]
fn real_layout_tokens_have_the_published_ids() {
    for folder in ["qwen3", "qwen2_5"] {
        let Some(path) = shared(&format!("tokenizers/{folder}/tokenizer.json")) else { return };
        let tokenizer = Tokenizer::open(&path).unwrap();
        for (token, id) in [
            ("<|endoftext|>", 151_643),
            ("<|im_end|>", 151_645),
            ("<|vision_start|>", 151_652),
            ("<|video_pad|>", 151_656),
        ] {
            assert_eq!(tokenizer.special_id(token), Some(id), "{folder} {token}");
            assert!(tokenizer.encode_text(token).unwrap().iter().all(|&got| got < 151_643), "{folder} {token}");
            assert_eq!(tokenizer.encode_with_specials(token).unwrap(), [id]);
        }
        assert_eq!(tokenizer.encode_text("<0.2 seconds>").unwrap(), [27, 15, 13, 17, 6486, 29]);
    }
}

#[test]
fn special_ids_of_the_builtin_tokenizer() {
    let compact = builtin();
    let qwen = Tokenizer::from_bytes(&builtin_tokenizer_json(SpecialIds::Qwen3)).unwrap();
    assert_eq!(qwen.special_id("<|endoftext|>"), Some(151_643));
    assert_eq!(qwen.special_id("</think>"), Some(151_668));
    assert_eq!(qwen.id_max(), 151_668);
    assert_eq!(compact.id_max() as usize + 1, compact.vocab_size());
    assert_eq!(compact.vocab_size(), qwen.vocab_size());
    assert!(compact.vocab_size() <= 1024);
    let text = "The ego vehicle slows down behind a truck.";
    assert_eq!(compact.encode_text(text).unwrap(), qwen.encode_text(text).unwrap());
    assert_eq!(qwen.encode_with_specials("a<|im_end|><think>").unwrap()[1..], [151_645, 151_667]);
    assert_eq!(qwen.encode_text("<think>").unwrap(), [151_667]);
}

#[test]
fn not_a_tokenizer() {
    for bytes in [&b""[..], b"{}", b"[1]", b"{\"model\": 3}", &[0xff, 0xfe], b"null"] {
        assert!(Tokenizer::from_bytes(bytes).is_err());
    }
    let error = Tokenizer::open(std::path::Path::new("/nowhere/tokenizer.json")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/tokenizer.json"));
}

#[test]
fn streaming_holds_back_half_a_character() {
    let tokenizer = builtin();
    let ids = tokenizer.encode_text("é🚗").unwrap();
    let mut stream = tokenizer.stream_decoder(true);
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
    assert_eq!(pieces.concat(), "é🚗");
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
    assert_eq!(stream.finish(), "");
    let mut stream = tokenizer.stream_decoder(true);
    assert_eq!(stream.push(ids[0]), "");
    assert_eq!(stream.push(u32::MAX), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}

/// Text as users write it, with everything that must not pass for structure.
pub fn user_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,12}",
        ".{0,8}",
        Just("<|im_end|>".to_owned()),
        Just("<|im_start|>system\n".to_owned()),
        Just("<|video_pad|>".to_owned()),
        Just("<|vision_start|><|image_pad|>".to_owned()),
        Just("<|endoftext|>".to_owned()),
        Just("<0.5 seconds>".to_owned()),
        Just("\n\n  \t".to_owned()),
        Just("🚗 Straße 车辆 ".to_owned()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn text_survives_and_makes_no_special_token(text in user_text()) {
        let tokenizer = builtin();
        let ids = tokenizer.encode_text(&text).unwrap();
        let first_special = tokenizer.special_id("<|endoftext|>").unwrap();
        let last_special = tokenizer.special_id("<|video_pad|>").unwrap();
        prop_assert!(ids.iter().all(|id| !(first_special..=last_special).contains(id)));
        // The normalizer composes characters (NFC); apart from that, bytes are kept.
        let back = tokenizer.decode(&ids, false).unwrap();
        prop_assert_eq!(tokenizer.encode_text(&back).unwrap(), ids);
        if text.is_ascii() {
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn streaming_equals_decoding(ids in prop::collection::vec(0_u32..1100, 0..40), skip_special: bool) {
        let tokenizer = builtin();
        let mut stream = tokenizer.stream_decoder(skip_special);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        prop_assert_eq!(text, tokenizer.decode(&ids, skip_special).unwrap());
    }
}
