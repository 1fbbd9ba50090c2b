//! Golden numbers of sacrebleu and NLTK.

use super::*;
use serde_json::Value;
use std::path::Path;

fn close(got: f64, expect: &Value, what: &str) {
    let expect = expect.as_f64().unwrap();
    assert!((got - expect).abs() < 1e-9, "{what}: {got} is not {expect}");
}

/// Checks a file of vectors: pairs (one or several references) and results of both libraries.
fn check(text: &str) -> usize {
    let file: Value = serde_json::from_str(text).unwrap();
    let pairs: Vec<(String, Vec<String>)> = file["pairs"].as_array().unwrap().iter().map(pair).collect();
    let mut compared = 0;
    for result in file["results"].as_array().unwrap() {
        let (corpus, sentences, scale) = match result["lib"].as_str().unwrap() {
            "nltk-3.10.4" => nltk(&pairs, result),
            _ => sacrebleu(&pairs, result),
        };
        close(corpus * scale, &result["corpus"], &format!("corpus {result}"));
        let expect = result.get("sentence_eff").unwrap_or(&result["sentence"]).as_array().unwrap();
        assert_eq!(expect.len(), sentences.len());
        for (got, expect) in sentences.iter().zip(expect) {
            close(got * scale, expect, &format!("sentence {result}"));
            compared += 1;
        }
        compared += 1;
    }
    compared
}

fn pair(pair: &Value) -> (String, Vec<String>) {
    let references = match &pair[1] {
        Value::Array(references) => references.iter().map(|r| r.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    (pair[0].as_str().unwrap().to_owned(), references)
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn sacrebleu(pairs: &[(String, Vec<String>)], result: &Value) -> (f64, Vec<f64>, f64) {
    let value = |default| result.get("value").and_then(Value::as_f64).unwrap_or(default);
    let smoothing = match result["smooth"].as_str().unwrap() {
        "exp" => Smoothing::Exp,
        "floor" => Smoothing::Floor(value(0.1)),
        "add-k" => Smoothing::AddK(value(1.0)),
        _ => Smoothing::None,
    };
    let settings = Settings {
        tokenize: Tokenize::of_name(result["tok"].as_str().unwrap()).unwrap(),
        lowercase: result["lc"].as_bool().unwrap(),
        smoothing,
        max_order: result.get("order").and_then(Value::as_u64).unwrap_or(4) as usize,
    };
    let counts: Vec<_> = pairs.iter().map(|(p, references)| settings.counts(p, &strs(references))).collect();
    let mut sum = NgramCounts::zero(settings.max_order);
    counts.iter().for_each(|segment| sum.add(segment));
    // With add-k, sacrebleu tells the counts after the addition.
    if !matches!(smoothing, Smoothing::AddK(_)) {
        assert_eq!(serde_json::json!(sum.correct), result["counts"], "{result}");
        assert_eq!(serde_json::json!(sum.total), result["totals"], "{result}");
    }
    if let Some(signature) = result.get("signature") {
        let nrefs = pairs.iter().map(|(_, r)| r.len()).all(|n| n == pairs[0].1.len()).then(|| pairs[0].1.len());
        assert_eq!(settings.signature(nrefs, false), signature.as_str().unwrap());
    }
    (settings.corpus(&sum), counts.iter().map(|c| settings.sentence(c)).collect(), 100.0)
}

fn nltk(pairs: &[(String, Vec<String>)], result: &Value) -> (f64, Vec<f64>, f64) {
    let method = Nltk::of_name(result["smooth"].as_str().unwrap()).unwrap();
    let counts: Vec<_> = pairs.iter().map(|(p, references)| Nltk::counts(p, &strs(references))).collect();
    let mut sum = NltkCounts::zero();
    counts.iter().for_each(|segment| sum.add(segment));
    (method.score(&sum), counts.iter().map(|c| method.score(c)).collect(), 1.0)
}

#[test]
fn equals_sacrebleu_and_nltk() {
    assert!(check(include_str!("../../../../golden/bleu.json")) > 300);
}

#[test]
fn equals_vectors_made_elsewhere_if_they_are_there() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/bleu_vectors.json");
    if let Ok(text) = std::fs::read_to_string(file) {
        assert_eq!(check(&text), 37 * 7);
    }
}

#[test]
fn signatures_are_those_of_the_reference() {
    let default = Settings::default();
    assert_eq!(default.signature(Some(1), false), "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
    let other = Settings { lowercase: true, smoothing: Smoothing::Floor(0.1), ..default };
    assert_eq!(other.signature(None, true), "nrefs:var|case:lc|eff:yes|tok:13a|smooth:floor[0.10]|version:2.6.0");
}
