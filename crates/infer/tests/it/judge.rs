//! The judge against transformers: same ids, same logits, from both forms of weights.

use infer::LingoJudge;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tensor::Device;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/judge")
}

fn check(folder: &Path, cases: &Path) {
    let judge = LingoJudge::open(folder, &Device::Cpu).unwrap();
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(cases).unwrap()).unwrap();
    let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    let cases: Vec<(String, String, String, &Value)> = cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (text(case, "question"), text(case, "reference"), text(case, "prediction"), case))
        .collect();
    let pairs: Vec<(&str, &str, &str)> =
        cases.iter().map(|(q, r, p, _)| (q.as_str(), r.as_str(), p.as_str())).collect();
    let logits = judge.logits(&pairs).unwrap();
    for ((question, reference, prediction, case), one) in cases.iter().zip(&logits) {
        let (ids, dropped) = judge.encode(question, reference, prediction).unwrap();
        assert_eq!(serde_json::json!(ids), case["ids"], "{prediction}");
        assert_eq!((one.tokens, one.dropped_tokens), (ids.len(), dropped));
        let expect = case["logit"].as_f64().unwrap();
        assert!((f64::from(one.logit) - expect).abs() < 1e-3, "{prediction}: {} is not {expect}", one.logit);
    }
    let cut = logits.iter().find(|one| one.dropped_tokens > 0).unwrap();
    assert_eq!(cut.tokens, 128);
    // References and predictions are lower-cased, so a `[SEP]` in them is text; in a question it is the token.
    assert!(logits.iter().all(|one| one.special_tokens == 0));
    assert_eq!(judge.logits(&[("Why [SEP]?", "rain [CLS]", "fog [SEP]")]).unwrap()[0].special_tokens, 1);
}

#[test]
fn safetensors_give_the_logits_of_the_reference() {
    check(&golden(), &golden().join("cases.json"));
}

#[test]
fn a_torch_file_gives_the_same() {
    check(&golden().join("bin"), &golden().join("cases.json"));
    let signature = LingoJudge::open(&golden().join("bin"), &Device::Cpu).unwrap().signature();
    assert!(signature.contains("pytorch_model.bin:blake3:") && signature.contains("max_length:128"), "{signature}");
}

#[test]
fn a_folder_that_is_no_judge_says_what_is_missing() {
    let error = LingoJudge::open(Path::new("/nowhere"), &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}

/// Ids of the published demo, with the real tokenizer where it is there.
#[test]
fn the_demo_has_the_published_ids() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tokenizers/deberta_v3/tokenizer.json");
    if !file.is_file() {
        return;
    }
    let tokenizer = processor::Tokenizer::open(&file).unwrap();
    let question = "Are there any pedestrians crossing the road? If yes, how many?";
    // The published demo does not lower-case, which the scorer does.
    let text = format!("[CLS]\nQuestion: {question}\nAnswer: 1\nStudent: Yes, there is one");
    assert_eq!(infer::judge_text(question, "1", "Yes, there is one"), text.replace("Yes,", "yes,"));
    let expect = [
        1, 1, 7581, 294, 1396, 343, 356, 19581, 7065, 262, 1212, 302, 369, 2489, 261, 361, 386, 302, 10519, 294, 376,
        5307, 294, 1595, 261, 343, 269, 311, 2,
    ];
    assert_eq!(tokenizer.encode_with_specials(&text).unwrap(), expect);
}
